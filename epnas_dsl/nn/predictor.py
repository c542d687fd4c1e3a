"""Turn the tokens of architectures into predicted accuracies: an LSTM that reads level by level.

A row of tokens is a set of symbols, so its linear decoder is a sum of rows of one table. What the
LSTM's gates receive from a row and from a parent's state are two terms of a sum: scoring many
expansions of few parents takes the two terms once each, and only the gates for every pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn

from epnas_dsl.config import SurrogateSettings

SAFE = 80.0  # exp of less than this, and its inverse, are ordinary float32 numbers
BATCH = 4096  # sequences predicted at once
MARGIN = 0.1  # between scores, before the sigmoid, beyond which a pair in order costs nothing


class Surrogate(nn.Module):
    """Linear decoder of a row's symbols, LSTM, linear and sigmoid on the last state (section 4)."""

    def __init__(self, symbols: int, settings: SurrogateSettings, random: torch.Generator) -> None:
        """Draw the weights: linear ones uniform in [-initial, initial], biases 0, LSTM as usual."""
        super().__init__()
        bound = settings.hidden**-0.5
        self.table = nn.Parameter(torch.empty(symbols + 1, settings.features))
        with torch.random.fork_rng(devices=()):  # torch draws weights, which are drawn anew below
            self.lstm = nn.LSTM(settings.features, settings.hidden, batch_first=True)
            self.score = nn.Linear(settings.hidden, 1)
        with torch.no_grad():
            self.table[0].zero_()
            self.table[1:].uniform_(-settings.initial, settings.initial, generator=random)
            for parameter in self.lstm.parameters():
                parameter.uniform_(-bound, bound, generator=random)
            self.score.weight.uniform_(-settings.initial, settings.initial, generator=random)
            self.score.bias.zero_()

    def decode(self, symbols: Tensor) -> Tensor:
        """Features of rows: [..., columns] symbols (0: none) to [..., features]."""
        return nn.functional.embedding(symbols, self.table, padding_idx=0).sum(-2)

    def forward(self, symbols: Tensor, lengths: Tensor) -> Tensor:
        """Scores before the sigmoid: [batch, rows, columns] symbols, [batch] lengths to [batch]."""
        states, _ = self.lstm(self.decode(symbols))
        last = states[torch.arange(len(states)), lengths - 1]
        scores: Tensor = self.score(last).squeeze(-1)
        return scores


def rank_loss(scores: Tensor, accuracy: Tensor) -> Tensor:
    """How far pairs are from the right order: the mean of max(0, MARGIN - (s_i - s_j)).

    Over the pairs of a batch of which i is more accurate than j; the hinge loss by which White,
    Zela, Ru, Liu, Hutter 2021 (section 3) and others before them train predictors to rank.
    """
    better = accuracy[:, None] > accuracy
    short = (MARGIN - scores[:, None] + scores).clamp(min=0)
    return (short * better).sum() / better.sum().clamp(min=1)


LOSSES = {
    "l1": lambda scores, accuracy: nn.functional.l1_loss(scores.sigmoid(), accuracy),
    "mse": lambda scores, accuracy: nn.functional.mse_loss(scores.sigmoid(), accuracy),
    "rank": rank_loss,
}


