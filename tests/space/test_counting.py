"""Counting arguments give what looking at every architecture gives, and other people's figures."""

import random

import pytest

from epnas_dsl.errors import CountError, EpnasError
from epnas_dsl.lang import load_architecture, load_space, read_space
from epnas_dsl.space.counting import count_by_argument, count_raw, count_unique, count_unordered
from epnas_dsl.space.expansion import enumerate_level
from epnas_dsl.space.measures import graph_measures, satisfies
from epnas_dsl.space.orbits import partitions
from epnas_dsl.space.search_space import SearchSpace

HEAD = """network (image) {
    x = stack(conv_3x3(image, 4), [c])
    return linear(global_avg_pool(x), 10)
}
"""

# Vertices that each read some of those before them, up to five and nine edges in all.
NASBENCH101 = """space nasbench101(inner=5)
op := conv_1x1 | conv_3x3 | max_pool_3x3
require edges <= 9
cell c (prev) {
    for i in 1..inner { v[i] = op(sum(some of [prev, v[1..i-1]])) }
    return concat(some of [prev, v[1..inner]])
}
""" + HEAD  # fmt: skip


def enumerated(space: SearchSpace, level: int) -> int:
    return len({a.key for a in enumerate_level(space, level) if satisfies(a)})


def argued(space: SearchSpace, level: int | None = None) -> int:
    return count_by_argument(space, level)[0]


# --- figures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        # the first two of each are published; the third was worked out apart, with numpy
        ("micro", [105, 18_795, 5_013_470, 1_820_474_670, 846_216_425_796]),
        ("pnas", [136, 31_620, 10_979_688, 5_194_395_866, 3_147_356_952_080]),
    ],
)
def test_blocks_in_any_order(name: str, counts: list[int]) -> None:
    space = load_space(name)
    assert [argued(space, level) for level in range(1, 6)] == counts


def test_nasbench101_has_423624_cells() -> None:
    cells = [argued(read_space(NASBENCH101, inner=n)) for n in range(1, 6)]
    assert cells == [7, 91, 2_532, 64_542, 423_624]


def test_darts_cells_are_counted_apart() -> None:
    space = load_space("darts")
    assert argued(space) == 382_128_166**2
    assert count_unordered(space) == 1_037_664_180**2


def test_the_order_of_a_chain_is_seen() -> None:
    assert argued(load_space("macro"), 9) == 6**9 * 2**36 == count_raw(load_space("macro"), 9)


@pytest.mark.slow
def test_macro_has_no_two_that_are_the_same() -> None:
    assert argued(load_space("macro")) == 160_618_186_625_454_535_808_756_219_904


def test_words_of_a_chain_that_may_be_cut_in_several_ways() -> None:
    text = """space s
    treat skip_connect as wire
    op := skip_connect | conv_1x1 | conv_3x3
    network (image) {{
        x = image
        for i in 1..{turns} {{ x = op(x) }}
        return linear(global_avg_pool(x), 10)
    }}"""
    assert argued(read_space(text.format(turns=40))) == 2**41 - 1  # words of up to 40 letters


def test_a_chain_may_begin_at_several_inputs() -> None:
    text = f"""space s
    cell c (p, q) {{ h = conv_3x3(p | q) return conv_1x1(h) | conv_5x5(conv_1x1(h)) }}
    {HEAD}"""
    assert argued(read_space(text)) == 4


def test_partitions() -> None:
    assert [len(list(partitions(n))) for n in range(8)] == [1, 1, 2, 3, 5, 7, 11, 15]


# --- against enumeration -----------------------------------------------------------------------

BLOCKS = [
    "op({a}) + op({a})", "op({a}) + op({a})", "op({a})", "op(op({a}))", "op({a}) + {a}",
    "concat(op({a}), op({a}))", "(op({a}) + op({a}) | concat(op({a}), op({a})))",
    "sum(op(s) for s in {s})", "op(sum({s}))", "op(concat({s}))", "concat(op(s) for s in {s})",
    "conv_5x5(concat(op({a}), op({a})))", "op({a}) + op({a}) + op({a})", "(op({a}) | op(op({a})))",
    "relu(op({a}) + {a})", "twice({a}) + op({a})", "residual({a})", "op({a}) + conv_1x1(p)",
    "op(sum(any of {l})) + op(p)", "relu({a}) | op({a})",
]  # fmt: skip
RESULTS = [
    "concat(unused(h))", "concat(unused(h))", "sum(unused(h))", "relu(concat(unused(h)))",
    "concat(unused(h), some of [p, q])", "concat(some of {h})", "concat(some of [p, {h}])",
    "concat({h})", "sum({h})", "relu(sum(some of [p, {h}]))", "concat(2 of [p, q, {h}])",
    "last(h)", "op(last(h))", "concat(h[1], any of {h})",
]  # fmt: skip
BEFORE = ["", "", "", "p = calibrate(p)", "p = op(p)", "h[0] = p", "h[0] = conv_5x5(p)",
          "p = relu(p) q = relu(q)"]  # fmt: skip
