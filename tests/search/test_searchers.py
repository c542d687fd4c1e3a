"""What every searcher does, whichever it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from epnas_dsl.config import ControllerSettings, SearchSettings
from epnas_dsl.errors import RunError
from epnas_dsl.lang import load_space, read_space
from epnas_dsl.nn.controller import LstmController
from epnas_dsl.search import (
    Ensemble,
    EpnasSearcher,
    EvolutionSearcher,
    LocalSearcher,
    PnasSearcher,
    QLearningSearcher,
    RandomSearcher,
    ReinforceSearcher,
    Searcher,
    planned_trials,
)
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.search_space import SearchSpace

Measure = Callable[[Architecture], float | None]
Trials = list[tuple[Architecture, float | None]]

SINGLE = """space single
op := conv_3x3
cell normal (prev) {
    h[0] = prev
    level i in 1..2 { h[i] = op(h[i-1]) }
    return last(h)
}
network (image) {
    x = stack(conv_3x3(image, 4), [normal])
    return linear(global_avg_pool(x), 10)
}"""
SMALL = SINGLE.replace("conv_3x3\ncell", "conv_3x3 | conv_5x5 | max_pool_3x3\ncell")


class SumOfSymbols:
    """Scores by a fixed function of the tokens and of how much it was told."""

    def __init__(self) -> None:
        self.told = 0

    def fit(self, tokens, targets):
        assert len(tokens) == len(targets) > 0
        assert all(0 <= target <= 1 for target in targets)
        self.told = len(targets)

    def predict(self, tokens):
        sums = [float((rows * np.arange(1, rows.shape[1] + 1)).sum()) for rows in tokens]
        return (0.5 + 0.4 * np.sin(np.array(sums) + self.told)).astype(np.float32)

    def predict_expansions(self, parents, rows):
        return np.stack([self.predict([np.vstack([p, row]) for row in rows]) for p in parents])


class Equal(SumOfSymbols):
    def predict(self, tokens):
        return np.full(len(tokens), 0.5, np.float32)


def accuracy(architecture: Architecture) -> float:
    return int(architecture.id, 16) % 1000 / 1000


@pytest.fixture(autouse=True)
def little_patience(monkeypatch) -> None:
    """Small spaces are known to be empty sooner, which saves time."""
    monkeypatch.setattr("epnas_dsl.search.proposals.PATIENCE", 200)
    monkeypatch.setattr("epnas_dsl.search.epnas.PATIENCE", 200)
    monkeypatch.setattr("epnas_dsl.search.reinforce.TRIES", 10)


SEARCHERS = {
    "epnas": EpnasSearcher,
    "pnas": PnasSearcher,
    "random": RandomSearcher,
    "evolution": EvolutionSearcher,
    "local_search": LocalSearcher,
    "q_learning": QLearningSearcher,
    "reinforce": ReinforceSearcher,
}
# Every searcher, and those that learn also with more than one proposal at once.
WAYS = [(name, {}) for name in SEARCHERS]
WAYS += [(name, {"proposals": 3}) for name in ("evolution", "q_learning", "reinforce")]
WAYS += [("epnas", {"later": "revise"})]
WAYS += [("local_search", {"climb": "first"}), ("local_search", {"climb": "first", "proposals": 3})]


@pytest.fixture(params=WAYS, ids=str)
def make(request) -> Callable[..., Searcher]:
    name, more = request.param

    def searcher(space: SearchSpace, predictor: SumOfSymbols | None = None, **settings) -> Searcher:
        found = SearchSettings(searcher=name, **{**more, **settings})
        if name == "pnas":
            kind = type(predictor or SumOfSymbols())
            return PnasSearcher(space, found, Ensemble([kind(), kind()]))
        if name == "epnas":
            return EpnasSearcher(space, found, predictor or SumOfSymbols())
        if name == "reinforce":
            how = ControllerSettings(hidden=8, learning_rate=0.01)
            controller = LstmController(space, how, found.seed)
            return ReinforceSearcher(space, found, controller, how)
        return SEARCHERS[name](space, found)

    return searcher


def search(searcher: Searcher, measure: Measure = accuracy, at_once: int = 7) -> Trials:
    trials: Trials = []
    while asked := searcher.ask(at_once):
        assert len(asked) <= at_once
        for architecture in asked:
            assert {"iteration", "level"} <= searcher.note(architecture).keys()
            result = measure(architecture)
            searcher.tell(architecture, None if result is None else {"accuracy": result})
            trials.append((architecture, result))
        assert searcher.progress.trials == len(trials) <= searcher.progress.total
    assert searcher.ask(at_once) == []
    return trials


def keys(trials: Trials) -> list[str]:
    return [architecture.key for architecture, _ in trials]


@pytest.mark.parametrize("name", ["micro(blocks=3)", "macro(layers=3)"])
@pytest.mark.parametrize("later", ["grow", "refine"])
def test_none_is_trained_twice(make, name: str, later: str) -> None:
    space = parametrised(name)
    trials = search(make(space, kept=6, later=later))
    assert len(set(keys(trials))) == len(trials) > 10
    assert len(trials) <= planned_trials(space, SearchSettings(kept=6, later=later))


def parametrised(name: str) -> SearchSpace:
    head, _, rest = name.partition("(")
    pairs = (text.split("=") for text in rest.rstrip(")").split(",") if text)
    return load_space(head, **{key: int(value) for key, value in pairs})


@pytest.mark.parametrize("budget", [1, 5, 23, 60])
def test_budgets_are_met_exactly(make, budget: int) -> None:
    searcher = make(load_space("micro"), kept=5, evaluations=budget)
    assert len(search(searcher)) == budget == searcher.progress.total


def test_a_budget_of_a_hundred_on_a_table_like_space(make) -> None:
    trials = search(make(load_space("nasbench201"), kept=10, evaluations=100))
    assert len(trials) == 100 == len(set(keys(trials)))


@pytest.mark.parametrize("later", ["grow", "refine"])
@pytest.mark.parametrize("retrain", ["yes", "no"])
def test_no_more_than_planned(make, later: str, retrain: str) -> None:
    settings = {"kept": 20, "iterations": 3, "later": later, "retrain": retrain}
    for space in (read_space(SMALL), load_space("macro", layers=2)):
        search(make(space, **settings))  # asserts trials <= total


def test_the_seed_decides_all(make) -> None:
    space = load_space("micro", blocks=3)
    first, again, other = (
        search(make(space, kept=4, first_level_limit=50, evaluations=50, seed=seed))
        for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("text", [None, SMALL])
def test_batches_do_not_matter(make, text: str | None) -> None:
    space = read_space(text) if text else load_space("macro", layers=4)
    streams = [search(make(space, kept=5, seed=3), at_once=n) for n in (1, 3, 10, 1000)]
    assert all(stream == streams[0] for stream in streams)


def test_a_search_that_is_over_stays_over(make, monkeypatch) -> None:
    monkeypatch.setattr("epnas_dsl.search.proposals.PATIENCE", 20)  # some are never hit
    space, settings = load_space("macro", layers=2), {"evaluations": 10**6, "kept": 3}
    found = [search(make(space, **settings), at_once=n) for n in (1, 10)]
    assert found[0] == found[1]
    searcher = make(space, **settings)
    search(searcher)
    assert all(searcher.ask(5) == [] for _ in range(9))


@pytest.mark.parametrize("stop", [1, 4, 13, 22])
def test_replay_brings_the_same_stream(make, stop: int) -> None:
    space = load_space("micro", blocks=3)
    whole = search(make(space, kept=5))
    resumed = make(space, kept=5)
    for architecture, result in whole[:stop]:
        assert resumed.ask(1) == [architecture]
        resumed.tell(architecture, {"accuracy": result})
    rest = []
    while asked := resumed.ask(1):
        rest += asked
        resumed.tell(asked[0], {"accuracy": accuracy(asked[0])})
    assert rest == [architecture for architecture, _ in whole[stop:]]


def test_global_randomness_is_neither_read_nor_moved(make) -> None:
    before = np.random.get_state()[1].copy()
    search(make(load_space("micro", blocks=2), kept=5))
    assert np.array_equal(before, np.random.get_state()[1])


def test_a_space_of_one(make) -> None:
    trials = search(make(read_space(SINGLE)))
    assert 1 <= len(trials) <= 2  # the searcher by levels trains that of level 1, too
    assert trials[-1][0].level == 2


def test_more_kept_than_there_are(make) -> None:
    space = read_space(SMALL)
    trials = search(make(space, kept=1000, iterations=2))
    full = [a for a, _ in trials if a.level == 2]
    assert len(full) == 9
    assert len(set(keys(trials))) == len(trials)


def test_equal_scores(make) -> None:
    space = load_space("micro", blocks=3)
    trials = search(make(space, Equal(), kept=5), lambda _: 0.0)
    assert len(set(keys(trials))) == len(trials) > 15


def test_failures_are_passed_over(make) -> None:
    def every_third_fails(architecture: Architecture) -> float | None:
        return accuracy(architecture) if int(architecture.id, 16) % 3 else None

    space = load_space("micro", blocks=3)
    trials = search(make(space, kept=5, evaluations=150), every_third_fails)
    assert len(set(keys(trials))) == len(trials) == 150
    assert 20 < sum(result is None for _, result in trials) < 80


def test_no_number_is_a_failure(make) -> None:
    searcher = make(load_space("micro", blocks=2), kept=5)
    found = search(searcher, lambda a: accuracy(a) if int(a.id, 16) % 2 else float("nan"))
    assert found[-1][0].level == 2


def test_all_of_the_last_level_fail(make) -> None:
    space = read_space(SMALL)
    trials = search(
        make(space, kept=2, iterations=2), lambda a: accuracy(a) if a.level == 1 else None
    )
    assert len(set(keys(trials))) == len(trials)


def test_all_of_the_first_level_fail() -> None:
    searcher = EpnasSearcher(read_space(SMALL), SearchSettings(kept=2), SumOfSymbols())
    with pytest.raises(RunError, match="level 1") as caught:
        search(searcher, lambda _: None)
    assert caught.value.diagnostics[0].code == "E720"


def test_turns_are_taken(make) -> None:
    searcher = make(load_space("micro"), kept=5, evaluations=500)
    asked = searcher.ask(500)
    with pytest.raises(RuntimeError, match="before all of this one are told"):
        searcher.ask(1)
    searcher.tell(asked[0], {"accuracy": 0.5})
    with pytest.raises(ValueError, match="without being asked"):
        searcher.tell(asked[0], {"accuracy": 0.5})
