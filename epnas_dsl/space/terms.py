"""What an expression means: terms, in which the choices still to be made are terms themselves.

A term with choices stands for as many fixed expressions as its `size` says. They are numbered from
0; `pick` turns a number into the choices it stands for, `rank` turns the choices into the number:

    term                          size                            order of the numbers
    Choice(a, b, ..)              size(a) + size(b) + ..          those of a, then those of b, ..
    Subset, Each                  sum over the subsets            see `Subset`
    any other                     product over its children       the last child's changes fastest

Sizes, depths and digests are worked out when a term is made, from those of its children: a text of
600 bytes may describe 2^40 expressions, which are counted here and never written out.

A *choice tree* has the shape of the term: a Choice gives (alternative, its tree), a Subset the
positions chosen and their trees, any other term a tuple with one tree for each child.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, ClassVar

from epnas_dsl.errors import LimitError, Span

Number = int | float
Tree = tuple[Any, ...]

MAX_DEPTH = 150
MAX_PLACES = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """What every term has.

    Attributes:
        size: how many fixed expressions it stands for.
        unordered: how many when operands of `+` commute.
        decisions: how many decisions are open in it, nested ones not counted.
        places: how many values it names or makes, at most.
        shares: whether it holds a `concat` that shares channels out.
        digest: equal digests mean the same.
    """

    size: int = field(init=False, repr=False, default=1)
    unordered: int = field(init=False, repr=False, default=1)
    decisions: int = field(init=False, repr=False, default=0)
    places: int = field(init=False, repr=False, default=1)
    depth: int = field(init=False, repr=False, default=1)
    shares: bool = field(init=False, repr=False, default=False)
    digest: bytes = field(init=False, repr=False, default=b"")

    is_decision: ClassVar[bool] = False
    kind: ClassVar[str] = "value"
    many: ClassVar[bool] = False  # stands for any number of values, inside a sum or a list

    def __post_init__(self) -> None:
        parts = self.children
        depth = 1 + max((c.depth for c in parts), default=0)
        places = 1 + self._places()
        if depth > MAX_DEPTH:
            raise LimitError(f"choices nested more than {MAX_DEPTH} deep", code="E907")
        if places > MAX_PLACES:
            raise LimitError(f"an expression of more than {MAX_PLACES:,} places", code="E908")
        self._set("size", self._size())
        self._set("unordered", self._unordered())
        self._set("decisions", 1 if self.is_decision else sum(c.decisions for c in parts))
        self._set("places", places)
        self._set("depth", depth)
        self._set("shares", self._shares() or any(c.shares for c in parts))
        self._set("digest", self._digest())

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def children(self) -> tuple[Term, ...]:
        """The terms inside, in the order of the text."""
        return ()

    def _size(self) -> int:
        return math.prod(c.size for c in self.children)

    def _unordered(self) -> int:
        return math.prod(c.unordered for c in self.children)

    def _places(self) -> int:
        return sum(c.places for c in self.children)

    def _shares(self) -> bool:
        return False

    def _digest(self) -> bytes:
        own = [getattr(self, f.name) for f in fields(self) if f.init and f.compare]
        plain = [x for x in own if not _holds_terms(x)]
        return _hashed(f"{type(self).__name__}:{len(self.children)}:{plain}|", self.children)


def _holds_terms(x: object) -> bool:
    return isinstance(x, Term) or (isinstance(x, tuple) and any(map(_holds_terms, x)))


def _hashed(head: str, terms: Iterable[Term], tail: bytes = b"") -> bytes:
    inner = b"".join(t.digest for t in terms)
    return hashlib.blake2b(head.encode() + inner + tail, digest_size=16).digest()


def inside(*terms: Term) -> Iterator[Term]:
    """The terms and all that they are made of, each once, in the order of the text."""
    waiting, met = list(reversed(terms)), set[int]()
    while waiting:
        term = waiting.pop()
        if id(term) not in met:
            met.add(id(term))
            yield term
            waiting += reversed(term.children)


# --- fixed things ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Constant(Term):
    """A number."""

    value: Number
    kind: ClassVar[str] = "number"


@dataclass(frozen=True, slots=True, eq=False)
class Variable(Term):
    """A number known later: `channels` in a cell, or a name that stands for a chosen number."""

    name: str
    kind: ClassVar[str] = "number"


@dataclass(frozen=True, slots=True, eq=False)
class Formula(Term):
    """Arithmetic with at least one number known later."""

    operator: str
    operands: tuple[Term, ...]
    span: Span | None = field(default=None, compare=False, repr=False)
    kind: ClassVar[str] = "number"

    @property
    def children(self) -> tuple[Term, ...]:
        """The operands."""
        return self.operands


@dataclass(frozen=True, slots=True, eq=False)
class Value(Term):
    """A named value: `prev1`, `h3`. An optional one is left out where its level is not there.

    Attributes:
        width: how many channels it has, where its text says so; for warnings.
    """

    label: str
    optional: bool = False
    width: Term | None = field(default=None, compare=False, repr=False)
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Last(Term):
    """`last(h)`: the newest element."""

    array: str


@dataclass(frozen=True, slots=True, eq=False)
class Unused(Term):
    """`unused(h)`: the elements that no statement reads, in order."""

    array: str
    many: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, eq=False)
class Operation(Term):
    """An operation of the table, possibly with arguments, that waits for its inputs."""

    name: str
    arguments: tuple[tuple[str, Term], ...] = ()
    kind: ClassVar[str] = "operation"

    @property
    def children(self) -> tuple[Term, ...]:
        """The arguments."""
        return tuple(t for _, t in self.arguments)

    def _digest(self) -> bytes:
        names = ",".join(n for n, _ in self.arguments)
        return _hashed(f"op:{self.name}({names})", self.children)


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """`label = term`, there from `level` on (0: always).

    A label may be given more than once: later readers see the newest.
    """

    label: str
    term: Term
    level: int = 0
    array: str = ""
    span: Span | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Function(Term):
    """A function of the space, possibly with arguments, that waits for its inputs."""

    name: str
    inputs: tuple[str, ...]
    arguments: tuple[tuple[str, Term], ...]
    statements: tuple[Statement, ...]
    result: Term
    parameters: tuple[str, ...] = field(default=(), compare=False)  # all, in their order
    kind: ClassVar[str] = "operation"

    @property
    def children(self) -> tuple[Term, ...]:
        """The arguments, then the body's terms, then the result."""
        arguments = tuple(t for _, t in self.arguments)
        return (*arguments, *(s.term for s in self.statements), self.result)

    def _digest(self) -> bytes:
        labels = [(s.label, s.array) for s in self.statements]
        names = self.name, self.inputs, [n for n, _ in self.arguments], labels
        return _hashed(f"def:{names}", self.children)


