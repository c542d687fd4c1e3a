"""Turn an architecture into a key: equal if and only if equal under the declared equivalence.

The default equivalence: operands of `+` commute and sums inside sums are one sum; the order of
joined values and of independent blocks does not count; what the result does not read is gone. A
space adds to it with `treat`: a `wire` is its input, a `zero` is nothing and so is any operation
on nothing, two equal `pure` operations on the same value are one. Two operations with weights stay
two.

The graph that is left is brought into a canonical form. Values read once are written out where they
are read; those read several times get numbers, by refinement and, where that leaves some alike, by
trying each of them first and keeping the smallest result. The form is complete, so equal forms mean
isomorphic graphs; the key is its 128-bit digest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from epnas_dsl.errors import LimitError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.graph import Node, body_nodes

MAX_TRIALS = 20_000


def canonical_key(architecture: Architecture) -> str:
    """The key of an architecture: 32 hexadecimal digits.

    Raises:
        LimitError: its graphs are too large or too regular to be told apart.
    """
    space = architecture.space
    names = dict.fromkeys(body.name for body, _ in space.statements)
    forms = []
    for name in names:
        body = next(b for b in space.bodies if b.name == name)
        strided = max(body.names.values()) > 1
        vertices, result = simplify(body_nodes(architecture, name), space.treated, strided)
        forms.append(name.encode() + _Form(vertices, result).certificate())
    return hashlib.blake2b(b"".join(forms), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Vertex:
    """A value that is left; sums and joins commute, their inputs are in order."""

    label: str
    inputs: tuple[int, ...]
    commutes: bool


def simplify(
    nodes: Sequence[Node], treated: Mapping[str, str], strided: bool
) -> tuple[list[Vertex], int]:
    """The nodes with the equivalence applied: vertices in topological order, and the result."""
    vertices: list[Vertex] = []
    known: dict[Vertex, int] = {}
    sums: dict[int, tuple[int, ...]] = {}
    values: dict[str, int] = {}

    def vertex(label: str, inputs: Sequence[int], commutes: bool, merge: bool) -> int:
        made = Vertex(label, tuple(sorted(inputs) if commutes else inputs), commutes)
        if merge and made in known:
            return known[made]
        vertices.append(made)
        known.setdefault(made, len(vertices) - 1)
        return len(vertices) - 1

    zero = vertex("zero", (), False, True)
    for node in nodes:
        inputs = [values[i] for i in node.inputs]
        role = treated.get(node.operation, "")
        if node.operation == "input":
            made = vertex(f"input {node.name}", (), False, True)
        elif node.operation == "add":
            terms = [t for i in inputs if i != zero for t in sums.get(i, (i,))]
            made = terms[0] if len(terms) == 1 else zero
            if len(terms) > 1:
                made = vertex("add", terms, True, True)
                sums[made] = tuple(terms)
        elif node.operation == "concat":
            made = vertex(node.text, inputs, True, True)
        elif role == "wire" and not (strided and node.entry):
            made = inputs[0]
        elif role == "zero" or inputs == [zero]:
            made = zero
        else:
            width = f"({node.channels} channels)" if node.channels else ""
            made = vertex(node.text + width, inputs, False, merge=role in {"pure", "wire"})
        values[node.name] = made
    return vertices, values[nodes[-1].name]


class _Form:
    """The canonical form of a graph of vertices below a result."""

    def __init__(self, vertices: list[Vertex], result: int) -> None:
        alive = {result}
        for i in range(result, -1, -1):
            if i in alive:
                alive.update(vertices[i].inputs)
        self.order = [i for i in range(len(vertices)) if i in alive]
        self.vertices = vertices
        self.result = result
        readers = Counter(j for i in self.order for j in vertices[i].inputs)
        fixed = {i for i in self.order if not vertices[i].inputs}
        self.shared = [i for i in self.order if readers[i] > 1 and i not in fixed]
        self.trials = 0

    def digests(self, colours: Mapping[int, bytes]) -> dict[int, bytes]:
        """Each vertex written out, shared ones as their colours where they are read."""
        written: dict[int, bytes] = {}
        for i in self.order:
            v = self.vertices[i]
            parts = [colours.get(j) or written[j] for j in v.inputs]
            if v.commutes:
                parts.sort()
            text = b"".join((v.label.encode(), b"(", *parts, b")"))
            written[i] = hashlib.blake2b(text, digest_size=16).digest()
        return written

    def certificate(self) -> bytes:
        """The smallest writing over all numberings that refinement leaves possible."""
        if not self.shared:
            return self.digests({})[self.result]
        return self.search({i: _colour(0) for i in self.shared})

    def search(self, colours: dict[int, bytes]) -> bytes:
        colours = self.refine(colours)
        classes: dict[bytes, list[int]] = {}
        for i in self.shared:
            classes.setdefault(colours[i], []).append(i)
        alike = min((c for c in classes if len(classes[c]) > 1), default=None)
        if alike is None:
            written = self.digests(colours)
            ordered = sorted(self.shared, key=colours.__getitem__)
            return b"".join([*(written[i] for i in ordered), written[self.result]])
        tried: list[int] = []
        best: bytes | None = None
        for i in classes[alike]:
            if any(self.interchangeable(i, j) for j in tried):
                continue
            self.trials += 1
            if self.trials > MAX_TRIALS:
                raise LimitError("a graph too regular to be compared", code="E914")
            form = self.search({**colours, i: b"first" + colours[i]})
            best = form if best is None else min(best, form)
            tried.append(i)
        assert best is not None
        return best

    def refine(self, colours: dict[int, bytes]) -> dict[int, bytes]:
        """Tell shared vertices apart by what they are made of and by who reads them."""
        count = len(set(colours.values()))
        while True:
            written = self.digests(colours)
            seen: dict[int, bytes] = {}
            for i in self.shared:
                marked = self.digests({**colours, i: b"*"})
                roots = [*self.shared, self.result]
                context = sorted(
                    colours.get(r, b"result") + marked[r] for r in roots if marked[r] != written[r]
                )
                seen[i] = b"".join((colours[i], written[i], *context))
            ranks = {s: _colour(n) for n, s in enumerate(sorted(set(seen.values())))}
            colours = {i: ranks[seen[i]] for i in self.shared}
            if len(ranks) == count or len(ranks) == len(self.shared):
                return colours
            count = len(ranks)

    def interchangeable(self, i: int, j: int) -> bool:
        """Whether swapping two shared vertices leaves the graph as it is."""
        names = {k: b"#" + str(k).encode() for k in self.shared}
        plain = self.digests(names)
        swapped = self.digests({**names, i: names[j], j: names[i]})
        if plain[i] != swapped[j] or plain[j] != swapped[i]:
            return False
        others = [k for k in self.shared if k not in (i, j)]
        return all(plain[k] == swapped[k] for k in [*others, self.result])


def _colour(n: int) -> bytes:
    return b"%08d" % n
