"""Turn a mistake and its place in a text into a message that a person can act on.

EpnasError
  SpaceError             something is wrong in a .space text
    SpaceSyntaxError     it does not parse
    SpaceNameError       a name is unknown, or used twice
    SpaceValueError      a value, kind or range is wrong
    SpaceErrors          several of these, in the order of the text
  ArchitectureError      an architecture's text does not fit its space
  ShapeError             channels or sizes that do not fit together
  LimitError             larger than the stated limits
  CountError             a count that is out of reach
  ConfigError            settings
  DataError              images, tables, weights
  RunError               a run folder
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True, eq=False)
class Source:
    """A text and what to call it in messages."""

    name: str
    text: str

    @cached_property
    def line_starts(self) -> tuple[int, ...]:
        """Offsets at which the lines of the text begin."""
        return (0, *(i + 1 for i, c in enumerate(self.text) if c == "\n"))

    def position(self, offset: int) -> tuple[int, int]:
        """The line and the column (both from 1) of an offset."""
        import bisect

        line = bisect.bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line (from 1), without its end."""
        start = self.line_starts[number - 1]
        end = self.line_starts[number] - 1 if number < len(self.line_starts) else len(self.text)
        return self.text[start:end]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source: offsets from `start` up to, not including, `end`."""

    source: Source = field(repr=False)
    start: int
    end: int

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"

    def to(self, other: Span) -> Span:
        """The stretch from the start of this one to the end of the other."""
        return Span(self.source, min(self.start, other.start), max(self.end, other.end))


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: a stable code, what is wrong, where, and what to do about it."""

    code: str
    message: str
    span: Span | None = None
    hint: str = ""

    @property
    def is_warning(self) -> bool:
        """Warnings have codes that begin with W."""
        return self.code.startswith("W")

    def __str__(self) -> str:
        kind = "warning" if self.is_warning else "error"
        head = f"{printable(str(self.span))}: " if self.span else ""
        lines = [f"{head}{kind} {self.code}: {printable(self.message)}"]
        if self.span:
            lines += _excerpt(self.span)
        if self.hint:
            lines += [f"  hint: {printable(self.hint)}"]
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """The finding as plain data."""
        place: dict[str, object] = {}
        if self.span:
            line, column = self.span.source.position(self.span.start)
            end_line, end_column = self.span.source.position(self.span.end)
            place = {
                "file": self.span.source.name,
                "line": line,
                "column": column,
                "end_line": end_line,
                "end_column": end_column,
            }
        return {"code": self.code, "message": self.message, "hint": self.hint, **place}


def _excerpt(span: Span, width: int = 120) -> list[str]:
    line, column = span.source.position(span.start)
    text = span.source.line(line)
    length = max(1, min(span.end - span.start, len(text) - column + 1))
    shift = max(0, column - 1 - width // 2)
    shown = printable(text[shift : shift + width])
    carets = "^" * max(1, min(length, width - (column - 1 - shift)))
    blank = " " * len(str(line))
    return [f"  {line} | {shown}", f"  {blank} | {' ' * (column - 1 - shift)}{carets}"]


def printable(text: str) -> str:
    """The text with control characters (tabs, escapes, direction marks) made visible or blank.

    Every character stays one character wide, so that carets keep their place.
    """
    return "".join(
        c if c.isprintable() or c == "\n" else " " if c == "\t" else "\ufffd" for c in text
    )


NO_MEMORY = "E641"  # the code of a network that is too large for the memory here
TOO_SLOW = "E642"  # that of one which takes longer than `evaluation.latency_limit`
MAX_NAMES = 1_000  # that a misspelt name is compared with


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint "did you mean ..." for a misspelt name; empty where nothing is near."""
    import difflib

    first = itertools.islice(dict.fromkeys(known), MAX_NAMES)
    found = difflib.get_close_matches(name[:128], first, n=1, cutoff=0.6)
    return f"did you mean `{found[0]}`?" if found else ""


class EpnasError(Exception):
    """A mistake that the user can mend; carries one diagnostic or several."""

    code = "E000"

    def __init__(
        self, message: str, *, code: str = "", span: Span | None = None, hint: str = ""
    ) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = (
            Diagnostic(code or self.code, message, span, hint),
        )
        super().__init__(message)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.diagnostics), *getattr(self, "__notes__", [])])


class SpaceError(EpnasError):
    """Something is wrong in a .space text."""


class SpaceSyntaxError(SpaceError):
    """The text does not parse."""


class SpaceNameError(SpaceError):
    """A name is unknown, or used twice."""


class SpaceValueError(SpaceError):
    """A value, a kind of value or a range is wrong."""


class SpaceErrors(SpaceError):
    """All the errors of one text, in its order, one for each code and place."""

    def __init__(self, errors: Iterable[EpnasError]) -> None:
        unique: dict[object, Diagnostic] = {}
        for found in (d for error in errors for d in error.diagnostics):
            unique.setdefault((found.code, found.span or found.message), found)
        super().__init__(f"{len(unique)} errors")
        in_order = sorted(unique.values(), key=lambda d: d.span.start if d.span else -1)
        self.diagnostics = tuple(in_order)


class ArchitectureError(EpnasError):
    """An architecture's text does not fit its space."""

    code = "E300"


class ShapeError(EpnasError):
    """Channels or sizes that do not fit together."""

    code = "E400"


class LimitError(EpnasError):
    """The text is larger, deeper or wider than the stated limits."""

    code = "E900"


class CountError(EpnasError):
    """A count that is out of reach."""

    code = "E910"


class ConfigError(EpnasError):
    """A setting is unknown, missing or out of its range."""

    code = "E500"


class DataError(EpnasError):
    """Images, tables or weights that are missing or damaged."""

    code = "E600"


class RunError(EpnasError):
    """A run folder that is locked, damaged, or not the one expected."""

    code = "E700"
