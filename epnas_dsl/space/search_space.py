"""The meaning of a .space text: bodies of statements, and their decisions, level by level."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise

from epnas_dsl.errors import Span
from epnas_dsl.space.terms import (
    Number,
    Statement,
    Term,
    Tree,
    assemble,
    decisions,
    disassemble,
    normal,
)

DEFAULT_SHARING = ("cell", "block", "slot", "op")


@dataclass(frozen=True, eq=False)
class Body:
    """The statements of a cell or of the network.

    Attributes:
        names: of the cell, with the stride at each entry; `{"network": 1}` for the network.
        inputs: the labels of the values that it receives.
        result: what it returns.
    """

    names: dict[str, int]
    inputs: tuple[str, ...]
    statements: tuple[Statement, ...]
    result: Statement
    span: Span | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The first of the names."""
        return next(iter(self.names))


@dataclass(frozen=True, eq=False)
class Requirement:
    """`require params <= 5e6`: a measure of an architecture, and the bounds that it has to keep."""

    condition: Term
    text: str
    measures: frozenset[str]
    span: Span | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Decision:
    """One choice to be made.

    Attributes:
        name: where it stands: `normal.h2.1`, the first decision of the statement `h2`; of a label
            that is given again, that of its node: `network.x_2.1`.
        level: the level that it belongs to, from 1.
    """

    name: str
    level: int
    term: Term

    @property
    def size(self) -> int:
        """The number of options."""
        return self.term.size


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """A family of architectures: an ordered list of levels, each a list of decisions.

    Attributes:
        parameters: all of them, with the values in force.
        changed: those given from outside, in the order of the text.
        bodies: the cells in the order of the text, the network last.
        sharing: the coordinates of the key of the shared weights.
        treated: the role (`wire`, `zero`, `pure`) of operations that count as nothing else.
        source: the text that it was read from.
    """

    name: str
    parameters: dict[str, Number]
    changed: dict[str, Number]
    bodies: tuple[Body, ...]
    requirements: tuple[Requirement, ...] = ()
    sharing: tuple[str, ...] = DEFAULT_SHARING
    treated: dict[str, str] = field(default_factory=dict)
    source: str = field(default="", repr=False)

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={v}" for k, v in self.changed.items())
        return f"SearchSpace({self.name}{f'({given})' if given else ''}, {self.digest})"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from epnas_dsl.space.drawing import mimebundle

        return dict(mimebundle(self))

    @property
    def network(self) -> Body:
        """The body of the whole network."""
        return self.bodies[-1]

    @cached_property
    def cells(self) -> dict[str, Body]:
        """The bodies of the cells, by each of their names."""
        return {name: body for body in self.bodies[:-1] for name in body.names}

    @cached_property
    def depth(self) -> int:
        """The number of levels."""
        return max(1, *(s.level for b in self.bodies for s in b.statements), 1)

    @cached_property
    def statements(self) -> tuple[tuple[Body, Statement], ...]:
        """Every statement that holds a decision, in the order of the levels, then of the text."""
        found = [
            (body, statement)
            for body in self.bodies
            for statement in (*body.statements, body.result)
            if statement.term.decisions
        ]
        return tuple(sorted(found, key=lambda pair: max(1, pair[1].level)))

    @cached_property
    def decided(self) -> tuple[Body, ...]:
        """The bodies that hold a decision, those of the first levels first."""
        return tuple(dict.fromkeys(body for body, _ in self.statements))

    @cached_property
    def levels(self) -> tuple[tuple[Decision, ...], ...]:
        """The decisions of each level; `levels[0]` are those of level 1."""
        from epnas_dsl.space.graph import statement_names

        names = {s: n for b in self.bodies for n, s in statement_names(b, self.depth).items()}
        rows: list[list[Decision]] = [[] for _ in range(self.depth)]
        for body, statement in self.statements:
            level = max(1, statement.level)
            for i, term in enumerate(decisions(statement.term), 1):
                name = f"{body.name}.{names[statement]}.{i}"
                rows[level - 1].append(Decision(name, level, term))
        return tuple(map(tuple, rows))

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """All of them, level by level."""
        return tuple(d for row in self.levels for d in row)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """The number of decisions up to the end of each level; entry 0 is 0."""
        return tuple(accumulate(map(len, self.levels), initial=0))

    @cached_property
    def positions(self) -> dict[Statement, tuple[int, int]]:
        """From where to where the choices of each decided statement stand in an architecture's."""
        ends = accumulate((s.term.decisions for _, s in self.statements), initial=0)
        return {s: place for (_, s), place in zip(self.statements, pairwise(ends), strict=True)}

    @cached_property
    def digest(self) -> str:
        """A hash of the meaning; layout, comments and names of productions do not count."""
        h = hashlib.blake2b(digest_size=8)
        h.update(repr((self.name, self.sharing, sorted(self.treated.items()))).encode())
        for body in self.bodies:
            h.update(repr((body.names, body.inputs)).encode())
            for s in (*body.statements, body.result):
                h.update(repr((s.label, s.level, s.array)).encode() + s.term.digest)
        for requirement in self.requirements:
            h.update(requirement.condition.digest)
        return h.hexdigest()

    @cached_property
    def places(self) -> int:
        """How many values the statements of all bodies name or make, at most."""
        return sum(s.term.places for b in self.bodies for s in (*b.statements, b.result))

    def level_size(self, level: int, unordered: bool = False) -> int:
        """The number of options of a level, over all of its decisions."""
        if unordered:
            here = (s for _, s in self.statements if max(1, s.level) == level)
            return math.prod(s.term.unordered for s in here)
        return math.prod(d.size for d in self.levels[level - 1])

    def trees(self, choices: Sequence[int]) -> dict[Statement, Tree]:
        """The choice tree of every decided statement, for choices complete up to some level."""
        places = self.positions.items()
        return {s: assemble(s.term, choices, i)[0] for s, (i, _) in places if i < len(choices)}

    def normalise(self, choices: Sequence[int]) -> tuple[int, ...]:
        """The same choices with commuting operands in order."""
        result: list[int] = []
        for statement, (start, end) in self.positions.items():
            if start >= len(choices):
                break
            term, numbers = statement.term, tuple(choices[start:end])
            result += numbers if term.unordered == term.size else _in_order(term, numbers)
        return tuple(result)


@lru_cache(maxsize=1 << 14)
def _in_order(term: Term, numbers: tuple[int, ...]) -> list[int]:
    tree, _ = assemble(term, numbers)
    return disassemble(term, normal(term, tree))
