"""Turn a search space into DOT: what is open is dashed, one frame for each level.

With a path, an architecture of the space, what it takes stands out and the rest fades. A tree of
choices goes down the terms for that: None where the path does not come by (or there is none).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TYPE_CHECKING

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import (
    GREY,
    LEFT,
    PALE,
    TAKEN,
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
    Tree,
    Unused,
    Value,
)

if TYPE_CHECKING:
    from graphviz import Digraph

SHOWN = 24  # alternatives of one decision
MAX_LEVELS = 6


def draw_space(
    space: SearchSpace, body: str | None = None, path: Architecture | None = None
) -> Digraph:
    """Draw a space: each decision lists its options, dashed edges come from what it may read.

    Operands that mean the same (`op(source) + op(source)`) are drawn once, with their number.
    A function with choices is opened in a frame of its own: once, or with a path for each way in
    which the path goes through it.

    Args:
        body: a cell's name or `network`; by default every body that has decisions.
        path: an architecture of the space whose choices are to stand out.

    Raises:
        ConfigError: there is no such body (E804).
        LimitError: too large to draw (E803).
    """
    names = drawn_bodies(space, body)
    head = f"{print_reference(space)}: {', '.join(body_title(space, n) for n in names)}"
    levels = f"options at each of {space.depth} levels" if space.depth > 1 else "options"
    key = f"bold: what {path.id} takes" if path else "dashed: to be chosen"
    notes = (
        [f"{levels}: {_numbers(space)}", key] if space.decisions else ["nothing is to be chosen"]
    )
    dot = canvas(f"{space.name} {path.id}" if path else space.name, head, *notes)
    opened = _Opened(path is not None)
    trees = space.trees(path.choices) if path else {}
    frames: list[Digraph] = []
    for each in [next(b for b in space.bodies if name in b.names) for name in names]:
        frames.append(_frame(each.name, body_title(space, each.name) if len(names) > 1 else ""))
        _draw_body(frames[-1], space, each, trees, opened)
    while opened.waiting:
        title, function, tree = opened.waiting.pop(next(iter(opened.waiting)))
        frames.append(_frame(f"def.{len(frames)}", title))
        _draw_function(frames[-1], f"def.{len(frames)}", function, tree, opened)
    down = space.depth <= 1  # a network without levels is a column
    dot.attr("graph", rankdir="TB" if down else "LR", newrank=str(not down).lower())
    for part in frames if down else reversed(frames):  # from left to right, the first is lowest
        dot.subgraph(part)
    return dot


def _frame(name: str, title: str) -> Digraph:
    from graphviz import Digraph

    part = Digraph(f"cluster_{place(name)}")
    part.attr(peripheries="0", label="")
    if title:
        frame(part, title)
    return part


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
    """A node that may be read; `open` where that is to be chosen, `taken` where the path does."""

    name: str
    open: bool = False
    taken: bool = True


@dataclass(slots=True)
class _Opened:
    """The functions that have choices: each is drawn once, in a frame of its own."""

    path: bool
    waiting: dict[object, tuple[str, Function, Tree | None]] = field(default_factory=dict)
    titles: dict[object, str] = field(default_factory=dict)

    def title(self, function: Function, tree: Tree | None) -> str:
        """What a call is called in the picture; the function waits to be drawn."""
        text = _open(function, tree)
        if function.size == 1 or (self.path and tree is None):
            return text
        key: object = (function.digest, tree) if self.path else function.name
        if key not in self.titles:
            same = sum(t.partition(" #")[0] == text for t in self.titles.values())
            self.titles[key] = f"{text} #{same + 1}" if same else text
            self.waiting[key] = (self.titles[key], function, tree)
        elif key in self.waiting and not self.path and function is not self.waiting[key][1]:
            longest = max(self.waiting[key][1], function, key=lambda f: len(f.statements))
            self.waiting[key] = (f"{_open(longest)}, for example", longest, None)
        return self.titles[key] if self.path else text


def _draw_body(
    dot: Digraph, space: SearchSpace, body: Body, trees: dict[Statement, Tree], opened: _Opened
) -> None:
    sketch = _Sketch(dot, body.name, opened)
    sketch.inputs(body.inputs, space.depth > 1)
    shown = {id(s) for s in (body.statements if opened.path else _shown(space, body))}
    for (level, drawn), group in groupby(body.statements, lambda s: (s.level, id(s) in shown)):
        statements = list(group)
        if drawn:
            _draw_level(sketch, level, statements, [_tree(s, trees) for s in statements])
        else:
            sketch.leave_out(statements, space.depth)
        sketch.draw_edges()
    sketch.output(body.result.term, _tree(body.result, trees))


def _tree(statement: Statement, trees: dict[Statement, Tree]) -> Tree | None:
    """The choices of a statement; None where the path does not reach its level."""
    return trees.get(statement, None if statement.term.decisions else ())


def _draw_function(
    dot: Digraph, prefix: str, function: Function, tree: Tree | None, opened: _Opened
) -> None:
    """The statements of a function; equal ones in a row are drawn once."""
    sketch = _Sketch(dot, prefix, opened)
    sketch.inputs(function.inputs, False)
    *trees, last = _inner(function, tree)[len(function.arguments) :]
    pairs = zip(function.statements, trees, strict=True)
    for _, group in groupby(pairs, lambda p: (p[0].label, p[0].term.digest, p[1])):
        same = list(group)
        note = f"{len(same)} times in a row" if len(same) > 1 else ""
        sketch.statement(*same[0], note=note)
        sketch.draw_edges()
    sketch.output(function.result, last)


def _draw_level(
    sketch: _Sketch, level: int, statements: Sequence[Statement], trees: Sequence[Tree | None]
) -> None:
    dot = sketch.dot
    name = f"cluster_{place(sketch.prefix, 'level', str(level))}" if level else None
    with dot.subgraph(name=name) as part:
        if level:
            size = count_text(math.prod(s.term.size for s in statements))
            names = ", ".join(s.label for s in statements[:4])
            frame(part, f"level {level}: {names}, {size} options", dashed=True)
        sketch.dot = part
        for statement, tree in zip(statements, trees, strict=True):
            sketch.statement(statement, tree)
    sketch.dot = dot


@dataclass(slots=True)
class _Sketch:
    """Draws the terms of one body; `values` are the nodes that a name stands for."""

    dot: Digraph
    prefix: str
    opened: _Opened
    values: dict[str, list[_Source]] = field(default_factory=dict)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    edges: list[tuple[_Source, str]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    omitted: bool = False
    drawn: int = 0

    def takes(self, tree: Tree | None) -> bool:
        """Whether the path, if there is one, comes by here."""
        return tree is not None or not self.opened.path

    def inputs(self, labels: Sequence[str], lowest_first: bool) -> None:
        """What is read from outside, side by side."""
        for label_ in labels:
            name = place(self.prefix, label_)
            terminal(self.dot, name, label_)
            self.values[label_] = [_Source(name)]
        order = reversed(labels) if lowest_first else labels
        side_by_side(self.dot, [place(self.prefix, x) for x in order])

    def output(self, term: Term, tree: Tree | None) -> None:
        """What the body returns."""
        sources = self.read(term, tree)
        name = place(self.prefix, "return")
        terminal(self.dot, name, "output")
        self.connect(sources, name)
        self.draw_edges()

    def statement(self, statement: Statement, tree: Tree | None, note: str = "") -> None:
        """Draw `label = term` and remember where its value stands."""
        if statement.term.kind == "number":
            if statement.term.is_decision:
                self.options(self.name(), statement.term, tree, statement.label)
            return
        self.values[statement.label] = self.read(statement.term, tree, note)
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

    def connect(self, sources: Sequence[_Source], name: str, taken: bool = True) -> None:
        """Edges to a node; they are drawn outside the frames that their ends stand in."""
        for source in sources:
            takes = source.taken and taken
            self.edges.append((_Source(source.name, source.open, takes), name))
            self.used |= {source.name} if takes else set()
        self.drawn += len(sources)
        check_size(self.drawn)

    def draw_edges(self) -> None:
        """Draw the edges waiting; of two from the same node the one taken."""
        best: dict[tuple[str, str], _Source] = {}
        for source, name in self.edges:
            key = (source.name, name)
            if key not in best or source.taken > best[key].taken:
                best[key] = source
        for (start, end), source in best.items():
            look = {"style": "dashed", "color": PALE} if source.open else {}
            if self.opened.path:
                look = TAKEN if source.taken else {**LEFT, "style": "dashed"}
            self.dot.edge(start, end, **look)
        self.edges.clear()

    def read(self, term: Term, tree: Tree | None, note: str = "") -> list[_Source]:
        """Draw a term; where its value stands, or may stand."""
        match term:
            case Value():
                return self.values.get(term.label, [])
            case Last():
                return self.last(term.array)
            case Unused():
                labels = self.arrays.get(term.array, [])
                found = [s for x in labels for s in self.values[x]]
                return [_Source(s.name, True, s.taken and s.name not in self.used) for s in found]
            case Choice():
                pairs = [(t, self.read(a, t)) for a, t in _alternatives(term, tree)]
                return [
                    _Source(s.name, True, s.taken and self.takes(t)) for t, ss in pairs for s in ss
                ]
            case Subset():
                return self.subset(term, tree)
            case Each():
                return self.each(term, tree)
            case Join():
                return self.join(term, tree)
            case Apply():
                return self.apply(term, tree, note)
            case Stack() | CellCall():
                cells = (term.cell,) if isinstance(term, CellCall) else term.cells
                return self.box(
                    [", ".join(dict.fromkeys(cells))], "cell", term.inputs, tree, _inner(term, tree)
                )
        return []

    def last(self, array: str) -> list[_Source]:
        """The newest element, on a path the newest that it reaches."""
        found = [self.values[label] for label in self.arrays[array]]
        return next((f for f in reversed(found) if all(s.taken for s in f)), found[-1])

    def elements(self, term: Subset, tree: Tree | None) -> list[_Source]:
        """What may be chosen."""
        every = tuple(range(len(term.elements)))
        chosen, inner = tree or (every if tree == () else (), ((),) * len(every))
        trees = dict(zip(chosen, inner, strict=False))
        return [
            _Source(s.name, term.size > 1, s.taken and self.takes(trees.get(i)))
            for i, e in enumerate(term.elements)
            for s in self.read(e, trees.get(i))
        ]

    def subset(self, term: Subset, tree: Tree | None) -> list[_Source]:
        """The elements, and how many of them are chosen."""
        found = self.elements(term, tree)
        least, most, n = term.least, term.most, len(term.elements)
        if least == most == n:
            return found
        text = f"{least} of" if least == most else "some of" if least else "any of"
        name, taken = self.name(), self.takes(tree)
        look = {} if taken else LEFT
        box(self.dot, name, [text], "zero", **{"height": "0.2", "fontsize": "10", **look})
        self.connect([_Source(s.name, True, s.taken) for s in found], name, taken)
        return [_Source(name, False, taken)]

    def each(self, term: Each, tree: Tree | None) -> list[_Source]:
        """The body once for each element; a path shows each of its own."""
        if tree is None:
            self.values[term.variable] = self.subset(term.subset, None)
            return self.read(term.body, None, "for each")
        (chosen, inner), *bodies = tree or (((), ()),)
        found: list[_Source] = []
        for n, (i, t) in enumerate(zip(chosen, inner, strict=True)):
            self.values[term.variable] = self.elements(term.subset, ((i,), (t,)))
            found += self.read(term.body, bodies[n] if n < len(bodies) else ())
        return found

    def join(self, term: Join, tree: Tree | None) -> list[_Source]:
        """The operands; equal ones once, if no path tells them apart."""
        same: dict[object, list[tuple[Term, Tree | None]]] = {}
        for part, inner in zip(term.parts, _inner(term, tree), strict=True):
            alike = part.size > 1 and not (self.opened.path and self.takes(tree))
            same.setdefault(part.digest if alike else len(same), []).append((part, inner))
        name = self.name()
        before, operands = len(self.made), list[_Source]()
        for parts in same.values():
            note = f"{len(parts)} times" if len(parts) > 1 else ""
            operands += self.read(*parts[0], note)
        taken = self.takes(tree)
        self.connect(operands, name, taken)
        with self.dot.subgraph() as row:
            row.attr(rank="same")
            for made in {s.name: None for s in operands if s.name in self.made[before:]}:
                row.node(made)
        join(self.dot, name, term.operator, **({} if taken else LEFT))
        return [_Source(name, False, taken)]

    def apply(self, term: Apply, tree: Tree | None, note: str) -> list[_Source]:
        """An operation, or the operations that it is chosen from."""
        callee = term.callee
        inner, *rest = _inner(term, tree)
        values = zip(term.arguments, rest[len(term.inputs) :], strict=True)
        arguments = ", ".join(f"{n}={_open(t, r)}" for (n, t), r in values)
        if isinstance(callee, Operation | Function) and callee.size == 1 and not note:
            text = _open(callee) + (f"({arguments})" if arguments else "")
            is_open = any(t.size > 1 for _, t in term.arguments)
            return self.box(
                operation_lines(text), family(callee.name), term.inputs, tree, rest, is_open
            )
        name = self.name()
        self.options(name, callee, inner, note, arguments)
        for x, t in zip(term.inputs, rest, strict=False):
            self.connect(self.read(x, t), name, self.takes(tree))
        return [_Source(name, False, self.takes(tree))]

    def box(
        self, lines: Sequence[str], kind: str, inputs: Sequence[Term],
        tree: Tree | None, trees: Sequence[Tree | None], is_open: bool = False,
    ) -> list[_Source]:  # fmt: skip
        """One operation, dashed where its arguments are to be chosen."""
        name, taken = self.name(), self.takes(tree)
        for x, t in zip(inputs, trees, strict=False):
            self.connect(self.read(x, t), name, taken)
        look = {"style": "rounded,filled,dashed"} if is_open and not self.opened.path else {}
        box(self.dot, name, lines, kind, **(look if taken else LEFT))
        return [_Source(name, False, taken)]

    def options(
        self, name: str, term: Term, tree: Tree | None, note: str, arguments: str = ""
    ) -> None:
        """A dashed box of alternatives, each in the colours of its family."""
        pairs = list(islice(_alternatives(term, tree), SHOWN + 1))
        if len(pairs) == 1 and isinstance(term, Operation) and not term.arguments and arguments:
            lines = operation_lines(f"{term.name}({arguments})")
            chips, arguments = [("\n".join(lines), _kind(term, self.takes(tree)))], ""
        else:
            chips = [
                (self.chip(leaf, t, len(pairs) == 1), _kind(leaf, self.takes(t)))
                for leaf, t in pairs[:SHOWN]
            ]
        if len(pairs) > SHOWN:
            chips.append(("and more", "join"))
        columns = 1 if len(chips) <= 4 else 2
        color = GREY if self.takes(tree) else LEFT["color"]
        self.dot.node(name, table(chips, columns, note, arguments), shape="box",
                      style="rounded,dashed", margin="0.04", color=color)  # fmt: skip

    def chip(self, leaf: Term, tree: Tree | None, alone: bool) -> str:
        """An alternative's text; one that stands alone on lines of their own."""
        if isinstance(leaf, Function):
            return self.opened.title(leaf, tree)
        text = _open(leaf, tree)
        return "\n".join(operation_lines(text, 26)) if alone else text


