"""Turn one measurement of one architecture into a record that never changes again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

TrialState = Literal["complete", "failed", "infeasible"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One architecture evaluated once.

    Attributes:
        number: its place in the run, from 0.
        architecture: the canonical text.
        id: the short hash of the text.
        key: the canonical key: equal for architectures that compute the same.
        level: how far the architecture is expanded, from 1.
        state: `complete`; `failed` (it then has no metrics, and a message); or `infeasible`: failed
            because it needs more memory than there is, in small parts too, or is slower than
            `evaluation.latency_limit`.
        metrics: what was measured; `accuracy` in [0, 1] guides the search.
        notes: what the search knew before, such as `iteration`, `step` or `predicted`.
        message: why the evaluation failed.
        started: seconds since 1970, UTC.
        ended: seconds since 1970, UTC.
        checkpoint: file in the run's `checkpoints` with the shared weights after this trial;
            empty where an evaluator keeps none.
        digest: SHA-256 of that file, in hex.
    """

    number: int
    architecture: str
    id: str
    key: str
    level: int
    state: TrialState = "complete"
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
    started: float = 0.0
    ended: float = 0.0
    checkpoint: str = ""
    digest: str = ""

    @property
    def seconds(self) -> float:
        """How long the evaluation took; 0 where the clock was put back meanwhile."""
        return max(0.0, self.ended - self.started)

    @property
    def accuracy(self) -> float:
        """The accuracy that guides the search; -1 for a failed trial."""
        return self.metrics.get("accuracy", -1.0)


def best(trials: list[Trial]) -> Trial | None:
    """The complete trial of the highest accuracy, the earliest of equals; None if there is none."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return max(complete, key=lambda trial: (trial.accuracy, -trial.number), default=None)
