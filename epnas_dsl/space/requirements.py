"""Find the requirements of a space that exclude every architecture, or none."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence

from epnas_dsl.errors import Diagnostic, EpnasError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.arithmetic import evaluate
from epnas_dsl.space.graph import network_layers
from epnas_dsl.space.measures import IMAGE, measures
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.terms import Number

WHOLE = 256  # a space of so many architectures is looked at whole
DRAWN = 32
FEWEST = 16
MAX_LAYERS = 3_000  # that are worked out in all, beyond the fewest architectures
MAX_WHOLE = 30_000  # the same, of a space that is looked at whole
CHANGED = 128  # architectures made by changing one decision, for each measure and direction

Measures = dict[str, Number]


def idle_requirements(space: SearchSpace) -> list[Diagnostic]:
    """A warning for each requirement that all architectures looked at meet, or none of them.

    Also where none meets all requirements, though some meet each.

    Where nothing is chosen, a requirement is about the parameters and may well be met.
    A small space is looked at whole. Of a large one some are drawn at random, of all levels, and
    from the last of these the decisions are changed one by one to what makes each measure smallest
    and largest. No more are looked at once every requirement was met and missed, or when the
    networks had more than 3,000 layers in all (30,000 of a small space).
    """
    if not space.requirements:
        return []
    sizes = [d.size for d in space.decisions]
    whole = math.prod(sizes) <= WHOLE
    rows = (itertools.product(*map(range, sizes[:width])) for width in set(space.widths[1:]))
    every = (_measured(space, choices) for choices in itertools.chain.from_iterable(rows))
    size = max(layers(space), space.places)
    most = max(FEWEST, MAX_LAYERS // size)
    if whole and math.prod(sizes) * size <= MAX_WHOLE:
        most = WHOLE * space.depth
    whole = whole and math.prod(sizes) <= most
    met: list[set[bool]] = [set() for _ in (*space.requirements, "all")]
    looked_at = 0
    for found in filter(None, itertools.islice(every if whole else _some(space, sizes), most)):
        looked_at += 1
        outcomes = [bool(evaluate(r.condition, (), found)) for r in space.requirements]
        for seen, outcome in zip(met, (*outcomes, all(outcomes)), strict=True):
            seen.add(outcome)
        if all(len(seen) == 2 for seen in met):
            break
    kinds = ("every architecture", "no architecture")
    if not whole:
        among = f" of {looked_at} architectures looked at"
        kinds = (f"each{among}", f"none{among}")
    *each, together = met
    warnings = [
        Diagnostic("W005", f"{which} meets this requirement", requirement.span)
        for which, outcome in zip(kinds, ({True}, {False}), strict=True)
        for seen, requirement in zip(each, space.requirements, strict=True)
        if seen == outcome and (space.decisions or outcome == {False})
    ]
    if together == {False} and {False} not in each:
        words = f"{kinds[1]} meets all requirements"
        warnings.append(Diagnostic("W005", words, space.requirements[-1].span))
    return warnings


def layers(space: SearchSpace, choices: Sequence[int] | None = None) -> int:
    """How many layers an architecture has, by default the first one of full length."""
    choices = [0] * len(space.decisions) if choices is None else choices
    try:
        return len(network_layers(Architecture(space, choices), IMAGE))
    except EpnasError:
        return 1


def _some(space: SearchSpace, sizes: Sequence[int]) -> Iterator[Measures]:
    generator = random.Random(0)
    choices: list[int] = []
    for _ in range(DRAWN):
        choices = [generator.randrange(n) for n in sizes]
        yield _measured(space, choices)
        yield _measured(space, choices[: generator.choice(space.widths[1:])])
    for name in sorted({n for r in space.requirements for n in r.measures}):
        for sign in (-1, 1):
            yield from _towards(space, choices, name, sign)


def _towards(
    space: SearchSpace, choices: Sequence[int], name: str, sign: int
) -> Iterator[Measures]:
    """Change each decision in turn to what makes a measure largest (sign 1) or smallest (-1)."""
    best, kept, left = -math.inf, list(choices), CHANGED
    for i, decision in enumerate(space.decisions):
        for option in range(min(decision.size, left)):
            left -= 1
            tried = [*kept[:i], option, *kept[i + 1 :]]
            found = _measured(space, tried)
            yield found
            if found and sign * found[name] > best:
                best, kept = sign * found[name], tried


def _measured(space: SearchSpace, choices: Sequence[int]) -> Measures:
    """The measures of an architecture; none where its shapes do not fit."""
    try:
        return measures(Architecture(space, choices))
    except EpnasError:
        return {}
