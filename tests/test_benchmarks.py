"""`make bench` can run what it says that it runs."""

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
        assert re.search(r"\bfinish\(|json\.dump\(\[", text), f"{name} writes no rows"
