"""One decision away: complete, without duplicates, the same in any order."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from epnas_dsl.errors import LimitError
from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import enumerate_level, sample
from epnas_dsl.space.neighbours import count_changes, neighbour_choices, neighbours


def distance(first: Architecture, second: Architecture) -> int:
    return sum(a != b for a, b in zip(first.choices, second.choices, strict=True))


@pytest.mark.parametrize("name", ["nasbench201", "micro(blocks=1)", "macro(layers=3)"])
def test_neighbours_are_those_one_decision_away(name: str) -> None:
    """Held against all architectures of the space."""
    space = load_space(name)
    everything = list(enumerate_level(space, space.depth))
    for architecture in sample(space, 3, np.random.default_rng(0)):
        found = list(neighbours(architecture, texts=True))
        raw = {Architecture(space, row) for row in neighbour_choices(architecture).tolist()}
        assert set(found) == raw - {architecture}
        assert len(set(found)) == len(found)
        assert {a for a in everything if distance(architecture, a) == 1} <= set(found)
        unique = list(neighbours(architecture))
        assert {a.key for a in unique} == {a.key for a in found} - {architecture.key}
        assert len({a.key for a in unique}) == len(unique)


def test_the_array_changes_one_decision_in_each_row() -> None:
    architecture = sample(load_space("darts"), 1, np.random.default_rng(1))[0]
    rows = neighbour_choices(architecture)
    assert len(rows) == count_changes(architecture) == len(np.unique(rows, axis=0))
    assert ((rows != np.array(architecture.choices)).sum(1) == 1).all()


def test_a_random_order_is_a_permutation() -> None:
    architecture = sample(load_space("micro"), 1, np.random.default_rng(2))[0]
    in_order = list(neighbours(architecture))
    shuffled = list(neighbours(architecture, np.random.default_rng(5)))
    assert {a.key for a in in_order} == {a.key for a in shuffled}
    assert in_order != shuffled
    assert shuffled == list(neighbours(architecture, np.random.default_rng(5)))


def test_neighbours_meet_the_requirements_and_keep_their_level() -> None:
    text = load_space("micro").source.replace("(blocks=5", "(blocks=2")
    space = read_space(text + "\nrequire edges <= 8\n")
    architecture = load_architecture("micro: h1 = conv_3x3(prev1) + conv_3x3(prev2)", space)
    found = list(neighbours(architecture))
    assert all(a.level == 1 for a in found)
    strict = read_space(text + "\nrequire params <= 400_000\n")
    few = list(neighbours(Architecture(strict, architecture.choices)))
    assert 0 < len(few) < len(found)


def test_large_decisions_are_lazy_and_exact() -> None:
    space = load_space("macro(layers=80)")
    architecture = sample(space, 1, np.random.default_rng(0))[0]
    assert count_changes(architecture) == 80 * 5 + sum(2**b - 1 for b in range(80))
    some = list(islice(neighbours(architecture, np.random.default_rng(0), texts=True), 5))
    assert [distance(architecture, a) for a in some] == [1] * 5
    with pytest.raises(LimitError, match="can be listed"):
        neighbour_choices(architecture)
