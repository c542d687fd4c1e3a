"""Figures that others published, or that their code printed, come out of ours."""

import math
from collections import Counter

import numpy as np
import pytest

from epnas_dsl.lang import load_space, read_space
from epnas_dsl.lang.notations import read_nasbench201
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.counting import count_raw, count_unique, count_unordered
from epnas_dsl.space.expansion import enumerate_level, sample
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


@pytest.mark.parametrize(("space", "unique"), [("micro", 18_795), ("pnas", 31_620)])
def test_unique_counts_of_two_blocks(space: str, unique: int) -> None:
    assert count_unique(load_space(space), 2) == unique


@pytest.mark.slow
def test_unique_counts_of_two_blocks_by_looking_at_each() -> None:
    assert len({a.key for a in enumerate_level(load_space("micro"), 2)}) == 18_795


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


@pytest.mark.parametrize(
    ("space", "params", "macs", "depth"),  # macs: as torchvision's documentation rounds them
    [
        ("resnet", 11_689_512, 1.81e9, 18),
        ("resnet(layers=34)", 21_797_672, 3.66e9, 34),
        ("resnet(layers=50)", 25_557_032, 4.09e9, 50),
        ("densenet", 7_978_856, 2.83e9, 121),
        ("mobilenet_v2", 3_504_872, 0.3e9, 53),
    ],
)
def test_networks_of_torchvision(space: str, params: int, macs: float, depth: int) -> None:
    read = load_space(space)
    assert count_raw(read) == count_unique(read) == 1
    spent = cost(Architecture(read, ()), (3, 224, 224))
    assert (spent.params, spent.depth) == (params, depth)
    assert spent.macs == pytest.approx(macs, abs=5e6)


@pytest.mark.parametrize(
    ("space", "params"),
    [
        ("resnet(layers=101)", 44_549_160),
        ("densenet_cifar(layers=100, growth=12)", 769_162),  # the paper: 0.8 M
        ("densenet_cifar(layers=250, growth=24)", 15_324_406),  # the paper: 15.3 M
        ("conv_fabric", 4_513_802),
        ("conv_fabric(channels=128)", 18_022_410),
        ("conv_fabric(channels=128, layers=9)", 20_385_290),
        ("conv_fabric(channels=128, layers=10)", 22_748_170),
    ],
)
def test_further_sizes_that_the_documentation_tells(space: str, params: int) -> None:
    """Of a fabric with all its edges, which is its last architecture."""
    read = load_space(space)
    assert cost(Architecture(read, [d.size - 1 for d in read.decisions])).params == params


def test_mobilenet_v2_takes_300_million_multiply_accumulates() -> None:
    assert cost(Architecture(load_space("mobilenet_v2"), ()), (3, 224, 224)).macs == 300_774_272


def test_resnet_110_has_1_7_million_parameters() -> None:
    def conv(inputs: int, width: int) -> int:
        return 9 * inputs * width + 2 * width  # and a batch norm; shortcuts have no weights

    total = conv(3, 16) + 64 * 10 + 10
    for inputs, width in [(16, 16), (16, 32), (32, 64)]:
        total += conv(inputs, width) + 35 * conv(width, width)  # 18 blocks of two
    spent = cost(Architecture(load_space("resnet_cifar"), ()))
    assert (spent.params, spent.depth) == (total, 110) == (1_727_962, 110)


