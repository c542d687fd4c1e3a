"""Measure how long commands take, beside an interpreter that loads click and rich.

Each command is started in turn, so that other load weighs on all alike; the medians are compared.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 15
PYTHON = [sys.executable]
EPNAS = [str(Path(sys.executable).with_name("epnas"))]


def long_space(lines: int) -> str:
    """A space of so many lines: a straight network, with a choice at every hundredth."""
    head = ["space long(channels=8, classes=10)", "op := conv_3x3 | max_pool_3x3"]
    head += ["network (image) {", "    x0 = conv_3x3(image, channels)"]
    count = lines - len(head) - 2
    calls = ("op" if i % 100 == 0 else "skip_connect" for i in range(1, count + 1))
    body = [f"    x{i} = {call}(x{i - 1})" for i, call in enumerate(calls, 1)]
    return "\n".join([*head, *body, f"    return linear(global_avg_pool(x{count}), classes)", "}"])


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "long.space"
        file.write_text(long_space(1000), encoding="utf-8")
        commands = {
            "python": [*PYTHON, "-c", "pass"],
            "python -c 'import click, rich'": [*PYTHON, "-c", "import click, rich"],
            "epnas --help": [*EPNAS, "--help"],
            "epnas check micro.space": [*EPNAS, "check", "micro"],
            "epnas check of 1,000 lines": [*EPNAS, "check", str(file)],
            "epnas count micro": [*EPNAS, "count", "micro"],
            "python -c 'import networkx, lark, numpy'": [
                *PYTHON, "-c", "import networkx, lark, numpy",
            ],
        }  # fmt: skip
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                times[name].append(seconds(command))
    medians = {name: statistics.median(found) for name, found in times.items()}
    bare = medians["python -c 'import click, rich'"]
    for name, median in medians.items():
        print(f"{name:42} {1000 * median:6.0f} ms  best {1000 * min(times[name]):6.0f} ms  "
              f"{median / bare:5.2f} x")  # fmt: skip


if __name__ == "__main__":
    main()
