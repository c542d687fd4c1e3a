"""Rows of benchmarks: what was measured, what it is held against, and the target.

A row is a dictionary: what, value, unit, against, target, met. `against` names what the figure is
held against: the same work done in the plain way, measured in the same run, with its figure; a part
of a row above names that row; what has no rival, the promise that it answers to. `target` is "at
least N" or "at most N" or empty, and `met` says whether it was reached: null where there is none.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
ABOVE = "the row above, the same run"


def row(
    what: str, value: float | None, unit: str, against: str, *,
    at_least: float | None = None, at_most: float | None = None,
) -> Row:  # fmt: skip
    """A row; without a target `met` is None, and so is a value that could not be had.

    Raises:
        ValueError: it is held against nothing.
    """
    if not against.strip():
        raise ValueError(f"what is `{what}` held against?")
    target, met = "", None
    if at_least is not None:
        target, met = f"at least {at_least:,g}", value is not None and value >= at_least
    if at_most is not None:
        target, met = f"at most {at_most:,g}", value is not None and value <= at_most
    figure = None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
    return {"what": what, "value": figure, "unit": unit, "against": against, "target": target,
            "met": met}  # fmt: skip


def beside(rival: str, theirs: float, ours: float, unit: str) -> str:
    """For `against`: another way to the same, its figure, and how our figure compares with it."""
    shown = f"{theirs:,.0f}" if theirs >= 1000 else f"{theirs:.3g}"
    ratio = f"; here {ours / theirs:.3g} times that" if theirs else ""
    return f"{rival}: {shown} {unit}{ratio}"


def parser(about: str | None) -> argparse.ArgumentParser:
    """The arguments of every benchmark: `-o FILE`."""
    made = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the rows as JSON")
    return made


def finish(rows: Sequence[Row], output: Path | None) -> None:
    """Print the rows as a table, and write them."""
    if output:
        output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"{'':58} {'figure':>12} {'unit':9} target")
    for found in rows:
        mark = {True: "  met", False: "  MISSED", None: ""}[found["met"]]
        value = "-" if found["value"] is None else f"{found['value']:,.12g}"
        print(f"{found['what']:58} {value:>12} {found['unit']:9} {found['target']}{mark}")
        print(f"    against {found['against']}")


def timed(run: Callable[[], object]) -> float:
    """How many seconds of a processor something takes; other work on the machine does not count."""
    start = time.process_time()
    run()
    return time.process_time() - start


def medians(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each (see `timed`), in turns, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name in list(runs) if number % 2 else reversed(runs):
            seconds = timed(runs[name])
            if number:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def processor_seconds(command: Sequence[str]) -> float:
    """How many seconds of a processor a command takes; other work does not count."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime
