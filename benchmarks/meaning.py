"""The language and its meaning: parsing, checking, counting, keys, sampling, enumeration.

    python benchmarks/meaning.py [--rounds 5] [-o FILE]

Keys are held against networkx: its Weisfeiler-Lehman hash, which alone proves nothing, and its test
of isomorphism for one pair. Sampling is held against plain Python: `random.choice` at every
decision, which is not uniform over architectures. All figures are of one thread.
"""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import networkx as nx
import numpy as np
from rows import Row, finish, medians, parser, row, timed

from epnas_dsl.lang import check, load_architecture, load_space, read_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.canonical import canonical_key
from epnas_dsl.space.counting import count_raw, count_unique, count_unordered
from epnas_dsl.space.expansion import enumerate_level, options, sample
from epnas_dsl.space.graph import to_graph, to_network
from epnas_dsl.space.search_space import SearchSpace
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
    against = f"networkx weisfeiler_lehman_graph_hash {200 / theirs['hash']:,.0f} a second"
    pair = f"networkx is_isomorphic {100 / theirs['isomorphic']:,.0f} pairs a second"
    return [
        row("canonical keys, micro, 5 blocks", KEYS / best, "a second", against, at_least=20_000),
        row("  the first 6,000 of a process", KEYS / first, "a second", pair),
    ]


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
        against = f"random.randrange at every decision {DRAWN / seconds['plain']:,.0f} a second"
        found.append(
            row(f"sampling, {name}", DRAWN / seconds["ours"], "a second", against, at_least=100_000)
        )
    return found


def reading(rounds: int) -> list[Row]:
    """Texts read: spaces, architectures."""
    names = sorted(path.stem for path in Path(__file__).parents[1].glob("spaces/*.space"))
    space = load_space("micro")
    texts = [str(a) for a in sample(space, 200, np.random.default_rng(0))]
    source = load_space("micro").source
    seconds = medians(
        {
            "micro": lambda: read_space(source),
            "shipped": lambda: [check(name) for name in names],
            "texts": lambda: [load_architecture(t, space) for t in texts],
            "network": lambda: to_network(load_architecture(texts[0], space)),
        },
        rounds,
    )
    return [
        row("parse micro to its meaning", 1e3 * seconds["micro"], "ms"),
        row(f"check the {len(names)} shipped spaces, in one process", seconds["shipped"], "s"),
        row("read texts of architectures, micro", len(texts) / seconds["texts"], "a second"),
        row("graph of a whole network, micro", 1e3 * seconds["network"], "ms"),
    ]


def counting(rounds: int) -> list[Row]:
    """Exact counts, without enumeration."""
    found = []
    for name in ("micro", "darts", "nasbench101"):
        space = load_space(name)
        seconds = medians({"unique": lambda space=space: count_unique(space)}, rounds)
        found.append(row(f"count unique, {name}", seconds["unique"], "s"))
    space = load_space("macro")
    both = medians({"": lambda: (count_raw(space), count_unordered(space))}, rounds)
    return [*found, row("count raw and unordered, macro", 1e3 * both[""], "ms")]


def listing(rounds: int) -> list[Row]:
    """Levels listed as arrays, and architectures one at a time."""
    macro, micro, whole = load_space("macro"), load_space("micro"), load_space("nasbench201")
    seconds = medians(
        {
            "macro": lambda: encode(macro, 12, options(macro, 12)),
            "micro": lambda: encode(micro, 5, options(micro, 5)),
            "all": lambda: sum(1 for _ in enumerate_level(whole, whole.depth)),
        },
        rounds,
    )
    return [
        row("expansions, macro level 12: rows of symbols", 1e3 * seconds["macro"], "ms"),
        row("expansions, micro level 5: rows of symbols", 1e3 * seconds["micro"], "ms"),
        row("enumeration, nasbench201", 15_625 / seconds["all"], "a second"),
    ]  # fmt: skip


def main() -> None:
    options_ = parser(__doc__)
    options_.add_argument("--rounds", type=int, default=5)
    given = options_.parse_args()
    parts = (reading, keys, sampling, counting, listing)
    finish([found for part in parts for found in part(given.rounds)], given.output)


if __name__ == "__main__":
    main()
