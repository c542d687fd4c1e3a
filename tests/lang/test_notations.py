"""The notations of other projects: published texts both ways, random architectures, mistakes."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from epnas_dsl.errors import ArchitectureError, EpnasError, LimitError, Source
from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.lang.literals import Literal, read_literal
from epnas_dsl.lang.notations import NOTATIONS, from_notation, to_json, to_notation
from epnas_dsl.lang.notations.cells import blocks_of, frames_of
from epnas_dsl.resources import names, resource
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.difference import difference
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import network_layers
from epnas_dsl.space.shapes import costs

# --- spaces in which everything that was published can be said ------------------------------------

TWO_CELLS = """
space {name}(blocks=5, channels=16)
op := {operations}
cell normal (prev2, prev1) {{
    for b in 1..blocks {{
        source := prev2 | prev1 | h[1..b-1]
        h[b] = op(source) + op(source)
    }}
    return {result}
}}
cell reduction/2 (prev2, prev1) {{
    for b in 1..blocks {{
        source := prev2 | prev1 | h[1..b-1]
        h[b] = op(source) + op(source)
    }}
    return {result}
}}
network (image) {{
    return linear(global_avg_pool(stack(conv_3x3(image, channels), [normal, reduction])), 10)
}}
"""
JOINED = TWO_CELLS.format(
    name="joined",
    operations="sep_conv_3x3 | sep_conv_5x5 | sep_conv_7x7 | avg_pool_3x3 | max_pool_3x3"
    " | skip_connect | conv_1x7_7x1",
    result="concat(some of [prev2, prev1, h[1..blocks]])",
)
ENAS = TWO_CELLS.format(
    name="enas",
    operations="sep_conv_3x3 | sep_conv_5x5 | avg_pool_3x3 | max_pool_3x3 | skip_connect",
    result="conv_1x1(concat(unused(h)))",
)
# ENAS' layers: skips from the stem on, but not from the layer before (melodyguan/enas,
# src/cifar10/general_child.py).
LAYERS = """
space layers(layers=24, channels=8)
op := conv_3x3 | dw_conv_3x3 | conv_5x5 | dw_conv_5x5 | avg_pool_3x3 | max_pool_3x3
network (image) {
    h[0] = conv_3x3(image, channels)
    level l in 1..layers {
        h[l] = conv_1x1(concat(op(h[l-1]), any of [h[0..l-2]]))
    }
    return linear(global_avg_pool(last(h)), 10)
}
"""
VERTICES = """
space vertices(channels=8)
op := conv_3x3 | conv_1x1 | max_pool_3x3
cell normal (prev) {
    v[0] = prev
    for i in 1..5 {
        v[i] = op(sum(some of [v[0..i-1]]))
    }
    return concat(some of [v[0..5]])
}
network (image) {
    return linear(global_avg_pool(stack(conv_3x3(image, channels), [normal])), 10)
}
"""

# Which notations can say the architectures of which space.
CAN_SAY = [
    *((name, space) for name in ("epnas", "json")
      for space in ("darts", "macro", "micro", "nasbench201", "pnas")),
    *(("darts", space) for space in ("darts", "micro", "pnas")),
    *(("nni", space) for space in ("darts", "nasbench201", "pnas")),
    ("nasbench201", "nasbench201"),
    *((name, "enas_micro") for name in ("darts", "enas_micro", "nasnet", "nni")),
    *((name, "amoebanet") for name in ("darts", "nni")),
    ("enas_macro", "enas_macro"),
    ("json", "nasnet"),
]  # fmt: skip


@pytest.mark.parametrize(("notation", "name"), CAN_SAY)
def test_random_architectures_come_back(notation: str, name: str) -> None:
    space = load_space(name)
    for architecture in sample(space, 60, np.random.default_rng(1)):
        text = to_notation(architecture, notation)
        assert from_notation(text, notation, space) == architecture


@pytest.mark.parametrize("notation", ["json", "epnas", "darts", "nni"])
def test_architectures_of_any_level_come_back(notation: str) -> None:
    space = load_space("darts")
    for level in range(1, space.depth + 1):
        for architecture in sample(space, 10, np.random.default_rng(level), level):
            text = to_notation(architecture, notation)
            assert from_notation(text, notation, space) == architecture


@pytest.mark.parametrize("notation", sorted(NOTATIONS))
@pytest.mark.parametrize("name", sorted(names("spaces")))
def test_what_is_written_reads_back_to_the_same(notation: str, name: str) -> None:
    """In its space; where the notation's own space reads it too, that has the same blocks."""
    space = load_space(name)
    for architecture in sample(space, 4, np.random.default_rng(2)):
        try:
            text = to_notation(architecture, notation)
        except ArchitectureError as error:
            if error.diagnostics[0].code not in {"E311", "E312", "E315"}:
                raise
            continue
        assert from_notation(text, notation, space).key == architecture.key
        if notation in {"darts", "nasnet", "nni", "enas_micro"}:
            try:
                own = from_notation(text, notation)
            except ArchitectureError:
                continue
            assert operations_of(own) == operations_of(architecture)


