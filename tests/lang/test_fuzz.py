"""Random and damaged texts end in a result that holds its promises, or in a documented error."""

from __future__ import annotations

import math
import random
import re
import time
import tracemalloc

import fuzzing
import numpy as np
import pytest

from epnas_dsl.errors import (
    ArchitectureError,
    EpnasError,
    LimitError,
    ShapeError,
    SpaceErrors,
)
from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.lang.loading import check_shapes
from epnas_dsl.lang.parser import parse_space
from epnas_dsl.resources import names
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.canonical import canonical_key
from epnas_dsl.space.expansion import enumerate_level, sample
from epnas_dsl.space.graph import network_layers, to_graph
from epnas_dsl.space.nodes import nodes
from epnas_dsl.space.recognition import from_graph, from_nodes
from epnas_dsl.space.requirements import idle_requirements
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.tokens import to_tokens

SPACES = sorted(names("spaces"))
MANY = pytest.mark.exhaustive


@pytest.mark.parametrize("seed", range(8))
def test_texts_of_spaces(seed: int) -> None:
    texts = fuzzing.space_texts(random.Random(seed))
    reached = set()
    for i in range(500):
        source, text = next(texts)
        reached.add((source, fuzzing.examine_space(text, turns=i % 20 == 0).reached))
    assert {"derived", "made", "wild", "damaged", "soup"} <= {source for source, _ in reached}
    assert {"parse", "lower", "check", "whole"} <= {stage for _, stage in reached}


def test_texts_of_architectures() -> None:
    few = ("darts", "enas_micro", "macro", "micro", "nasbench101", "nasbench201", "pnas")
    spaces = [load_space(name) for name in few]
    texts = fuzzing.architecture_texts(random.Random(0), spaces)
    reached = set()
    for _ in range(6_000):
        _, text, space = next(texts)
        reached.add(fuzzing.examine_architecture(text, space).reached)
    assert reached == {"parse architecture", "match", "whole"}


def made_spaces(seed: int) -> str:
    """A random space that means something."""
    chance = random.Random(seed)
    while True:
        text = fuzzing.Programs(chance).space()
        try:
            read_space(text)
        except EpnasError:
            continue
        return text


# --- the formatter -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=MANY)])
def test_formatted_spaces_keep_meaning_and_comments(count: int) -> None:
    chance = random.Random(count)
    for i in range(count):
        text = made_spaces(i)
        odd = fuzzing.spread(text, chance)
        once = fuzzing.formats(odd, parse_space(text))
        assert read_space(once).digest == read_space(text).digest


# --- architectures there and back --------------------------------------------------------------


def drawn(space: SearchSpace, count: int) -> list[Architecture]:
    """Random architectures of random levels."""
    generator = np.random.default_rng(count)
    levels = generator.integers(1, space.depth + 1, count).tolist()
    return [sample(space, 1, generator, level)[0] for level in levels]


@pytest.mark.parametrize("count", [25, pytest.param(10_000, marks=MANY)])
@pytest.mark.parametrize("name", SPACES)
def test_architectures_survive_text_tokens_graph_and_json(name: str, count: int) -> None:
    for architecture in drawn(load_space(name), count):
        fuzzing.survives(architecture)


@pytest.mark.parametrize("count", [10, pytest.param(500, marks=MANY)])
def test_architectures_of_made_spaces_survive(count: int) -> None:
    for seed in range(count):
        text = re.sub(r"(?m)^require.*$", "", made_spaces(seed))  # which nothing may meet
        for architecture in drawn(read_space(text), 10):
            fuzzing.survives(architecture)


@pytest.mark.parametrize("count", [15, pytest.param(10_000, marks=MANY)])
@pytest.mark.parametrize("name", SPACES)
def test_turned_sums_are_the_same_architecture(name: str, count: int) -> None:
    chance = random.Random(count)
    turned = 0
    space = load_space(name)
    for architecture in drawn(space, count):
        text = fuzzing.turn_sums(str(architecture), chance)
        turned += text != str(architecture)
        assert load_architecture(text, space) == architecture
    assert turned > count // 8 or name not in ("micro", "pnas", "darts", "nasbench201")


@pytest.mark.parametrize("count", [15, pytest.param(10_000, marks=MANY)])
@pytest.mark.parametrize("name", SPACES)
def test_reordered_blocks_have_one_key(name: str, count: int) -> None:
    chance = random.Random(count)
    space = load_space(name)
    for architecture in drawn(space, count):
        for text in fuzzing.reordered(str(architecture), chance):
            try:
                other = load_architecture(text, space)
            except EpnasError:  # another order may not be one of the space's
                continue
            assert canonical_key(other) == architecture.key


# --- what was found ----------------------------------------------------------------------------

