"""Losses, weights and predictions that are no numbers, memory that ends, clocks that jump."""

import math
import time
from functools import lru_cache

import msgspec
import numpy as np
import pytest
import torch

from epnas_dsl.config import (
    Config,
    DataSettings,
    SearchSettings,
    SurrogateSettings,
    TrainingSettings,
)
from epnas_dsl.errors import DataError, RunError, ShapeError
from epnas_dsl.lang.loading import load_space
from epnas_dsl.nn import evaluators
from epnas_dsl.nn.data import load_data
from epnas_dsl.nn.evaluators import InParts, StandaloneEvaluator, SupernetEvaluator, layers_for
from epnas_dsl.nn.network import build_network
from epnas_dsl.nn.predictor import LstmPredictor
from epnas_dsl.runs.executor import SerialExecutor
from epnas_dsl.runs.runner import run
from epnas_dsl.runs.store import create
from epnas_dsl.search import EpnasSearcher
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.tokens import columns, to_tokens

DATA = load_data(DataSettings(limit=60))
SETTINGS = TrainingSettings(epochs=1, batch=32, calibration=1, device="cpu")
SPACE = load_space("micro(blocks=2, channels=4, repeats=1)")
FIRST, SECOND = sample(SPACE, 2, np.random.default_rng(1))
FEW = SearchSettings(kept=2, iterations=1, first_level_limit=2, retrain="yes")


class Flat:
    """A predictor that predicts one number."""

    def __init__(self, value=0.5):
        self.value = value

    def fit(self, tokens, targets):
        pass

    def predict(self, tokens):
        return np.full(len(tokens), self.value, np.float32)

    def predict_expansions(self, parents, rows):
        return np.full((len(parents), len(rows)), self.value, np.float32)


class Scripted:
    """An evaluator that raises what its script says."""

    def __init__(self, script):
        self.script = script

    def evaluate(self, architecture, number):
        error = self.script(architecture, number)
        if error:
            raise error
        return {"accuracy": 0.5 + number / 1000}

    def save(self, path):
        pass

    def load(self, path):
        pass


def search(folder, evaluator, settings=FEW, predictor=None):
    with create(folder, Config(), "") as store:
        searcher = EpnasSearcher(SPACE, settings, predictor or Flat())
        return run(searcher, SerialExecutor(lambda: evaluator, evaluator), store)


def sabotaged(monkeypatch, spoil):
    """Let every trial be trained and then have `spoil` done to (network, number of the call)."""
    train, calls = evaluators.train, []

    def spoilt(network, *args):
        history = train(network, *args)
        calls.append(None)
        spoil(network, len(calls))
        return history

    monkeypatch.setattr(evaluators, "train", spoilt)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_without_a_value_gives_the_weights_back(ram, monkeypatch, value):
    evaluator, twin = (SupernetEvaluator(DATA, SETTINGS, 3) for _ in range(2))

    def spoil(network, call):
        if call == 2:
            with torch.no_grad():
                next(network.parameters()).fill_(value)
            raise evaluators.TrainingFailed("the loss is not finite after epoch 1")

    twin.evaluate(FIRST, 0)
    sabotaged(monkeypatch, spoil)
    trials = search(ram / "run", evaluator)
    assert [t.state for t in trials][:3] == ["complete", "failed", "complete"]
    assert "not finite" in trials[1].message
    assert trials[1].checkpoint == trials[0].checkpoint
    assert evaluator.supernet.is_finite()


def test_weights_that_are_no_numbers_are_not_kept(ram, monkeypatch):
    def spoil(network, call):
        if call == 2:  # after the last look at the loss
            with torch.no_grad():
                next(network.parameters()).fill_(math.nan)

    evaluator = SupernetEvaluator(DATA, SETTINGS, 3)
    sabotaged(monkeypatch, spoil)
    trials = search(ram / "run", evaluator)
    assert [t.state for t in trials][:3] == ["complete", "failed", "complete"]
    assert evaluator.supernet.is_finite()


def test_a_checkpoint_of_weights_that_are_no_numbers(ram):
    evaluator = SupernetEvaluator(DATA, SETTINGS, 3)
    evaluator.evaluate(FIRST, 0)
    with torch.no_grad():
        next(iter(evaluator.supernet.parameters.values())).view(-1)[0] = math.inf
    evaluator.save(ram / "weights")
    with pytest.raises(DataError, match=r"E660: .* are not all finite"):
        SupernetEvaluator(DATA, SETTINGS, 3).load(ram / "weights")


# --- memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SupernetEvaluator, StandaloneEvaluator])
@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("no room"), MemoryError(), RuntimeError("DefaultCPUAllocator: no")],
    ids=["cuda", "python", "cpu"],
)
def test_memory_for_parts_of_a_batch_suffices(monkeypatch, kind, error):
    train, seen = evaluators.train, []

    def scarce(network, *args):
        seen.append(type(network))
        if not isinstance(network, InParts):
            with torch.no_grad():
                next(network.parameters()).fill_(math.nan)  # it failed in the middle
            raise error
        return train(network, *args)

    expected = kind(DATA, SETTINGS, 3).evaluate(FIRST, 0)
    monkeypatch.setattr(evaluators, "train", scarce)
    recorder = lru_cache(lambda _: object())
    monkeypatch.setattr(evaluators, "cuda_recorder", recorder)
    recorder(torch.device("cuda"))
    found = kind(DATA, SETTINGS, 3).evaluate(FIRST, 0)
    assert [t is InParts for t in seen] == [False, True]
    assert recorder.cache_info().currsize == 0  # or its pool of memory would stay taken
    assert found.keys() == expected.keys()
    assert found["params"] == expected["params"]
    assert math.isfinite(found["loss"])


