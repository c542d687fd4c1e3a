"""Alternatives and subsets of which a text could not tell what was chosen are refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, product

from epnas_dsl.errors import Span
from epnas_dsl.lang.bindings import fail
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.terms import Choice, Each, Join, Subset, Term, pick

MAX_LISTED = 2_000  # alternatives of one decision that are compared by their text
MAX_MET = 200_000  # pairs of terms that are compared in one file
Met = dict[tuple[bytes, bytes], bool]  # whether they may be written the same
HEAD = ("name", "operator", "cell", "cells", "array", "variable", "least", "most")


def check_subsets(parts: Sequence[Term], span: Span) -> None:
    """Refuse two subsets of one join where an element of one could have come from the other.

    So it could where they share it, or where what stands between takes one of the first instead
    and leaves one to the second.
    """
    several = ((i, p.subset if isinstance(p, Each) else p) for i, p in enumerate(parts))
    free = [i for i, p in several if isinstance(p, Subset) and p.least < p.most]
    chosen, between, taken = set[str](), set[str](), False
    for i in range(free[0], free[-1] + 1) if len(free) > 1 else ():
        part = parts[i]
        if i not in free:
            texts = set(islice(_part_texts(part), MAX_LISTED))
            between |= texts
            taken |= bool(texts & chosen)
            continue
        texts = set(_part_texts(part))
        if texts & chosen or (taken and texts & between):
            fail("E211", "two subsets that are joined share an element", span,
                 "a text could not tell from which it was chosen")  # fmt: skip
        chosen |= texts


def _part_texts(part: Term) -> Iterator[str]:
    """What one operand of a part may be written as."""
    if isinstance(part, Subset | Each):
        return (text for texts in _elements_texts(part) for text in texts)
    return _texts(part, {})


def check_texts(choice: Choice, spans: Sequence[Span], met: Met) -> None:
    """Refuse a decision of which two alternatives may be written the same.

    Alternatives that are too many to be listed are compared part by part.
    """
    seen: set[str] = set()
    most = MAX_LISTED // (1 if choice.size <= MAX_LISTED else len(choice.alternatives))
    pairs = list(zip(choice.alternatives, spans, strict=True))
    for term, span in pairs:
        for text in _texts(term, {}) if term.size <= most else _alone(term):
            if text in seen:
                fail("E211", f"two alternatives are both written `{text}`", span)
            seen.add(text)
    large = [pair for pair in pairs if pair[0].size > most]
    for (one, place), (two, span) in product(large, pairs):
        if one is not two and _meet(one, two, met):
            later = max(place, span, key=lambda s: s.start)
            fail("E211", "two alternatives may be written the same", later)


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
            yield from chain.from_iterable(_elements_texts(part))


def check_apart(part: Subset | Each, what: str, spans: Iterable[Span]) -> None:
    """Refuse a subset of which two elements may be written the same, or one in two ways."""
    seen: set[str] = set()
    for texts, span in zip(_elements_texts(part), spans, strict=False):
        for text in texts:
            if text in seen:
                fail("E211", f"`{text}` is {what}", span, "a text could not tell which was chosen")
            seen.add(text)


def _elements_texts(part: Subset | Each) -> Iterator[list[str]]:
    """What each element of a subset may be written as: all of it, up to some number."""
    subset = part.subset if isinstance(part, Each) else part
    left = MAX_LISTED
    for element in subset.elements:
        texts = _texts(element, {})
        if isinstance(part, Each):
            texts = _texts(part.body, {part.variable: next(texts)})
        found = list(islice(texts, max(1, left)))
        left -= len(found)
        yield found


def _texts(term: Term, names: Mapping[str, str]) -> Iterator[str]:
    """All that a term may be written as."""
    return (print_term(term, pick(term, i), names) for i in range(term.size))
