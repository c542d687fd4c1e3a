"""Turn spaces and networks into the rows that `epnas show` and `epnas summary` list."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.counting import count_raw, count_unordered
from epnas_dsl.space.expansion import below
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.graph import body_nodes, to_layers, to_network
from epnas_dsl.space.nodes import Graph, Node, nodes
from epnas_dsl.space.recognition import roots
from epnas_dsl.space.search_space import Decision, SearchSpace
from epnas_dsl.space.shapes import sizes, weights
from epnas_dsl.space.terms import pick

MAX_LISTED = 64  # options of one decision
MAX_NETWORKS = 512  # looked at to see what shares weights
MAX_IDLE = 64  # of them in a row that show nothing new


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


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of a supernet that several operations may share.

    Attributes:
        key: what they are kept under; in the place of `cell3` the names of the cell.
        operation: what they are the weights of.
        places: how many of the network's cells have such weights; 1 outside of cells.
        users: the operations that share them, with what they read: `h2.op1(prev1)`.
    """

    key: str
    operation: str
    places: int
    users: tuple[str, ...]

    @property
    def group(self) -> str:
        """The key with `*` for the operation."""
        return "/".join("*" if part == self.operation else part for part in self.key.split("/"))


def sharing(space: SearchSpace) -> list[Weights]:
    """The weights of a supernet, and which operations use them, in the order of the network."""
    users: defaultdict[str, dict[str, None]] = defaultdict(dict)
    kept: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for architecture, reads in _covering(space):
        for node in nodes(to_network(architecture)):
            if any(weights(layer)[0] for layer in node.layers):
                key = node.layers[0].key.rpartition("/")[0]
                folded = re.sub(r"^cell\d+(?=/)", _names(space, node.cell), key)
                name = node.name.removeprefix(f"{node.instance}.")
                kept[folded, node.text].add(key)
                for read in reads.get((_names(space, node.cell), name), [", ".join(node.inputs)]):
                    users[folded][f"{name}({read})"] = None
    found = [
        Weights(key, operation, len(keys), tuple(sorted(users[key], key=_natural)))
        for (key, operation), keys in kept.items()
    ]
    return sorted(found, key=lambda w: (w.key.startswith("network"), _natural(w.key)))


def _names(space: SearchSpace, cell: str) -> str:
    """All names of the body that a cell stands in; they have the same blocks."""
    return "|".join(next((b for b in space.bodies if cell in b.names), space.network).names)


def shared_rows(rows: Iterable[Weights]) -> list[tuple[str, int, str, str]]:
    """Rows for a reader: operations that are shared alike on one line, and so what they read."""
    groups: dict[tuple[str, int, tuple[str, ...]], list[str]] = {}
    for row in rows:
        groups.setdefault((row.group, row.places, row.users), []).append(row.operation)
    return [(k, n, ", ".join(ops), _readers(u)) for (k, n, u), ops in groups.items()]


def _readers(users: Sequence[str]) -> str:
    """`h2.op1(h1), h2.op1(prev1)` as `h2.op1 of h1 | prev1`."""
    read: defaultdict[str, list[str]] = defaultdict(list)
    for user in users:
        name, _, inputs = user.removesuffix(")").partition("(")
        read[name].append(inputs)
    return "; ".join(f"{n} of {' | '.join(x)}" if any(x) else n for n, x in read.items())


def _natural(text: str) -> list[tuple[int, str]]:
    """For sorting: numbers inside of names by their value."""
    return [(int(x), "") if x.isdigit() else (0, x) for x in re.findall(r"\d+|\D+", text)]


Reads = dict[tuple[str, str], list[str]]


def _covering(space: SearchSpace) -> Iterator[tuple[Architecture, Reads]]:
    """Architectures in which every operation reads whatever it may, as far as few can show it.

    With each comes what the operations of its bodies read, by body and node.
    """
    seen: set[object] = set()
    idle = 0
    for architecture in _spread(space):
        listings = {
            _names(space, b.name): body_nodes(architecture, b.name, dead=True) for b in space.bodies
        }
        shown = {(b, n.name, n.text, n.inputs) for b, listing in listings.items() for n in listing}
        idle = 0 if shown - seen else idle + 1
        seen |= shown
        if idle > MAX_IDLE:
            break
        if idle == 0:
            yield architecture, {(b, k): v for b, x in listings.items() for k, v in _reads(x)}


def _reads(listing: Sequence[Node]) -> Iterator[tuple[str, list[str]]]:
    """For each node the values that it reads; joined ones have a slice of the weights each."""
    by_name = {n.name: n for n in listing}
    labels = {node.name: label for label, node in roots(listing).items() if label != "output"}
    for node in listing:
        first = by_name[node.inputs[0]] if node.inputs else node
        inputs = [labels.get(i, i) for i in node.inputs]
        if first.operation == "concat" and first.name not in labels:
            yield node.name, [labels.get(i, i) for i in first.inputs]
        else:
            yield node.name, [", ".join(inputs)]


def _spread(space: SearchSpace) -> Iterator[Architecture]:
    """By turns one of a row in which all options occur, and one at random."""
    import numpy as np

    generator = np.random.default_rng(0)
    sizes = [d.size for d in space.decisions]
    largest = max(sizes, default=1)
    for turn in range(min(largest**2, MAX_NETWORKS)):
        numbers = [turn // largest if i % 2 else turn for i in range(len(sizes))]
        yield Architecture(space, [n % size for n, size in zip(numbers, sizes, strict=True)])
        yield Architecture(space, [below(size, generator) for size in sizes])


Row = tuple[str, str, tuple[str, ...], tuple[int, ...], int, int]


def costs_by_node(network: Graph, image: tuple[int, int, int]) -> list[Row]:
    """For each node its name, operation, inputs, shape of the output, parameters, MACs."""
    size = sizes(to_layers(network), image)
    rows = []
    for node in nodes(network):
        params = sum(weights(x)[0] for x in node.layers)
        macs = sum(weights(x)[1] * math.prod(size[x.name]) for x in node.layers)
        shape = (node.channels, *(size[node.output] if node.scale else ()))
        rows.append((node.name, node.text or node.operation, node.inputs, shape, params, macs))
    return rows