def operations_of(architecture: Architecture) -> list[list[list[tuple[str, int]]]]:
    """For each cell and block the operations, and the numbers of the values that they read."""
    if architecture.space.name == "nasbench201":
        return []
    return [
        [sorted((n.text.replace("identity", "skip_connect"), i) for n, i in block)
         for block in blocks_of(architecture, frame)]
        for frame in frames_of(architecture.space).values()
    ]  # fmt: skip


# --- published texts ---------------------------------------------------------------------------

# quark0/darts, cnn/genotypes.py; in both papers' order
DARTS_V1 = """Genotype(
  normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1),
          ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)],
  normal_concat=[2, 3, 4, 5],
  reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0),
          ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)],
  reduce_concat=[2, 3, 4, 5])"""
DARTS_V2 = """DARTS_V2 = Genotype(
  normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1),
          ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)],
  normal_concat=range(2, 6),
  reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1),
          ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)],
  reduce_concat=range(2, 6))"""
V2 = """darts:
    normal {
        h1 = sep_conv_3x3(input0) + sep_conv_3x3(input1)
        h2 = sep_conv_3x3(input0) + sep_conv_3x3(input1)
        h3 = sep_conv_3x3(input1) + skip_connect(input0)
        h4 = skip_connect(input0) + dil_conv_3x3(h1)
    }
    reduction {
        h1 = max_pool_3x3(input0) + max_pool_3x3(input1)
        h2 = skip_connect(h1) + max_pool_3x3(input1)
        h3 = max_pool_3x3(input0) + skip_connect(h1)
        h4 = skip_connect(h1) + max_pool_3x3(input1)
    }"""
# microsoft/nni, nni/nas/hub/pytorch/nasnet.py, "darts-v2"
NNI_DARTS_V2 = {
    "normal/op_2_0": "sep_conv_3x3", "normal/op_2_1": "sep_conv_3x3",
    "normal/input_2_0": [0], "normal/input_2_1": [1],
    "normal/op_3_0": "sep_conv_3x3", "normal/op_3_1": "sep_conv_3x3",
    "normal/input_3_0": [0], "normal/input_3_1": [1],
    "normal/op_4_0": "sep_conv_3x3", "normal/op_4_1": "skip_connect",
    "normal/input_4_0": [1], "normal/input_4_1": [0],
    "normal/op_5_0": "skip_connect", "normal/op_5_1": "dil_conv_3x3",
    "normal/input_5_0": [0], "normal/input_5_1": [2],
    "reduce/op_2_0": "max_pool_3x3", "reduce/op_2_1": "max_pool_3x3",
    "reduce/input_2_0": [0], "reduce/input_2_1": [1],
    "reduce/op_3_0": "skip_connect", "reduce/op_3_1": "max_pool_3x3",
    "reduce/input_3_0": [2], "reduce/input_3_1": [1],
    "reduce/op_4_0": "max_pool_3x3", "reduce/op_4_1": "skip_connect",
    "reduce/input_4_0": [0], "reduce/input_4_1": [2],
    "reduce/op_5_0": "skip_connect", "reduce/op_5_1": "max_pool_3x3",
    "reduce/input_5_0": [2], "reduce/input_5_1": [1],
}  # fmt: skip


def test_darts_v2_in_every_notation() -> None:
    v2 = load_architecture(V2)
    assert from_notation(DARTS_V2, "darts") == v2
    assert from_notation(json.dumps(NNI_DARTS_V2), "nni") == v2
    assert from_notation(to_notation(v2, "darts"), "darts") == v2
    back = json.loads(to_notation(v2, "nni"))
    assert {k: back[k] for k in back if k.startswith("normal/op")} == {
        "normal/op_2_0": "sep_conv_3x3", "normal/op_2_1": "sep_conv_3x3",
        "normal/op_3_0": "sep_conv_3x3", "normal/op_3_1": "sep_conv_3x3",
        "normal/op_4_0": "skip_connect", "normal/op_4_1": "sep_conv_3x3",
        "normal/op_5_0": "skip_connect", "normal/op_5_1": "dil_conv_3x3",
    }  # fmt: skip


def test_darts_v1_and_the_forms_of_a_genotype() -> None:
    v1 = from_notation(DARTS_V1, "darts")
    assert "h4 = sep_conv_3x3(input0) + skip_connect(h1)" in v1.text
    assert v1 != from_notation(DARTS_V2, "darts")
    nested = """(normal=[(('sep_conv_3x3', 1), ('sep_conv_3x3', 0)), [('skip_connect', 0),
        ('sep_conv_3x3', 1)], (('skip_connect', 0), ('sep_conv_3x3', 1)),
        (('sep_conv_3x3', 0), ('skip_connect', 2))], normal_concat=range(2, 6),
        reduce=[(('max_pool_3x3', 0), ('max_pool_3x3', 1)), (('skip_connect', 2),
        ('max_pool_3x3', 0)), (('max_pool_3x3', 0), ('skip_connect', 2)),
        (('skip_connect', 2), ('avg_pool_3x3', 0))], reduce_concat=array([2, 3, 4, 5]))"""
    assert from_notation(f"namespace.Genotype{nested}", "darts") == v1


