"""How well surrogates rank what they have not seen, level by level, on a table of accuracies.

    python benchmarks/ranking.py TABLE [--seeds 0..9] [--data cifar10,cifar100,imagenet16]
        [-o FILE]

As in a search by levels, a surrogate is fitted to all of level 1, then to 25 of level 2, 25 of
level 3 and 75 more of level 3, distinct ones drawn at random, and after each of these steps ranks
all distinct architectures of the level to come (or of the last) that it was not fitted to. Printed
are means of Spearman's and Kendall's (tau-b) rank correlation with the column D_valid_12ep over
seeds and data sets, and the least and the largest of them.
"""

from __future__ import annotations

import argparse
import json
from itertools import product

import numpy as np

from epnas_dsl.config import Config, override, preset
from epnas_dsl.experiment.assembly import make_evaluator, make_surrogate, settle
from epnas_dsl.lang import load_space
from epnas_dsl.runs.evaluator import Evaluator
from epnas_dsl.runs.report import rank_correlation
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import enumerate_level
from epnas_dsl.space.tokens import to_tokens

SPACE = "nasbench201"
LAST = 2_000  # of the last level, so many are ranked
STEPS = [(2, 25), (3, 25), (3, 75)]  # level and number of further points; then the level ranked
RANKED = [2, 3, 3, 3]
WAYS = {
    "paper (L1)": [],
    "rank": ["surrogate.loss=rank"],
    "L1, 8 writings": ["surrogate.writings=8"],
    "rank, 8 writings": ["surrogate.loss=rank", "surrogate.writings=8"],
    "preset fast": None,
    "preset fast, ensemble of 5": ["search.ensemble=5"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("table")
    parser.add_argument("--seeds", default="0..9")
    parser.add_argument("--data", default="cifar10,cifar100,imagenet16")
    parser.add_argument("-o", "--output")
    given = parser.parse_args()
    first, last = map(int, given.seeds.split(".."))
    metrics = [f"{name}_valid_12ep" for name in given.data.split(",")]
    space = load_space(SPACE)
    words = ["evaluation.evaluator=table", f"evaluation.table={given.table}"]
    words += [f"evaluation.metric={metrics[0]}", f"evaluation.report={','.join(metrics)}"]
    table = make_evaluator(space, settle(override(Config(space=SPACE), words), space))
    distinct = {
        level: list({a.key: a for a in enumerate_level(space, level)}.values())
        for level in (1, 2, 3)
    }
    found: dict[str, list[tuple[float, float]]] = {}
    for seed, metric, (way, more) in product(range(first, last + 1), metrics, WAYS.items()):
        config = preset(Config(space=SPACE), "fast" if way.startswith("preset") else "paper")
        config = override(config, [*(more or []), f"search.seed={seed}", "training.threads=1"])
        for step, pair in enumerate(ranked(config, table, metric, distinct, seed)):
            found.setdefault(f"{way} | {step}", []).append(pair)
    for name, pairs in found.items():
        spearman, kendall = np.transpose(pairs)
        print(
            f"{name:32} Spearman {spearman.mean():.3f} ({spearman.min():.3f} to"
            f" {spearman.max():.3f})  Kendall {kendall.mean():.3f} ({kendall.min():.3f} to"
            f" {kendall.max():.3f})  {len(pairs)} runs"
        )
    if given.output:
        with open(given.output, "w", encoding="utf-8") as file:
            json.dump(found, file)


def ranked(
    config: Config,
    table: Evaluator,
    metric: str,
    distinct: dict[int, list[Architecture]],
    seed: int,
) -> list[tuple[float, float]]:
    """Both correlations after level 1 and after each of the steps."""
    random = np.random.default_rng(seed)
    order = {level: random.permutation(len(here)) for level, here in distinct.items()}
    taken = {1: len(distinct[1]), 2: 0, 3: 0}
    surrogate, found = make_surrogate(load_space(SPACE), config, 1), []
    for step, level in enumerate(RANKED):
        if step:
            deeper, number = STEPS[step - 1]
            taken[deeper] += number
        points = [distinct[n][i] for n in distinct for i in order[n][: taken[n]]]
        surrogate.fit([to_tokens(a) for a in points], _measured(points, table, metric))
        unseen = [distinct[level][i] for i in order[level][taken[level] :][:LAST]]
        guessed = surrogate.predict([to_tokens(a) for a in unseen])
        measured = np.array(_measured(unseen, table, metric))
        found.append((rank_correlation(guessed, measured), kendall(guessed, measured)))
    return found


def kendall(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-b."""
    signs = [np.sign(v[:, None] - v).astype(np.int8)[np.triu_indices(len(v), 1)] for v in (a, b)]
    agreed = float((signs[0] * signs[1]).sum(dtype=np.int64))
    untied = [float(np.count_nonzero(s)) for s in signs]
    return agreed / (untied[0] * untied[1]) ** 0.5


def _measured(points: list[Architecture], table: Evaluator, metric: str) -> list[float]:
    return [table.evaluate(a, 0)[metric] / 100 for a in points]


if __name__ == "__main__":
    main()
