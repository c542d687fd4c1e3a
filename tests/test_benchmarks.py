"""`make bench` can run what it says that it runs, and every row names what it is held against."""

import ast
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield runpy.run_path(str(FOLDER / "everything.py"))
    sys.modules.pop("rows", None)


def test_every_script_is_run_or_left_out_and_no_argument_is_missing(
    everything: dict[str, object],
) -> None:
    left_out, arguments = everything["LEFT_OUT"], everything["ARGUMENTS"]
    assert isinstance(left_out, set)
    assert isinstance(arguments, dict)
    names = {path.stem for path in FOLDER.glob("*.py")}
    assert left_out | arguments.keys() <= names
    for name in names - left_out:
        text = (FOLDER / f"{name}.py").read_text()
        needed = re.findall(r'add_argument\("(\w+)"(?!.*nargs="[?*]")', text)
        assert not needed or arguments.get(name), f"{name} needs {needed}"
        assert re.search(r"\bfinish\(", text), f"{name} writes no rows"


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_row_names_what_it_is_held_against(script: Path) -> None:
    tree = ast.parse(script.read_text())
    made = [x.name for x in ast.walk(tree) if isinstance(x, ast.FunctionDef) and x.name == "row"]
    assert made == ["row"] * (script.stem == "rows"), "there is one way to make a row"
    calls = [x for x in ast.walk(tree) if isinstance(x, ast.Call)]
    for call in [x for x in calls if isinstance(x.func, ast.Name) and x.func.id == "row"]:
        assert len(call.args) == 4, f"line {call.lineno} says nothing of it"


def test_a_row_is_not_made_without_it(everything: dict[str, object]) -> None:
    row = sys.modules["rows"].row
    assert row("one", 1, "s", "another: 2 s")["against"] == "another: 2 s"
    for nothing in ("", " "):
        with pytest.raises(ValueError, match="what is `one` held against"):
            row("one", 1, "s", nothing)
    with pytest.raises(TypeError, match="against"):
        row("one", 1, "s")


def test_what_could_not_be_measured_misses_its_target(everything: dict[str, object]) -> None:
    row = sys.modules["rows"].row
    assert row("one", None, "s", "a machine that has none")["met"] is None
    assert row("one", None, "s", "a machine that has none", at_most=1)["met"] is False


def test_a_rival_stands_there_with_its_figure(everything: dict[str, object]) -> None:
    beside = sys.modules["rows"].beside
    assert beside("by hand", 2, 0.5, "s") == "by hand: 2 s; here 0.25 times that"
    assert beside("by hand", 1234.5, 2469, "a second") == (
        "by hand: 1,234 a second; here 2 times that"
    )
