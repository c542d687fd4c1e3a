"""Graphs are read back into the architecture that they are of."""

from __future__ import annotations

from contextlib import suppress

import networkx as nx
import numpy as np
import pytest

from epnas_dsl.errors import ArchitectureError
from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import enumerate_level, sample
from epnas_dsl.space.graph import to_graph
from epnas_dsl.space.neighbours import neighbours
from epnas_dsl.space.nodes import Graph
from epnas_dsl.space.recognition import from_graph
from epnas_dsl.space.search_space import SearchSpace

# Functions with choices inside, nested choices, chosen numbers, values without a node of their
# own, names given again, subsets of any size.
NESTED = """
space nested
op := conv(kernel = 1|3) | skip_connect | block
def block(x) {
    y = (conv_3x3(x) | conv_5x5(x))
    return y + (skip_connect(x) | mbconv(x, kernel=3|5, expand=3|6))
}
cell c (p, q) {
    level b in 1..2 {
        source := p | h[1..b-1]
        h[b] = op(source) + op(source)
    }
    return concat(unused(h), some of [p, q])
}
network (image) { return linear(global_avg_pool(stack(conv_3x3(image, 4), [c])), 10) }
"""
NUMBERS = """
space numbers
cell c (p, q) {
    w = (8 | 16 | 32)
    x = (p | q)
    y = (conv_3x3(x, w) | conv_5x5(x, 2*w))
    z = conv_1x1(concat(y, any of [p, q]), 8 | 16)
    return z
}
network (image) { return linear(global_avg_pool(stack(conv_3x3(image, 4), [c])), 10) }
"""
STAGES = """
space stages
def stage(x, width, stride) {
    x = mbconv(x, kernel=3|5|7, expand=3|6, channels=width, stride=stride)
    for i in 2..3 {
        x = (mbconv(x, kernel=3|5|7, expand=3|6, channels=2*width//2) | skip_connect(x))
    }
    return x
}
network (image) {
    x = conv_3x3(image, 16)
    x = stage(x, 24, stride=2)
    x = stage(x, 40, stride=2|1)
    return linear(global_avg_pool(x), 10)
}
"""


def graphs(architecture: Architecture) -> dict[str, Graph]:
    names = dict.fromkeys(b.name for b, _ in architecture.space.statements)
    return {name: to_graph(architecture, name) for name in names}


def bare(architecture: Architecture) -> dict[str, Graph]:
    """Graphs without the choices noted at them, as others make them."""
    found = {}
    for name, graph in graphs(architecture).items():
        found[name] = nx.DiGraph(graph)
        found[name].graph.clear()
    return found


def spaces() -> list[SearchSpace]:
    names = (
        "micro",
        "macro",
        "darts",
        "pnas",
        "nasbench201",
        "amoebanet",
        "enas_macro",
        "nats_size",
    )
    published = map(load_space, names)
    return [*published, *map(read_space, (NESTED, NUMBERS, STAGES))]


@pytest.mark.parametrize("space", spaces(), ids=lambda s: s.name)
def test_graphs_of_every_level_come_back(space: SearchSpace) -> None:
    for level in range(1, space.depth + 1):
        for architecture in sample(space, 40, np.random.default_rng(level), level):
            assert from_graph(space, graphs(architecture)) == architecture
            assert from_graph(space, bare(architecture)) == architecture


def test_the_order_of_operands_does_not_count() -> None:
    space = load_space("darts")
    for architecture in sample(space, 20, np.random.default_rng(0)):
        turned = {}
        for name, copy in bare(architecture).items():
            for key in copy:
                node = copy.nodes[key]["node"]
                if node.operation in {"add", "concat"}:
                    from dataclasses import replace

                    copy.nodes[key]["node"] = replace(node, inputs=node.inputs[::-1])
            turned[name] = copy
        assert from_graph(space, turned) == architecture


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("conv_3x3", "conv_9x9", "`conv_9x9` is not one of"),
        ("prev1", "nowhere", "`nowhere` cannot be read here"),
    ],
)
def test_a_graph_of_another_space_is_refused(old: str, new: str, words: str) -> None:
    from dataclasses import replace

    space = load_space("micro")
    architecture = load_architecture("micro: h1 = conv_3x3(prev1) + conv_5x5(prev2)")
    graph = nx.DiGraph()
    for key, data in to_graph(architecture).nodes(data=True):
        node = data["node"]
        operation = node.operation.replace(old, new)
        inputs = tuple(i.replace(old, new) for i in node.inputs)
        changed = replace(node, name=key.replace(old, new), operation=operation, inputs=inputs)
        graph.add_node(changed.name, node=changed)
    with pytest.raises(ArchitectureError, match=words) as error:
        from_graph(space, {"normal": graph})
    assert error.value.diagnostics[0].code == "E313"


