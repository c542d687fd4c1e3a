"""Turn the name of a file that comes with the package into its path.

`grammars/` and `spaces/` lie beside the package in a checkout and inside it in a wheel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from epnas_dsl.errors import SpaceNameError, nearest

Kind = Literal["grammars", "spaces"]
_SUFFIXES = {"grammars": ".lark", "spaces": ".space"}


def names(kind: Kind) -> tuple[str, ...]:
    """The names of all grammars or of all published spaces, sorted, without suffix."""
    return tuple(sorted(path.stem for path in _folder(kind).glob(f"*{_SUFFIXES[kind]}")))


def resource(kind: Kind, name: str) -> Path:
    """The file of a grammar or of a published space, by its name without suffix.

    Raises:
        SpaceNameError: nothing of that name comes with the package (E014).
    """
    known = names(kind)
    if name not in known:
        hint = nearest(name, known) or f"there are {', '.join(known)}"
        raise SpaceNameError(f"no file `{name}` among the {kind}", code="E014", hint=hint)
    return _folder(kind) / f"{name}{_SUFFIXES[kind]}"


def _folder(kind: Kind) -> Path:
    package = Path(__file__).parent
    inside = package / kind
    return inside if inside.is_dir() else package.parent / kind