def test_nni_sizes_and_older_keys() -> None:
    given = {k: v[0] if isinstance(v, list) else v for k, v in NNI_DARTS_V2.items()}
    found = from_notation(json.dumps([{"width": 16, "depth": 8, **given}]), "nni")
    assert found.space.parameters["channels"] == 16
    assert found.space.parameters["layers"] == 8
    assert json.loads(to_notation(found, "nni"))["depth"] == 8
    edges = {"cell__0_1": "conv_3x3", "cell__0_2": "skip_connect", "cell__1_2": "conv_1x1",
             "cell__0_3": "none", "cell__1_3": "avg_pool_3x3", "cell__2_3": "none"}  # fmt: skip
    read = from_notation(json.dumps(edges), "nni")
    assert to_notation(read, "nasbench201") == (
        "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|none~2|"
    )


def test_the_best_of_nasbench201() -> None:
    """The cell of 94.37 % on CIFAR-10 (Dong, Yang 2020, table 4, "optimal")."""
    best = (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|"
        "nor_conv_3x3~2|"
    )
    found = from_notation(best, "nasbench201")
    assert to_notation(found, "nasbench201") == best
    assert "h3 = skip_connect(h0) + nor_conv_3x3(h1) + nor_conv_3x3(h2)" in found.text


def test_json_holds_everything() -> None:
    architecture = load_architecture(
        "macro(layers=3, channels=48): h1 = conv_1x1(concat(conv_3x3(h0)));"
        "h2 = conv_1x1(concat(conv_5x5(h1), h1))"
    )
    plain = to_json(architecture)
    assert plain["schema"] == 1
    assert plain["parameters"] == {"layers": 3, "channels": 48}
    assert plain["decisions"] == {
        "network.h1.1": "conv_3x3", "network.h1.2": "", "network.h2.1": "conv_5x5",
        "network.h2.2": "h1",
    }  # fmt: skip
    assert from_notation(json.dumps(plain), "json") == architecture


# chenxi116/PNASNet.pytorch, genotypes.py
PNASNET = """[('sep_conv_5x5', 0), ('max_pool_3x3', 0), ('sep_conv_7x7', 1), ('max_pool_3x3', 1),
    ('sep_conv_5x5', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 4), ('max_pool_3x3', 1),
    ('sep_conv_3x3', 0), ('skip_connect', 1)]"""
# quark0/darts, cnn/genotypes.py
NASNET = """NASNet = Genotype(
  normal = [('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 0),
    ('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0),
    ('sep_conv_3x3', 1), ('skip_connect', 1)],
  normal_concat = [2, 3, 4, 5, 6],
  reduce = [('sep_conv_5x5', 1), ('sep_conv_7x7', 0), ('max_pool_3x3', 1), ('sep_conv_7x7', 0),
    ('avg_pool_3x3', 1), ('sep_conv_5x5', 0), ('skip_connect', 3), ('avg_pool_3x3', 2),
    ('sep_conv_3x3', 2), ('max_pool_3x3', 1)],
  reduce_concat = [4, 5, 6],
)"""
AMOEBANET = """AmoebaNet = Genotype(
  normal = [('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 2),
    ('sep_conv_3x3', 0), ('avg_pool_3x3', 3), ('sep_conv_3x3', 1), ('skip_connect', 1),
    ('skip_connect', 0), ('avg_pool_3x3', 1)],
  normal_concat = [4, 5, 6],
  reduce = [('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('sep_conv_7x7', 2),
    ('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1),
    ('conv_7x1_1x7', 0), ('sep_conv_3x3', 5)],
  reduce_concat = [3, 4, 6]
)"""


@pytest.mark.parametrize(
    "text",
    [
        f"Genotype(normal={PNASNET}, normal_concat=[2, 3, 4, 5, 6], "
        f"reduce={PNASNET}, reduce_concat=[2, 3, 4, 5, 6])",
        NASNET,
        AMOEBANET,
    ],
    ids=["pnasnet5", "nasnet-a", "amoebanet-a"],
)
def test_published_genotypes_come_back(text: str) -> None:
    """Pairs may be turned round, and so may pairs' halves be; all else is the same."""
    space = read_space(JOINED)
    found = from_notation(text, "darts", space)
    written = to_notation(found, "darts")
    assert from_notation(written, "darts", space) == found
    before, after = (plain(read_literal(Source("x", t))) for t in (text, written))
    if len(before) == 1:
        before = next(iter(before.values()))
    for key, steps in before.items():
        if key.endswith("concat"):
            assert after[key] == steps
        else:
            blocks = zip(steps[::2], steps[1::2], after[key][::2], after[key][1::2], strict=True)
            assert all(sorted([a, b]) == sorted([c, d]) for a, b, c, d in blocks)


