"""The rules of EPNAS: temperature, drawing by score, growing and refining."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from strategies import CHAIN

from epnas_dsl.config import SearchSettings
from epnas_dsl.lang import load_space, read_space
from epnas_dsl.search import EpnasSearcher, planned_trials
from epnas_dsl.search.epnas import draw_order, temperature
from epnas_dsl.space.architecture import Architecture


class Recorder:
    """Equal scores; remembers what it was asked to score and told."""

    def __init__(self) -> None:
        self.scored: list[int] = []  # expansions in each call
        self.fits: list[tuple[int, list[float]]] = []

    def fit(self, tokens, targets):
        self.fits.append((len(tokens), list(targets)))

    def predict(self, tokens):
        self.scored.append(len(tokens))
        return np.full(len(tokens), 0.5, np.float32)

    def predict_expansions(self, parents, rows):
        self.scored.append(len(parents) * len(rows))
        return np.full((len(parents), len(rows)), 0.5, np.float32)


class Favourite(Recorder):
    """Scores 1 where every symbol of the last row is 0, else nearly nothing."""

    def predict_expansions(self, parents, rows):
        scores = np.where((rows == 0).all(1), 1.0, 1e-6).astype(np.float32)
        return np.tile(scores, (len(parents), 1))


def steps(searcher: EpnasSearcher, accuracy=lambda a: 0.5) -> list[list[Architecture]]:
    """The trials of a search, step by step."""
    found = []
    while asked := searcher.ask(10**6):
        for architecture in asked:
            searcher.tell(architecture, {"accuracy": accuracy(architecture)})
        found.append(asked)
    return found


# --- temperature -------------------------------------------------------------------------------


def test_temperature_is_the_formula() -> None:
    settings = SearchSettings(temperature_start=9, temperature_end=2, temperature_decay=3)
    assert temperature(settings, 0) == pytest.approx(7 * math.exp(-1 / 9) + 2)
    assert temperature(settings, 2) == pytest.approx(7 * math.exp(-1) + 2)
    assert temperature(settings, 5) == pytest.approx(7 * math.exp(-4) + 2)


@pytest.mark.parametrize(("start", "end"), [(10, 1), (1, 10), (1, 1), (100, 1e-3)])
def test_temperature_goes_one_way_to_its_end(start: float, end: float) -> None:
    settings = SearchSettings(temperature_start=start, temperature_end=end)
    values = [temperature(settings, t) for t in range(60)]
    assert values == sorted(values, reverse=start > end)
    assert values[-1] == pytest.approx(end)
    assert min(start, end) <= min(values) <= max(values) <= max(start, end)


# --- drawing -----------------------------------------------------------------------------------


def exact(weights: list[float], k: int) -> dict[tuple[int, ...], float]:
    """Probabilities of the first k drawn, one after the other without replacement."""
    found = {}
    for order in itertools.permutations(range(len(weights)), k):
        probability, left = 1.0, sum(weights)
        for i in order:
            probability *= weights[i] / left
            left -= weights[i]
        found[order] = probability
    return found


@pytest.mark.parametrize("heat", [0.5, 1.0, 4.0])
def test_draws_are_those_of_sequential_drawing(heat: float) -> None:
    scores, n, generator = [0.9, 0.6, 0.5, 0.3], 20_000, np.random.default_rng(0)
    expected = exact([s ** (1 / heat) for s in scores], 3)
    counts = Counter(tuple(draw_order(scores, heat, generator)[:3].tolist()) for _ in range(n))
    square = sum((counts[o] - n * p) ** 2 / (n * p) for o, p in expected.items())
    assert len(expected) == 24
    assert square < 49.7  # the 99.9 % point of chi-square with 23 degrees of freedom


def test_no_heat_is_greedy() -> None:
    scores = np.random.default_rng(1).random(200)
    order = draw_order(scores, 1e-9, np.random.default_rng(2))
    assert order.tolist() == np.argsort(-scores).tolist()


def test_great_heat_is_uniform() -> None:
    generator = np.random.default_rng(3)
    firsts = [draw_order([1.0, 1e-3, 1e-6, 0.5], 1e9, generator)[0] for _ in range(4000)]
    counts = np.bincount(firsts, minlength=4)
    assert ((counts - 1000) ** 2 / 1000).sum() < 16.3  # 99.9 %, 3 degrees of freedom


@pytest.mark.parametrize("heat", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("scores", [[0.0] * 5, [0.0, 1.0, 1e-45], [0.3], [], [1.0, 1.0]])
def test_any_scores_give_an_order(scores: list[float], heat: float) -> None:
    order = draw_order(scores, heat, np.random.default_rng(4))
    assert sorted(order.tolist()) == list(range(len(scores)))


def test_equal_scores_are_drawn_in_random_order() -> None:
    firsts = {int(draw_order([0.0] * 5, 1, np.random.default_rng(i))[0]) for i in range(50)}
    assert firsts == set(range(5))


def test_zero_comes_last() -> None:
    generator = np.random.default_rng(5)
    assert all(draw_order([0.0, 1e-9, 0.5], 1, generator)[-1] == 0 for _ in range(500))


# --- levels ------------------------------------------------------------------------------------


def test_grow_begins_again_at_the_first_level() -> None:
    settings = SearchSettings(kept=4, iterations=2, retrain="yes")
    found = steps(EpnasSearcher(read_space(CHAIN), settings, Recorder()))
    assert [[a.level for a in step] for step in found] == [
        [1] * 3, [2] * 4, [3] * 4, [1] * 3, [2] * 4, [3] * 4,
    ]  # fmt: skip
    for before, after in itertools.pairwise(found[:3]):
        assert {a.at(before[0].level) for a in after} <= set(before)


def test_a_wide_first_level_is_drawn_from() -> None:
    settings = SearchSettings(kept=4, iterations=1, first_level_limit=104)
    found = steps(EpnasSearcher(load_space("micro", blocks=2), settings, Recorder()))
    assert [len(step) for step in found] == [4, 4]


def test_a_level_too_wide_to_be_scored_is_represented(monkeypatch) -> None:
    monkeypatch.setattr("epnas_dsl.search.epnas.SCORED", 400)
    monkeypatch.setattr("epnas_dsl.search.epnas.SAMPLED", 50)
    recorder = Recorder()
    settings = SearchSettings(kept=4, iterations=1)
    found = steps(EpnasSearcher(load_space("micro", blocks=2), settings, recorder))
    assert [a.level for a in found[1]] == [2] * 4
    assert recorder.scored[0] <= 4 * 50


def test_the_first_step_keeps_k_of_all() -> None:
    recorder = Recorder()
    settings = SearchSettings(kept=4, iterations=1)
    found = steps(EpnasSearcher(load_space("micro", blocks=2), settings, recorder))
    assert len(found[0]) > 4
    assert recorder.scored == [4 * 231]
    assert recorder.fits[0][0] == len(found[0])


def test_refine_overwrites_one_row() -> None:
    settings = SearchSettings(kept=3, iterations=2, later="refine", retrain="yes")
    found = steps(EpnasSearcher(read_space(CHAIN), settings, Recorder()))
    assert [a.level for step in found[3:] for a in step] == [3] * 9
    for row, (before, after) in enumerate(itertools.pairwise(found[2:])):
        gaps = {a.choices[:row] + a.choices[row + 1 :] for a in before}
        assert {a.choices[:row] + a.choices[row + 1 :] for a in after} <= gaps


def test_refine_scores_equal_children_once() -> None:
    recorder = Recorder()
    settings = SearchSettings(kept=27, iterations=2, later="refine", retrain="yes")
    found = steps(EpnasSearcher(read_space(CHAIN), settings, recorder))
    assert [len(step) for step in found] == [3, 9, 27, 27, 27, 27]
    # 27 parents, but 9 that differ outside a row; rows in the middle are scored parent by parent
    assert recorder.scored == [9, 27, *[3] * 9, *[3] * 9, 27]


def test_scores_guide_the_draw_at_low_temperature() -> None:
    settings = SearchSettings(kept=3, iterations=1, temperature_start=0.01, temperature_end=0.01)
    searcher = EpnasSearcher(read_space(CHAIN), settings, Favourite())
    first = searcher.ask(99)
    for a in first:
        searcher.tell(a, {"accuracy": 0.5})
    second = searcher.ask(99)
    assert [a.choices[1] for a in second] == [0, 0, 0]
    note = searcher.note(second[0])
    assert note == {"iteration": 1, "level": 2, "temperature": pytest.approx(0.01), "predicted": 1}
    assert searcher.note(second[1])["predicted"] == 1
    assert "0.01" in searcher.progress.note


@pytest.mark.parametrize(("repeated", "counts"), [("max", 0.9), ("mean", 0.5), ("last", 0.1)])
def test_which_of_several_accuracies_counts(repeated: str, counts: float) -> None:
    recorder = Recorder()
    settings = SearchSettings(kept=27, iterations=2, retrain="yes", repeated=repeated)
    told: Counter[Architecture] = Counter()

    def falling(architecture: Architecture) -> float:
        told[architecture] += 1
        return 0.9 if told[architecture] == 1 else 0.1

    steps(EpnasSearcher(read_space(CHAIN), settings, recorder), falling)
    size, targets = recorder.fits[-1]  # before the last level: 3 + 9 of 39 have two accuracies
    assert size == 39
    assert Counter(round(target, 3) for target in targets) == (
        {0.9: 39} if counts == 0.9 else {0.9: 27, counts: 12}
    )


def test_trained_ones_are_kept_at_no_cost() -> None:
    recorder = Recorder()
    settings = SearchSettings(kept=27, iterations=3, retrain="no")
    found = steps(EpnasSearcher(read_space(CHAIN), settings, recorder))
    assert [len(step) for step in found] == [3, 9, 27]  # nothing new is left afterwards


# --- the number of trials ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "planned"),
    [
        (SearchSettings(), 105 + 4 * 25 + 2 * 4 * 25),
        (SearchSettings(retrain="yes"), 105 + 4 * 25 + 2 * 5 * 25),
        (SearchSettings(later="refine"), 105 + 4 * 25 + 2 * 5 * 25),
        (SearchSettings(iterations=1, kept=200), 105 + 4 * 200),
        (SearchSettings(first_level_limit=50), 3 * 5 * 25),
        (SearchSettings(evaluations=7), 7),
    ],
)
def test_planned_trials_of_micro(settings: SearchSettings, planned: int) -> None:
    assert planned_trials(load_space("micro"), settings) == planned


@pytest.mark.parametrize("retrain", ["yes", "no"])
@pytest.mark.parametrize("later", ["grow", "refine"])
def test_plans_hold_where_nothing_is_equal(later: str, retrain: str) -> None:
    settings = SearchSettings(kept=5, iterations=3, later=later, retrain=retrain)
    space = read_space(CHAIN)
    trials = sum(map(len, steps(EpnasSearcher(space, settings, Recorder()))))
    planned = planned_trials(space, settings)
    assert trials == planned if retrain == "yes" else trials <= planned
