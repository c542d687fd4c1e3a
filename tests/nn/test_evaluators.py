"""Evaluators: what a trial depends on, what it leaves behind, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from epnas_dsl.config import DataSettings, EvaluationSettings, TrainingSettings
from epnas_dsl.errors import ConfigError, DataError
from epnas_dsl.lang.loading import load_architecture, load_space
from epnas_dsl.nn import evaluators, places
from epnas_dsl.nn.data import load_data
from epnas_dsl.nn.evaluators import StandaloneEvaluator, SupernetEvaluator, layers_for
from epnas_dsl.nn.network import build_network, count_parameters
from epnas_dsl.nn.operations import DropPath
from epnas_dsl.nn.supernet import Supernet
from epnas_dsl.nn.training import TrainingFailed
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.passes import EXACT

DATA = load_data(DataSettings(limit=60))
SETTINGS = TrainingSettings(epochs=1, batch=32, calibration=1)
SPACE = load_space("micro(blocks=2, channels=4, repeats=1)")
FIRST, SECOND = sample(SPACE, 2, np.random.default_rng(1))
Kind = type[SupernetEvaluator] | type[StandaloneEvaluator]


def equal(one: SupernetEvaluator, other: SupernetEvaluator) -> bool:
    states = one.supernet.state(), other.supernet.state()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(value, states[1][name]) for name, value in states[0].items()
    )


@pytest.mark.parametrize("kind", [SupernetEvaluator, StandaloneEvaluator])
def test_metrics(kind: Kind) -> None:
    metrics = kind(DATA, SETTINGS, 3).evaluate(FIRST, 0)
    assert sorted(metrics) == ["accuracy", "loss", "macs", "params"]
    assert 0 <= metrics["accuracy"] <= 1
    layers = layers_for(FIRST, DATA, SETTINGS)
    assert metrics["params"] == count_parameters(build_network(layers))
    assert metrics["macs"] > metrics["params"]


@pytest.mark.parametrize("kind", [SupernetEvaluator, StandaloneEvaluator])
def test_seed_and_number_fix_a_trial(kind: Kind) -> None:
    first, same = (kind(DATA, SETTINGS, 3).evaluate(FIRST, 0) for _ in range(2))
    torch.manual_seed(0)
    assert first == same == kind(DATA, SETTINGS, 3).evaluate(FIRST, 0)
    assert kind(DATA, SETTINGS, 3).evaluate(FIRST, 1) != first
    assert kind(DATA, SETTINGS, 4).evaluate(FIRST, 0) != first


def test_the_best_epoch_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    train = evaluators.train

    def listen(*args: object, **kwargs: object) -> object:
        history = train(*args, **kwargs)  # type: ignore[arg-type]
        told.extend(epoch.validation.accuracy for epoch in history)
        return history

    monkeypatch.setattr(evaluators, "train", listen)
    settings = msgspec.structs.replace(SETTINGS, epochs=4, learning_rate=0.5)
    metrics = StandaloneEvaluator(DATA, settings).evaluate(SECOND, 0)
    assert len(told) == 4
    assert metrics["accuracy"] == max(told)


def test_weights_are_shared_saved_and_loaded(tmp_path: Path) -> None:
    whole, broken, other = (SupernetEvaluator(DATA, SETTINGS, 3) for _ in range(3))
    whole.evaluate(FIRST, 0)
    broken.evaluate(FIRST, 0)
    broken.save(tmp_path / "weights")
    other.evaluate(SECOND, 7)  # whatever happened since
    other.load(tmp_path / "weights")
    assert equal(whole, other)
    assert whole.evaluate(SECOND, 1) == other.evaluate(SECOND, 1)
    assert equal(whole, other)
    assert other.evaluate(FIRST, 2) != StandaloneEvaluator(DATA, SETTINGS, 3).evaluate(FIRST, 2)


def test_standalone_networks_leave_nothing(tmp_path: Path) -> None:
    evaluator = StandaloneEvaluator(DATA, SETTINGS, 3)
    first = evaluator.evaluate(FIRST, 0)
    evaluator.evaluate(SECOND, 1)
    assert evaluator.evaluate(FIRST, 0) == first
    evaluator.save(tmp_path / "weights")
    assert list(tmp_path.iterdir()) == []
    evaluator.load(tmp_path / "weights")


@pytest.mark.parametrize("failure", [KeyboardInterrupt, TrainingFailed])
def test_a_failure_leaves_the_shared_weights(
    monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    evaluator, twin = (SupernetEvaluator(DATA, SETTINGS, 3) for _ in range(2))
    evaluator.evaluate(FIRST, 0)
    twin.evaluate(FIRST, 0)
    evaluate = evaluators.train

    def fail(network: torch.nn.Module, *args: object) -> object:
        evaluate(network, *args)  # type: ignore[arg-type]
        raise failure("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(evaluators, "train", fail)
        with pytest.raises(failure):
            evaluator.evaluate(SECOND, 1)
    assert evaluator.evaluate(FIRST, 2) == twin.evaluate(FIRST, 2)
    assert evaluator.evaluate(SECOND, 3) == twin.evaluate(SECOND, 3)
    assert equal(evaluator, twin)


def test_a_diverging_trial_leaves_the_shared_weights_finite() -> None:
    wild = msgspec.structs.replace(SETTINGS, learning_rate=1e30, clip=0.0)
    evaluator = SupernetEvaluator(DATA, wild, 3)
    with pytest.raises(TrainingFailed, match="E640"):
        evaluator.evaluate(FIRST, 0)
    assert evaluator.supernet.is_finite()


@pytest.mark.parametrize("content", [None, b"", b"hello", b"\x10\0\0\0\0\0\0\0{}", b"\xff" * 64])
def test_damaged_weights(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "weights"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"E620: the shared weights .*weights cannot be read"):
        SupernetEvaluator(DATA, SETTINGS).load(path)


def test_the_supernet_is_where_the_settings_want_it() -> None:
    for last in (True, False):
        settings = msgspec.structs.replace(SETTINGS, channels_last=last, epochs=1)
        evaluator = SupernetEvaluator(DATA, settings)
        evaluator.evaluate(FIRST, 0)
        memory = torch.channels_last if last else torch.contiguous_format
        kernels = [p for p in evaluator.supernet.parameters.values() if p.dim() == 4]
        assert kernels
        assert all(p.is_contiguous(memory_format=memory) for p in kernels)
    evaluator = SupernetEvaluator(DATA, SETTINGS)
    evaluator.supernet = given = Supernet(5)
    evaluator.evaluate(FIRST, 0)
    assert given.parameters


def test_drop_path_only_where_it_is_set() -> None:
    for p in (0.0, 0.3):
        settings = msgspec.structs.replace(SETTINGS, drop_path=p)
        network = build_network(layers_for(FIRST, DATA, settings))
        assert any(isinstance(m, DropPath) for m in network.modules()) == (p > 0)


@pytest.mark.parametrize("kind", [SupernetEvaluator, StandaloneEvaluator])
def test_convolutions_are_joined_where_that_is_set(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same network on the same weights, of which a training makes the same up to rounding."""
    cell = "h1 = conv_3x3(prev1) + conv_3x3(prev1); h2 = conv_3x3(prev1) + max_pool_3x3(prev2)"
    architecture = load_architecture(f"micro(blocks=2, channels=4, repeats=1): {cell}")
    codes: list[str] = []
    train = evaluators.train

    def told(network: torch.nn.Module, *rest: object) -> object:
        codes.append("".join(str(getattr(m, "code", "")) for m in network.modules()))
        return train(network, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluators, "train", told)
    plain, joined = (
        kind(DATA, msgspec.structs.replace(SETTINGS, joined=j), 3).evaluate(architecture, 0)
        for j in (False, True)
    )
    assert ["joint_norm" in code for code in codes] == [False, True]
    assert joined == pytest.approx(plain, rel=1e-4)
    several = evaluators.passes(msgspec.structs.replace(SETTINGS, joined=True), 2)
    assert several == EXACT  # their batch norms see the batches of all