REQUIRED = ["", "", "edges <= 5", "nodes <= 5", "edges + nodes <= 9", "edges - nodes >= 1",
            "edges == 6 or levels == 1"]  # fmt: skip
TREATED = ["", "", "", "max_pool_3x3 as pure", "skip_connect as wire", "skip_connect as zero"]
OPERATIONS = ["conv_3x3", "max_pool_3x3", "skip_connect", "mbconv(kernel=3|5)"]


def a_space(choose: random.Random) -> str:
    """The text of a small space that may or may not have the form that can be counted."""
    before, result = choose.choice(BEFORE), choose.choice(RESULTS)
    level = "{" not in result and "h[1]" not in result
    first = 0 if "h[0]" in before and choose.random() < 0.5 else 1
    sources = choose.choice(["p, q, h[{}..i-1]", "p, h[{}..i-1]"]).format(first)
    subset = choose.choice(["some of [{}]", "any of [{}]", "2 of [{}]", "[{}]"]).format(sources)
    block = choose.choice(BLOCKS).format(a="source", s=subset, l=f"[{sources}]")
    treated, required = choose.choice(TREATED), choose.choice(REQUIRED)
    return f"""space s(blocks={choose.randint(1, 4)})
    op := {" | ".join(choose.sample(OPERATIONS, choose.randint(1, 2)))}
    {f"treat {treated}" if treated else ""}
    {f"require {required}" if required else ""}
    def twice(x) {{ y = op(x) return op(y) }}
    def residual(x) {{ y = op(x) return y + relu(x) }}
    cell c{choose.choice(["", "", "/2"])} (p, q) {{
        {before}
        {"level" if level else "for"} i in 1..blocks {{
            source := {sources.replace(",", " |")}
            h[i] = {block}
        }}
        return {result.format(h=f"h[{first}..blocks]")}
    }}
    {HEAD}"""


def another_space(choose: random.Random) -> str:
    """The text of a small space of a few statements, each of a form of its own, or chains."""

    def term(values: list[str], depth: int) -> str:
        inner = [term(values, depth - 1) if depth else choose.choice(values) for _ in range(2)]
        few = ", ".join(choose.sample(values, min(len(values), 3)))
        return choose.choice([
            f"op({inner[0]})", f"op({inner[0]})", f"conv_5x5({inner[0]})", f"relu({inner[0]})",
            f"({inner[0]} | {inner[1]})", f"({inner[0]} + {inner[1]})", f"op({few.split(',')[0]})",
            f"conv_1x1(concat({inner[0]}, any of [{few}]))", f"op(sum(some of [{few}]))",
        ])  # fmt: skip

    values, statements = ["p", "q"][: choose.randint(1, 2)], []
    chain = choose.random() < 0.5
    for i in range(1, choose.randint(2, 4)):
        read = values[-1:] if chain else values
        statements.append(f"v[{i}] = {term(read, choose.randint(0, 1))}")
        values.append(f"v[{i}]")
    result = choose.choice([term(values[-1:], 1), f"concat(some of [{', '.join(values[1:])}])"])
    treated, required = choose.choice(TREATED), choose.choice(REQUIRED)
    return f"""space s
    op := {" | ".join(choose.sample(OPERATIONS, choose.randint(1, 3)))}
    {f"treat {treated}" if treated else ""}
    {f"require {required}" if required and not treated else ""}
    cell c (p, q) {{
        {" ".join(statements)}
        return {result}
    }}
    {HEAD}"""


