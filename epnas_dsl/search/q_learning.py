"""Turn measured accuracies into the worth of each choice after the one before: Q-learning."""

from __future__ import annotations

from dataclasses import replace

from epnas_dsl.config import SearchSettings
from epnas_dsl.search.proposals import TRIES, Proposer
from epnas_dsl.search.searcher import Progress
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import below
from epnas_dsl.space.measures import satisfies
from epnas_dsl.space.search_space import SearchSpace

START = 0.5  # worth of a choice never taken (section 4)
# Epsilon, and how many models the paper trains with it (table 2).
SCHEDULE = [(1.0, 1500), (0.9, 100), (0.8, 100), (0.7, 100)]
SCHEDULE += [(0.6, 150), (0.5, 150), (0.4, 150), (0.3, 150), (0.2, 150), (0.1, 150)]

State = tuple[int, int]  # the decision to be made, and what was chosen at the one before


def epsilon(share: float) -> float:
    """The share of random choices when this share of the trials is done: the paper's schedule."""
    models = share * sum(count for _, count in SCHEDULE)
    for value, count in SCHEDULE:
        if models < count:
            return value
        models -= count
    return SCHEDULE[-1][0]


class QLearningSearcher(Proposer):
    """Q-learning (Baker, Gupta, Naik, Raskar 2017), over the decisions in their order.

    A state is a place in the order and the choice made just before, as the paper's is a layer and
    its depth; an action is the next choice. Choices are random with probability epsilon and else
    the best; epsilon follows the paper's schedule, stretched over the trials that are planned. The
    reward is the accuracy, at the end. After each trial `replays` trials are drawn from the memory
    and walked backwards: Q(s, u) += rate * (r + max Q(s', .) - Q(s, u)), without discount (equation
    3 and section 4).

    Where the paper is silent: a failed trial has the reward 0, which its accuracy would be. The
    paper looks an architecture drawn again up; here it is drawn anew, after 100 times in a row at
    random. Choices never taken are not stored, so that decisions of any size are possible.
    """

    def __init__(self, space: SearchSpace, settings: SearchSettings) -> None:
        super().__init__(space, settings)
        self._sizes = [decision.size for decision in space.decisions]
        self._worth: dict[State, dict[int, float]] = {}
        self._memory: list[tuple[tuple[int, ...], float]] = []

    @property
    def progress(self) -> Progress:
        """One step from beginning to end; the note tells epsilon."""
        return replace(super().progress, note=f"epsilon {self._epsilon:g}")

    @property
    def _epsilon(self) -> float:
        return epsilon(self._trials / self._total)

    def _next(self) -> Architecture | None:
        for _ in range(TRIES):
            architecture = Architecture(self._space, self._choices())
            if satisfies(architecture) and self._claim(architecture):
                return architecture
        return self._fresh()

    def _choices(self) -> list[int]:
        chosen: list[int] = []
        for i, size in enumerate(self._sizes):
            is_random = self._generator.random() < self._epsilon
            state = (i, chosen[-1] if chosen else 0)
            chosen.append(below(size, self._generator) if is_random else self._best(state))
        return chosen

    def _best(self, state: State) -> int:
        """The choice of the highest worth, at random among equals."""
        taken, size = self._worth.get(state, {}), self._sizes[state[0]]
        top = self._highest(state)
        equals = [choice for choice, worth in taken.items() if worth == top]
        new = size - len(taken) if top == START else 0
        number = below(len(equals) + new, self._generator)
        if number < len(equals):
            return equals[number]
        while (choice := below(size, self._generator)) in taken:
            pass
        return choice

    def _highest(self, state: State) -> float:
        taken = self._worth.get(state, {})
        top = max(taken.values(), default=START)
        return max(top, START) if len(taken) < self._sizes[state[0]] else top

    def _learn(self, architecture: Architecture, accuracy: float | None) -> None:
        self._memory.append((architecture.choices, accuracy or 0.0))
        drawn = self._generator.integers(len(self._memory), size=self._settings.replays)
        for i in drawn.tolist():
            self._replay(*self._memory[i])

    def _replay(self, choices: tuple[int, ...], accuracy: float) -> None:
        aim = accuracy
        for i in range(len(choices) - 1, -1, -1):
            state = (i, choices[i - 1] if i else 0)
            taken = self._worth.setdefault(state, {})
            before = taken.get(choices[i], START)
            taken[choices[i]] = before + self._settings.rate * (aim - before)
            aim = self._highest(state)
