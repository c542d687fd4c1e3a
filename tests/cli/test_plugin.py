"""Operations of the user's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from epnas_dsl.cli import main
from epnas_dsl.space import operations

PLUGIN = """
from epnas_dsl.space.operations import operation

@operation("twice", "convolution", channels="channels", stride="stride")
def twice(t, x, channels, stride):
    return t.relu(t.conv(t.conv(x, channels, 3, stride), channels, 3))
"""
SPACE = """space own
op := twice | conv_3x3
network (image) { return linear(global_avg_pool(op(image, channels=4)), 10) }
"""


@pytest.fixture(autouse=True)
def _no_trace() -> Iterator[None]:
    yield
    operations.OPERATIONS.pop("twice", None)


def test_a_plugin_adds_operations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.py").write_text(PLUGIN)
    (tmp_path / "own.space").write_text(SPACE)
    assert main(["--plugin", str(tmp_path / "own.py"), "count", str(tmp_path / "own.space")]) == 0
    assert capsys.readouterr().out == "2\n"


def test_the_settings_may_name_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.py").write_text(PLUGIN)
    (tmp_path / "own.space").write_text(SPACE)
    words = ["search", str(tmp_path / "own.space"), "--dry-run"]
    assert main(words) == 1
    assert main([*words, "--set", f"plugin={tmp_path / 'own.py'}"]) == 0
    assert "own.py" in capsys.readouterr().out


def test_a_plugin_that_fails_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    assert main(["--plugin", str(tmp_path / "bad.py"), "count", "micro"]) == 2
    assert "E516" in capsys.readouterr().err
