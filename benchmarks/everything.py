"""Run every benchmark, print one table, and write benchmarks/results.json.

    python benchmarks/everything.py [NAME ...] [--quick] [-o FILE]

Each is a script of this folder that takes `-o FILE` and writes rows (see rows.py). They run one
after the other, alone on a machine that does nothing else if the figures are to be believed;
`--quick` takes fewer rounds and smaller sizes, whose figures spread more. A target that was missed
is in the table; only a script that fails makes this fail, whose rows, if any, are there too.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import Row, finish, parser

HERE = Path(__file__).parent
ARGUMENTS = {
    "fuzz": ["4000", "--processes", "2", "--minutes", "2", "--share", "0.1"],
    "network": ["--rounds", "9"],
}
QUICK = {
    "averaging": ["--trials", "6", "--seeds", "1"],
    "fuzz": ["500", "--processes", "2", "--minutes", "1", "--share", "0.1"],
    "meaning": ["--rounds", "1"],
    "network": ["--rounds", "3", "--architectures", "2"],
    "peers": ["--rounds", "2"],
    "startup": ["--rounds", "3"],
    "surrogate": ["--rounds", "3"],
}
LEFT_OUT = {"everything", "rows", "ranking", "searchers"}  # two need a table that is not shipped
if not shutil.which("nvidia-smi"):
    LEFT_OUT.add("gpu")


def measure(name: str, words: list[str]) -> tuple[list[Row], bool]:
    """The rows of a script, whose own table is not shown, and whether it failed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, str(HERE / f"{name}.py"), *words, "-o", str(file)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        rows: list[Row] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        if failed := ended.returncode != 0 or not rows:
            print(f"{name}: failed\n{ended.stdout[-500:]}{ended.stderr[-2000:]}", file=sys.stderr)
        return rows, failed


def main() -> int:
    """All of them, or those named; 1 where one failed."""
    scripts = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in LEFT_OUT)
    arguments = parser(__doc__)
    arguments.add_argument("names", nargs="*", metavar="NAME", choices=[*scripts, []])
    arguments.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes")
    given = arguments.parse_args()
    words = ARGUMENTS | QUICK if given.quick else ARGUMENTS
    found: list[Row] = []
    failures = 0
    for name in given.names or scripts:
        start = time.monotonic()
        rows, failed = measure(name, words.get(name, []))
        found += rows
        failures += failed
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    finish(found, given.output or HERE / "results.json")
    missed, met = ([row["met"] for row in found].count(met) for met in (False, True))
    print(f"{met} targets met, {missed} missed; {failures} scripts failed", file=sys.stderr)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
