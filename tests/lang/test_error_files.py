"""Every bad file in tests/errors gives exactly the message beside it."""

import random
import re
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest

from epnas_dsl.errors import EpnasError, Span
from epnas_dsl.lang import check, load_architecture, read_space
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


@pytest.mark.parametrize("name", sorted(names("spaces")))
def test_mutated_spaces_are_read_or_refused(name: str) -> None:
    text = resource("spaces", name).read_text()
    tokens = re.findall(r"\s+|\w+|:=|\.\.|.", "\n".join(x.split("#")[0] for x in text.split("\n")))
    generator = random.Random(name)
    for _ in range(60):
        mutated = list(tokens)
        for _ in range(generator.randint(1, 3)):
            i, j = generator.randrange(len(mutated)), generator.randrange(len(mutated))
            match generator.randrange(3):
                case 0:
                    del mutated[i]
                case 1:
                    mutated.insert(i, mutated[j])
                case 2:
                    mutated[i] = mutated[j]
        try:
            read_space("".join(mutated), "mutated")
        except EpnasError as error:
            assert error.diagnostics  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("space s " + "(" * 10_000, "E901"),
        ("space s\nop := " + "a | " * 60_000 + "b", "E211|E902"),
        ("space s\n" + "\n".join(f"a{i} := a{i + 1} | a{i + 1}" for i in range(99))
         + "\nnetwork (image) { return a0(image) }", "E"),
        ("space s(n=999999999)\n"
         "network (image) { for i in 1..n { x = image } return image }", "E911"),
        ("space s(n=999999999)\ncell c (p) { return p }\n"
         "network (image) { return stack(image, [c*n]) }", "E912"),
    ],
)  # fmt: skip
def test_hostile_texts_are_refused_soon(text: str, code: str) -> None:
    with pytest.raises(EpnasError) as caught:
        read_space(text, "hostile")
    assert re.match(code or "E", caught.value.diagnostics[0].code)
