"""Commands as processes of their own: pipes, signals, full disks, colours."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
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


def test_a_closed_output_is_no_bug() -> None:
    done = shell("epnas count micro >&-")
    assert (done.returncode, done.stderr) == (0, "")


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


SETS = ["search.evaluations=3", "training.epochs=30", "training.threads=1", "data.limit=200"]
SETS += ["evaluation.final_epochs=0"]
WORDS = ["search", SMALL, *(word for setting in SETS for word in ("--set", setting))]


class Search:
    """A search under way, its first trial recorded."""

    def __init__(self, *more: str) -> None:
        words = [*EPNAS, *WORDS, *more, "--out", "run"]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        self.read_until("trial 1/3")

    def read_until(self, words: str) -> None:
        assert self.process.stderr
        assert any(words in line for line in self.process.stderr)

    def end(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


def test_a_signal_stops_a_search_which_goes_on_to_the_same_end(epnas) -> None:
    search = Search()
    search.process.send_signal(signal.SIGINT)
    status, err = search.end()
    assert (status, "go on with: epnas resume run" in err) == (3, True)
    # between two trials the signal finds one recorded, during the second it lets that one end
    assert re.search(r"run, stopped\ntrials      [12] of at most 3", epnas("status", "run").out)
    assert epnas("resume", "run").status == 0
    assert epnas(*WORDS, "--out", "whole").status == 0
    assert epnas("top", "run", "--json").json == epnas("top", "whole", "--json").json
    assert epnas("status", "run", "--json").json["trials"] == 3


def test_a_second_signal_stops_at_once(epnas) -> None:
    search = Search("--set", "data.limit=1000")
    time.sleep(0.3)  # into the second trial, which takes more than a second
    search.process.send_signal(signal.SIGTERM)
    search.read_until("once more to stop at once")
    search.process.send_signal(signal.SIGTERM)
    status, err = search.end()
    assert (status, "go on with: epnas resume run" in err) == (143, True)
    assert "Traceback" not in err
    assert "trials      1 of at most 3" in epnas("status", "run").out


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
