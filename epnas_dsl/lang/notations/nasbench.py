"""Turn the texts of NAS-Bench-101 and NAS-Bench-201 into architectures and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from epnas_dsl.errors import ArchitectureError, Source, Span, nearest
from epnas_dsl.lang.literals import Literal, only, read_literal, wrong
from epnas_dsl.lang.loading import load_space
from epnas_dsl.lang.notations.cells import (
    Names,
    below,
    known_as,
)
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.terms import Choice, Subset, Value, pick, rank

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
        edges = [e for e in node.split("|") if e]
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


@dataclass(frozen=True, slots=True)
class _Vertex:
    """A vertex as the space decides it: positions of decisions, the operation's and the inputs'."""

    label: str
    operation: int | None
    inputs: int
    reads: tuple[str, ...]  # the labels of the vertices that it may read, the cell's input first


def _vertices(space: SearchSpace) -> list[_Vertex]:
    """The statements of the one cell, each with the choice of an operation and of its inputs."""
    found: list[_Vertex] = []
    at: dict[str, dict[str, int]] = {}
    for i, decision in enumerate(space.decisions):
        kind = "inputs" if isinstance(decision.term, Subset) else "operation"
        at.setdefault(decision.name.rpartition(".")[0], {}).setdefault(kind, i)
    body = space.statements[0][0] if space.statements else space.network
    for statement in (*body.statements, body.result):
        mine = at.pop(f"{body.name}.{statement.label}", None)
        if mine is None:
            continue
        subset = space.decisions[mine.get("inputs", 0)].term
        elements = subset.elements if isinstance(subset, Subset) else ()
        reads = tuple(e.label for e in elements if isinstance(e, Value))
        if (
            not reads
            or len(reads) < len(elements)
            or ("operation" in mine) == (statement is body.result)
        ):
            at[statement.label] = mine
            break
        found.append(_Vertex(statement.label, mine.get("operation"), mine["inputs"], reads))
    count = sum(1 if v.operation is None else 2 for v in found)
    if at or not found or count != len(space.decisions) or found[-1].operation is not None:
        raise ArchitectureError(
            f"{space.name} is no space of vertices that choose their operation and inputs",
            code="E312", hint="this notation belongs to `nasbench101`",
        )  # fmt: skip
    return found


def read_nasbench101(source: Source, space: SearchSpace | None) -> Architecture:
    """`ModelSpec(matrix=[[0, 1, ..], ..], ops=['input', 'conv3x3-bn-relu', .., 'output'])`.

    The matrix is upper triangular, rows feed columns. A space of more vertices gets the missing
    ones as vertices that nothing reads.
    """
    found = only(read_literal(source))
    ops = found.entry("ops").items()
    rows = [row.items() for row in found.entry("matrix").items()]
    space = space or load_space("nasbench101")
    vertices = _vertices(space)
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
    if len(ops) > len(vertices) + 1:
        raise ArchitectureError(
            f"{len(ops)} vertices; {space.name} has {len(vertices) + 1}", code="E313",
            span=ops[len(vertices)].span,
        )  # fmt: skip
    return _from_matrix(space, vertices, bits, ops[1:-1], matrix)


def _from_matrix(
    space: SearchSpace, vertices: Sequence[_Vertex], bits: list[list[int]],
    ops: Sequence[Literal], span: Span,
) -> Architecture:  # fmt: skip
    choices = [0] * len(space.decisions)
    labels = [vertices[-1].reads[0], *(v.label for v in vertices[: len(ops)])]
    for j, vertex in enumerate([*vertices[: len(ops)], vertices[-1]], 1):
        term = space.decisions[vertex.inputs].term
        assert isinstance(term, Subset)
        fed = [labels[i] for i in range(j) if bits[i][j]]
        chosen = tuple(i for i, label in enumerate(vertex.reads) if label in fed)
        if len(chosen) != len(fed) or not term.least <= len(chosen) <= term.most:
            raise ArchitectureError(
                f"vertex {j} reads {', '.join(fed) or 'nothing'}; "
                f"there are {', '.join(vertex.reads)}", code="E313", span=span,
            )  # fmt: skip
        choices[vertex.inputs] = rank(term, (chosen, ((),) * len(chosen)))
        if vertex.operation is not None:
            names = _names_of(space, vertex)
            given = ops[j - 1].text()
            name = _VERTICES.get(_SHORT.get(given, given), given)
            if name not in names:
                raise ArchitectureError(f"`{given}` is not one of {', '.join(_VERTICES)}",
                                        code="E310", span=ops[j - 1].span,
                                        hint=nearest(given, _VERTICES))  # fmt: skip
            choices[vertex.operation] = names.index(name)
    return Architecture(space, choices)


def _names_of(space: SearchSpace, vertex: _Vertex) -> list[str]:
    term = space.decisions[vertex.operation or 0].term
    return [print_term(term, pick(term, i), {}).partition("(")[0] for i in range(term.size)]


def print_nasbench101(architecture: Architecture) -> str:
    """The inverse of `read_nasbench101`; every vertex of the space is there, read or not."""
    space = architecture.space
    vertices = _vertices(space)
    if architecture.level != space.depth:
        raise ArchitectureError(f"this notation needs all {space.depth} levels", code="E311")
    labels = [vertices[-1].reads[0], *(v.label for v in vertices)]
    matrix = [[0] * len(labels) for _ in labels]
    ops = ["input"]
    for j, vertex in enumerate(vertices, 1):
        chosen = pick(space.decisions[vertex.inputs].term, architecture.choices[vertex.inputs])[0]
        for i in chosen:
            matrix[labels.index(vertex.reads[i])][j] = 1
        if vertex.operation is not None:
            name = _names_of(space, vertex)[architecture.choices[vertex.operation]]
            theirs = next((x for x, ours in _VERTICES.items() if ours == name), None)
            if theirs is None:
                raise ArchitectureError(f"this notation has no word for `{name}`", code="E315")
            ops.append(theirs)
    return f"ModelSpec(matrix={matrix}, ops={[*ops, 'output']})"