def test_spaces_that_do_not_fit_the_data() -> None:
    (hundred,) = sample(load_space("micro(classes=100)"), 1, np.random.default_rng(0))
    with pytest.raises(ConfigError, match=r"E610: micro ends in 100 .* digits has 10\n.*=10\)"):
        layers_for(hundred, DATA, SETTINGS)


def test_what_a_worker_trains_from_a_snapshot_is_what_the_owner_would() -> None:
    owner, worker = SupernetEvaluator(DATA, SETTINGS, 3), SupernetEvaluator(DATA, SETTINGS, 3)
    owner.evaluate(FIRST, 0)
    worker.evaluate(SECOND, 7)  # of an earlier batch: the snapshot takes its place
    worker.take(owner.dump())
    assert worker.evaluate(SECOND, 1) == SupernetEvaluator.evaluate(owner, SECOND, 1)
    assert worker.dump() == owner.dump()
    other = SupernetEvaluator(DATA, SETTINGS, 3)
    other.evaluate(FIRST, 0)
    other.merge([worker.dump(SECOND)])
    assert other.dump() == owner.dump()
    assert len(worker.dump(SECOND)) < len(worker.dump())


def test_several_workers_share_the_cores_and_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "cores", lambda: 8)
    plain, named = TrainingSettings(), TrainingSettings(threads=3, device="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = places.place_worker(plain, 1, 3)
    assert (found.threads, found.device) == (2, "auto")
    assert places.place_worker(plain, 1, 20).threads == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [places.place_worker(plain, i, 6).device for i in (0, 3, 5)] == [
        "cuda:0",
        "cuda:3",
        "cuda:1",
    ]
    assert places.place_worker(named, 1, 4) == named


@pytest.mark.parametrize("kind", [SupernetEvaluator, StandaloneEvaluator])
def test_latency_is_measured_where_it_is_wanted(kind: Kind) -> None:
    metrics = kind(DATA, SETTINGS, 3, EvaluationSettings(latency=4)).evaluate(FIRST, 0)
    assert 0 < metrics.pop("latency") < 10_000
    assert metrics == kind(DATA, SETTINGS, 3).evaluate(FIRST, 0)


@pytest.mark.parametrize("kind", [SupernetEvaluator, StandaloneEvaluator])
def test_what_is_slower_than_the_limit_is_not_trained(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluators, "latency", lambda *_: 5.25)
    within = EvaluationSettings(latency=4, latency_limit=5.25)
    assert kind(DATA, SETTINGS, 3, within).evaluate(FIRST, 0)["latency"] == 5.25
    monkeypatch.setattr(evaluators, "train", None)
    with pytest.raises(
        TrainingFailed, match=r"E642: a batch of 4 takes 5.25 ms, more than the 5 of"
    ):
        kind(DATA, SETTINGS, 3, EvaluationSettings(latency=4, latency_limit=5)).evaluate(FIRST, 0)
