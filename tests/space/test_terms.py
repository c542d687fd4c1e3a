"""Numbers, choice trees and counts of terms agree with one another."""

import pytest
from hypothesis import assume, given
from strategies import terms

from epnas_dsl.errors import LimitError
from epnas_dsl.space.terms import (
    MAX_DEPTH,
    Apply,
    Choice,
    Join,
    Operation,
    Term,
    Value,
    assemble,
    decisions,
    disassemble,
    multiset,
    normal,
    pick,
    rank,
)

MOST = 600


@given(terms())
def test_rank_undoes_pick(term: Term) -> None:
    assume(term.size <= MOST)
    trees = [pick(term, i) for i in range(term.size)]
    assert [rank(term, tree) for tree in trees] == list(range(term.size))
    assert len(set(trees)) == term.size


@given(terms())
def test_disassemble_undoes_assemble(term: Term) -> None:
    assume(term.size <= MOST)
    for i in range(term.size):
        tree = pick(term, i)
        numbers = disassemble(term, tree)
        assert len(numbers) == term.decisions == len(decisions(term))
        assert assemble(term, numbers)[1] == len(numbers)
        again = assemble(term, numbers)[0]
        assert rank(term, again) == i


@given(terms())
def test_the_unordered_count_is_the_number_of_normal_trees(term: Term) -> None:
    assume(term.size <= MOST)
    found = {rank(term, normal(term, pick(term, i))) for i in range(term.size)}
    assert len(found) == term.unordered


@given(terms())
def test_unordered_numbers_give_each_expression_once(term: Term) -> None:
    assume(term.size <= MOST)
    found = {rank(term, normal(term, pick(term, i, unordered=True))) for i in range(term.unordered)}
    assert len(found) == term.unordered


@given(terms())
def test_normal_is_idempotent(term: Term) -> None:
    assume(term.size <= MOST)
    for i in range(term.size):
        once = normal(term, pick(term, i))
        assert normal(term, once) == once


def test_multisets_are_numbered_without_gaps() -> None:
    found = [multiset(i, 4, 3) for i in range(20)]
    assert len(set(found)) == 20
    assert all(list(m) == sorted(m) and m[0] >= 0 and m[-1] < 4 for m in found)


def test_equal_digests_mean_equal_terms() -> None:
    a, b = Value("a"), Value("b")
    assert Join("add", (a, b)).digest == Join("add", (Value("a"), Value("b"))).digest
    others = [
        Join("add", (b, a)), Join("concat", (a, b)), Choice((a, b)), Join("add", (a, b, a)),
        Join("add", (Join("concat", (a,)), b)), Apply(Operation("a"), (b,)),
        Apply(Operation("op"), (a, b)), Apply(Operation("op"), (a,)), Value("a", optional=True),
    ]  # fmt: skip
    digests = {t.digest for t in others} | {Join("add", (a, b)).digest}
    assert len(digests) == len(others) + 1


def test_two_to_the_forty_alternatives_are_counted() -> None:
    term: Term = Choice((Value("a"), Value("b")))
    for _ in range(39):
        term = Choice((term, term))
    assert term.size == 2**40
    assert rank(term, pick(term, 2**40 - 12345)) == 2**40 - 12345


def test_depth_and_places_are_limited() -> None:
    term: Term = Value("a")
    for _ in range(MAX_DEPTH - 1):
        term = Apply(Operation("op"), (term,))
    with pytest.raises(LimitError, match="deep"):
        Apply(Operation("op"), (term,))
    wide: Term = Value("a")
    for _ in range(8):
        wide = Join("concat", (wide, wide, wide))
    with pytest.raises(LimitError, match="places"):
        Join("concat", (wide, wide, wide))
