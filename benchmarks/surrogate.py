"""The surrogate: scoring expansions against a plain LSTM, fitting, listing a wide level.

    python benchmarks/surrogate.py [--rounds 9] [-o FILE]

Expansions: 25 parents with each of the 1,764 rows of the fifth level of micro (4 rows before), by
the surrogate's shortcut and by nn.LSTM over all 44,100 whole sequences in batches of 4,096, symbols
prepared beforehand; the two take turns within one process, on one thread. Fit: 50 epochs over 525
points, 25 of them new. Listing: the 12,288 options of level 12 of macro as choices and as symbols,
and the 307,200 token arrays that 25 parents make of them.
"""

from __future__ import annotations

import numpy as np
import torch
from rows import finish, medians, parser, row

from epnas_dsl.config import SurrogateSettings
from epnas_dsl.lang import load_space
from epnas_dsl.nn.predictor import BATCH, LstmPredictor
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
        "expansions": len(whole),
        "expansions_per_s": len(whole) / seconds["quick"],
        "plain_per_s": len(whole) / seconds["plain"],
        "ratio": seconds["plain"] / seconds["quick"],
        "largest_difference": difference,
    }


def fitting(rounds: int) -> dict[str, float]:
    """Seconds to fit a store of 500 points with 25 new ones."""
    space = load_space("micro")
    random = np.random.default_rng(0)
    tokens = [to_tokens(a) for n in range(525) for a in sample(space, 1, random, level=1 + n % 5)]
    targets = random.random(525).tolist()
    predictor = LstmPredictor(columns(space), SurrogateSettings(), 0)
    predictor.fit(tokens[:500], targets[:500])
    seconds = medians({"fit": lambda: predictor.fit(tokens, targets)}, rounds)
    return {"points": 525, "epochs": SurrogateSettings().epochs, "median_s": seconds["fit"]}


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

    expected = PARENTS * len(rows())
    assert joined().shape[0] * joined().shape[1] == expected
    seconds = medians({"rows": rows, "joined": joined}, rounds)
    return {"expansions": expected, **{f"{k}_s": v for k, v in seconds.items()}}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    scored, fitted, listed = expansions(given.rounds), fitting(3), listing(given.rounds)
    same = f"the same to {scored['largest_difference']:.1e}"
    plain = f"a plain nn.LSTM {scored['plain_per_s']:,.0f} a second, {same}"
    finish(
        [
            row("expansions scored, micro level 5", scored["expansions_per_s"], "a second", plain,
                at_least=1_000_000),
            row("  times as fast", scored["ratio"], "", "a plain nn.LSTM"),
            row("surrogate fit, 25 new points on 500", fitted["median_s"], "s", at_most=1),
            row("macro level 12 as symbols, 12,288 rows", 1e3 * listed["rows_s"], "ms"),
            row("  joined to 25 parents, 307,200", 1e3 * listed["joined_s"], "ms", at_most=20),
        ],
        given.output,
    )  # fmt: skip


if __name__ == "__main__":
    main()
