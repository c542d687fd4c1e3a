"""Exact counts of a space: whole numbers, never estimates."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

from epnas_dsl.errors import CountError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.arithmetic import evaluate
from epnas_dsl.space.measures import satisfies
from epnas_dsl.space.search_space import SearchSpace

MAX_ENUMERATED = 2_000_000
Progress = Callable[[int, int], None]


def count_raw(space: SearchSpace, level: int | None = None) -> int:
    """All assignments of the decisions up to a level (by default of full length).

    Here and in `count_unordered` requirements do not matter; `count_unique` looks at them.
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
    tell: Callable[[str], None] = lambda text: None,
) -> int:
    """Architectures that differ under the declared equivalence and meet the requirements.

    Where a counting argument holds (`count_by_argument`) none of them is looked at, otherwise every
    one, once.

    Args:
        progress: called with the number looked at and the number to look at.
        tell: called with how they are counted.

    Raises:
        CountError: there are more than that.
    """
    try:
        count, arguments = count_by_argument(space, level)
    except CountError as error:
        reason = error.diagnostics[0].message
    else:
        tell(f"counted without enumeration: {'; '.join(arguments) or 'nothing is chosen'}")
        return count
    total = count_unordered(space, level)
    if total > MAX_ENUMERATED:
        raise CountError(
            f"{total:,} architectures would have to be looked at, {MAX_ENUMERATED:,} at most, "
            f"since no counting argument holds: {reason}",
            hint="count a lower level with --level, or fewer levels through the parameters"
            if space.depth > 1
            else "smaller parameters leave fewer, and without --unique none is looked at",
        )
    tell(f"counted by enumeration: {reason}")
    from epnas_dsl.space.expansion import enumerate_level  # which loads numpy

    keys: set[str] = set()
    for i, architecture in enumerate(enumerate_level(space, level or space.depth), 1):
        if satisfies(architecture):
            keys.add(architecture.key)
        if progress and (i % 256 == 0 or i == total):
            progress(i, total)
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

    # A level that decides nothing is complete together with the one below it.
    level = Architecture(space, [0] * space.widths[level or space.depth]).level
    measures = frozenset[str]().union(*(r.measures for r in space.requirements))
    if further := measures - {"edges", "nodes", "levels"}:
        raise CountError(f"a requirement speaks of {', '.join(sorted(further))}")
    if space.requirements and space.treated:
        raise CountError("a requirement looks at what `treat` leaves out")
    found = {body: structures.read_structure(space, body, level) for body in space.decided}
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
        runs = [str(len(run)) for run in structure.runs if len(run) > 1]
        arguments.append(f"{body.name} has {' and '.join(runs) or 'no'} interchangeable statements")
    if space.requirements:
        polynomial, total = total, 0
        for edges, nodes in product(range(places), repeat=2):
            count = (polynomial >> bits * (edges + places * nodes)) % (1 << bits)
            known = {"edges": edges, "nodes": nodes, "levels": level}
            if count and all(evaluate(r.condition, (), known) for r in space.requirements):
                total += count
    return total, tuple(arguments)
