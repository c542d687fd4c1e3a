"""Alternatives and subsets of which a text could not tell what was chosen are refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, product

from epnas_dsl.errors import Span
from epnas_dsl.lang.bindings import fail
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.terms import Choice, Each, Join, Subset, Term, pick

MAX_LISTED = 2_000  # alternatives of one decision that are compared by their text
MAX_MET = 200_000  # pairs of terms that are compared in one file
Met = dict[tuple[bytes, bytes], bool]  # whether they may be written the same
HEAD = ("name", "operator", "cell", "cells", "array", "variable", "least", "most")


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


def check_texts(choice: Choice, span: Span, met: Met) -> None:
    """Refuse a decision of which two alternatives may be written the same.

    Alternatives that are too many to be listed are compared part by part.
    """
    seen: set[str] = set()
    large: list[Term] = []
    most = MAX_LISTED // (1 if choice.size <= MAX_LISTED else len(choice.alternatives))
    for term in choice.alternatives:
        listed = term.size <= most
        for text in _texts(term, {}) if listed else _alone(term):
            if text in seen:
                fail("E211", f"two alternatives are both written `{text}`", span)
            seen.add(text)
        large += [] if listed else [term]
    pairs = product(large, choice.alternatives)
    if any(one is not two and _meet(one, two, met) for one, two in pairs):
        fail("E211", "two alternatives may be written the same", span)


def _meet(one: Term, two: Term, met: Met) -> bool:
    """Whether two terms may be written the same, as all of their parts may be."""
    key = one.digest, two.digest
    if key not in met and len(met) < MAX_MET:
        met[key] = False
        met[key] = _compare(one, two, met)
    return met.get(key, False)


def _compare(one: Term, two: Term, met: Met) -> bool:
    if one.digest == two.digest:
        return True
    if isinstance(one, Choice):
        return any(_meet(term, two, met) for term in one.alternatives)
    if isinstance(two, Choice):
        return _meet(two, one, met)
    heads = [[type(t), *(getattr(t, n, None) for n in HEAD)] for t in (one, two)]
    names = [[n for n, _ in getattr(t, "arguments", ())] for t in (one, two)]
    same = heads[0] == heads[1] and names[0] == names[1] and not one.shares
    if not same or not one.children or len(one.children) != len(two.children):
        return False
    return all(_meet(a, b, met) for a, b in zip(one.children, two.children, strict=True))


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
