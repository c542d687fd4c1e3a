"""Alternatives that a warning calls the same are the same networks, in random small spaces."""

import random
from collections import Counter
from itertools import combinations

import pytest

from epnas_dsl.lang import check
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import enumerate_level
from epnas_dsl.space.graph import network_layers

DEFINED = """def f(a, n=3) { return conv(a, n) }
def g(a, n=3) { return conv(a, n) }
cell inner (p) { return conv_3x3(p) }
"""
WIRES = "treat skip_connect as wire\ntreat identity as wire\n"
CALLS = {
    "conv": ["kernel=3", "kernel=5", "kernel=3|5"],
    "conv_3x3": [""],
    "raw_conv": ["kernel=3", "kernel=1, padding=0", "kernel=3, padding=1", "kernel=3, kernel_w=1"],
    "max_pool": ["kernel=3, padding=-1|1", "kernel=2, padding=1"],
    "max_pool_2x2": ["", "padding=0"],
    "f": ["", "n=3", "n=5"],
    "g": ["", "n=3"],
    **{name: [""] for name in ("skip_connect", "identity", "shortcut", "calibrate", "inner")},
}
MORE = ["stride=1", "stride=2", "stride=stride", "channels=channels", "channels=8", "channels=w"]


def call(generator: random.Random, value: str) -> str:
    """An operation, a function or a cell on a value, or on that which another makes of it."""
    if generator.random() < 0.2:
        value = call(generator, value)
    name = generator.choice(list(CALLS))
    given = [generator.choice(CALLS[name]), generator.choice(MORE) * generator.randint(0, 1)]
    return f"{name}({', '.join(filter(None, [value, *given]))})"


@pytest.mark.parametrize("start", range(0, 600, 200))
def test_alternatives_that_are_warned_of_are_the_same_networks(start: int) -> None:
    found = Counter[bool]()
    for seed in range(start, start + 200):
        generator = random.Random(seed)
        one, two = (generator.choice(["x", call(generator, "x")]) for _ in "ab")
        made = generator.choice([f"{one} | {two}", f"sum(1 of [{one}, {two}])"])
        head = generator.choice(["n", "n, r/2", "n/2"])
        cell = generator.choice(["p", "skip_connect(p)", "conv_3x3(p)", "conv_3x3(p, w)"])
        body = generator.choice([made, "u(x, 8|16)", "u(x, 1)", "stack(x, [n])"])
        inside = "w = 8; x = " + (f"{cell}; y = {made}" if "n]" in body else "p; y = conv_3x3(x)")
        text = f"""space s\n{WIRES * generator.randint(0, 1)}{DEFINED}
        def u(x, NUMBER) {{ return {made if "u(" in body else "relu(x)"} }}
        cell {head} (p) {{ {inside}; return y }}
        network (image) {{
            w = 8 | 16; x = conv_3x3(image, {generator.choice(["8", "w"])}); y = {body}
            {generator.choice(["", "y = stack(y, [n])"])}
            return linear(global_avg_pool(y), 10)
        }}""".replace("NUMBER", generator.choice(["stride", "channels", "w"]))  # fmt: skip
        space, diagnostics = check("s.space", text)
        if space and space.level_size(1) < 40:
            warns = any(d.code == "W004" for d in diagnostics)
            found[warns] += 1
            pairs = combinations(enumerate_level(space, 1), 2) if warns else ()
            assert not warns or any(map(same_networks, pairs)), text
    assert min(found[True], found[False]) > 5


def test_chosen_channels_of_a_wire_are_no_matter_for_a_warning() -> None:
    text = """space s treat conv_3x3 as wire network (image) {
        return linear(global_avg_pool(conv_3x3(image, 4|8)), 10) }"""
    assert check("s.space", text)[1] == []


def same_networks(pair: tuple[Architecture, Architecture]) -> bool:
    """Whether two that differ in one choice have one key, or layers that are the same."""
    one, two = pair
    if sum(x != y for x, y in zip(one.choices, two.choices, strict=True)) > 1:
        return False
    written: list[str] = []
    for architecture in pair:
        texts: dict[str, str] = {}
        for layer in network_layers(architecture, (3, 32, 32)):
            read = sorted(texts[i] for i in layer.inputs)
            texts[layer.name] = repr((layer.kind, read, layer.channels, layer.settings))
        written.append(texts[layer.name])
    return one.key == two.key or written[0] == written[1]
