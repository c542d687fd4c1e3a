"""Turn settings into several independent searches, of which the best counts (section 4).

The paper runs the whole search in parallel threads and takes the best of all. Each run here has a
seed of its own and is a run folder like any other, `DIR/1`, `DIR/2`, ..; `DIR/runs.toml` says how
many they are. They are carried out by processes, `evaluation.workers` at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from epnas_dsl.config import Config, dump_toml, load_config, override
from epnas_dsl.errors import ConfigError, EpnasError, RunError
from epnas_dsl.files import write_whole
from epnas_dsl.lang.loading import load_space
from epnas_dsl.runs.runner import Silence, Stopped, Watcher, signals
from epnas_dsl.runs.store import create
from epnas_dsl.runs.trial import Trial
from epnas_dsl.search.searcher import Progress

SETTINGS = "runs.toml"


def is_several(folder: Path) -> bool:
    """Whether a folder holds several runs, of which none may have begun yet."""
    return (folder / SETTINGS).is_file()


def folders(folder: Path) -> list[Path]:
    """The folders of the runs, in the order of their seeds."""
    return [folder / str(i + 1) for i in range(_settings(folder).search.runs)]


def _settings(folder: Path) -> Config:
    try:
        return load_config(folder / SETTINGS)
    except ConfigError as error:
        message = f"`{folder / SETTINGS}` is damaged: {error.diagnostics[0].message}"
        raise RunError(message, code="E704") from error


def refuse_ray(address: str | None) -> None:
    """See that several runs stay on this machine (E515)."""
    if address:
        hint = "there a command for each: `--ray .. --workers N --set search.seed=S --out DIR`"
        raise ConfigError("several runs are for one machine, not for Ray", code="E515", hint=hint)


def begin(config: Config, out: Path) -> None:
    """Lay the runs down; what they are comes first, so that any start can be gone on with.

    Args:
        config: settled, and known to fit its space and data.
        out: a folder that is claimed.
    """
    write_whole(out / SETTINGS, dump_toml(config).encode())
    for path in folders(out):  # now, as the file of the space may change, or be found no more
        _create(config, path)


def carry_out(folder: Path, watcher: Watcher | None, until: float) -> None:
    """Go on with all runs of a folder that are not done.

    Args:
        folder: locked by this process.
        until: on the monotonic clock; what is not done by then is stopped after its trial.

    Raises:
        Stopped: on SIGINT or SIGTERM, after the trials under way, or at once on the second; or
            when its time is over.
        RunError: runs failed; the others are done.
    """
    watcher = watcher or Silence()
    config = _settings(folder)
    waiting = [path for path in folders(folder) if not (path / "best.arch").is_file()]
    crew = _Crew(folder, config, waiting, watcher)
    with signals(watcher) as received, contextlib.closing(crew):
        while crew.work(stopping=bool(received) or time.monotonic() > until):
            pass
    if received or crew.waiting or crew.told:
        raise Stopped(received[0] if received else 0, at_once=False)
    if crew.failures:
        path, error = crew.failures[0]
        error.add_note(f"in the run {path}; {len(crew.failures)} failed, the others are done")
        raise error


class _Crew:
    """The processes under way, a slot for each; what they tell is told on as if of one search."""

    def __init__(self, folder: Path, config: Config, waiting: list[Path], watcher: Watcher) -> None:
        self.folder, self.config, self.waiting, self.watcher = folder, config, waiting, watcher
        self.failures: list[tuple[Path, EpnasError]] = []
        self._busy: dict[Connection, tuple[SpawnProcess, int, Path]] = {}
        self.told = self._trials = 0

    def work(self, stopping: bool) -> bool:
        """Start what there is room for, and listen for a moment; False when nothing is left."""
        free = set(range(self.config.evaluation.workers)) - {
            slot for _, slot, _ in self._busy.values()
        }
        while free and self.waiting and not stopping:
            self._start(self.waiting.pop(0), free.pop())
        if stopping and self._busy and not self.told:
            self.told = 1
            for process, _, _ in self._busy.values():
                process.terminate()
        for pipe in wait(list(self._busy), timeout=0.2):
            assert isinstance(pipe, Connection)
            try:
                self._hear(pipe, *pipe.recv())
            except (EOFError, OSError):
                self._end(pipe)
        return bool(self._busy or (self.waiting and not stopping))

    def close(self) -> None:
        """End at once whatever still runs; what it recorded is safe."""
        for process, _, _ in self._busy.values():
            process.kill()
            process.join()

    def _start(self, path: Path, slot: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        words = (self.config, path, slot, theirs)
        process = context.Process(target=_child, args=words, name=f"run {path.name}")
        process.start()
        theirs.close()
        self._busy[ours] = (process, slot, path)

    def _hear(self, pipe: Connection, what: str, *words: Any) -> None:
        _, _, path = self._busy[pipe]
        match what, words:
            case "failed", (error,):
                self.failures.append((path, error))
            case "note", (text,):
                self.watcher.note(f"run {path.name}: {text}")
            case "resumed", (trials, progress):
                self._trials += len(trials)
                self.watcher.resumed(trials, self._of_all(progress))
            case "ended", (trial, progress):
                shown = dataclasses.replace(trial, number=self._trials)
                self._trials += 1
                self.watcher.ended(shown, self._of_all(progress))

    def _of_all(self, progress: Progress) -> Progress:
        return dataclasses.replace(progress, total=progress.total * self.config.search.runs)

    def _end(self, pipe: Connection) -> None:
        process, _, path = self._busy.pop(pipe)
        pipe.close()
        process.join()
        if process.exitcode and not self.told and path not in {p for p, _ in self.failures}:
            hint = f"`epnas resume {self.folder}` goes on; was it want of memory?"
            error = RunError("its process ended before it was done", code="E713", hint=hint)
            self.failures.append((path, error))


class _Relay(Watcher):
    """The watcher of a run in a process of its own: tells all to the process that started it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def resumed(self, trials: list[Trial], progress: Progress) -> None:
        self._pipe.send(("resumed", trials, progress))

    def ended(self, trial: Trial, progress: Progress) -> None:
        self._pipe.send(("ended", trial, progress))

    def note(self, text: str) -> None:
        self._pipe.send(("note", text))


def _child(config: Config, path: Path, slot: int, pipe: Connection) -> None:
    """One run, from its beginning or from where it was; ends with the process that started it."""
    from epnas_dsl.experiment.searching import go_on

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent's business, which sends SIGTERM

    def leave() -> None:
        with contextlib.suppress(EOFError, OSError):
            pipe.recv_bytes()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()
    try:
        _create(config, path)
        go_on(path, _Relay(pipe), slot, config.evaluation.workers)
    except EpnasError as error:
        pipe.send(("failed", error))
    except Stopped:
        sys.exit(3)


def _create(config: Config, path: Path) -> None:
    """The run's folder, unless it is there."""
    if not (path / "run.db").is_file():
        space, seed = load_space(config.space), config.search.seed + int(path.name) - 1
        words = [f"search.seed={seed}", "search.runs=1", "evaluation.workers=1"]
        create(path, override(config, words), space.source, space.changed, space.digest).close()
