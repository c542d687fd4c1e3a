"""The key is equal exactly where the graphs are, by an independent judge of isomorphism."""

import itertools
import random
from contextlib import suppress

import networkx as nx
import numpy as np
import pytest

from epnas_dsl.errors import EpnasError, LimitError
from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.counting import count_unique
from epnas_dsl.space.expansion import enumerate_level, sample
from epnas_dsl.space.graph import body_nodes, network_layers, to_graph
from epnas_dsl.space.recognition import from_graph
from epnas_dsl.space.vertices import Vertex, body_vertices, simplify
from tests.fuzzing import Programs

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


# --- equal keys, equal networks ----------------------------------------------------------------

FRAME = """space z()
op := conv_1x1 | relu
{head}
network (image) {{ x = conv_1x1(image, 4)
    {body}
    return linear(global_avg_pool(c), 10) }}"""


def keys(head: str, body: str) -> list[str]:
    """The keys of all architectures of a small space, whose unique count has to agree."""
    space = read_space(FRAME.format(head=head, body=body))
    found = [a.key for a in enumerate_level(space, 1)]
    assert count_unique(space) == len(set(found))
    return found


@pytest.mark.parametrize(
    ("head", "body", "different"),
    [
        ("cell a (p) { return op(p) }", "c = stack(conv_1x1(image, 4), [a], channels=4|8)", 4),
        ("cell a (p) { return relu(p) }", "w = 4|8 c = a(x, channels=w)", 2),
        ("cell a (p) { return relu(p) }", "w = 4|8 c = a(x, channels=w*2)", 2),
        # a chosen number within a formula, which may be hidden by the cell's width
        ("", "w = 4|8 c = conv_1x1(x, w*2)", 2),
        ("", "w = 2|4 c = conv_1x1(x, w*4) | conv_1x1(x, w*2)", 3),
        ("cell a (p) { w = 8|16 return conv_1x1(p, max(channels, w)) }", "c = a(x)", 2),
        ("def f(a, n) { return conv_1x1(a, n*2) }", "c = f(x, n=4|8)", 2),
        # the width that an operation takes from where it stands
        ("def f(a, channels) { return conv_1x1(a) }", "c = f(x, channels=4|8)", 2),
        ("def f(a, channels) { return conv_1x1(a) }", "c = f(x, channels=4) | f(x, channels=8)", 2),
        ("o := conv(kernel=w) w := 1 | 3", "c = o(x)", 2),
        ("", "n = 1|3 c = conv(x, n) | conv(x, n+2)", 3),
    ],
)
def test_what_makes_networks_different_is_in_the_key(head: str, body: str, different: int) -> None:
    assert len(set(keys(head, body))) == different


@pytest.mark.parametrize(
    ("body", "different"),
    [
        # zeros vanish in sums; where values are joined, it counts how many there are
        ("y = conv_1x1(x, 8) s := x | y c = conv_1x1(concat(none(s), x), 4)", 2),
        ("y = relu(x) s := x | y c = conv_1x1(concat(none(s), x), 4)", 1),
        ("w = 4|8 y = conv_1x1(x, w) c = concat(none(y), x)", 2),
        ("w = 4|8 y = conv_1x1(x, w) c = concat(none(y), y) + concat(y, y)", 2),
        ("y = x + conv_1x1(x, 4) s := x | y c = concat(none(s), x) + concat(x, x)", 1),
        ("y = conv_1x1(x, 8) c = x + op(none(x | conv_1x1(y, 4)))", 1),
        ("y = conv_1x1(x, 8) s := x | y c = conv_1x1(none(s), 4)", 1),
        ("y = conv_1x1(x, 8) s := x | y c = none(s)", 2),
        ("y = relu(x) | conv_3x3(x, stride=2) c = none(y)", 2),
        ("y = relu(x) c = concat(none(x | y), none(y | x))", 1),
        # a product with zeros is zeros, a sum of zeros and something is not
        ("o := none | relu | swish c = multiply(o(x), o(x))", 5),
        ("o := none | relu | swish c = o(x) + o(x)", 6),
    ],
)
def test_zeros(body: str, different: int) -> None:
    assert len(set(keys("treat none as zero", body))) == different


def test_what_takes_a_stride_before_it_is_joined() -> None:
    cell = "cell a/2 (p) {{ {} return conv_3x3(y) }}".format
    zero = "treat none as zero "
    # y is p, or a reduction of p
    assert len(set(keys(zero + cell("y = p | p + none(p)"), "c = a(x)"))) == 2
    # one reduction, or two
    assert len(set(keys(cell("h = conv_1x1(p) y = (p + p) + h | p + relu(h)"), "c = a(x)"))) == 2


def test_a_chosen_width_is_recognised() -> None:
    body = "w = 4|8 y = a(x, channels=w*2) c = stack(y, [a], channels=4|16)"
    space = read_space(FRAME.format(head="cell a (p) { return op(p) }", body=body))
    for a in enumerate_level(space, 1):
        graphs = {b.name: to_graph(a, b.name) for b, _ in space.statements}
        assert from_graph(space, graphs) == a
        nodes = {n.name: n for n in body_nodes(a, "network")}
        width = dict(nodes["y"].settings)["channels"]
        assert nodes["y"].text == f"a(channels={width})"