def test_what_is_fixed_has_to_be_there() -> None:
    """The result of one space is no result of another, though the choices are the same."""
    text = """space {} cell c (p, q) {{ x = (conv_3x3(p) | conv_5x5(q))
        return {} }}
    network (image) {{ return linear(global_avg_pool(stack(conv_3x3(image, 4), [c])), 10) }}"""
    here = read_space(text.format("here", "relu(x)"))
    there = read_space(text.format("there", "relu6(x)"))
    graph = to_graph(Architecture(there, [1]))
    assert from_graph(there, {"c": graph}).choices == (1,)
    with pytest.raises(ArchitectureError, match=r"`c\.return` is another one"):
        from_graph(here, {"c": graph})


def test_choices_in_dead_code_are_noted() -> None:
    space = read_space("""space dead cell c (p, q) {
        x = (conv_3x3(p) | conv_5x5(q))
        y = conv_1x1(concat(any of [p, x], q))
        return y }
    network (image) { return linear(global_avg_pool(stack(conv_3x3(image, 4), [c])), 10) }""")
    alive, dead = (Architecture(space, [0, mask]) for mask in (2, 1))
    assert from_graph(space, graphs(alive)) == alive
    assert from_graph(space, graphs(dead)) == dead
    with pytest.raises(ArchitectureError, match=r"does not say what `c.x` is") as error:
        from_graph(space, bare(dead))
    assert error.value.diagnostics[0].code == "E314"


def test_every_body_is_needed() -> None:
    architecture = sample(load_space("darts"), 1, np.random.default_rng(0))[0]
    with pytest.raises(ArchitectureError, match="no graph of `reduction`"):
        from_graph(architecture.space, {"normal": to_graph(architecture, "normal")})


def test_choices_noted_of_other_graphs_do_not_count() -> None:
    space = load_space("micro")
    one, other = sample(space, 2, np.random.default_rng(0))
    graph = nx.DiGraph(to_graph(one))
    for wrong in (other.choices, one.choices[:-1], (10**9,), ()):
        graph.graph["choices"] = wrong
        assert from_graph(space, {"normal": graph}) == one


def test_a_value_without_a_node_is_what_it_can_be() -> None:
    """`u` is `y` there or `x`, but never `h1`, though nothing else says what it is."""
    space = read_space("""space aliases treat none as zero
    cell c (x, y) {
        u = none(x)
        for i in 1..2 {
            s := h[1..i-1] | x | y | u
            h[i] = conv_3x3(s) + skip_connect(s)
        }
        return last(h) }
    network (image) { return linear(global_avg_pool(stack(conv_3x3(image, 4), [c])), 10) }""")
    told = 0
    for architecture in sample(space, 60, np.random.default_rng(0)):
        assert from_graph(space, graphs(architecture)) == architecture
        with suppress(ArchitectureError):  # where h2 does not read h1
            assert from_graph(space, bare(architecture)) == architecture
            told += 1
    assert told > 15


