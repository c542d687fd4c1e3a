"""Cells that searches found, written in their spaces: sizes as their definitions give them."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pytest

from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.resources import resource
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.counting import count_raw, count_unique
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import network_layers, to_graph, to_network
from epnas_dsl.space.nodes import nodes
from epnas_dsl.space.operations import Layer
from epnas_dsl.space.shapes import Costs, costs

CIFAR, LARGE = (3, 32, 32), (3, 331, 331)
ENAS_OPERATIONS = ["sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect"]
ENAS = [  # input, operation, input, operation of each block, as its authors publish them
    [0, 2, 0, 0, 0, 4, 0, 1, 0, 4, 1, 1, 1, 0, 0, 1, 0, 2, 1, 1],
    [1, 0, 1, 0, 0, 3, 0, 2, 1, 1, 3, 1, 1, 0, 0, 4, 0, 3, 1, 1],
]
NASNET_A = """nasnet:
    normal {
        h1 = sep_conv_5x5(input1) + sep_conv_3x3(input0)
        h2 = sep_conv_5x5(input0) + sep_conv_3x3(input0)
        h3 = avg_pool_3x3(input1) + identity(input0)
        h4 = avg_pool_3x3(input0) + avg_pool_3x3(input0)
        h5 = sep_conv_3x3(input1) + identity(input1)
    }
    reduction {
        h1 = sep_conv_5x5(input1) + sep_conv_7x7(input0)
        h2 = max_pool_3x3(input1) + sep_conv_7x7(input0)
        h3 = avg_pool_3x3(input1) + sep_conv_5x5(input0)
        h4 = identity(h2) + avg_pool_3x3(h1)
        h5 = sep_conv_3x3(h1) + max_pool_3x3(input1)
    }"""
AMOEBANET_A = """amoebanet:
    normal {
        h1 = avg_pool_3x3(input0) + max_pool_3x3(input1)
        h2 = sep_conv_3x3(input0) + sep_conv_5x5(h1)
        h3 = sep_conv_3x3(input0) + avg_pool_3x3(h2)
        h4 = sep_conv_3x3(input1) + identity(input1)
        h5 = identity(input0) + avg_pool_3x3(input1)
    }
    reduction {
        h1 = avg_pool_3x3(input0) + sep_conv_3x3(input1)
        h2 = max_pool_3x3(input0) + sep_conv_7x7(h1)
        h3 = sep_conv_7x7(input0) + avg_pool_3x3(input1)
        h4 = max_pool_3x3(input0) + max_pool_3x3(input1)
        h5 = conv_1x7_7x1(input0) + sep_conv_3x3(h4)
    }"""
PNASNET_5 = """pnas:
    h1 = sep_conv_5x5(prev2) + max_pool_3x3(prev2)
    h2 = sep_conv_7x7(prev1) + max_pool_3x3(prev1)
    h3 = sep_conv_5x5(prev1) + sep_conv_3x3(prev1)
    h4 = sep_conv_3x3(h3) + max_pool_3x3(prev1)
    h5 = sep_conv_3x3(prev2) + identity(prev1)"""
DARTS_V1 = """darts:
    normal {
        h1 = sep_conv_3x3(input1) + sep_conv_3x3(input0)
        h2 = skip_connect(input0) + sep_conv_3x3(input1)
        h3 = skip_connect(input0) + sep_conv_3x3(input1)
        h4 = sep_conv_3x3(input0) + skip_connect(h1)
    }
    reduction {
        h1 = max_pool_3x3(input0) + max_pool_3x3(input1)
        h2 = skip_connect(h1) + max_pool_3x3(input0)
        h3 = max_pool_3x3(input0) + skip_connect(h1)
        h4 = skip_connect(h1) + avg_pool_3x3(input0)
    }"""
DARTS_V2 = """darts:
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
INCEPTION_LIKE = """nasbench101:
    h1 = conv_1x1(project(prev))
    h2 = conv_3x3(project(prev))
    h3 = conv_3x3(project(prev))
    h4 = conv_3x3(h3)
    h5 = max_pool_3x3(project(prev))
    return concat(h1, h2, h4, h5, channels=channels)"""


def only(name: str) -> Architecture:
    """The one architecture of a space that leaves nothing to choose."""
    return Architecture(load_space(name), ())


def cost(architecture: Architecture, image: tuple[int, int, int] = CIFAR) -> Costs:
    return costs(network_layers(architecture, image), image)


def essence(layers: tuple[Layer, ...]) -> Counter[object]:
    return Counter((x.kind, x.channels, x.settings) for x in layers)


