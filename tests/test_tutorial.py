"""The tutorial does what it says: its files are saved, its commands run, its output comes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from epnas_dsl.cli import main

TUTORIAL = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL)


def follow(expected: list[str], printed: list[str]) -> None:
    """Every expected line comes, in order; `...` stands for any number of lines."""
    skipping = False
    for line in expected:
        if line == "...":
            skipping = True
            continue
        while skipping and printed and printed[0] != line:
            printed.pop(0)
        assert [line] == printed[:1]
        printed.pop(0)
        skipping = False
    assert skipping or not printed


def test_the_tutorial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for language, name, text in BLOCKS:
        if language == "space":
            Path(name).write_text(text, encoding="utf-8")
        if language == "python":
            exec(text, {})
        if language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, *expected = part.splitlines()
                status = main(shlex.split(command)[1:])
                out, err = capfd.readouterr()
                assert status == (1 if "error E" in part else 0), err
                follow(expected, [*err.splitlines(), *out.splitlines()])


def test_links_lead_somewhere() -> None:
    root = Path(__file__).parents[1]
    for page in [root / "README.md", *root.glob("docs/*.md"), root / "grammars" / "README.md"]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
