"""Turn a searcher and an executor into recorded trials: the one loop of ask, evaluate, tell.

A resumed run goes through the same loop: the searcher is asked as before, and what it asks for is
answered from the records as long as they last. So there is no saved state of a search, and none
that could be wrong.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Protocol

from epnas_dsl.errors import TOO_SLOW, RunError
from epnas_dsl.runs.executor import Executor, Outcome, Task
from epnas_dsl.runs.store import Store
from epnas_dsl.runs.trial import Trial, TrialState
from epnas_dsl.search.searcher import Progress, Searcher
from epnas_dsl.space.architecture import Architecture

_ALWAYS = (signal.SIGINT, signal.SIGTERM)
STOPPING = (*_ALWAYS, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
HOPELESS = 5  # trials that fail before the first success, after which a run gives up


class Stopped(KeyboardInterrupt):
    """The run was asked to stop; every finished trial is recorded, and it can be resumed.

    Attributes:
        signal: the number of the signal that asked; 0: its time was over.
        at_once: whether it had to be in the middle of a trial.
    """

    def __init__(self, signal: int, at_once: bool) -> None:
        super().__init__(f"stopped by signal {signal}" if signal else "its time was over")
        self.signal, self.at_once = signal, at_once


class Watcher(Protocol):
    """Is told what happens during a run."""

    def resumed(self, trials: list[Trial], progress: Progress) -> None:
        """So many trials were found recorded; the search is where it was."""
        return

    def began(self, number: int, architecture: Architecture, progress: Progress) -> None:
        """An evaluation begins."""
        return

    def ended(self, trial: Trial, progress: Progress) -> None:
        """A trial is recorded."""
        return

    def note(self, text: str) -> None:
        """Something that a person should read."""
        return


class Silence(Watcher):
    """A watcher that keeps it all to itself."""


def run(
    searcher: Searcher,
    executor: Executor,
    store: Store,
    watcher: Watcher | None = None,
    until: float = math.inf,
) -> list[Trial]:
    """Search until the searcher asks for no more; returns all trials, by number.

    Args:
        until: by the clock of `time.monotonic`; then the run stops, not before it made a trial.

    Raises:
        Stopped: on SIGINT, SIGTERM or SIGHUP, or `until`; after the evaluations under way, or at
            once on the second signal.
        RunError: the searcher asks for other architectures than those recorded (E708), nothing
            but failures so far (E710), or the folder can't be written.
        ConfigError: the evaluator refuses its settings.
    """
    with signals(watcher or Silence()) as received:
        return _Run(searcher, executor, store, watcher or Silence(), received, until).loop()


class _Run:
    """What the loop holds: the records so far, by number, and the parts that it drives."""

    def __init__(
        self,
        searcher: Searcher,
        executor: Executor,
        store: Store,
        watcher: Watcher,
        received: list[int],
        until: float,
    ) -> None:
        self.searcher, self.executor, self.store = searcher, executor, store
        self.watcher, self.received, self.until = watcher, received, until
        self.recorded = {trial.number: trial for trial in store.trials()}
        self.found = len(self.recorded)
        self.again: dict[int, Architecture | None] = {}  # what is to be trained once more

    def loop(self) -> list[Trial]:
        if self.found:
            self._restore()
        number = 0
        while architectures := self.searcher.ask(self.executor.workers):
            batch = list(enumerate(architectures, number))
            number += len(batch)
            self.again |= {i: architecture for i, architecture in batch if i in self.again}
            tasks = [task for task in batch if not self._is_recorded(task)]
            if tasks:
                self._announce()
                self._evaluate(tasks)
            for i, architecture in batch:
                self.searcher.tell(architecture, self.recorded[i].metrics or None)
        self._announce()
        if number < len(self.recorded):
            _refuse(self.recorded[number], "nothing more")
        return self.trials

    @property
    def trials(self) -> list[Trial]:
        return [self.recorded[i] for i in sorted(self.recorded)]

    @property
    def last(self) -> Trial:
        return self.recorded[max(self.recorded)]

    def _is_recorded(self, task: Task) -> bool:
        trial = self.recorded.get(task[0])
        if trial and trial.architecture != str(task[1]):
            _refuse(trial, str(task[1]))
        return trial is not None

    def _announce(self) -> None:
        if self.found:
            self.watcher.resumed(self.trials, self.searcher.progress)
        self.found = 0

    def _restore(self) -> None:
        """Take up the last shared weights; those before if they are damaged, and train again."""
        try:
            self.executor.restore(self.store.checkpoint(self.last))
        except RunError as damage:
            name = self.last.checkpoint
            earlier = [trial for trial in self.trials if trial.checkpoint != name]
            self.executor.restore(self.store.checkpoint(earlier[-1]) if earlier else None)
            self.watcher.note(f"{damage.diagnostics[0].message}: going back to the one before it")
            lost = [t for t in self.trials if t.checkpoint == name and t.state == "complete"]
            self.again = dict.fromkeys(trial.number for trial in lost)

    def _train_again(self) -> None:
        """Make a damaged checkpoint anew; its trials stay as they are recorded.

        On the CPU it becomes the very same file, elsewhere one of other last bits.
        """
        tasks = [(number, a) for number, a in self.again.items() if a]
        numbers = ", ".join(str(number) for number, _ in tasks)
        self.watcher.note(f"training trial {numbers} once more, for the weights that were lost")
        failed = [outcome for outcome in self.executor.evaluate(tasks) if outcome.message]
        if failed:
            self.store.checkpoint(self.last)  # which says that it is damaged
        number = int(Path(self.last.checkpoint).stem)
        name, digest = self.store.save_checkpoint(number, self.executor.save)
        if digest != self.last.digest:
            self.recorded |= {trial.number: trial for trial in self.store.amend(name, digest)}
        self.again = {}

    def _evaluate(self, tasks: list[Task]) -> None:
        if self.again and not self.received:
            self._train_again()
        if self.received:
            raise Stopped(self.received[0], at_once=False)
        progress = self.searcher.progress
        for number, architecture in tasks:
            self.watcher.began(number, architecture, progress)
        asked = dict(tasks)
        outcomes = self.executor.evaluate(tasks)
        for group in [list(outcomes)] if self.executor.together else ([o] for o in outcomes):
            checkpoint = self._checkpoint(group)
            trials = [self._trial(o, asked[o.number], progress, checkpoint) for o in group]
            self.store.append(*trials)
            for trial in trials:
                self.recorded[trial.number] = trial
                self.watcher.ended(trial, progress)
                self._check_hope(trial)
        if time.monotonic() > self.until:
            raise Stopped(0, at_once=False)

    def _checkpoint(self, outcomes: list[Outcome]) -> tuple[str, str]:
        """The shared weights that outcomes leave behind: the file on the disk, and its hash."""
        if all(outcome.message for outcome in outcomes):
            return self._undo()
        last = max(outcome.number for outcome in outcomes)
        return self.store.save_checkpoint(last, self.executor.save)

    def _trial(
        self,
        outcome: Outcome,
        architecture: Architecture,
        progress: Progress,
        checkpoint: tuple[str, str],
    ) -> Trial:
        return Trial(
            number=outcome.number,
            architecture=str(architecture),
            id=architecture.id,
            key=architecture.key,
            level=architecture.level,
            state=_state(outcome),
            metrics=outcome.metrics,
            notes={**self.searcher.note(architecture), "step": progress.step},
            message=outcome.message,
            started=outcome.started,
            ended=outcome.ended,
            checkpoint=checkpoint[0],
            digest=checkpoint[1],
        )

    def _undo(self) -> tuple[str, str]:
        """Give back the shared weights of before a failure; returns their checkpoint."""
        last = self.last if self.recorded else None
        if last and last.checkpoint:
            self.executor.restore(self.store.checkpoint(last))
            return last.checkpoint, last.digest
        if not any(trial.metrics for trial in self.recorded.values()):
            self.executor.restore(None)
        return "", ""

    def _check_hope(self, trial: Trial) -> None:
        tried = [t for t in self.recorded.values() if TOO_SLOW not in t.message]
        if len(tried) >= HOPELESS and not any(t.metrics for t in tried):
            message = f"all {len(tried)} trials failed, the last with: {trial.message}"
            hint = "`epnas summary` and `epnas train` with one architecture show what is wrong"
            raise RunError(message, code="E710", hint=hint)


def _state(outcome: Outcome) -> TrialState:
    if outcome.infeasible:
        return "infeasible"
    return "failed" if outcome.message else "complete"


def _refuse(trial: Trial, asked: str) -> None:
    message = (
        f"trial {trial.number} does not fit the search, which cannot go on from it\n"
        f"  recorded: {trial.architecture}\n"
        f"  asked:    {asked}"
    )
    hint = "this version of the program, or of torch, chooses otherwise than the one that began"
    raise RunError(message, code="E708", hint=hint)


@contextlib.contextmanager
def signals(watcher: Watcher) -> Iterator[list[int]]:
    """Collect the signals that ask to stop; the second one interrupts."""
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise Stopped(number, at_once=True)
        watcher.note("stopping after the trial under way; once more to stop at once")

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {
        number: signal.signal(number, receive)
        for number in STOPPING
        if number in _ALWAYS or signal.getsignal(number) != signal.SIG_IGN  # as `nohup` has it
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