HEAD = "space m op := relu | swish\n"
TAIL = "return linear(global_avg_pool(x), 10) }"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("space s foo;:=y", "found `;`, expected `:=`"),
        ("space s foo := y; | z", "`|` does not begin an item"),
        ("space s;(b=3)", "`(` does not begin an item"),
    ],
)
def test_a_semicolon_ends_an_item(text: str, found: str) -> None:
    with pytest.raises(EpnasError, match=re.escape(found)):
        parse_space(text)


def test_a_statement_after_the_levels_is_read_where_some_are_left_out() -> None:
    space = read_space(f"""{HEAD}network (image) {{ x = conv_3x3(image, 4)
        level b in 1..3 {{ h[b] = op(x) }} y = op(x) x = last(h) + y {TAIL}""")
    text = "m: h1 = relu(x); y = swish(x)"
    assert str(load_architecture(text, space)) == text
    with pytest.raises(EpnasError, match="`h2` comes here"):
        load_architecture("m: h1 = relu(x); h3 = relu(x); y = swish(x)", space)


def test_what_reads_the_result_in_vain_has_no_part_in_the_key() -> None:
    space = read_space(f"""{HEAD}cell c (p) {{ k = op(p) z = op(k) return k }}
        network (image) {{ x = stack(conv_3x3(image, 4), [c]) {TAIL}""")
    one, other = (load_architecture(f"m: k = relu(p); z = {op}(k)", space)
                  for op in ("relu", "swish"))  # fmt: skip
    assert one.key == other.key
    assert one.key != load_architecture("m: k = swish(p); z = relu(k)", space).key


def test_many_values_of_one_name_take_no_longer_each() -> None:
    text = f"space m network (image) {{ x = image for i in 1..6000 {{ x = relu(x) }} {TAIL}"
    start = time.process_time()
    assert len(network_layers(Architecture(read_space(text), []), (3, 8, 8))) == 6003
    assert time.process_time() - start < 5


def test_a_long_text_of_large_subsets_is_read_and_has_no_symbols() -> None:
    space = read_space(f"""{HEAD}network (image) {{ h[0] = conv_3x3(image, 4)
        for i in 1..80 {{ h[i] = op(conv_1x1(concat(some of h[0..i-1]), 4)) }}
        x = last(h) {TAIL}""")
    (architecture,) = drawn(space, 1)
    assert load_architecture(str(architecture), space) == architecture
    with pytest.raises(LimitError, match="has no symbols"):
        to_tokens(architecture)


def test_dead_code_inside_subsets_is_what_a_graph_does_not_say() -> None:
    space = read_space(f"""space m def f(a, d) {{
            t = conv_1x1(concat(conv_5x5(d), sum(relu(s) for s in 1 of [a])))
            dead = conv_3x3(t, 4 | 8) return t }}
        network (image) {{ x = conv_3x3(f(f(image, image), conv_1x1(image)), 8) {TAIL}""")
    (architecture,) = drawn(space, 1)
    with pytest.raises(EpnasError, match="nothing reads `dead` of `f`"):
        from_nodes(space, {"network": nodes(to_graph(architecture, "network"))}, True)


def test_where_hardly_anything_meets_a_requirement_large_spaces_are_given_up_sooner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("epnas_dsl.space.expansion.MAX_EFFORT", 200_000)
    space = read_space(f"""{HEAD}network (image) {{ h[0] = conv_3x3(image, 4)
        for i in 1..300 {{ h[i] = op(h[i-1]) }}
        x = last(h) {TAIL}
        require edges < 9""")
    with pytest.raises(EpnasError, match=r"none of \d{3} random architectures of m meets"):
        drawn(space, 1)


@pytest.mark.parametrize("body", [
    "def f(a, d) { return a } cell c (p) { k = f(relu(p), p + p) return conv_1x1(concat(p, any of [k]), 4) }"  # noqa: E501
    "network (image) { x = stack(conv_3x3(image, 4), [c])",
    "network (image) { y = conv_3x3(image, 4) level b in 1..2 { h[b] = relu(y) }"
    "x = conv_1x1(concat(unused(h), conv_3x3(y, 4 | 8)), 4)",
])  # fmt: skip
def test_graphs_with_dead_arguments_or_levels_without_choices_are_read_back(body: str) -> None:
    space = read_space(f"space m {body} {TAIL}")
    for architecture in drawn(space, 5):
        graphs = {b.name: nodes(to_graph(architecture, b.name)) for b, _ in space.statements}
        assert from_nodes(space, graphs, True) == architecture


