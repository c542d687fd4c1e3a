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
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from queue import Queue
from typing import Generic, Protocol, TypeVar

from epnas_dsl.errors import NO_MEMORY, TOO_SLOW, ConfigError, EpnasError, RunError
from epnas_dsl.runs.evaluator import Evaluator
from epnas_dsl.space.architecture import Architecture

_log = logging.getLogger(__name__)

E = TypeVar("E", bound=Evaluator)
Factory = Callable[[], Evaluator]
Task = tuple[int, Architecture]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task: metrics, or else a message.

    Attributes:
        number: of the trial.
        metrics: what was measured; empty if the evaluation failed.
        message: why it failed.
        infeasible: it failed because no memory here suffices for it, or it is too slow here.
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
    infeasible: bool = False


class Executor(Protocol):
    """Carries out tasks; without shared weights, there is nothing to save and restore.

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
        return

    def restore(self, path: Path | None) -> None:
        """Take the shared weights from a file; None: those of a new run."""
        return

    def close(self) -> None:
        """End at once whatever still runs."""
        return


def measure(evaluator: Evaluator, number: int, architecture: Architecture) -> Outcome:
    """Evaluate; whatever goes wrong with this one architecture becomes the outcome's message.

    Raises:
        ConfigError: the settings are wrong, so that no other architecture would fare better.
        RunError: likewise the run's folder.
    """
    started = time.time()
    try:
        metrics = {n: float(v) for n, v in evaluator.evaluate(architecture, number).items()}
        if not 0 <= metrics["accuracy"] <= 1:
            raise ValueError(f"the accuracy is {metrics['accuracy']}, not from 0 to 1")
    except (ConfigError, RunError):
        raise
    except Exception as error:
        _log.debug("trial %d failed", number, exc_info=True)
        message = f"{type(error).__name__}: {error}"[:1000]
        code = error.diagnostics[0].code if isinstance(error, EpnasError) else ""
        infeasible = code in {NO_MEMORY, TOO_SLOW}
        return Outcome(number, {}, message, started, time.time(), infeasible=infeasible)
    metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
    trained: bytes = getattr(evaluator, "trained", b"")
    return Outcome(number, metrics, "", started, time.time(), trained)


class SerialExecutor(Executor, Generic[E]):
    """One task at a time, in this process, by one evaluator.

    Args:
        factory: makes the evaluator; called when it is first needed.
        evaluator: one that is made already, and as new.
    """

    workers = 1
    together = False

    def __init__(self, factory: Callable[[], E], evaluator: E | None = None) -> None:
        self._factory = factory
        self._evaluator = evaluator

    @property
    def evaluator(self) -> E:
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


class ProcessExecutor(Executor):
    """Several processes side by side, each with an evaluator of its own, without shared weights.

    A task is lent to a process. If the process dies (out of memory, a crash in native code) or
    keeps the task longer than the lease, it is ended and replaced, and the task is lent once more;
    then it has failed. The other processes are not disturbed, and what an ended process might
    still have said is not heard.

    Args:
        factory: makes an evaluator; must be importable (pickled) in a new process.
        workers: the number of processes.
        lease: seconds for a task, not counting the making of the evaluator; 0 for no end.
    """

    together = False

    def __init__(self, factory: Factory, workers: int, lease: float = 0) -> None:
        self.workers = workers
        self._factory, self._lease = factory, lease or math.inf
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """The outcomes, each as soon as it is there."""
        waiting, lent = deque(tasks), Counter[int]()
        try:
            while waiting or self._busy:
                while waiting and len(self._busy) < self.workers:
                    task = waiting.popleft()
                    lent[task[0]] += 1
                    self._lend(task)
                for worker, found in self._settled():
                    if isinstance(found, Outcome):
                        yield found
                    elif isinstance(found, Exception):
                        raise found
                    elif lent[worker.task[0]] < 2:
                        waiting.append(worker.task)
                    else:
                        yield Outcome(worker.task[0], {}, found, worker.started, time.time())
        finally:
            self._end(self._busy)

    def close(self) -> None:
        """End the processes at once; a later task starts new ones."""
        self._end(self._busy)
        self._end(self._idle)

    def _lend(self, task: Task) -> None:
        dead = [worker for worker in self._idle if not worker.is_alive]
        self._idle = [worker for worker in self._idle if worker not in dead]
        self._end(dead)
        worker = self._idle.pop() if self._idle else _Worker(self._factory)
        worker.take(task, self._lease)
        self._busy.append(worker)

    def _settled(self) -> Iterator[tuple[_Worker, Outcome | Exception | str]]:
        """Wait for some process: what it came to, or why it was ended."""
        end = min(worker.deadline for worker in self._busy)
        left = None if end == math.inf else max(0.0, end - time.monotonic())
        ready = wait([worker.pipe for worker in self._busy], left)
        for worker in list(self._busy):
            if worker.pipe in ready:
                found = worker.answer()
                if found is None:
                    continue
            elif time.monotonic() >= worker.deadline:
                found = f"it took longer than the {self._lease:g} s of evaluation.timeout"
            else:
                continue
            self._busy.remove(worker)
            if isinstance(found, str):
                worker.end()
            else:
                self._idle.append(worker)
            yield worker, found

    def _end(self, workers: list[_Worker]) -> None:
        while workers:
            workers.pop().end()


class _Worker:
    """A process that evaluates, seen from its parent.

    Attributes:
        pipe: on which it answers.
        task: the one that it was lent last.
        lease: for how many seconds.
        started: when that was, in seconds since 1970, UTC.
        deadline: when it is taken back, by the clock of `time.monotonic`; a process that makes its
            evaluator first has no deadline until that is done.
    """

    task: Task
    lease: float
    started: float
    deadline: float

    def __init__(self, factory: Factory) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(factory, theirs), daemon=True)
        self._process.start()
        self._is_warm = False
        theirs.close()

    def take(self, task: Task, lease: float) -> None:
        self.task, self.lease, self.started = task, lease, time.time()
        self.deadline = time.monotonic() + lease if self._is_warm else math.inf
        with contextlib.suppress(OSError):  # it died while it was idle: its answer will say so
            self.pipe.send(task)

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def answer(self) -> Outcome | Exception | str | None:
        """What it says: None that it begins, a text if it can say nothing any more."""
        try:
            found: Outcome | Exception | None = self.pipe.recv()
        except (EOFError, OSError):
            return "the process that evaluated it died, perhaps for want of memory"
        if found is None:
            self._is_warm, self.deadline = True, time.monotonic() + self.lease
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(factory: Factory, pipe: Connection) -> None:
    """The work of a process; signals are its parent's business, and it ends with its parent."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    tasks: Queue[Task] = Queue()

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                tasks.put(pipe.recv())
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    evaluator: Evaluator | None = None
    while True:
        number, architecture = tasks.get()
        try:
            if evaluator is None:
                evaluator = factory()
                pipe.send(None)
            pipe.send(measure(evaluator, number, architecture))
        except Exception as error:  # of the settings or the data: the parent's run ends by it
            pipe.send(error)