class LstmPredictor:
    """The surrogate of section 4: predicted accuracies in [0, 1] for rows of tokens.

    Weights and the state of Adam are carried over from one fit to the next. Points are sorted
    before they are shuffled with a generator of its own, so that their order does not matter, and
    torch's global generator is neither read nor moved.

    Args:
        columns: number of symbols in each column of tokens.
        settings: sizes, loss, learning rate, epochs and batch of the surrogate.
        seed: of the first weights and of the order of the points.
    """

    def __init__(self, columns: Sequence[int], settings: SurrogateSettings, seed: int) -> None:
        self._random = torch.Generator().manual_seed(seed)
        self._offsets = np.array([1, *accumulate(columns, initial=1)][1:-1], dtype=np.int64)
        self._settings, self._symbol_count = settings, sum(columns)
        self._begin_anew()

    def _begin_anew(self) -> None:
        """First weights; also after a fit that went astray, so that a search never sees NaN."""
        self.network = Surrogate(self._symbol_count, self._settings, self._random)
        self._optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self._settings.learning_rate, fused=True
        )

    def fit(self, tokens: Sequence[np.ndarray], targets: Sequence[float]) -> None:
        """Train on all points, so many epochs or steps as the settings say.

        Args:
            tokens: one int array [rows, columns] for each point; -1 where a row lacks a column.
            targets: measured accuracies in [0, 1].
        """
        order = sorted(range(len(tokens)), key=lambda i: (tokens[i].tolist(), targets[i]))
        if not order:
            return
        symbols, lengths = self._pad([tokens[i] for i in order])
        accuracy = torch.tensor([targets[i] for i in order], dtype=torch.float32)
        loss = LOSSES[self._settings.loss]
        for batch in self._batches(len(order)):
            self._optimizer.zero_grad()
            loss(self.network(symbols[batch], lengths[batch]), accuracy[batch]).backward()
            self._optimizer.step()
        if not all(bool(torch.isfinite(p).all()) for p in self.network.parameters()):
            self._begin_anew()

    def _batches(self, points: int) -> Iterator[Tensor]:
        """Which points to learn from in each step of a fit; all of them before any again."""
        size = self._settings.batch
        left: tuple[Tensor, ...] = ()
        for _ in range(self._settings.steps or self._settings.epochs * -(-points // size)):
            left = left or torch.randperm(points, generator=self._random).split(size)
            yield left[0]
            left = left[1:]

    @torch.no_grad()
    def predict(self, tokens: Sequence[np.ndarray]) -> np.ndarray:
        """Predicted accuracies, float32 [len(tokens)], of token arrays of any mix of lengths."""
        scores = np.empty(len(tokens), dtype=np.float32)
        for start in range(0, len(tokens), BATCH):
            symbols, lengths = self._pad(tokens[start : start + BATCH])
            scores[start : start + BATCH] = self.network(symbols, lengths).sigmoid().numpy()
        return scores

    @torch.no_grad()
    def predict_expansions(self, parents: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Predicted accuracies of every parent followed by every row.

        Args:
            parents: token arrays [rows, columns]; one without rows is the empty architecture.
            rows: int tokens [number of rows, columns].

        Returns:
            float32 [len(parents), len(rows)].
        """
        hidden, cells = self._states(parents)
        _, weight, _, bias = self.network.lstm.all_weights[0]
        from_parents = nn.functional.linear(hidden, weight, bias).unflatten(1, (4, -1))
        scores = torch.empty(len(parents), len(rows))
        score_step(from_parents, cells, self._row_gates(rows), self.network.score, scores)
        return scores.sigmoid_().numpy()

    def _states(self, parents: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Hidden and cell states after the last row of each, [parents, hidden]; 0 before any."""
        hidden, cells = torch.zeros(2, len(parents), self._settings.hidden)
        filled = [i for i, parent in enumerate(parents) if len(parent)]
        if filled:
            symbols, lengths = self._pad([parents[i] for i in filled])
            packed = nn.utils.rnn.pack_padded_sequence(
                self.network.decode(symbols), lengths, batch_first=True, enforce_sorted=False
            )
            _, (last_hidden, last_cells) = self.network.lstm(packed)
            hidden[filled], cells[filled] = last_hidden[0], last_cells[0]
        return hidden, cells

    def _row_gates(self, rows: np.ndarray) -> Tensor:
        """What rows add to the gates, [4, rows, hidden]: a sum over one table of symbols."""
        weight, _, bias, _ = self.network.lstm.all_weights[0]
        table = nn.functional.linear(self.network.table, weight)
        gates: Tensor = nn.functional.embedding_bag(self._symbols(rows), table, mode="sum") + bias
        return gates.reshape(len(rows), 4, -1).transpose(0, 1).contiguous()

    def _symbols(self, tokens: np.ndarray) -> Tensor:
        """Tokens as rows of the table; 0 for a missing column, and where there are no columns."""
        symbols = np.where(tokens < 0, 0, tokens + self._offsets)
        if not len(self._offsets):
            symbols = np.zeros((*tokens.shape[:-1], 1), np.int64)
        return torch.from_numpy(symbols)

    def _pad(self, tokens: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        lengths = [len(array) for array in tokens]
        padded = np.full((len(tokens), max(lengths), len(self._offsets)), -1, dtype=np.int64)
        for i, array in enumerate(tokens):
            padded[i, : len(array)] = array
        return self._symbols(padded), torch.tensor(lengths)


def score_step(
    parents: Tensor, cells: Tensor, rows: Tensor, score: nn.Linear, scores: Tensor
) -> None:
    """One LSTM step and the linear score for every pair of a parent and a row.

    A gate is 1 / (1 + exp(-p) exp(-r)) for the parent's term p and the row's term r: exponentials
    are taken of the terms, and of pairs only where a term is too large for that.

    Args:
        parents: gates' terms from the parents' states, [parents, 4, hidden].
        cells: the parents' cell states, [parents, hidden].
        rows: gates' terms from the rows, [4, rows, hidden].
        score: the layer on the last state.
        scores: the result, [parents, rows].
    """
    factor = torch.tensor([-1.0, -1.0, -2.0, -1.0])[:, None]
    parents, rows = parents * factor, rows * factor[..., None]
    separable = bool(parents.abs().amax() + rows.abs().amax() < SAFE)
    if separable:
        parents, rows = parents.exp(), rows.exp()
    pairs = torch.empty_like(rows)
    into, forget, state, out = pairs
    for i, (parent, cell) in enumerate(zip(parents, cells, strict=True)):
        if separable:
            torch.mul(rows, parent[:, None], out=pairs)
        else:
            torch.add(rows, parent[:, None], out=pairs).exp_()
        pairs += 1
        state.reciprocal_().mul_(2).sub_(1).div_(into)  # tanh x is twice the sigmoid of 2x, less 1
        state.addcdiv_(cell.expand_as(forget), forget).tanh_().div_(out)
        torch.addmv(score.bias, state, score.weight[0], out=scores[i])