# --- combinations ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Apply(Term):
    """`op(x, y, kernel=3)`.

    Attributes:
        callee: an Operation, a Function or a Choice of these.
        width: the channels it makes where it says nothing of them; None: as many as it reads.
    """

    callee: Term
    inputs: tuple[Term, ...]
    arguments: tuple[tuple[str, Term], ...] = ()
    width: Term | None = field(default=None, compare=False)
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def children(self) -> tuple[Term, ...]:
        """The operation, the inputs, the arguments."""
        return (self.callee, *self.inputs, *(t for _, t in self.arguments))

    def _digest(self) -> bytes:
        names = ",".join(n for n, _ in self.arguments)
        width = b"/" + (self.width.digest if self.width else b"")
        return _hashed(f"apply:{len(self.inputs)}({names})", self.children, width)


@dataclass(frozen=True, slots=True, eq=False)
class Join(Term):
    """`a + b` (`add`) or `concat(a, b)` (`concat`); parts of several values are spread.

    Attributes:
        width: the channels that the parts of a `concat` share; None: each has what it has.
    """

    operator: str
    parts: tuple[Term, ...]
    span: Span | None = field(default=None, compare=False, repr=False)
    width: Term | None = field(default=None, compare=False)

    @property
    def children(self) -> tuple[Term, ...]:
        """The parts."""
        return self.parts

    def _shares(self) -> bool:
        return self.width is not None

    def _digest(self) -> bytes:
        plain = super(Join, self)._digest()
        if self.width is None:
            return plain
        return hashlib.blake2b(plain + self.width.digest, digest_size=16).digest()

    def _unordered(self) -> int:
        sizes = ((self.parts[g[0]].unordered, len(g)) for g in self.all_groups())
        return math.prod(math.comb(u + n - 1, n) for u, n in sizes)

    def groups(self) -> list[list[int]]:
        """The positions of parts that mean the same before any choice is made, so commute."""
        if self.operator != "add":
            return []
        found: dict[bytes, list[int]] = {}
        for i, part in enumerate(self.parts):
            if part.size > 1:
                found.setdefault(part.digest, []).append(i)
        return [g for g in found.values() if len(g) > 1]

    def all_groups(self) -> list[list[int]]:
        """The groups, then every other part alone."""
        groups = self.groups()
        grouped = {i for group in groups for i in group}
        return groups + [[i] for i in range(len(self.parts)) if i not in grouped]