# tensorflow/models, research/slim/nets/nasnet/nasnet_utils.py; and amoeba_net_a of model_specs.py
# in tensorflow/tpu, whose reduction cell uses 1x7_7x1
TF_NASNET = """
normal_cell_operations=['separable_5x5_2', 'separable_3x3_2', 'separable_5x5_2', 'separable_3x3_2',
    'avg_pool_3x3', 'none', 'avg_pool_3x3', 'avg_pool_3x3', 'separable_3x3_2', 'none']
normal_cell_hiddenstate_indices=[0, 1, 1, 1, 0, 1, 1, 1, 0, 0]
normal_cell_used_hiddenstates=[1, 0, 0, 0, 0, 0, 0]
reduction_cell_operations=['separable_5x5_2', 'separable_7x7_2', 'max_pool_3x3', 'separable_7x7_2',
    'avg_pool_3x3', 'separable_5x5_2', 'none', 'avg_pool_3x3', 'separable_3x3_2', 'max_pool_3x3']
reduction_cell_hiddenstate_indices=[0, 1, 0, 1, 0, 1, 3, 2, 2, 0]
reduction_cell_used_hiddenstates=[1, 1, 1, 0, 0, 0, 0]
"""
TF_AMOEBANET = """HParams(
normal_cell_operations=['avg_pool_3x3', 'max_pool_3x3', 'separable_3x3_2', 'none', 'none',
    'avg_pool_3x3', 'separable_3x3_2', 'separable_5x5_2', 'avg_pool_3x3', 'separable_3x3_2'],
normal_cell_hiddenstate_indices=[0, 0, 1, 1, 0, 1, 0, 2, 5, 0],
normal_cell_used_hiddenstates=[1, 0, 1, 0, 0, 1, 0],
reduction_cell_operations=['separable_3x3_2', 'avg_pool_3x3', 'max_pool_3x3', 'separable_7x7_2',
    'max_pool_3x3', 'max_pool_3x3', 'separable_3x3_2', '1x7_7x1', 'avg_pool_3x3',
    'separable_7x7_2'],
reduction_cell_hiddenstate_indices=[1, 0, 0, 2, 1, 0, 4, 0, 1, 0],
reduction_cell_used_hiddenstates=[1, 1, 0, 0, 0, 0, 0])"""


def test_nasnet_a_of_tensorflow_is_that_of_darts() -> None:
    """But for the cell input and the used block that only TensorFlow's joins, as do the papers."""
    space = read_space(JOINED)
    found = from_notation(TF_NASNET, "nasnet", space)
    darts = from_notation(NASNET, "darts", space)
    assert [c for c in difference(found, darts) if c.status != "same"] == [
        c for c in difference(found, darts) if c.labels == ("return", "return")
    ]
    assert "return concat(prev2, h1, h2, h3, h4, h5)" in found.text
    assert "return concat(h2, h3, h4, h5)" in found.text
    assert from_notation(to_notation(found, "nasnet"), "nasnet", space) == found


def test_amoebanet_a_of_tensorflow() -> None:
    space = read_space(JOINED)
    found = from_notation(TF_AMOEBANET, "nasnet", space)
    assert "h5 = sep_conv_3x3(prev1) + avg_pool_3x3(h4)" in found.text
    assert "return concat(prev2, h2, h3, h5)" in found.text
    assert "h4 = sep_conv_3x3(h3) + conv_1x7_7x1(prev1)" in found.text
    again = to_notation(found, "nasnet")
    assert "normal_cell_used_hiddenstates=[1, 0, 1, 0, 0, 1, 0]" in again
    assert from_notation(again, "nasnet", space) == found


# melodyguan/enas, scripts/cifar10_micro_final.sh and cifar10_macro_final.sh
ENAS_MICRO = "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1"
ENAS_MACRO = """0  3 0  0 1 0  2 0 0 1  2 0 0 0 0  3 1 1 0 1 0  2 0 0 0 0 0 1  2 0 1 1 0 1 1 1
1 0 1 1 1 0 1 0 1  0 0 0 0 0 0 0 0 0 0  2 0 0 0 0 0 1 0 0 0 0  0 1 0 0 1 1 0 0 0 0 1 1
2 0 1 0 0 0 0 0 1 0 1 1 0  1 0 0 1 0 0 0 1 1 1 0 1 0 1  0 1 1 0 1 0 1 0 0 0 0 0 1 0 0
2 0 0 1 0 0 0 0 0 0 0 1 0 1 0 1  2 0 1 0 0 0 1 0 0 1 1 1 1 0 0 1 0
2 0 0 0 0 1 0 1 0 1 0 0 1 0 1 0 0 1  3 0 1 1 0 1 0 0 0 0 0 1 0 1 0 1 0 0 0
3 0 1 1 0 0 0 0 0 0 0 0 0 1 1 0 0 0 0 1  0 1 0 0 1 0 1 1 0 0 0 1 0 0 0 0 0 1 1 0 0
3 0 1 0 1 1 0 0 1 0 1 1 0 1 1 0 1 0 0 1 0 0  0 1 0 1 0 1 0 0 0 0 0 0 0 0 1 0 1 0 0 1 0 0 0
0 1 1 0 0 0 1 1 1 0 1 0 0 0 1 0 1 0 0 1 1 0 0 0"""


def test_the_cells_that_enas_found() -> None:
    space = read_space(ENAS)
    found = from_notation(ENAS_MICRO, "enas_micro", space)
    assert "h2 = sep_conv_5x5(prev2) + skip_connect(prev2)" in found.text
    assert "sep_conv_5x5(prev1) + sep_conv_5x5(h2)" in found.text  # 1 1 3 1, of the reduction
    written = to_notation(found, "enas_micro").split()
    given = ENAS_MICRO.split()
    for i in range(0, 40, 4):
        pairs = [sorted([tuple(x[i : i + 2]), tuple(x[i + 2 : i + 4])]) for x in (written, given)]
        assert pairs[0] == pairs[1]
    assert from_notation(" ".join(written), "enas_micro", space) == found


