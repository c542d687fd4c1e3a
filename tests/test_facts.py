"""Figures that others published, or that their code printed, come out of ours."""

import math

import numpy as np
import pytest

from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.lang.notations import read_nasbench201
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.counting import count_raw, count_unique, count_unordered
from epnas_dsl.space.expansion import enumerate_level
from epnas_dsl.space.graph import to_layers, to_network
from epnas_dsl.space.shapes import Costs, costs

IMAGE = (3, 32, 32)


def cost(architecture: Architecture, image: tuple[int, int, int] = IMAGE) -> Costs:
    return costs(to_layers(to_network(architecture, image)), image)


@pytest.mark.parametrize(
    ("space", "raw"),
    [
        ("micro", 146_435_169_081_600),
        ("macro", 160_618_186_625_454_535_808_756_219_904),
        ("pnas", 556_627_761_561_600),
        ("darts", 1_076_746_950_455_072_400),
        ("nasbench201", 15_625),
    ],
)
def test_raw_counts(space: str, raw: int) -> None:
    assert count_raw(load_space(space)) == raw


def test_raw_counts_follow_from_the_definitions() -> None:
    assert count_raw(load_space("macro")) == 6**12 * 2**66
    assert count_raw(load_space("micro")) == math.prod((7 * (b + 1)) ** 2 for b in range(1, 6))
    cell = math.prod(math.comb(k, 2) * 7**2 for k in range(2, 6))
    assert cell == 1_037_664_180
    assert count_raw(load_space("darts")) == cell**2


def test_pnas_levels() -> None:
    space = load_space("pnas")
    levels = range(1, 6)
    assert [space.level_size(b) for b in levels] == [256, 576, 1024, 1600, 2304]
    assert [space.level_size(b, unordered=True) for b in levels] == [136, 300, 528, 820, 1176]
    assert count_unordered(space) == 20_773_767_168_000


def test_unique_counts_of_one_block() -> None:
    assert count_unique(load_space("micro"), 1) == 105
    assert count_unique(load_space("pnas"), 1) == 136


@pytest.mark.slow
@pytest.mark.parametrize(("space", "unique"), [("micro", 18_795), ("pnas", 31_620)])
def test_unique_counts_of_two_blocks(space: str, unique: int) -> None:
    assert count_unique(load_space(space), 2) == unique


@pytest.mark.slow
def test_nasbench201_has_5260_distinct_computations() -> None:
    assert count_unique(load_space("nasbench201")) == 5_260


@pytest.mark.slow
def test_nasbench201_with_equal_pools_kept_apart() -> None:
    from epnas_dsl.resources import resource

    text = resource("spaces", "nasbench201").read_text()
    space = read_space(text.replace("treat avg_pool_3x3 as pure", ""))
    assert count_unique(space) == 5_425


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("nor_conv_3x3", 1_531_546),
        ("nor_conv_1x1", 241_306),
        ("skip_connect", 73_306),
        ("none", 73_306),
    ],
)
def test_nasbench201_parameters(operation: str, params: int) -> None:
    text = (
        f"|{operation}~0|+|{operation}~0|{operation}~1|+|{operation}~0|{operation}~1|{operation}~2|"
    )
    assert cost(read_nasbench201(text, load_space("nasbench201"))).params == params


def test_darts_v2_parameters_and_macs() -> None:
    darts_v2 = load_architecture("""darts:
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
        }""")
    assert cost(darts_v2).params == 3_349_342
    assert cost(darts_v2).macs == 528_359_040


RESNET = """
space resnet18(classes=1000)

def basic(x, width, stride=1) {
    y = relu(batch_norm(raw_conv(x, 3, width, stride=stride)))
    y = batch_norm(raw_conv(y, 3, width))
    same = x if stride == 1 else batch_norm(raw_conv(x, 1, width, stride=stride))
    return relu(y + same)
}

network (image) {
    x = max_pool_3x3(relu(batch_norm(raw_conv(image, 7, 64, stride=2))), stride=2)
    for i in 0..3 {
        x = basic(x, 64*2^i, stride = 1 if i == 0 else 2)
        x = basic(x, 64*2^i)
    }
    return linear(global_avg_pool(x), classes)
}
"""


def test_resnet18_as_a_space_of_size_one() -> None:
    space = read_space(RESNET)
    assert count_raw(space) == 1
    spent = cost(Architecture(space, ()), (3, 224, 224))
    assert spent.params == 11_689_512
    assert spent.macs == 1_814_073_344  # torchvision's documentation: 1.81 GFLOPS
    assert spent.depth == 18


def test_every_assignment_of_nasbench201_is_enumerated_once() -> None:
    space = load_space("nasbench201")
    choices = np.array([a.choices for a in enumerate_level(space, 3)])
    assert len(np.unique(choices, axis=0)) == 15_625
