"""Commands as processes of their own: pipes, signals, full disks, colours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli.small import SMALL

EPNAS = [sys.executable, "-m", "epnas_dsl"]


def shell(text: str) -> subprocess.CompletedProcess[str]:
    script = text.replace("epnas ", f"{sys.executable} -m epnas_dsl ")
    return subprocess.run(["bash", "-c", script], text=True, capture_output=True, timeout=120)


def test_a_reader_that_has_enough_is_no_reason_to_complain() -> None:
    done = shell("set -o pipefail; epnas sample micro -n 3000 | head -1")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_told() -> None:
    done = shell("epnas count micro > /dev/full")
    assert done.returncode == 2
    assert "E531: No space left on device" in done.stderr


def test_data_and_notes_do_not_mix() -> None:
    done = shell(
        "epnas count mcro 2>/dev/null; epnas check no.space; epnas count micro 2>/dev/null"
    )
    assert done.stdout == "146435169081600\n"
    assert "\x1b" not in done.stderr


class Search:
    """A search under way, its first trial recorded."""

    def __init__(self) -> None:
        sets = ["search.evaluations=9", "training.epochs=30", "data.limit=200"]
        words = ["search", SMALL, "--out", "run", *(w for s in sets for w in ("--set", s))]
        self.process = subprocess.Popen([*EPNAS, *words], stderr=subprocess.PIPE, text=True)
        self.read_until("trial 1/9")

    def read_until(self, words: str) -> None:
        assert self.process.stderr
        assert any(words in line for line in self.process.stderr)

    def end(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


def test_a_signal_stops_a_search_after_its_trial() -> None:
    search = Search()
    search.process.send_signal(signal.SIGINT)
    status, err = search.end()
    assert (status, "go on with: epnas resume run" in err) == (3, True)
    assert "run, stopped\ntrials      2 of at most 9" in shell("epnas status run").stdout


def test_a_second_signal_stops_at_once() -> None:
    search = Search()
    search.process.send_signal(signal.SIGTERM)
    search.read_until("once more to stop at once")
    search.process.send_signal(signal.SIGTERM)
    status, err = search.end()
    assert (status, "go on with: epnas resume run" in err) == (143, True)
    assert "Traceback" not in err
    assert "trials      1 of at most 9" in shell("epnas status run").stdout


def test_interrupted_elsewhere() -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    words = [*EPNAS, "sample", "micro", "-n", "1000000"]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
