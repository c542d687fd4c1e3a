"""Turn measured accuracies into steps uphill: local search with restarts."""

from __future__ import annotations

from collections.abc import Iterator

from epnas_dsl.config import SearchSettings
from epnas_dsl.search.proposals import Proposer
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.neighbours import neighbours
from epnas_dsl.space.search_space import SearchSpace


class LocalSearcher(Proposer):
    """Local search (White, Nolen, Savani 2020, algorithm 1), begun again when stuck.

    From a random architecture on: its neighbours, those one decision away, are trained in a random
    order. With `climb` set to `best` the search moves to the best of all of them, as in the paper;
    set to `first`, to the best of a step as soon as it is better, which large neighbourhoods need.
    Where none is better it begins again at another random architecture; the paper stops there.

    Without `retrain`, a neighbour that was trained before is compared by the accuracy it has, at no
    cost. A failed one is never better. Equal is not better, so that no circle is walked.
    """

    def __init__(self, space: SearchSpace, settings: SearchSettings) -> None:
        super().__init__(space, settings)
        self._accuracy: float | None = None  # of where the search stands; None: nowhere
        self._around: Iterator[Architecture] = iter(())  # neighbours not yet looked at
        self._rival: tuple[float, Architecture] | None = None  # the best that is better

    def _size(self, asked: int) -> int:
        return self._total if self._settings.climb == "best" else super()._size(asked)

    def _propose(self, most: int) -> list[Architecture]:
        while self._accuracy is not None:
            if found := self._look_around(most):
                return found
            if self._rival:
                self._move(*self._rival)
            else:
                self._accuracy = None
        start = self._fresh()
        return [start] if start else []

    def _look_around(self, most: int) -> list[Architecture]:
        """The next neighbours to train; none where it is time to move."""
        found: list[Architecture] = []
        while len(found) < most and not (self._rival and self._settings.climb == "first"):
            neighbour = next(self._around, None)
            if neighbour is None:
                break
            if self._claim(neighbour):
                found.append(neighbour)
            else:
                self._compare(neighbour, self._known[neighbour.key])
        return found

    def _compare(self, architecture: Architecture, accuracy: float | None) -> None:
        limit = self._rival[0] if self._rival else self._accuracy
        if accuracy is not None and limit is not None and accuracy > limit:
            self._rival = (accuracy, architecture)

    def _move(self, accuracy: float, architecture: Architecture) -> None:
        self._accuracy, self._rival = accuracy, None
        self._around = neighbours(architecture, self._generator)

    def _learn(self, architecture: Architecture, accuracy: float | None) -> None:
        if self._accuracy is not None:
            self._compare(architecture, accuracy)
        elif accuracy is not None:
            self._move(accuracy, architecture)
