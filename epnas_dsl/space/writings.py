"""Turn an architecture into other ways to write it: other choices, the same canonical key."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import options
from epnas_dsl.space.neighbours import neighbour_choices
from epnas_dsl.space.search_space import SearchSpace

WIDEST = 256  # options of a level up to which a lower architecture is written at the next one, too
TRIES = 2_000  # keys looked at for one architecture


def writings(architecture: Architecture, most: int) -> list[Architecture]:
    """An architecture and others that are equal to it under the space's equivalence.

    Those that steps lead to, each to an equal one: a decision made otherwise, two decisions of a
    level or two levels exchanged, a level added where that is small. There may be others that no
    such walk leads to; 2,000 steps are tried at most. The order is always the same.

    Args:
        most: so many are enough, the architecture itself among them.
    """
    found = {architecture.choices: architecture}
    waiting, tries = [architecture], TRIES
    while waiting and len(found) < most:
        for choices in _steps(waiting.pop(0)):
            other = Architecture(architecture.space, choices)
            if other.choices in found:
                continue
            tries -= 1
            if other.key == architecture.key:
                found[other.choices] = other
                waiting.append(other)
            if not tries or len(found) >= most:
                return list(found.values())
    return list(found.values())


def _steps(architecture: Architecture) -> Iterator[tuple[int, ...]]:
    space, level, choices = architecture.space, architecture.level, architecture.choices
    if level < space.depth and space.level_size(level + 1) <= WIDEST:
        for row in options(space, level + 1).tolist():
            yield (*choices, *row)
    for row in neighbour_choices(architecture).tolist():
        yield tuple(row)
    for first, second in _exchanges(space, level):
        changed = list(choices)
        changed[first], changed[second] = changed[second], changed[first]
        if all(n < d.size for n, d in zip(changed, space.decisions, strict=False)):
            yield tuple(changed)


def _exchanges(space: SearchSpace, level: int) -> Iterator[tuple[slice, slice]]:
    """Pairs of decisions of a level, then pairs of levels of equally many decisions."""
    spans = [slice(*space.widths[i : i + 2]) for i in range(level)]
    for span in spans:
        yield from combinations([slice(i, i + 1) for i in range(span.start, span.stop)], 2)
    for one, other in combinations(spans, 2):
        if one.stop - one.start == other.stop - other.start:
            yield one, other