@dataclass(frozen=True, slots=True, eq=False)
class Stack(Term):
    """`stack(x, [normal*2, reduction])`: each cell receives the outputs of those before it."""

    inputs: tuple[Term, ...]
    cells: tuple[str, ...]
    width: Term | None = None
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def children(self) -> tuple[Term, ...]:
        """What the first cell receives, then the width."""
        return (*self.inputs, *([self.width] if self.width else []))


@dataclass(frozen=True, slots=True, eq=False)
class CellCall(Term):
    """`normal(a, b)`: one cell."""

    cell: str
    inputs: tuple[Term, ...]
    width: Term | None = None
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def children(self) -> tuple[Term, ...]:
        """What the cell receives, then the width."""
        return (*self.inputs, *([self.width] if self.width else []))


# --- choices -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Choice(Term):
    """Exactly one of the alternatives."""

    alternatives: tuple[Term, ...]
    is_decision: ClassVar[bool] = True

    @property
    def children(self) -> tuple[Term, ...]:
        """The alternatives."""
        return self.alternatives

    @property
    def kind(self) -> str:  # type: ignore[override]
        """That of the alternatives, which is the same for all."""
        return self.alternatives[0].kind

    def _size(self) -> int:
        return sum(a.size for a in self.alternatives)

    def _unordered(self) -> int:
        return sum(a.unordered for a in self.alternatives)

    def _places(self) -> int:
        return max(a.places for a in self.alternatives)


@dataclass(frozen=True, slots=True, eq=False)
class Subset(Term):
    """At least `least` and at most `most` of the elements, no order, no repeats.

    All subsets of fixed elements are numbered by their bit set (bit i: element i), the non-empty
    ones likewise less one; all others in the order of "with element i" after "without element i",
    elements of several expressions counting as many.
    """

    elements: tuple[Term, ...]
    least: int
    most: int
    is_decision: ClassVar[bool] = True
    many: ClassVar[bool] = True

    @property
    def children(self) -> tuple[Term, ...]:
        """The elements."""
        return self.elements

    @property
    def is_bit_set(self) -> bool:
        """Whether its number is the bit set (less `least`, which is 0 or 1)."""
        return (
            self.least <= 1
            and self.most >= len(self.elements)
            and not any(e.decisions for e in self.elements)
        )

    def _size(self) -> int:
        return subsets([e.size for e in self.elements], self.least, self.most)

    def _unordered(self) -> int:
        return subsets([e.unordered for e in self.elements], self.least, self.most)


