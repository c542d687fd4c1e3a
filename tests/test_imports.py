"""Light commands stay light: what a fresh interpreter loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MICRO = Path(__file__).resolve().parents[1] / "spaces" / "micro.space"
EDGES = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
CELL = "micro: h1 = conv_3x3(prev1) + conv_3x3(prev2)"
HEAVY = {"torch", "torchvision", "ray", "altair"}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, text=True, capture_output=True, timeout=120
    )


def loaded(*arguments: str, cwd: Path, whole: bool = False) -> set[str]:
    """The modules that an interpreter started so imports: top-level names, or whole ones."""
    done = run("-X", "importtime", *arguments, cwd=cwd)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    rest = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 0, "\n".join(rest)
    names = {line.rpartition("|")[2].strip() for line in lines}
    return names if whole else {name.partition(".")[0] for name in names}


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    names = loaded("-c", "import epnas_dsl", cwd=tmp_path)
    assert "epnas_dsl" in names
    assert not names & (HEAVY | {"graphviz", "pygraphviz", "lark", "networkx", "click", "rich"})


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["check", str(MICRO)],
        ["format", "--check", str(MICRO)],
        ["count", "micro"],
        ["draw", "micro", "-o", "micro.svg"],
        ["convert", EDGES, "--from", "nasbench201", "--to", "json"],
        ["diff", CELL, CELL],
        ["neighbours", CELL, "-n", "3"],
        ["show", "micro(blocks=1)", "--sharing"],
        ["draw", "micro", "-o", "micro.dot"],
    ],
    ids=" ".join,
)
def test_light_commands_load_no_torch(command: list[str], tmp_path: Path) -> None:
    names = loaded("-m", "epnas_dsl", *command, cwd=tmp_path)
    assert "click" in names
    assert not names & HEAVY


def test_help_loads_hardly_more_than_its_library(tmp_path: Path) -> None:
    """The seconds are a row of benchmarks/startup.py; what they are spent on is held here."""
    bare = "import click, rich, runpy; click.Group(epilog='more')(['--help'], 'bare')"
    more = loaded("-m", "epnas_dsl", "--help", cwd=tmp_path, whole=True)
    more -= loaded("-c", bare, cwd=tmp_path, whole=True)
    own = {"epnas_dsl", "epnas_dsl.cli", "epnas_dsl.cli.terminal", "epnas_dsl.errors"}
    needed = {"dataclasses", "copy", "org", "org.python", "org.python.core"}  # what the first loads
    assert own <= more <= own | needed
