"""Exact counts of a space: whole numbers, never estimates."""

from __future__ import annotations

import math
from collections.abc import Callable

from epnas_dsl.errors import CountError
from epnas_dsl.space.measures import satisfies
from epnas_dsl.space.search_space import SearchSpace

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
) -> int:
    """Architectures that differ under the declared equivalence and meet the requirements.

    Every architecture is looked at once.

    Args:
        progress: called with the number looked at and the number to look at.
        limit: the largest number that is looked at.

    Raises:
        CountError: there are more than that.
    """
    keys: set[str] = set()
    _walk(space, level, progress, limit, lambda a: keys.add(a.key))
    return len(keys)


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
    visit: Callable[..., None],
) -> int:  # fmt: skip
    from epnas_dsl.space.expansion import enumerate_level  # which loads numpy

    total = count_unordered(space, level)
    if total > limit:
        raise CountError(
            f"{total:,} architectures would have to be looked at; the limit is {limit:,}",
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
