"""Enumerate and sample: the options of a level as arrays of numbers, architectures at random."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, pairwise, product
from typing import Literal

import numpy as np
import numpy.typing as npt

from epnas_dsl.errors import CountError, LimitError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.measures import COSTS, satisfies
from epnas_dsl.space.requirements import layers
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.terms import (
    Choice,
    Join,
    Term,
    Tree,
    disassemble,
    multiset,
    normal,
    pick,
    rank,
)

Numbers = npt.NDArray[np.int64]
MAX_OPTIONS = 50_000_000
MAX_REJECTED = 10_000
MAX_TABLE = 100_000
FEWEST = 100
MAX_EFFORT = 900_000  # values looked at in vain, of 4 microseconds; a layer's cost takes four


def options(space: SearchSpace, level: int, unordered: bool = True) -> Numbers:
    """All options of a level, one row each, as numbers for its decisions: [options, decisions].

    The last decision changes fastest (mixed radix).

    Args:
        unordered: leave out rows that only swap operands of `+`.

    Raises:
        LimitError: there are more than 50 million.
    """
    sizes = [d.size for d in space.levels[level - 1]]
    total = math.prod(sizes)
    if total > MAX_OPTIONS:
        raise LimitError(
            f"level {level} of {space.name} has {total:,} options; {MAX_OPTIONS:,} can be listed",
            code="E915",
        )
    rows = np.empty((total, len(sizes)), np.int64)
    numbers = np.arange(total, dtype=np.int64)
    for i in range(len(sizes) - 1, -1, -1):
        numbers, rows[:, i] = np.divmod(numbers, sizes[i])
    if unordered and space.level_size(level, unordered=True) != total:
        rows = rows[in_order(space, level, rows)]
    return rows


def in_order(space: SearchSpace, level: int, rows: Numbers) -> npt.NDArray[np.bool_]:
    """Which rows of a level have their commuting operands in order: [rows]."""
    keep = np.ones(len(rows), bool)
    position = 0
    for _, statement in space.statements:
        if max(1, statement.level) == level:
            _, position = _ranks(statement.term, rows, position, keep)
    return keep


def _ranks(
    term: Term, rows: Numbers, position: int, keep: npt.NDArray[np.bool_]
) -> tuple[Numbers, int]:
    """The number of each row's expression; clears `keep` where operands are out of order."""
    if term.is_decision:
        numbers = rows[:, position]
        flags = _normal_numbers(term)
        if flags is not None:
            keep &= flags[numbers]
        return numbers, position + 1
    total = np.zeros(len(rows), np.int64)
    parts: list[Numbers] = []
    for child in term.children:
        if child.decisions:
            ranks, position = _ranks(child, rows, position, keep)
        else:
            ranks = np.zeros(len(rows), np.int64)
        parts.append(ranks)
        total = total * child.size + ranks
    if isinstance(term, Join):
        for group in term.groups():
            for left, right in pairwise(group):
                keep &= parts[left] <= parts[right]
    return total, position


def _normal_numbers(term: Term) -> npt.NDArray[np.bool_] | None:
    """Which numbers of one decision have their operands in order; None: all."""
    if term.unordered == term.size:
        return None
    if term.size > 1_000_000:
        raise LimitError(f"a decision of {term.size:,} options cannot be listed", code="E915")
    trees = (pick(term, i) for i in range(term.size))
    return np.array([normal(term, t) == t for t in trees], bool)


def first_level(space: SearchSpace) -> list[Architecture]:
    """Every architecture of the simplest level that meets the requirements."""
    found = (Architecture(space, row) for row in options(space, 1).tolist())
    return [a for a in found if satisfies(a)]


def enumerate_level(space: SearchSpace, level: int) -> Iterator[Architecture]:
    """Every architecture of a level, in order, one at a time, requirements or not."""
    rows = [options(space, i).tolist() for i in range(1, level + 1)]
    for chosen in product(*rows):
        yield Architecture(space, [*chain.from_iterable(chosen)])


def sample(
    space: SearchSpace,
    n: int,
    generator: np.random.Generator,
    level: int | None = None,
    over: Literal["architectures", "rules"] = "architectures",
) -> list[Architecture]:
    """Random architectures of a level (by default of full length) that meet the requirements.

    Args:
        over: uniform over the architectures, each as likely as any other, or over the rules: at
            every choice each alternative as likely as any other.

    Raises:
        CountError: nearly nothing meets the requirements.
    """
    level = level or space.depth
    found: list[Architecture] = []
    rejected, most = 0, MAX_REJECTED
    while len(found) < n:
        drawn = _drawn(space, n - len(found), generator, level, over)
        for architecture in drawn if space.requirements else ():
            if satisfies(architecture):
                found.append(architecture)
                rejected = 0
                continue
            rejected += 1
            if not architecture.choices:
                raise CountError(
                    f"the one architecture of {space.name} misses its requirements",
                    code="E916", hint="give it other parameters, or loosen a `require`",
                )  # fmt: skip
            if rejected == FEWEST:
                most = _patience(architecture)
            if rejected >= most:
                raise CountError(
                    f"none of {most:,} random architectures of {space.name} meets its "
                    "requirements", code="E916", hint="loosen a `require`",
                )  # fmt: skip
        if not space.requirements:
            found = drawn
    return found


