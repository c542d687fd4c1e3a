"""Turn rewards into a policy: an LSTM that writes the tokens of architectures, symbol by symbol.

It reads the symbol that it wrote last and chooses the next among those that are possible there.
What is certain, and what a row lacks, is written without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn

from epnas_dsl.config import ControllerSettings
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.tokens import columns, possible

State = tuple[Tensor, Tensor] | None


class Writer(nn.Module):
    """Symbols read through a table, an LSTM, and logits of all symbols of all columns."""

    def __init__(self, symbols: int, settings: ControllerSettings, random: torch.Generator) -> None:
        """Draw all weights, uniform in [-initial, initial]."""
        super().__init__()
        self._temperature, self._tanh = settings.temperature, settings.tanh
        with torch.random.fork_rng(devices=()):  # torch draws weights, which are drawn anew below
            self.table = nn.Parameter(torch.empty(symbols + 1, settings.hidden))  # 0: begin
            self.lstm = nn.LSTM(settings.hidden, settings.hidden, settings.layers, batch_first=True)
            self.choose = nn.Linear(settings.hidden, symbols)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-settings.initial, settings.initial, generator=random)

    def forward(self, symbols: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Logits [steps, symbols] after each of the symbols [steps] read, and the LSTM's state."""
        states, state = self.lstm(self.table[symbols][None], state)
        logits = self.choose(states[0]) / self._temperature
        return self._tanh * logits.tanh() if self._tanh else logits, state


class LstmController:
    """The controller of Zoph, Le 2017 (section 3.1) and of ENAS (Pham et al. 2018, section 2.2).

    Its generator is its own: torch's global one is neither read nor moved.

    Args:
        space: whose architectures of full length are written.
        settings: sizes, first weights, learning rate, entropy.
        seed: of the first weights and of the choices.

    Raises:
        LimitError: a decision has too many options to be written as symbols (E918).
    """

    def __init__(self, space: SearchSpace, settings: ControllerSettings, seed: int) -> None:
        self._space, self._settings, self._columns = space, settings, columns(space)
        self._offsets = [0, *accumulate(self._columns)]
        self._random = torch.Generator().manual_seed(seed)
        self._begin_anew()

    def _begin_anew(self) -> None:
        """First weights; also after a step that went astray."""
        self.network = Writer(max(1, self._offsets[-1]), self._settings, self._random)
        self._optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self._settings.learning_rate, fused=True
        )

    @torch.no_grad()
    def write(self) -> np.ndarray:
        """The tokens of an architecture, drawn symbol by symbol: int16 [levels, columns]."""
        tokens = np.full((self._space.depth, len(self._columns)), -1, np.int16)
        last, state = torch.zeros(1, dtype=torch.long), None
        for level, column, options in self._choices(tokens):
            if len(options) == 1:
                tokens[level, column] = options[0]
                continue
            logits, state = self.network(last, state)
            open_ones = torch.tensor(options) + self._offsets[column]
            chances = logits[0, open_ones].softmax(0)
            chosen = int(torch.multinomial(chances, 1, generator=self._random))
            tokens[level, column] = options[chosen]
            last = open_ones[chosen : chosen + 1] + 1
        return tokens

    def learn(self, written: Sequence[np.ndarray], advantages: Sequence[float]) -> None:
        """One step of Adam along the mean policy gradient (REINFORCE; Zoph, Le 2017, section 3.2).

        Args:
            written: tokens of architectures; any, but the gradient is that of ones just written.
            advantages: how much better than expected each of them was.
        """
        losses = []
        for tokens, advantage in zip(written, advantages, strict=True):
            chance, entropy = self.likelihood(tokens)
            losses.append(-advantage * chance - self._settings.entropy * entropy)
        loss = torch.stack(losses).mean()
        if loss.requires_grad:  # else nothing is to be chosen
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
        if not all(bool(torch.isfinite(p).all()) for p in self.network.parameters()):
            self._begin_anew()

    def likelihood(self, tokens: np.ndarray) -> tuple[Tensor, Tensor]:
        """The logarithm of the probability that these are written, and their choices' entropy."""
        steps = [step for step in self._choices(tokens) if len(step[2]) > 1]
        if not steps:
            return torch.zeros(()), torch.zeros(())
        chosen = torch.tensor([self._offsets[c] + int(tokens[level, c]) for level, c, _ in steps])
        closed = torch.ones(len(steps), self._offsets[-1], dtype=torch.bool)
        for i, (_, column, options) in enumerate(steps):
            closed[i, torch.tensor(options) + self._offsets[column]] = False
        read = torch.cat([torch.zeros(1, dtype=torch.long), chosen[:-1] + 1])
        logits, _ = self.network(read)
        logs = logits.masked_fill(closed, -1e9).log_softmax(1)
        return logs[torch.arange(len(steps)), chosen].sum(), -(logs.exp() * logs).sum()

    def _choices(self, tokens: np.ndarray) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """Level, column and possible symbols of every place, given what was written before it."""
        for level, row in enumerate(tokens):
            for column in range(len(row)):
                yield level, column, possible(self._space, level + 1, row[:column].tolist())