def test_the_network_that_enas_found() -> None:
    space = read_space(LAYERS)
    found = from_notation(ENAS_MACRO, "enas_macro", space)
    assert found.level == 24
    assert "h2 = conv_1x1(concat(dw_conv_5x5(h1)))" in found.text
    assert "h3 = conv_1x1(concat(conv_3x3(h2), h0))" in found.text
    assert to_notation(found, "enas_macro").split() == ENAS_MACRO.split()


def test_operations_have_the_numbers_of_enas() -> None:
    """Those of general_child.py (branch_0 to branch_5) and micro_child.py (melodyguan/enas)."""
    found = from_notation("0 3 0 1 0 0 5 1 1 0 4 0 1 0 0", "enas_macro")
    operations = ["conv_3x3", "dw_conv_5x5", "dw_conv_3x3", "max_pool_3x3", "avg_pool_3x3"]
    assert re.findall(r"(\w+)\(branch", found.text) == operations
    assert from_notation("2", "enas_macro").text == "enas_macro: h1 = conv_5x5(branch)"
    pools = load_architecture(
        "darts: normal { h1 = max_pool_3x3(input0) + avg_pool_3x3(input1) }"
        "reduction { h1 = sep_conv_3x3(input0) + sep_conv_5x5(input1) }"
    )
    assert sorted(to_notation(pools, "enas_micro").split()[:4]) == ["0", "1", "2", "3"]
    assert to_notation(pools, "enas_micro") == "0 3 1 2 0 0 1 1"