# --- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "raw"),
    [
        ("enas_micro", math.prod((5 * (b + 1)) ** 2 for b in range(1, 6)) ** 2),
        ("enas_micro", 25_628_906_250_000_000_000_000_000),
        ("enas_macro", 6**12 * 2**66),
        ("nasnet", math.prod(2 * (13 * (b + 1)) ** 2 for b in range(1, 6)) ** 2),
        ("nasnet", 5_229_943_396_058_757_337_940_161_399_357_440_000),
        ("amoebanet", 556_627_761_561_600**2),
        ("amoebanet", 309_834_464_941_077_422_470_594_560_000),
        ("nasbench101", 3**5 * math.prod(2**i - 1 for i in range(1, 6)) * (1 + 2 * 31)),
        ("nasbench101", 149_492_385),
        ("darts_v1", 1),
        ("darts_v2", 1),
        ("pnasnet5", 1),
        ("pnasnet5_large", 1),
    ],
)
def test_raw_counts(space: str, raw: int) -> None:
    assert count_raw(load_space(space)) == raw


def test_two_blocks_have_the_published_number_of_pairs() -> None:
    assert count_unique(load_space("enas_micro"), 1) == (5 * 2 * 11 // 2) ** 2
    assert count_raw(load_space("amoebanet"), 1) == 256**2


# --- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "params"),
    [("darts_v1", DARTS_V1, 3_169_414), ("darts_v2", DARTS_V2, 3_349_342)],
)
def test_the_cells_of_darts_are_members_of_its_space(name: str, text: str, params: int) -> None:
    found = network_layers(load_architecture(text), CIFAR)
    assert essence(found) == essence(network_layers(only(name), CIFAR))
    assert costs(found, CIFAR).params == params


def test_darts_v2() -> None:
    spent = cost(only("darts_v2"))
    assert (spent.params, spent.macs) == (3_349_342, 528_359_040)


def test_pnasnet_5() -> None:
    assert cost(only("pnasnet5")).params == 3_176_602
    spent = cost(only("pnasnet5_large"), LARGE)
    assert (spent.params, spent.macs) == (86_057_668, 24_937_395_792)


def test_pnasnet_5_joins_a_block_that_is_not_loose() -> None:
    found = nodes(to_graph(load_architecture(PNASNET_5)))
    assert found[-1].inputs == ("h1", "h2", "h4", "h5")
    assert nodes(to_graph(only("pnasnet5")))[-1].inputs == ("h1", "h2", "h3", "h4", "h5")


def test_amoebanet_a() -> None:
    assert cost(load_architecture(AMOEBANET_A)).params == 3_145_510  # the paper: 3.2 M
    narrow = AMOEBANET_A.replace("amoebanet", "amoebanet(channels=32)")
    assert cost(load_architecture(narrow)).params == 2_510_058


def test_nasnet_a() -> None:
    assert cost(load_architecture(NASNET_A)).params == 3_061_738


def test_nasnet_a_as_published_joins_what_is_not_loose() -> None:
    text = resource("spaces", "nasnet").read_text()
    for joined in ("concat(input0, h[1..5])", "concat(h[2..5])"):
        text = text.replace("concat(unused(h))", joined, 1)
    spent = cost(load_architecture(NASNET_A, read_space(text)))
    assert spent.params == 3_328_234  # the paper: 3.3 M
    assert network_layers(load_architecture(NASNET_A, read_space(text)), CIFAR)[-1][
        "in_features"
    ] == 768  # hence the name of 6@768  # fmt: skip


def test_what_enas_macro_reads_is_reduced_once_for_each_layer_and_stage() -> None:
    space = load_space("enas_macro")
    a = Architecture(space, [d.size - 1 for d in space.decisions])  # all skips
    found = nodes(to_network(a, CIFAR))
    reduced = [n.scale for n in found if n.operation == "factorized_reduce"]
    assert Counter(reduced) == {2: 5, 4: 9}
    joined = [len(n.inputs) for n in found if n.operation == "concat"]
    assert joined == list(range(2, 13))
    assert found[-2].channels == 4 * 36


# --- ENAS ----------------------------------------------------------------------------------------


def enas_text(cells: list[list[int]]) -> str:
    written = []
    for cell in cells:
        read = [f"{ENAS_OPERATIONS[op]}(h{i})" for i, op in zip(cell[::2], cell[1::2], strict=True)]
        pairs = enumerate(zip(read[::2], read[1::2], strict=True), 2)
        written.append("; ".join(f"h{b} = {x} + {y}" for b, (x, y) in pairs))
    return f"enas_micro: normal {{ {written[0]} }} reduction {{ {written[1]} }}"


