"""Turn measured accuracies into mutations of the best of a few: regularized evolution."""

from __future__ import annotations

from collections import deque

from epnas_dsl.config import SearchSettings
from epnas_dsl.search.proposals import TRIES, Proposer, mutate
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.search_space import SearchSpace


class EvolutionSearcher(Proposer):
    """Regularized evolution (Real, Aggarwal, Huang, Le 2018, section 3, algorithm 1).

    A population of random architectures; then, in turn, the best of `sampled` ones drawn from it
    (with replacement) is mutated in one decision, trained and added, and the oldest is removed,
    however good it is.

    Where the paper is silent: a failed trial does not enter the population. A child that was
    trained before is not taken; after 100 of these in a row a random architecture is, as one of
    the first population. The paper's identity mutation, which trains the parent again, is left out.
    """

    def __init__(self, space: SearchSpace, settings: SearchSettings) -> None:
        super().__init__(space, settings)
        self._population: deque[tuple[float, Architecture]] = deque(maxlen=settings.population)

    @property
    def _missing(self) -> int:
        return self._settings.population - len(self._population)

    def _size(self, asked: int) -> int:
        return self._missing or super()._size(asked)

    def _next(self) -> Architecture | None:
        if self._missing:
            return self._fresh()
        size = self._settings.sampled
        for _ in range(TRIES):
            drawn = self._generator.integers(len(self._population), size=size).tolist()
            parent = max((self._population[i] for i in drawn), key=lambda member: member[0])[1]
            child = mutate(parent, self._generator)
            if child and self._claim(child):
                return child
        return self._fresh()

    def _learn(self, architecture: Architecture, accuracy: float | None) -> None:
        if accuracy is not None:
            self._population.append((accuracy, architecture))