def enas_macro_params(numbers: list[int], layers: int, width: int) -> int:
    """Counted from the definition, without a graph; reductions that nobody reads are left out."""
    total, read = 27 * width + 2 * width, set[int]()
    rows = []
    for n in range(1, layers + 1):
        rows.append((numbers[0], numbers[1:n]))
        numbers = numbers[n:]
    for n in range(layers, 0, -1):  # from the end, so that it is known what is read
        w = width << (n - 1) // (layers // 3)
        operation, skips = rows[n - 1]
        kernel = 9 if operation < 2 else 25 if operation < 4 else 0
        total += w * w + 2 * w  # the 1x1 convolution in front
        if kernel:
            total += (kernel * w + w * w if operation % 2 else kernel * w * w) + 2 * w
        total += (1 + sum(skips)) * w * w + 2 * w if n > 1 else 0
        read |= {n - 1, *(i for i, bit in enumerate(skips) if bit)}
        if n % (layers // 3) == 1 and n > 1:
            total += len(read & {*range(n)}) * (w // 2 * w + 2 * w)
    assert not numbers
    return total + 4 * width * 10 + 10


def test_the_parameters_of_the_network_that_enas_found() -> None:
    """36 channels here; the authors' final network has 96."""
    for width in (36, 96):
        space = load_space("enas_macro", layers=24, channels=width)
        found = from_notation(ENAS_MACRO, "enas_macro", space)
        numbers = [int(x) for x in ENAS_MACRO.split()]
        params = costs(network_layers(found, (3, 32, 32)), (3, 32, 32)).params
        assert params == enas_macro_params(numbers, 24, width)
        assert params == {36: 4_373_614, 96: 30_947_434}[width]


@pytest.mark.parametrize("name", ["darts_v1", "darts_v2", "pnasnet5"])
@pytest.mark.parametrize("notation", ["darts", "nasnet", "nni"])
def test_networks_without_decisions_have_cells(name: str, notation: str) -> None:
    only = Architecture(load_space(name), ())
    if notation == "nasnet" and name == "darts_v2":
        with pytest.raises(ArchitectureError, match="no word for `dil_conv_3x3`"):
            to_notation(only, notation)
        return
    written = to_notation(only, notation)
    assert from_notation(written, notation, only.space) == only
    if name == "darts_v2" and notation != "nasnet":
        assert operations_of(from_notation(written, notation)) == operations_of(
            load_architecture(V2)
        )
    other = written.replace("max_pool_3x3", "avg_pool_3x3")
    with pytest.raises(ArchitectureError, match="is fixed, and another"):
        from_notation(other, notation, only.space)


def test_the_inputs_of_a_cell_are_numbered_by_their_age() -> None:
    turned = resource("spaces", "darts").read_text().replace("[input0, input1,", "[input1, input0,")
    found = from_notation(DARTS_V2, "darts", read_space(turned))
    assert "h3 = skip_connect(input0) + dil_conv_3x3(h1)" not in found.text
    assert operations_of(found) == operations_of(load_architecture(V2))
    assert "h4 = skip_connect(input0) + dil_conv_3x3(h1)" in found.text


def test_a_space_that_does_not_join_so_says_which_would() -> None:
    with pytest.raises(ArchitectureError) as error:
        from_notation(TF_NASNET, "nasnet")
    result = re.search(r"`(return concat\(some of .*\))`", error.value.diagnostics[0].hint)[1]
    copy = resource("spaces", "nasnet").read_text().replace("return concat(unused(h))", result)
    found = from_notation(TF_NASNET, "nasnet", read_space(copy.replace("level b", "for b")))
    assert costs(network_layers(found, (3, 32, 32)), (3, 32, 32)).params == 3_328_234


# google-research/nasbench, nasbench/api.py
INCEPTION = """model_spec = api.ModelSpec(
    matrix=[[0, 1, 1, 1, 0, 1, 0],    # input layer
            [0, 0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 1, 0, 0],
            [0, 0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 0, 0]],
    ops=[INPUT, CONV1X1, CONV3X3, CONV3X3, CONV3X3, MAXPOOL3X3, OUTPUT])"""


def test_the_example_of_nasbench101() -> None:
    space = read_space(VERTICES)
    found = from_notation(INCEPTION, "nasbench101", space)
    assert "v4 = conv_3x3(v3)" in found.text
    assert "return concat(v1, v2, v4, v5)" in found.text
    written = to_notation(found, "nasbench101")
    assert plain(read_literal(Source("x", written)))["matrix"] == [
        [0, 1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], [0] * 7,
    ]  # fmt: skip
    assert from_notation(written, "nasbench101", space) == found


def test_the_example_in_its_published_space() -> None:
    found = from_notation(INCEPTION, "nasbench101")
    assert "h4 = conv_3x3(h3); h5 = max_pool_3x3(project(prev))" in found.text
    assert found.text.endswith("return concat(h1, h2, h4, h5, channels=channels)")
    straight = "ModelSpec(matrix=[[0, 1], [0, 0]], ops=['input', 'output'])"
    assert from_notation(straight, "nasbench101").text.endswith("return project(prev)")
    both = INCEPTION.replace("[0, 1, 1, 1, 0, 1, 0]", "[0, 1, 1, 1, 0, 1, 1]")
    assert from_notation(both, "nasbench101").text.endswith("channels=channels) + project(prev)")


@pytest.mark.parametrize(("text", "space"), [(NASNET, "nasnet"), (AMOEBANET, "amoebanet")])
def test_found_cells_in_their_published_spaces(text: str, space: str) -> None:
    found = from_notation(text, "darts", load_space(space))
    assert from_notation(to_notation(found, "darts"), "darts", load_space(space)) == found
    assert "identity(input1)" in found.text


def test_blanks_and_quotes_around_the_nodes_of_nasbench201_do_not_count() -> None:
    plain = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
    found = from_notation(f"'{plain.replace('+', ' + ')}'", "nasbench201")
    assert found == from_notation(plain, "nasbench201")
    assert to_notation(found, "nasbench201") == plain


def test_what_the_input_does_not_reach_is_left_out_of_nasbench101() -> None:
    loose = (
        "ModelSpec(matrix=[[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], "
        "ops=['input', 'conv1x1-bn-relu', 'maxpool3x3', 'output'])"
    )
    plain = (
        "ModelSpec(matrix=[[0, 1, 1], [0, 0, 1], [0, 0, 0]], ops=['input', 'maxpool3x3', 'output'])"
    )
    assert to_notation(from_notation(loose, "nasbench101"), "nasbench101") == plain
    with pytest.raises(ArchitectureError, match="reads nothing"):
        from_notation(plain.replace("[0, 1, 1], [0, 0, 1]", "[0, 0, 0], [0, 0, 1]"), "nasbench101")


def test_random_matrices_of_nasbench101() -> None:
    space = read_space(VERTICES)
    for architecture in sample(space, 60, np.random.default_rng(0)):
        written = to_notation(architecture, "nasbench101")
        again = from_notation(written, "nasbench101", space)
        assert again.key == architecture.key
        assert to_notation(again, "nasbench101") == written
    small = (
        "ModelSpec(matrix=[[0, 1, 1], [0, 0, 1], [0, 0, 0]], ops=['input', 'maxpool3x3', 'output'])"
    )
    assert "v1 = max_pool_3x3(v0)" in from_notation(small, "nasbench101", space).text


def test_a_matrix_holds_no_dead_vertices() -> None:
    small = (
        "ModelSpec(matrix=[[0, 1, 1], [0, 0, 1], [0, 0, 0]], ops=['input', 'maxpool3x3', 'output'])"
    )
    assert to_notation(from_notation(small, "nasbench101"), "nasbench101") == small
    dead = load_architecture(
        "nasbench101: h1 = conv_1x1(project(prev)); h2 = conv_3x3(h1);"
        "h3 = conv_3x3(project(prev)); h4 = conv_1x1(h3); h5 = conv_1x1(h2);"
        "return concat(h4, channels=channels)"
    )
    assert to_notation(dead, "nasbench101") == (
        "ModelSpec(matrix=[[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], "
        "ops=['input', 'conv3x3-bn-relu', 'conv1x1-bn-relu', 'output'])"
    )


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("CONV1X1", "CONV5X5", "E310", "`CONV5X5` is not one of conv3x3"),
        ("[0, 0, 0, 0, 0, 0, 0]]", "[0, 1, 0, 0, 0, 0, 0]]", "E309", "upper triangular"),
        ("[0, 0, 0, 0, 0, 0, 0]]", "[0, 0, 0]]", "E309", "a matrix of 7 rows"),
        ("[0, 1, 1, 1, 0, 1, 0]", "[0, 2, 1, 1, 0, 1, 0]", "E309", "from 0 to 1"),
        ("OUTPUT", "CONV3X3", "E309", "`output` belongs here"),
        ("ops=", "oops=", "E309", "`ops` is missing"),
    ],
)
def test_mistakes_in_a_matrix(old: str, new: str, code: str, words: str) -> None:
    with pytest.raises(ArchitectureError, match=words) as error:
        from_notation(INCEPTION.replace(old, new), "nasbench101", read_space(VERTICES))
    assert error.value.diagnostics[0].code == code
    assert error.value.diagnostics[0].span


