"""Turn measured accuracies into a policy that writes architectures: REINFORCE."""

from __future__ import annotations

from epnas_dsl.config import ControllerSettings, SearchSettings
from epnas_dsl.search.proposals import TRIES, Proposer
from epnas_dsl.search.searcher import Controller, Tokens
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.measures import satisfies
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.tokens import from_tokens


class ReinforceSearcher(Proposer):
    """A controller trained by REINFORCE (Zoph, Le 2017, section 3; Pham et al. 2018, section 2).

    The controller writes an architecture's symbols in their order, only possible ones. The reward
    is the accuracy, to a power; less a moving average of the rewards before, it multiplies the
    gradient of the logarithm of the probability. With children from scratch this is NAS. With
    shared weights it is ENAS, which trains in turn the weights, on architectures of the controller
    as it stands, and the controller: a turn is one step of `proposals` architectures.

    Where the papers are silent, or this differs from them:

    - ENAS rewards its controller by fresh architectures, each on one validation batch; here the
      reward is the validation accuracy of the architectures just trained, which are the trials.
    - The papers train again what is written again. Without `retrain` it is not: the controller
      learns from the accuracy that is known, and writes anew, 100 times in a row at most, after
      which one is drawn at random, from which the controller does not learn.
    - A failed trial has the reward 0. An architecture that misses a requirement of its space is
      written anew, and nothing is learned from it.
    """

    def __init__(
        self, space: SearchSpace, settings: SearchSettings, controller: Controller,
        how: ControllerSettings,
    ) -> None:  # fmt: skip
        super().__init__(space, settings)
        self._controller, self._how = controller, how
        self._written: dict[Architecture, Tokens] = {}  # of the step
        self._lessons: list[tuple[Tokens, float]] = []  # and rewards, not yet learned
        self._average: float | None = None

    def _propose(self, most: int) -> list[Architecture]:
        self._take_lessons()
        self._written = {}
        return super()._propose(most)

    def _next(self) -> Architecture | None:
        for _ in range(TRIES):
            tokens = self._controller.write()
            architecture = from_tokens(self._space, tokens)
            if not satisfies(architecture):
                continue
            if self._claim(architecture):
                self._written[architecture] = tokens
                return architecture
            if architecture.key not in self._keys:
                self._lessons.append((tokens, self._reward(self._known[architecture.key])))
                self._take_lessons()
        return self._fresh()

    def _learn(self, architecture: Architecture, accuracy: float | None) -> None:
        if architecture in self._written:
            self._lessons.append((self._written[architecture], self._reward(accuracy)))

    def _reward(self, accuracy: float | None) -> float:
        return float(max(accuracy or 0.0, 0.0) ** self._how.power)

    def _take_lessons(self) -> None:
        """One step of the controller by all that was measured since the last."""
        if not self._lessons:
            return
        advantages = []
        for _, reward in self._lessons:
            before = reward if self._average is None else self._average
            advantages.append(reward - before)
            self._average = self._how.baseline * before + (1 - self._how.baseline) * reward
        self._controller.learn([tokens for tokens, _ in self._lessons], advantages)
        self._lessons = []
