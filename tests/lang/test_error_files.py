"""Every bad file in tests/errors gives exactly the message beside it."""

import random
import re
import time
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest

from epnas_dsl.errors import EpnasError, Span
from epnas_dsl.lang import check, load_architecture, load_space, read_space
from epnas_dsl.resources import names, resource
from epnas_dsl.space.expansion import sample

FOLDER = Path(__file__).parents[1] / "errors"
SPACES = sorted(p.stem for p in FOLDER.glob("*.space"))
ARCHITECTURES = sorted(p.stem for p in (FOLDER / "architectures").glob("*.arch"))


def compare(name: str, message: str, request: pytest.FixtureRequest) -> None:
    path = FOLDER / f"{name}.expected"
    if request.config.getoption("--update-golden"):
        path.write_text(message, encoding="utf-8", newline="\n")
    assert message == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SPACES)
def test_a_bad_space(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    found = check(f"{name}.space")[1]
    compare(name, "".join(f"{d}\n" for d in found), request)
    assert found
    assert "Traceback" not in str(found)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_bad_architecture(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER / "architectures")
    with pytest.raises(EpnasError) as caught:
        load_architecture(Path(f"{name}.arch"))
    compare(f"architectures/{name}", "".join(f"{d}\n" for d in caught.value.diagnostics), request)


def test_an_architecture_of_a_changed_space() -> None:
    text = "micro@0123456789abcdef: h1 = conv_3x3(prev1) + conv_3x3(prev2)"
    with pytest.raises(EpnasError, match="E304: written for micro@0123456789abcdef, but") as caught:
        load_architecture(text)
    assert caught.value.diagnostics[0].span == Span(ANY, 0, len("micro@0123456789abcdef"))


@pytest.mark.parametrize("name", ["subsets", "arguments"])
def test_the_spaces_of_the_bad_architectures_are_sound(name: str) -> None:
    space, warnings = check(FOLDER / "architectures" / f"{name}.space")
    assert space
    assert warnings == []
    for architecture in sample(space, 20, np.random.default_rng(0)):
        assert load_architecture(str(architecture), space) == architecture


def test_there_are_many() -> None:
    assert len(SPACES) + len(ARCHITECTURES) >= 100


def mutated(text: str, generator: random.Random) -> str:
    """The text with one to three of its tokens removed, doubled, swapped or replaced."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    tokens = re.findall(r"\s+|\w+|:=|\.\.|.", "\n".join(lines))
    solid = [i for i, token in enumerate(tokens) if token.strip()]
    for _ in range(generator.randint(1, 3)):
        i = generator.choice(solid)
        alike = [tokens[j] for j in solid if tokens[j].isidentifier() == tokens[i].isidentifier()]
        match generator.randrange(6):
            case 0:
                tokens[i] = ""
            case 1:
                tokens[i] += " " + tokens[generator.choice(solid)]
            case 2:
                j = generator.choice(solid)
                tokens[i], tokens[j] = tokens[j], tokens[i]
            case _:
                tokens[i] = generator.choice(alike)
    return "".join(tokens)


@pytest.mark.parametrize("name", sorted(names("spaces")))
def test_mutated_spaces_are_read_or_refused(name: str) -> None:
    text = resource("spaces", name).read_text()
    generator = random.Random(name)
    for _ in range(60):
        space, found = check("mutated", mutated(text, generator))
        assert space or found
        assert all(d.span for d in found)


@pytest.mark.parametrize("name", sorted(names("spaces")))
def test_mutated_architectures_are_read_or_refused(name: str) -> None:
    space = load_space(name)
    generator = random.Random(name)
    for text in map(str, sample(space, 20, np.random.default_rng(0))):
        for _ in range(5):
            changed = mutated(text, generator)
            try:
                architecture = load_architecture(changed + ":" * (":" not in changed), space)
            except EpnasError as error:
                assert all(d.span for d in error.diagnostics)  # noqa: PT017
            else:
                assert load_architecture(str(architecture), space) == architecture


HEAD = "return linear(global_avg_pool(x), 10) }"
HOSTILE = {
    "brackets": ("space s " + "(" * 10_000, "E901"),
    "alternatives": ("space s\nop := " + "a | " * 60_000 + "b", "E902"),
    "words": ("space s\n" + "a := b\n" * 300_000, "E902"),
    "definitions": ("space s\n" + "a := b\n" * 20_000, "E906"),
    "mistakes": ("space s\nnetwork (image) {"
                 + "".join(f"x{i} = conv_9x9(imag, chanels)\n" for i in range(5_000))
                 + f"x = image\n{HEAD}", "E103"),
    "numbers": ("space s\nnetwork (image) {"
                + "".join(f"x{i} = dropout(image, -1)\n" for i in range(5_000))
                + f"x = image\n{HEAD}", "E406"),
    "productions": ("space s\n" + "\n".join(f"a{i} := a{i + 1} | a{i + 1}" for i in range(99))
                    + f"\nnetwork (image) {{ x = a0(image)\n{HEAD}", "E907"),
    "functions": ("space s\n" + "\n".join(
        f"def f{i}(x) {{ return f{i + 1}(x) + f{i + 1}(x) }}" for i in range(99))
        + f"\nnetwork (image) {{ x = f0(image)\n{HEAD}", "E907"),
    "cells": ("space s\n" + "\n".join(
        f"cell c{i} (x) {{ return c{i + 1}(x) }}" for i in range(300))
        + f"\ncell c300 (x) {{ return relu(x) }}\nnetwork (image) {{ x = c0(image)\n{HEAD}",
        "E907"),
    "turns": ("space s(n=999999999)\nnetwork (image) { for i in 1..n { x = image }\n" + HEAD,
              "E911"),
    "empty loops": ("space s(n=9999)\nnetwork (image) { for i in 1..n { for j in 1..n {} }\n"
                    f"x = image\n{HEAD}", "E911"),
    "slices": ("space s(n=2000)\nnetwork (image) { h[0] = image\n"
               f"for i in 1..n {{ h[i] = sum(h[0..i-1]) }}\nx = last(h)\n{HEAD}", "E911"),
    "sums": ("space s(n=9000)\nnetwork (image) {\n"
             f"x = sum(sum(sum(image for i in 1..n) for j in 1..n) for k in 1..n)\n{HEAD}", "E911"),
    "stack": ("space s(n=999999999)\ncell c (p) { return relu(p) }\n"
              f"network (image) {{ x = stack(image, [c*n])\n{HEAD}", "E912"),
    "cells in each other": ("space s\ncell a (p) { return stack(p, [b*2000]) }\n"
                            "cell b (p) { return stack(p, [a*2000]) }\n"
                            f"network (image) {{ x = stack(image, [a])\n{HEAD}", "E109"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_refused_soon(name: str) -> None:
    text, code = HOSTILE[name]
    start = time.process_time()
    with pytest.raises(EpnasError) as caught:
        read_space(text, "hostile")
    assert time.process_time() - start < 10
    assert caught.value.diagnostics[0].code == code
    assert len(caught.value.diagnostics) <= 102


def test_a_short_text_may_describe_very_many() -> None:
    """2^41 alternatives of one decision, each production used four times by the next."""
    text = "n0 := 8 | 16\n" + "".join(
        f"n{i} := n{i - 1} + {i} | n{i - 1} - {i} | min(n{i - 1}, 64) | max(n{i - 1}, 8)\n"
        for i in range(1, 21)
    )
    space = read_space(f"space s\n{text}network (image) {{ x = conv_3x3(image, n20)\n{HEAD}")
    assert space.decisions[0].size == 2**41
    for architecture in sample(space, 5, np.random.default_rng(0)):
        assert load_architecture(str(architecture), space) == architecture
