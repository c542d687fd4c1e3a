"""Turn spaces and networks into the rows that `epnas show` and `epnas summary` list."""

from __future__ import annotations

import re
from collections import defaultdict

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.counting import count_raw, count_unordered
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.graph import Graph, nodes, to_layers, to_network
from epnas_dsl.space.operations import OPERATIONS
from epnas_dsl.space.search_space import Decision, SearchSpace
from epnas_dsl.space.shapes import sizes, weights
from epnas_dsl.space.terms import pick

MAX_LISTED = 64  # options of one decision
MAX_NETWORKS = 512  # looked at to see what shares weights


def facts(space: SearchSpace) -> dict[str, object]:
    """What a space holds, as plain data."""
    return {
        "space": space.name,
        "digest": space.digest,
        "parameters": space.parameters,
        "share_by": space.sharing,
        "requirements": [r.text for r in space.requirements],
        "decisions": [
            {"name": d.name, "level": d.level, "size": d.size, "options": options(d)}
            for d in space.decisions
        ],
        "levels": [{"level": i, "raw": r, "unordered": u} for i, r, u in level_sizes(space)],
        "raw": count_raw(space),
        "unordered": count_unordered(space),
    }


def options(decision: Decision) -> list[str]:
    """The texts of a decision's first options."""
    few = range(min(decision.size, MAX_LISTED))
    return [print_term(decision.term, pick(decision.term, i), {}) for i in few]


def level_sizes(space: SearchSpace) -> list[tuple[int, int, int]]:
    """For each level its number, and how many options it has, raw and unordered."""
    return [
        (i, space.level_size(i), space.level_size(i, unordered=True))
        for i in range(1, space.depth + 1)
    ]


def sharing(space: SearchSpace) -> list[tuple[str, int, list[str]]]:
    """The weights of a supernet, and which operations use them.

    Cells that differ in nothing but their place are folded: `cell*` stands for each of them.

    Returns:
        For each key of weights, in order: the key, in how many places of the network it is found,
        and the operations that share it.
    """
    users: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for architecture in _spread(space):
        for node in nodes(to_network(architecture)):
            if node.operation in OPERATIONS and OPERATIONS[node.operation].has_weights:
                key = node.layers[0].key.rpartition("/")[0]
                reads = ", ".join(i.removeprefix(f"{node.instance}.") for i in node.inputs)
                users[key][f"{node.name}({reads})"] = None
    folded: defaultdict[tuple[str, tuple[str, ...]], int] = defaultdict(int)
    for key, names in users.items():
        first = re.match(r"cell\d+(?=/)", key)
        star = (lambda t, own=first[0]: re.sub(rf"^{own}\b", "cell*", t)) if first else str
        folded[star(key), tuple(sorted(map(star, names)))] += 1
    return [(key, count, list(names)) for (key, names), count in sorted(folded.items())]


def _spread(space: SearchSpace) -> list[Architecture]:
    """Architectures in which all options occur, and all pairs of those of two neighbours."""
    largest = max((d.size for d in space.decisions), default=1)
    turns = min(largest**2, MAX_NETWORKS)
    return [
        Architecture(
            space,
            [(turn // largest if i % 2 else turn) % d.size for i, d in enumerate(space.decisions)],
        )
        for turn in range(turns)
    ]


Row = tuple[str, str, tuple[str, ...], tuple[int, ...], int, int]


def costs_by_node(network: Graph, image: tuple[int, int, int]) -> list[Row]:
    """For each node its name, operation, inputs, shape of the output, parameters, MACs."""
    size = sizes(to_layers(network), image)
    rows = []
    for node in nodes(network):
        params = macs = 0
        for layer in node.layers:
            height, width = size[layer.name]
            numbers, per_position = weights(layer)
            params += numbers
            macs += per_position * height * width
        shape = (node.channels, *(size[node.output] if node.scale else ()))
        rows.append((node.name, node.text or node.operation, node.inputs, shape, params, macs))
    return rows
