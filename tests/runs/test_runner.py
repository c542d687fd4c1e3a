import dataclasses
import signal
import time
from functools import partial

import pytest
from fakes import FakeEvaluator, FakeSearcher, PlainEvaluator

from epnas_dsl.config import Config
from epnas_dsl.errors import ConfigError, RunError
from epnas_dsl.runs.executor import ProcessExecutor, SerialExecutor
from epnas_dsl.runs.runner import HOPELESS, Silence, Stopped, run
from epnas_dsl.runs.store import create
from epnas_dsl.runs.trial import Trial


def timeless(trials: list[Trial]) -> list[Trial]:
    return [dataclasses.replace(trial, started=0.0, ended=0.0) for trial in trials]


class Diary(Silence):
    """Writes down what it is told; stops the run after some trials."""

    def __init__(self, stop_after: int = -1, signals: int = 1) -> None:
        self.lines: list[str] = []
        self.stop_after, self.signals = stop_after, signals

    def resumed(self, trials, progress):
        self.lines.append(f"resumed {len(trials)}")

    def ended(self, trial, progress):
        self.lines.append(f"ended {trial.number}")
        if trial.number == self.stop_after:
            for _ in range(self.signals):
                signal.raise_signal(signal.SIGINT)

    def note(self, text):
        self.lines.append(text)


def serial(**settings):
    return SerialExecutor(lambda: FakeEvaluator(**settings))


def test_runs_to_the_end_and_tells_all(store):
    searcher = FakeSearcher(steps=3, kept=4)
    trials = run(searcher, serial(), store)
    assert [t.number for t in trials] == list(range(12))
    assert [text for text, _ in searcher.told] == [t.architecture for t in trials]
    assert store.trials() == trials
    assert trials[7].level == 2
    assert trials[7].notes == {"iteration": 1, "level": 2, "predicted": 0.5, "step": 1}
    assert [f.name for f in sorted((store.path / "checkpoints").iterdir())] == [
        "000010.ckpt",
        "000011.ckpt",
    ]


@pytest.mark.parametrize("after", [0, 4, 10, 18, 19])
def test_a_stopped_run_resumes_as_if_unbroken(tmp_path, store, after):
    whole = timeless(run(FakeSearcher(), serial(failing={2, 11}), store))
    diary = Diary(stop_after=after)
    with create(tmp_path / "other", Config(), "") as other:
        if after < 19:
            with pytest.raises(Stopped) as stopped:
                run(FakeSearcher(), serial(failing={2, 11}), other, diary)
            assert stopped.value.signal == signal.SIGINT
            assert len(other.trials()) == after + 1
            assert "once more" in diary.lines[-1]
        diary = Diary()
        assert timeless(run(FakeSearcher(), serial(failing={2, 11}), other, diary)) == whole
        found = after + 1 if after < 19 else 0
        assert diary.lines == [f"resumed {found}"] * bool(found) + [
            f"ended {i}" for i in range(found, 20)
        ]


def test_a_run_in_pieces_is_the_whole_run(tmp_path, store):
    whole = timeless(run(FakeSearcher(), serial(failing={2, 11}), store))
    with create(tmp_path / "other", Config(), "") as other:
        for done in range(1, 21):  # no time at all is still enough for a trial
            with pytest.raises(Stopped, match="its time was over") as stopped:
                run(FakeSearcher(), serial(failing={2, 11}), other, until=time.monotonic())
            assert (stopped.value.signal, stopped.value.at_once) == (0, False)
            assert len(other.trials()) == done
        assert timeless(run(FakeSearcher(), serial(failing={2, 11}), other, until=0)) == whole


def test_the_handlers_of_before_are_put_back(store):
    before = signal.getsignal(signal.SIGINT)
    run(FakeSearcher(1, 1), serial(), store)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_signal_stops_at_once(store):
    with pytest.raises(Stopped):
        run(FakeSearcher(), serial(), store, Diary(stop_after=3, signals=2))
    assert len(store.trials()) == 4


