"""What the tests of the commands share: a way to call one, an architecture, a finished run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli.small import QUICK, SMALL

from epnas_dsl.cli import main


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as its one JSON document."""
        return json.loads(self.out)


Call = Callable[..., Done]


@pytest.fixture
def epnas(capsys: pytest.CaptureFixture[str]) -> Call:
    """Carry a command line out in this process."""

    def call(*words: str | Path) -> Done:
        status = main(list(map(str, words)))
        return Done(status, *capsys.readouterr())

    return call


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has an empty folder to itself."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short search on digits; nobody may change it."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    sets = [word for setting in QUICK for word in ("--set", setting)]
    assert main(["search", SMALL, "--out", str(folder), *sets]) == 0
    return folder
