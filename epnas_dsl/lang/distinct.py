"""Alternatives and subsets of which a text could not tell what was chosen are refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from epnas_dsl.errors import Span
from epnas_dsl.lang.bindings import fail
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.terms import Choice, Each, Join, Subset, Term, pick

MAX_LISTED = 2_000  # alternatives of one decision that are compared by their text


def check_subsets(parts: Iterable[Term], span: Span) -> None:
    """Refuse two subsets of one join that share an element: it could have come from either."""
    seen: set[str] = set()
    for part in parts:
        if not isinstance(part, Subset | Each):
            continue
        subset = part.subset if isinstance(part, Each) else part
        if subset.least < subset.most:
            own = set().union(*_elements_texts(part))
            if own & seen:
                fail("E211", "two subsets that are joined share an element", span,
                     "a text could not tell from which it was chosen")  # fmt: skip
            seen |= own


def check_texts(choice: Choice, span: Span) -> None:
    """Refuse a decision of which two alternatives are written the same.

    Of alternatives that are too many to be listed only sums of one element are looked at.
    """
    seen: set[str] = set()
    few = choice.size <= MAX_LISTED
    for term in choice.alternatives:
        listed = few or term.size <= MAX_LISTED // len(choice.alternatives)
        for text in _texts(term, {}) if listed else _alone(term):
            if text in seen:
                fail("E211", f"two alternatives are both written `{text}`", span)
            seen.add(text)


def _alone(term: Term) -> Iterator[str]:
    """What a sum of one subset may be written as if it has one element: as that element."""
    match term:
        case Join("add", (Subset(least=1) | Each(subset=Subset(least=1)) as part,)):
            for texts in _elements_texts(part):
                yield from texts


def check_apart(part: Subset | Each, what: str, span: Span) -> None:
    """Refuse a subset of which two elements may be written the same."""
    seen: set[str] = set()
    for texts in _elements_texts(part):
        for text in sorted(texts & seen):
            fail("E211", f"`{text}` is {what}", span, "a text could not tell which was chosen")
        seen |= texts


def _elements_texts(part: Subset | Each) -> Iterator[set[str]]:
    """What each element of a subset may be written as: all of it, up to some number."""
    subset = part.subset if isinstance(part, Each) else part
    left = MAX_LISTED
    for element in subset.elements:
        texts = _texts(element, {})
        if isinstance(part, Each):
            texts = _texts(part.body, {part.variable: next(texts)})
        found = set(islice(texts, max(1, left)))
        left -= len(found)
        yield found


def _texts(term: Term, names: Mapping[str, str]) -> Iterator[str]:
    """All that a term may be written as."""
    return (print_term(term, pick(term, i), names) for i in range(term.size))
