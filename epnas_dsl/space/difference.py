"""Turn two architectures into what is the same, what changed, and what only one of them has.

Blocks are aligned by what they compute: two that compute the same from the cell's inputs belong
together whatever they are called. What is left is aligned by its name and by how much it shares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.graph import body_nodes, statement_names
from epnas_dsl.space.nodes import Node
from epnas_dsl.space.operations import OPERATIONS
from epnas_dsl.space.recognition import digests, roots
from epnas_dsl.space.search_space import Body
from epnas_dsl.space.terms import Join, Term, Tree

Status = Literal["same", "changed", "first", "second"]


@dataclass(frozen=True, slots=True)
class Change:
    """Two blocks that belong together, or one that stands alone.

    Attributes:
        body: the cell, or `network`.
        status: `same`, `changed`, or the architecture that alone has it.
        labels: what it is called in each; "" where it is not.
        texts: what it is in each, the second in the names of the first (`B.h1`: it has no such).
    """

    body: str
    status: Status
    labels: tuple[str, str]
    texts: tuple[str, str]


def difference(first: Architecture, second: Architecture) -> list[Change]:
    """The blocks of both, body by body, in the order of the first, what only the second has last.

    A block is a statement in which something is chosen, or any one where the two are of different
    spaces. One whose name is given again is called as its nodes are, `x_2`; that of what a body
    returns is called `return`, and comes last.
    """
    whole = first.space.digest != second.space.digest
    bodies = [
        {n: b for b in a.space.bodies if whole or any(b is c for c, _ in a.space.statements)
         for n in b.names}
        for a in (first, second)
    ]  # fmt: skip
    pairs: dict[tuple[Body | None, Body | None], str] = {}
    for name in (*bodies[0], *bodies[1]):
        pairs.setdefault((bodies[0].get(name), bodies[1].get(name)), name)
    return [
        change
        for (one, two), name in pairs.items()
        for change in _changes(name, _Side(first, one, whole), _Side(second, two, whole))
    ]


class _Side:
    """The blocks of one architecture's body: what they say and what they compute.

    Attributes:
        blocks: the labels of the statements that are compared.
        statements: each with its choices, and what its labels stand for at that place.
    """

    def __init__(self, architecture: Architecture, body: Body | None, whole: bool) -> None:
        self.digests: dict[str, bytes] = {}
        self.operands: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        self.statements: dict[str, tuple[Term, Tree, dict[str, str]]] = {}
        self.blocks: list[str] = []
        self.listing: list[Node] = []
        self.owner: dict[str, str] = {}
        self.body, self.architecture, self.whole = body, architecture, whole
        if body:
            self.read(body)

    def read(self, body: Body) -> None:
        self.listing = list(map(_with_width, body_nodes(self.architecture, body.name, dead=True)))
        by_name, made = {n.name: n for n in self.listing}, roots(self.listing)
        hashes = digests(self.listing)
        trees = self.architecture.space.trees(self.architecture.choices)
        now: dict[str, str] = {}
        for name, s in statement_names(body, self.architecture.level).items():
            label = "return" if s is body.result else name
            if s.term.decisions or (self.whole and s.term.kind != "number"):
                self.blocks.append(label)
            self.statements[label] = s.term, trees.get(s, ()), dict(now)
            now[s.label] = label
            self.output = name  # of the last one, the result
        self.owner = {node.name: label for label, node in made.items()}
        for label in self.blocks:
            node = made.get(label)
            if node:
                self.digests[label] = hashes[node.name]
                self.operands[label] = _operands(node, by_name, self.owner)
            else:  # a number, or a value that was there before
                text = self.text(label, {})
                self.digests[label] = f"{label} = {text}".encode()
                self.operands[label] = [(text, ())]
        self.digests["return"] = hashes[self.listing[-1].name]

    def text(self, label: str, names: Mapping[str, str]) -> str:
        """What a block is, other blocks under other names."""
        term, tree, now = self.statements[label]
        joins = isinstance(term, Join) and term.operator == "concat"
        if label == "return" and joins and not term.decisions:
            last = self.listing[-1]  # what is joined: `unused(h)` does not say it
            joined = last.inputs if last.operation == "concat" else (last.name,)
            read = [names.get(x, x) for x in (self.owner.get(i, i) for i in joined)]
            return f"concat({', '.join(read)})" if len(read) > 1 else read[0]
        return print_term(term, tree, {x: names.get(y, y) for x, y in now.items()})

    def alone(self, label: str, names: Mapping[str, str]) -> object:
        """What a block computes from the blocks that it reads, these under other names."""
        block = self.output if label == "return" else label
        own = {n.name: n for n in self.listing if n.name.split(".")[0] == block}
        if not own:
            return self.text(label, names)
        read = {i: self.owner.get(i, i) for n in own.values() for i in n.inputs if i not in own}
        read = {i: f"read {names.get(x, x)}" for i, x in read.items()}
        listing = [Node(x, "input") for x in dict.fromkeys(read.values())]
        for n in own.values():
            listing.append(replace(n, inputs=tuple(read.get(i, i) for i in n.inputs)))
        return digests(listing)[listing[-1].name]


def _with_width(node: Node) -> Node:
    """What makes more channels is another operation, also where a function says how many."""
    wide = node.width and node.operation in OPERATIONS
    return replace(node, operation=f"{node.operation} {node.width}") if wide else node


def _operands(
    node: Node, by_name: Mapping[str, Node], owner: Mapping[str, str]
) -> list[tuple[str, tuple[str, ...]]]:
    """What a block adds or joins, each with the values that it reads."""
    parts = [by_name[i] for i in node.inputs] if node.operation in {"add", "concat"} else [node]
    return [(p.text, tuple(owner.get(i, i) for i in p.inputs)) for p in parts]


def _changes(body: str, first: _Side, second: _Side) -> list[Change]:
    pairs = _aligned(first, second)
    names = _names(pairs, second)
    found = []

    def compare(ours: str, theirs: str) -> Change:
        same = first.digests[ours] == second.digests[theirs]
        same = same or first.alone(ours, {}) == second.alone(theirs, names)
        texts = first.text(ours, {}), second.text(theirs, names)
        same = same or (not first.whole and texts[0] == texts[1])
        return Change(body, "same" if same else "changed", (ours, theirs), texts)

    for label in [x for x in first.digests if x != "return"]:
        if label in pairs:
            found.append(compare(label, pairs[label]))
        else:
            found.append(Change(body, "first", (label, ""), (first.text(label, {}), "")))
    for label in second.digests:
        if label not in pairs.values() and label != "return":
            texts = "", second.text(label, names)
            found.append(Change(body, "second", ("", label), texts))
    if first.body and second.body:
        last = compare("return", "return")
        found += [last] if last.status != "same" or "return" in first.blocks + second.blocks else []
    return found


def _names(pairs: Mapping[str, str], second: _Side) -> dict[str, str]:
    """What the first calls the blocks of the second; `B.h1` is one that it does not have."""
    own = {x: f"B.{x}" for x in second.digests if x != "return"}
    return own | {theirs: ours for ours, theirs in pairs.items()}


def _aligned(first: _Side, second: _Side) -> dict[str, str]:
    """Which block of the second belongs to one of the first."""
    pairs: dict[str, str] = {}
    left = [x for x in second.digests if x != "return"]
    ours = [x for x in first.digests if x != "return"]
    for by_name in (True, False):
        for label in ours:
            same = [x for x in left if second.digests[x] == first.digests[label]]
            same = [x for x in same if x == label] if by_name else same
            if same and label not in pairs:
                pairs[label] = same[0]
                left.remove(same[0])
    rest = [x for x in ours if x not in pairs]
    while left and rest:
        names = _names(pairs, second)
        likeness = {
            (x, y): (_likeness(first.operands[x], second.operands[y], names), x == y)
            for x in rest
            for y in left
        }
        best = max(likeness, key=likeness.__getitem__)
        if likeness[best] < (2, False) and best[0] != best[1]:
            same = [x for x in rest if x in left]
            if not same:
                break
            best = (same[0], same[0])
        pairs[best[0]] = best[1]
        rest.remove(best[0])
        left.remove(best[1])
    return pairs


def _likeness(
    first: list[tuple[str, tuple[str, ...]]], second: list[tuple[str, tuple[str, ...]]],
    names: Mapping[str, str],
) -> int:  # fmt: skip
    """How many operands two blocks share; half of one for an operation, or for what it reads."""
    ours = Counter(first)
    theirs = Counter((text, tuple(names.get(i, i) for i in reads)) for text, reads in second)
    score = 2 * (ours & theirs).total()
    for column in (0, 1):
        left = (ours - theirs, theirs - ours)
        one, other = (Counter(x[column] for x in side.elements()) for side in left)
        score += (one & other).total()
    return score
