"""The text of every architecture is read back as that architecture, and no two have one text."""

import itertools

import pytest

from epnas_dsl.lang import load_architecture, read_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.counting import count_unordered
from epnas_dsl.space.expansion import enumerate_level
from epnas_dsl.space.graph import network_layers
from epnas_dsl.space.shapes import costs


def of(value: str) -> str:
    return f"""space s
    op := conv_1x1 | relu
    network (image) {{
        x = conv_1x1(image, 4)
        y = {value}
        return linear(global_avg_pool(y), 10)
    }}"""


@pytest.mark.parametrize(
    "value",
    [
        "sum(op(s) + relu(s) for s in 1 of [x, relu(x)])",
        "sum(op(s) + op(s) for s in 2 of [x, relu(x), swish(x)])",
        "sum(op(s) | s + op(s) for s in some of [x, x + x]) + x",
        "sum(sum(op(t) + s for s in some of [t, relu(t)]) for t in some of [x, swish(x)])",
        "(x + relu(x) | op(x)) + swish(x) + (op(x) + (relu(x) | op(x) + x))",
        "sum(some of [x + relu(x), x, relu(x)])",
        "relu(op(x) + (relu(x) | x + x) + op(x)) + (relu(x) + x | x)",
        "concat(concat(op(s), s + x) for s in some of [x, relu(x)])",
        "(op(x) + sum(any of [x, relu(x)]) | swish(x)) + (op(x) | x + x)",
    ],
)
def test_every_text_is_read_back(value: str) -> None:
    space = read_space(of(value))
    rows = itertools.product(*(range(d.size) for d in space.decisions))
    texts = {a: str(a) for a in (Architecture(space, row) for row in rows)}
    assert len(set(texts.values())) == len(texts) == count_unordered(space)
    for architecture, text in texts.items():
        again = load_architecture(text, space)
        assert again == architecture
        assert str(again) == text


def test_a_sum_inside_a_sum_keeps_its_operands_together() -> None:
    space = read_space(of("sum(some of [x + relu(x), x, relu(x)])"))
    one, two = (load_architecture(f"s: y = {y}", space) for y in ("sum(sum(x, relu(x)))",
                                                                  "sum(x, relu(x))"))  # fmt: skip
    assert str(one) == "s: y = sum(sum(x, relu(x)))"
    assert str(two) == "s: y = x + relu(x)"
    assert load_architecture("s: y = x + (x + relu(x))", space) == load_architecture(
        "s: y = sum(x, relu(x)) + x", space
    )


@pytest.mark.parametrize(
    "element", ["sum(relu(s) for s in 2 of [a, b])", "relu(sum(2 of [a, b]))", "sum(1 of [a])"]
)
def test_an_element_that_leaves_nothing_to_choose_is_chosen_whole(element: str) -> None:
    space = read_space(
        "space s\nnetwork (image) { a = conv_3x3(image, 8); b = conv_3x3(a); "
        f"c = sum(a, any of [b, {element}]); return linear(global_avg_pool(c), 10) }}"
    )
    found = list(enumerate_level(space, 1))
    assert len(found) == 4
    for architecture in found:
        assert load_architecture(str(architecture), space) == architecture
        assert costs(network_layers(architecture, (3, 8, 8)), (3, 8, 8)).params
