"""Turn the genotypes of DARTS into architectures and back."""

from __future__ import annotations

from collections.abc import Iterator

from epnas_dsl.errors import Source
from epnas_dsl.lang.literals import Literal, only, read_literal, wrong
from epnas_dsl.lang.loading import load_space
from epnas_dsl.lang.notations.cells import (
    Cell,
    blocks_of,
    frames_of,
    joined_by,
    read_cells,
    spelt,
    twos,
)
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.search_space import SearchSpace

_DARTS = {
    "skip_connect": ("skip_connect", "identity"),
    "conv_7x1_1x7": ("conv_7x1_1x7", "conv_1x7_7x1"),
}


def read_darts(source: Source, space: SearchSpace | None) -> Architecture:
    """`Genotype(normal=[('op', value), ..], normal_concat=[..], reduce=.., reduce_concat=..)`.

    Also with a pair of brackets around each block, and with the name of the genotype in front.
    """
    found = only(read_literal(source))
    cells = {}
    for role, key in (("normal", "normal"), ("reduction", "reduce")):
        steps, joined = found.entry(key), found.entry(f"{key}_concat")
        cells[role] = Cell(list(_pairs(steps)), joined.items(), steps.span)
    return read_cells(space or load_space("darts"), cells, _DARTS)


def _pairs(steps: Literal) -> Iterator[list[tuple[Literal, Literal]]]:
    items = steps.items()
    if not items:
        raise wrong("a cell without blocks", steps.span)
    if isinstance(items[0].items()[0].value, tuple):
        flat = [x for block in items for x in block.items()]
    else:
        flat = list(items)
    if len(flat) % 2:
        raise wrong("a block has two operations; one is left over", flat[-1].span)
    for two in twos(flat):
        block = []
        for step in two:
            parts = step.items()
            if len(parts) != 2:
                raise wrong("`('operation', number of a value)` belongs here", step.span)
            parts[0].text()
            block.append((parts[0], parts[1]))
        yield block


def print_darts(architecture: Architecture) -> str:
    """The inverse of `read_darts`."""
    fields = []
    for role, frame in frames_of(architecture.space).items():
        key = "normal" if role == "normal" else "reduce"
        steps = [(spelt(n, _DARTS, False), i) for b in blocks_of(architecture, frame) for n, i in b]
        fields += [f"{key}={steps}", f"{key}_concat={joined_by(architecture, frame)}"]
    return f"Genotype({', '.join(fields)})"
