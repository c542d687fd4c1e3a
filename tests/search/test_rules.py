"""What each searcher adds to the common rules, held against its paper."""

from __future__ import annotations

from collections import Counter
from typing import get_args, get_type_hints

import numpy as np
import pytest
from strategies import CHAIN

from epnas_dsl.cli import main
from epnas_dsl.config import Config, ControllerSettings, SearchSettings, override
from epnas_dsl.experiment.assembly import make_searcher
from epnas_dsl.lang import load_space, read_space
from epnas_dsl.search import (
    Ensemble,
    EpnasSearcher,
    EvolutionSearcher,
    LocalSearcher,
    PnasSearcher,
    QLearningSearcher,
    ReinforceSearcher,
)
from epnas_dsl.search.proposals import mutate
from epnas_dsl.search.q_learning import epsilon
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import enumerate_level, options, sample
from epnas_dsl.space.neighbours import neighbours
from epnas_dsl.space.tokens import from_tokens, to_tokens

NAMES = get_args(get_type_hints(SearchSettings)["searcher"])
TABLE = load_space("nasbench201")


def climb(architecture: Architecture) -> float:
    """Highest where every choice is the last one; no two neighbours differ in nothing."""
    return sum(architecture.choices) / sum(d.size for d in architecture.space.decisions)


def steps(searcher, measure=climb, at_once: int = 10**6):
    while asked := searcher.ask(at_once):
        for architecture in asked:
            searcher.tell(architecture, {"accuracy": measure(architecture)})
        yield asked