@pytest.mark.parametrize(("signals", "recorded"), [(1, 6), (2, 5)])
def test_a_signal_during_a_trial_lets_it_end_and_a_second_one_does_not(store, signals, recorded):
    class Interrupted(FakeEvaluator):
        def evaluate(self, architecture, number):
            for _ in range(signals if number == 5 else 0):
                signal.raise_signal(signal.SIGINT)
            return super().evaluate(architecture, number)

    with pytest.raises(Stopped) as stopped:
        run(FakeSearcher(), SerialExecutor(Interrupted), store)
    assert stopped.value.at_once == (signals == 2)
    assert [t.number for t in store.trials()] == list(range(recorded))


def test_a_failure_gives_the_weights_of_before_back(store):
    trials = run(FakeSearcher(2, 4), serial(failing={0, 3}), store)
    assert [t.state for t in trials].count("failed") == 2
    assert trials[0].message == "ValueError: the loss is nan"
    assert (trials[0].metrics, trials[0].checkpoint) == ({}, "")
    assert trials[1].metrics["loss"] == 2  # the first weights, as if nothing had been before
    assert (trials[3].checkpoint, trials[3].digest) == (trials[2].checkpoint, trials[2].digest)
    assert trials[4].metrics["loss"] == trials[2].metrics["loss"] + 1


def test_an_accuracy_that_is_none_is_a_failure(store):
    evaluator = PlainEvaluator()
    evaluator.evaluate = lambda architecture, number: {"accuracy": float("nan") if number else 0.5}
    trials = run(FakeSearcher(1, 2), SerialExecutor(lambda: evaluator), store)
    assert [t.message for t in trials] == ["", "ValueError: the accuracy is nan, not from 0 to 1"]


def test_nothing_but_failures_gives_up(store):
    with pytest.raises(RunError, match="all 5 trials failed, the last with: ValueError"):
        run(FakeSearcher(), serial(failing=set(range(99))), store)
    assert len(store.trials()) == HOPELESS


def test_wrong_settings_abort(store):
    with pytest.raises(ConfigError):
        run(FakeSearcher(), SerialExecutor(lambda: PlainEvaluator(refuse={2})), store)
    assert len(store.trials()) == 2


def test_another_search_is_refused(store):
    run(FakeSearcher(steps=2), serial(), store)
    with pytest.raises(RunError, match=r"(?s)trial 0 .*recorded: fake: h1.*asked: +fake: h1") as e:
        run(FakeSearcher(seed=1), serial(), store)
    assert e.value.diagnostics[0].code == "E708"
    with pytest.raises(RunError, match=r"asked: +nothing more"):
        run(FakeSearcher(steps=1), serial(), store)
    assert len(store.trials()) == 10


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_every_executor_gives_the_same_records(tmp_path, store, executor):
    factory = partial(PlainEvaluator, fail={4})
    expected = run(FakeSearcher(2, 4), SerialExecutor(factory), store)
    made = ProcessExecutor(factory, 2) if executor == "processes" else SerialExecutor(factory)
    with create(tmp_path / "other", Config(), "") as other:
        try:
            with pytest.raises(Stopped):
                run(FakeSearcher(2, 4), made, other, Diary(stop_after=2))
            trials = run(FakeSearcher(2, 4), made, other)
        finally:
            made.close()
    assert timeless(trials) == timeless(expected)


def test_a_process_that_dies_costs_its_own_trial_only(store):
    executor = ProcessExecutor(partial(PlainEvaluator, die={1}), 2)
    try:
        trials = run(FakeSearcher(1, 4), executor, store)
    finally:
        executor.close()
    assert [t.state for t in trials] == ["complete", "failed", "complete", "complete"]
    assert "died" in trials[1].message


def test_closing_ends_processes_at_once(store):
    executor = ProcessExecutor(partial(PlainEvaluator, seconds=60), 1)
    started = time.monotonic()
    executor._lend((0, FakeSearcher().ask(1)[0]))
    executor.close()
    assert time.monotonic() - started < 20
