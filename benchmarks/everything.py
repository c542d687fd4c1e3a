"""Run every benchmark, print one table, and write benchmarks/results.json.

    python benchmarks/everything.py [NAME ...] [-o FILE]

Each is a script of this folder that takes `-o FILE` and writes rows (see rows.py). They run one
after the other, alone on a machine that does nothing else if the figures are to be believed.
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
LEFT_OUT = {"everything", "rows", "ranking", "searchers"}  # two need a table that is not shipped
if not shutil.which("nvidia-smi"):
    LEFT_OUT.add("gpu")


def measure(name: str) -> list[Row]:
    """The rows of a script, whose own table is not shown."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, str(HERE / f"{name}.py"), *ARGUMENTS.get(name, []), "-o", file]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode or not file.exists():
            print(f"{name}: failed\n{ended.stdout[-500:]}{ended.stderr[-2000:]}", file=sys.stderr)
            return []
        rows: list[Row] = json.loads(file.read_text(encoding="utf-8"))
        return rows


def main() -> int:
    """All of them, or those named; 1 where one failed."""
    scripts = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in LEFT_OUT)
    arguments = parser(__doc__)
    arguments.add_argument("names", nargs="*", metavar="NAME", choices=[*scripts, []])
    given = arguments.parse_args()
    found: list[Row] = []
    failed = False
    for name in given.names or scripts:
        start = time.monotonic()
        rows = measure(name)
        found += rows
        failed |= not rows
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    finish(found, given.output or HERE / "results.json")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
