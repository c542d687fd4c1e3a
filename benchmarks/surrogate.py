"""The surrogate: scoring expansions against a plain LSTM, fitting, listing a wide level.

    python benchmarks/surrogate.py [--rounds 9] [-o FILE]

Expansions: 25 parents with each of the 1,764 rows of the fifth level of micro (4 rows before), by
the surrogate's shortcut and by nn.LSTM over all 44,100 whole sequences in batches of 4,096, symbols
prepared beforehand; the two take turns within one process, on one thread. Fit: 50 epochs over 525
points, 25 of them new, and the same network, epochs and batches in a DataLoader's loop with torch's
usual Adam. Listing: the 12,288 options of level 12 of macro as choices and as symbols, and the
307,200 token arrays that 25 parents make of them; lists and numpy's repeat and tile do the same.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from rows import beside, finish, medians, parser, row
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from epnas_dsl.config import SurrogateSettings
from epnas_dsl.lang import load_space
from epnas_dsl.nn.predictor import BATCH, LstmPredictor, Surrogate
from epnas_dsl.space.expansion import options, sample
from epnas_dsl.space.tokens import columns, encode, to_tokens

PARENTS = 25


def expansions(rounds: int) -> dict[str, float]:
    """Expansions scored in a second, by the shortcut and by a plain batched nn.LSTM."""
    space = load_space("micro")
    predictor = LstmPredictor(columns(space), SurrogateSettings(), 0)
    found = sample(space, PARENTS, np.random.default_rng(0), level=4)
    parents = [to_tokens(a) for a in found]
    rows = encode(space, 5, options(space, 5, unordered=False))
    whole = np.stack([np.vstack([p, row]) for p in parents for row in rows])
    symbols = torch.from_numpy(np.where(whole < 0, 0, whole + predictor._offsets))
    network = predictor.network

    @torch.no_grad()
    def plain() -> np.ndarray:
        scores = []
        for batch in symbols.split(BATCH):
            _, (hidden, _) = network.lstm(network.decode(batch))
            scores.append(network.score(hidden[0]).squeeze(-1).sigmoid())
        return torch.cat(scores).numpy()

    def quick() -> np.ndarray:
        return predictor.predict_expansions(parents, rows)

    difference = float(np.abs(quick().ravel() - plain()).max())
    assert difference < 1e-5, difference
    seconds = medians({"plain": plain, "quick": quick}, rounds)
    return {
        "expansions_per_s": len(whole) / seconds["quick"],
        "plain_per_s": len(whole) / seconds["plain"],
        "largest_difference": difference,
    }


def fitting(rounds: int) -> dict[str, float]:
    """Seconds to fit a store of 500 points with 25 new ones, and those of a plain loop."""
    space = load_space("micro")
    random = np.random.default_rng(0)
    tokens = [to_tokens(a) for n in range(525) for a in sample(space, 1, random, level=1 + n % 5)]
    targets = random.random(525).tolist()
    predictor = LstmPredictor(columns(space), SurrogateSettings(), 0)
    predictor.fit(tokens[:500], targets[:500])
    symbols, lengths = predictor._pad(tokens)
    points = TensorDataset(symbols, lengths, torch.tensor(targets))
    network = Surrogate(sum(columns(space)), SurrogateSettings(), torch.Generator().manual_seed(0))

    def plain() -> None:
        settings = SurrogateSettings()
        optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
        for _ in range(settings.epochs):
            for read, rows, target in DataLoader(points, settings.batch, shuffle=True):
                optimizer.zero_grad()
                nn.functional.l1_loss(network(read, rows).sigmoid(), target).backward()
                optimizer.step()

    return medians({"fit": lambda: predictor.fit(tokens, targets), "plain": plain}, rounds)


def listing(rounds: int) -> dict[str, float]:
    """Seconds to list level 12 of macro, to write it as symbols, and to join it to 25 parents."""
    space = load_space("macro")
    found = sample(space, PARENTS, np.random.default_rng(0), level=11)
    parents = np.stack([to_tokens(a) for a in found])

    def rows() -> np.ndarray:
        return encode(space, 12, options(space, 12))

    def joined() -> np.ndarray:
        last = rows()
        whole = np.empty((PARENTS, len(last), 12, last.shape[1]), np.int16)
        whole[:, :, :11], whole[:, :, 11] = parents[:, None], last
        return whole

    last = rows()
    operations, *bits = map(range, columns(space))

    def lists() -> np.ndarray:
        whole = [[o, *reversed(b)] for o in operations for b in product(*bits)]
        return np.array(whole, np.int16)

    def tiled() -> np.ndarray:
        before = np.repeat(parents, len(last), axis=0)
        return np.concatenate([before, np.tile(last, (PARENTS, 1))[:, None]], axis=1)

    assert np.array_equal(lists(), last)
    assert np.array_equal(tiled(), joined().reshape(-1, *joined().shape[2:]))
    runs = {"rows": rows, "lists": lists, "joined": joined, "tiled": tiled}
    return {name: 1e3 * value for name, value in medians(runs, rounds).items()}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    scored, fitted, listed = expansions(given.rounds), fitting(3), listing(given.rounds)
    same = f"the same to {scored['largest_difference']:.1e}"
    rate, plain = scored["expansions_per_s"], scored["plain_per_s"]
    finish(
        [
            row("expansions scored, micro level 5", rate, "a second",
                beside(f"a plain nn.LSTM, {same}", plain, rate, "a second"), at_least=1_000_000),
            row("surrogate fit, 25 new points on 500", fitted["fit"], "s",
                beside("a DataLoader and torch's Adam", fitted["plain"], fitted["fit"], "s"),
                at_most=1),
            row("macro level 12 as symbols, 12,288 rows", listed["rows"], "ms",
                beside("lists made an array", listed["lists"], listed["rows"], "ms")),
            row("  joined to 25 parents, 307,200", listed["joined"], "ms",
                beside("numpy.repeat and tile", listed["tiled"], listed["joined"], "ms"),
                at_most=20),
        ],
        given.output,
    )  # fmt: skip


if __name__ == "__main__":
    main()