# --- mistakes ----------------------------------------------------------------------------------

EDGES = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
JSON = json.dumps({"schema": 1, "space": "micro", "choices": [0, 0, 0, 0]})
MISTAKES = [
    ("darts", DARTS_V1.replace("sep_conv_3x3", "sep_conv_9x9", 1), "E313", "'sep_conv_9x9'",
     "`sep_conv_9x9` is not one of"),
    ("darts", DARTS_V1.replace("[2, 3, 4, 5]", "[3, 4, 5]", 1), "E313", "3, 4, 5",
     "joins [2, 3, 4, 5]"),
    ("darts", DARTS_V1.replace("('skip_connect', 2)", "('skip_connect', 9)", 1), "E309", "9",
     "from 0 to 4"),
    ("darts", DARTS_V1.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3', 1)", 1), "E313",
     "'sep_conv_3x3'", "twice"),
    ("darts", DARTS_V1.replace("normal_concat", "normal_conat"), "E309", "", "did you mean"),
    ("darts", DARTS_V1[:-9], "E309", "", "ends too early"),
    ("darts", DARTS_V1.replace("('skip_connect', 2)]", "]", 1), "E309", "", "one is left over"),
    ("darts", DARTS_V1.replace("('skip_connect', 2)", "('skip_connect', 2, 1.0)", 1), "E309", "",
     "number of a value"),
    ("darts", DARTS_V1.replace("'skip_connect', 2", "'skip_connect', -2", 1), "E309", "-2",
     "a whole number"),
    ("darts", "Genotype", "E309", "Genotype", "entries with names"),
    ("darts", "", "E309", "", "entries with names"),
    ("nasbench201", EDGES[:8], "E309", "|none~0|", "1 nodes"),
    ("nasbench201", EDGES.replace("none~1", "none~0", 1), "E309", "none~0", "`operation~1`"),
    ("nasbench201", EDGES.replace("none~1", "non~1", 1), "E310", "non~1", "did you mean `none`"),
    ("enas_micro", "0 1 2 x", "E309", "x", "no whole number"),
    ("enas_micro", "0 1 2", "E309", "0 1 2", "a multiple of 8"),
    ("enas_micro", "0 7 0 0 0 0 0 0", "E309", "7", "from 0 to 4"),
    ("enas_micro", "0 0 0 0 0 0 0 1", "E313", "0 0 0 1", "the two cells differ"),
    ("enas_macro", "1 2 2", "E309", "2", "from 0 to 1"),
    ("enas_macro", "1 2", "E309", "2", "within a layer"),
    ("enas_macro", "9", "E309", "9", "from 0 to 5"),
    ("nni", '{"normal/op_2_0": "sep_conv_3x3"}', "E309", "}", "`normal/input_2_0` is missing"),
    ("nni", json.dumps(NNI_DARTS_V2 | {"normal/op_7_0": "none"}), "E309", '"none"',
     "`normal/op_7_0` is no choice"),
    ("nni", '{"normal_n2_p0": "sep_conv_3x3", "normal_n2_switch": ["x"]}', "E309", '"sep',
     "of NNI 2"),
    ("nni", json.dumps(NNI_DARTS_V2 | {"x": 1}), "E309", "1", "`x` is no choice"),
    ("nni", json.dumps({"cell/0_1": "conv_9x9"}), "E310", '"conv_9x9"', "not one of"),
    ("json", JSON.replace("1,", "2,", 1), "E309", "2", "schema 2"),
    ("json", JSON.replace("[0, 0, 0, 0]", "[0, 0, 0]"), "E302", "", "do not fill a level"),
    ("json", JSON.replace("[0, 0, 0, 0]", "[0, 9, 0, 0]"), "E301", "", "there is no 9"),
    ("json", JSON.replace('"choices"', '"digest": "00", "choices"'), "E304", '"00"', "written for"),
    ("json", JSON.replace("micro", "mcro"), "E501", "", "did you mean `micro`"),
    ("json", JSON.replace("choices", "choces"), "E309", "", "did you mean `choces`"),
    ("json", JSON[:-4], "E309", "", "ends too early"),
]  # fmt: skip
SPACES = {"enas_micro": "pnas"}


@pytest.mark.parametrize(
    ("notation", "text", "code", "place", "words"),
    MISTAKES,
    ids=[f"{m[0]}-{m[4]}" for m in MISTAKES],
)
def test_a_mistake_has_a_code_and_a_place(notation, text, code, place, words) -> None:
    space = load_space(SPACES[notation]) if notation in SPACES else None
    with pytest.raises(EpnasError) as error:
        from_notation(text, notation, space)
    found = error.value.diagnostics[0]
    assert found.code == code
    assert words in str(error.value)
    if code in {"E309", "E310", "E313"}:
        assert found.span
        assert text[found.span.start : found.span.end].startswith(place)
    if code == "E309":
        assert found.hint