def differing(one: Architecture, other: Architecture) -> int:
    return sum(a != b for a, b in zip(one.choices, other.choices, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_makes_a_searcher_of_its_own(name: str) -> None:
    words = [f"search.searcher={name}", "search.evaluations=3"]
    searcher = make_searcher(TABLE, override(Config(space="nasbench201"), words))
    assert name.replace("_", "").removesuffix("search") in type(searcher).__name__.lower()
    assert sum(map(len, steps(searcher))) == 3


def test_the_command_lists_every_name(capsys) -> None:
    assert main(["search", "--help"]) == 0
    text = capsys.readouterr().out
    assert [name for name in NAMES if name not in text] == []


def test_a_mutation_changes_one_decision_each_as_often() -> None:
    (parent,) = sample(TABLE, 1, np.random.default_rng(0))
    generator = np.random.default_rng(1)
    found = [mutate(parent, generator) for _ in range(6000)]
    assert all(child is not None and differing(parent, child) == 1 for child in found)
    places = Counter(
        next(i for i, n in enumerate(child.choices) if n != parent.choices[i]) for child in found
    )
    assert sum((places[i] - 1000) ** 2 / 1000 for i in range(6)) < 20.5  # 99.9 %, 5 degrees
    assert len(set(found)) == 24


def test_evolution_lets_the_oldest_die_and_the_best_of_a_sample_breed() -> None:
    settings = SearchSettings(population=4, sampled=400, evaluations=40, retrain="yes", seed=1)
    stream = list(steps(EvolutionSearcher(TABLE, settings)))
    assert [len(step) for step in stream] == [4] + [1] * 36
    trials = [a for step in stream for a in step]
    for i in range(4, 40):  # a sample of so many holds every living one
        living = trials[i - 4 : i]
        top = max(map(climb, living))
        assert 1 in [differing(a, trials[i]) for a in living if climb(a) == top]


def test_retrained_children_enter_the_population_again() -> None:
    settings = SearchSettings(population=3, evaluations=60, retrain="yes")
    trials = [a for s in steps(EvolutionSearcher(read_space(CHAIN), settings)) for a in s]
    assert len(trials) == 60 > len({a.key for a in trials})  # of 27


def test_local_search_tries_all_neighbours_and_moves_to_the_best() -> None:
    settings = SearchSettings(searcher="local_search", evaluations=60)
    stream = steps(LocalSearcher(TABLE, settings))
    (start,) = next(stream)
    first, second = next(stream), next(stream)
    assert {a.key for a in first} == {a.key for a in neighbours(start)}
    best = max(first, key=climb)
    assert climb(best) > climb(start)
    known = {start.key} | {a.key for a in first}
    assert {a.key for a in second} <= {a.key for a in neighbours(best)} - known


def test_local_search_is_stuck_on_the_top_and_begins_again() -> None:
    space = read_space(CHAIN)
    trials = [a for s in steps(LocalSearcher(space, SearchSettings(evaluations=100))) for a in s]
    top = max(enumerate_level(space, 3), key=climb)
    place = trials.index(top)
    assert place < 20
    assert {a.key for a in trials} == {a.key for a in enumerate_level(space, 3)}


def test_the_first_better_neighbour_is_moved_to() -> None:
    settings = SearchSettings(climb="first", evaluations=30, retrain="yes")
    stand = None
    for (asked,) in steps(LocalSearcher(TABLE, settings)):
        assert stand is None or differing(stand, asked) <= 1 or climb(stand) == 24 / 30
        stand = asked if stand is None or climb(asked) > climb(stand) else stand


def test_epsilon_is_the_papers_table() -> None:
    counts = Counter(epsilon(model / 2700) for model in range(2700))
    assert counts[1.0] == 1500
    assert [counts[e] for e in (0.9, 0.8, 0.7)] == [100] * 3
    assert [counts[e] for e in (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)] == [150] * 6
    assert epsilon(1.0) == 0.1


def test_q_learning_updates_backwards_by_the_equation() -> None:
    space = read_space(CHAIN)
    settings = SearchSettings(rate=0.5, replays=1, evaluations=1)
    searcher = QLearningSearcher(space, settings)
    (asked,) = searcher.ask(1)
    searcher.tell(asked, {"accuracy": 0.9})
    a, b, c = asked.choices
    # 0.5 + 0.5 (0.9 - 0.5) = 0.7; then towards the best of the next state
    assert searcher._worth == {
        (2, b): {c: pytest.approx(0.7)}, (1, a): {b: pytest.approx(0.6)},
        (0, 0): {a: pytest.approx(0.55)},
    }  # fmt: skip


def test_q_learning_comes_to_prefer_what_was_good() -> None:
    settings = SearchSettings(evaluations=300, retrain="yes", rate=0.1)
    trials = [a for s in steps(QLearningSearcher(TABLE, settings)) for a in s]
    scores = [climb(a) for a in trials]
    assert np.mean(scores[-30:]) > np.mean(scores[:150]) + 0.1  # five standard errors


class Fixed:
    """Scores by the last row's first symbol; remembers its points."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset, self.points = offset, []

    def fit(self, tokens, targets):
        self.points = list(targets)

    def predict(self, tokens):
        return np.array([t[-1][0] / 10 + self.offset for t in tokens], np.float32)

    def predict_expansions(self, parents, rows):
        return np.tile(rows[:, 0] / 10 + self.offset, (len(parents), 1)).astype(np.float32)


def test_pnas_takes_the_highest_scores_of_all_expansions() -> None:
    space = read_space(CHAIN)
    settings = SearchSettings(searcher="pnas", kept=2, iterations=1)
    one, two, three = steps(PnasSearcher(space, settings, Fixed()))
    assert len(one) == 3
    assert [a.choices for a in two] == [(0, 2), (1, 2)]  # every one of level 1 is expanded
    assert [a.choices for a in three] == [(0, 2, 2), (1, 2, 2)]


def test_an_ensemble_is_the_mean_and_each_lacks_a_part() -> None:
    parts = [Fixed(0.0), Fixed(0.2)]
    ensemble = Ensemble(parts)
    tokens = [np.array([[i]], np.int16) for i in range(5)]
    ensemble.fit(tokens, [0.0, 0.1, 0.2, 0.3, 0.4])
    assert [p.points for p in parts] == [[0.1, 0.3], [0.0, 0.2, 0.4]]
    assert ensemble.predict(tokens[:2]).tolist() == pytest.approx([0.1, 0.2])
    rows = ensemble.predict_expansions(tokens[:3], tokens[3])
    assert (rows.dtype, rows.tolist()) == (np.float32, [[pytest.approx(0.4)]] * 3)
    ensemble.fit(tokens[:1], [0.7])
    assert [p.points for p in parts] == [[0.7], [0.7]]


def test_one_predictor_alone_lacks_nothing_and_points_are_given_in_other_writings() -> None:
    space = load_space("nasbench201")
    alone = Fixed()
    known = sample(space, 3, np.random.default_rng(5), level=2)
    seen: list[np.ndarray] = []
    alone.fit = lambda tokens, targets: (seen.extend(tokens), alone.points.extend(targets))
    Ensemble([alone], space, 4).fit([to_tokens(a) for a in known], [0.1, 0.2, 0.3])
    assert alone.points == [0.1] * 4 + [0.2] * 4 + [0.3] * 4
    keys = [from_tokens(space, tokens).key for tokens in seen]
    assert keys == [a.key for a in known for _ in range(4)]
    assert len({tokens.tobytes() for tokens in seen}) > 8


def test_any_row_of_the_best_is_revised_and_the_highest_scores_are_taken() -> None:
    words = {"kept": 3, "iterations": 6, "later": "revise", "retrain": "no"}
    cold = {"temperature_start": 1e-9, "temperature_end": 1e-9}
    trials: list[Architecture] = []
    searcher = EpnasSearcher(TABLE, SearchSettings(**words, **cold), Fixed())
    for asked in steps(searcher):
        notes = [searcher.note(a) for a in asked]
        if notes[0]["iteration"] > 1:
            assert {note["level"] for note in notes} == {3}
            near = {
                Architecture(TABLE, [*c[:start], *row, *c[end:]])
                for c in (a.choices for a in best_three(trials))
                for level in (1, 2, 3)
                for start, end in [TABLE.widths[level - 1 : level + 1]]
                for row in options(TABLE, level).tolist()
            }
            known = {a.key for a in trials}
            scores = {a: Fixed().predict([to_tokens(a)])[0] for a in near if a.key not in known}
            assert set(asked) <= set(scores)
            least = min(scores[a] for a in asked)
            left = {a.key for a, score in scores.items() if score > least + 1e-6}
            assert left <= {a.key for a in asked}
        trials += asked
    assert len(trials) > 40


def best_three(trials: list[Architecture]) -> list[Architecture]:
    return sorted((a for a in trials if a.level == 3), key=climb, reverse=True)[:3]


def test_reinforce_learns_from_what_it_wrote_and_from_what_it_knows() -> None:
    class Recorded:
        def __init__(self) -> None:
            self.lessons, self.turn = [], 0

        def write(self):
            self.turn += 1
            choice = min(self.turn // 2, 2)  # each is written twice
            return np.array([[choice], [0], [0]], np.int16)

        def learn(self, written, advantages):
            self.lessons.append((len(written), [round(a, 6) for a in advantages]))

    controller, how = Recorded(), ControllerSettings(baseline=0.5, power=2)
    settings = SearchSettings(evaluations=3)
    searcher = ReinforceSearcher(read_space(CHAIN), settings, controller, how)
    accuracies = iter([0.5, 1.0, None])
    while asked := searcher.ask(1):
        result = next(accuracies)
        searcher.tell(asked[0], None if result is None else {"accuracy": result})
    # rewards 0.25, then 1 (average 0.25), known 1 again (average 0.625)
    assert controller.lessons == [(1, [0.0]), (1, [0.75]), (1, [0.375])]


def test_reinforce_finds_what_is_good_sooner_than_chance() -> None:
    words = ["search.searcher=reinforce", "search.retrain=yes", "search.evaluations=400"]
    words += ["controller.learning_rate=0.02", "controller.temperature=1", "controller.hidden=20"]
    config = override(Config(space="nasbench201"), words)
    trials = [a for s in steps(make_searcher(TABLE, config)) for a in s]
    scores = [climb(a) for a in trials]
    assert np.mean(scores[-50:]) > np.mean(scores[:100]) + 0.1


def test_where_nothing_of_full_length_succeeds_there_is_nothing_to_revise() -> None:
    words = {"kept": 3, "iterations": 3, "later": "revise"}
    searcher = EpnasSearcher(TABLE, SearchSettings(**words), Fixed())
    asked_for = 0
    while asked := searcher.ask(10**6):
        for a in asked:
            searcher.tell(a, {"accuracy": 0.5} if a.level < TABLE.depth else None)
        asked_for += len(asked)
    assert asked_for > 10
