"""What searchers share that propose architectures of full length, a few at a time, and learn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from epnas_dsl.config import SearchSettings
from epnas_dsl.search.epnas import planned_trials
from epnas_dsl.search.searcher import Progress, Step
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import below, sample
from epnas_dsl.space.measures import satisfies
from epnas_dsl.space.search_space import SearchSpace

PATIENCE = 1000  # random draws in a row that bring nothing new, after which nothing new is left
TRIES = 100  # repeated proposals in a row, after which one is drawn at random


class Proposer:
    """A searcher whose steps are a few proposals, learned from when all of them were told.

    Without `retrain` none is asked for twice (by canonical key), and a proposal that was trained
    before is made anew. The search ends after `evaluations` trials (if that is 0, after as many as
    EPNAS would train at most), or when 1,000 random draws in a row bring nothing new.

    How large a step is depends on the settings alone, never on how many are asked for at once: so
    a search with several workers is repeated exactly with one.
    """

    def __init__(self, space: SearchSpace, settings: SearchSettings) -> None:
        self._space, self._settings = space, settings
        self._retrain = settings.retrain == "yes"
        self._total = planned_trials(space, settings)
        self._generator = np.random.default_rng(settings.seed)
        self._known: dict[str, float | None] = {}  # by key: the accuracy measured last
        self._step = Step()
        self._keys: set[str] = set()  # of the step
        self._trials = 0
        self._is_over = False

    def ask(self, n: int) -> list[Architecture]:
        """The next architectures of the step, at most n; a new step begins when all were told."""
        if self._step.is_done:
            self._keys = set()
            most = min(self._size(n), self._total - self._trials)
            self._step = Step(self._propose(most) if most > 0 and not self._is_over else ())
        return self._step.ask(n)

    def tell(self, architecture: Architecture, metrics: Mapping[str, float] | None) -> None:
        """Take the accuracy of an architecture of this step, or its failure."""
        self._step.tell(architecture, metrics)
        self._trials += 1
        if self._step.is_done:
            for told in self._step.architectures:  # in this order, whatever order they came in
                self._known[told.key] = self._step.accuracies[told]
                self._learn(told, self._step.accuracies[told])

    def note(self, architecture: Architecture) -> dict[str, float]:
        """The iteration (always the first) and the level."""
        return {"iteration": 1, "level": architecture.level}

    @property
    def progress(self) -> Progress:
        """One step from beginning to end."""
        return Progress(1, self._space.depth, 1, 1, self._trials, self._total)

    def _size(self, asked: int) -> int:
        """How many the next step proposes at most."""
        return max(1, self._settings.proposals)

    def _propose(self, most: int) -> list[Architecture]:
        """The architectures of a step; none ends the search."""
        found: list[Architecture] = []
        while len(found) < most and (architecture := self._next()):
            found.append(architecture)
        return found

    def _next(self) -> Architecture | None:
        """One more proposal, claimed for the step."""
        return self._fresh()

    def _learn(self, architecture: Architecture, accuracy: float | None) -> None:
        """Take what became of a proposal; None: it failed."""

    def _claim(self, architecture: Architecture) -> bool:
        """Take one into the step, unless it is there already, or may not be trained again."""
        key = architecture.key
        if key in self._keys or (key in self._known and not self._retrain):
            return False
        self._keys.add(key)
        return True

    def _fresh(self) -> Architecture | None:
        """One drawn uniformly, claimed for the step; None, and the search is over, if none is."""
        for _ in range(PATIENCE):
            (architecture,) = sample(self._space, 1, self._generator)
            if self._claim(architecture):
                return architecture
        self._is_over = not self._retrain  # else this step holds all that there is
        return None


def mutate(architecture: Architecture, generator: np.random.Generator) -> Architecture | None:
    """One decision, each as likely as any other, made otherwise; None if the requirements forbid.

    None, too, where there is nothing to decide.
    """
    decisions = architecture.space.decisions
    open_ones = [i for i, decision in enumerate(decisions) if decision.size > 1]
    if not open_ones:
        return None
    i = open_ones[int(generator.integers(len(open_ones)))]
    choices = list(architecture.choices)
    number = below(decisions[i].size - 1, generator)
    choices[i] = number + (number >= choices[i])
    changed = Architecture(architecture.space, choices)
    return changed if satisfies(changed) else None
