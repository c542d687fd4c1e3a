"""Turn architectures into outcomes: in this process one by one, or in several side by side."""

from __future__ import annotations

import contextlib
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from epnas_dsl.errors import ConfigError, RunError
from epnas_dsl.runs.evaluator import Evaluator
from epnas_dsl.space.architecture import Architecture

_log = logging.getLogger(__name__)

Factory = Callable[[], Evaluator]
Task = tuple[int, Architecture]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task: metrics, or else a message.

    Attributes:
        number: of the trial.
        metrics: what was measured; empty if the evaluation failed.
        message: why it failed.
        started: seconds since 1970, UTC.
        ended: seconds since 1970, UTC.
        weights: what a worker trained and hands back (`Apprentice`); else empty.
    """

    number: int
    metrics: dict[str, float] = field(default_factory=dict)
    message: str = ""
    started: float = 0.0
    ended: float = 0.0
    weights: bytes = field(default=b"", repr=False)


class Executor(Protocol):
    """Carries out tasks.

    Attributes:
        workers: how many tasks it has use for at a time.
        together: whether tasks handed over at once count together or not at all.
    """

    workers: int
    together: bool

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """The outcome of every task, each as soon as it is there.

        Raises:
            EpnasError: no evaluator can be made, or its settings are wrong.
        """

    def save(self, path: Path) -> None:
        """Write the shared weights to a file, if there are any."""

    def restore(self, path: Path | None) -> None:
        """Take the shared weights from a file; None: those of a new run."""

    def close(self) -> None:
        """End at once whatever still runs."""


def measure(evaluator: Evaluator, number: int, architecture: Architecture) -> Outcome:
    """Evaluate; whatever goes wrong with this one architecture becomes the outcome's message.

    Raises:
        ConfigError: the settings are wrong, so that no other architecture would fare better.
        RunError: likewise the run's folder.
    """
    started = time.time()
    try:
        metrics = _checked(evaluator.evaluate(architecture, number))
    except (ConfigError, RunError):
        raise
    except Exception as error:
        _log.debug("trial %d failed", number, exc_info=True)
        message = f"{type(error).__name__}: {error}"[:1000]
        return Outcome(number, {}, message, started, time.time())
    trained: bytes = getattr(evaluator, "trained", b"")
    return Outcome(number, metrics, "", started, time.time(), trained)


def _checked(metrics: dict[str, float]) -> dict[str, float]:
    values = {name: float(value) for name, value in metrics.items()}
    if not 0 <= values["accuracy"] <= 1:
        raise ValueError(f"the accuracy is {values['accuracy']}, not from 0 to 1")
    return {name: value for name, value in values.items() if math.isfinite(value)}


class SerialExecutor:
    """One task at a time, in this process, by one evaluator.

    Args:
        factory: makes the evaluator; called when it is first needed.
        evaluator: one that is made already, and as new.
    """

    workers = 1
    together = False

    def __init__(self, factory: Factory, evaluator: Evaluator | None = None) -> None:
        self._factory = factory
        self._evaluator = evaluator

    @property
    def evaluator(self) -> Evaluator:
        """The one evaluator."""
        if self._evaluator is None:
            self._evaluator = self._factory()
        return self._evaluator

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """The outcomes in the order of the tasks."""
        evaluator = self.evaluator
        for number, architecture in tasks:
            yield measure(evaluator, number, architecture)

    def save(self, path: Path) -> None:
        """Write the evaluator's state, if it has one."""
        self.evaluator.save(path)

    def restore(self, path: Path | None) -> None:
        """Load the evaluator's state from a file; without one, start with a new evaluator."""
        if path is None:
            self._evaluator = None
        else:
            self.evaluator.load(path)

    def close(self) -> None:
        """Nothing is left to end."""


class ProcessExecutor:
    """Several processes side by side, each with an evaluator of its own, without shared weights.

    A process that dies (out of memory, a crash in native code) costs its own task only: the tasks
    that were in flight with it are tried again, each alone.

    Args:
        factory: makes an evaluator; must be importable (pickled) in a new process.
        workers: the number of processes.
    """

    together = False

    def __init__(self, factory: Factory, workers: int) -> None:
        self.workers = workers
        self._factory = factory
        self._closing = contextlib.ExitStack()
        self._pool: ProcessPoolExecutor | None = None

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """The outcomes, each as soon as it is there."""
        waiting = dict(tasks)
        with contextlib.suppress(BrokenProcessPool):
            for future in as_completed([self._submit(task) for task in tasks]):
                outcome = future.result()
                del waiting[outcome.number]
                yield outcome
        if waiting:
            self.close()
        for task in waiting.items():
            started = time.time()
            try:
                yield self._submit(task).result()
            except BrokenProcessPool:
                self.close()
                message = "the process that evaluated it died, perhaps for want of memory"
                yield Outcome(task[0], {}, message, started, time.time())

    def save(self, path: Path) -> None:
        """Nothing: there are no shared weights."""

    def restore(self, path: Path | None) -> None:
        """Nothing: there are no shared weights."""

    def close(self) -> None:
        """End the processes at once; a later task starts new ones."""
        self._closing.close()
        self._pool = None

    def _submit(self, task: Task) -> Future[Outcome]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            watched, held = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(
                self.workers, context, initializer=_begin, initargs=(self._factory, watched)
            )
            self._closing.callback(self._pool.shutdown, cancel_futures=True)
            self._closing.callback(held.close)
        return self._pool.submit(_work, *task)


_worker: dict[str, Any] = {}  # of a child process: its factory, then its evaluator


def _begin(factory: Factory, watched: Connection) -> None:
    """Set a child process up: signals are its parent's business, and it ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _worker["factory"] = factory

    def leave() -> None:
        with contextlib.suppress(EOFError, OSError):
            watched.recv_bytes()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def _work(number: int, architecture: Architecture) -> Outcome:
    if "evaluator" not in _worker:
        _worker["evaluator"] = _worker["factory"]()
    return measure(_worker["evaluator"], number, architecture)
