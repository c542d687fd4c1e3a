"""Measure how long commands take, beside an interpreter that loads click and rich.

Each command is started in turn, so that other load weighs on all alike; the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PYTHON = [sys.executable]
EPNAS = [str(Path(sys.executable).with_name("epnas"))]
BARE = "python -c 'import click, rich'"


def long_space(lines: int) -> str:
    """A space of so many lines: a straight network, with a choice at every hundredth."""
    head = ["space long(channels=8, classes=10)", "op := conv_3x3 | max_pool_3x3"]
    head += ["network (image) {", "    x0 = conv_3x3(image, channels)"]
    count = lines - len(head) - 2
    calls = ("op" if i % 100 == 0 else "skip_connect" for i in range(1, count + 1))
    body = [f"    x{i} = {call}(x{i - 1})" for i, call in enumerate(calls, 1)]
    return "\n".join([*head, *body, f"    return linear(global_avg_pool(x{count}), classes)", "}"])


def commands(long: Path) -> dict[str, list[str]]:
    """What is measured, and how it is started."""
    return {
        BARE: [*PYTHON, "-c", "import click, rich"],
        "epnas --help": [*EPNAS, "--help"],
        "python -c 'import networkx, lark, numpy'": [*PYTHON, "-c", "import networkx, lark, numpy"],
        "epnas check micro": [*EPNAS, "check", "micro"],
        "epnas check of 1,000 lines": [*EPNAS, "check", str(long)],
    }


def seconds(command: list[str]) -> float:
    """How long a command runs."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def measure(rounds: int) -> dict[str, list[float]]:
    """The seconds of each command, each round."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "long.space"
        file.write_text(long_space(1000), encoding="utf-8")
        times: dict[str, list[float]] = {name: [] for name in commands(file)}
        for _ in range(rounds):
            for name, command in commands(file).items():
                times[name].append(seconds(command))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    given = parser.parse_args()
    times = measure(given.rounds)
    medians = {name: statistics.median(found) for name, found in times.items()}
    figures = {
        name: {"median_s": m, "best_s": min(times[name]), "ratio": m / medians[BARE]}
        for name, m in medians.items()
    }
    print(f"{'command':42}  median ms  best ms   ratio")
    for name, row in figures.items():
        print(f"{name:42} {1000 * row['median_s']:10.0f} {1000 * row['best_s']:8.0f} "
              f"{row['ratio']:7.2f}")  # fmt: skip
    if given.json:
        text = json.dumps({"schema": 1, "rounds": given.rounds, "commands": figures}, indent=2)
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
