"""Turn a .space text into its canonical layout, and an expression into its shortest text.

The layout moves tokens and changes none of them (only `;` between statements goes), so that
numbers, parentheses and comments stay as they were written.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from lark import Token

from epnas_dsl.errors import Span
from epnas_dsl.lang import syntax
from epnas_dsl.lang.lexer import ends_value
from epnas_dsl.lang.parser import parse_space, tokenize

WIDTH = 100
INDENT = "    "
_CLOSE = ("*", "/", "^", "..")  # never have space around them
_TIGHT = ("+", "-", "//", "%", "|")  # have none in indices, ranges and values of keywords
_BREAKS = ("|", "+", "-", "and", "or", "if", "else", "for")  # a long line is broken before these

# --- an expression to text ---------------------------------------------------------------------

# How strongly a node binds, from alternatives to atoms.
_CHOICE, _CONDITIONAL, _OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(
    11
)
_LEVELS = dict.fromkeys(["<", "<=", ">", ">=", "==", "!="], _COMPARISON)
_LEVELS |= dict.fromkeys(["*", "/", "//", "%"], _PRODUCT)
_LEVELS |= {"or": _OR, "and": _AND, "+": _SUM, "-": _SUM, "^": _POWER}


def print_expression(expression: syntax.Expression) -> str:
    """The expression with as few parentheses as possible, laid out as the formatter does."""
    return _write(expression, _CHOICE)


def _write(node: syntax.Expression, least: int, tight: bool = False) -> str:
    """The text of a node; in parentheses where it binds less than `least`."""
    text = _bare(node, tight)
    return text if _strength(node) >= least else f"({text})"


def _strength(node: syntax.Expression) -> int:
    match node:
        case syntax.Alternatives():
            return _CHOICE
        case syntax.Conditional():
            return _CONDITIONAL
        case syntax.Unary():
            return _NOT if node.operator == "not" else _SIGN
        case syntax.Binary():
            return _LEVELS[node.operator]
        case syntax.Number():
            return _ATOM if node.value >= 0 else _SIGN
    return _ATOM


def _bare(node: syntax.Expression, tight: bool) -> str:
    match node:
        case syntax.Number(value):
            return repr(value)
        case syntax.Name(name):
            return name
        case syntax.Index(name, index):
            return f"{name}[{_write(index, _CONDITIONAL, True)}]"
        case syntax.Slice(name, first, last):
            return f"{name}[{_range(first, last)}]"
        case syntax.Range(first, last):
            return _range(first, last)
        case syntax.List(elements):
            return f"[{', '.join([_write(e, _CONDITIONAL, tight) for e in elements])}]"
        case syntax.Call():
            return _call(node, tight)
        case syntax.Comprehension(element, variable, iterable):
            source = _write(iterable, _CONDITIONAL, tight)
            return f"{_write(element, _CHOICE, tight)} for {variable} in {source}"
        case syntax.Subset(quantity, elements):
            return f"{_quantity(quantity)} of {_collection(elements, tight)}"
        case syntax.Alternatives(options):
            texts = [_write(o, _CONDITIONAL, tight) for o in options]
            return ("|" if tight else " | ").join(texts)
        case syntax.Unary("not", operand):
            return f"not {_write(operand, _NOT, tight)}"
        case syntax.Unary(operator, operand):
            return operator + _write(operand, _SIGN, tight)
        case syntax.Binary():
            return _binary(node, tight)
        case syntax.Conditional(then, test, otherwise):
            ends = _write(then, _OR, tight), _write(otherwise, _CONDITIONAL, tight)
            return f"{ends[0]} if {_write(test, _OR, tight)} else {ends[1]}"
    assert_never(node)


def _range(first: syntax.Expression, last: syntax.Expression) -> str:
    return f"{_write(first, _CONDITIONAL, True)}..{_write(last, _CONDITIONAL, True)}"


def _call(node: syntax.Call, tight: bool) -> str:
    arguments = [_write(a, _CHOICE, tight) for a in node.arguments]
    for keyword in node.keywords:  # `kernel=3|5`
        close = tight or isinstance(keyword.value, syntax.Alternatives)
        arguments.append(f"{keyword.name}={_write(keyword.value, _CHOICE, close)}")
    text = f"{node.name}({', '.join(arguments)})"
    if node.body is not None:
        text += " { " + "; ".join([_statement(s) for s in node.body]) + " }"
    return text


def _statement(node: syntax.Statement) -> str:
    match node:
        case syntax.Return(value):
            return f"return {_write(value, _CONDITIONAL)}"
        case syntax.Assign(name, index, value):
            place = f"[{_write(index, _CONDITIONAL, True)}]" if index else ""
            return f"{name}{place} = {_write(value, _CONDITIONAL)}"
    raise TypeError(f"no statement of an architecture: {node}")


def _quantity(node: str | syntax.Expression) -> str:
    match node:
        case str():
            return node
        case syntax.Name() | syntax.Number() if _strength(node) == _ATOM:
            return _bare(node, False)
    return f"({_bare(node, False)})"


def _collection(node: syntax.Expression, tight: bool) -> str:
    plain = syntax.List | syntax.Slice | syntax.Index | syntax.Call | syntax.Name
    text = _bare(node, tight)
    return text if isinstance(node, plain) else f"({text})"


def _binary(node: syntax.Binary, tight: bool) -> str:
    operator, level = node.operator, _LEVELS[node.operator]
    left, right = level, level + 1
    if operator == "^":
        left, right = _ATOM, _SIGN
    elif level == _COMPARISON:
        left = _SUM
    space = "" if operator in _CLOSE or (tight and operator in _TIGHT) else " "
    texts = _write(node.left, left, tight), _write(node.right, right, tight)
    return f"{texts[0]}{space}{operator}{space}{texts[1]}"


# --- a text to its layout ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Piece:
    """A token of a line: what stands before it, and whether the line may be broken there."""

    token: Token
    gap: str = ""
    depth: int = 0
    breakable: bool = False
    fresh: bool = False  # stands first on its row, as it did


@dataclass(slots=True)
class _Line:
    """One statement, or the part of it up to `{`, or `}`, or a comment."""

    indent: int
    blank: bool  # an empty line before it
    pieces: list[_Piece] = field(default_factory=list)


def format_space(text: str, name: str = "<text>") -> str:
    """The text in its canonical layout.

    Formatting twice changes nothing more, and the nodes of the text stay equal.

    Raises:
        SpaceError, LimitError: the text does not parse.
    """
    space = parse_space(text, name)
    starts, tight = _landmarks(space)
    tokens = [token for token in tokenize(space.span.source) if token != ";"]
    lines = _lines(tokens, starts, tight)
    layout = [row for line in lines for row in ([""] if line.blank else []) + _render(line)]
    return "\n".join(layout) + "\n"


def _landmarks(space: syntax.Space) -> tuple[set[int], list[tuple[int, int]]]:
    """Where statements and items begin, and the stretches without space around `+`, `-`, `|`."""
    starts, tight = {space.span.start}, list[Span]()
    for node in syntax.walk(space):
        if isinstance(node, syntax.Statement | syntax.Item):
            starts.add(node.span.start)
        match node:
            case syntax.Index() | syntax.Slice() | syntax.Range():
                tight.append(node.span)
            case syntax.Keyword(_, syntax.Alternatives()):
                tight.append(node.span)
            case syntax.Assign(_, syntax.Node() as index):
                tight.append(index.span)
    return starts, sorted((span.start, span.end) for span in tight)


def _lines(
    tokens: Sequence[Token], starts: set[int], tight: list[tuple[int, int]]
) -> Iterator[_Line]:
    line, writer = _Line(0, False), _Writer(tight)
    last: Token | None = None  # the token before, and the last one that is no comment
    code: Token | None = None
    for token, following in zip(tokens, _without_comments(tokens), strict=True):
        alone = last is None or (last.end_line or 0) < (token.line or 0)
        begins = following is None or following == "}" or following.start_pos in starts
        if (begins or code in ("{", "}")) and (token.type != "COMMENT" or alone):
            if line.pieces:
                yield line
            writer.braces -= token == "}"
            blank = last is not None and (token.line or 0) > (last.end_line or 0) + 1
            line = _Line(writer.braces, blank and last != "{" and token != "}")
            writer.begin()
        line.pieces.append(writer.piece(token, alone))
        writer.braces += token == "{"
        last, code = token, code if token.type == "COMMENT" else token
    yield line


def _without_comments(tokens: Sequence[Token]) -> list[Token | None]:
    """For every token itself, and for a comment the next token that is none."""
    found: list[Token | None] = []
    for token in reversed(tokens):
        found.append(token if token.type != "COMMENT" else found[-1] if found else None)
    return found[::-1]


class _Writer:
    """Works out what stands between the tokens of a line."""

    def __init__(self, tight: list[tuple[int, int]]) -> None:
        self.braces = 0
        self._tight = list(reversed(tight))
        self._tight_until = 0
        self.begin()

    def begin(self) -> None:
        """A new line."""
        self._open: list[str] = []
        self._first: Token | None = None
        self._previous: Token | None = None
        self._prefix = self._joined = False  # the token before is a sign, or has no space around it

    def piece(self, token: Token, alone: bool) -> _Piece:
        """The next token of the line, placed; `alone` if it was the first one of its row."""
        if token.type == "COMMENT":
            return _Piece(token, "  ", fresh=alone)
        previous, offset = self._previous, token.start_pos or 0
        while self._tight and self._tight[-1][0] <= offset:
            self._tight_until = max(self._tight_until, self._tight.pop()[1])
        if token in (")", "]"):
            self._open.pop()
        binary = previous is not None and ends_value(previous)
        joined = token in _CLOSE or (token in _TIGHT and offset < self._tight_until)
        close = previous is None or self._prefix or self._joined or (binary and joined)
        gap = "" if close or previous is None else self._gap(previous, token)
        breakable = previous == "," or (binary and token in _BREAKS)
        depth = len(self._open)
        piece = _Piece(token, gap, depth, breakable, token == "|" and alone and not depth)
        if token in ("(", "["):
            self._open.append(token)
        self._first = self._first or token
        self._previous, self._prefix, self._joined = token, token == "-" and not binary, joined
        return piece

    def _gap(self, previous: Token, token: Token) -> str:
        if token in (",", ")", "]") or previous in ("(", "["):
            return ""
        if token in ("(", "[") and previous.type == "NAME":
            return " " if self._first == "cell" and not self._open else ""
        if "=" in (previous, token) and self._open[-1:] == ["("]:
            return ""
        return " "


def _render(line: _Line) -> list[str]:
    """The line as rows of at most `WIDTH` columns, broken behind comments and where it is long."""
    rows: list[str] = []
    row: list[_Piece] = []
    indent, further = INDENT * line.indent, INDENT * (line.indent + 1)

    def wrapped() -> list[str]:
        outermost = any(piece.breakable and not piece.depth for piece in row[1:])
        if rows:  # what is broken inside a later row stands deeper than it
            return _wrap(row, further, further if outermost else further + INDENT)
        return _wrap(row, indent, further)

    for piece in line.pieces:
        if piece.fresh or piece.token.type == "COMMENT":
            rows += wrapped()
            row = []
        if piece.token.type != "COMMENT":
            row.append(piece)
        elif piece.fresh or not rows:
            rows.append((further if rows else indent) + piece.token.rstrip())
        else:
            rows[-1] += piece.gap + piece.token.rstrip()
    return rows + wrapped()


def _wrap(pieces: list[_Piece], indent: str, further: str) -> list[str]:
    """One row where that fits; else one for every argument, or as few as will do."""
    places = [i for i, piece in enumerate(pieces) if i and piece.breakable]
    if not pieces or not places or len(_row(pieces, indent)) <= WIDTH:
        return [_row(pieces, indent)] if pieces else []
    least = min(pieces[i].depth for i in places)
    places = [i for i in places if pieces[i].depth == least]
    commas = [i for i in places if pieces[i - 1].token == ","]
    starts = [p.token.value for p in pieces if p.token in ("(", "[") and p.depth == least - 1]
    if commas and starts[:1] == ["("]:
        inside = [i for i in range(1, len(pieces)) if pieces[i].depth == least]
        ends = sorted({*commas, *(i for i in inside if pieces[i - 1].token in ("(", "["))})
    else:
        ends = _fill(pieces, places, indent, further)
    parts = [pieces[i:k] for i, k in itertools.pairwise([0, *ends, len(pieces)])]
    rows = _wrap(parts[0], indent, indent + INDENT)
    return rows + [row for part in parts[1:] for row in _wrap(part, further, further + INDENT)]


def _fill(pieces: list[_Piece], places: list[int], indent: str, further: str) -> list[int]:
    """Those of the places at which a row ends when each takes as much as it can."""
    ends: list[int] = []
    for place, following in itertools.pairwise([*places, len(pieces)]):
        start = ends[-1] if ends else 0
        if len(_row(pieces[start:following], further if ends else indent)) > WIDTH:
            ends.append(place)
    return ends


def _row(pieces: list[_Piece], indent: str) -> str:
    first, *rest = pieces
    return indent + first.token + "".join(piece.gap + piece.token for piece in rest)
