"""Every code that the program can give is explained in grammars/errors/, and no other."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = re.compile(r"[EW]\d{3}")
SECTION = re.compile(r"^## ([EW]\d{3}) \S.*$", re.MULTILINE)


def used() -> Iterator[tuple[str, str]]:
    """Each code that stands as a string in the source, with the file that uses it."""
    for path in sorted((ROOT / "epnas_dsl").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            value = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
            if isinstance(value, str) and CODE.fullmatch(value):
                yield value, path.name


def sections() -> Iterator[tuple[str, str]]:
    """Each code that has a section, with the section's text."""
    for path in sorted((ROOT / "grammars" / "errors").glob("*.md")):
        _, *parts = SECTION.split("\n" + path.read_text(encoding="utf-8"))
        yield from zip(parts[::2], parts[1::2], strict=True)


def test_every_code_has_a_section() -> None:
    documented = {code for code, _ in sections()}
    assert {(c, f) for c, f in used() if c not in documented} == set()


def test_every_section_has_a_use() -> None:
    codes = {code for code, _ in used()}
    assert [code for code, _ in sections() if code not in codes] == []


def test_no_code_is_explained_twice_or_without_words() -> None:
    found = list(sections())
    counts = Counter(code for code, _ in found)
    assert [code for code, n in counts.items() if n > 1] == []
    assert [code for code, text in found if not text.strip()] == []


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_list_of_codes_is_complete(request: pytest.FixtureRequest) -> None:
    rows = []
    for path in sorted((ROOT / "grammars" / "errors").glob("*.md")):
        for heading in re.findall(r"^## ([EW]\d{3} .*)$", path.read_text("utf-8"), re.MULTILINE):
            code, _, title = heading.partition(" ")
            rows.append(f"| [{code}](../grammars/errors/{path.name}#{slug(heading)}) | {title} |\n")
    expected = "# Errors and warnings\n\n| code | what is wrong |\n| --- | --- |\n"
    expected += "".join(sorted(rows))
    page = ROOT / "docs" / "diagnostics.md"
    if request.config.getoption("--update-golden"):
        page.write_text(expected, encoding="utf-8")
    assert page.read_text("utf-8") == expected
