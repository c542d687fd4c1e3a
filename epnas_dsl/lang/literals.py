"""Turn the literals of Python and JSON into values that know their place in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from epnas_dsl.errors import ArchitectureError, LimitError, Source, Span, nearest

MAX_TEXT = 1 << 16
MAX_OPEN = 64
_TOKEN = re.compile(
    r"""(?P<blank>(?:\s|\#[^\n]*)+)
    | (?P<number>-?\d{1,4000}(?:\.\d*)?(?:[eE][+-]?\d{1,2})?(?!\w))
    | (?P<name>[A-Za-z_][\w.]*)
    | (?P<text>'(?:[^'\\\n]|\\/)*'|"(?:[^"\\\n]|\\/)*")
    | (?P<sign>[][(){},:=;])""",
    re.VERBOSE,
)
_CONSTANTS = {
    "True": True,
    "False": False,
    "None": None,
    "true": True,
    "false": False,
    "null": None,
}
_CLOSING = {"[": "]", "(": ")", "{": "}"}


@dataclass(frozen=True, slots=True)
class Literal:
    """A value and its place.

    Attributes:
        value: a text (bare names too), a number, a constant, a tuple of literals (of a list, a
            tuple, positional arguments) or a dictionary of literals (keyword arguments too).
        name: of a call: `Genotype(..)`, `range(2, 6)`.
    """

    value: str | int | float | tuple[Literal, ...] | dict[str, Literal] | None
    span: Span
    name: str = ""

    def items(self) -> Sequence[Literal]:
        """The elements of a list or a tuple; `range(2, 6)` and `array([..])` are lists too."""
        if not isinstance(self.value, tuple):
            raise wrong("a list belongs here", self.span)
        if self.name == "range":
            ends = [x.whole() for x in self.value]
            if not 1 <= len(ends) <= 2 or max(ends) > MAX_TEXT:
                raise wrong("`range(first, end)` belongs here", self.span)
            return [Literal(i, self.span) for i in range(*ends)]
        if self.name.rpartition(".")[2] in {"array", "list", "tuple"} and len(self.value) == 1:
            return self.value[0].items()
        return self.value

    def table(self) -> dict[str, Literal]:
        """The entries of a dictionary, or keyword arguments, by their keys."""
        if not isinstance(self.value, dict):
            raise wrong("entries with names belong here", self.span)
        return self.value

    def entry(self, key: str) -> Literal:
        """An entry of a dictionary that has to be there."""
        table = self.table()
        if key not in table:
            end = Span(self.span.source, max(self.span.start, self.span.end - 1), self.span.end)
            raise wrong(f"`{key}` is missing", end, nearest(key, table))
        return table[key]

    def text(self) -> str:
        """A text that is not empty."""
        if not isinstance(self.value, str) or not self.value:
            raise wrong("a text belongs here", self.span)
        return self.value

    def whole(self) -> int:
        """A whole number that is not negative."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < 0:
            raise wrong("a whole number belongs here", self.span)
        return self.value


def only(found: Literal) -> Literal:
    """What a text names, where it is one value with a name in front: `DARTS = Genotype(..)`."""
    table = found.table()
    return next(iter(table.values())) if len(table) == 1 else found


def wrong(message: str, span: Span | None, hint: str = "") -> ArchitectureError:
    """The error of a text that is none of its notation (E309)."""
    return ArchitectureError(message, code="E309", span=span, hint=hint)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    span: Span


def read_literal(source: Source) -> Literal:
    """The value of a text; `NAME = value` several times, as in Python, is a dictionary.

    Raises:
        ArchitectureError: it is no literal, with the place (E309).
        LimitError: it is longer than 64 KiB (E903), or nested more than 64 deep (E901).
    """
    if len(source.text) > MAX_TEXT:
        raise LimitError(f"a text of more than {MAX_TEXT:,} characters", code="E903")
    reader = _Reader([*_tokens(source)], source)
    found = reader.sequence("")
    if isinstance(found.value, tuple) and len(found.value) == 1:
        return found.value[0]
    return found


def _tokens(source: Source) -> Iterator[_Token]:
    position = 0
    while position < len(source.text):
        match = _TOKEN.match(source.text, position)
        if not match:
            span = Span(source, position, position + 1)
            raise wrong(f"`{source.text[position]}` does not belong here", span)
        if match.lastgroup != "blank":
            span = Span(source, match.start(), match.end())
            yield _Token(str(match.lastgroup), match[0], span)
        position = match.end()


class _Reader:
    def __init__(self, tokens: list[_Token], source: Source) -> None:
        self.tokens = tokens
        self.position = 0
        self.open = 0
        end = len(source.text.rstrip())
        self.end = Span(source, max(0, end - 1), end)

    def peek(self, ahead: int = 0) -> str:
        """The sign that comes, or the kind of what comes; empty at the end."""
        if self.position + ahead >= len(self.tokens):
            return ""
        token = self.tokens[self.position + ahead]
        return token.text if token.kind == "sign" else token.kind

    def take(self, *wanted: str) -> _Token:
        if self.peek() not in wanted:
            if self.position >= len(self.tokens):
                raise wrong("the text ends too early", self.end)
            token = self.tokens[self.position]
            raise wrong(f"`{token.text}` does not belong here", token.span)
        self.position += 1
        return self.tokens[self.position - 1]

    def sequence(self, closing: str) -> Literal:
        """Values, or entries with names, up to a bracket; both are never mixed."""
        start = self.tokens[self.position - 1].span if closing else self.end
        items: list[Literal] = []
        table: dict[str, Literal] = {}
        between = {",", ";"} if not closing else {","}
        while self.peek() != closing:
            entry = self.peek(1) if self.peek() in {"name", "text"} else ""
            if entry in ({":"} if closing == "}" else {"="}):
                key = self.take("name", "text")
                name = _plain(key)
                if name in table:
                    raise wrong(f"`{name}` is there twice", key.span)
                self.take(":", "=")
                table[name] = self.value()
            else:
                items.append(self.value())
            if items and (table or closing == "}"):
                raise wrong("a name belongs in front of this value", items[-1].span)
            if self.peek() in between:
                self.take(*between)
            elif self.peek() != closing and (closing or not table):
                self.take(closing or "\0")
        end = self.take(closing).span if closing else self.end
        return Literal(table if table or closing == "}" else tuple(items), start.to(end))

    def value(self) -> Literal:
        token = self.take("name", "number", "text", "[", "(", "{")
        if token.kind == "number":
            plain = re.fullmatch(r"-?\d+", token.text)
            return Literal(int(token.text) if plain else float(token.text), token.span)
        if token.kind == "text":
            return Literal(_plain(token), token.span)
        if token.kind == "name":
            if self.peek() != "(":
                return Literal(_CONSTANTS.get(token.text, token.text), token.span)
            self.take("(")
            inner = self.brackets(")")
            return Literal(inner.value, token.span.to(inner.span), token.text)
        inner = self.brackets(_CLOSING[token.text])
        comma = self.tokens[self.position - 2].text == ","
        if token.text == "(" and isinstance(inner.value, tuple) and len(inner.value) == 1:
            return inner if comma else inner.value[0]
        return inner

    def brackets(self, closing: str) -> Literal:
        self.open += 1
        if self.open > MAX_OPEN:
            raise LimitError(f"more than {MAX_OPEN} brackets open at once", code="E901",
                             span=self.tokens[self.position - 1].span)  # fmt: skip
        inner = self.sequence(closing)
        self.open -= 1
        return inner


def _plain(token: _Token) -> str:
    return token.text[1:-1].replace("\\/", "/") if token.kind == "text" else token.text
