"""Other ways to write an architecture: equal ones, all different, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from strategies import CHAIN

from epnas_dsl.lang import load_space, read_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import enumerate_level, sample
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.writings import writings


@pytest.mark.parametrize("name", ["micro", "macro", "darts", "nasbench201", "pnas"])
def test_they_are_equal_and_distinct(name: str) -> None:
    space = load_space(name)
    several = 0
    for level in range(1, min(space.depth, 4) + 1):
        for architecture in sample(space, 2, np.random.default_rng(level), level=level):
            found = writings(architecture, 6)
            assert found[0] == architecture
            assert {a.key for a in found} == {architecture.key}
            assert len(set(found)) == len(found) <= 6
            assert found == writings(architecture, 6)
            several += len(found) > 1
    assert several or name in {"macro", "darts"}


def test_most_of_a_class_are_found() -> None:
    """Of the whole of NAS-Bench-201 without its last level, whichever of a class is asked for."""
    space = load_space("nasbench201")
    classes: dict[str, list[Architecture]] = {}
    for level in (1, 2):
        for architecture in enumerate_level(space, level):
            classes.setdefault(architecture.key, []).append(architecture)
    some = list(classes.values())[::25]
    shares = [len({*alike} & {*writings(alike[-1], 100)}) / len(alike) for alike in some]
    assert np.mean(shares) > 0.8


def test_levels_are_exchanged_and_added() -> None:
    micro = load_space("micro", blocks=2)
    one = next(a for a in sample(micro, 99, np.random.default_rng(0)) if _is_loose(a))
    swapped = writings(one, 100)
    assert any(a.rows() == one.rows()[::-1] for a in swapped)
    table = load_space("nasbench201")
    (low,) = sample(table, 1, np.random.default_rng(3), level=1)
    assert {a.level for a in writings(low, 100)} == {1, 2, 3}


def _is_loose(a: Architecture) -> bool:
    return len(a.rows()[0]) == len(a.rows()[1]) and "h1" not in a.text.split(";")[1]


def test_one_writing_where_all_differ() -> None:
    space: SearchSpace = read_space(CHAIN)
    assert all(writings(a, 50) == [a] for a in enumerate_level(space, 3))
