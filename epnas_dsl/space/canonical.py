"""Turn an architecture into a key: equal if and only if equal under the declared equivalence.

The default equivalence: operands of `+` commute and sums inside sums are one sum; the order of
joined values and of independent blocks does not count; what the result does not read is gone. A
space adds to it with `treat`: a `wire` is its input, a `zero` is zeros and so is any operation on
zeros, two equal `pure` operations on the same value are one. Two operations with weights stay two.

In a sum zeros vanish. Elsewhere it counts how many there are, so zeros have a shape, as far as it
can be told from the body alone: widths are compared as they are written, sizes by what was done to
them. Zeros of shapes that may differ are different.

The graph that is left is brought into a canonical form. Values read once are written out where they
are read; those read several times get numbers, by refinement and, where that leaves some alike, by
trying each of them first and keeping the smallest result. The form is complete, so equal forms mean
isomorphic graphs; the key is its 128-bit digest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from epnas_dsl.errors import EpnasError, LimitError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.graph import Node, body_nodes
from epnas_dsl.space.operations import ENTRY, OPERATIONS, WIDTH, Trace
from epnas_dsl.space.search_space import Body, SearchSpace

MAX_TRIALS = 20_000


def canonical_key(architecture: Architecture) -> str:
    """The key of an architecture: 32 hexadecimal digits.

    Raises:
        LimitError: its graphs are too large or too regular to be told apart.
    """
    space = architecture.space
    names = dict.fromkeys(body.name for body, _ in space.statements)
    forms = []
    for name in names:
        body = next(b for b in space.bodies if b.name == name)
        vertices, result = simplify(body_nodes(architecture, name), space, body)
        forms.append(name.encode() + _Form(vertices, result).certificate())
    return hashlib.blake2b(b"".join(forms), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Vertex:
    """A value that is left; sums and joins commute, their inputs are in order."""

    label: str
    inputs: tuple[int, ...]
    commutes: bool


ZERO = "zero "
STEP = "step"  # the reduction that a cell's input takes where it is joined with what has taken it


def simplify(nodes: Sequence[Node], space: SearchSpace, body: Body) -> tuple[list[Vertex], int]:
    """The nodes with the equivalence applied: vertices in topological order, and the result."""
    vertices: list[Vertex] = []
    known: dict[Vertex, int] = {}
    sums: dict[int, tuple[int, ...]] = {}
    zeros: set[int] = set()
    values: dict[str, int] = {}
    stride = max(body.names.values())
    shapes = _Shapes(space, body)

    def vertex(label: str, inputs: Sequence[int], commutes: bool, merge: bool) -> int:
        made = Vertex(label, tuple(sorted(inputs) if commutes else inputs), commutes)
        if merge and made in known:
            return known[made]
        vertices.append(made)
        known.setdefault(made, len(vertices) - 1)
        return len(vertices) - 1

    for node in nodes:
        shapes.add(node)
        inputs = [values[i] for i in node.inputs]
        if shapes.steps(node):
            read = zip(inputs, node.inputs, strict=True)
            inputs = [
                vertex(STEP, [i], False, False) if x in shapes.entries and i not in zeros else i
                for i, x in read
            ]
        left = [i for i in inputs if i not in zeros]
        role = space.treated.get(node.operation, "")
        if node.operation == "input":
            made = vertex(f"input {node.name}", (), False, True)
        elif role == "wire" and not (stride > 1 and node.entry):
            made = inputs[0]
        elif (
            role == "zero"
            or (inputs and not left)
            or (node.operation == "multiply" and left != inputs)
        ):
            made = vertex(f"{ZERO}{shapes.known[node.name]}", (), False, True)
            zeros.add(made)
        elif node.operation == "add":
            terms = [t for i in left for t in sums.get(i, (i,))]
            made = terms[0] if len(terms) == 1 else vertex("add", terms, True, True)
            if len(terms) > 1:
                sums[made] = tuple(terms)
        elif node.operation == "concat":
            made = vertex(node.text, inputs, True, True)
        else:
            made = vertex(_label(node), inputs, False, merge=role == "pure")
        values[node.name] = made
    return vertices, values[nodes[-1].name]


def _label(node: Node) -> str:
    """The operation, and its width where it has another than the cell and does not say so."""
    says = WIDTH in dict(node.settings) or node.width in {"", WIDTH}
    return node.text if says else f"{node.text}({node.width})"


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


class _Form:
    """The canonical form of a graph of vertices below a result."""

    def __init__(self, vertices: list[Vertex], result: int) -> None:
        alive = {result}
        for i in range(result, -1, -1):
            if i in alive:
                alive.update(vertices[i].inputs)
        self.order = [i for i in range(len(vertices)) if i in alive]
        self.vertices = vertices
        self.result = result
        readers = Counter(j for i in self.order for j in vertices[i].inputs)
        fixed = {i for i in self.order if not vertices[i].inputs}
        self.shared = [i for i in self.order if readers[i] > 1 and i not in fixed]
        self.trials = 0

    def digests(self, colours: Mapping[int, bytes]) -> dict[int, bytes]:
        """Each vertex written out, shared ones as their colours where they are read."""
        written: dict[int, bytes] = {}
        for i in self.order:
            v = self.vertices[i]
            parts = [colours.get(j) or written[j] for j in v.inputs]
            if v.commutes:
                parts.sort()
            text = b"".join((v.label.encode(), b"(", *parts, b")"))
            written[i] = hashlib.blake2b(text, digest_size=16).digest()
        return written

    def certificate(self) -> bytes:
        """The smallest writing over all numberings that refinement leaves possible."""
        if not self.shared:
            return self.digests({})[self.result]
        return self.search({i: _colour(0) for i in self.shared})

    def search(self, colours: dict[int, bytes]) -> bytes:
        colours = self.refine(colours)
        classes: dict[bytes, list[int]] = {}
        for i in self.shared:
            classes.setdefault(colours[i], []).append(i)
        alike = min((c for c in classes if len(classes[c]) > 1), default=None)
        if alike is None:
            written = self.digests(colours)
            ordered = sorted(self.shared, key=colours.__getitem__)
            return b"".join([*(written[i] for i in ordered), written[self.result]])
        tried: list[int] = []
        best: bytes | None = None
        for i in classes[alike]:
            if any(self.interchangeable(i, j) for j in tried):
                continue
            self.trials += 1
            if self.trials > MAX_TRIALS:
                raise LimitError("a graph too regular to be compared", code="E914")
            form = self.search({**colours, i: b"first" + colours[i]})
            best = form if best is None else min(best, form)
            tried.append(i)
        assert best is not None
        return best

    def refine(self, colours: dict[int, bytes]) -> dict[int, bytes]:
        """Tell shared vertices apart by what they are made of and by who reads them."""
        count = len(set(colours.values()))
        while True:
            written = self.digests(colours)
            seen: dict[int, bytes] = {}
            for i in self.shared:
                marked = self.digests({**colours, i: b"*"})
                roots = [*self.shared, self.result]
                context = sorted(
                    colours.get(r, b"result") + marked[r] for r in roots if marked[r] != written[r]
                )
                seen[i] = b"".join((colours[i], written[i], *context))
            ranks = {s: _colour(n) for n, s in enumerate(sorted(set(seen.values())))}
            colours = {i: ranks[seen[i]] for i in self.shared}
            if len(ranks) == count or len(ranks) == len(self.shared):
                return colours
            count = len(ranks)

    def interchangeable(self, i: int, j: int) -> bool:
        """Whether swapping two shared vertices leaves the graph as it is."""
        names = {k: b"#" + str(k).encode() for k in self.shared}
        plain = self.digests(names)
        swapped = self.digests({**names, i: names[j], j: names[i]})
        if plain[i] != swapped[j] or plain[j] != swapped[i]:
            return False
        others = [k for k in self.shared if k not in (i, j)]
        return all(plain[k] == swapped[k] for k in [*others, self.result])


def _colour(n: int) -> bytes:
    return b"%08d" % n
