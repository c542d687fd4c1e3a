"""A search on a Ray cluster of two nodes, one of which is killed; started and ended here."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from cluster import Cluster, wait_for_port
from fakes import FakeSearcher, PlainEvaluator
from test_snapshot import Forwards, Shared, snapshots

from epnas_dsl import experiment
from epnas_dsl.config import Config, override
from epnas_dsl.errors import ConfigError
from epnas_dsl.runs.executor import SerialExecutor
from epnas_dsl.runs.ray_executor import RayExecutor, prepare
from epnas_dsl.runs.runner import Silence, run
from epnas_dsl.runs.snapshot import Apprentice, SnapshotExecutor
from epnas_dsl.runs.store import create

TOKEN = "0123456789abcdef" * 4
SMALL = [
    "space=micro(blocks=2, channels=4, repeats=1)", "search.kept=4", "search.iterations=1",
    "search.first_level_limit=1", "training.epochs=1", "data.limit=100", "surrogate.epochs=3",
    "evaluation.final_epochs=0", "training.device=cpu", "training.threads=1",
    "evaluation.evaluator=standalone",
]  # fmt: skip
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="without Ray")


def timeless(trials):
    return [dataclasses.replace(trial, started=0.0, ended=0.0) for trial in trials]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    root, here = Path(__file__).parents[2], Path(__file__).parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("PYTHONPATH", f"{root}:{here}")
        # Ray's sockets lie in its folder, and a socket's path is short.
        folder = Path(f"/tmp/ray-{tmp_path_factory.getbasetemp().name}-{time.time_ns():x}")
        started = Cluster(folder)
        try:
            wait_for_port(started.address)
            started.add()
            yield started
        finally:
            started.close()
            import shutil

            shutil.rmtree(folder, ignore_errors=True)


class Killer(Silence):
    """Kills a node when some trials are done."""

    def __init__(self, cluster, after):
        self.cluster, self.after, self.numbers = cluster, after, []

    def ended(self, trial, progress):
        self.numbers.append(trial.number)
        if len(self.numbers) == self.after:
            self.cluster.kill(self.cluster.processes[-1])


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_a_killed_node_costs_no_trial_and_weights_are_merged_as_here(
    tmp_path, store, cluster, caplog, capsys
):
    expected = timeless(
        run(FakeSearcher(2, 24), SerialExecutor(partial(PlainEvaluator, fail={4})), store)
    )
    here = snapshots(Forwards, workers=4, failing={1})
    with create(tmp_path / "here", Config(), "") as other:
        merged = timeless(run(FakeSearcher(2, 4), here, other))

    factory = partial(PlainEvaluator, fail={4}, seconds=0.25)
    executor = RayExecutor(factory, cluster.address, 24)
    assert wait_for_nodes(executor, 2)
    killer = Killer(cluster, 30)
    caplog.set_level("INFO", "epnas_dsl")
    with create(tmp_path / "killed", Config(), "") as other:
        trials = run(FakeSearcher(2, 24), executor, other, killer)
    assert sorted(killer.numbers) == list(range(48))  # none lost, none twice
    assert timeless(trials) == expected
    assert "a worker is gone" in caplog.text
    assert wait_for_nodes(executor, 1)
    executor.close()

    pool = RayExecutor(partial(Apprentice, partial(Shared, failing={1})), cluster.address, 4)
    with create(tmp_path / "there", Config(), "") as other:
        executor = SnapshotExecutor(partial(Shared, failing={1}), pool, pool.share)
        assert timeless(run(FakeSearcher(2, 4), executor, other)) == merged
    executor.close()

    refusing = RayExecutor(partial(PlainEvaluator, refuse={1}), cluster.address, 2)
    with pytest.raises(ConfigError, match="no such device") as refused:
        list(refusing.evaluate(list(enumerate(FakeSearcher(1, 2).ask(2)))))
    assert refused.value.diagnostics[0].code == "E513"
    refusing.close()
    dying = RayExecutor(partial(PlainEvaluator, die={0}), cluster.address, 2)
    (outcome,) = dying.evaluate([(0, FakeSearcher().ask(1)[0])])
    assert outcome.message.startswith("the worker that evaluated it died")
    dying.close()
    hanging = RayExecutor(partial(PlainEvaluator, seconds=60), cluster.address, 2, lease=0.8)
    (outcome,) = hanging.evaluate([(0, FakeSearcher().ask(1)[0])])
    assert outcome.message == "it took longer than the 0.8 s of evaluation.timeout, 3 times"
    hanging.close()
    assert capsys.readouterr().out == ""


@needs_ray
@pytest.mark.slow
def test_a_killed_search_resumes_on_the_cluster(tmp_path, cluster):
    whole = experiment.run(override(Config(), SMALL), tmp_path / "whole")
    words = [*SMALL, "evaluation.workers=2"]
    sets = [word for setting in words for word in ("--set", setting)]
    epnas = [sys.executable, "-m", "epnas_dsl"]
    folder = tmp_path / "run"
    search = [*epnas, "search", "micro(blocks=2, channels=4, repeats=1)", *sets]
    with (tmp_path / "log").open("w") as log:
        child = subprocess.Popen(
            [*search, "--out", str(folder), "--ray", cluster.address], stderr=log, stdout=log
        )
        while child.poll() is None and found(folder) < 1:
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
    before = found(folder)
    assert 1 <= before < 8, (tmp_path / "log").read_text()
    command = [*epnas, "resume", str(folder), "--json", "--ray", cluster.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=80)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"] == 8
    assert timeless(experiment.trials(folder)) == timeless(whole.trials)


def wait_for_nodes(executor, number):
    deadline = time.monotonic() + 40
    while sum(node["Alive"] for node in executor._ray.nodes()) != number:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def found(folder):
    return len(experiment.trials(folder)) if (folder / "run.db").exists() else 0


def test_without_a_token_ray_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match="without a token") as refused:
        prepare()
    assert refused.value.diagnostics[0].code == "E546"
    words = ["evaluation.ray=auto", "evaluation.evaluator=standalone"]
    with pytest.raises(ConfigError, match="without a token"):
        experiment.run(override(Config(), words), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(TOKEN)
    prepare()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "other"))
    with pytest.raises(ConfigError, match="without a token"):
        prepare()
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    prepare()
    assert sys.modules["os"].environ["RAY_USAGE_STATS_ENABLED"] == "0"
    with pytest.raises(ConfigError, match="how many trials at a time"):
        experiment.run(override(Config(), words), tmp_path / "run")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ConfigError, match="without a token"):
        prepare()


def test_ray_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed") as refused:
        prepare()
    assert refused.value.diagnostics[0].code == "E545"