class Widths:
    """Writes small spaces in which widths and strides are chosen in many places."""

    def __init__(self, choose: random.Random) -> None:
        self.choose = choose

    def number(self, names: str) -> str:
        n, k = self.choose.choice(names.split()), self.choose.choice([2, 4, 8])
        return self.choose.choice([n, f"{n}*2", f"max({n}, {k})", f"min({n}*{k}, 16)", f"{k} | 8"])

    def value(self, values: str, numbers: str, depth: int = 2) -> str:
        if depth <= 0:
            return self.choose.choice(values.split())
        a, b = (self.value(values, numbers, depth - self.choose.choice([1, 2])) for _ in "ab")
        n = self.number(numbers)
        return self.choose.choice([
            f"conv_1x1({a}, {n})", f"mbconv({a}, expand=1|2, channels={n})", f"op({a})",
            f"concat({a}, {b})", f"op({a}) + op({a})", f"f({a}, n={n})", f"g({a}, channels={n})",
            f"conv_1x1({a}, 4) + conv_1x1({b}, 4)", f"op(op({a}) | {a})", f"({a} | {b})",
        ])  # fmt: skip

    def space(self) -> str:
        """The text of a space."""
        stride = self.choose.choice(["", "/2"])
        return f"""space z()
        op := conv_3x3 | max_pool_3x3
        def f(a, n) {{ k = {self.number("n")} return {self.value("a", "n k", 1)} }}
        def g(a, channels) {{ return {self.choose.choice(["conv_3x3(a)", "op(a)", "f(a, n=2)"])} }}
        cell c{stride} (p, q) {{ w = {self.number("channels")}
            h = {self.value("p q", "channels w")}
            return {self.value("h", "channels w", 1)} }}
        network (image) {{ x = conv_1x1(image, 4) w = 4 | 8 v = w * 2
            y = {self.value("x", "w v")}
            z = c(x, y, channels={self.choose.choice(["w", "v", "w*2", "4"])})
            u = stack(z, [c*2], channels={self.choose.choice(["w", "4|8", "8"])})
            return linear(global_avg_pool({self.value("u z", "w v", 1)}), 10) }}"""


def layers(architecture: Architecture) -> list[tuple[object, ...]]:
    """What a network is made of, whatever it is called."""
    made = network_layers(architecture, (3, 32, 32))
    return sorted((layer.kind, layer.channels, layer.settings) for layer in made)


def test_equal_keys_mean_equal_networks() -> None:
    collisions = 0
    for seed in range(300):
        choose = random.Random(seed)
        written = Programs(choose).space() if seed % 3 == 0 else Widths(choose).space()
        kept = [s for s in written.splitlines() if not s.startswith(("treat", "require"))]
        found: dict[str, Architecture] = {}
        with suppress(EpnasError):  # some are wrong, as chance has it
            space = read_space("\n".join(kept))
            for a in sample(space, 25, np.random.default_rng(seed)):
                b = found.setdefault(a.key, a)
                if a != b:
                    assert layers(a) == layers(b), f"{written}\n{a}\n{b}"
                    collisions += 1
    assert collisions > 300


def written_out(vertices: list[Vertex], i: int) -> "nx.MultiDiGraph[int]":
    """The vertices below one as a graph."""
    graph: nx.MultiDiGraph[int] = nx.MultiDiGraph()
    waiting = [i]
    while waiting:
        i = waiting.pop()
        label, inputs, commutes = vertices[i]
        graph.add_node(i, label=(label, commutes))
        waiting += [j for j in inputs if j not in graph]
        graph.remove_edges_from(list(graph.in_edges(i, keys=True)))
        graph.add_edges_from((j, i) for j in inputs)
    return graph


def test_plans_of_statements_make_the_vertices_of_the_whole_body() -> None:
    """Statement by statement, with what is kept of others, against the body as one."""
    looked = 0
    for seed in range(120):
        choose = random.Random(seed)
        written = Programs(choose).space() if seed % 2 else Widths(choose).space()
        with suppress(EpnasError):  # some are wrong, as chance has it
            space = read_space(written)
            for a in sample(space, 6, np.random.default_rng(seed), level=1 + seed % space.depth):
                for body in dict.fromkeys(b for b, _ in space.statements):
                    planned = body_vertices(space, body, a.level, a.choices)
                    whole = simplify(body_nodes(a, body.name), space, body)
                    assert same(written_out(*planned), written_out(*whole)), f"{written}\n{a}"
                    looked += 1
    assert looked > 300


@pytest.mark.parametrize(("times", "told"), [(15, True), (16, False), (300, False)])
def test_sums_of_sums_without_end_are_refused(times: int, told: bool) -> None:
    """Each line doubles how often the first value is added."""
    space = read_space(f"""space m op := relu | swish
        network (image) {{ x = conv_3x3(image, 4) {"x = x + x " * times} y = op(x)
            return linear(global_avg_pool(y), 10) }}""")
    one, other = enumerate_level(space, 1)
    if told:
        assert one.key != other.key
    else:
        with pytest.raises(LimitError, match="E914"):
            _ = one.key
