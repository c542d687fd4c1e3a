"""Turn a searcher into one that spends a few of its trials on chance, to be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from epnas_dsl.config import SearchSettings
from epnas_dsl.search.epnas import planned_trials
from epnas_dsl.search.random_search import RandomSearcher
from epnas_dsl.search.searcher import Progress, Searcher
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.search_space import SearchSpace

FEWEST = 5  # of each side; fewer make an interval that is too narrow
APART = 1_000_003  # between the seed of a run and that of its arm, so that a random search differs


class RandomArm:
    """A searcher, and between its trials uniform random architectures of full length.

    They are spread evenly over the run, as shared weights that are trained longer measure higher,
    in groups of as many as are proposed at once, so that all workers have one; a group stands in
    the middle of where its members would stand alone. The searcher is not told of them, and
    searches as it would with so many trials less. With shared weights, their training goes into
    the weights all the same.

    Args:
        settings: `random_arm` of them; with `evaluations` these are among them.
        searcher: the one that is compared; it keeps to `without_arm(settings)`.
    """

    def __init__(self, space: SearchSpace, settings: SearchSettings, searcher: Searcher) -> None:
        own = msgspec.structs.replace(
            settings, evaluations=settings.random_arm, random_arm=0, seed=settings.seed + APART
        )
        self._arm, self._searcher = RandomSearcher(space, own), searcher
        self._count, self._trials = settings.random_arm, 0
        self._group = max(1, settings.proposals)
        self._total = searcher.progress.total + settings.random_arm
        self._asked = self._given = 0  # of all, and of the arm
        self._open: set[Architecture] = set()  # of the arm, not told yet

    def ask(self, n: int) -> list[Architecture]:
        """The next of the searcher's step, at most up to the next random ones; or those."""
        turn = self._turn(self._asked)
        if turn and (found := self._random(min(n, turn))):
            return found
        upto = 1
        while upto < n and not self._turn(self._asked + upto):
            upto += 1
        asked = self._searcher.ask(upto)
        self._asked += len(asked)
        return asked or self._random(n)  # the searcher found nothing new; the rest is the arm's

    def tell(self, architecture: Architecture, metrics: Mapping[str, float] | None) -> None:
        """Pass on what became of one to whichever asked for it."""
        mine = architecture in self._open
        self._open.discard(architecture)
        (self._arm if mine else self._searcher).tell(architecture, metrics)
        self._trials += 1

    def note(self, architecture: Architecture) -> dict[str, float]:
        """The searcher's note; for a random one `random` is 1, in the searcher's iteration."""
        if architecture not in self._open:
            return self._searcher.note(architecture)
        iteration = self._searcher.progress.iteration
        return {"iteration": iteration, "level": architecture.level, "random": 1}

    @property
    def progress(self) -> Progress:
        """The searcher's, with the trials of the arm."""
        total = max(self._total, self._trials)
        return replace(self._searcher.progress, trials=self._trials, total=total)

    def _turn(self, place: int) -> int:
        """How many trials from a place of the run on are random."""
        begun = self._given % self._group
        left = min(self._group - begun, self._count - self._given)
        ahead = left + 1
        is_due = (2 * place + ahead) * self._count >= (2 * self._given + ahead) * self._total
        return left if begun or is_due else 0

    def _random(self, n: int) -> list[Architecture]:
        found = self._arm.ask(n)
        self._given = self._given + len(found) if found else self._count  # none is left
        self._asked += len(found)
        self._open.update(found)
        return found


def usual_arm(space: SearchSpace, settings: SearchSettings) -> int:
    """How many trials are random where the settings leave it open."""
    tenth = planned_trials(space, settings) // 10
    return tenth if tenth >= FEWEST and settings.searcher != "random" else 0


def without_arm(settings: SearchSettings) -> SearchSettings:
    """The settings of the searcher that is compared with its arm."""
    rest = settings.evaluations - settings.random_arm if settings.evaluations else 0
    return msgspec.structs.replace(settings, evaluations=rest, random_arm=0)
