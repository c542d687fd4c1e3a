"""The nodes of what was written, each with its place; nothing here decides what it means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from epnas_dsl.errors import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What every node has: the stretch of text that it was read from."""

    span: Span = field(compare=False, repr=False)


def walk(node: Node) -> Iterator[Node]:
    """A node and all nodes in it, each before those in it."""
    waiting: list[object] = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, tuple):
            waiting += part
        if isinstance(part, Node):
            yield part
            waiting += [getattr(part, f.name) for f in fields(part)]


def mentions(node: Node) -> Iterator[str]:
    """The names of the values, productions, functions and cells that a node speaks of."""
    return (part.name for part in walk(node) if isinstance(part, Name | Call))


# --- expressions -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number(Node):
    """`5`, `0.5`, `5e6`. Whole numbers are int."""

    value: int | float


@dataclass(frozen=True, slots=True)
class Name(Node):
    """`prev1`"""

    name: str


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`h[b-1]`"""

    name: str
    index: Expression


@dataclass(frozen=True, slots=True)
class Slice(Node):
    """`h[1..b-1]`: the elements from first to last, both included."""

    name: str
    first: Expression
    last: Expression


@dataclass(frozen=True, slots=True)
class Range(Node):
    """`1..blocks`: the whole numbers from first to last, both included."""

    first: Expression
    last: Expression


@dataclass(frozen=True, slots=True)
class List(Node):
    """`[normal*repeats, reduction]`"""

    elements: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Keyword(Node):
    """`kernel = 3` inside a call."""

    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`sep_conv(x, kernel = 3|5)`, in an architecture also `block(x) { h = conv_3x3(x) }`."""

    name: str
    arguments: tuple[Expression, ...]
    keywords: tuple[Keyword, ...] = ()
    body: tuple[Statement, ...] | None = None
    name_span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Comprehension(Node):
    """`op(s) for s in 2 of [prev2, prev1]`, the only argument of a `sum` or `concat`."""

    element: Expression
    variable: str
    iterable: Expression  # List, Slice, Range, Subset


@dataclass(frozen=True, slots=True)
class Subset(Node):
    """`any of [..]`, `some of [..]`, `2 of [..]`: quantity is "any", "some" or an expression."""

    quantity: str | Expression
    elements: Expression  # List, Slice


@dataclass(frozen=True, slots=True)
class Alternatives(Node):
    """`3 | 5`: exactly one of two or more."""

    options: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-x`, `not x`"""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`a + b`; operators: + - * / // % ^ < <= > >= == != and or"""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """`a if test else b`, decided when the space is read."""

    then: Expression
    test: Expression
    otherwise: Expression


Expression = (
    Number
    | Name
    | Index
    | Slice
    | Range
    | List
    | Call
    | Comprehension
    | Subset
    | Alternatives
    | Unary
    | Binary
    | Conditional
)


# --- statements --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assign(Node):
    """`x = expr` or `h[b] = expr`"""

    name: str
    index: Expression | None
    value: Expression
    name_span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Production(Node):
    """`op := a | b | c`"""

    name: str
    alternatives: tuple[Expression, ...]
    name_span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Level(Node):
    """`level b in 1..blocks { .. }`: unrolled step by step by the progressive search."""

    variable: str
    iterable: Expression  # Range
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class For(Node):
    """`for c in [16, 32] { .. }` or `for i in 1..3 { .. }`: unrolled at once."""

    variable: str
    iterable: Expression  # Range, List
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Return(Node):
    """`return expr`, the last statement of a body."""

    value: Expression


Statement = Assign | Production | Level | For | Return


# --- a .space file -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """`blocks = 5` in the head of a space, `x` or `stride = 1` in the head of a function."""

    name: str
    default: Expression | None = None


@dataclass(frozen=True, slots=True)
class CellName(Node):
    """`reduction/2`: a name of a cell and the stride at its entry."""

    name: str
    stride: int


@dataclass(frozen=True, slots=True)
class Cell(Node):
    """`cell normal, reduction/2 (prev2, prev1) { .. }`"""

    names: tuple[CellName, ...]
    inputs: tuple[Name, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Function(Node):
    """`def block(x, stride = 1) { .. }`"""

    name: str
    parameters: tuple[Parameter, ...]
    body: tuple[Statement, ...]
    name_span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Network(Node):
    """`network (image) { .. }`"""

    inputs: tuple[Name, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Require(Node):
    """`require params <= 5e6`"""

    condition: Expression


@dataclass(frozen=True, slots=True)
class Share(Node):
    """`share by (cell, block, slot, op)`"""

    coordinates: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Treat(Node):
    """`treat skip_connect as wire`"""

    operation: Name
    role: Name


Item = Production | Cell | Function | Network | Require | Share | Treat


@dataclass(frozen=True, slots=True)
class Space(Node):
    """A whole .space file."""

    name: str
    parameters: tuple[Parameter, ...]
    items: tuple[Item, ...]
    name_span: Span | None = field(default=None, compare=False, repr=False)


# --- an architecture's text --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Body(Node):
    """`normal { h1 = ..; h2 = .. }`; name is "" where the braces are left out."""

    name: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Genotype(Node):
    """`micro(channels=96): h1 = conv_3x3(prev1) + skip_connect(prev2); h2 = ..`"""

    space: str
    arguments: tuple[Keyword, ...]
    bodies: tuple[Body, ...]
    digest: str = ""  # `micro@1a2b3c4d`: hash of the meaning of the space it was written for
