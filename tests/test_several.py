"""Independent runs side by side: the runs that they would be alone, stopped and gone on with."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from epnas_dsl import experiment
from epnas_dsl.cli import main
from epnas_dsl.config import Config, override
from epnas_dsl.errors import ConfigError, RunError
from epnas_dsl.resources import resource
from epnas_dsl.runs.runner import Stopped
from epnas_dsl.runs.store import claimed, locked

SMALL = [
    "space=micro(blocks=2, channels=4, repeats=1)", "search.kept=2", "search.iterations=1",
    "search.first_level_limit=1", "training.epochs=1", "training.threads=1", "data.limit=100",
    "surrogate.epochs=3", "evaluation.final_epochs=1", "search.seed=5",
]  # fmt: skip


def timeless(trials):
    return [dataclasses.replace(trial, started=0.0, ended=0.0) for trial in trials]


def test_each_run_is_the_one_with_its_seed_and_the_best_counts(tmp_path):
    words = [*SMALL, "search.runs=2", "evaluation.workers=2"]
    found = experiment.run(override(Config(), words), tmp_path / "runs")
    alone = [
        experiment.run(override(Config(), [*SMALL, f"search.seed={seed}"]), tmp_path / str(seed))
        for seed in (5, 6)
    ]
    for i, one in enumerate(alone, 1):
        assert timeless(experiment.trials(tmp_path / "runs" / str(i))) == timeless(one.trials)
    best = max(alone, key=lambda one: one.best.accuracy)
    assert (found.best.architecture, found.test) == (best.best.architecture, best.test)
    assert found.path == tmp_path / "runs" / str(1 + alone.index(best))
    assert experiment.plan(override(Config(), words))[1] == 2 * len(alone[0].trials)
    assert experiment.run_config(tmp_path / "runs").search.proposals == 1  # as alone


def test_the_folder_of_several_runs_stands_for_the_best_of_all(tmp_path, capsys):
    folder = tmp_path / "runs"
    found = experiment.run(override(Config(), [*SMALL, "search.runs=2"]), folder)

    def out(*words):
        status = main([str(word) for word in words])
        told = capsys.readouterr()
        return told.out if status == 0 else f"{status} {told.err}"

    run, best = found.path.name, found.best
    first = out("top", folder).splitlines()[1].split()
    assert (first[0], first[-5]) == (f"{run}:{best.number}", best.architecture.split()[-5])
    row = json.loads(out("top", folder, "--pareto", "--json"))["trials"][0]
    assert (row["run"], row["number"]) == (run, best.number)
    assert out("report", folder).strip() == str(found.path / "report.html")
    assert out("summary", f"{folder}:best").splitlines()[0] == best.architecture
    assert best.architecture in out("summary", f"{folder}:best(params<1e9)")
    assert f"{folder}/1:0" in out("summary", f"{folder}:0")
    network = tmp_path / "best.py"
    assert out("compile", f"{folder}:best", "-o", network, "--weights", f"{folder}:best") == ""
    assert network.is_file()
    for path in experiment.folders(folder):
        (path / "run.db").unlink()
    assert f"none of the runs in `{folder}` has begun" in out("top", folder)


def start(*words):
    command = [sys.executable, "-m", "epnas_dsl", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def trials_in(folder):
    return sum(
        len(experiment.trials(path.parent)) for path in folder.glob("*/run.db") if path.is_file()
    )


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 3), (signal.SIGKILL, -9)])
def test_stopped_runs_go_on_as_a_whole(tmp_path, number, status):
    sets = [word for setting in [*SMALL, "search.iterations=3"] for word in ("--set", setting)]
    folder = tmp_path / "runs"
    words = ["search", "micro(blocks=2, channels=4, repeats=1)", *sets[2:], "--out", folder]
    child = start(*words, "--runs", 3, "--workers", 2)
    while child.poll() is None and trials_in(folder) < 3:
        time.sleep(0.02)
    child.send_signal(number)
    _, error = child.communicate(timeout=60)
    assert child.returncode == status, error
    end = time.monotonic() + 20
    while any(experiment.status(p.parent).state == "running" for p in folder.glob("*/run.db")):
        assert time.monotonic() < end  # the others end with the process that started them
        time.sleep(0.1)
    before = trials_in(folder)
    assert before < 3 * 12
    out, error = start("resume", folder, "--json").communicate(timeout=200)
    rows = json.loads(out)["runs"]
    assert [(row["state"], row["trials"]) for row in rows] == [("done", 12)] * 3
    for path in experiment.folders(folder):
        assert [t.number for t in experiment.trials(path)] == list(range(12))
    assert "12" in start("status", folder).communicate()[0]


def test_a_folder_that_is_taken_and_settings_that_do_not_go_together(tmp_path):
    config = override(Config(), [*SMALL, "search.runs=2"])
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="not empty"):
        experiment.run(config, tmp_path)
    with pytest.raises(RunError, match="is a file"):
        experiment.run(config, tmp_path / "file")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", "0" * 64)
        patch.setenv("RAY_AUTH_MODE", "token")
        words = [*SMALL, "search.runs=2", "evaluation.ray=auto", "evaluation.workers=2"]
        with pytest.raises(ConfigError, match="not for Ray"):
            experiment.run(override(Config(), words), tmp_path / "ray")
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_of_several_runs_has_one_writer(tmp_path):
    config = override(Config(), [*SMALL, "search.runs=2", "evaluation.final_epochs=0"])
    with claimed(tmp_path / "runs"), pytest.raises(RunError, match=r"E703.* being written by"):
        experiment.run(config, tmp_path / "runs")
    with pytest.raises(Stopped):  # the lock left nothing behind
        experiment.run(config, tmp_path / "runs", minutes=1e-9)
    with locked(tmp_path / "runs"), pytest.raises(RunError, match=f"E703.*process {os.getpid()} "):
        experiment.resume(tmp_path / "runs")
    for runs in (1, 2):
        with pytest.raises(RunError, match=r"E701.* holds a run already"):
            experiment.run(override(config, [f"search.runs={runs}"]), tmp_path / "runs")


@pytest.mark.slow
def test_of_two_that_start_at_once_one_names_the_other(tmp_path):
    words = ["search", "micro(blocks=2, channels=4, repeats=1)", "--runs", 2, "--out"]
    sets = [word for setting in SMALL[1:] for word in ("--set", setting)]
    both = [start(*words, tmp_path / "runs", *sets) for _ in range(2)]
    errors = {child.pid: child.communicate(timeout=100)[1] for child in both}
    winner, other = sorted(both, key=lambda child: child.returncode)
    assert (winner.returncode, other.returncode) == (0, 4), errors
    assert "E703" in errors[other.pid]
    assert f"process {winner.pid} on {socket.gethostname()}" in errors[other.pid]
    states = [experiment.status(path).state for path in experiment.folders(tmp_path / "runs")]
    assert states == ["done", "done"]


def test_runs_that_wait_keep_the_space_that_they_were_begun_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = resource("spaces", "micro").read_text()
    Path("micro.space").write_text(text)
    config = override(Config(), [*SMALL, "search.runs=2", "evaluation.final_epochs=0"])
    with pytest.raises(Stopped):
        experiment.run(config, Path("runs"), minutes=1e-9)
    Path("micro.space").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    folder = tmp_path / "runs"
    assert experiment.resume(folder).trials
    assert {(path / "search.space").read_text() for path in experiment.folders(folder)} == {text}
    with pytest.raises(ConfigError, match="not for Ray"):
        experiment.resume(folder, ray="auto")
    (folder / "runs.toml").write_text("damaged")
    with pytest.raises(RunError, match="damaged") as error:
        experiment.best_run(folder)
    assert error.value.diagnostics[0].code == "E704"


def test_seeds_beyond_those_that_there_are(tmp_path):
    words = [*SMALL, f"search.seed={2**31 - 1}"]
    experiment.plan(override(Config(), words))
    with pytest.raises(ConfigError, match="seeds"):
        experiment.run(override(Config(), [*words, "search.runs=2"]), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_run_that_fails_leaves_the_others_alone(tmp_path):
    config = override(Config(), [*SMALL, "search.runs=2", "evaluation.final_epochs=0"])
    experiment.run(config, tmp_path / "runs")
    second = tmp_path / "runs" / "2"
    (second / "best.arch").unlink()
    (second / "search.space").write_text("changed")
    with pytest.raises(RunError, match="changed since the run began") as failed:
        experiment.resume(tmp_path / "runs")
    assert str(Path("runs", "2")) in str(failed.value)
    assert experiment.status(tmp_path / "runs" / "1").state == "done"
