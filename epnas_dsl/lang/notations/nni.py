"""Turn what NNI exports for the spaces of its hub into architectures and back."""

from __future__ import annotations

import json
import re

from epnas_dsl.errors import Source
from epnas_dsl.lang.literals import Literal, read_literal, wrong
from epnas_dsl.lang.loading import load_space
from epnas_dsl.lang.notations.cells import Cell, blocks_of, frames_of, read_cells, spelt
from epnas_dsl.lang.notations.nasbench import edges_of, read_edges
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.nodes import Node
from epnas_dsl.space.search_space import SearchSpace

NNI: dict[str, tuple[str, ...]] = {
    "none": ("none",),
    "skip_connect": ("skip_connect", "identity"),
    **{f"{x}_conv_{k}x{k}": (f"{x}_conv_{k}x{k}",) for x in ("sep", "dil") for k in (3, 5, 7)},
    **{f"{p}_pool_{k}x{k}": (f"{p}_pool_{k}x{k}",) for p in ("avg", "max") for k in (2, 3, 5, 7)},
    **{f"conv_{k}x{k}": (f"nor_conv_{k}x{k}",) for k in (1, 3)},
    **{f"conv_{k}x1_1x{k}": (f"conv_1x{k}_{k}x1",) for k in (3, 7)},
    "dil_sep_conv_3x3": ("dil_sep_conv_3x3",),
}
_SIZES = {"width": "channels", "depth": "layers"}


def read_nni(source: Source, space: SearchSpace | None) -> Architecture:
    """What NNI exports for a space of its hub: `{"normal/op_2_0": "..", "normal/input_2_0": [0]}`.

    Keys `cell/0_1` are those of NAS-Bench-201; `width` and `depth` are parameters of the space.
    """
    found = read_literal(source)
    while isinstance(found.value, tuple) and len(found.value) == 1:  # a list of top models
        found = found.value[0]
    table = {k.replace("__", "/"): x for k, x in found.table().items()}
    found = Literal(table, found.span)
    if any(k.startswith("cell/") for k in table):
        space = space or load_space("nasbench201")
        return read_edges(space, lambda i, j: found.entry(f"cell/{j}_{i}"), NNI)
    for key in table:
        if re.match(r"(normal|reduce)_n\d+_", key):
            raise wrong(f"`{key}` is a name of NNI 2; the names of NNI 3 are read here",
                        table[key].span)  # fmt: skip
    sizes = {_SIZES[k]: table.pop(k).whole() for k in _SIZES if k in table}
    cells = {"normal": _nni_cell(found, "normal"), "reduction": _nni_cell(found, "reduce")}
    blocks = {"normal": len(cells["normal"].blocks), "reduce": len(cells["reduction"].blocks)}
    for key in table:
        known = re.fullmatch(r"(normal|reduce)/(?:op|input)_(\d{1,4})_[01]", key)
        if not known or not 2 <= int(known[2]) < blocks[known[1]] + 2:
            raise wrong(f"`{key}` is no choice of such a cell", table[key].span)
    return read_cells(space or load_space("darts", **sizes), cells, NNI)


def _nni_cell(found: Literal, key: str) -> Cell:
    count = 1
    while f"{key}/op_{count + 2}_0" in found.table():
        count += 1
    blocks = [
        [
            (found.entry(f"{key}/op_{i}_{j}"), _only_one(found.entry(f"{key}/input_{i}_{j}")))
            for j in range(2)
        ]
        for i in range(2, count + 2)
    ]
    return Cell(blocks, None, blocks[0][0][0].span.to(blocks[-1][-1][0].span))


def _only_one(value: Literal) -> Literal:
    items = value.items() if isinstance(value.value, tuple) else [value]
    if len(items) != 1:
        raise wrong("one value belongs here", value.span)
    return items[0]


def print_nni(architecture: Architecture) -> str:
    """The inverse of `read_nni`."""
    space = architecture.space
    found: dict[str, object] = {
        k: space.changed[x] for k, x in _SIZES.items() if x in space.changed
    }
    if len(space.levels[0]) == 1:
        for i, row in enumerate(edges_of(architecture), 1):
            nodes = (Node("", "", text=x) for x in row)
            found |= {f"cell/{j}_{i}": spelt(n, NNI, True) for j, n in enumerate(nodes)}
        return json.dumps(found)
    for role, frame in frames_of(space, joins=False).items():
        key = "normal" if role == "normal" else "reduce"
        for i, block in enumerate(blocks_of(architecture, frame), 2):
            for j, (node, value) in enumerate(block):
                found[f"{key}/op_{i}_{j}"] = spelt(node, NNI, True)
                found[f"{key}/input_{i}_{j}"] = [value]
    return json.dumps(found)
