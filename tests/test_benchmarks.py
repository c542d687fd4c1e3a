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
    left_out, arguments, quick = (everything[x] for x in ("LEFT_OUT", "ARGUMENTS", "QUICK"))
    assert isinstance(left_out, set)
    assert isinstance(arguments, dict)
    assert isinstance(quick, dict)
    names = {path.stem for path in FOLDER.glob("*.py")}
    assert left_out | arguments.keys() | quick.keys() <= names
    for words in [*arguments.values(), *quick.values()]:
        assert all(isinstance(word, str) for word in words)
    for name in names - left_out:
        text = (FOLDER / f"{name}.py").read_text()
        needed = re.findall(r'add_argument\("(\w+)"(?!.*nargs="[?*]")', text)
        assert not needed or arguments.get(name), f"{name} needs {needed}"
        assert re.search(r"\bfinish\(", text), f"{name} writes no rows"


SCRIPT = """
import json, sys
row = {"what": "a", "value": 1, "unit": "s", "against": "b", "target": "at most 0", "met": False}
open(sys.argv[-1], "w").write(json.dumps([row]))
sys.exit(STATUS)
"""


@pytest.mark.parametrize("status", [0, 1])
def test_a_missed_target_is_told_and_only_a_script_that_fails_makes_all_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("everything", "rows"):
        (tmp_path / f"{name}.py").write_text((FOLDER / f"{name}.py").read_text())
    (tmp_path / "startup.py").write_text(SCRIPT.replace("STATUS", str(status)))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["everything.py", "startup"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(tmp_path / "everything.py"), run_name="__main__")
    sys.modules.pop("rows", None)
    assert ended.value.code == status
    out, err = capsys.readouterr()
    assert "MISSED" in out
    assert "against b" in out
    assert f"0 targets met, 1 missed; {status} scripts failed" in err
    assert (tmp_path / "results.json").exists()


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
    assert row("one", float("nan"), "", "two points that are equal")["value"] is None


def test_a_rival_stands_there_with_its_figure(everything: dict[str, object]) -> None:
    beside = sys.modules["rows"].beside
    assert beside("by hand", 2, 0.5, "s") == "by hand: 2 s; here 0.25 times that"
    assert beside("by hand", 1234.5, 2469, "a second") == (
        "by hand: 1,234 a second; here 2 times that"
    )
    assert beside("by hand", 0, 0.5, "s") == "by hand: 0 s"
