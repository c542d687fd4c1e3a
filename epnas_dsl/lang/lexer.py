"""Turn a text into tokens cut at its top-level items, with limits checked and brackets matched.

All that a hostile text could do to a later stage is refused here, before anything is parsed: a
syntax tree made from what comes out is at most about 300 nodes deep, whatever the text.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from lark import Token

from epnas_dsl.errors import EpnasError, LimitError, Source, SpaceSyntaxError, Span, printable

NESTING = 64  # brackets open at once
DEPTH = 200  # three for every open bracket and one for every operator on the way to a leaf
INTEGER = 9  # digits
NUMBER = 40  # characters
NAME = 128  # characters
DEFINITIONS = 10_000
CHARACTERS = 20  # strange characters that are reported one by one

ITEMS = ("space", "cell", "def", "network", "require", "share", "treat")
STATEMENTS = ("level", "for", "return")
BRACKETS = {"(": ")", "[": "]", "{": "}"}
_CLOSING = {close: start for start, close in BRACKETS.items()}
_DEFINING = {":=", "cell", "def", "level", "for"}
_OPERATORS = {"+", "-", "*", "/", "//", "%", "^", "<", "<=", ">", ">=", "==", "!=", ".."}
_NESTING_WORDS = {*_OPERATORS, "and", "or", "not", "if", "of", "for"}
_SEPARATORS = {"}", ",", "|", "=", ":=", ";", ":", "return", *ITEMS}
_HINTS = {
    "!": "unequal is `!=`, and negation is `not`",
    "&": "write `and`",
    ".": "a number has digits on both sides of its point; a range is `1..3`",
    ":": "a production is written `name := a | b`",
    "@": "a digest is made of the digits 0 to 9 and a to f",
    '"': "names and numbers need no quotes",
    "'": "names and numbers need no quotes",
    "\u2212": "minus is `-`",
    "\u00d7": "times is `*`",
    "\u2264": "write `<=`",
    "\u2265": "write `>=`",
}


@dataclass(slots=True)
class Chunk:
    """The tokens of one top-level item and the first one after it."""

    tokens: list[Token] = field(default_factory=list)
    following: Token | None = None
    broken: bool = False  # an error in it has been reported already


def read(text: str, name: str, limit: int, code: str) -> Source:
    """The text as a source, without byte order mark, its lines ended by line feeds.

    Raises:
        LimitError: more than `limit` bytes in UTF-8; `code` names the limit.
    """
    if len(text.encode("utf-8", "replace")) > limit:
        raise LimitError(f"{name} is longer than {limit:,} bytes", code=code)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return Source(name, text)


def span_of(source: Source, token: Token) -> Span:
    """The place of a token."""
    start = token.start_pos or 0
    return Span(source, start, token.end_pos or start)


def is_word(token: Token) -> bool:
    """Whether the token is a keyword."""
    return token.type not in ("NAME", "DIGEST") and token.isidentifier()


def ends_value(token: Token) -> bool:
    """Whether the token can be the last one of an expression."""
    return token.type in ("NAME", "INT", "FLOAT") or token.value in _CLOSING


def starts_line(token: Token, previous: Token | None) -> bool:
    """Whether the token is the first one on its line."""
    return previous is None or previous.line != token.line


def quote(text: str | None) -> str:
    """A piece of the text in backticks, shortened; the end of the text where there is none."""
    if text is None:
        return "the end of the text"
    return f"`{printable(text if len(text) <= 40 else f'{text[:37]}...')}`"


def check_tokens(source: Source, tokens: Iterable[Token]) -> list[EpnasError]:
    """The errors in single tokens: strange characters, numbers and names that are too long.

    Raises:
        LimitError: too many definitions (E906).
    """
    errors: list[EpnasError] = []
    definitions, strange = 0, 0
    for previous, token in itertools.pairwise([Token("START", "", -2, end_pos=-1), *tokens]):
        touches = previous.end_pos == token.start_pos
        if token.type == "UNKNOWN":
            strange += 1
            if strange <= CHARACTERS and not (touches and previous.type == "UNKNOWN"):
                errors.append(_strange(source, token))
        elif touches and previous.type in ("INT", "FLOAT") and token.value.isalnum():
            span = span_of(source, previous).to(span_of(source, token))
            message = f"{quote(previous + token)} is neither a number nor a name"
            hint = "a name begins with a letter or `_`"
            errors.append(SpaceSyntaxError(message, code="E007", span=span, hint=hint))
        elif error := _too_long(source, token):
            errors.append(error)
        definitions += token.value in _DEFINING or token.value == "="
        if definitions > DEFINITIONS:
            message = f"more than {DEFINITIONS:,} definitions"
            raise LimitError(message, code="E906", span=span_of(source, token))
    return errors


def _strange(source: Source, token: Token) -> EpnasError:
    char = token.value
    name = unicodedata.name(char, "a control character" if char < " " else "no character")
    shown = f"`{char}`" if char.isprintable() else ""
    message = f"{shown} U+{ord(char):04X}".strip() if not char.isascii() or not shown else shown
    if not char.isascii() or not shown:
        message += f" ({name.lower()})"
    hint = _HINTS.get(char, "")
    if not hint and char.isalpha():
        hint = "names are made of the letters a to z, digits and `_`"
    if char == "\0":
        hint = "is this a text file?"
    return SpaceSyntaxError(
        f"{message} has no meaning here", code="E003", span=span_of(source, token), hint=hint
    )


def _too_long(source: Source, token: Token) -> EpnasError | None:
    size, text = len(token), token.value
    code, message = "", ""
    if token.type == "NAME" and size > NAME:
        code, message = "E905", f"a name of {size:,} characters; at most {NAME} are allowed"
    elif token.type in ("INT", "FLOAT") and size > NUMBER:
        code, message = "E904", f"a number of {size:,} characters; at most {NUMBER} are allowed"
    elif token.type == "INT" and len(text.replace("_", "")) > INTEGER:
        code, message = "E904", f"an integer of more than {INTEGER} digits"
    elif token.type == "FLOAT" and float(text) == float("inf"):
        code, message = "E904", "a number larger than any that can be stored"
    return LimitError(message, code=code, span=span_of(source, token)) if code else None


def cut(source: Source, tokens: list[Token]) -> tuple[list[Chunk], list[EpnasError]]:
    """The tokens of each top-level item, and the errors in the brackets.

    An item also begins where a keyword of items stands first on its line inside brackets: they
    have not been closed.
    """
    chunks: list[Chunk] = []
    brackets = Brackets(source)
    for i, token in enumerate(tokens):
        following = tokens[i + 1].value if i + 1 < len(tokens) else ""
        ends = token.value == ";" and not brackets.open
        starts = not ends and _starts_item(token, following, tokens[i - 1] if i else None, brackets)
        if chunks and (starts or ends) and not chunks[-1].following:
            chunks[-1].following = token
        if starts:
            if chunks and brackets.open:
                chunks[-1].broken = True
                brackets.forget(token)
            chunks.append(Chunk())
        if not ends:
            chunks[-1].tokens.append(token)
            chunks[-1].broken |= brackets.feed(token)
    if brackets.open:
        chunks[-1].broken = True
        brackets.forget(None)
    return chunks, brackets.errors


def _starts_item(token: Token, following: str, previous: Token | None, brackets: Brackets) -> bool:
    word = token.value
    if brackets.open:
        named = following == ":=" and "{" not in brackets.open
        fits = following == "(" if word == "network" else following.isidentifier()
        return (named or (word in ITEMS and fits)) and starts_line(token, previous)
    if previous is None or previous == ";":
        return True
    fresh, first = ends_value(previous), starts_line(token, previous)
    if word in ITEMS or word in STATEMENTS:
        return fresh or first
    named = following == ":=" or (first and (token.type == "NAME" or following == "="))
    return fresh and word.isidentifier() and named


class Brackets:
    """The brackets that are open while tokens pass, and how deep the tree would be there."""

    def __init__(self, source: Source, nesting: int = NESTING, depth: int = DEPTH) -> None:
        self.source, self.nesting, self.depth = source, nesting, depth
        self.open: list[Token] = []
        self.errors: list[EpnasError] = []
        self._operators = [0]  # in the current piece of every open bracket

    def feed(self, token: Token) -> bool:
        """Take the next token; whether it is an error."""
        count, word = len(self.errors), token.value
        if word == "{":
            self._operators[-1] = 0
        if word in BRACKETS:
            self.open.append(token)
            self._operators.append(0)
        elif word in _CLOSING:
            self._close(token)
        if word in _NESTING_WORDS:
            self._operators[-1] += 1
        elif word in _SEPARATORS:
            self._operators[-1] = 0
        depth = sum(self._operators) + 3 * len(self.open)
        if len(self.open) > self.nesting or depth > self.depth:
            message = (
                f"nested too deeply: at most {self.nesting} brackets or {self.depth} operators"
            )
            raise LimitError(message, code="E901", span=span_of(self.source, token))
        return len(self.errors) > count

    def forget(self, before: Token | None) -> None:
        """Report the innermost open bracket and take all as closed."""
        self._unclosed(before)
        self.open.clear()
        self._operators = [0]

    def _close(self, token: Token) -> None:
        wanted = _CLOSING[token.value]
        opens = [t.value for t in self.open]
        if not opens or (opens[-1] == "{" and wanted not in opens):
            self._error("E006", f"`{token.value}` closes nothing", token, "")
        elif opens[-1] != wanted and wanted not in opens:
            start = self.open[-1]
            line, column = self.source.position(start.start_pos or 0)
            message = f"`{token.value}` cannot close the `{start}` of line {line}, column {column}"
            self._error("E006", message, token, f"write `{BRACKETS[start.value]}`")
            self._pop()
        else:
            while self.open[-1].value != wanted:
                self._unclosed(token)
                self._pop()
            self._pop()

    def _pop(self) -> None:
        self.open.pop()
        self._operators.pop()

    def _unclosed(self, before: Token | None) -> None:
        start = self.open[-1]
        where = quote(before) + (f" in line {before.line}" if before is not None else "")
        hint = f"a `{BRACKETS[start.value]}` is missing before {where}"
        self._error("E005", f"`{start}` is never closed", start, hint)

    def _error(self, code: str, message: str, token: Token, hint: str) -> None:
        span = span_of(self.source, token)
        self.errors.append(SpaceSyntaxError(message, code=code, span=span, hint=hint))