CANNOT_SAY = [
    ("nni", "micro: h1 = dw_conv_3x3(prev1) + conv_3x3(prev1)", "E315", "`conv_3x3`"),
    ("nasnet", "pnas: h1 = dil_conv_3x3(prev1) + identity(prev1)", "E315", "`dil_conv_3x3`"),
    ("darts", "macro: h1 = conv_1x1(concat(conv_3x3(h0)))", "E312", "reduction"),
    ("nasbench201", "micro: h1 = conv_3x3(prev1) + conv_3x3(prev1)", "E312", "edges"),
    ("nasbench201", "nasbench201: h1 = none(h0)", "E311", "all 3 levels"),
    ("enas_macro", "micro: h1 = conv_3x3(prev1) + conv_3x3(prev1)", "E312", "skip what"),
    ("enas_macro", "macro: h1 = conv_1x1(concat(conv_3x3(h0)))", "E312", "skip what"),
    ("enas_micro", "micro: h1 = conv_3x3(prev1) + conv_3x3(prev1)", "E315", "`conv_3x3`"),
]


@pytest.mark.parametrize(("notation", "text", "code", "words"), CANNOT_SAY)
def test_what_a_notation_cannot_say_is_refused(notation, text, code, words) -> None:
    with pytest.raises(ArchitectureError, match=words) as error:
        to_notation(load_architecture(text), notation)
    assert error.value.diagnostics[0].code == code


def test_a_genotype_of_another_space_is_refused() -> None:
    more = "('skip_connect', 2), ('skip_connect', 2), ('skip_connect', 3)],\n  normal"
    longer = DARTS_V1.replace("('skip_connect', 2)],\n  normal", more)
    with pytest.raises(ArchitectureError, match="has 4") as error:
        from_notation(longer, "darts")
    assert "nodes=5" in str(error.value)
    with pytest.raises(ArchitectureError, match="--space nasnet"):
        from_notation(NASNET, "darts")
    with pytest.raises(ArchitectureError, match="is not one of"):
        from_notation(DARTS_V1, "darts", load_space("micro"))


# --- literals ----------------------------------------------------------------------------------


def plain(literal: Literal) -> object:
    match literal.value:
        case tuple():
            return [plain(x) for x in literal.value]
        case dict():
            return {k: plain(x) for k, x in literal.value.items()}
    return literal.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, -2.5, 'a', b, None, true]", [1, -2.5, "a", "b", None, True]),
        ("(1, (2,), ('x'), ())", [1, [2], "x", []]),
        ('{"a\\/b": {"c": null}, "d": []}', {"a/b": {"c": None}, "d": []}),
        ("f(x=1, y=g(2, 3))  # a comment", {"x": 1, "y": [2, 3]}),
        ("a = [1]\nb = 2", {"a": [1], "b": 2}),
        ("", []),
    ],
)
def test_literals(text: str, value: object) -> None:
    assert plain(read_literal(Source("x", text))) == value


def test_literals_are_json() -> None:
    for architecture in sample(load_space("darts"), 20, np.random.default_rng(0)):
        text = to_notation(architecture, "json")
        assert plain(read_literal(Source("x", text))) == json.loads(text)


@pytest.mark.parametrize("text", ["[" * 100, "(" * 60_000, "{'a':" * 30_000])
def test_deep_literals_are_refused(text: str) -> None:
    with pytest.raises(LimitError):
        read_literal(Source("x", text))


@pytest.mark.parametrize("name", sorted(NOTATIONS))
def test_damaged_texts_are_refused_with_a_message(name: str) -> None:
    """Every text with a stretch cut out or doubled is read or refused, and never a bug."""
    space = load_space(name if name in names("spaces") else "darts")
    architecture = sample(space, 1, np.random.default_rng(3))[0]
    if name == "nasbench101":
        space = read_space(VERTICES)
        architecture = sample(space, 1, np.random.default_rng(3))[0]
    if name == "nasnet":
        space = load_space("pnas")
        architecture = load_architecture("pnas: h1 = sep_conv_3x3(prev1) + identity(prev2)")
    text = to_notation(architecture, name)
    generator = np.random.default_rng(4)
    codes = []
    for _ in range(300):
        start, end = sorted(generator.integers(0, len(text), 2).tolist())
        end = min(end, start + 12)
        if generator.integers(2):
            damaged = text[:end] + text[start:]
        else:
            damaged = text[:start] + str(generator.choice(list("()[]',=1~|"))) + text[end:]
        try:
            assert isinstance(from_notation(damaged, name, space), Architecture)
        except EpnasError as error:
            codes += [d.code for d in error.diagnostics]
    assert len(codes) > 100
    assert all(codes)


def test_a_space_that_decides_what_is_joined() -> None:
    space = read_space(JOINED)
    for architecture in sample(space, 100, np.random.default_rng(0)):
        for name in ("darts", "nasnet"):
            assert from_notation(to_notation(architecture, name), name, space) == architecture
        with pytest.raises(ArchitectureError, match="joined"):
            to_notation(architecture, "nni")
