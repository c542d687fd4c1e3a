"""The language and its meaning: parsing, checking, counting, keys, sampling, enumeration.

    python benchmarks/meaning.py [--rounds 5] [-o FILE]

Reading is held against Lark's own share of it. Keys are held against networkx: its
Weisfeiler-Lehman hash, which alone proves nothing, and its test of isomorphism for one pair.
Sampling is held against plain Python: `random.randrange` at every decision, which is not uniform
over architectures; lists against `itertools.product`; counts against going through all
architectures of the same space at a smaller size, which must give the same number. All figures are
of one thread.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable
from itertools import product

import networkx as nx
import numpy as np
from lark import Lark
from rows import Row, beside, finish, medians, parser, row, timed

from epnas_dsl.lang import check, load_architecture, load_space, read_space
from epnas_dsl.resources import names, resource
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.canonical import canonical_key
from epnas_dsl.space.counting import count_raw, count_unique, count_unordered
from epnas_dsl.space.expansion import enumerate_level, options, sample
from epnas_dsl.space.graph import to_graph, to_network
from epnas_dsl.space.measures import satisfies
from epnas_dsl.space.search_space import Decision, SearchSpace
from epnas_dsl.space.tokens import encode

KEYS = 6000  # architectures; as many again come before, so that what is kept is there
DRAWN = 20_000


def graph(architecture: Architecture) -> nx.Graph:
    """The body as networkx wants it: a label at every node."""
    made = nx.DiGraph()
    for name, data in to_graph(architecture).nodes(data=True):
        node = data["node"]
        made.add_node(name, label=node.name if node.operation == "input" else node.text)
        made.add_edges_from((i, name) for i in node.inputs)
    return made


def keys(rounds: int) -> list[Row]:
    """Keys a second, and networkx on the graphs of the same architectures."""
    space = load_space("micro")
    drawn = sample(space, KEYS * (rounds + 1), np.random.default_rng(0))
    turns = iter([drawn[i * KEYS : (i + 1) * KEYS] for i in range(rounds + 1)])
    first = timed(lambda: [canonical_key(a) for a in next(turns)])
    graphs = [graph(a) for a in drawn[:200]]
    pairs = list(zip(graphs[::2], graphs[1::2], strict=True))

    def hashes() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for g in graphs:
                nx.weisfeiler_lehman_graph_hash(g, node_attr="label")

    def isomorphic() -> None:
        for g, h in pairs:
            nx.is_isomorphic(g, h, node_match=lambda a, b: a["label"] == b["label"])

    theirs = medians({"hash": hashes, "isomorphic": isomorphic}, 3)
    best = min(timed(lambda: [canonical_key(a) for a in next(turns)]) for _ in range(rounds))
    rate, cold = KEYS / best, KEYS / first
    hashed, pair = 200 / theirs["hash"], 100 / theirs["isomorphic"]
    return [
        row("canonical keys, micro, 5 blocks", rate, "a second",
            beside("networkx weisfeiler_lehman_graph_hash", hashed, rate, "a second"),
            at_least=20_000),
        row("  the first 6,000 of a process", cold, "a second",
            beside("networkx is_isomorphic, pairs", pair, cold, "a second")),
    ]  # fmt: skip


def by_rules(space: SearchSpace, n: int) -> list[list[int]]:
    """What a script of one's own would do: a random number at every decision."""
    return [[random.randrange(d.size) for d in space.decisions] for _ in range(n)]


def sampling(rounds: int) -> list[Row]:
    """Architectures drawn in a second, uniformly."""
    found = []
    for name in ("micro", "macro", "darts", "nasbench201"):
        space = load_space(name)
        seconds = medians(
            {
                "ours": lambda space=space: sample(space, DRAWN, np.random.default_rng(0)),
                "plain": lambda space=space: by_rules(space, DRAWN),
            },
            rounds,
        )
        rate, plain = DRAWN / seconds["ours"], DRAWN / seconds["plain"]
        against = beside("random.randrange at every decision", plain, rate, "a second")
        found.append(row(f"sampling, {name}", rate, "a second", against, at_least=100_000))
    return found