# Comprehensions whose bodies may be an element as it is, values that are other values, names given
# again, numbers made of chosen ones; in bodies, functions and levels.
AMBIGUOUS = [
    "return sum((s | relu(s)) for s in some of [p, q])",
    "return sum((s | relu(s) | swish(s)) for s in 2 of [p, q, conv_3x3(p)])",
    "return sum((s | s + relu(s)) for s in some of [p, q])",
    "return sum(s + (p | q) for s in some of [p, q])",
    "return concat((s | relu(s)) for s in some of [p, q])",
    "return (p | q) + (p | relu(q)) + (relu(p) | q)",
    "return (sum(some of [p, q]) | relu(sum(some of [p, q]))) + (p | q)",
    "return sum((s | op(s)) for s in 1 of [p, q]) + sum((s | relu(s)) for s in 1 of [p, q])",
    "return multiply((p | q), (q | relu(p))) + multiply((p | relu(q)), q)",
    "u = (p | relu(p)); v = (q | u); return concat(u, v, sum((s | relu(s)) for s in 2 of [u, v]))",
    "level i in 1..2 { h[i] = sum((s | op(s)) for s in some of [p, h[1..i-1]]) } return last(h)",
    "for i in 1..2 { h[i] = (p | q | h[1..i-1]) } return concat(h[1..2])",
    "x = relu(p); for i in 1..3 { x = (x | f(x)) } return x + q",
    "x = (p | q); y = (x | relu(x)); x = (y | relu(x)) + x; return x + y",
    "return sum((f(s) | s) for s in some of [p, q])",
    "return f(f(p | q)) + sum((s | f(s)) for s in 1 of [p, q])",
    "return g(p, q) + g(q, p)",
    "w = 8 | 16; return concat((conv_3x3(s, w) | conv_3x3(s, 2*w)) for s in some of [p, q])",
    "k = 1 | 3; m = k + 2; return conv(p, m) + (q | relu(p))",
    "k = 1 | 3; return wide(p, n=k) + (q | wide(p, n=k))",
    "n = 1 | 2; return wide(p, n) + (q | wide(q, n=3 | n))",
    "u = conv_1x1(p); return either(conv_1x1(p), u)",
    "return either(conv_1x1(p), conv_1x1(p))",
    "x = (p | q); y = (x | relu(p)); z = (y | x); return concat(x, y, z)",
    "x = sum(some of [p, q]); y = sum(some of [x, p]); return sum(some of [y, x]) + x",
    "return concat(sum(some of [p, q]), sum(some of [p, q]))",
    "return sum((relu(p) | op(s)) for s in some of [q])",
]
AMBIGUOUS_SPACE = """space ambiguous
op := conv_1x1 | relu
def f(x) {{ v = (x | conv_3x3(x)); return v + (x | op(v)) }}
def g(x, y) {{ w = (x | y); z = (w | relu(w) | y); return sum((s | relu(s)) for s in 1 of [w, z]) }}
def either(x, y) {{ return (x | y) + y }}
def wide(x, n) {{ return conv(x, 2*n + 1) }}
cell c (p, q) {{ {} }}
network (image) {{ return linear(global_avg_pool(stack(conv_3x3(image, 4), [c])), 10) }}"""


@pytest.mark.parametrize("body", AMBIGUOUS)
def test_every_architecture_comes_back_from_its_bare_graphs(body: str) -> None:
    space = read_space(AMBIGUOUS_SPACE.format(body))
    for level in range(1, space.depth + 1):
        for architecture in enumerate_level(space, level):
            try:
                found = from_graph(space, bare(architecture))
            except ArchitectureError as error:
                code = error.diagnostics[0].code
                if code != "E314" or not dead(architecture):  # something chosen is read nowhere
                    raise
            else:
                assert found.key == architecture.key


def dead(architecture: Architecture) -> bool:
    """Whether another choice somewhere makes the same graphs."""
    own = [nx.to_dict_of_dicts(graph) for graph in graphs(architecture).values()]
    return any(
        own == [nx.to_dict_of_dicts(graph) for graph in graphs(other).values()]
        for other in neighbours(architecture, texts=True)
    )


def test_the_level_is_that_of_the_cell_in_which_a_label_stands() -> None:
    space = read_space("""space m
        cell c0 (prev2, prev1) {
            level b in 1..2 { source := prev1 | h[1..b-1]; h[b] = source + prev1 }
            return last(h)
        }
        cell c1 (prev2, prev1) {
            for b in 1..2 { source := prev2 | h[1..b-1]; h[b] = source + relu(prev1) }
            return conv_1x1(concat(unused(h)))
        }
        network (image) {
            x = stack(conv_3x3(image, 4), [c0])
            return linear(global_avg_pool(x), 10)
        }""")
    for a in (a for level in (1, 2) for a in enumerate_level(space, level)):
        assert from_graph(space, bare(a)) == a
