"""The key is equal exactly where the graphs are, by an independent judge of isomorphism."""

import itertools
import random

import networkx as nx
import numpy as np
import pytest

from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import enumerate_level, sample
from epnas_dsl.space.graph import to_graph

SMALL = """space small(blocks=2)
op := conv_3x3 | max_pool_3x3
cell c (p, q) {
    level b in 1..blocks { source := p | q | h[1..b-1]
        h[b] = op(source) + op(source) }
    return concat(unused(h))
}
network (image) { x = stack(conv_3x3(image, 4), [c])
    return linear(global_avg_pool(x), 10) }"""


def plain(architecture: Architecture) -> "nx.MultiDiGraph[str]":
    """The body's graph with labels; multiplicity counts, the order of operands does not."""
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    for name, data in to_graph(architecture).nodes(data=True):
        node = data["node"]
        label = node.name if node.operation == "input" else node.text
        graph.add_node(name, label=label)
        graph.add_edges_from((i, name) for i in node.inputs)
    return graph


def same(a: "nx.MultiDiGraph[str]", b: "nx.MultiDiGraph[str]") -> bool:
    return nx.is_isomorphic(
        a,
        b,
        node_match=lambda x, y: x["label"] == y["label"],
        edge_match=lambda x, y: len(x) == len(y),
    )


def test_keys_are_equal_exactly_for_isomorphic_graphs() -> None:
    architectures = list(enumerate_level(read_space(SMALL), 2))
    chosen = random.Random(0).sample(architectures, 70)
    graphs = [plain(a) for a in chosen]
    for (a, g), (b, h) in itertools.combinations(zip(chosen, graphs, strict=True), 2):
        assert (a.key == b.key) == same(g, h)


def test_keys_of_three_blocks_agree_with_isomorphism_where_they_collide() -> None:
    space = read_space(SMALL, blocks=3)
    found: dict[str, Architecture] = {}
    collisions = 0
    for a in sample(space, 1500, np.random.default_rng(0)):
        b = found.setdefault(a.key, a)
        if a != b:
            collisions += 1
            assert same(plain(a), plain(b))
    assert collisions > 20


def swap_blocks(architecture: Architecture) -> str:
    """The text with two neighbouring independent blocks exchanged and operands turned round."""
    head, _, body = str(architecture).partition(": ")
    blocks = [s.partition(" = ")[2] for s in body.split("; ")]
    for i in range(len(blocks) - 1):
        if f"(h{i + 1})" not in blocks[i + 1]:
            blocks[i], blocks[i + 1] = blocks[i + 1], blocks[i]
            names = {f"(h{i + 1})": f"(h{i + 2})", f"(h{i + 2})": f"(h{i + 1})"}
            for j in range(i + 2, len(blocks)):
                marked = blocks[j].replace(f"(h{i + 1})", "(#)")
                marked = marked.replace(f"(h{i + 2})", names[f"(h{i + 2})"])
                blocks[j] = marked.replace("(#)", f"(h{i + 2})")
            break
    turned = [" + ".join(reversed(b.split(" + "))) for b in blocks]
    return f"{head}: " + "; ".join(f"h{i} = {b}" for i, b in enumerate(turned, 1))


@pytest.mark.parametrize("name", ["micro", "pnas"])
def test_order_of_blocks_and_operands_does_not_count(name: str) -> None:
    space = load_space(name)
    changed = 0
    for a in sample(space, 60, np.random.default_rng(1)):
        b = load_architecture(swap_blocks(a), space)
        changed += a != b
        assert a.key == b.key
    assert changed > 30


def test_keys_hold_across_levels() -> None:
    space = load_space("nasbench201")
    short = load_architecture("nasbench201: h1 = nor_conv_3x3(h0)", space)
    whole = load_architecture(
        "nasbench201: h1 = nor_conv_3x3(h0); h2 = none(h0) + skip_connect(h1);"
        " h3 = none(h0) + none(h1) + skip_connect(h2)", space,
    )  # fmt: skip
    assert short.key == whole.key
    assert short.key != load_architecture("nasbench201: h1 = nor_conv_1x1(h0)", space).key


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        # two convolutions stay two, two equal pools of one value are one
        ("h1 = nor_conv_3x3(h0); h2 = none(h0) + avg_pool_3x3(h1);"
         " h3 = none(h0) + avg_pool_3x3(h1) + none(h2)",
         "h1 = nor_conv_3x3(h0); h2 = none(h0) + avg_pool_3x3(h1);"
         " h3 = none(h0) + none(h1) + skip_connect(h2)", True),
        ("h1 = nor_conv_3x3(h0); h2 = nor_conv_3x3(h0) + none(h1);"
         " h3 = none(h0) + skip_connect(h1) + skip_connect(h2)",
         "h1 = nor_conv_3x3(h0); h2 = none(h0) + skip_connect(h1);"
         " h3 = none(h0) + skip_connect(h1) + skip_connect(h2)", False),
        # an operation on zero is zero
        ("h1 = none(h0); h2 = skip_connect(h0) + nor_conv_3x3(h1);"
         " h3 = none(h0) + nor_conv_1x1(h1) + skip_connect(h2)",
         "h1 = none(h0); h2 = skip_connect(h0) + none(h1);"
         " h3 = none(h0) + none(h1) + skip_connect(h2)", True),
    ],
)  # fmt: skip
def test_roles(left: str, right: str, equal: bool) -> None:
    space = load_space("nasbench201")
    a, b = (load_architecture(f"nasbench201: {t}", space) for t in (left, right))
    assert (a.key == b.key) == equal


def test_very_regular_graphs_are_told_apart_in_time() -> None:
    space = read_space(SMALL, blocks=9)
    same_blocks = "; ".join(f"h{i} = conv_3x3(p) + conv_3x3(p)" for i in range(1, 9))
    a = load_architecture(
        f"small(blocks=9): {same_blocks}; h9 = conv_3x3(h1) + conv_3x3(h2)", space
    )
    b = load_architecture(
        f"small(blocks=9): {same_blocks}; h9 = conv_3x3(h7) + conv_3x3(h4)", space
    )
    c = load_architecture(
        f"small(blocks=9): {same_blocks}; h9 = conv_3x3(h7) + conv_3x3(h7)", space
    )
    assert a.key == b.key != c.key


@pytest.mark.parametrize(
    "statement",
    ["x = stack(image, [c], channels=8|16)", "x = f(image, 8|16)", "x = g(image, 8|16)"],
)
def test_widths_count_wherever_they_are_chosen(statement: str) -> None:
    space = read_space(f"""space s
    cell c (p) {{ return conv_3x3(p) }}
    def f(x, channels) {{ return conv_3x3(x) }}
    def g(x, width) {{ return conv_3x3(x, width) }}
    network (image) {{ {statement} return linear(global_avg_pool(x), 10) }}""")
    assert len({a.key for a in enumerate_level(space, 1)}) == 2
