"""Turn one step of shared weights into work for several: all train from one snapshot, then merge.

The paper trains the architectures of a step one after the other, each from the weights that the
one before left. Here those of a batch start from the same weights, and what they trained is
averaged, as the replicas of local SGD are (Stich 2019, "Local SGD converges fast and communicates
little"; McMahan et al. 2017, "Communication-efficient learning", algorithm 1): a weight that
several of them trained becomes the mean of theirs, one that a single one trained becomes its,
others stay. `docs/scaling.md` says what that costs.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from epnas_dsl.runs.evaluator import Evaluator
from epnas_dsl.runs.executor import Executor, Outcome, SerialExecutor, Task
from epnas_dsl.space.architecture import Architecture

Fetch = Callable[[], bytes]


class SharingEvaluator(Evaluator, Protocol):
    """An evaluator whose shared weights can be handed out and merged, as bytes."""

    def dump(self, architecture: Architecture | None = None) -> bytes:
        """All shared weights, or those that an architecture has."""

    def take(self, weights: bytes) -> None:
        """Go back to shared weights that were dumped whole."""

    def merge(self, parts: Sequence[bytes]) -> None:
        """Put the mean of its dumped values in the place of each weight that the parts hold."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a worker is given in place of an architecture: that, and where its weights are."""

    architecture: Architecture
    fetch: Fetch


class Apprentice(Evaluator):
    """The evaluator of a worker: trains from a snapshot, and hands back what it trained.

    The shared weights belong to the runner, so there is nothing to save.

    Attributes:
        trained: the weights of the last architecture, after its training.
    """

    def __init__(self, factory: Callable[[], SharingEvaluator]) -> None:
        self._evaluator = factory()
        self.trained = b""

    def evaluate(self, lesson: Lesson, number: int) -> dict[str, float]:  # type: ignore[override]
        """As the evaluator would in a run of its own that has come to this snapshot."""
        self.trained = b""
        self._evaluator.take(lesson.fetch())
        metrics = self._evaluator.evaluate(lesson.architecture, number)
        self.trained = self._evaluator.dump(lesson.architecture)
        return metrics


class SnapshotExecutor(SerialExecutor[SharingEvaluator]):
    """Owns the shared weights, and has a pool of apprentices train the tasks of a batch.

    The outcomes come when all are there, in the order of the tasks, and are merged in that order:
    which worker is the first changes nothing. A task that failed leaves no trace in the weights.

    Args:
        factory: makes the owner's evaluator.
        pool: its workers' evaluators are apprentices.
        share: lays weights out where workers can fetch them; without it, in a file here.
    """

    together = True

    def __init__(
        self,
        factory: Callable[[], SharingEvaluator],
        pool: Executor,
        share: Callable[[bytes], Fetch] | None = None,
    ) -> None:
        super().__init__(factory)
        self.workers, self._pool, self._share = pool.workers, pool, share

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """The outcomes of a batch, after the merge."""
        with tempfile.TemporaryDirectory(prefix="epnas-") as folder:
            share = self._share or partial(_share_file, Path(folder, "snapshot.safetensors"))
            fetch = share(self.evaluator.dump())
            lessons: list[Any] = [(number, Lesson(a, fetch)) for number, a in tasks]
            outcomes = sorted(self._pool.evaluate(lessons), key=lambda outcome: outcome.number)
        self.evaluator.merge([outcome.weights for outcome in outcomes if outcome.weights])
        return (dataclasses.replace(outcome, weights=b"") for outcome in outcomes)

    def close(self) -> None:
        """End the workers at once."""
        self._pool.close()


def _share_file(path: Path, weights: bytes) -> Fetch:
    path.write_bytes(weights)
    return partial(Path.read_bytes, path)
