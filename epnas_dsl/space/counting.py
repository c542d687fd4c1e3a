"""Exact counts of a space: whole numbers, never estimates."""

from __future__ import annotations

import math
from collections.abc import Callable

from epnas_dsl.errors import CountError
from epnas_dsl.space.arithmetic import evaluate
from epnas_dsl.space.measures import satisfies
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.terms import Number

MAX_ENUMERATED = 2_000_000
Progress = Callable[[int, int], None]


def count_raw(space: SearchSpace, level: int | None = None) -> int:
    """All assignments of the decisions up to a level (by default of full length).

    Requirements are not looked at: see `count_meeting`.
    """
    return _product(space, level, unordered=False)


def count_unordered(space: SearchSpace, level: int | None = None) -> int:
    """Assignments that differ in more than the order of the operands of `+`."""
    return _product(space, level, unordered=True)


def _product(space: SearchSpace, level: int | None, unordered: bool) -> int:
    levels = range(1, (level or space.depth) + 1)
    return math.prod(space.level_size(i, unordered) for i in levels)


def count_unique(
    space: SearchSpace,
    level: int | None = None,
    progress: Progress | None = None,
    limit: int = MAX_ENUMERATED,
    tell: Callable[[str], None] = lambda text: None,
) -> int:
    """Architectures that differ under the declared equivalence and meet the requirements.

    Where a counting argument holds (`count_by_argument`) none of them is looked at, otherwise every
    one, once.

    Args:
        progress: called with the number looked at and the number to look at.
        limit: the largest number that is looked at.
        tell: called with how they are counted.

    Raises:
        CountError: there are more than that.
    """
    try:
        count, arguments = count_by_argument(space, level)
    except CountError as error:
        reason = error.diagnostics[0].message
    else:
        tell(f"counted without enumeration: {'; '.join(arguments)}")
        return count
    keys: set[str] = set()
    tell(f"counted by enumeration: {reason}")
    _walk(space, level, progress, limit, lambda a: keys.add(a.key), reason)
    return len(keys)


def count_by_argument(space: SearchSpace, level: int | None = None) -> tuple[int, tuple[str, ...]]:
    """What `count_unique` gives, none of the architectures looked at.

    Bodies are independent, so their counts multiply. In one body they are the different words of a
    chain (`chains`) or the orbits of interchangeable statements (`orbits`).

    Returns:
        The count, and the argument for each body.

    Raises:
        CountError: a body does not have the form for it, or a requirement speaks of more than
            edges, nodes and levels.
    """
    from epnas_dsl.space import chains, orbits, structures  # which load numpy

    level = level or space.depth
    measures = frozenset[str]().union(*(r.measures for r in space.requirements))
    if further := measures - {"edges", "nodes", "levels"}:
        raise CountError(f"a requirement speaks of {', '.join(sorted(further))}")
    if space.requirements and space.treated:
        raise CountError("a requirement looks at what `treat` leaves out")
    bodies = dict.fromkeys(body for body, _ in space.statements)
    found = {body: structures.read_structure(space, body, level) for body in bodies}
    # More bits than the largest coefficient has, and more places than the largest exponent.
    bits = count_unordered(space, level).bit_length() + 1
    places = 1 + sum(s.largest for s in found.values())
    edge, node = bits * ("edges" in measures), bits * places * ("nodes" in measures)
    total, arguments = 1, []
    for body, structure in found.items():
        words = None if space.requirements else chains.read_words(structure)
        if words:
            total *= chains.count_words(words)
            arguments.append(f"{body.name} is a chain")
            continue
        structures.check_structure(structure)
        total *= orbits.count_graphs(structure, orbits.Weights(edge, node))
        largest = max(map(len, structure.runs), default=0)
        arguments.append(f"{body.name} has {largest} interchangeable statements")
    if space.requirements:
        total = sum(
            (total >> bits * (edges + places * nodes)) % (1 << bits)
            for edges in range(places)
            for nodes in range(places)
            if _meets(space, {"edges": edges, "nodes": nodes, "levels": level})
        )
    return total, tuple(arguments)


def _meets(space: SearchSpace, measures: dict[str, Number]) -> bool:
    return all(evaluate(r.condition, (), measures) for r in space.requirements)


def count_meeting(
    space: SearchSpace,
    level: int | None = None,
    progress: Progress | None = None,
    limit: int = MAX_ENUMERATED,
) -> int:
    """Architectures that meet the requirements, operands of `+` commuting.

    Raises:
        CountError: there are more than `limit` to look at.
    """
    if not space.requirements:
        return count_unordered(space, level)
    return _walk(space, level, progress, limit, lambda a: None)


def _walk(
    space: SearchSpace, level: int | None, progress: Progress | None, limit: int,
    visit: Callable[..., None], reason: str = "",
) -> int:  # fmt: skip
    from epnas_dsl.space.expansion import enumerate_level  # which loads numpy

    total = count_unordered(space, level)
    if total > limit:
        raise CountError(
            f"{total:,} architectures would have to be looked at; the limit is {limit:,}"
            + (f". No counting argument: {reason}" if reason else ""),
            hint="count a lower level with --level, or fewer levels through the parameters",
        )
    met = 0
    for i, architecture in enumerate(enumerate_level(space, level or space.depth), 1):
        if satisfies(architecture):
            met += 1
            visit(architecture)
        if progress and (i % 256 == 0 or i == total):
            progress(i, total)
    return met
