"""Alternatives and subsets of which a text could not tell what was chosen are refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, product

from epnas_dsl.errors import Span
from epnas_dsl.lang.bindings import fail
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.terms import (
    Apply,
    Choice,
    Each,
    Function,
    Join,
    Operation,
    Statement,
    Subset,
    Term,
    pick,
)

MAX_COMPARED = 300_000  # pairs of terms in one file
MAX_LISTED = 2_000  # texts of a term among which one to show is looked for
SUM = "sum"
Names = Mapping[str, str]  # what the variables of comprehensions stand for
Item = tuple[Term, Names]
Slot = tuple[list[Item], int, int]  # items of a join: at least and at most so many are written


class Distinct:
    """Compares terms part by part, so that the number of their choices does not matter."""

    def __init__(self) -> None:
        self.left = MAX_COMPARED

    def check_subsets(self, parts: Iterable[Term], span: Span) -> None:
        """Refuse two subsets of one join that share an element: it could have come from either."""
        slots = [_slot(p, {}) for p in parts if isinstance(p, Subset | Each)]
        if self.common([items for items, least, most in slots if least < most]) is not None:
            fail("E211", "two subsets that are joined share an element", span,
                 "a text could not tell from which it was chosen")  # fmt: skip

    def check_texts(self, choice: Choice, span: Span) -> None:
        """Refuse a decision of which two alternatives may be written the same."""
        text = self.common([[(term, {})] for term in choice.alternatives])
        if text is not None:
            told = f"are both written `{text}`" if text else "may be written the same"
            fail("E211", f"two alternatives {told}", span)

    def check_apart(self, part: Subset | Each, what: str, span: Span) -> None:
        """Refuse a subset of which two elements may be written the same."""
        text = self.common([[item] for item in _slot(part, {})[0]])
        if text is not None:
            told = f"`{text}` is" if text else "something may be"
            fail("E211", f"{told} {what}", span, "a text could not tell which was chosen")

    def common(self, groups: Iterable[list[Item]]) -> str | None:
        """What items of two groups may both be written as, or ""; None: there is no such text."""
        fixed: dict[str, int] = {}
        every: list[tuple[int, Item]] = []
        undecided: list[tuple[int, Item]] = []
        for number, group in enumerate(groups):
            for term, names in group:
                if not term.decisions:
                    text = print_term(term, (), names)
                    if fixed.setdefault(text, number) != number:
                        return text
                for other, item in every if term.decisions else undecided:
                    if number != other and self.alike((term, names), item):
                        return _example((term, names), item)
                every.append((number, (term, names)))
                undecided += every[-1:] if term.decisions else []
        return None

    def alike(self, one: Item, two: Item) -> bool:
        """Whether both may be written the same; no once too much was compared."""
        (a, x), (b, y) = one, two
        self.left -= 1
        if a.digest == b.digest and x == y:
            return True
        if not a.decisions and not b.decisions:
            return print_term(a, (), x) == print_term(b, (), y)
        for (item, head, slots), (other, its, theirs) in product(_forms(*one), _forms(*two)):
            if SUM in (head, its) and head != its:  # a sum of one is written as that one
                slots = slots if head == SUM else [([item], 1, 1)]
                theirs = theirs if its == SUM else [([other], 1, 1)]
            self.left -= 1
            if self.left < 0:
                return False
            if (head == its or SUM in (head, its)) and self.joined(slots, theirs):
                return True
        return False

    def joined(self, one: list[Slot], two: list[Slot]) -> bool:
        """Whether the same items may be chosen for both; states are (slot, items passed, chosen)."""
        states = [((0, 0, 0), (0, 0, 0))]
        seen = set(states)
        while states:
            state, its = states.pop()
            for (item, after), (other, then) in product(_steps(one, *state), _steps(two, *its)):
                if item is None and other is None:
                    return True
                new = (after, then) not in seen
                if new and item and other and self.alike(item, other):
                    seen.add((after, then))
                    states.append((after, then))
        return False


def _steps(
    slots: list[Slot], slot: int, passed: int, chosen: int
) -> Iterator[tuple[Item | None, tuple[int, int, int]]]:
    """Each item that may be written next, and the state after it; None: this may be the end."""
    if slot == len(slots):
        yield None, (slot, 0, 0)
        return
    items, least, most = slots[slot]
    for i in range(passed, len(items)):
        if chosen < most and chosen + len(items) - i >= least:
            yield items[i], (slot, i + 1, chosen + 1)
    if chosen >= least:
        yield from _steps(slots, slot + 1, 0, 0)


def _forms(term: Term, names: Names) -> Iterator[tuple[Item, object, list[Slot]]]:
    """The terms that a term may be, what is fixed in how each is written, and what stands in it."""
    if isinstance(term, Choice):
        for alternative in term.alternatives:
            yield from _forms(alternative, names)
    elif isinstance(term, Join):
        head = SUM if term.operator == "add" else ("concat", term.width and term.width.digest)
        yield (term, names), head, [_slot(part, names) for part in term.parts]
    elif isinstance(term, Apply | Operation | Function):
        call = term if isinstance(term, Apply) else Apply(term, ())
        callee = call.callee
        for f in callee.alternatives if isinstance(callee, Choice) else (callee,):
            assert isinstance(f, Operation | Function)
            given = [(n, (t, names)) for n, t in (*f.arguments, *call.arguments)]
            if isinstance(f, Function):
                body = (*f.statements, Statement("return", f.result))
                given += [(s.label, (s.term, {})) for s in body if s.term.decisions]
            inputs = [(t, names) for t in call.inputs]
            head = (f.name, len(inputs), *(n for n, _ in given))
            yield (term, names), head, [([x], 1, 1) for x in (*inputs, *(t for _, t in given))]
    elif term.children:
        head = (type(term), *(getattr(term, n, None) for n in ("operator", "cell", "cells")))
        yield (term, names), head, [([(t, names)], 1, 1) for t in term.children]
    else:
        yield (term, names), print_term(term, (), names), []


def _slot(part: Term, names: Names) -> Slot:
    """The items of which a part of a join writes some, and how many."""
    subset = part.subset if isinstance(part, Each) else part
    if not isinstance(subset, Subset):
        return [(part, names)], 1, 1
    items = [(element, names) for element in subset.elements]
    if isinstance(part, Each):
        texts = [next(_texts(item)) for item in items]
        items = [(part.body, {**names, part.variable: text}) for text in texts]
    return items, subset.least, subset.most


def _example(one: Item, two: Item) -> str:
    """What both may be written as; empty where that is not among the first."""
    texts = set(islice(_texts(one), MAX_LISTED))
    return next((text for text in islice(_texts(two), MAX_LISTED) if text in texts), "")


def _texts(item: Item) -> Iterator[str]:
    """All that a term may be written as."""
    return (print_term(item[0], pick(item[0], i), item[1]) for i in range(item[0].size))
