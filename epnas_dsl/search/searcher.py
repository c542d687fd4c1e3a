"""What a searcher and a predictor are, and the turn-taking that all searchers share.

A searcher is a pure function of its space, its settings, its predictor and the trials that it was
told: it reads no clock and no global random state, and what it asks for does not depend on how the
asking is cut into calls. So a resumed run tells it the recorded trials again, and there is no saved
state of a search.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from epnas_dsl.space.architecture import Architecture

Tokens = npt.NDArray[np.int16]
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a search stands.

    Attributes:
        iteration: which pass over the levels, from 1; 1 for a searcher without passes.
        level: of the architectures asked for now, from 1.
        step: how many levels were begun, over all passes.
        steps: how many are planned.
        trials: how many were told.
        total: how many are planned; the search may end earlier where nothing new is left.
        note: a few words for a person, such as the temperature; may be empty.
    """

    iteration: int
    level: int
    step: int
    steps: int
    trials: int
    total: int
    note: str = ""


class Searcher(Protocol):
    """Proposes architectures, and learns what became of them."""

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures to evaluate, fewer at the end of a step; none: it is over.

        All that was asked for must be told before the first ask of the next step.
        """

    def tell(self, architecture: Architecture, metrics: Mapping[str, float] | None) -> None:
        """What became of one: metrics with an `accuracy` in [0, 1], or None where it failed."""

    def note(self, architecture: Architecture) -> dict[str, float]:
        """Why an architecture of this step was asked for: numbers to be kept with its trial.

        Always `iteration` and `level`; from a searcher that predicts also `predicted`, and from one
        that draws by score `temperature`, where these played a part.
        """

    @property
    def progress(self) -> Progress:
        """Where the search stands."""


class Predictor(Protocol):
    """Predicts accuracies in [0, 1] from tokens: int arrays [rows, columns], -1 for no symbol."""

    def fit(self, tokens: Sequence[Tokens], targets: Sequence[float]) -> None:
        """Learn from all points measured so far."""

    def predict(self, tokens: Sequence[Tokens]) -> Scores:
        """Predicted accuracies, [len(tokens)]; arrays of any mix of lengths."""

    def predict_expansions(self, parents: Sequence[Tokens], rows: Tokens) -> Scores:
        """Predicted accuracies of each parent (without rows: empty) followed by each of the rows.

        Returns:
            [len(parents), len(rows)].
        """


class Controller(Protocol):
    """Writes architectures of full length as tokens, and learns which were good."""

    def write(self) -> Tokens:
        """The tokens of one, drawn at random as it has learned: [levels, columns]."""

    def learn(self, written: Sequence[Tokens], advantages: Sequence[float]) -> None:
        """Make what was better than expected more likely, and what was worse less so."""


class Step:
    """Architectures, distinct, that are handed out in turn and told in any order."""

    def __init__(self, architectures: Iterable[Architecture] = ()) -> None:
        self.architectures = tuple(architectures)
        self.accuracies: dict[Architecture, float | None] = {}
        self._asked = 0

    @property
    def is_done(self) -> bool:
        """Whether all were told."""
        return len(self.accuracies) == len(self.architectures)

    def ask(self, n: int) -> list[Architecture]:
        """The next n, or as many as are left; nothing from a step that is done.

        Raises:
            RuntimeError: all were handed out, and not all were told.
        """
        turn = self.architectures[self._asked : self._asked + n]
        if not turn and not self.is_done:
            raise RuntimeError("the next step cannot begin before all of this one are told")
        self._asked += len(turn)
        return list(turn)

    def tell(self, architecture: Architecture, metrics: Mapping[str, float] | None) -> None:
        """Take the accuracy of one of the step, or None for a failure (also if it is no number).

        Raises:
            ValueError: it was not asked for, or was told before.
        """
        if architecture in self.accuracies or architecture not in self.architectures[: self._asked]:
            raise ValueError(f"told without being asked for: {architecture}")
        accuracy = math.nan if metrics is None else float(metrics["accuracy"])
        self.accuracies[architecture] = accuracy if math.isfinite(accuracy) else None
