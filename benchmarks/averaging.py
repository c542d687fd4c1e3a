"""Shared weights trained side by side and averaged, against one after the other.

    python benchmarks/averaging.py [--trials 16] [--workers 4] [--seeds 2] [-o FILE]

The same random architectures of micro(blocks=3, channels=6, repeats=1) on the digits, two epochs
each: on shared weights one after the other, on shared weights in batches of so many workers, and
from scratch for eight epochs, which ranks them. Seconds are by the clock and of evaluation only; on
a machine that has fewer cores than workers, or other work, they say little.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path

from rows import Row, finish, parser, row

from epnas_dsl import experiment
from epnas_dsl.config import Config, override
from epnas_dsl.runs.report import rank_correlation
from epnas_dsl.runs.trial import Trial

SETTINGS = [
    "space=micro(blocks=3, channels=6, repeats=1)", "search.searcher=random",
    "training.threads=1", "training.device=cpu", "evaluation.final_epochs=0",
]  # fmt: skip


def search(folder: Path, *words: str) -> list[Trial]:
    config = override(Config(), [*SETTINGS, *words])
    return experiment.run(config, folder).trials


def agreement(some: list[Trial], others: list[Trial]) -> float:
    """Spearman's correlation of the accuracies of the same architectures."""
    assert [t.architecture for t in some] == [t.architecture for t in others]
    import numpy as np

    return rank_correlation(*(np.array([t.accuracy for t in found]) for found in (some, others)))


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--trials", type=int, default=16)
    made.add_argument("--workers", type=int, default=4)
    made.add_argument("--seeds", type=int, default=2)
    given = made.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    figures: dict[str, list[float]] = {}
    for seed in range(given.seeds):
        both = [f"search.seed={seed}", f"search.evaluations={given.trials}"]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            alone = search(folder / "alone", *both, "evaluation.evaluator=standalone",
                           "training.epochs=8")  # fmt: skip
            ways = {
                "one after the other": search(folder / "turn", *both, "training.epochs=2"),
                f"{given.workers} at a time": search(
                    folder / "side",
                    *both,
                    "training.epochs=2",
                    f"evaluation.workers={given.workers}",
                ),
            }
        for way, trials in ways.items():
            span = trials[-1].ended - trials[0].started
            for what, value in [
                ("seconds", span), ("best validation", 100 * max(t.accuracy for t in trials)),
                ("mean of the last half", 100 * statistics.fmean(
                    t.accuracy for t in trials[len(trials) // 2 :])),
                ("rank correlation with training from scratch", agreement(trials, alone)),
            ]:  # fmt: skip
                figures.setdefault(f"{way}: {what}", []).append(value)
        figures.setdefault("rank correlation of the two", []).append(agreement(*ways.values()))
        for name, values in figures.items():
            print(f"seed {seed}: {name} {values[-1]:.4g}", flush=True)
    finish(table(figures, list(ways)), given.output)


def table(figures: dict[str, list[float]], ways: list[str]) -> list[Row]:
    """A row for each figure and seed; each way is held against the other."""
    units = {"seconds": "s", "validation": "%", "half": "%"}
    found = []
    for name, values in figures.items():
        way, _, what = name.partition(": ")
        rivals = [w for w in ways if w != way] if what else ways
        rest = what or "rank correlation with training from scratch"
        for seed, value in enumerate(values):
            unit = units.get(name.split()[-1], "")
            held = (f"{w}, {rest}: {figures[f'{w}: {rest}'][seed]:.4g} {unit}" for w in rivals)
            against = "; ".join(text.strip() for text in held)
            found.append(row(f"{name}, seed {seed}", value, unit, against))
    return found


if __name__ == "__main__":
    main()
