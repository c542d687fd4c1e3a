"""Turn a seed into architectures of full length, each as likely as any other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from epnas_dsl.config import SearchSettings
from epnas_dsl.search.epnas import planned_trials
from epnas_dsl.search.searcher import Progress, Step
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.search_space import SearchSpace

PATIENCE = 1000  # repeated draws in a row after which nothing new is left


class RandomSearcher:
    """Random search over architectures of full length, the comparison of every other searcher.

    None is asked for twice (by canonical key): when 1,000 draws in a row bring nothing new, the
    search ends. It asks for `evaluations` architectures, or, if that is 0, for as many as EPNAS
    would at most with these settings.
    """

    def __init__(self, space: SearchSpace, settings: SearchSettings) -> None:
        self._space = space
        self._total = planned_trials(space, settings)
        self._generator = np.random.default_rng(settings.seed)
        self._keys: set[str] = set()
        self._step = Step()
        self._trials = self._misses = 0

    def ask(self, n: int) -> list[Architecture]:
        """The next architectures, at most n; each is a step of its own."""
        if self._step.is_done:
            self._step = Step(self._draw(min(n, self._total - self._trials)))
        return self._step.ask(n)

    def tell(self, architecture: Architecture, metrics: Mapping[str, float] | None) -> None:
        """Count one; its metrics change nothing."""
        self._step.tell(architecture, metrics)
        self._trials += 1

    def note(self, architecture: Architecture) -> dict[str, float]:
        """The iteration (always the first) and the level."""
        return {"iteration": 1, "level": architecture.level}

    @property
    def progress(self) -> Progress:
        """One step from beginning to end."""
        return Progress(1, self._space.depth, 1, 1, self._trials, self._total)

    def _draw(self, n: int) -> list[Architecture]:
        drawn: list[Architecture] = []
        while len(drawn) < n and self._misses < PATIENCE:
            (architecture,) = sample(self._space, 1, self._generator)
            if architecture.key in self._keys:
                self._misses += 1
                continue
            self._misses = 0
            self._keys.add(architecture.key)
            drawn.append(architecture)
        return drawn
