"""The text of every architecture is read back as that architecture, and no two have one text."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from functools import partial

import pytest

from epnas_dsl.errors import ArchitectureError
from epnas_dsl.lang import check, load_architecture, read_space
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


def expression(generator: random.Random, depth: int, names: Sequence[str] = "abcde") -> str:
    """A value: sums, subsets, alternatives and comprehensions in each other."""
    inner = partial(expression, generator, depth - 1)
    kind = generator.randrange(7 if depth else 1)
    if kind == 0:
        return generator.choice(names)
    if kind == 1:
        return f"{generator.choice(['relu', 'op', 'f'])}({inner(names)})"
    if kind == 2:
        return f"({inner(names)} {generator.choice('||+')} {inner(names)})"
    quantity = generator.choice(["any of", "some of", "1 of", "2 of"])
    elements = ", ".join(inner(names) for _ in range(generator.randint(2, 3)))
    part = f"{quantity} [{elements}]"
    if kind == 3 and "t" not in names:
        plain = generator.sample(["a", "b", "c", "relu(a)", "a + b", "b + a"], 3)
        part = f"{inner((*names, 't'))} + t for t in {quantity} [{', '.join(plain)}]"
        return f"sum({part})"
    parts = [part, *(inner(names) for _ in range(generator.randint(0, 2)))]
    generator.shuffle(parts)
    return f"{generator.choice(['sum'] * 5 + ['concat'])}({', '.join(parts)})"


@pytest.mark.parametrize("start", range(0, 300, 100))
def test_every_text_of_a_space_without_errors_is_read_back(start: int) -> None:
    found = Counter[str]()
    for seed in range(start, start + 100):
        generator = random.Random(seed)
        value = " | ".join(expression(generator, 3) for _ in range(generator.randint(1, 2)))
        values = "; ".join(f"{x} = conv_1x1(image, 4)" for x in "abcde")
        space, diagnostics = check("s", f"""space s
        op := relu | swish
        def f(x) {{ return x + op(x) | op(x) }}
        network (image) {{
            {values}; y = {value}; z = conv_1x1(y, 4)
            return linear(global_avg_pool(z), 10)
        }}""")  # fmt: skip
        found.update({d.code for d in diagnostics} if not space else ["read"])
        if space and space.level_size(1) < 300:
            architectures = set(enumerate_level(space, 1))
            texts = {str(a): a for a in architectures}
            assert len(texts) == len(architectures)
            for text, architecture in texts.items():
                assert load_architecture(text, space) == architecture, value
    assert found["read"] > 15
    assert found["E211"] > 10


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a + b | b + a", "b + a"),
        ("sum(some of [a, b]) | b + a", "b + a"),
        ("sum(s + (a | b) for s in some of [a, b])", "sum(sum(b, a))"),
        ("sum(some of [sum(b), c, a]) | b", "b"),
        ("sum(some of [sum(b), c, a]) | b", "sum(sum(b))"),
        ("concat(some of [a, b]) | concat(b, a)", "concat(b, a)"),
        ("conv_3x3(a, 8 | 8.0)", "conv_3x3(a, channels=8.0)"),
        ("sum(sum(2 of [b, t]) for t in some of [b, c])", "sum(b, b) + sum(b, c)"),
    ],
)
def test_of_two_ways_to_read_a_text_that_printed_so_is_meant(value: str, text: str) -> None:
    head = "a = conv_1x1(image, 4); b = conv_1x1(image, 4); c = conv_1x1(image, 4)"
    space = read_space(f"space s\nnetwork (image) {{ {head}; y = {value}; z = a + b + c\n"
                       "return linear(global_avg_pool(y), 10) }")  # fmt: skip
    architecture = load_architecture(f"s: y = {text}", space)
    assert str(architecture) == f"s: y = {text}"
    assert network_layers(architecture, (3, 8, 8))


CALLS = """space s
def f(x, w, k=3) {{ return conv(x, k, w) }}
def d(k=3, x) {{ return conv(x, k, 8) }}
def g(n, x, y) {{ return conv_3x3(x, 4*n) + conv_3x3(y, 4*n) }}
network (image) {{
    a = conv_1x1(image, 8)
    b = relu(a)
    k = 1 | 3
    y = {}
    return linear(global_avg_pool(y), 10)
}}"""


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("conv_1x1(concat(some of [a, b]), 8)",
         ["conv_1x1(concat(a), 8)", "conv_1x1(concat(a), channels=8)"]),
        ("conv(a | b, 3|5, 8)",
         ["conv(a, 3, 8)", "conv(a, 3, channels=8)", "conv(a, 8, kernel=3)",
          "conv(a, channels=8, kernel=3)"]),
        ("conv(a | b, k, 8)", ["conv(a, k, 8)", "conv(a, kernel=k, channels=8)"]),
        ("f(a | b, 8, 3|5)", ["f(a, 8, 3)", "f(a, 8, k=3)", "f(k=3, w=8, x=a)", "f(a, w=8, k=3)"]),
        ("f(a | b, k=1|3, w=8)", ["f(a, 8, 1)", "f(a, k=1, w=8)"]),
        ("d(x=a|b)", ["d(a)", "d(x=a)"]),
        ("d(3, a|b)", ["d(a, k=3)", "d(3, a)", "d(3, x=a)"]),
        ("g(1|2, a, a | b)", ["g(1, a, a)", "g(a, a, n=1)", "g(1, y=a, x=a)"]),
    ],
)  # fmt: skip
def test_numbers_are_given_by_position_or_by_name(value: str, texts: list[str]) -> None:
    space = read_space(CALLS.format(value))
    first = Architecture(space, [0] * len(space.decisions))
    for text in texts:
        assert load_architecture(f"s: k = 1; y = {text}", space) == first
        assert load_architecture(str(first), space) == first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("conv_1x1(concat(a), 9)", "`9` where `8` fits"),
        ("conv_1x1(concat(c), 8)", "`c` cannot be chosen here"),
        ("conv_1x1(concat(a), 8, 2)", "takes fewer arguments"),
        ("conv_1x1(concat(a), 8, channels=8)", "takes fewer arguments"),
        ("conv_1x1(concat(a), 8, width=8)", "has no `width` here"),
        ("conv_1x1(8)", "where `concat"),
    ],
)
def test_a_number_given_by_position_hides_no_mistake(text: str, words: str) -> None:
    space = read_space(CALLS.format("conv_1x1(concat(some of [a, b]), 8)"))
    with pytest.raises(ArchitectureError, match=words):
        load_architecture(f"s: k = 1; y = {text}", space)


def test_a_text_is_read_as_it_is_printed_before_any_other_order() -> None:
    """`b + a` is the body for `b`, though that for `a` may be written so as well."""
    space = read_space(
        of("sum(s + (x | z) for s in some of [x, z])").replace("y =", "z = relu(x); y =")
    )
    for row in itertools.product(*(range(d.size) for d in space.decisions)):
        architecture = Architecture(space, row)
        assert load_architecture(str(architecture), space) == architecture
