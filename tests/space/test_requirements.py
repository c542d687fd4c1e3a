"""Requirements: what is said of those that nothing meets or misses, and when it is given up."""

import numpy as np
import pytest

from epnas_dsl.errors import CountError
from epnas_dsl.lang import load_space, read_space
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.requirements import idle_requirements

WIDTHS = """space widths()
network (image) {
    x[0] = image
    for i in 1..3 {
        x[i] = conv_3x3(x[i-1], 4|6|8|10|11|12)
    }
    return linear(global_avg_pool(x[3]), 10)
}
require params <= LIMIT
"""
NESTED = """space nested()
def inner(x) {
    for i in 1..10 {
        x = relu(x + conv_3x3(x))
    }
    return x
}
def outer(x) { return inner(inner(inner(x))) }
cell c (p) {
    level l in 1..2 {
        op := conv_3x3 | conv_5x5
        h[l] = op(outer(p if l == 1 else h[l-1]))
    }
    return last(h)
}
network (image) {
    return linear(global_avg_pool(stack(conv_3x3(image, 8), [c, c])), 10)
}
require depth < 40 or levels == 1
"""


def test_a_space_of_216_is_looked_at_whole() -> None:
    largest = 3 * 12 * 9 + 2 * 12 * 12 * 9 + 3 * 24 + 130
    assert idle_requirements(read_space(WIDTHS.replace("LIMIT", str(largest - 1)))) == []
    found = idle_requirements(read_space(WIDTHS.replace("LIMIT", str(largest))))
    assert [f.message for f in found] == ["every architecture meets this requirement"]


def test_requirements_may_exclude_everything_together() -> None:
    text = WIDTHS.replace("LIMIT", "1500") + "require params > 1000\n"
    assert idle_requirements(read_space(text)) == []
    found = idle_requirements(read_space(text.replace("> 1000", "> 1500")))
    assert [(f.code, f.message) for f in found] == [
        ("W005", "no architecture meets all requirements")
    ]
    assert "> 1500" in str(found[0])


def test_of_some_only_nothing_is_certain() -> None:
    found = idle_requirements(load_space("budgeted_resnet(budget=1)"))
    assert [f.message for f in found] == [
        "none of 16 architectures looked at meets this requirement"
    ]


def test_the_one_architecture_is_no_random_one() -> None:
    with pytest.raises(CountError, match="E916: the one architecture of resnet misses its"):
        sample(load_space("resnet(layers=20)"), 1, np.random.default_rng(0))


def test_it_is_given_up_sooner_where_functions_nest() -> None:
    with pytest.raises(CountError, match=r"none of [1-4]\d\d random architectures of nested"):
        sample(read_space(NESTED), 1, np.random.default_rng(0))