@dataclass(frozen=True, slots=True, eq=False)
class Each(Term):
    """`op(s) for s in 2 of [..]`: the body once for each chosen element.

    With a fixed number of elements the subset and each body are decisions of their own; the
    bodies belong to the chosen elements in order.
    """

    variable: str
    subset: Subset
    body: Term
    many: ClassVar[bool] = True

    @property
    def is_product(self) -> bool:
        """Whether every subset has as many elements."""
        return self.subset.least == self.subset.most or self.body.size == 1

    @property
    def is_decision(self) -> bool:  # type: ignore[override]
        """Whether subset and bodies are one decision."""
        return not self.is_product

    @property
    def children(self) -> tuple[Term, ...]:
        """The subset, then the body as often as it is used."""
        if not self.is_product or self.body.size == 1:
            return (self.subset, self.body)
        return (self.subset, *[self.body] * self.subset.least)

    def _size(self) -> int:
        n, s = len(self.subset.elements), self.body.size
        if self.is_product:
            return self.subset.size * (s**self.subset.least if s > 1 else 1)
        return subsets([s] * n, self.subset.least, self.subset.most)

    def _unordered(self) -> int:
        n, u = len(self.subset.elements), self.body.unordered
        if self.is_product:
            return self.subset.unordered * (u**self.subset.least if u > 1 else 1)
        return subsets([u] * n, self.subset.least, self.subset.most)


def subsets(sizes: Sequence[int], least: int, most: int) -> int:
    """How many ways there are to choose from `least` to `most` elements and an option of each."""
    n = len(sizes)
    if least <= 0 and most >= n:
        return math.prod(1 + s for s in sizes)
    if len(set(sizes)) == 1:
        return sum(math.comb(n, j) * sizes[0] ** j for j in range(least, min(most, n) + 1))
    return ways(sizes, least, most)[0][0]


def ways(sizes: Sequence[int], least: int, most: int) -> list[list[int]]:
    """In how many ways elements i.. can still be chosen when j are chosen: entry [i][j]."""
    most = min(most, len(sizes))
    table = [[int(least <= j <= most) for j in range(most + 1)]]
    for size in reversed(sizes):
        after = table[0]
        row = [after[j] + (size * after[j + 1] if j < most else 0) for j in range(most + 1)]
        table.insert(0, row)
    return table


# --- numbers and trees -------------------------------------------------------------------------


def pick(term: Term, number: int, unordered: bool = False) -> Tree:
    """The choice tree of the numbered expression (from 0 to size - 1).

    Args:
        unordered: numbered without regard to the order of operands, from 0 to `unordered` - 1.
    """
    if not term.decisions:
        return ()
    match term:
        case Choice():
            for i, alternative in enumerate(term.alternatives):
                size = alternative.unordered if unordered else alternative.size
                if number < size:
                    return (i, pick(alternative, number, unordered))
                number -= size
            raise IndexError(number)
        case Subset() if term.is_bit_set:
            mask = number + term.least
            chosen = tuple(i for i in range(len(term.elements)) if mask >> i & 1)
            return (chosen, ((),) * len(chosen))
        case Subset():
            apart = unordered and term.unordered < term.size
            return _pick_subset(term.elements, term.least, term.most, number, apart)
        case Each() if not term.is_product:
            subset = term.subset
            bodies = (term.body,) * len(subset.elements)
            chosen, trees = _pick_subset(bodies, subset.least, subset.most, number, unordered)
            return ((chosen, ((),) * len(chosen)), *trees)
        case Join() if unordered and term.size > 1:
            return _pick_join(term, number)
    trees = []
    for child in reversed(term.children):
        number, rest = divmod(number, child.unordered if unordered else child.size)
        trees.append(pick(child, rest, unordered))
    return tuple(reversed(trees))


def _pick_join(term: Join, number: int) -> Tree:
    trees: dict[int, Tree] = {}
    for group in term.all_groups():
        size = term.parts[group[0]].unordered
        number, rest = divmod(number, math.comb(size + len(group) - 1, len(group)))
        for i, ordinal in zip(group, multiset(rest, size, len(group)), strict=True):
            trees[i] = pick(term.parts[i], ordinal, unordered=True)
    return tuple(trees[i] for i in range(len(term.parts)))


def _pick_subset(
    elements: Sequence[Term], least: int, most: int, number: int, unordered: bool
) -> Tree:
    table = ways([e.unordered if unordered else e.size for e in elements], least, most)
    chosen: list[int] = []
    trees: list[Tree] = []
    for i, element in enumerate(elements):
        without = table[i + 1][len(chosen)]
        if number < without:
            continue
        number -= without
        each = table[i + 1][len(chosen) + 1]
        inner, number = divmod(number, each)
        chosen.append(i)
        trees.append(pick(element, inner, unordered))
    return (tuple(chosen), tuple(trees))


