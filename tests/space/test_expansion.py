"""Options as arrays, and samples that are uniform."""

from collections import Counter

import numpy as np
import pytest

from epnas_dsl.errors import CountError, LimitError
from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import (
    below,
    enumerate_level,
    first_level,
    options,
    sample,
    sample_choices,
)
from epnas_dsl.space.terms import disassemble, pick

TINY = """space tiny
op := conv(kernel = 1|3) | skip_connect
cell c (p, q) {
    level b in 1..2 { source := p | h[1..b-1]
        h[b] = op(source) + op(source) }
    return concat(unused(h), some of [p, q])
}
network (image) { x = stack(conv_3x3(image, 4), [c])
    return linear(global_avg_pool(x), 10) }"""


@pytest.mark.parametrize("name", ["micro", "macro", "nasbench201", "darts", "pnas"])
def test_options_are_distinct_complete_and_in_order(name: str) -> None:
    space = load_space(name)
    for level in range(1, min(space.depth, 8) + 1):
        rows = options(space, level)
        assert len(rows) == space.level_size(level, unordered=True)
        assert len(np.unique(rows, axis=0)) == len(rows)
        assert len(options(space, level, unordered=False)) == space.level_size(level)
    prefix = sample(space, 1, np.random.default_rng(0), level=1)[0].choices
    if space.depth > 1:
        rows = options(space, 2)
        chosen = rows[:: max(1, len(rows) // 50)].tolist()
        assert all(
            Architecture(space, (*prefix, *row)).choices == (*prefix, *row) for row in chosen
        )


def test_enumeration_is_complete() -> None:
    space = read_space(TINY)
    found = list(enumerate_level(space, 2))
    assert len(set(found)) == len(found) == 3 * 6 * (6 * 7 // 2)
    assert {a.at(1) for a in found} == set(first_level(space))


@pytest.mark.parametrize("over", ["architectures", "rules"])
def test_samples_are_uniform(over: str) -> None:
    space = read_space(TINY)
    n = 12_000
    drawn = sample(space, n, np.random.default_rng(3), level=1, over=over)  # type: ignore[arg-type]
    counts = Counter(drawn)
    everything = list(enumerate_level(space, 1))
    assert set(counts) == set(everything)
    if over == "architectures":
        expected = dict.fromkeys(everything, n / len(everything))
    else:  # conv or skip_connect first, then the kernel; two operands in either order
        half = {"skip": 1 / 2, "kernel=1": 1 / 4, "kernel=3": 1 / 4}
        expected = {}
        for a in everything:
            left, right = str(a).partition("h1 = ")[2].partition(";")[0].split(" + ")
            p, q = (next(v for k, v in half.items() if k in side) for side in (left, right))
            expected[a] = n * p * q * (2 if left != right else 1) / 3
    chi_square = sum((counts[a] - e) ** 2 / e for a, e in expected.items())
    assert chi_square < 2.5 * len(expected)


def test_samples_follow_the_seed() -> None:
    space = load_space("micro")
    first, again = (sample(space, 5, np.random.default_rng(7)) for _ in range(2))
    assert first == again != sample(space, 5, np.random.default_rng(8))


def test_large_random_numbers_stay_below_their_limit() -> None:
    generator = np.random.default_rng(0)
    limit = 3**90
    drawn = [below(limit, generator) for _ in range(500)]
    assert all(0 <= x < limit for x in drawn)
    assert 0.4 < sum(drawn) / len(drawn) / limit < 0.6


def test_what_is_too_much_is_refused() -> None:
    with pytest.raises(LimitError, match="options"):
        options(load_space("macro", layers=30), 30)
    with pytest.raises(CountError, match="requirement"):
        sample(read_space(TINY + "\nrequire nodes < 2"), 1, np.random.default_rng(0))


EMPTY_LEVELS = """space levels(n=2)
cell c (p) {
    level b in 1..n { h[b] = conv_3x3(p) }
    x = conv_1x1(p) | relu(p)
    return concat(x, unused(h))
}
network (image) { x = stack(conv_3x3(image, 4), [c])
    return linear(global_avg_pool(x), 10) }"""


@pytest.mark.parametrize(
    "name", ["micro", "macro", "darts", "nasnet", "smash", "nasbench201", "ofa", EMPTY_LEVELS]
)
def test_rows_drawn_at_once_are_those_drawn_one_by_one(name: str) -> None:
    space = read_space(name) if "\n" in name else load_space(name)
    for level in range(1, space.depth + 1):
        statements = [s for _, s in space.statements if max(1, s.level) <= level]
        one_by_one = np.random.default_rng(level)
        expected = [
            [
                x
                for s in statements
                for x in disassemble(
                    s.term, pick(s.term, below(s.term.unordered, one_by_one), unordered=True)
                )
            ]
            for _ in range(20)
        ]
        rows = sample_choices(space, 20, np.random.default_rng(level), level)
        assert rows.tolist() == expected
        drawn = sample(space, 20, np.random.default_rng(level), level)
        checked = [Architecture(space, row) for row in expected]
        assert drawn == checked
        assert [a.choices for a in drawn] == [a.choices for a in checked]


def test_decisions_beyond_64_bits_are_drawn_where_fewer_are_told_apart() -> None:
    space = read_space("""space s
        op := conv_3x3 | conv_5x5 | relu | swish
        def f(a, n) { for b in 1..n { a = op(a) + op(a) } return a }
        network (image) { x = conv_3x3(image, 4)
            return linear(global_avg_pool(f(x, n=18|2)), 10) }""")
    (decision,) = space.decisions
    assert space.network.result.term.unordered <= 1 << 62 < decision.size
    for a in sample(space, 5, np.random.default_rng(0)):
        assert load_architecture(str(a), space) == a
