"""Searchers on a table of measured accuracies: what they have found after so many evaluations.

    python benchmarks/searchers.py TABLE [SEARCHER[:KEY=VALUE,...] ...] [--seeds 1000..1099]
        [--budgets 50,100,200,300] [--data cifar10,cifar100,imagenet16] [--space nasbench201]
        [--processes 2] [-o RUNS]

For each data set D every searcher goes by the column D_valid_12ep, with each seed; of the
architecture with the best of it after each budget, D_test_200ep is reported: median and quartiles
over the seeds. KEY=VALUE are settings (those without a section are of `search`), and preset=NAME
stands for those of a preset. The table is read and its keys are made once, for all runs. One run
serves all budgets, but for a searcher whose schedule depends on the budget (pnas: one pass, with
the K that comes nearest); it ends when it has found the best of the table, which nothing could
change. Seconds are those of a run. RUNS is a file
of one JSON row for each run, written as they end; runs that it holds are not made again, so that an
interruption loses nothing.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from epnas_dsl.config import Config, override, preset
from epnas_dsl.experiment.assembly import make_evaluator, make_searcher, settle
from epnas_dsl.lang import load_space
from epnas_dsl.runs.evaluator import Evaluator
from epnas_dsl.search import Searcher
from epnas_dsl.space.expansion import first_level

SCHEDULED = {"q_learning", "pnas"}  # the budget changes what they do from the start
METRIC, REPORT = "{}_valid_12ep", "{}_test_200ep"
Job = tuple[str, str, int]  # label of the searcher, data set, seed

evaluator: Evaluator  # of the process, with all columns; inherited, not read again
tops: dict[str, float]  # the best metric of each data set
given: argparse.Namespace


def main() -> None:
    global evaluator, given, tops
    given = _arguments()
    rows = _kept(given.output)
    done = {(r["searcher"], r["data"], r["seed"]) for r in rows}
    jobs: list[Job] = [
        job for job in product(given.searchers, given.data, given.seeds) if job not in done
    ]
    if jobs:
        evaluator = _read_table()
        tops = {data: _top(data) for data in given.data}
    with ProcessPoolExecutor(given.processes, get_context("fork")) as pool:
        for row in pool.map(carry_out, jobs):
            rows.append(row)
            if given.output:
                with open(given.output, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    for label, data in product(given.searchers, given.data):
        print(f"{data:11} {label}\n  {summary(rows, label, data)}")


def carry_out(job: Job) -> dict[str, Any]:
    """One run: by budget, the best metric and the reported figure that goes with it."""
    label, data, seed = job
    largest = max(given.budgets)
    best, shown = {}, {}
    for total in given.budgets if label.partition(":")[0] in SCHEDULED else [largest]:
        searcher = make_searcher(load_space(given.space), _config(label, data, seed, total))
        start = time.perf_counter()
        values = list(_values(searcher, data))
        seconds = time.perf_counter() - start
        for budget in given.budgets if total == largest else [total]:
            if budget not in best:
                best[budget], shown[budget] = values[min(budget, len(values)) - 1]
    return {"searcher": label, "data": data, "seed": seed, "seconds": seconds} | {
        "valid": best, "test": shown,
    }  # fmt: skip


def summary(rows: list[dict[str, Any]], label: str, data: str) -> str:
    """Median (quartiles) of the reported figure for each budget, and how many runs there are."""
    here = [r for r in rows if (r["searcher"], r["data"]) == (label, data)]
    here = [r for r in here if r["seed"] in given.seeds]
    parts = []
    for budget in given.budgets:
        test, valid = (
            [r[word].get(budget, r[word].get(str(budget))) for r in here]
            for word in ("test", "valid")
        )
        low, median, high = np.quantile(test, [0.25, 0.5, 0.75])
        parts.append(f"{median:.2f} ({low:.2f}, {high:.2f})  valid {np.mean(valid):.3f}")
    seconds = np.median([r["seconds"] for r in here])
    return " | ".join([*parts, f"{len(here)} runs of {seconds:.2f} s"])


def _values(searcher: Searcher, data: str) -> Iterator[tuple[float, float]]:
    """After each trial, metric and report of the best so far, the earliest of equals.

    Nothing more comes after the best that there is.
    """
    best, shown, number = -1.0, 0.0, 0
    while asked := searcher.ask(1):
        metrics = evaluator.evaluate(asked[0], number)
        metric = metrics[METRIC.format(data)]
        searcher.tell(asked[0], {"accuracy": metric / 100})
        if metric > best:
            best, shown = metric, metrics[REPORT.format(data)]
        number += 1
        yield best, shown
        if best == tops[data]:
            break


def _top(data: str) -> float:
    with gzip.open(given.table, "rt") as file:
        return max(float(row[METRIC.format(data)]) for row in csv.DictReader(file))


def _read_table() -> Evaluator:
    """The evaluator of all data sets, its keys made by one search."""
    columns = [word.format(data) for data in given.data for word in (METRIC, REPORT)]
    words = ["evaluation.evaluator=table", f"evaluation.table={given.table}"]
    words += [f"evaluation.metric={columns[0]}", f"evaluation.report={','.join(columns)}"]
    space = load_space(given.space)
    found = make_evaluator(space, settle(override(Config(space=given.space), words), space))
    evaluated = make_searcher(space, _config("epnas", given.data[0], 0, 1)).ask(1)
    found.evaluate(evaluated[0], 0)
    return found


def _config(label: str, data: str, seed: int, budget: int) -> Config:
    name, _, more = label.partition(":")
    config, space = Config(space=given.space), load_space(given.space)
    words = [f"search.searcher={name}", f"search.seed={seed}", f"search.evaluations={budget}"]
    if name == "pnas":  # its one pass: what there is at level 1, K of every further level
        kept = (budget - len({a.key for a in first_level(space)})) // (space.depth - 1)
        words += ["search.iterations=1", "search.evaluations=0", f"search.kept={kept}"]
    for word in more.split(",") if more else []:
        if word.startswith("preset="):
            config = preset(config, word.removeprefix("preset="))
        else:
            words.append(word if "." in word else f"search.{word}")
    words += ["training.threads=1", "search.retrain=no", "search.random_arm=0"]
    return settle(override(config, words), space)


def _kept(path: str | None) -> list[dict[str, Any]]:
    if not path or not Path(path).exists():
        return []
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("table")
    everyone = ["random", "evolution", "local_search", "q_learning", "reinforce"]
    everyone += ["epnas", "epnas:preset=fast", "pnas"]
    parser.add_argument("searchers", nargs="*", default=everyone)
    parser.add_argument("--seeds", type=_span, default=_span("1000..1099"))
    parser.add_argument("--budgets", type=_numbers, default=[50, 100, 200, 300])
    parser.add_argument(
        "--data", type=lambda t: t.split(","), default="cifar10,cifar100,imagenet16"
    )
    parser.add_argument("--space", default="nasbench201")
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
