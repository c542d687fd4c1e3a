"""Processes, one that dies and one that hangs: the others go on, each task has one outcome."""

import os
import signal
import time
from functools import partial

import pytest
from fakes import FakeSearcher, hash_of

from epnas_dsl.config import Config
from epnas_dsl.runs.executor import ProcessExecutor, SerialExecutor
from epnas_dsl.runs.runner import run
from epnas_dsl.runs.store import create


class Unlucky:
    """Dies, hangs or sleeps at some trials: always, or the first time only (told by a file)."""

    def __init__(self, folder, dying=(), hanging=(), first_time=(), seconds=0.0):
        self.folder, self.seconds = folder, seconds
        self.dying, self.hanging, self.first_time = dying, hanging, first_time

    def evaluate(self, architecture, number):
        with open(self.folder / f"{number}", "a") as file:
            file.write(f"{os.getpid()}\n")
        tries = len((self.folder / f"{number}").read_text().split())
        if number not in self.first_time or tries == 1:
            if number in self.dying:
                os.kill(os.getpid(), signal.SIGKILL)
            if number in self.hanging:
                time.sleep(600)
        time.sleep(self.seconds)
        return {"accuracy": (hash_of(str(architecture)) + number) % 1000 / 1000}

    def save(self, path):
        pass

    def load(self, path):
        pass

    def tried(self, number):
        return (self.folder / f"{number}").read_text().split()


@pytest.mark.parametrize("workers", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_one_dies_and_one_hangs(ram, workers):
    (ram / "tries").mkdir()
    bad = {"dying": {2, 5, 13}, "hanging": {7, 16}, "first_time": {5, 16}}
    factory = partial(Unlucky, ram / "tries", **bad)
    executor = ProcessExecutor(factory, workers, lease=2)
    with create(ram / "run", Config(), "") as store:
        trials = run(FakeSearcher(2, 10), executor, store)
        executor.close()
        assert store.trials() == trials
    with create(ram / "other", Config(), "") as store:
        (ram / "untroubled").mkdir()
        twin = SerialExecutor(partial(Unlucky, ram / "untroubled"))
        expected = run(FakeSearcher(1, 10), twin, store)
    assert [t.number for t in trials] == list(range(20))
    failed = {t.number: t.message for t in trials if t.state == "failed"}
    assert sorted(failed) == [2, 7, 13]
    assert "died" in failed[2]
    assert failed[7] == "it took longer than the 2 s of evaluation.timeout"
    ours = {t.number: t.metrics for t in trials[:10] if t.state == "complete"}
    assert ours == {t.number: t.metrics for t in expected if t.number in ours}
    tries = {n: Unlucky(ram / "tries").tried(n) for n in range(20)}
    assert {n for n, found in tries.items() if len(found) == 2} == {2, 5, 7, 13, 16}
    assert all(len(set(found)) == len(found) <= 2 for found in tries.values())


def test_a_worker_that_is_killed_again_and_again(ram):
    (ram / "tries").mkdir()
    executor = ProcessExecutor(partial(Unlucky, ram / "tries", seconds=0.1), 2)
    kills = 0
    outcomes = []
    for outcome in executor.evaluate(list(enumerate(FakeSearcher(1, 12).ask(12)))):
        outcomes.append(outcome)
        if len(outcomes) % 3 == 1 and executor._idle:
            idle = executor._idle[-1]._process
            os.kill(idle.pid, signal.SIGKILL)  # while it has nothing to do
            idle.join()
            kills += 1
    executor.close()
    assert kills >= 3
    assert sorted(o.number for o in outcomes) == list(range(12))
    assert all(not o.message for o in outcomes)


def test_a_result_that_comes_too_late_is_not_heard(ram):
    (ram / "tries").mkdir()
    factory = partial(Unlucky, ram / "tries", seconds=0.0)
    executor = ProcessExecutor(factory, 1, lease=0.2)
    tasks = list(enumerate(FakeSearcher(1, 3).ask(3)))
    assert [o.number for o in executor.evaluate(tasks[:1])] == [0]  # the process is warm now
    (worker,) = executor._idle
    os.kill(worker._process.pid, signal.SIGSTOP)  # it does not even read its task
    found = list(executor.evaluate(tasks[1:2]))
    executor.close()
    assert worker._process.exitcode == -signal.SIGKILL
    assert [(o.number, o.message) for o in found] == [(1, "")]  # by the process that followed
    assert len(Unlucky(ram / "tries").tried(1)) == 1


def test_a_lease_needs_a_process(ram):
    from epnas_dsl import experiment
    from epnas_dsl.config import override
    from epnas_dsl.errors import ConfigError

    with pytest.raises(ConfigError, match=r"evaluation\.timeout = 5"):
        experiment.run(override(Config(), ["evaluation.timeout=5"]), ram / "run")
    assert not (ram / "run").exists()
