import dataclasses
import json
import random
import signal
import subprocess
import sys
import time
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
from fakes import MODULUS, FakeSearcher, hash_of

from epnas_dsl.config import Config
from epnas_dsl.errors import RunError
from epnas_dsl.runs.executor import ProcessExecutor, SerialExecutor
from epnas_dsl.runs.runner import Silence, Stopped, run
from epnas_dsl.runs.snapshot import Apprentice, SnapshotExecutor
from epnas_dsl.runs.store import Store, create

SCRIPT = Path(__file__).with_name("killed_batches.py")


class Shared:
    """Shared weights of eight cells; an architecture changes three of them."""

    def __init__(self, failing=(), seconds=None):
        self.weights = {}
        self.failing, self.seconds = failing, seconds or {}

    def cells(self, architecture):
        start = hash_of(str(architecture)) % 8
        return [str((start + i) % 8) for i in range(3)]

    def evaluate(self, architecture, number):
        time.sleep(self.seconds.get(number, 0))
        for cell in self.cells(architecture):
            self.weights[cell] = (self.weights.get(cell, 1) * 31 + number) % MODULUS
        if number in self.failing:
            raise ValueError("the loss is nan")
        return {"accuracy": sum(self.weights[c] for c in self.cells(architecture)) / MODULUS / 3}

    def dump(self, architecture=None):
        kept = self.weights if architecture is None else self.cells(architecture)
        return json.dumps({cell: self.weights[cell] for cell in kept}).encode()

    def take(self, weights):
        self.weights = json.loads(weights)

    def merge(self, parts):
        parts = [json.loads(part) for part in parts]
        for cell in sorted({cell for part in parts for cell in part}):
            values = [part[cell] for part in parts if cell in part]
            self.weights[cell] = int(sum(map(Fraction, values)) / len(values))

    def save(self, path):
        path.write_text(json.dumps(self.weights))

    def load(self, path):
        self.weights = json.loads(Path(path).read_text())


class Backwards:
    """A pool in this process, in which the last task is the first to be done."""

    together = False

    def __init__(self, factory, workers):
        self.inner, self.workers = SerialExecutor(partial(Apprentice, factory)), workers

    def evaluate(self, tasks):
        return self.inner.evaluate(list(reversed(tasks)))

    def close(self):
        pass


class Forwards(Backwards):
    def evaluate(self, tasks):
        return self.inner.evaluate(tasks)


def snapshots(pool, workers=3, **settings):
    factory = partial(Shared, **settings)
    return SnapshotExecutor(factory, pool(factory, workers))


def processes(factory, workers):
    return ProcessExecutor(partial(Apprentice, factory), workers)


def timeless(trials):
    return [dataclasses.replace(trial, started=0.0, ended=0.0) for trial in trials]


def test_the_children_of_a_batch_begin_from_the_same_weights_and_are_averaged(store):
    executor = snapshots(Forwards, workers=3)
    tasks = list(enumerate(FakeSearcher(1, 3).ask(3)))
    expected, seen = {}, []
    for number, architecture in tasks:
        alone = Shared()
        seen.append(alone.evaluate(architecture, number))
        for cell, value in alone.weights.items():
            expected.setdefault(cell, []).append(value)
    assert [outcome.metrics for outcome in executor.evaluate(tasks)] == seen
    means = {cell: int(Fraction(sum(v), len(v))) for cell, v in expected.items()}
    assert json.loads(executor.evaluator.dump()) == means
    executor.close()


def test_the_order_in_which_workers_finish_changes_nothing(tmp_path):
    found = []
    slow = {0: 0.4, 3: 0.2}
    for name, pool, seconds in [
        ("a", Forwards, {}), ("b", Backwards, {}), ("c", processes, slow)
    ]:  # fmt: skip
        executor = snapshots(pool, failing={4}, seconds=seconds)
        with create(tmp_path / name, Config(), "") as other:
            trials = run(FakeSearcher(2, 5), executor, other)
            found.append((timeless(trials), other.checkpoint(trials[-1]).read_bytes()))
        executor.close()
    assert found[0] == found[1] == found[2]
    assert [t.state for t in found[0][0]].count("failed") == 1
    names = [t.checkpoint for t in found[0][0]]  # batches of three and two in a step of five
    assert names == [f"{i:06d}.ckpt" for i in (2, 2, 2, 4, 4, 7, 7, 7, 9, 9)]


def test_a_failed_child_leaves_no_trace(store):
    executor = snapshots(Forwards, workers=2, failing={1})
    run(FakeSearcher(1, 2), executor, store)
    alone = Shared()
    alone.evaluate(FakeSearcher(1, 2).ask(1)[0], 0)
    assert json.loads(executor.evaluator.dump()) == alone.weights
    executor.close()


def test_a_batch_that_fails_as_a_whole_leaves_the_weights_of_before(store):
    executor = snapshots(Forwards, workers=2, failing={2, 3})
    trials = run(FakeSearcher(3, 2), executor, store)
    assert [t.state for t in trials[2:4]] == ["failed", "failed"]
    assert {t.digest for t in trials[:4]} == {trials[0].digest}
    assert trials[4].digest != trials[0].digest
    executor.close()


def test_nothing_but_failures_gives_up(store):
    executor = snapshots(Forwards, failing=range(99))
    with pytest.raises(RunError, match="all 5 trials failed"):
        run(FakeSearcher(), executor, store)
    executor.close()


class Stopper(Silence):
    def __init__(self, after):
        self.after = after

    def ended(self, trial, progress):
        if trial.number == self.after:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("after", [0, 2, 4, 13])
def test_a_stopped_run_resumes_as_if_unbroken(tmp_path, store, after, damaged):
    whole = timeless(run(FakeSearcher(), snapshots(Forwards, failing={2, 11}), store))
    with create(tmp_path / "other", Config(), "") as other:
        with pytest.raises(Stopped):
            run(FakeSearcher(), snapshots(Forwards, failing={2, 11}), other, Stopper(after))
        assert len(other.trials()) % 5 in {0, 3}  # batches are whole
        if damaged:  # then the whole of the last batch is trained again
            other.checkpoint(other.trials()[-1]).write_text("{}")
        again = snapshots(Forwards, failing={2, 11})
        assert timeless(run(FakeSearcher(), again, other)) == whole


def start(folder):
    command = [sys.executable, str(SCRIPT), str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    return child


def finish(child):
    child.stdout.close()
    return child.wait(timeout=60)


def test_killed_in_the_middle_of_batches_nothing_is_lost_or_done_twice(tmp_path):
    assert finish(start(tmp_path / "whole")) == 0
    with Store(tmp_path / "whole") as store:
        whole = timeless(store.trials())
        weights = store.checkpoint(whole[-1]).read_bytes()
    assert len(whole) == 40
    moments, kills, folders = random.Random(7), 0, 0
    while kills < 12:
        folder = tmp_path / f"killed{(folders := folders + 1)}"
        seen, code = 0, -1
        while code:
            child = start(folder)
            if kills < 12:
                time.sleep(moments.uniform(0, 0.12))
                child.send_signal(signal.SIGKILL)
            code = finish(child)
            kills += code != 0
            if (folder / "run.db").exists():
                with Store(folder) as store:
                    trials = store.trials()
                assert len(trials) >= seen
                assert timeless(trials) == whole[: len(trials)]
                seen = len(trials)
        with Store(folder) as store:
            assert timeless(store.trials()) == whole
            assert store.checkpoint(whole[-1]).read_bytes() == weights