@lru_cache(maxsize=4096)
def multiset(number: int, size: int, length: int) -> tuple[int, ...]:
    """The numbered multiset of `length` elements out of `size`, in order.

    A multiset is a set of as many out of size + length - 1 once each element is raised by its
    place; sets are numbered in colexicographic order.
    """
    found = []
    for i in range(length, 0, -1):
        low, high = i - 1, size + length - 1
        while high - low > 1:
            middle = (low + high) // 2
            if math.comb(middle, i) <= number:
                low = middle
            else:
                high = middle
        number -= math.comb(low, i)
        found.append(low - i + 1)
    return tuple(reversed(found))


def rank(term: Term, tree: Tree) -> int:
    """The number of the expression with these choices: the inverse of `pick`."""
    if term.size == 1:
        return 0
    match term:
        case Choice():
            before = sum(a.size for a in term.alternatives[: tree[0]])
            return before + rank(term.alternatives[tree[0]], tree[1])
        case Subset() if term.is_bit_set:
            bits: int = sum(1 << i for i in tree[0])
            return bits - term.least
        case Subset():
            return _rank_subset(term.elements, term.least, term.most, tree)
        case Each() if not term.is_product:
            subset = term.subset
            bodies = (term.body,) * len(subset.elements)
            return _rank_subset(bodies, subset.least, subset.most, (tree[0][0], tree[1:]))
    number = 0
    for child, inner in zip(term.children, tree, strict=False):
        number = number * child.size + rank(child, inner)
    return number


def _rank_subset(elements: Sequence[Term], least: int, most: int, tree: Tree) -> int:
    table = ways([e.size for e in elements], least, most)
    number = 0
    for j, (i, inner) in enumerate(zip(tree[0], tree[1], strict=True)):
        number += table[i + 1][j] + rank(elements[i], inner) * table[i + 1][j + 1]
    return number


def decisions(term: Term) -> list[Term]:
    """The outermost choices of a term, in the order of the text."""
    if term.is_decision:
        return [term]
    return [d for c in term.children if c.decisions for d in decisions(c)]


def assemble(term: Term, numbers: Sequence[int], position: int = 0) -> tuple[Tree, int]:
    """The choice tree of a term from the numbers chosen at its `decisions`.

    Returns the tree and the position after the last number used.
    """
    if term.is_decision:
        return pick(term, numbers[position]), position + 1
    if not term.decisions:
        return (), position
    trees = []
    for child in term.children:
        tree, position = assemble(child, numbers, position)
        trees.append(tree)
    return tuple(trees), position


def disassemble(term: Term, tree: Tree) -> list[int]:
    """The numbers chosen at a term's `decisions`: the inverse of `assemble`."""
    if term.is_decision:
        return [rank(term, tree)]
    if term.size == 1:
        return [0] * term.decisions
    pairs = zip(term.children, tree, strict=True)
    return [number for child, inner in pairs for number in disassemble(child, inner)]


def normal(term: Term, tree: Tree) -> Tree:
    """The same choices with commuting operands in order: one tree for equal expressions."""
    if not tree or term.size == 1:
        return tree
    match term:
        case Choice():
            return (tree[0], normal(term.alternatives[tree[0]], tree[1]))
        case Subset():
            pairs = zip(tree[0], tree[1], strict=True)
            return (tree[0], tuple(normal(term.elements[i], t) for i, t in pairs))
        case Each():
            return (tree[0], *(normal(term.body, t) for t in tree[1:]))
    trees = [normal(c, t) for c, t in zip(term.children, tree, strict=True)]
    if isinstance(term, Join):
        for group in term.groups():
            part = term.parts[group[0]]
            ordered = sorted((trees[i] for i in group), key=lambda t: rank(part, t))
            for i, t in zip(group, ordered, strict=True):
                trees[i] = t
    return tuple(trees)