def _alternatives(term: Term, tree: Tree | None = None) -> Iterator[tuple[Term, Tree | None]]:
    """What may be chosen, choices among choices opened; what means the same comes once.

    Each with its own choices, None for those that the tree does not take.
    """
    chosen = term
    while isinstance(chosen, Choice) and tree:
        chosen, tree = chosen.alternatives[tree[0]], tree[1]
    yield from ((leaf, tree if leaf is chosen or leaf.digest == chosen.digest else None)
                for leaf in _leaves(term, set()))  # fmt: skip


def _leaves(term: Term, seen: set[bytes]) -> Iterator[Term]:
    if term.digest in seen:
        return
    seen.add(term.digest)
    if isinstance(term, Choice):
        for alternative in term.alternatives:
            yield from _leaves(alternative, seen)
    else:
        yield term


def _inner(term: Term, tree: Tree | None) -> list[Tree | None]:
    """The trees of a term's children."""
    missing: Tree | None = None if tree is None else ()
    return list(tree or ()) or [missing] * len(term.children)


def _kind(term: Term, taken: bool) -> str:
    if not taken:
        return "left"
    return family(term.name) if isinstance(term, Operation | Function) else "join"


def _open(term: Term, tree: Tree | None = None) -> str:
    """A term as the language writes it, its choices with `|`; on a path as `5 of 3|5|7`."""
    match term:
        case Choice():
            found = list(islice(_alternatives(term, tree), SHOWN))
            taken = [_open(leaf, t) + " of " for leaf, t in found if t is not None]
            return "".join(taken) + "|".join(_open(leaf) for leaf, _ in found)
        case Operation() | Function():
            pairs = zip(term.arguments, _inner(term, tree), strict=False)
            inner = ", ".join(f"{n}={_open(t, r)}" for (n, t), r in pairs)
            return f"{term.name}({inner})" if inner else term.name
    return print_term(term, (), {}) if term.size == 1 else "\N{HORIZONTAL ELLIPSIS}"
