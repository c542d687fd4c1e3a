"""Light commands stay light: what a fresh interpreter loads, and how long it takes to start."""

from __future__ import annotations

import os
import subprocess
import sys
import time
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


def loaded(*arguments: str, cwd: Path) -> set[str]:
    """The top-level modules that an interpreter imports, started with these arguments."""
    done = run("-X", "importtime", *arguments, cwd=cwd)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    rest = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 0, "\n".join(rest)
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


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


def test_help_draws_nothing_and_parses_nothing(tmp_path: Path) -> None:
    names = loaded("-m", "epnas_dsl", "--help", cwd=tmp_path)
    assert not names & {"graphviz", "pygraphviz", "lark", "networkx", "numpy", "jinja2"}


@pytest.mark.slow
def test_help_starts_nearly_as_fast_as_its_libraries(tmp_path: Path) -> None:
    """The fastest of several starts each, taken in turn, so that other load weighs on both."""
    epnas = str(Path(sys.executable).with_name("epnas"))
    commands = {"epnas": [epnas, "--help"], "bare": [sys.executable, "-c", "import click, rich"]}
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(15):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=os.environ)
            best[name] = min(best[name], time.perf_counter() - start)
    assert best["epnas"] <= 1.5 * best["bare"], best
