"""Turn two architectures into what is the same, what changed, and what only one of them has.

Blocks are aligned by what they compute: two that compute the same from the cell's inputs belong
together whatever they are called. What is left is aligned by its name and by how much it shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.graph import body_nodes
from epnas_dsl.space.nodes import Node
from epnas_dsl.space.recognition import digests, roots
from epnas_dsl.space.search_space import Body
from epnas_dsl.space.terms import Term, Tree

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

    A block is a statement in which something is chosen; that of what a body returns is called
    `return`, and is there where something else is returned.
    """
    bodies = [{b.name: b for b, _ in a.space.statements} for a in (first, second)]
    found: list[Change] = []
    for name in dict.fromkeys((*bodies[0], *bodies[1])):
        sides = [
            _Side(a, own[name]) if name in own else _Side(a, None)
            for a, own in zip((first, second), bodies, strict=True)
        ]
        found += _changes(name, *sides)
    return found


class _Side:
    """The blocks of one architecture's body: what they say and what they compute."""

    def __init__(self, architecture: Architecture, body: Body | None) -> None:
        self.digests: dict[str, bytes] = {}
        self.operands: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        self.statements: dict[str, tuple[Term, Tree]] = {}
        self.body = body
        self.architecture = architecture
        if body:
            self.read(body)

    def read(self, body: Body) -> None:
        listing = body_nodes(self.architecture, body.name, dead=True)
        by_name, made, hashes = {n.name: n for n in listing}, roots(listing), digests(listing)
        owner = {node.name: label for label, node in made.items()}
        trees = self.architecture.space.trees(self.architecture.choices)
        here = (s for s in (*body.statements, body.result) if s in trees)
        self.statements = {s.label: (s.term, trees[s]) for s in here}
        for label in self.statements:
            node = listing[-1] if label == "return" else made.get(label)
            if node:
                self.digests[label] = hashes[node.name]
                self.operands[label] = _operands(node, by_name, owner)
        last = listing[-1]
        self.digests["return"] = hashes[last.name]
        joined = last.inputs if last.operation == "concat" else (last.name,)
        self.returned = [owner.get(i, i) for i in joined]

    def text(self, label: str, names: Mapping[str, str]) -> str:
        """What a block is, other blocks under other names."""
        if label in self.statements:
            return print_term(*self.statements[label], names)
        returned = ", ".join(names.get(x, x) for x in self.returned)
        return f"concat({returned})" if len(self.returned) > 1 else returned


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
    for label in [x for x in first.digests if x != "return" or "return" in first.statements]:
        twin = pairs.get(label)
        if twin is None:
            found.append(Change(body, "first", (label, ""), (first.text(label, {}), "")))
            continue
        texts = first.text(label, {}), second.text(twin, names)
        same = first.digests[label] == second.digests[twin] or texts[0] == texts[1]
        found.append(Change(body, "same" if same else "changed", (label, twin), texts))
    for label in second.digests:
        if label not in pairs.values() and label != "return":
            texts = "", second.text(label, names)
            found.append(Change(body, "second", ("", label), texts))
    return found + _returned(body, first, second, names)


def _names(pairs: Mapping[str, str], second: _Side) -> dict[str, str]:
    """What the first calls the blocks of the second; `B.h1` is one that it does not have."""
    own = {x: f"B.{x}" for x in second.digests if x != "return"}
    return own | {theirs: ours for ours, theirs in pairs.items()}


def _returned(body: str, first: _Side, second: _Side, names: Mapping[str, str]) -> list[Change]:
    """What a body returns without a choice: there where it is something else."""
    if not (first.body and second.body) or "return" in first.statements:
        return []
    texts = first.text("return", {}), second.text("return", names)
    if texts[0] == texts[1]:
        return []
    return [Change(body, "changed", ("return", "return"), texts)]


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
    if "return" in first.statements and "return" in second.statements:
        pairs["return"] = "return"
    return pairs


def _likeness(
    first: list[tuple[str, tuple[str, ...]]], second: list[tuple[str, tuple[str, ...]]],
    names: Mapping[str, str],
) -> int:  # fmt: skip
    """How many operands two blocks share; half of one for an operation, or for what it reads."""
    theirs = [(text, tuple(names.get(i, i) for i in reads)) for text, reads in second]
    score = 0
    rest = list(first)
    for operand in list(theirs):
        if operand in rest:
            rest.remove(operand)
            theirs.remove(operand)
            score += 2
    for column in (0, 1):
        values = [operand[column] for operand in rest]
        for operand in theirs:
            if operand[column] in values:
                values.remove(operand[column])
                score += 1
    return score
