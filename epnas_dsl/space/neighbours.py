"""Turn an architecture into those that are one decision away, one at a time or as an array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from epnas_dsl.errors import LimitError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import MAX_OPTIONS, below
from epnas_dsl.space.measures import satisfies

Numbers = npt.NDArray[np.int64]


def count_changes(architecture: Architecture) -> int:
    """In how many ways one decision can be made otherwise."""
    decided = architecture.space.decisions[: len(architecture.choices)]
    return sum(d.size - 1 for d in decided)


def neighbours(
    architecture: Architecture, generator: np.random.Generator | None = None, texts: bool = False
) -> Iterator[Architecture]:
    """The architectures one decision away, of the same level, that meet the requirements.

    No two are equal under the space's equivalence, and none is to the architecture itself.

    Args:
        generator: in a random order, in which every change left is as likely as any other; by
            default decision by decision, in the order of the options.
        texts: leave out only what has the same text.
    """
    total = count_changes(architecture)
    order = _shuffled(total, generator) if generator else iter(range(total))
    seen = {_identity(architecture, texts)}
    for number in order:
        found = _changed(architecture, number)
        identity = _identity(found, texts)
        if identity not in seen:
            seen.add(identity)
            if satisfies(found):
                yield found


def neighbour_choices(architecture: Architecture) -> Numbers:
    """The choices of all architectures one decision away: [changes, decisions].

    Duplicates and what misses the requirements are there too.

    Raises:
        LimitError: there are more than 50 million (E915).
    """
    total = count_changes(architecture)
    if total > MAX_OPTIONS:
        raise LimitError(f"{total:,} neighbours; {MAX_OPTIONS:,} can be listed", code="E915")
    rows = np.tile(np.array(architecture.choices, np.int64), (total, 1))
    start = 0
    for i, decision in enumerate(architecture.space.decisions[: len(architecture.choices)]):
        others = np.arange(decision.size - 1, dtype=np.int64)
        others[architecture.choices[i] :] += 1
        rows[start : start + len(others), i] = others
        start += len(others)
    return rows


def _changed(architecture: Architecture, number: int) -> Architecture:
    """The architecture with the numbered change, in the order of `neighbour_choices`."""
    choices = list(architecture.choices)
    for i, decision in enumerate(architecture.space.decisions[: len(choices)]):
        if number < decision.size - 1:
            choices[i] = number + (number >= choices[i])
            break
        number -= decision.size - 1
    return Architecture(architecture.space, choices)


def _identity(architecture: Architecture, texts: bool) -> object:
    return architecture.choices if texts else architecture.key


def _shuffled(total: int, generator: np.random.Generator) -> Iterator[int]:
    """The numbers below `total` in a random order, as many as are asked for.

    A swap is remembered only where it was made, so that nothing is written out.
    """
    moved: dict[int, int] = {}
    for end in range(total, 0, -1):
        i = below(end, generator)
        yield moved.get(i, i)
        moved[i] = moved.pop(end - 1, end - 1)
