"""The examples run, and are short."""

import runpy
import sys
from pathlib import Path

import pytest

from epnas_dsl.config import Config, load_config, preset
from epnas_dsl.lang.loading import load_architecture, load_space

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(path), str(tmp_path)])
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed
    assert "equal outputs: False" not in printed
    assert len(path.read_text().splitlines()) < 60


def test_the_paper_in_settings() -> None:
    folder = Path(__file__).parents[1] / "examples"
    search, final = (load_config(folder / f"paper_{name}.toml") for name in ("search", "final"))
    paper = preset(Config(), "paper")
    assert (search.search, search.training) == (paper.search, paper.training)
    assert search.data.validation == final.data.validation == 5000
    assert load_space(search.space).parameters.items() >= {
        ("blocks", 5), ("channels", 24), ("repeats", 2),
    }  # fmt: skip
    assert load_space("macro").parameters["layers"] == 12
    assert (final.training.epochs, final.data.cutout, final.training.drop_path) == (600, 16, 0.2)
    text = "micro(channels=96, repeats=3): h1 = skip_connect(prev2) + conv_3x3(prev1)"
    assert load_architecture(text).space.parameters["channels"] == 96