def reading(rounds: int) -> list[Row]:
    """Texts read: spaces, architectures."""
    files = [resource("spaces", name).read_text(encoding="utf-8") for name in names("spaces")]
    space = load_space("micro")
    drawn = sample(space, 200, np.random.default_rng(0))
    texts = [str(a) for a in drawn]
    whole = to_network(drawn[0])
    edges = [(i, name) for name, data in whole.nodes(data=True) for i in data["node"].inputs]
    lexer, genotypes = grammar("space", "space", "item"), grammar("architecture", "genotype")

    def in_networkx() -> None:
        made = nx.DiGraph()
        made.add_nodes_from(whole)
        made.add_edges_from(edges)

    seconds = medians(
        {
            "micro": lambda: read_space(space.source),
            "micro, lark": lambda: list(lexer.lex(space.source)),
            "grammar": lambda: grammar("space", "space", "item"),
            "shipped": lambda: [check(name) for name in names("spaces")],
            "shipped, lark": lambda: [list(lexer.lex(text)) for text in files],
            "texts": lambda: [load_architecture(t, space) for t in texts],
            "texts, lark": lambda: [genotypes.parse(t) for t in texts],
            "network": lambda: to_network(drawn[0]),
            "network, networkx": in_networkx,
        },
        rounds,
    )
    ms = {name: 1e3 * value for name, value in seconds.items()}
    rate = {name: len(texts) / value for name, value in seconds.items()}
    alone = beside("Lark's lexer alone", ms["micro, lark"], ms["micro"], "ms")
    anew = f"{alone}; a parser made of the grammar, which is kept: {ms['grammar']:.3g} ms"
    return [
        row("parse micro to its meaning", ms["micro"], "ms", anew),
        row(f"check the {len(files)} shipped spaces, in one process", seconds["shipped"], "s",
            beside("Lark's lexer alone", seconds["shipped, lark"], seconds["shipped"], "s")),
        row("read texts of architectures, micro", rate["texts"], "a second",
            beside("Lark's trees of them", rate["texts, lark"], rate["texts"], "a second")),
        row("graph of a whole network, micro", ms["network"], "ms",
            beside("networkx: the same names and edges", ms["network, networkx"], ms["network"],
                   "ms")),
    ]  # fmt: skip


def grammar(name: str, *start: str) -> Lark:
    """A parser of the language, made from its grammar, as without a cache."""
    path = str(resource("grammars", name))
    return Lark.open(path, parser="lalr", lexer="basic", start=list(start))


def gone_through(space: SearchSpace) -> tuple[int, int, float]:
    """By going through all architectures: how many, unique ones, and the seconds it took."""
    found: list[str] = []
    seconds = timed(lambda: found.extend(
        a.key for a in enumerate_level(space, space.depth) if satisfies(a)))  # fmt: skip
    return len(found), len({*found}), seconds


def counting(rounds: int) -> list[Row]:
    """Exact counts, without enumeration."""
    found = []
    for name, small in (("micro", "micro(blocks=2)"), ("darts", "darts(nodes=1)"),
                        ("nasbench101", "nasbench101(vertices=3)")):  # fmt: skip
        space, less = load_space(name), load_space(small)
        seconds = medians({"unique": lambda space=space: count_unique(space),
                           "small": lambda space=less: count_unique(space)}, rounds)  # fmt: skip
        total, unique, plain = gone_through(less)
        assert unique == count_unique(less)
        against = beside(f"keys of the {total:,} of {small}", plain, seconds["small"], "s")
        found.append(row(f"count unique, {name}", seconds["unique"], "s",
                         against.replace("here", f"{small} counted")))  # fmt: skip
    return [*found, raw_counts(rounds)]


def raw_counts(rounds: int) -> Row:
    """Counts that look at no equivalence but the order of sums."""
    space, less = load_space("macro"), load_space("macro(layers=4)")

    def all_of(space: SearchSpace) -> None:
        assert count_raw(space) >= count_unordered(space)

    seconds = medians({"whole": lambda: all_of(space), "small": lambda: all_of(less)}, rounds)
    assert count_raw(less) == sum(1 for _ in enumerate_level(less, less.depth))
    plain = timed(lambda: sum(1 for _ in enumerate_level(less, less.depth)))
    against = beside(f"the {count_raw(less):,} of macro(layers=4) gone through", 1e3 * plain,
                     1e3 * seconds["small"], "ms").replace("here", "counted")  # fmt: skip
    return row("count raw and unordered, macro", 1e3 * seconds["whole"], "ms", against)


def listing(rounds: int) -> list[Row]:
    """Levels listed as arrays, and architectures one at a time."""
    macro, micro, whole = load_space("macro"), load_space("micro"), load_space("nasbench201")

    def plain(decisions: Iterable[Decision]) -> int:
        return sum(1 for _ in product(*(range(d.size) for d in decisions)))

    seconds = medians(
        {
            "macro": lambda: encode(macro, 12, options(macro, 12)),
            "macro, plain": lambda: plain(macro.levels[11]),
            "micro": lambda: encode(micro, 5, options(micro, 5)),
            "micro, plain": lambda: plain(micro.levels[4]),
            "all": lambda: sum(1 for _ in enumerate_level(whole, whole.depth)),
            "all, plain": lambda: plain(whole.decisions),
        },
        rounds,
    )
    ms = {name: 1e3 * value for name, value in seconds.items()}
    rate = {name: 15_625 / value for name, value in seconds.items()}
    rival = "itertools.product of the choices"
    return [
        row("expansions, macro level 12: rows of symbols", ms["macro"], "ms",
            beside(f"{rival}, uncoded", ms["macro, plain"], ms["macro"], "ms")),
        row("expansions, micro level 5: rows of symbols", ms["micro"], "ms",
            beside(f"{rival}, uncoded", ms["micro, plain"], ms["micro"], "ms")),
        row("enumeration, nasbench201", rate["all"], "a second",
            beside(rival, rate["all, plain"], rate["all"], "a second")),
    ]  # fmt: skip


def main() -> None:
    options_ = parser(__doc__)
    options_.add_argument("--rounds", type=int, default=5)
    given = options_.parse_args()
    parts = (reading, keys, sampling, counting, listing)
    finish([found for part in parts for found in part(given.rounds)], given.output)


if __name__ == "__main__":
    main()
