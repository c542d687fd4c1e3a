"""Turn a search space into DOT: what is open is dashed, one frame for each level."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TYPE_CHECKING

from epnas_dsl.space.drawing.canvas import (
    GREY,
    PALE,
    box,
    canvas,
    check_size,
    family,
    frame,
    join,
    operation_lines,
    place,
    side_by_side,
    table,
    terminal,
)
from epnas_dsl.space.drawing.cells import body_title, drawn_bodies
from epnas_dsl.space.genotype import print_reference, print_term
from epnas_dsl.space.search_space import Body, SearchSpace
from epnas_dsl.space.terms import (
    Apply,
    CellCall,
    Choice,
    Each,
    Function,
    Join,
    Last,
    Operation,
    Stack,
    Statement,
    Subset,
    Term,
    Unused,
    Value,
)

if TYPE_CHECKING:
    from graphviz import Digraph

SHOWN = 24  # alternatives of one decision
MAX_LEVELS = 6


def draw_space(space: SearchSpace, body: str | None = None) -> Digraph:
    """Draw a space: each decision lists its options, dashed edges come from what it may read.

    Operands that mean the same (`op(source) + op(source)`) are drawn once, with their number.

    Args:
        body: a cell's name or `network`; by default every body that has decisions.

    Raises:
        ConfigError: there is no such body (E804).
        LimitError: too large to draw (E803).
    """
    names = drawn_bodies(space, body)
    head = f"{print_reference(space)}: {', '.join(body_title(space, n) for n in names)}"
    options = f"options at each of {space.depth} levels: {_numbers(space)}"
    notes = [options, "dashed: to be chosen"] if space.decisions else ["nothing is to be chosen"]
    dot = canvas(space.name, head, *notes)
    dot.attr("graph", rankdir="LR", newrank="true")
    bodies = [next(b for b in space.bodies if name in b.names) for name in names]
    for body_ in reversed(bodies):  # from left to right, the first stands at the bottom
        with dot.subgraph(name=f"cluster_{place(body_.name)}") as part:
            part.attr(peripheries="0", label="")
            if len(bodies) > 1:
                frame(part, body_title(space, body_.name))
            _draw_body(part, space, body_)
    return dot


def _shown(space: SearchSpace, body: Body) -> list[Statement]:
    """The statements to draw: of many levels the first three and the last."""
    depth = space.depth
    return [s for s in body.statements if depth <= MAX_LEVELS or s.level <= 3 or s.level == depth]


def _numbers(space: SearchSpace) -> str:
    """The sizes of the levels, the middle ones left out where there are many."""
    sizes = [count_text(space.level_size(n)) for n in range(1, space.depth + 1)]
    return ", ".join(
        sizes if len(sizes) <= 12 else [*sizes[:6], "\N{HORIZONTAL ELLIPSIS}", sizes[-1]]
    )


def count_text(number: int) -> str:
    """A number that may be large: exact up to a billion."""
    return f"{number:,}" if number < 10**9 else f"about 10^{int(math.log10(number))}"


@dataclass(frozen=True, slots=True)
class _Source:
    """A node that may be read; `open` where that is still to be chosen."""

    name: str
    open: bool = False


def _draw_body(dot: Digraph, space: SearchSpace, body: Body) -> None:
    sketch = _Sketch(dot, body.name)
    for label_ in body.inputs:
        name = place(body.name, label_)
        terminal(dot, name, label_)
        sketch.values[label_] = [_Source(name)]
    side_by_side(dot, [place(body.name, x) for x in reversed(body.inputs)])
    shown = {id(s) for s in _shown(space, body)}
    for (level, drawn), group in groupby(body.statements, lambda s: (s.level, id(s) in shown)):
        if drawn:
            _draw_level(sketch, level, list(group))
        else:
            sketch.leave_out(list(group), space.depth)
        sketch.draw_edges()
    sources = sketch.read(body.result.term)
    name = place(body.name, "return")
    terminal(dot, name, "output")
    sketch.connect(sources, name)
    sketch.draw_edges()


def _draw_level(sketch: _Sketch, level: int, statements: Sequence[Statement]) -> None:
    dot = sketch.dot
    name = f"cluster_{place(sketch.prefix, 'level', str(level))}" if level else None
    with dot.subgraph(name=name) as part:
        if level:
            size = count_text(math.prod(s.term.size for s in statements))
            names = ", ".join(s.label for s in statements[:4])
            frame(part, f"level {level}: {names}, {size} options", dashed=True)
        sketch.dot = part
        for statement in statements:
            sketch.statement(statement)
    sketch.dot = dot


@dataclass(slots=True)
class _Sketch:
    """Draws the terms of one body; `values` are the nodes that a name stands for."""

    dot: Digraph
    prefix: str
    values: dict[str, list[_Source]] = field(default_factory=dict)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    edges: list[tuple[_Source, str]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    omitted: bool = False
    drawn: int = 0

    def statement(self, statement: Statement) -> None:
        """Draw `label = term` and remember where its value stands."""
        if statement.term.kind == "number":
            if statement.term.is_decision:
                self.options(self.name(), [statement.term], statement.label)
            return
        self.values[statement.label] = self.read(statement.term)
        if statement.array:
            self.arrays.setdefault(statement.array, []).append(statement.label)

    def leave_out(self, statements: Sequence[Statement], depth: int) -> None:
        """One node for a level in the middle, and for those left out before it."""
        name = place(self.prefix, "left.out")
        if not self.omitted:
            box(self.dot, name, [f"levels 4 to {depth - 1}", "likewise"], "zero")
            newest = next(reversed(self.values.values()), [])
            self.connect([_Source(s.name, True) for s in newest], name)
        self.omitted = True
        for statement in statements:
            self.values[statement.label] = [_Source(name)]
            if statement.array:
                self.arrays.setdefault(statement.array, []).append(statement.label)

    def name(self) -> str:
        """A fresh name."""
        self.made.append(place(self.prefix, f"n.{len(self.made) + 1}"))
        self.drawn += 1
        check_size(self.drawn)
        return self.made[-1]

    def connect(self, sources: Sequence[_Source], name: str) -> None:
        """Edges to a node; they are drawn outside the frames that their ends stand in."""
        self.edges += [(source, name) for source in sources]
        self.drawn += len(sources)
        check_size(self.drawn)

    def draw_edges(self) -> None:
        """Draw the edges waiting."""
        for source, name in dict.fromkeys(self.edges):
            look = {"style": "dashed", "color": PALE} if source.open else {}
            self.dot.edge(source.name, name, **look)
        self.edges.clear()

    def read(self, term: Term, note: str = "") -> list[_Source]:
        """Draw a term; where its value stands, or may stand."""
        match term:
            case Value():
                return self.values.get(term.label, [])
            case Last():
                return self.values[self.arrays[term.array][-1]]
            case Unused():
                labels = self.arrays.get(term.array, [])
                return [_Source(s.name, True) for x in labels for s in self.values[x]]
            case Choice():
                found = [s for a in _alternatives(term) for s in self.read(a)]
                return [_Source(s.name, True) for s in found]
            case Subset():
                return self.subset(term)
            case Each():
                self.values[term.variable] = self.subset(term.subset)
                return self.read(term.body, "for each")
            case Join():
                return self.join(term)
            case Apply():
                return self.apply(term, note)
            case Stack() | CellCall():
                cells = (term.cell,) if isinstance(term, CellCall) else term.cells
                return self.box([", ".join(dict.fromkeys(cells))], "cell", term.inputs)
        return []

    def subset(self, term: Subset) -> list[_Source]:
        """The elements, and how many of them are chosen."""
        found = [s for e in term.elements for s in self.read(e)]
        least, most, n = term.least, term.most, len(term.elements)
        if least == most == n:
            return found
        text = f"{least} of" if least == most else "some of" if least else "any of"
        name = self.name()
        box(self.dot, name, [text], "zero", height="0.2", fontsize="10")
        self.connect([_Source(s.name, True) for s in found], name)
        return [_Source(name)]

    def join(self, term: Join) -> list[_Source]:
        """The operands, equal ones once."""
        same: dict[bytes, list[Term]] = {}
        for part in term.parts:
            key = part.digest if part.size > 1 else str(len(same)).encode()
            same.setdefault(key, []).append(part)
        name = self.name()
        before, operands = len(self.made), list[_Source]()
        for parts in same.values():
            note = f"{len(parts)} times" if len(parts) > 1 else ""
            operands += self.read(parts[0], note)
        self.connect(operands, name)
        with self.dot.subgraph() as row:
            row.attr(rank="same")
            for made in {s.name: None for s in operands if s.name in self.made[before:]}:
                row.node(made)
        join(self.dot, name, term.operator)
        return [_Source(name)]

    def apply(self, term: Apply, note: str) -> list[_Source]:
        """An operation, or the operations that it is chosen from."""
        callee = term.callee
        arguments = ", ".join(f"{n}={_open(t)}" for n, t in term.arguments)
        if isinstance(callee, Operation | Function) and callee.size == 1 and not note:
            text = _open(callee) + (f"({arguments})" if arguments else "")
            return self.box(operation_lines(text), family(callee.name), term.inputs)
        name = self.name()
        self.options(name, [callee], note, arguments)
        for x in term.inputs:
            self.connect(self.read(x), name)
        return [_Source(name)]

    def box(self, lines: Sequence[str], kind: str, inputs: Sequence[Term]) -> list[_Source]:
        """A node without choices of its own."""
        name = self.name()
        for x in inputs:
            self.connect(self.read(x), name)
        box(self.dot, name, lines, kind)
        return [_Source(name)]

    def options(self, name: str, terms: Sequence[Term], note: str, arguments: str = "") -> None:
        """A dashed box of alternatives, each in the colours of its family."""
        leaves = [leaf for t in terms for leaf in islice(_alternatives(t), SHOWN + 1)]
        chips = [(_open(leaf), _kind(leaf)) for leaf in leaves[:SHOWN]]
        if len(leaves) > SHOWN:
            chips.append(("and more", "join"))
        columns = 1 if len(chips) <= 4 else 2
        self.dot.node(name, table(chips, columns, note, arguments), shape="box",
                      style="rounded,dashed", margin="0.04", color=GREY)  # fmt: skip


def _alternatives(term: Term, seen: set[bytes] | None = None) -> Iterator[Term]:
    """What may be chosen, choices among choices opened; what means the same comes once."""
    seen = set() if seen is None else seen
    if term.digest in seen:
        return
    seen.add(term.digest)
    if isinstance(term, Choice):
        for alternative in term.alternatives:
            yield from _alternatives(alternative, seen)
    else:
        yield term


def _kind(term: Term) -> str:
    return family(term.name) if isinstance(term, Operation | Function) else "join"


def _open(term: Term) -> str:
    """A term as the language writes it, its choices with `|`."""
    match term:
        case Choice():
            return "|".join(map(_open, islice(_alternatives(term), SHOWN)))
        case Operation() | Function():
            inner = ", ".join(f"{n}={_open(t)}" for n, t in term.arguments)
            return f"{term.name}({inner})" if inner else term.name
    return print_term(term, (), {}) if term.size == 1 else "\N{HORIZONTAL ELLIPSIS}"
