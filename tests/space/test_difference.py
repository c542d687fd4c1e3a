"""What two architectures share, aligned by what they compute."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from epnas_dsl.lang import load_architecture, load_space
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
    assert {c.body for c in other} == {"normal", "reduction"}
