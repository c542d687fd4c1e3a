"""Turn the notations of other projects into architectures and back."""

from __future__ import annotations

import re

from epnas_dsl.errors import ArchitectureError, nearest
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.terms import Choice, pick

_EDGE = re.compile(r"([^~|+]+)~(\d+)\Z")


def read_nasbench201(text: str, space: SearchSpace) -> Architecture:
    """`|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`: for each node its edges, `op~j` reading node j.

    Raises:
        ArchitectureError: the text is not of this form, or the space has no such operation.
    """
    choices: list[int] = []
    nodes = text.strip().split("+")
    if len(nodes) != space.depth:
        raise _wrong(text, f"it has {len(nodes)} nodes, {space.name} has {space.depth}")
    for i, node in enumerate(nodes):
        edges = [e for e in node.split("|") if e]
        if len(edges) != i + 1 or len(space.levels[i]) != i + 1:
            raise _wrong(text, f"node {i + 1} needs {i + 1} edges")
        for j, edge in enumerate(edges):
            match = _EDGE.match(edge)
            if not match or int(match[2]) != j:
                raise _wrong(text, f"`{edge}` where `operation~{j}` belongs")
            names = _options(space, i, j)
            if match[1] not in names:
                hint = nearest(match[1], names)
                raise ArchitectureError(
                    f"`{match[1]}` is not one of {', '.join(names)}", code="E310", hint=hint
                )
            choices.append(names.index(match[1]))
    return Architecture(space, choices)


def print_nasbench201(architecture: Architecture) -> str:
    """The inverse of `read_nasbench201`; the architecture has to be of full length.

    Raises:
        ArchitectureError: it is shorter.
    """
    space = architecture.space
    if architecture.level != space.depth:
        raise ArchitectureError(
            f"an architecture of level {architecture.level} has no text in this notation; "
            f"it needs all {space.depth} levels", code="E311",
        )  # fmt: skip
    nodes = []
    for i, row in enumerate(architecture.rows()):
        edges = (f"{_options(space, i, j)[n]}~{j}" for j, n in enumerate(row))
        nodes.append("|" + "|".join(edges) + "|")
    return "+".join(nodes)


def _options(space: SearchSpace, level: int, position: int) -> list[str]:
    term = space.levels[level][position].term
    if not isinstance(term, Choice) or term.kind != "operation":
        raise ArchitectureError(
            f"{space.name} is no space of operations on edges", code="E312",
            hint="this notation belongs to `nasbench201`",
        )  # fmt: skip
    return [print_term(term, pick(term, i), {}) for i in range(term.size)]


def _wrong(text: str, why: str) -> ArchitectureError:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return ArchitectureError(
        f"`{shown}` is no NAS-Bench-201 text: {why}", code="E309",
        hint="`|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`",
    )  # fmt: skip
