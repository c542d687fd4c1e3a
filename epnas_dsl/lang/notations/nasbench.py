"""Turn the texts of NAS-Bench-101 and NAS-Bench-201 into architectures and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from epnas_dsl.errors import ArchitectureError, Source, Span, nearest
from epnas_dsl.lang.literals import Literal, only, read_literal, wrong
from epnas_dsl.lang.loading import load_space
from epnas_dsl.lang.notations.cells import Names, below, known_as
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.graph import carry_out
from epnas_dsl.space.search_space import Body, SearchSpace
from epnas_dsl.space.terms import Choice, Statement, Tree, disassemble, pick

_EDGE = re.compile(r"([^~|+]+)~(\d{1,4})\Z")


def read_nasbench201(text: str | Source, space: SearchSpace | None = None) -> Architecture:
    """`|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`: for each node its edges, `op~j` reading node j.

    Raises:
        ArchitectureError: the text is not of this form, or the space has no such operation.
    """
    source = text if isinstance(text, Source) else Source("<text>", text)
    space = space or load_space("nasbench201")
    found: dict[tuple[int, int], Literal] = {}
    start = len(source.text) - len(source.text.lstrip())
    nodes = source.text.strip().split("+")
    whole = Span(source, start, start + len(source.text.strip()))
    if len(nodes) != space.depth:
        raise wrong(f"{len(nodes)} nodes; {space.name} has {space.depth}", whole)
    for i, node in enumerate(nodes):
        edges = [e for e in node.strip(" \n'\"").split("|") if e]
        here = Span(source, start, start + len(node))
        if len(edges) != i + 1 or len(space.levels[i]) != i + 1:
            raise wrong(f"node {i + 1} has {len(edges)} edges, not {i + 1}", here)
        at = start
        for j, edge in enumerate(edges):
            at = source.text.index(edge, at)
            span = Span(source, at, at + len(edge))
            at += len(edge)
            match = _EDGE.match(edge)
            if not match or int(match[2]) != j:
                raise wrong(f"`{edge}` where `operation~{j}` belongs", span)
            found[i + 1, j] = Literal(match[1], span)
        start += len(node) + 1
    return read_edges(space, lambda i, j: found[i, j])


def read_edges(
    space: SearchSpace, edge: Callable[[int, int], Literal], names: Names | None = None
) -> Architecture:
    """The architecture whose node i reads node j (both from 0) by the operation `edge(i, j)`."""
    choices = []
    for i, row in enumerate(space.levels):
        for j in range(len(row)):
            known, given = edge_options(space, i, j), edge(i + 1, j)
            name = known_as(given.text(), names or {}, known)
            if name not in known:
                raise ArchitectureError(f"`{name}` is not one of {', '.join(known)}", code="E310",
                                        span=given.span, hint=nearest(name, known))  # fmt: skip
            choices.append(known.index(name))
    return Architecture(space, choices)


def print_nasbench201(architecture: Architecture) -> str:
    """The inverse of `read_nasbench201`; the architecture has to be of full length.

    Raises:
        ArchitectureError: it is shorter.
    """
    nodes = ("|".join(f"{op}~{j}" for j, op in enumerate(row)) for row in edges_of(architecture))
    return "+".join(f"|{node}|" for node in nodes)


def edges_of(architecture: Architecture) -> list[list[str]]:
    """For each node the operations on its edges."""
    space = architecture.space
    edge_options(space, 0, 0)
    if architecture.level != space.depth:
        raise ArchitectureError(
            f"an architecture of level {architecture.level} has no text in this notation; "
            f"it needs all {space.depth} levels", code="E311",
        )  # fmt: skip
    rows = enumerate(architecture.rows())
    return [[edge_options(space, i, j)[n] for j, n in enumerate(row)] for i, row in rows]


def edge_options(space: SearchSpace, level: int, position: int) -> list[str]:
    """The operations of an edge."""
    term = space.levels[level][position].term if space.levels[level] else None
    if not isinstance(term, Choice) or term.kind != "operation" or len(space.levels[0]) > 1:
        raise ArchitectureError(
            f"{space.name} is no space of operations on edges", code="E312",
            hint="this notation belongs to `nasbench201`",
        )  # fmt: skip
    return [print_term(term, pick(term, i), {}) for i in range(term.size)]


_VERTICES = {"conv3x3-bn-relu": "conv_3x3", "conv1x1-bn-relu": "conv_1x1",
             "maxpool3x3": "max_pool_3x3"}  # fmt: skip
_SHORT = {"CONV3X3": "conv3x3-bn-relu", "CONV1X1": "conv1x1-bn-relu", "MAXPOOL3X3": "maxpool3x3"}


_INPUT = "input"
MAX_OPTIONS = 10_000  # of one vertex


@dataclass(frozen=True, slots=True)
class _Module:
    """The one body that decides something, statement by statement: the vertices and the output.

    Attributes:
        names: for every label the vertex that it is; what comes before the vertices is the input.
    """

    space: SearchSpace
    body: Body
    vertices: list[Statement]
    names: dict[str, str]

    def meanings(
        self, vertex: Statement, trees: Iterable[Tree]
    ) -> Iterator[tuple[str, frozenset[str]]]:
        """The operation of a vertex and the vertices that it reads, for each of its choices."""
        before = self.vertices[: self.vertices.index(vertex)]
        labels = {s.label for s in before}
        values = {k: v for k, v in self.names.items() if v == _INPUT or k in labels}
        any_of_them = Architecture(self.space, [0] * len(self.space.decisions))
        for made, _ in carry_out(any_of_them, self.body, vertex, trees, values):
            read = {made[-1].name, *(i for node in made for i in node.inputs)}
            yield made[-1].text, frozenset(read & {*values.values()})

    def options(self, vertex: Statement) -> dict[tuple[str, frozenset[str]], Tree]:
        """The choices of a vertex by what they mean; of the output only what it reads counts."""
        if vertex.term.size > MAX_OPTIONS:
            raise _no_module(self.space)
        trees = [pick(vertex.term, i) for i in range(vertex.term.size)]
        output = vertex is self.vertices[-1]
        meanings = [("" if output else op, read) for op, read in self.meanings(vertex, trees)]
        found = dict(zip(meanings, trees, strict=True))
        if len(found) < len(trees):
            raise _no_module(self.space)
        return found


def _module(space: SearchSpace) -> _Module:
    decided = [s for _, s in space.statements]
    body = space.statements[0][0] if decided else space.network
    vertices = [s for s in (*body.statements, body.result) if s in decided]
    if vertices[-1:] != [body.result] or len(vertices) != len(decided) or len(vertices) < 2:
        raise _no_module(space)
    before = body.statements[: body.statements.index(vertices[0])]
    if len(before) + len(vertices) <= len(body.statements):
        raise _no_module(space)
    names = dict.fromkeys((*body.inputs, *(s.label for s in before)), _INPUT)
    return _Module(space, body, vertices, names | {s.label: s.label for s in vertices})


def _no_module(space: SearchSpace) -> ArchitectureError:
    return ArchitectureError(
        f"{space.name} is no space of vertices that choose their operation and inputs",
        code="E312", hint="this notation belongs to `nasbench101`",
    )  # fmt: skip


def read_nasbench101(source: Source, space: SearchSpace | None) -> Architecture:
    """`ModelSpec(matrix=[[0, 1, ..], ..], ops=['input', 'conv3x3-bn-relu', .., 'output'])`.

    The matrix is upper triangular, rows feed columns. What the input does not reach is left out, as
    by NASBench itself; a space of more vertices gets the missing ones, which nothing reads.
    """
    found = only(read_literal(source))
    ops = found.entry("ops").items()
    rows = [row.items() for row in found.entry("matrix").items()]
    space = space or load_space("nasbench101")
    module = _module(space)
    matrix = found.entry("matrix").span
    if not 2 <= len(ops) == len(rows) or any(len(r) != len(ops) for r in rows):
        raise wrong(f"a matrix of {len(rows)} rows for {len(ops)} operations", matrix)
    bits = [[below(x, 2) for x in row] for row in rows]
    low = [rows[i][j] for i in range(len(rows)) for j in range(i + 1) if bits[i][j]]
    if low:
        raise wrong("the matrix is upper triangular: a vertex feeds later ones", low[0].span)
    for literal, name in ((ops[0], "input"), (ops[-1], "output")):
        if literal.text().lower() != name:
            raise wrong(f"`{name}` belongs here", literal.span)
    kept, last, most = [0], len(ops) - 1, len(module.vertices)
    for j in range(1, len(ops)):
        kept += [j] * (j == last or any(bits[i][j] for i in kept))
    bits, ops = [[bits[i][j] for j in kept] for i in kept], [ops[i] for i in kept]
    if len(ops) > most + 1:
        raise ArchitectureError(f"{len(ops)} vertices; {space.name} has {most + 1}", code="E313",
                                span=ops[most].span)  # fmt: skip
    return _from_matrix(module, bits, ops[1:-1], matrix)


def _from_matrix(
    module: _Module, bits: list[list[int]], ops: Sequence[Literal], span: Span
) -> Architecture:
    space = module.space
    *inner, output = module.vertices
    labels = [_INPUT, *(v.label for v in inner[: len(ops)])]
    chosen: dict[Statement, Tree] = {}
    for j, vertex in enumerate([*inner[: len(ops)], output], 1):
        options = module.options(vertex)
        name = "" if vertex is output else _operation(ops[j - 1], {op for op, _ in options})
        fed = frozenset(labels[i] for i in range(j) if bits[i][j])
        if (name, fed) not in options:
            read = ", ".join(x for x in labels if x in fed) or "nothing"
            there = ", ".join(x for x in labels if any(x in known for _, known in options))
            raise ArchitectureError(f"vertex {j} reads {read}; there are {there}", code="E313",
                                    span=span)  # fmt: skip
        chosen[vertex] = options[name, fed]
    return Architecture(
        space,
        [n for _, s in space.statements
         for n in disassemble(s.term, chosen.get(s) or pick(s.term, 0))],
    )  # fmt: skip


def _operation(given: Literal, names: Container[str]) -> str:
    text = given.text()
    name = _VERTICES.get(_SHORT.get(text, text), text)
    if name not in names:
        raise ArchitectureError(f"`{text}` is not one of {', '.join(_VERTICES)}", code="E310",
                                span=given.span, hint=nearest(text, _VERTICES))  # fmt: skip
    return name


def print_nasbench101(architecture: Architecture) -> str:
    """The inverse of `read_nasbench101`, without vertices that the output does not need."""
    space = architecture.space
    module = _module(space)
    if architecture.level != space.depth:
        raise ArchitectureError(f"this notation needs all {space.depth} levels", code="E311")
    trees = space.trees(architecture.choices)
    labels = [_INPUT, *(v.label for v in module.vertices)]
    matrix = [[0] * len(labels) for _ in labels]
    ops = ["input"]
    for j, vertex in enumerate(module.vertices, 1):
        module.options(vertex)  # a matrix says all that it decides
        ((operation, read),) = module.meanings(vertex, [trees[vertex]])
        for label in read:
            matrix[labels.index(label)][j] = 1
        if vertex is not module.vertices[-1]:
            theirs = next((x for x, ours in _VERTICES.items() if ours == operation), None)
            if theirs is None:
                raise ArchitectureError(f"this notation has no word for `{operation}`", code="E315")
            ops.append(theirs)
    alive = [len(labels) - 1]
    for i in reversed(range(len(ops))):
        if i == 0 or any(matrix[i][j] for j in alive):
            alive.insert(0, i)
    ops = [[*ops, "output"][i] for i in alive]
    return f"ModelSpec(matrix={[[matrix[i][j] for j in alive] for i in alive]}, ops={ops})"
