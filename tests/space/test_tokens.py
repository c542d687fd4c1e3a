"""Symbols and architectures go both ways."""

import numpy as np
import pytest

from epnas_dsl.errors import ArchitectureError
from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.space.expansion import options, sample
from epnas_dsl.space.tokens import columns, decode, encode, from_tokens, to_tokens

NAMES = ["micro", "macro", "nasbench201", "darts", "pnas"]


@pytest.mark.parametrize("name", NAMES)
def test_architectures_survive(name: str) -> None:
    space = load_space(name)
    for level in range(1, space.depth + 1):
        for a in sample(space, 20, np.random.default_rng(level), level=level):
            tokens = to_tokens(a)
            assert tokens.shape == (level, len(columns(space)))
            assert (tokens < np.array(columns(space))).all()
            assert from_tokens(space, tokens) == a


@pytest.mark.parametrize("name", NAMES)
def test_rows_survive_and_differ(name: str) -> None:
    space = load_space(name)
    for level in range(1, min(space.depth, 6) + 1):
        rows = options(space, level)
        tokens = encode(space, level, rows)
        assert len(np.unique(tokens, axis=0)) == len(rows)
        assert np.array_equal(decode(space, level, tokens), rows)


def test_a_micro_row_is_operation_source_operation_source() -> None:
    space = load_space("micro")
    a = load_architecture(
        "micro: h1 = conv_3x3(prev1) + skip_connect(prev2);"
        " h2 = max_pool_3x3(h1) + dw_conv_5x5(prev1)", space,
    )  # fmt: skip
    # skip_connect conv_3x3 conv_5x5 dw_conv_3x3 dw_conv_5x5 max_pool_3x3 avg_pool_3x3
    assert to_tokens(a).tolist() == [[0, 0, 1, 1], [4, 1, 5, 2]]


def test_a_macro_row_is_an_operation_and_a_bit_set() -> None:
    space = load_space("macro", layers=3)
    a = load_architecture(
        "macro(layers=3): h1 = conv_1x1(concat(conv_3x3(h0))); "
        "h2 = conv_1x1(concat(max_pool_3x3(h1), h1)); h3 = conv_1x1(concat(conv_5x5(h2), h2))",
        space,
    )
    assert to_tokens(a).tolist() == [[2, -1, -1], [0, 1, -1], [3, 0, 1]]


def test_choices_inside_choices_have_symbols_of_their_own() -> None:
    space = read_space("""space s
        op := mbconv(kernel = 3|5, expand = 3|6) | skip_connect
        network (image) { x = op(conv_3x3(image, 4))
            return linear(global_avg_pool(x), 10) }""")
    rows = encode(space, 1, np.arange(5)[:, None])
    assert rows.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, -1, -1]]


def test_symbols_of_nothing_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="no row of level 1"):
        decode(load_space("micro"), 1, np.array([[0, 5, 0, 0]], np.int16))


def test_a_quarter_of_a_million_options_are_written() -> None:
    """Functions of chosen depth hold as many."""
    space = read_space("""space s
        op := conv_3x3 | conv_5x5 | relu
        def f(a, d, n) {
            for b in 1..n { h[b] = sum(op(s) for s in some of [d, a, relu(a)]) }
            return last(h)
        }
        network (image) { x = conv_3x3(image, 4)
            return linear(global_avg_pool(f(x, x, n=2|3)), 10) }""")
    assert space.decisions[0].size == 63**2 + 63**3
    for a in sample(space, 50, np.random.default_rng(0)):
        assert from_tokens(space, to_tokens(a)) == a


def test_functions_of_a_billion_options_have_symbols() -> None:
    space = read_space("""space s
        op := conv_3x3 | conv_5x5 | relu
        def f(a, n) {
            for b in 1..n { a = op(a) + op(a) | (sum(op(s) for s in some of [a, relu(a)])) }
            return a
        }
        network (image) { x = conv_3x3(image, 4)
            return linear(global_avg_pool(f(x, n=3|6)), 10) }""")
    assert space.decisions[0].size > 10**8
    for a in sample(space, 50, np.random.default_rng(0)):
        assert from_tokens(space, to_tokens(a)) == a
    nonsense = to_tokens(a)
    nonsense[0, 0] = 7
    with pytest.raises(ArchitectureError, match="E307"):
        from_tokens(space, nonsense)
