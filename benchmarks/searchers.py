"""Searchers on a table of measured accuracies: what they have found after so many evaluations.

    python benchmarks/searchers.py TABLE [SEARCHER[:KEY=VALUE,...] ...] [--seeds 1000..1099]
        [--budgets 50,100,200,300] [--space nasbench201] [--metric cifar10_valid_12ep]
        [--report cifar10_test_200ep] [--processes 2] [-o FILE]

Every searcher goes by the metric, with each seed, in a process of its own that reads the table and
makes its keys once; KEY=VALUE are settings of the section `search`. Of the architecture with the
best metric after each budget the reported column is printed: median and quartiles over the seeds.
One run serves all budgets, but for a searcher whose schedule depends on the budget. Seconds are
those of one search of the largest budget, the table's keys made. `-o` writes a JSON row a line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from epnas_dsl.config import Config, override
from epnas_dsl.experiment.assembly import make_evaluator, make_searcher, settle
from epnas_dsl.lang import load_space
from epnas_dsl.runs.evaluator import Evaluator
from epnas_dsl.search import Searcher

SCHEDULED = {"q_learning"}  # how long it is going to search changes what it does from the start


def main() -> None:
    given = _arguments()
    jobs = [(given, label) for label in given.searchers]
    rows: list[dict[str, object]] = []
    print(f"{given.report}, {len(given.seeds)} seeds: median (quartiles)")
    with ProcessPoolExecutor(given.processes) as pool:
        for found in pool.map(compare, jobs):
            for row in found:
                print(
                    f"{row['searcher']:60} {row['budget']:5} {row['median']:8.3f}"
                    f" ({row['lower']:.3f}, {row['upper']:.3f}) {row['seconds']:7.2f} s",
                    flush=True,
                )
            rows += found
    if given.output:
        with open(given.output, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def compare(job: tuple[argparse.Namespace, str]) -> list[dict[str, object]]:
    """The rows of one searcher, a budget each."""
    given, label = job
    name = label.partition(":")[0]
    largest = max(given.budgets)
    config = _config(given, label, given.seeds[0], largest)
    space = load_space(given.space)
    evaluator = make_evaluator(space, config)
    list(_values(make_searcher(space, config), evaluator, given.report))  # makes the table's keys
    found: dict[int, list[float]] = {budget: [] for budget in given.budgets}
    seconds: list[float] = []
    for seed in given.seeds:
        for total in given.budgets if name in SCHEDULED else [largest]:
            searcher = make_searcher(space, _config(given, label, seed, total))
            start = time.perf_counter()
            values = list(_values(searcher, evaluator, given.report))
            if total == largest:
                seconds.append(time.perf_counter() - start)
            for budget in [total] if name in SCHEDULED else given.budgets:
                found[budget].append(values[min(budget, len(values)) - 1])
    return [
        {"searcher": label, "budget": budget, "seeds": len(values), "metric": given.metric}
        | {"report": given.report, "seconds": float(np.median(seconds)), "values": values}
        | {
            word: float(np.quantile(values, q))
            for word, q in {"lower": 0.25, "median": 0.5, "upper": 0.75}.items()
        }
        for budget, values in found.items()
    ]


def _values(searcher: Searcher, evaluator: Evaluator, report: str) -> Iterator[float]:
    """After each trial, the reported figure of the best so far, the earliest of equals."""
    best, shown, number = -1.0, 0.0, 0
    while asked := searcher.ask(1):
        metrics = evaluator.evaluate(asked[0], number)
        searcher.tell(asked[0], metrics)
        if metrics["accuracy"] > best:
            best, shown = metrics["accuracy"], metrics[report]
        number += 1
        yield shown


def _config(given: argparse.Namespace, label: str, seed: int, budget: int) -> Config:
    name, _, more = label.partition(":")
    words = [f"search.{word}" for word in more.split(",") if word]
    words += [f"search.searcher={name}", f"search.seed={seed}", f"search.evaluations={budget}"]
    words += ["evaluation.evaluator=table", f"evaluation.table={given.table}"]
    words += [f"evaluation.metric={given.metric}", f"evaluation.report={given.report}"]
    return settle(override(Config(), [f"space={given.space}", "training.threads=1", *words]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("table")
    everyone = ["random", "evolution", "local_search", "q_learning", "epnas", "pnas"]
    parser.add_argument("searchers", nargs="*", default=everyone)
    parser.add_argument("--seeds", type=_span, default=_span("1000..1099"))
    parser.add_argument("--budgets", type=_numbers, default=[50, 100, 200, 300])
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--metric", default="cifar10_valid_12ep")
    parser.add_argument("--report", default="cifar10_test_200ep")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("-o", "--output")
    return parser.parse_args()


def _span(text: str) -> list[int]:
    first, _, last = text.partition("..")
    return list(range(int(first), int(last or first) + 1))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
