"""`make gpu-search` and `make gpu-final`, piece by piece; a script stands for `epnas`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"
# Keeps what it is told; the third piece ends the run.
EPNAS = """#!/bin/sh
echo "$@" >> calls
[ "$1" != train ] || cat > given
mkdir -p runs/paper-micro
: > runs/paper-micro/run.db
case $(wc -l < calls) in *3) exit LAST;; *) exit 3;; esac
"""


def whole(folder: Path, target: str, last: int) -> list[str]:
    """What was called by the loop that the Makefile tells of."""
    (loop,) = re.findall(r"^#   (while make gpu-search .*)$", MAKEFILE.read_text(), re.MULTILINE)
    tool = folder / "bin" / "epnas"
    tool.parent.mkdir()
    tool.write_text(EPNAS.replace("LAST", str(last)))
    tool.chmod(0o755)
    (folder / "installed").touch()
    command = f"make -f {MAKEFILE} BIN=bin STAMP=installed -o installed {target}"
    subprocess.run(
        ["sh", "-c", loop.replace("make gpu-search", command)],
        cwd=folder, check=False, timeout=30, capture_output=True,
    )  # fmt: skip
    return (folder / "calls").read_text().splitlines()


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")
@pytest.mark.parametrize("last", [0, 1, 4])
def test_a_search_goes_on_to_its_end_or_to_an_error(tmp_path: Path, last: int) -> None:
    first, *more = whole(tmp_path, "gpu-search", last)
    assert first.startswith("search micro --config examples/paper_search.toml --data cifar10")
    assert first.endswith("--out runs/paper-micro --minutes 9")
    assert more == ["resume runs/paper-micro --minutes 9"] * 2


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")
def test_the_final_training_is_that_of_what_was_found_but_larger(tmp_path: Path) -> None:
    found = tmp_path / "runs" / "paper-micro" / "best.arch"
    found.parent.mkdir(parents=True)
    found.write_text("micro: h1 = conv_3x3(prev1) + skip_connect(prev2)\n")
    calls = whole(tmp_path, "gpu-final", 0)
    assert len(calls) == 3
    assert calls[0].startswith("train - --config examples/paper_final.toml --data cifar10")
    text = "micro(channels=96, repeats=3): h1 = conv_3x3(prev1) + skip_connect(prev2)\n"
    assert (tmp_path / "given").read_text() == text