def test_blocks_without_nodes_do_not_hide_their_level() -> None:
    space = read_space(f"""{HEAD}cell c (p) {{ k = p level b in 1..2 {{ h[b] = p | k }}
        return concat(unused(h)) }} network (image) {{
        x = conv_3x3(image, 4) y = stack(x, [c]) {TAIL.replace("(x)", "(y)")}""")
    fuzzing.survives(load_architecture("m: h1 = p; h2 = k", space))


def test_a_level_without_nodes_is_what_a_graph_does_not_say() -> None:
    space = read_space(f"""{HEAD}cell c (p) {{
            level b in 1..2 {{ source := p | h[1..b-1] h[b] = source + conv_1x1(p) }}
            k = conv_3x3(last(h)) return concat(unused(h)) }}
        network (image) {{ x = conv_3x3(image) x = stack(x, [c]) {TAIL}""")
    architecture = load_architecture("m: h2 = p + conv_1x1(p)", space)
    assert from_graph(space, {"c": to_graph(architecture, "c")}) == architecture
    with pytest.raises(ArchitectureError, match="E314"):
        from_nodes(space, {"c": nodes(to_graph(architecture, "c"))}, True)


def test_what_functions_chose_is_recognised_or_not_said() -> None:
    space = read_space(f"""{HEAD}def f(a, b) {{
            t = sum(s for s in 1 of [b, a])
            u = conv_1x1(sum(s for s in 1 of [b, a]))
            return conv_3x3(u) + t }}
        cell c (p, q) {{ return conv_3x3(f(p, q | p)) }}
        network (image) {{ x = conv_3x3(image, 4)  x = stack(x, [c]) {TAIL}""")
    for architecture in enumerate_level(space, 1):
        fuzzing.survives(architecture)


def test_one_value_read_twice_is_not_two_of_a_kind() -> None:
    space = read_space(f"""{HEAD}def f(a, b) {{ return concat(a | b, b) }}
        cell c (p) {{ return f(conv_1x1(p), conv_1x1(p)) }}
        network (image) {{ x = conv_3x3(image, 4)  x = stack(x, [c]) {TAIL}""")
    for architecture in enumerate_level(space, 1):
        fuzzing.survives(architecture)


def test_formulas_are_read_by_structure() -> None:
    space = read_space(f"""{HEAD}def f(a, n) {{ return sum(s for s in some of [a, swish(a)]) }}
        cell c (p) {{ return p + f(p, (channels // 9) // 2) }} network (image) {{
        x = conv_3x3(image, 36) y = stack(x, [c]) {TAIL.replace("(x)", "(y)")}""")
    for architecture in drawn(space, 5):
        assert "(channels // 9) // 2" in str(architecture)
        fuzzing.survives(architecture)


def test_the_nodes_of_an_operation_with_usual_numbers_are_not_those_of_another() -> None:
    space = read_space(f"""space m op := mbconv | mbconv(kernel=3|5) | mbconv(expand=3)
        network (image) {{
        x = op(conv_3x3(image, 4)) {TAIL}""")
    for architecture in drawn(space, 8):
        found = {"network": nodes(to_graph(architecture, "network"))}
        assert from_nodes(space, found, True) == architecture


def test_a_requirement_on_a_huge_decision_takes_no_memory() -> None:
    space = read_space(f"""{HEAD}cell c (p) {{ for i in 1..64 {{ h[i] = relu(p) }}
        return concat(some of h[1..64]) }} network (image) {{
        x = conv_3x3(image, 4) y = stack(x, [c]) {TAIL.replace("(x)", "(y)")}
        require nodes <= 9""")
    assert math.prod(d.size for d in space.decisions) == 2**64 - 1
    tracemalloc.start()
    try:
        idle_requirements(space)
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()


def test_what_depends_on_a_mistake_is_kept_without_frames() -> None:
    text = f"""{HEAD}network (image) {{ x = conv_3x3(imagex, 4)
        for i in 1..200 {{ for j in 1..200 {{ x = conv_3x3(x) }} }} {TAIL}"""
    tracemalloc.start()
    try:
        with pytest.raises(SpaceErrors, match=r"E103(.|\n)*E911"):
            read_space(text)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def test_large_networks_that_do_not_fit_are_soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    statements = "\n".join(f"x{i} = op(image)" for i in range(2_500))
    space = read_space(f"""{HEAD}network (image) {{ {statements}
        return linear(x0 + sum(some of [x1, x2, x3, x4, x5, x6]), 10) }}""")
    tried = []

    def worked_out(architecture: Architecture, *_: object) -> None:
        tried.append(architecture)
        raise ShapeError("a vector is needed")

    monkeypatch.setattr("epnas_dsl.lang.loading.network_layers", worked_out)
    with pytest.raises(SpaceErrors):
        check_shapes(space)
    assert 1 <= len(tried) <= 4
