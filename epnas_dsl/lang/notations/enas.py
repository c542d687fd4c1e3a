"""Turn the integer strings of ENAS into architectures and back.

Operations are numbered in the order of the space.
"""

from __future__ import annotations

import re

from epnas_dsl.errors import ArchitectureError, Source, Span
from epnas_dsl.lang.literals import Literal, wrong
from epnas_dsl.lang.loading import load_space
from epnas_dsl.lang.notations.cells import (
    Cell,
    below,
    blocks_of,
    frames_of,
    read_cells,
    twos,
)
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.terms import Choice, Subset, Term, pick


def _integers(source: Source) -> list[Literal]:
    found = []
    for match in re.finditer(r"[^\s,\[\]\"]+", source.text):
        span = Span(source, match.start(), match.end())
        if not re.fullmatch(r"\d{1,9}", match[0]):
            raise wrong(f"`{match[0]}` is no whole number", span)
        found.append(Literal(int(match[0]), span))
    if not found:
        raise wrong("no numbers", Span(source, 0, len(source.text)))
    return found


def read_enas_micro(source: Source, space: SearchSpace | None) -> Architecture:
    """`0 2 0 0 0 4 0 1 ..`: for each block value, operation, value, operation; two cells.

    Operations are numbered in the order of the space: in `enas_micro` that of the ENAS authors.
    """
    space = space or load_space("enas_micro")
    frames = frames_of(space)
    numbers = _integers(source)
    if len(numbers) % 8:
        raise wrong(f"{len(numbers)} numbers; two cells of some blocks have a multiple of 8",
                    numbers[0].span.to(numbers[-1].span))  # fmt: skip
    cells = {}
    half = len(numbers) // 2
    for role, part in (("normal", numbers[:half]), ("reduction", numbers[half:])):
        known = frames[role].operations
        steps = []
        for value, operation in twos(part):
            name = known[below(operation, len(known))]
            steps.append((Literal(name, operation.span), value))
        cells[role] = Cell(twos(steps), None, part[0].span.to(part[-1].span))
    return read_cells(space, cells, {})


def print_enas_micro(architecture: Architecture) -> str:
    """The inverse of `read_enas_micro`."""
    numbers: list[int] = []
    for frame in frames_of(architecture.space).values():
        if frame.body.result.term.decisions:
            raise ArchitectureError("this notation does not say which blocks are joined",
                                    code="E315")  # fmt: skip
        for block in blocks_of(architecture, frame):
            for node, value in block:
                if node.text not in frame.operations:
                    raise ArchitectureError(f"`{node.text}` has no number", code="E315")
                numbers += [value, frame.operations.index(node.text)]
    return " ".join(map(str, numbers))


def read_enas_macro(source: Source, space: SearchSpace | None) -> Architecture:
    """`0 3 0 0 1 0 ..`: for each layer its operation, then a bit for each layer it may skip from.

    Operations and bits are numbered in the order of the space.
    """
    space = space or load_space("enas_macro")
    numbers = _integers(source)
    choices: list[int] = []
    rest = list(numbers)
    for row in _layers(space):
        if not rest:
            break
        for term in row:
            bits = len(term.elements) if isinstance(term, Subset) else 0
            if len(rest) < max(1, bits) and (bits or isinstance(term, Choice)):
                raise wrong("the text ends within a layer", numbers[-1].span)
            if isinstance(term, Subset):
                mask = sum(below(rest.pop(0), 2) << i for i in range(bits))
                choices.append(mask - term.least)
            else:
                choices.append(below(rest.pop(0), term.size))
    if rest:
        raise wrong(f"more numbers than {space.name} has layers for", rest[0].span)
    return Architecture(space, choices)


def print_enas_macro(architecture: Architecture) -> str:
    """The inverse of `read_enas_macro`."""
    numbers: list[int] = []
    for row, terms in zip(architecture.rows(), _layers(architecture.space), strict=False):
        for number, term in zip(row, terms, strict=True):
            if isinstance(term, Subset):
                chosen = pick(term, number)[0]
                numbers += [int(i in chosen) for i in range(len(term.elements))]
            else:
                numbers.append(number)
    return " ".join(map(str, numbers))


def _layers(space: SearchSpace) -> list[list[Term]]:
    """For each level the choice of an operation and, where there is one, that of the skips."""
    rows = [[d.term for d in level] for level in space.levels]
    for terms in rows:
        kinds = [type(t) for t in terms]
        if kinds not in ([Choice], [Choice, Subset]) or any(
            isinstance(t, Subset) and not t.is_bit_set for t in terms
        ):
            raise ArchitectureError(
                f"{space.name} is no space of layers with skips", code="E312",
                hint="this notation belongs to spaces such as `enas_macro` and `macro`",
            )  # fmt: skip
    return rows
