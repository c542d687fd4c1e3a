"""Productions and functions 64 deep in each other are as good as one; 65 deep are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import fuzzing
import numpy as np
import pytest

from epnas_dsl.lang import check, load_architecture, read_space
from epnas_dsl.lang.formatter import format_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing import mimebundle
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import network_layers
from epnas_dsl.space.search_space import SearchSpace

TAIL = "return linear(global_avg_pool(x), 10) }\n"
NETWORK = f"network (image) {{ x = a0(conv_3x3(image, 4)) {TAIL}"


def productions(depth: int) -> str:
    """Each with an operation of its own."""
    lines = [f"a{i} := a{i + 1} | mbconv({2 * i + 1}, expand={i + 1})" for i in range(depth - 1)]
    return "\n".join(["space s", *lines, f"a{depth - 1} := relu | swish", NETWORK])


def functions(depth: int) -> str:
    """The innermost one chooses."""
    lines = [f"def a{i}(x) {{ return a{i + 1}(x) }}" for i in range(depth - 1)]
    last = f"def a{depth - 1}(x) {{ return relu(x) | conv_3x3(x) }}"
    return "\n".join(["space s", *lines, last, NETWORK])


def both(depth: int) -> str:
    """Functions, each with a production of its own inside."""
    half = depth // 2 - 1
    lines = [f"def a{i}(x) {{ o := a{i + 1} | relu return o(x) }}" for i in range(half)]
    last = f"def a{half}(x) {{ o := relu | swish return o(x) }}"
    return "\n".join(["space s", *lines, last, NETWORK])


def written(space: SearchSpace) -> Iterator[Architecture]:
    """Some architectures, the deepest and the first among them."""
    generator = np.random.default_rng(0)
    yield Architecture(space, [0] * len(space.decisions))
    yield Architecture(space, [d.size - 1 for d in space.decisions])
    yield from sample(space, 5, generator)


def in_a_small_thread(action: Callable[[], None]) -> None:
    """Carry out with as much stack as threads have where they have least, 512 KiB."""
    errors: list[BaseException] = []

    def carry_out() -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    before = threading.stack_size(512 * 1024)
    thread = threading.Thread(target=carry_out)
    thread.start()
    threading.stack_size(before)
    thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("text", [productions, functions, both])
def test_64_are_as_good_as_one(text: Callable[[int], str]) -> None:
    def everything() -> None:
        space, found = check("s.space", text(64))
        assert space is not None
        assert found == []
        assert format_space(format_space(text(64))) == format_space(text(64))
        assert space.level_size(1) == {productions: 65, functions: 2, both: 33}[text]
        assert mimebundle(space)
        for architecture in written(space):
            fuzzing.survives(architecture)
            assert mimebundle(architecture)

    in_a_small_thread(everything)


@pytest.mark.parametrize("text", [productions, functions, both])
def test_64_become_a_network(text: Callable[[int], str]) -> None:
    torch = pytest.importorskip("torch")
    from epnas_dsl.nn.network import build_network

    for architecture in written(read_space(text(64))):
        network = build_network(network_layers(architecture, (3, 8, 8)))
        assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("text", [productions, functions])
def test_65_are_refused(text: Callable[[int], str]) -> None:
    space, found = check("s.space", text(65))
    assert space is None
    assert [d.code for d in found] == ["E907"]
    assert "more than 64 deep" in str(found[0])


def test_what_is_written_with_many_brackets_is_read() -> None:
    space = read_space(f"""space s
        def g(x) {{ return {"relu(" * 40} relu(x) | swish(x) {")" * 40} }}
        def a0(x) {{ return {"relu(" * 40} g(x) {")" * 40} }} {NETWORK}""")
    (architecture,) = sample(space, 1, np.random.default_rng(0))
    assert str(architecture).count("(") > 80
    assert load_architecture(str(architecture), space) == architecture


def test_a_cell_hands_its_inputs_on_at_its_own_width() -> None:
    space = read_space(f"""space s
        cell inner (a) {{ return conv_3x3(a) }}
        cell outer (a) {{ y = inner(a) z = conv_3x3(a) return concat(y, z) }}
        network (image) {{ x = conv_3x3(image, 8) x = stack(x, [outer*3]) {TAIL}""")
    layers = network_layers(Architecture(space, []), (3, 32, 32))
    assert [x.channels for x in layers if x.kind == "concat"] == [16, 16, 16]
