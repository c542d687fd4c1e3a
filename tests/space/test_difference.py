"""What two architectures share, aligned by what they compute."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.resources import names
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.difference import difference
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.neighbours import neighbours

FIRST = """micro: h1 = conv_3x3(prev1) + skip_connect(prev2); h2 = max_pool_3x3(h1) + conv_3x3(h1)
    h3 = conv_3x3(h1) + conv_3x3(h2)"""
SECOND = """micro: h1 = max_pool_3x3(prev2) + max_pool_3x3(prev1)
    h2 = conv_3x3(prev1) + skip_connect(prev2); h3 = max_pool_3x3(h2) + conv_5x5(h1)
    h4 = conv_3x3(h1) + conv_3x3(h3)"""


def rows(first: str, second: str) -> list[tuple[str, str, str]]:
    found = difference(load_architecture(first), load_architecture(second))
    return [(c.status, *c.labels) for c in found]


@pytest.mark.parametrize("name", ["micro", "macro", "darts", "pnas", "nasbench201"])
def test_an_architecture_equals_itself_and_differs_from_its_neighbours(name: str) -> None:
    for architecture in sample(load_space(name), 5, np.random.default_rng(0)):
        assert {c.status for c in difference(architecture, architecture)} == {"same"}
        for other in islice(neighbours(architecture, np.random.default_rng(1)), 10):
            assert {c.status for c in difference(architecture, other)} > {"same"}


def test_moved_blocks_are_found() -> None:
    assert rows(FIRST, SECOND) == [
        ("same", "h1", "h2"),
        ("changed", "h2", "h3"),
        ("changed", "h3", "h4"),
        ("second", "", "h1"),
    ]
    assert rows(SECOND, FIRST) == [
        ("first", "h1", ""),
        ("same", "h2", "h1"),
        ("changed", "h3", "h2"),
        ("changed", "h4", "h3"),
    ]


def test_the_second_is_told_in_the_names_of_the_first() -> None:
    found = difference(load_architecture(FIRST), load_architecture(SECOND))
    assert found[1].texts == (
        "conv_3x3(h1) + max_pool_3x3(h1)",
        "conv_5x5(B.h1) + max_pool_3x3(h1)",
    )


def test_lengths_and_bodies() -> None:
    short = load_architecture(FIRST).at(1).text
    assert [r[0] for r in rows(short, FIRST)] == ["same", "second", "second", "changed"]
    darts = sample(load_space("darts"), 2, np.random.default_rng(0))
    assert {c.body for c in difference(*darts)} == {"normal", "reduction"}
    other = difference(load_architecture(FIRST), darts[0])
    assert {c.body for c in other} == {"normal", "reduction", "network"}


@pytest.mark.parametrize("name", sorted(names("spaces")))
def test_nothing_that_differs_is_lost(name: str) -> None:
    found = sample(load_space(name), 4, np.random.default_rng(3))
    for one in found:
        assert {c.status for c in difference(one, one)} <= {"same"}
        for two in (*found, *islice(neighbours(one, np.random.default_rng(4)), 3)):
            statuses = {c.status for c in difference(one, two)}
            assert one.key == two.key or statuses - {"same"}, f"{one}\n{two}"


def test_a_name_that_is_given_again() -> None:
    space = read_space("""
    space rep()
    network (image) {
        x = conv_3x3(image, 8)
        k = 8 | 16
        x = conv_3x3(x) | max_pool_3x3(x)
        x = x | conv_3x3(x, k)
        return linear(global_avg_pool(x), 10)
    }
    """)
    one = load_architecture("rep: k = 8; x = conv_3x3(x); x = conv_3x3(x, channels=k)", space)
    two = load_architecture("rep: k = 16; x = max_pool_3x3(x); x = x", space)
    assert [(c.status, c.labels[0], *c.texts) for c in difference(one, two)] == [
        ("changed", "k", "8", "16"),
        ("changed", "x_2", "conv_3x3(x)", "max_pool_3x3(x)"),
        ("changed", "x_3", "conv_3x3(x_2, channels=k)", "x_2"),
    ]


def test_networks_without_decisions() -> None:
    def counted(first: str, second: str) -> Counter[tuple[str, str]]:
        found = difference(load_architecture(first), load_architecture(second))
        return Counter((c.body, c.status) for c in found)

    assert counted("darts_v2:", "darts_v2:") == {}
    darts = counted("darts_v1:", "darts_v2:")
    assert darts["normal", "changed"] == darts["reduction", "changed"] == 2
    assert darts["network", "same"] == 3
    assert counted("resnet:", "resnet(layers=50):")["network", "changed"] == 4
    assert counted("resnet(layers=50):", "resnet(layers=101):")["network", "changed"] == 1
    wider = counted("darts_v1:", "darts_v1(channels=48):")
    assert {key for key in wider if key[1] == "changed"} == {("network", "changed")}
    joined = counted("pnasnet5:", "darts_v2:")  # one body for both cells, and two
    assert joined["reduction", "changed"] > joined["reduction", "second"] == 0


def test_functions_of_one_name_that_do_something_else() -> None:
    text = """
    space twin()
    def f(x) {{ return {}(x) }}
    network (image) {{
        x = f(conv_3x3(image, 8))
        y = global_avg_pool(x)
        return linear(y, 10) + linear(y, 10)
    }}
    """
    one, two = (
        Architecture(read_space(text.format(op)), ()) for op in ("conv_3x3", "max_pool_3x3")
    )
    assert [(c.status, c.texts[1]) for c in difference(one, two)] == [
        ("changed", "f(conv_3x3(image, channels=8))"),
        ("same", "global_avg_pool(x)"),
        ("same", "linear(y, features=10) + linear(y, features=10)"),
    ]


def test_the_order_of_what_is_joined_does_not_count() -> None:
    text = (
        "darts: normal {{ h1 = {}; h2 = {}; h3 = sep_conv_3x3(input0) + skip_connect(input1);"
        " h4 = avg_pool_3x3(input0) + sep_conv_5x5(h3) }} reduction {{ h1 = {}; h2 = {};"
        " h3 = avg_pool_3x3(input0) + sep_conv_5x5(h1); h4 = skip_connect(h2) + dil_conv_5x5(h1) }}"
    )
    a, b = (
        "sep_conv_3x3(input0) + sep_conv_5x5(input1)",
        "avg_pool_3x3(input0) + dil_conv_5x5(input1)",
    )
    one = load_architecture(text.format(a, b, a, b))
    two = load_architecture(text.format(b, a, a, b))
    assert {c.status for c in difference(one, two)} == {"same"}
    assert [c.labels for c in difference(one, two)][:2] == [("h1", "h2"), ("h2", "h1")]
