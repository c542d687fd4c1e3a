"""Measure how long commands take, beside an interpreter that loads click and rich.

Each command is started in turn; medians of the processor's seconds are compared, so that other work
on the machine counts little. Compiled modules and the parser's tables are kept after the first
round, unless PYTHONDONTWRITEBYTECODE is set.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from rows import Row, beside, finish, parser, processor_seconds, row

PYTHON = [sys.executable]
EPNAS = [sys.executable, "-m", "epnas_dsl"]
BARE = "python -c 'import click, rich'"
HELP, CHECK = "epnas --help", "epnas check of 1,000 lines"


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
        HELP: [*EPNAS, "--help"],
        "python -c 'import networkx, lark, numpy'": [*PYTHON, "-c", "import networkx, lark, numpy"],
        "import epnas_dsl": [*PYTHON, "-c", "import epnas_dsl"],
        "epnas check micro": [*EPNAS, "check", "micro"],
        "epnas count micro --unique": [*EPNAS, "count", "micro", "--unique"],
        CHECK: [*EPNAS, "check", str(long)],
    }


def measure(rounds: int) -> dict[str, float]:
    """The median seconds of each command."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "long.space"
        file.write_text(long_space(1000), encoding="utf-8")
        times: dict[str, list[float]] = {name: [] for name in commands(file)}
        for _ in range(rounds):
            for name, command in commands(file).items():
                times[name].append(processor_seconds(command))
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    seconds = measure(given.rounds)
    bare = seconds[BARE]

    def held(name: str, **target: float) -> Row:
        return row(name, seconds[name], "s", beside(BARE, bare, seconds[name], "s"), **target)

    ratio = seconds[HELP] / bare
    finish(
        [
            row("epnas --help, times as long", ratio, "", f"{BARE}: {bare:.3f} s", at_most=1.5),
            held(CHECK, at_most=0.5),
            *(held(name) for name in seconds if name not in {BARE, HELP, CHECK}),
        ],
        given.output,
    )


if __name__ == "__main__":
    main()