def enas_params(cells: list[list[int]], width: int = 36, repeats: int = 5) -> int:
    """Counted from the authors' code, without a graph."""

    def conv(inputs: int, outputs: int) -> int:  # a 1x1 convolution and its batch norm
        return inputs * outputs + 2 * outputs

    total = 27 * 3 * width + 2 * 3 * width
    before = [(3 * width, 0), (3 * width, 0)]  # channels and how often reduced
    for n in range(3 * repeats + 2):
        reduces = n in (repeats, 2 * repeats + 1)
        width *= 1 + reduces
        (older, size), (newer, new_size) = before
        total += conv(older, width) * (size != new_size or older != width)
        total += conv(newer, width) * (newer != width) + conv(width, width)
        read = [*zip(cells[reduces][::2], cells[reduces][1::2], strict=True)]
        for i, op in read:
            total += 2 * ((3 + 2 * op) ** 2 * width + conv(width, width)) if op < 2 else 0
            total += conv(width, width) if op == 4 and reduces and i < 2 else 0
        loose = {*range(7)} - {i for i, _ in read}
        total += reduces * len(loose & {0, 1}) * conv(width, width)
        before = [before[1], (width * len(loose), new_size + reduces)]
    return total + before[1][0] * 10 + 10


def test_the_cells_that_enas_found() -> None:
    architecture = load_architecture(enas_text(ENAS))
    assert cost(architecture).params == enas_params(ENAS) == 3_894_382


def test_cells_of_enas_with_loose_inputs_too() -> None:
    loose = 0
    for a in sample(load_space("enas_micro"), 40, np.random.default_rng(0)):
        found = [
            [n for op, i in re.findall(r"(\w+)\(h(\d)\)", cell)
             for n in (int(i), ENAS_OPERATIONS.index(op))]
            for cell in re.findall(r"\{(.*?)\}", str(a))
        ]  # fmt: skip
        assert enas_text(found) == str(a)
        assert cost(a).params == enas_params(found), a
        loose += len({0, 1} - {*found[1][::2]})
    assert loose > 0


# --- NAS-Bench-101 -------------------------------------------------------------------------------


def test_nasbench101_has_423624_modules() -> None:
    assert count_unique(load_space("nasbench101")) == 423_624
    found = [count_unique(load_space("nasbench101", vertices=n)) for n in (1, 2, 3)]
    assert found == [7, 91, 2_532]  # up to 3, 4 and 5 vertices, input and output among them


def test_the_inception_like_module_of_nasbench101() -> None:
    assert cost(load_architecture(INCEPTION_LIKE)).params == 2_694_282


def nasbench101_params(matrix: list[list[int]], kernels: list[int]) -> int:
    """Counted from the rules of section 2.2, without a graph: vertex 0 is the input, 6 the output.

    Args:
        kernels: 1 and 3 for the convolutions, 0 for the pooling layer.
    """

    def conv(kernel: int, inputs: int, outputs: int) -> int:
        return kernel**2 * inputs * outputs + 2 * outputs

    last = len(matrix) - 1
    alive = {last}
    for v in range(last - 1, 0, -1):
        alive |= {v} if any(matrix[v][u] for u in alive) else set()
    total, inputs = conv(3, 3, 128), 128
    for channels in (128, 256, 512):
        joined = [v for v in range(1, last) if matrix[v][last]]
        widths = dict.fromkeys(range(last), 0)
        for i, v in enumerate(joined):
            widths[v] = channels // len(joined) + (i < channels % len(joined))
        for v in range(last - 1, 0, -1):
            readers = [widths[u] for u in alive - {last} if matrix[v][u]]
            widths[v] = max([widths[v], *readers])
        for _ in range(3):
            for v in alive - {last}:
                total += conv(1, inputs, widths[v]) * matrix[0][v]
                total += conv(kernels[v - 1], widths[v], widths[v]) if kernels[v - 1] else 0
            total += conv(1, inputs, channels) * matrix[0][last]
            inputs = channels
    return total + inputs * 10 + 10


def test_random_modules_of_nasbench101() -> None:
    space = load_space("nasbench101")
    generator = np.random.default_rng(0)
    kernels = {"conv_1x1": 1, "conv_3x3": 3, "max_pool_3x3": 0}
    uneven = 0
    for _ in range(60):
        a = Architecture(space, [int(generator.integers(d.size)) for d in space.decisions])
        statements = str(a).partition(": ")[2].split("; ")
        matrix = [[0] * 7 for _ in range(7)]
        for v, statement in enumerate(statements, 1):
            read = statement.partition(" = ")[2] or statement
            for i in ["0"] * ("project" in read) + re.findall(r"\bh(\d)", read):
                matrix[int(i)][v] = 1
        operations = [kernels[s.split(" = ")[1].partition("(")[0]] for s in statements[:5]]
        assert cost(a).params == nasbench101_params(matrix, operations), a
        uneven += any(x.kind == "channel_slice" for x in network_layers(a, CIFAR))
    assert uneven > 5