def test_a_gradient_in_parts_is_that_of_the_whole():
    network = build_network(layers_for(FIRST, DATA, SETTINGS), 1).eval()  # norms by statistics
    images = DATA.train.images[:32].float() / 255
    labels = DATA.train.labels[:32]
    gradients = []
    for module in (network, InParts(network, 4)):
        network.zero_grad()
        torch.nn.functional.cross_entropy(module(images), labels).backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_memory_that_suffices_for_nothing_is_infeasible(ram, monkeypatch):
    train, calls = evaluators.train, []

    def scarce(network, *args):
        calls.append(None)
        if len(calls) in (2, 3):  # the second trial, and its second attempt
            raise torch.OutOfMemoryError("no room")
        return train(network, *args)

    monkeypatch.setattr(evaluators, "train", scarce)
    evaluator = SupernetEvaluator(DATA, SETTINGS, 3)
    trials = search(ram / "run", evaluator)
    assert [t.state for t in trials][:3] == ["complete", "infeasible", "complete"]
    assert "E641" in trials[1].message
    assert len(calls) == len(trials) + 1
    assert evaluator.supernet.is_finite()


# --- levels -----------------------------------------------------------------------------------


def test_a_shape_error_at_level_one_is_a_failed_trial(ram):
    trials = search(ram / "run", Scripted(lambda a, n: ShapeError("odd") if n == 0 else None))
    assert [t.state for t in trials].count("failed") == 1
    assert len(trials) >= 3


def test_a_space_in_which_all_fails_ends_by_a_code(ram):
    wide = msgspec.structs.replace(FEW, first_level_limit=256)
    with pytest.raises(RunError, match="all 5 trials failed") as error:
        search(ram / "run", Scripted(lambda a, n: ShapeError("odd")), wide)
    assert error.value.diagnostics[0].code == "E710"


def test_a_level_in_which_all_fails_ends_no_search(ram):
    trials = search(ram / "run", Scripted(lambda a, n: ShapeError("odd") if a.level == 2 else None))
    assert {t.state for t in trials if t.level == 1} == {"complete"}
    assert {t.state for t in trials if t.level == 2} == {"failed"}
    assert len({t.key for t in trials}) == len(trials)


# --- the surrogate ----------------------------------------------------------------------------


def surrogate(**settings):
    return LstmPredictor(columns(SPACE), SurrogateSettings(epochs=3, **settings), 0)


@pytest.mark.parametrize("targets", [[0.5] * 8, [0.0] * 8, [1.0] * 8, [0.7]])
def test_constant_targets_and_a_single_one(targets):
    predictor = surrogate()
    tokens = [to_tokens(a) for a in sample(SPACE, len(targets), np.random.default_rng(2))]
    predictor.fit(tokens, targets)
    assert np.isfinite(predictor.predict(tokens)).all()


def test_no_point_at_all_changes_nothing():
    predictor, twin = surrogate(), surrogate()
    predictor.fit([], [])
    assert predictor.predict([to_tokens(FIRST)]) == twin.predict([to_tokens(FIRST)])


def test_an_unknown_token_is_refused():
    tokens = to_tokens(FIRST).copy()
    tokens[0, 0] = 999
    with pytest.raises(IndexError):
        surrogate().predict([tokens])


def test_a_surrogate_that_went_astray_begins_anew():
    predictor = surrogate()
    with torch.no_grad():
        predictor.network.table.fill_(math.nan)
    tokens = [to_tokens(FIRST), to_tokens(SECOND)]
    predictor.fit(tokens, [0.2, 0.8])
    assert np.isfinite(predictor.predict(tokens)).all()
    predictor.fit(tokens, [0.2, 0.8])
    assert np.isfinite(predictor.predict(tokens)).all()


@pytest.mark.parametrize("value", [math.nan, 0.0])
def test_a_search_survives_predictions_without_sense(ram, value):
    trials = search(ram / "run", Scripted(lambda a, n: None), predictor=Flat(value))
    assert {t.level for t in trials} == {1, 2}


# --- the clock --------------------------------------------------------------------------------


def test_a_clock_that_jumps_changes_nothing_but_times(ram, monkeypatch):
    expected = search(ram / "steady", Scripted(lambda a, n: None))
    jumps = iter([1e9, 5.0, 2e9, 0.0, -100.0] * 100)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    found = search(ram / "jumping", Scripted(lambda a, n: None))
    assert [t.architecture for t in found] == [t.architecture for t in expected]
    assert all(t.seconds >= 0 for t in found)
