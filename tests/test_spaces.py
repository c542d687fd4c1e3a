"""Every file in spaces/: text, meaning, every level, sharing, and back to text."""

import pickle

import numpy as np
import pytest

from epnas_dsl.errors import EpnasError
from epnas_dsl.lang import (
    check,
    format_space,
    load_architecture,
    load_space,
    parse_space,
    read_space,
)
from epnas_dsl.resources import names, resource
from epnas_dsl.space.drawing import diff_cells, draw_cell, draw_network, draw_space
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import to_layers, to_network
from epnas_dsl.space.shapes import costs
from epnas_dsl.space.tokens import columns

SPACES = sorted(names("spaces"))


@pytest.mark.parametrize("name", SPACES)
def test_the_file_is_clean_and_in_canonical_layout(name: str) -> None:
    text = resource("spaces", name).read_text()
    assert text.startswith("# ")
    assert "Size: " in text
    assert check(resource("spaces", name))[1] == []
    assert format_space(text, name) == text


@pytest.mark.parametrize("name", SPACES)
def test_layout_and_comments_do_not_change_the_meaning(name: str) -> None:
    text = resource("spaces", name).read_text()
    bare = "\n".join(line.partition("#")[0] for line in text.splitlines())
    assert parse_space(bare) == parse_space(text)
    assert read_space(" ".join(bare.split())).digest == load_space(name).digest


@pytest.mark.parametrize("name", SPACES)
def test_text_and_pickle_go_both_ways_at_every_level(name: str) -> None:
    space = load_space(name)
    for level in range(1, space.depth + 1):
        for a in sample(space, 15, np.random.default_rng(level), level=level):
            again = load_architecture(str(a), space)
            assert (again, str(again), again.id) == (a, str(a), a.id)
    assert pickle.loads(pickle.dumps(a)) == a
    assert load_architecture(str(a)) == a


@pytest.mark.parametrize("name", SPACES)
def test_every_decision_has_a_name_of_its_own(name: str) -> None:
    decisions = load_space(name).decisions
    assert len({d.name for d in decisions}) == len(decisions)


@pytest.mark.parametrize("name", SPACES)
def test_every_level_is_a_whole_network(name: str) -> None:
    space = load_space(name)
    space = load_space(name, **{k: 8 for k in space.parameters if k == "channels"})
    for level in range(1, space.depth + 1):
        for a in sample(space, 3, np.random.default_rng(level), level=level):
            layers = to_layers(to_network(a, (1, 32, 32)))
            assert layers[-1].channels == space.parameters["classes"]
            assert costs(layers, (1, 32, 32)).params > 0


@pytest.mark.parametrize("name", SPACES)
def test_summary(name: str, golden: object) -> None:
    space = load_space(name)
    lines = [f"{space.name} @{space.digest}", f"columns {columns(space)}"]
    for level, row in enumerate(space.levels, 1):
        options = ", ".join(f"{d.name}: {d.size}" for d in row)
        lines.append(f"level {level}: {space.level_size(level)} ({options})")
    a = sample(space, 1, np.random.default_rng(0))[0]
    lines += [f"{a.id} {a.key}", str(a)]
    golden(f"spaces/{name}.txt", "\n".join(lines) + "\n")  # type: ignore[operator]


@pytest.mark.parametrize("name", SPACES)
def test_the_space_and_its_members_are_drawn(name: str) -> None:
    one, two = sample(load_space(name), 2, np.random.default_rng(1))
    for dot in (draw_space(one.space), draw_cell(one), draw_network(one), diff_cells(one, two)):
        assert name in dot.source
        assert " -> " in dot.source


def test_a_changed_space_is_noticed() -> None:
    space = load_space("micro")
    text = str(sample(space, 1, np.random.default_rng(0))[0])
    dated = text.replace("micro:", f"micro@{space.digest}:")
    assert str(load_architecture(dated)) == text
    with pytest.raises(EpnasError, match="has changed"):
        load_architecture(text.replace("micro:", "micro@0123456789abcdef:"))