def compare(seed: int, spaces: int, most: int) -> int:
    """How many levels of random spaces could be counted by argument, all of them rightly."""
    choose, counted = random.Random(seed), 0
    for i in range(spaces):
        text = another_space(choose) if i % 3 == 0 else a_space(choose)
        try:
            space = read_space(text)
        except EpnasError:
            continue
        for level in range(1, space.depth + 1):
            if count_unordered(space, level) <= most:
                try:
                    found = argued(space, level)
                except CountError:
                    continue
                assert found == enumerated(space, level), text
                counted += 1
    return counted


def test_arguments_agree_with_enumeration() -> None:
    assert compare(seed=0, spaces=240, most=200) > 70


@pytest.mark.exhaustive
def test_arguments_agree_with_enumeration_of_larger_spaces() -> None:
    assert compare(seed=1, spaces=600, most=3000) > 200


@pytest.mark.parametrize(
    ("block", "result", "reason"),
    [
        ("op(s) + s", "concat(unused(h))", "sums inside sums"),
        ("op(s) | op(op(s))", "concat(unused(h))", "may look like a part"),
        ("op(s) | s", "concat(unused(h))", "nothing of its own"),
        ("max_pool_3x3(s) + max_pool_3x3(s)", "concat(unused(h))", "nothing of its own"),
        ("op(s) + op(s)", "sum(unused(h))", "sums inside sums"),
        ("op(s) + op(s)", "h[1]", "read differently"),
        ("op(s) + op(s)", "concat(unused(h)) | h[2]", "does not count"),
        ("none(s) + op(s)", "concat(unused(h))", "does not count"),
        ("residual(s)", "concat(h)", "read twice"),
    ],
)
def test_where_no_argument_holds_all_are_looked_at(block: str, result: str, reason: str) -> None:
    text = f"""space s
    treat none as zero treat max_pool_3x3 as pure
    op := conv_1x1 | conv_3x3
    def residual(x) {{ y = op(x) return relu(y) + y }}
    cell c (p) {{
        for i in 1..2 {{ s := p | h[1..i-1] h[i] = {block} }}
        return {result.replace("(h)", "(h[1..2])") if "unused" not in result else result}
    }}
    {HEAD}"""
    space = read_space(text)
    with pytest.raises(CountError, match=reason):
        count_by_argument(space)
    told: list[str] = []
    assert count_unique(space, tell=told.append) == enumerated(space, 1)
    assert reason in told[0]


@pytest.mark.parametrize(
    ("before", "result"),
    [("s := h[1..2] a = op(s) + op(s)", "conv_1x1(concat(unused(h))) + a"),
     ("", "sum(h[1..2]) + conv_1x1(concat(unused(h)))")],
)  # fmt: skip
def test_where_nothing_may_be_left_all_are_looked_at(before: str, result: str) -> None:
    space = read_space(f"""space s
    op := conv_1x1 | conv_3x3
    cell c (p) {{ for i in 1..2 {{ h[i] = op(p) }} {before} return {result} }}
    {HEAD}""")
    with pytest.raises(CountError, match="nothing to join"):
        count_by_argument(space)
    assert count_unique(space) == enumerated(space, 1)


def test_out_of_reach_says_why() -> None:
    space = read_space(NASBENCH101 + "require params <= 1e6")
    with pytest.raises(CountError, match=r"2,000,000 at most.*a requirement speaks of params"):
        count_unique(space)


def test_a_result_that_dead_code_reads_has_a_key() -> None:
    space = read_space(NASBENCH101, inner=2)
    assert enumerated(space, 1) == argued(space)


def test_edges_and_nodes_are_those_of_the_papers() -> None:
    """NAS-Bench-101's example: edges 0 to 1, 2, 3, 5; 3 to 4; 1, 2, 4, 5 to 6."""
    text = """nasbench101: v1 = conv_1x1(prev); v2 = conv_3x3(prev); v3 = conv_3x3(prev);
        v4 = conv_3x3(v3); v5 = max_pool_3x3(prev); return concat(v1, v2, v4, v5)"""
    example = load_architecture(text, read_space(NASBENCH101))
    assert graph_measures(example) == {"edges": 9, "nodes": 7, "levels": 1}
    bare = text.partition("return")[0].replace("conv_3x3(v3)", "conv_3x3(v3 + v1)")
    short = load_architecture(bare + "return concat(v4)", read_space(NASBENCH101))
    assert graph_measures(short) == {"edges": 5, "nodes": 5, "levels": 1}
