"""Turn an architecture into a key: equal if and only if equal under the declared equivalence.

The default equivalence: operands of `+` commute and sums inside sums are one sum; the order of
joined values and of independent blocks does not count; what the result does not read is gone. A
space adds to it with `treat`: a `wire` is its input, a `zero` is zeros and so is any operation on
zeros, two equal `pure` operations on the same value are one. Two operations with weights stay two.

In a sum zeros vanish. Elsewhere it counts how many there are, so zeros have a shape, as far as it
can be told from the body alone: widths are compared as they are written, sizes by what was done to
them. Zeros of shapes that may differ are different.

The graph that is left is brought into a canonical form. Values read once are written out where they
are read; those read several times get numbers, by refinement and, where that leaves some alike, by
trying each of them first and keeping the smallest result. The form is complete, so equal forms mean
isomorphic graphs; the key is its 128-bit digest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

from epnas_dsl.errors import LimitError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.vertices import Vertex, body_vertices

MAX_TRIALS = 20_000
MAX_WRITTEN = 1 << 16  # texts whose digests are remembered


def canonical_key(architecture: Architecture) -> str:
    """The key of an architecture: 32 hexadecimal digits.

    Raises:
        LimitError: its graphs are too large or too regular to be told apart.
    """
    space, level, choices = architecture.space, architecture.level, architecture.choices
    forms = []
    for body in space.decided:
        vertices, result = body_vertices(space, body, level, choices)
        forms.append(body.name.encode() + _Form(vertices, result).certificate())
    return hashlib.blake2b(b"".join(forms), digest_size=16).hexdigest()


class _Form:
    """The canonical form of a graph of vertices below a result."""

    def __init__(self, vertices: Sequence[Vertex], result: int) -> None:
        readers = [0] * (result + 1)
        readers[result] = 1
        for i in range(result, -1, -1):
            if readers[i]:
                for j in vertices[i].inputs:
                    readers[j] += 1
        self.order = [i for i, count in enumerate(readers) if count]
        self.vertices = vertices
        self.result = result
        self.shared = [i for i in self.order if readers[i] > 1 and vertices[i].inputs]
        self.trials = 0

    def digests(self, colours: Mapping[int, bytes], last: int | None = None) -> list[bytes]:
        """Each vertex up to the last written out, shared ones as their colours where read."""
        written = [b""] * (self.result + 1)
        read = written.copy()
        opening, known, vertices = _opening, _digests, self.vertices
        for i in self.order if last is None else self.order[: self.order.index(last) + 1]:
            label, inputs, commutes = vertices[i]
            if len(inputs) == 1:
                text = opening(label) + read[inputs[0]] + b")"
            else:
                parts = [read[j] for j in inputs]
                if commutes:
                    parts.sort()
                text = b"".join((opening(label), *parts, b")"))
            digest = known.get(text) or _digest(text)
            written[i] = digest
            read[i] = colours.get(i, digest)
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
        """Tell shared vertices apart by what they are made of, those alike by who reads them."""
        if len(self.shared) == 1:
            return {self.shared[0]: _colour(0)}
        count = len(set(colours.values()))
        while True:
            written = self.digests(colours, self.shared[-1])
            seen = {i: colours[i] + written[i] for i in self.shared}
            alike = Counter(seen.values())
            if len(alike) < len(self.shared):
                written = self.digests(colours)
                for i, begun in list(seen.items()):
                    if alike[begun] > 1:
                        seen[i] = begun + self.context(i, colours, written)
            ranks = {s: _colour(n) for n, s in enumerate(sorted(set(seen.values())))}
            colours = {i: ranks[seen[i]] for i in self.shared}
            if len(ranks) == count or len(ranks) == len(self.shared):
                return colours
            count = len(ranks)

    def context(self, i: int, colours: Mapping[int, bytes], written: Sequence[bytes]) -> bytes:
        """Who reads a shared vertex: those whose writing shows a mark in its place."""
        marked = self.digests({**colours, i: b"*"})
        roots = [*self.shared, self.result]
        return b"".join(
            sorted(colours.get(r, b"result") + marked[r] for r in roots if marked[r] != written[r])
        )

    def interchangeable(self, i: int, j: int) -> bool:
        """Whether swapping two shared vertices leaves the graph as it is."""
        names = {k: b"#" + str(k).encode() for k in self.shared}
        plain = self.digests(names)
        swapped = self.digests({**names, i: names[j], j: names[i]})
        if plain[i] != swapped[j] or plain[j] != swapped[i]:
            return False
        others = [k for k in self.shared if k not in (i, j)]
        return all(plain[k] == swapped[k] for k in [*others, self.result])


_digests: dict[bytes, bytes] = {}


def _digest(text: bytes) -> bytes:
    if len(_digests) >= MAX_WRITTEN:
        _digests.clear()
    found = _digests[text] = hashlib.blake2b(text, digest_size=16).digest()
    return found


@cache
def _opening(label: str) -> bytes:
    return label.encode() + b"("


@cache
def _colour(n: int) -> bytes:
    return b"%08d" % n
