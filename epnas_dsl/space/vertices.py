"""Turn the bodies of an architecture into vertices, the declared equivalence applied.

What a statement does to the vertices of the values before it depends on few things: its own
choices, the numbers chosen before it, what `unused` takes for read. So it is carried out once for
each of these and kept as a plan; an architecture is then a plan for each of its statements.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache
from itertools import chain, islice
from typing import NamedTuple, cast

from epnas_dsl.errors import EpnasError, LimitError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.builder import MAX_NODES
from epnas_dsl.space.graph import body_nodes, carrier
from epnas_dsl.space.nodes import Node
from epnas_dsl.space.operations import ENTRY, OPERATIONS, WIDTH, Trace
from epnas_dsl.space.search_space import Body, SearchSpace
from epnas_dsl.space.terms import (
    Apply,
    CellCall,
    Choice,
    Join,
    Last,
    Stack,
    Statement,
    Term,
    Tree,
    Unused,
    Value,
    assemble,
    inside,
)

MAX_PLANS = 1 << 12  # of a statement
MAX_TERMS = 1 << 16  # of a sum of sums

ZERO = "zero "
STEP = "step"  # the reduction that a cell's input takes where it is joined with what has taken it


class Vertex(NamedTuple):
    """A value that is left; sums and joins commute, their inputs are in order."""

    label: str
    inputs: tuple[int, ...]
    commutes: bool


class Step(NamedTuple):
    """What a node makes of the vertices of its inputs.

    Attributes:
        role: `wire`, `zero`, `add`, `concat`, `multiply`; anything else is an operation.
        merges: two of them that read the same are one.
        stepped: the positions of the inputs that take the cell's stride beforehand.
    """

    role: str
    label: str
    merges: bool
    stepped: tuple[int, ...] = ()


class Vertices:
    """Vertices in topological order, as they are made."""

    def __init__(self) -> None:
        self.made: list[Vertex] = []
        self._known: dict[Vertex, int] = {}
        self._sums: dict[int, tuple[int, ...]] = {}
        self._zeros: set[int] = set()

    def add(self, step: Step, inputs: list[int], zero: str = "") -> int:
        """The vertex of a step; `zero` is the label of zeros of its shape."""
        role, label, merges, stepped = step
        if role == "operation" and not (merges or self._zeros):  # most are
            self.made.append(Vertex(label, tuple(inputs), False))
            return len(self.made) - 1
        if stepped:
            inputs = [
                self._new(Vertex(STEP, (i,), False), False)
                if n in stepped and i not in self._zeros
                else i
                for n, i in enumerate(inputs)
            ]
        if role == "wire":
            return inputs[0]
        left = [i for i in inputs if i not in self._zeros] if self._zeros else inputs
        if (
            role == "zero"
            or (inputs and not left)
            or (role == "multiply" and len(left) != len(inputs))
        ):
            made = self._new(Vertex(zero, (), False), True)
            self._zeros.add(made)
            return made
        if role == "add":
            parts = [self._sums.get(i, (i,)) for i in left]
            terms = list(islice(chain.from_iterable(parts), MAX_TERMS))
            if len(terms) == 1:
                return terms[0]
            if len(terms) == MAX_TERMS:
                raise LimitError(f"a sum of {MAX_TERMS:,} values or more", code="E914")
            terms.sort()
            made = self._new(Vertex("add", tuple(terms), True), True)
            self._sums[made] = tuple(terms)
            return made
        if role == "concat":
            return self._new(Vertex(label, tuple(sorted(inputs)), True), True)
        return self._new(Vertex(label, tuple(inputs), False), merges)

    def _new(self, vertex: Vertex, merges: bool) -> int:
        made = self.made
        if merges:
            found = self._known.setdefault(vertex, len(made))
            if found < len(made):
                return found
        made.append(vertex)
        return len(made) - 1


def simplify(nodes: Sequence[Node], space: SearchSpace, body: Body) -> tuple[list[Vertex], int]:
    """The nodes with the equivalence applied: vertices in topological order, and the result."""
    vertices = Vertices()
    values: dict[str, int] = {}
    shapes = _Shapes(space, body)
    for node in nodes:
        shapes.add(node)
        zero = f"{ZERO}{shapes.known[node.name]}" if shapes.counts else ""
        inputs = [values[i] for i in node.inputs]
        values[node.name] = vertices.add(_step(node, space, shapes), inputs, zero)
    return vertices.made, values[nodes[-1].name]


def _step(node: Node, space: SearchSpace, shapes: _Shapes) -> Step:
    """What a node does; the shapes know its inputs."""
    role = space.treated.get(node.operation, "")
    if node.operation == "input":
        return Step("input", f"input {node.name}", True)
    if role in {"wire", "zero"}:
        if role == "zero" or not (shapes.stride > 1 and node.entry):
            return Step(role, "", True)
    elif node.operation in {"add", "concat"}:
        stepped = [n for n, i in enumerate(node.inputs) if i in shapes.entries]
        return Step(node.operation, node.text, True, tuple(stepped) if shapes.steps(node) else ())
    kind = "multiply" if node.operation == "multiply" else "operation"
    return Step(kind, _label(node), role == "pure")


def _label(node: Node) -> str:
    """The operation, and its width where it has another than the cell and does not say so."""
    says = WIDTH in dict(node.settings) or node.width in {"", WIDTH}
    return node.text if says else f"{node.text}({node.width})"


# --- statement by statement --------------------------------------------------------------------


class _Plan(NamedTuple):
    """A statement with its choices made.

    Attributes:
        steps: in order, each with the values that it reads: those that the plan makes from 0 on,
            those of the body from -1 on downwards.
        result: its value.
        entry: whether that is made of nothing but inputs of the cell.
        reads: the labels that it reads.
    """

    steps: tuple[tuple[Step, tuple[int, ...]], ...]
    result: int
    entry: bool
    reads: frozenset[str]


class _Place:
    """A place in a body, and what its statements are carried out with."""

    def __init__(
        self, architecture: Architecture, body: Body, statement: Statement, values: dict[str, int]
    ) -> None:
        self.space, self.body, self.values = architecture.space, body, values
        self.stride = max(body.names.values())
        self._carry = carrier(architecture, body, statement, {label: label for label in values})

    def plan(
        self, statement: Statement, tree: Tree, entries: frozenset[str], read: frozenset[str]
    ) -> _Plan:
        """The plan of a statement."""
        nodes, seen = self._carry(statement, tree, read, entries)
        shapes = _Shapes(self.space, self.body)
        values = {label: ~place for label, place in self.values.items()}
        steps: list[tuple[Step, tuple[int, ...]]] = []
        for node in nodes:
            shapes.add(node)
            if node.operation != "input":
                inputs = tuple(values[i] for i in node.inputs)
                values[node.name] = len(steps)
                steps.append((_step(node, self.space, shapes), inputs))
        result = nodes[-1].name
        return _Plan(tuple(steps), values[result], result in shapes.entries, frozenset(seen))


class _Statement:
    """A statement of a body, or a part of its sum, with the plans that were made of it.

    Attributes:
        asks: whether it asks what is unused.
        parts: those of a sum, each of which is one value.
    """

    def __init__(self, place: _Place, statement: Statement) -> None:
        self.place, self.statement, self.label = place, statement, statement.label
        term = statement.term
        self.asks = bool(unused(term))
        self.parts: list[_Statement] = []
        self._plans: dict[object, _Plan] = {}
        if _is_plain_sum(term) and not self.asks:
            alike = {p.digest: _Statement(place, replace(statement, term=p)) for p in term.children}
            self.parts = [alike[p.digest] for p in term.children]

    def plan(
        self, choices: tuple[int, ...], entries: frozenset[str], read: frozenset[str]
    ) -> _Plan:
        """Its plan for given choices, labels made of nothing but inputs, and labels read."""
        key = choices, entries, read
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) == MAX_PLANS:
                self._plans.clear()
            if self.parts:
                found = self._joined(choices, entries, read)
            else:
                tree, _ = assemble(self.statement.term, choices)
                found = self.place.plan(self.statement, tree, entries, read)
            self._plans[key] = found
        return found

    def _joined(
        self, choices: tuple[int, ...], entries: frozenset[str], read: frozenset[str]
    ) -> _Plan:
        """The plan of a sum, from those of its parts."""
        steps: list[tuple[Step, tuple[int, ...]]] = []
        results: list[int] = []
        reads = frozenset[str]()
        stepped: list[int] = []
        for n, part in enumerate(self.parts):
            count = part.statement.term.decisions
            plan = part.plan(choices[:count], entries, read)
            choices, before = choices[count:], len(steps)
            for step, inputs in plan.steps:
                steps.append((step, tuple(i + before if i >= 0 else i for i in inputs)))
            results.append(plan.result + before if plan.result >= 0 else plan.result)
            reads |= plan.reads
            stepped += [n] if plan.entry else []
        entry = len(stepped) == len(self.parts)
        operator = cast(Join, self.statement.term).operator
        takes = tuple(stepped) if self.place.stride > 1 and not entry else ()
        steps.append((Step(operator, operator, True, takes), tuple(results)))
        return _Plan(tuple(steps), len(steps) - 1, entry, reads)


class _Statements:
    """The statements of a body up to some level, after the numbers that an architecture chooses."""

    def __init__(self, architecture: Architecture, body: Body) -> None:
        self.inputs = [Step("input", f"input {label}", True) for label in body.inputs]
        self.entries = frozenset(body.inputs)
        self.statements: list[tuple[_Statement, int, int]] = []  # from where to where its choices
        values = {label: i for i, label in enumerate(body.inputs)}
        positions = architecture.space.positions
        for s in (*body.statements, body.result):
            if s.level <= architecture.level and s.term.kind != "number":
                place = _Place(architecture, body, s, dict(values))
                self.statements.append((_Statement(place, s), *positions.get(s, (0, 0))))
                values[s.label] = len(body.inputs) + len(self.statements) - 1

    def vertices(self, choices: tuple[int, ...]) -> tuple[list[Vertex], int]:
        """What `simplify` gives, for all choices of an architecture."""
        vertices = Vertices()
        values = [vertices.add(step, []) for step in self.inputs]
        entries, nothing = self.entries, frozenset[str]()
        read: set[str] = set()
        for s, start, end in self.statements:
            known = frozenset(read) if s.asks else nothing
            steps, result, entry, reads = s.plan(choices[start:end], entries, known)
            made: list[int] = []
            for step, inputs in steps:
                these = [made[i] if i >= 0 else values[~i] for i in inputs]
                made.append(vertices.add(step, these))
            values.append(made[result] if result >= 0 else values[~result])
            read |= reads
            if entry:
                entries |= {s.label}
            elif s.label in entries:
                entries -= {s.label}
        return vertices.made, values[-1]


def body_vertices(
    space: SearchSpace, body: Body, level: int, choices: tuple[int, ...]
) -> tuple[list[Vertex], int]:
    """The vertices of a body with the choices of an architecture, and the result.

    There may be vertices that the result does not read.
    """
    # zeros have shapes, which are followed through the whole body
    if "zero" in space.treated.values() or space.places > MAX_NODES:
        return simplify(body_nodes(Architecture(space, choices), body.name), space, body)
    chosen = tuple(choices[start:end] for start, end in _chosen_numbers(space, body, level))
    return _statements(space, body, level, chosen).vertices(choices)


@lru_cache(maxsize=64)
def _statements(
    space: SearchSpace, body: Body, level: int, chosen: tuple[tuple[int, ...], ...]
) -> _Statements:
    choices = [0] * space.widths[level]
    for (start, end), numbers in zip(_chosen_numbers(space, body, level), chosen, strict=True):
        choices[start:end] = numbers
    return _Statements(Architecture(space, choices), body)


@lru_cache(maxsize=64)
def _chosen_numbers(space: SearchSpace, body: Body, level: int) -> list[tuple[int, int]]:
    """Where the choices of numbers stand among those of an architecture."""
    found = [s for s in body.statements if s.term.kind == "number" and s.level <= level]
    return [space.positions[s] for s in found if s in space.positions]


def _is_plain_sum(term: Term) -> bool:
    """Whether a term joins two values or more, of the widths that they have."""
    several = isinstance(term, Join) and not term.width and len(term.parts) > 1
    return several and all(map(_is_one, term.children))


def _is_one(term: Term) -> bool:
    """Whether a term is one value, whatever is chosen."""
    match term:
        case Choice():
            return all(map(_is_one, term.alternatives))
        case Value():
            return not term.optional
    return isinstance(term, Apply | Join | Last | Stack | CellCall)


def unused(term: Term) -> set[str]:
    """The values with indices of which a term asks what is unused."""
    return {t.array for t in inside(term) if isinstance(t, Unused)}


# --- shapes ------------------------------------------------------------------------------------

Shape = tuple[tuple[str, ...], tuple[str, ...]]  # widths that are joined; what changed the size


class _Shapes:
    """What can be told of the shapes of a body's values: equal ones are equal in every network."""

    def __init__(self, space: SearchSpace, body: Body) -> None:
        self.is_cell, self.stride = body is not space.network, max(body.names.values())
        self.counts = "zero" in space.treated.values()
        self.known: dict[str, Shape] = {}
        self.inputs = set(body.inputs)
        self.entries: set[str] = set()  # inputs of a cell, and what is made of them before a stride

    def steps(self, node: Node) -> bool:
        """Whether inputs of the cell that are read here take its stride beforehand."""
        return self.stride > 1 and node.operation in {"add", "concat"} and not node.entry

    def add(self, node: Node) -> None:
        spec = OPERATIONS.get(node.operation)
        if node.entry and (spec is None or spec.calibrates):
            self.entries.add(node.name)
        if self.counts:
            width, size = self.shape(node)
            self.known[node.name] = _short(width), _short(size)

    def shape(self, node: Node) -> Shape:
        read = [self.known[i] for i in node.inputs]
        spec = OPERATIONS.get(node.operation)
        if self.steps(node):
            stepped = [(w, (*size, f"/{self.stride}")) for w, size in read]
            pairs = zip(node.inputs, read, stepped, strict=True)
            read = [new if x in self.entries else old for x, old, new in pairs]
        if node.operation == "input":  # it is brought to the cell's width where it is read
            return (WIDTH if self.is_cell else node.name,), ()
        if not read:  # a join of nothing, which no network has
            return (), ()
        if node.operation == "add":
            return min(read)  # all are the same, perhaps in other words
        if node.operation == "concat":
            widths = sorted(part for width, _ in read for part in width)
            return (node.width,) if node.width else tuple(widths), min(size for _, size in read)
        if spec is None or spec.family == "head":  # a cell reads its inputs as they are
            raw = [i for i in node.inputs if i in self.inputs]
            return (_digest(node.text, raw, read),), ()
        width, size = read[0]
        if (WIDTH, WIDTH) in spec.parameters:
            width = (node.width,) if node.width else width
        elif not _keeps_width(spec.name):
            width = (_digest(node.text, read),)
        settings = {**dict(spec.parameters), **dict(node.settings)}
        stride = settings.get(ENTRY, 1)
        if stride == ENTRY:
            stride = self.stride if node.entry and not spec.calibrates else 1
        changed = f"/{stride}" if stride != 1 else ""
        if "factor" in settings or settings.get("padding", -1) != -1:
            changed = node.text
        return width, (*size, changed) if changed else size


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _short(parts: tuple[str, ...]) -> tuple[str, ...]:
    return parts if len(parts) <= 64 else (_digest(parts),)


@cache
def _keeps_width(operation: str) -> bool:
    """Whether an operation makes as many channels as it reads, of two numbers tried."""
    spec = OPERATIONS[operation]
    given = {n: 1 if d in (None, ENTRY) else d for n, d in spec.parameters} | dict(spec.fixed)

    def made(width: int) -> int:
        reads = [f"x{i}" for i in range(spec.inputs)]
        trace = Trace("", dict.fromkeys(reads, width))
        return trace.channels[spec.build(trace, *reads, **given)]

    try:
        return made(48) == 48 and made(120) == 120
    except EpnasError:
        return False
