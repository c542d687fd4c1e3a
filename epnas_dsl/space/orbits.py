"""Count the graphs of a structure: labelled ones that no permutation of a run tells apart.

By Burnside's lemma there are as many as 1/|G| times the sum, over the permutations of the
statements within their runs, of the labelled graphs that a permutation leaves as they are. In such
a graph the first statement of each cycle decides for the others, and it has an option that the
permutation, taken as often as the cycle is long, leaves as it is. Cycles then read each other, and
they too without a circle: a cycle that reads itself goes on for ever.

Graphs without a circle are counted from what nothing reads, as Robinson does for acyclic digraphs
("Counting labeled acyclic digraphs", 1973): with a(S) for the graphs on the cycles S and f_C(S) for
the options of C that read none but those,

    a(T) = sum over non-empty R in T of (-1)^(|R|+1) a(T - R) prod over C in R of f_C(T - R)

where the term of R counts the graphs in which nothing in R is read. The result reads some of them.
Those in which everything is read by something, so that no code is dead, are again a sum over R:

    sum over R in T of (-1)^|R| a(T - R) prod over C in R of f_C(T - R) r(T - R)

with r(S) for the results that read none but S. Where the result names what is unused, it depends on
the set U of all that nothing else reads, and sum over U in R of (-1)^|R - U| r_U stands in place
of (-1)^|R| r.

Numbers of edges and nodes ride along as exponents: a count is a polynomial in two variables, worked
out at powers of two so large that its coefficients stand side by side in one whole number.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import or_

from epnas_dsl.errors import CountError
from epnas_dsl.space.structures import Expression, Options, Structure, atoms, leaves, relabel

MAX_STEPS = 3_000_000

Sets = dict[int, int]  # for sets of cycles, as bits: a polynomial


@dataclass(frozen=True)
class Weights:
    """How many bits of a polynomial an edge and a node take; 0 where they do not matter."""

    edge: int = 0
    node: int = 0

    def of(self, e: Expression, times: int = 1) -> int:
        """The monomial of an option, chosen so many times."""
        return 1 << times * (self.edge * len(atoms(e)) + self.node)


def count_graphs(structure: Structure, weights: Weights) -> int:
    """The polynomial of the graphs of a structure, no dead code in them.

    Raises:
        CountError: it takes too long.
    """
    total = 0
    alive = [  # how many statements of a run may be; the sum over sets looks after one alone
        range(len(run) + 1) if len(run) > 1 and structure.loose.isdisjoint(run) else (len(run),)
        for run in structure.runs
    ]
    for lengths in product(*alive):
        order = math.prod(math.factorial(n) for n in lengths)
        fixed = 0
        for parts in product(*map(partitions, lengths)):
            permutations = order // math.prod(map(_symmetry, parts))
            fixed += permutations * _Fixed(structure, parts, weights).count()
        total += fixed // order
    return total << weights.node * structure.inputs


def partitions(n: int, most: int | None = None) -> Iterator[tuple[int, ...]]:
    """The ways to write n as a sum, largest part first: the cycle types of its permutations."""
    if n == 0:
        yield ()
    for part in range(min(n, most or n), 0, -1):
        yield from ((part, *rest) for rest in partitions(n - part, part))


def _symmetry(parts: tuple[int, ...]) -> int:
    """n! over the number of permutations of that cycle type."""
    return math.prod(n ** parts.count(n) * math.factorial(parts.count(n)) for n in {*parts})


class _Fixed:
    """The labelled graphs that a permutation of given cycle lengths, for each run, leaves alone."""

    def __init__(
        self, structure: Structure, parts: Sequence[tuple[int, ...]], weights: Weights
    ) -> None:
        self.structure = structure
        self.weights = weights
        self.next: dict[int, int] = {}  # the permutation
        self.cycle: dict[int, int] = {}  # the cycle of each statement, as a bit
        self.needed = 0  # the cycles that have to be alive
        firsts: list[tuple[int, int, int]] = []
        for run, lengths in zip(structure.runs, parts, strict=True):
            start = run.start
            last = run.start + sum(lengths) - 1
            for length in lengths:
                bit = 1 << len(firsts)
                firsts.append((start, length, last))
                for i in range(start, start + length):
                    self.cycle[i] = bit
                    self.next[i] = i + 1 if i + 1 < start + length else start
                if len(run) > 1 or start in structure.loose:
                    self.needed |= bit
                start += length
        self.tables = [self.table(*first) for first in firsts]
        self.results: dict[frozenset[int], Sets] = {}

    def table(self, first: int, length: int, last: int) -> Sets:
        """The options of a cycle, by the cycles that they read.

        The last statement of a run has the most options; the first of the cycle takes its place.
        """
        swap = {first: last, last: first}
        power = {}
        for i in self.next:
            power[i] = i
            for _ in range(length):
                power[i] = self.next[power[i]]
        seen = {swap.get(i, i): swap.get(power[i], power[i]) for i in self.next}
        cycle = {i: self.cycle.get(swap.get(i, i), 0) for i in (*self.cycle, *swap)}
        return self.by_cycles(self.structure.options[last], seen, cycle, length)

    def by_cycles(
        self, options: Options, permutation: dict[int, int], cycle: dict[int, int], times: int = 1
    ) -> Sets:
        """The options that a permutation leaves as they are, by the cycles that they read."""
        moved = {i: j for i, j in permutation.items() if i != j}
        found: Sets = defaultdict(int)
        for e in options:
            if moved.keys().isdisjoint(leaves(e)) or relabel(e, moved) == e:
                read = [cycle.get(i, 0) for i in leaves(e)]
                if 0 not in read:
                    found[reduce(or_, read, 0)] += self.weights.of(e, times)
        return found

    def count(self) -> int:
        """The polynomial of the graphs."""
        acyclic: Sets = defaultdict(int, {0: 1})
        waiting = [0]
        total = steps = 0
        while waiting:
            below = heapq.heappop(waiting)
            here = acyclic[below]
            ready = [(0, here)]
            for i, table in enumerate(self.tables):
                options = 0 if below >> i & 1 else _within(table, below)
                if options:
                    ready += [(unread | 1 << i, n * options) for unread, n in ready]
                if (steps := steps + len(ready)) > MAX_STEPS:
                    raise CountError("too many sets of statements")
            for unread, n in ready:
                both = below | unread
                if not self.needed & ~both:
                    total += n * self.result(below, unread)
                if unread:
                    if both not in acyclic:
                        heapq.heappush(waiting, both)
                    acyclic[both] += n if unread.bit_count() % 2 else -n
        return total

    def result(self, below: int, unread: int) -> int:
        """The results, with their sign, where `unread` is read by nothing else."""
        if not self.structure.loose:
            sign = -1 if unread.bit_count() % 2 else 1
            return sign * _within(self.returned(frozenset()), below)
        total = 0
        loose = reduce(or_, (self.cycle[i] for i in self.structure.loose))
        part = unread
        while True:  # over the subsets of `unread`
            named = frozenset(i for i, bit in self.cycle.items() if bit & part & loose)
            read = self.returned(named)
            found = sum(n for s, n in read.items() if not part & ~s and not s & ~(below | unread))
            total += -found if (unread ^ part).bit_count() % 2 else found
            if not part:
                return total
            part = (part - 1) & unread

    def returned(self, unread: frozenset[int]) -> Sets:
        """What the body may return, by the cycles that it reads."""
        if unread not in self.results:
            results = self.structure.results[unread]
            self.results[unread] = self.by_cycles(results, self.next, self.cycle)
        return self.results[unread]


def _within(table: Sets, among: int) -> int:
    return sum(n for s, n in table.items() if not s & ~among)
