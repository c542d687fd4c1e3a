"""Signals once and twice, outputs that close: a run ends as told, and goes on as if unbroken."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs_of_the_shop import content

SCRIPT = Path(__file__).with_name("signalled_run.py")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Child:
    """A run under way."""

    def __init__(self, folder: Path, seconds: float) -> None:
        command = [sys.executable, str(SCRIPT), str(folder), str(seconds)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def wait_for(self, words: str) -> None:
        assert any(words in line for line in self.process.stdout)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture(autouse=True)
def heard():
    """A hangup is heard, even where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def unbroken(memory):
    child = Child(memory / "unsignalled", 0)
    assert child.end() == 0
    return content(memory / "unsignalled")


def goes_on(folder, unbroken):
    assert Child(folder, 0).end() == 0
    assert content(folder) == unbroken


@pytest.mark.parametrize("number", SIGNALS)
def test_once_lets_the_trial_end(ram, unbroken, number):
    child = Child(ram / "run", 0.1)
    child.wait_for("began 4")
    child.send(number)
    assert child.end() == number
    assert len(content(ram / "run")[0]) == 5
    assert sorted(p.name for p in (ram / "run").iterdir() if "lock" not in p.name) == [
        "checkpoints",
        "config.toml",
        "run.db",
        "search.space",
    ]
    goes_on(ram / "run", unbroken)


@pytest.mark.parametrize("number", SIGNALS)
def test_twice_ends_it_at_once(ram, unbroken, number):
    child = Child(ram / "run", 30.0)
    child.wait_for("began 1")
    child.send(number)
    child.wait_for("once more to stop at once")
    started = time.monotonic()
    child.send(number)
    assert child.end() == 100 + number
    assert time.monotonic() - started < 20
    assert len(content(ram / "run")[0]) == 1
    goes_on(ram / "run", unbroken)


def test_a_hangup_that_is_ignored_stops_nothing(ram, unbroken):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        child = Child(ram / "run", 0.002)
    finally:
        signal.signal(signal.SIGHUP, before)
    child.wait_for("began 4")
    child.send(signal.SIGHUP)
    assert child.end() == 0
    assert content(ram / "run") == unbroken


ALONE = [pytest.param(name, marks=pytest.mark.slow) for name in ("stdout", "stderr")]


@pytest.mark.parametrize("closed", [*ALONE, "both"])
def test_outputs_that_are_closed_end_no_search(ram, closed):
    from epnas_dsl.lang.loading import load_space
    from epnas_dsl.space.expansion import enumerate_level

    space = "micro(blocks=1)"
    rows = [f'"{a}",{i % 50}' for i, a in enumerate(enumerate_level(load_space(space), 1))]
    (ram / "t.csv").write_text("arch,score\n" + "\n".join(rows))
    words = [sys.executable, "-m", "epnas_dsl", "search", space, "--searcher", "random"]
    words += ["--table", "t.csv", "--metric", "score", "--set", "search.evaluations=30"]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([*words, "--out", "run"], cwd=ram, text=True, **pipes)
    if closed in ("stdout", "both"):
        process.stdout.close()
    if closed in ("stderr", "both"):
        assert process.stderr.readline()
        process.stderr.close()
    assert process.wait(timeout=60) == 0
    for pipe in (process.stdout, process.stderr):
        if not pipe.closed:
            assert "Traceback" not in pipe.read()
            pipe.close()
    assert len(content(ram / "run")[0]) == 30
    assert "best.arch" in os.listdir(ram / "run")