def test_densenet_bc_190_40_has_25_6_million_parameters() -> None:
    width, total = 80, 9 * 3 * 80
    for block in range(3):
        for _ in range(31):
            total += 2 * width + width * 160 + 2 * 160 + 9 * 160 * 40
            width += 40
        if block < 2:
            total += 2 * width + width * (width // 2)
            width //= 2
    total += 2 * width + width * 10 + 10
    spent = cost(Architecture(load_space("densenet_cifar"), ()))
    assert (spent.params, spent.depth) == (total, 190) == (25_624_430, 190)


@pytest.mark.parametrize(
    ("widths", "params"),  # as stored in the benchmark's files
    [
        ((8, 8, 8, 8, 8), 11_714),
        ((8, 8, 16, 40, 40), 107_826),
        ((64, 64, 64, 64, 64), 713_674),
    ],
)
def test_nats_size_parameters(widths: tuple[int, ...], params: int) -> None:
    space = load_space("nats_size")
    assert cost(Architecture(space, [w // 8 - 1 for w in widths])).params == params


RELEASED = [0, 0, 3, 1, 1, 1, 0, 0, 2, 0, 2, 1, 1, 0, 2, 0, 2, 1, 3, 2]  # ShuffleNet-Series
EVALUATED = [2, 1, 0, 1, 2, 0, 2, 0, 2, 0, 2, 3, 0, 0, 0, 0, 3, 2, 3, 3]  # SinglePathOneShot


@pytest.mark.parametrize(
    ("found", "macs"),
    [
        (EVALUATED, 322_918_720),  # 323 M in the table of the authors' repository
        (RELEASED, 318_729_024),  # 319 M is quoted for the paper's search of blocks
    ],
)
def test_the_networks_that_spos_found(found: list[int], macs: int) -> None:
    spent = cost(Architecture(load_space("spos"), found), (3, 224, 224))
    assert spent.macs == macs


def test_the_released_network_of_spos_with_its_channels() -> None:
    """328 M and 3.4 M in the table of the authors' repository, whose classifier has no bias."""
    tenths = [14, 12, 8, 12, 6, 14, 8, 10, 6, 12, 16, 12, 10, 14, 16, 10, 10, 12, 10, 8]
    widths = [64] * 4 + [160] * 4 + [320] * 8 + [640] * 4
    lines, before = ["x = conv_3x3(image, 16, stride=2)"], 16
    for block, part, width in zip(RELEASED, tenths, widths, strict=True):
        step = f", stride=2, keep={before}" if width != before else ""
        kind = "shuffle_xception(x" if block == 3 else f"shuffle_block(x, kernel={3 + 2 * block}"
        lines.append(f"x = {kind}, channels={width}, middle={width * part // 20}{step})")
        before = width
    lines.append("return linear(global_avg_pool(conv_1x1(x, 1024)), 1000)")
    text = f"space released()\nnetwork (image) {{ {'; '.join(lines)} }}"
    spent = cost(Architecture(read_space(text.replace("; ", "\n")), ()), (3, 224, 224))
    assert (spent.macs, spent.params) == (327_857_920, 3_433_579)


@pytest.mark.parametrize(
    ("space", "raw"),
    [
        ("ofa", (9**2 + 9**3 + 9**4) ** 5),
        ("proxylessnas", 6**6 * 7**15),
        ("spos", 4**20),
        ("spos_channels", 10**20),
        ("nats_size", 8**5),
        ("nas", 64**15 * 2 ** (15 * 14 // 2)),
        ("qnas", 10 * 48**9),
        ("smash", (8 * (9 + 9**2 + 9**2 + 9**3 + 9**4)) ** 12 * (1 * 3 * 7 * 15) ** 3),
        ("budgeted_resnet", 3**15),
        ("conv_fabric", (3 * 7**4 * 3) ** 6 * (3 * 15**4 * 7)),
    ],
)
def test_counts_of_published_spaces(space: str, raw: int) -> None:
    assert count_raw(load_space(space)) == raw


def test_architectures_within_a_budget() -> None:
    space = load_space("budgeted_resnet")
    n = len(space.decisions)

    def macs(*choices: int) -> int:
        return cost(Architecture(space, choices)).macs

    least = macs(*[0] * n)
    ways = Counter({least: 1})  # paths add up, so the number of networks of each cost does, too
    for i in range(n):
        more = [macs(*[0] * i, option, *[0] * (n - i - 1)) - least for option in range(3)]
        ways = sum((Counter({k + m: v for k, v in ways.items()}) for m in more), Counter())
    assert ways.total() == 3**15
    assert max(ways) == macs(*[2] * n) == 69_124_736
    assert sum(v for k, v in ways.items() if k <= space.parameters["budget"]) == 2_913_387
    assert all(macs(*a.choices) <= 40e6 for a in sample(space, 20, np.random.default_rng(0)))


def test_blocks_beyond_a_chosen_depth_do_not_exist() -> None:
    space = load_space("ofa")
    shortest, longest = (Architecture(space, (i,) * 5) for i in (0, 9**2 + 9**3 + 9**4 - 1))
    assert cost(longest).depth - cost(shortest).depth == 5 * 2 * 3  # blocks of three convolutions
    assert str(shortest).count("mbconv") == 5 * 2


def test_every_assignment_of_nasbench201_is_enumerated_once() -> None:
    space = load_space("nasbench201")
    choices = np.array([a.choices for a in enumerate_level(space, 3)])
    assert len(np.unique(choices, axis=0)) == 15_625
