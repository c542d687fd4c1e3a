"""Trials of chance among those of a search."""

from __future__ import annotations

import pytest
from search.test_searchers import SINGLE, SMALL, SumOfSymbols, accuracy, search

from epnas_dsl.config import SearchSettings
from epnas_dsl.lang import load_space, read_space
from epnas_dsl.search import (
    EpnasSearcher,
    RandomArm,
    RandomSearcher,
    Searcher,
    planned_trials,
    usual_arm,
    without_arm,
)

SPACE = load_space("micro(blocks=2)")


def make(settings: SearchSettings, kind: str = "epnas", space=SPACE) -> RandomArm:
    alone = without_arm(settings)
    inner: Searcher = (
        RandomSearcher(space, alone)
        if kind == "random"
        else EpnasSearcher(space, alone, SumOfSymbols())
    )
    return RandomArm(space, settings, inner)


def marked(searcher: Searcher, at_once: int = 5) -> list[tuple[str, bool]]:
    found = []
    while asked := searcher.ask(at_once):
        for architecture in asked:
            found.append((str(architecture), bool(searcher.note(architecture).get("random"))))
        for architecture in asked:
            searcher.tell(architecture, {"accuracy": accuracy(architecture)})
    return found


@pytest.mark.parametrize("kind", ["epnas", "random"])
def test_the_arm_is_spread_over_the_budget_and_changes_nothing_else(kind: str) -> None:
    settings = SearchSettings(evaluations=40, random_arm=8, kept=6, first_level_limit=10)
    trials = marked(make(settings, kind))
    assert len(trials) == 40
    places = [i for i, (_, is_random) in enumerate(trials) if is_random]
    assert places == [4, 9, 14, 19, 24, 29, 34, 39]
    inner = make(settings, kind)._searcher
    assert [text for text, is_random in trials if not is_random] == [
        str(a) for a, _ in search(inner)
    ]
    chance = [text for text, is_random in trials if is_random]
    assert len(set(chance)) == 8
    assert all("h2 = " in text for text in chance)


def test_it_is_added_to_iterations_and_decided_by_the_seed() -> None:
    settings = SearchSettings(iterations=1, random_arm=5, kept=4, first_level_limit=10)
    trials = marked(make(settings))
    assert len(trials) == planned_trials(SPACE, settings) == make(settings).progress.total
    assert sum(is_random for _, is_random in trials) == 5
    for at_once in (1, 3, 100):
        assert marked(make(settings), at_once) == trials


def test_what_both_ask_for_and_spaces_that_are_used_up() -> None:
    settings = SearchSettings(evaluations=20, random_arm=9, kept=2)
    tiny = marked(make(settings, "random", read_space(SINGLE, "single")))
    assert [is_random for _, is_random in tiny] == [False, True]
    small = marked(make(settings, "random", read_space(SMALL, "small")), 1)
    assert sum(is_random for _, is_random in small) == 9
    assert len(small) == 9 + 9


@pytest.mark.parametrize(("kind", "count"), [("random", 8), ("epnas", 8), ("epnas", 10)])
def test_with_several_workers_it_comes_in_groups_whatever_is_asked_at_once(kind, count) -> None:
    settings = SearchSettings(
        evaluations=40, random_arm=count, proposals=4, kept=6, first_level_limit=10
    )
    trials = marked(make(settings, kind))
    places = [i for i, (_, is_random) in enumerate(trials) if is_random]
    assert len(trials) == 40
    assert (
        places
        == {
            8: [10, 11, 12, 13, 30, 31, 32, 33],
            10: [8, 9, 10, 11, 24, 25, 26, 27, 37, 38],
        }[count]
    )
    for at_once in (1, 3, 4, 100):
        assert marked(make(settings, kind), at_once) == trials


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ({"evaluations": 100}, 10),
        ({"evaluations": 50}, 5),
        ({"evaluations": 49}, 0),
        ({"evaluations": 100, "searcher": "random"}, 0),
        ({"iterations": 1, "kept": 25}, 13),
    ],
)
def test_how_many_where_nothing_is_said(words: dict, count: int) -> None:
    settings = SearchSettings(**words)
    assert settings.random_arm == -1
    assert usual_arm(SPACE, settings) == count