def _patience(architecture: Architecture) -> int:
    """How many in a row may miss the requirements: fewer where each takes as long as this one."""
    space = architecture.space
    effort = space.places
    if any(r.measures & COSTS for r in space.requirements):
        effort += 4 * max(layers(space), layers(space, architecture.choices))
    return max(FEWEST, min(MAX_REJECTED, MAX_EFFORT // max(1, effort)))


def sample_choices(
    space: SearchSpace, n: int, generator: np.random.Generator, level: int | None = None
) -> Numbers:
    """Random rows of choices, [n, decisions], uniform over the architectures of a level.

    Requirements are not looked at. Numbers beyond 64 bits make an array of Python's.
    """
    level = level or space.depth
    terms = [s.term for _, s in space.statements if max(1, s.level) <= level]
    limits = [term.unordered for term in terms]
    if max(limits, default=1) <= 1 << 62:
        ordinals = generator.integers(np.tile(np.array(limits, np.int64), (n, 1)))
    else:
        rows = [[below(limit, generator) for limit in limits] for _ in range(n)]
        ordinals = np.array(rows, object)
    columns = [c for term, column in zip(terms, ordinals.T, strict=True)
               for c in _columns(term, column)]  # fmt: skip
    return np.stack(columns, axis=1) if columns else np.empty((n, 0), np.int64)


def _drawn(
    space: SearchSpace, n: int, generator: np.random.Generator, level: int, over: str
) -> list[Architecture]:
    terms = [s.term for _, s in space.statements if max(1, s.level) <= level]
    if over == "rules":
        return [
            Architecture(space, [x for t in terms for x in disassemble(t, _by_rules(t, generator))])
            for _ in range(n)
        ]
    rows = sample_choices(space, n, generator, level).tolist()
    if all(map(_is_normal, terms)):
        return [Architecture.normal(space, tuple(row)) for row in rows]
    return [Architecture(space, row) for row in rows]


def below(limit: int, generator: np.random.Generator) -> int:
    """A random whole number from 0 to limit - 1, however large the limit."""
    if limit <= 1 << 62:
        return int(generator.integers(limit))
    bits = limit.bit_length()
    while True:
        number = int.from_bytes(generator.bytes(bits // 8 + 1)) >> (8 - bits % 8)
        if number < limit:
            return number


def _by_rules(term: Term, generator: np.random.Generator) -> Tree:
    if isinstance(term, Choice):
        i = int(generator.integers(len(term.alternatives)))
        return (i, _by_rules(term.alternatives[i], generator))
    if term.is_decision:
        return pick(term, below(term.size, generator))
    if not term.decisions:
        return ()
    return tuple(_by_rules(c, generator) for c in term.children)


# --- many at once ------------------------------------------------------------------------------


def _columns(term: Term, numbers: Numbers) -> list[Numbers]:
    """The numbers of a term's decisions, for expressions numbered as in `pick`."""
    if term.size == 1:
        return [np.zeros_like(numbers)] * term.decisions
    if term.is_decision:
        if _is_straight(term):
            return [numbers]
        kind = numbers.dtype if term.size <= 1 << 62 else object
        return [np.array([_number(term, i) for i in numbers.tolist()], kind)]
    children = term.children
    columns: dict[int, list[Numbers]] = {}
    if isinstance(term, Join):
        for group in term.all_groups():
            size = children[group[0]].unordered
            count = math.comb(size + len(group) - 1, len(group))
            numbers, rest = numbers // count, numbers % count
            for i, ordinals in zip(group, _multisets(rest, size, len(group)), strict=True):
                columns[i] = _columns(children[i], ordinals)
    else:
        for i in range(len(children) - 1, -1, -1):
            count = children[i].unordered
            columns[i] = _columns(children[i], numbers % count)
            numbers = numbers // count
    return [c for i in range(len(children)) for c in columns[i]]


def _multisets(numbers: Numbers, size: int, length: int) -> list[Numbers]:
    """The elements of numbered multisets, see `multiset`."""
    if length == 1:
        return [numbers]
    if size > MAX_TABLE:
        found = [multiset(i, size, length) for i in numbers.tolist()]
        return list(np.array(found, numbers.dtype).T)
    elements = []
    for i in range(length, 0, -1):
        table = _binomials(i, size + length - 1)
        low = np.searchsorted(table, numbers, side="right") - 1
        numbers = numbers - table[low]
        elements.append(low)
    return elements[::-1]


@lru_cache(maxsize=256)
def _binomials(i: int, end: int) -> Numbers:
    """How many sets of i there are out of i - 1, i, .. , end - 1 elements."""
    found = [math.comb(m, i) for m in range(i - 1, end)]
    return np.array(found, np.int64 if found[-1] < 1 << 62 else object)


@lru_cache(maxsize=1 << 16)
def _number(term: Term, number: int) -> int:
    return rank(term, pick(term, number, unordered=True))


@lru_cache(maxsize=4096)
def _is_straight(term: Term) -> bool:
    """Whether its expressions have the same numbers with and without regard to order."""
    joins = isinstance(term, Join) and sum(p.size > 1 for p in term.parts) > 1
    return not joins and all(_is_straight(c) for c in term.children if c.decisions)


@lru_cache(maxsize=4096)
def _is_normal(term: Term) -> bool:
    """Whether numbers without regard to order stand for operands that are in order."""
    if isinstance(term, Join) and not all(_is_straight(term.parts[g[0]]) for g in term.groups()):
        return False
    return all(_is_normal(c) for c in term.children if c.decisions)
