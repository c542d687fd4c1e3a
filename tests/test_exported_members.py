"""The public face: `__all__` is what can be seen, sorted, and every name in it is there."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import epnas_dsl

PACKAGES = ["epnas_dsl"] + [
    f"epnas_dsl.{found.name}" for found in pkgutil.iter_modules(epnas_dsl.__path__) if found.ispkg
]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_listed_name_is_there_in_order(name: str) -> None:
    package = importlib.import_module(name)
    listed = getattr(package, "__all__", [])
    assert list(listed) == sorted(set(listed))
    missing = [n for n in listed if not hasattr(package, n)]
    assert missing == []


def test_every_visible_name_is_listed() -> None:
    """Modules and the `annotations` of `from __future__` are visible too, and are no names."""
    visible = {
        name
        for name in dir(epnas_dsl)
        if not name.startswith("_")
        and name != "annotations"
        and not isinstance(getattr(epnas_dsl, name), ModuleType)
    }
    assert visible == {name for name in epnas_dsl.__all__ if not name.startswith("_")}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        epnas_dsl.no_such_name  # noqa: B018


def test_the_public_face_is_small() -> None:
    lines = Path(epnas_dsl.__file__).read_text(encoding="utf-8").splitlines()
    assert len(lines) < 60
