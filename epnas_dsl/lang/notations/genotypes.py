"""Turn genotypes of DARTS, and lists of NASNet in TensorFlow, into architectures and back."""

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
_TENSORFLOW: dict[str, tuple[str, ...]] = {
    "none": ("skip_connect", "identity"),
    **{f"separable_{k}x{k}_2": (f"sep_conv_{k}x{k}",) for k in (3, 5, 7)},
    **{f"{p}_pool_{k}x{k}": (f"{p}_pool_{k}x{k}",) for p in ("avg", "max") for k in (2, 3, 5, 7)},
    **{f"{k}x{k}": (f"nor_conv_{k}x{k}",) for k in (1, 3)},
    **{f"1x{k}_{k}x1": (f"conv_1x{k}_{k}x1",) for k in (3, 7)},
}
_LISTS = ("operations", "hiddenstate_indices", "used_hiddenstates")


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


def read_nasnet(source: Source, space: SearchSpace | None) -> Architecture:
    """`normal_cell_operations=[..], normal_cell_hiddenstate_indices=[..], ..`, as in TF-slim.

    State 0 is the last cell, 1 the one before; `used_hiddenstates` has a 1 for each state that is
    not joined in the end.
    """
    found = read_literal(source)
    cells = {}
    for role in ("normal", "reduction"):
        operations, indices, used = (found.entry(f"{role}_cell_{x}").items() for x in _LISTS)
        span = found.entry(f"{role}_cell_{_LISTS[0]}").span
        states = len(operations) // 2 + 2
        for key, want in zip(_LISTS, (2 * states - 4, 2 * states - 4, states), strict=True):
            here = found.entry(f"{role}_cell_{key}")
            if len(here.items()) != want or states == 2:
                raise wrong(f"{len(here.items())} where {want} belong", here.span)
        joined = [Literal(i, x.span) for i, x in enumerate(used) if not x.whole()]
        pairs = zip(operations, map(_swapped, indices), strict=True)
        cells[role] = Cell(twos(list(pairs)), [*map(_swapped, joined)], span)
    return read_cells(space or load_space("nasnet"), cells, _TENSORFLOW)


def _swapped(number: Literal) -> Literal:
    """Other projects count the last two cells from the older one."""
    return Literal(1 - number.whole(), number.span) if number.whole() < 2 else number


def print_nasnet(architecture: Architecture) -> str:
    """The inverse of `read_nasnet`."""
    lines = []
    for role, frame in frames_of(architecture.space).items():
        steps = [s for block in blocks_of(architecture, frame) for s in block]
        joined = {1 - i if i < 2 else i for i in joined_by(architecture, frame)}
        lists = (
            [spelt(n, _TENSORFLOW, True) for n, _ in steps],
            [1 - i if i < 2 else i for _, i in steps],
            [int(i not in joined) for i in range(len(steps) // 2 + 2)],
        )
        pairs = zip(_LISTS, lists, strict=True)
        lines += [f"{role}_cell_{key}={values}" for key, values in pairs]
    return ", ".join(lines)
