"""Turn predicted scores into the best architectures of a level: greedy where EPNAS draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from epnas_dsl.search.epnas import EpnasSearcher


class PnasSearcher(EpnasSearcher):
    """Progressive neural architecture search (Liu et al. 2018, section 4, algorithm 1).

    Every architecture of level 1 is trained and expanded; of every later level the K of the highest
    scores. Equal scores stand in the order of their parents, then of the options. The paper makes
    one pass over the levels, with children trained from scratch (`search.iterations=1`,
    `evaluation.evaluator=standalone`); further iterations are made as by EPNAS, and so is the first
    step where level 1 has more than `first_level_limit` architectures.
    """

    def _order(
        self, scores: npt.ArrayLike, t: int, generator: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        return np.argsort(-np.asarray(scores, np.float64), kind="stable")

    def _place(self, t: int) -> dict[str, float]:
        return {}

    @property
    def _survivors(self) -> int:
        return max(self._settings.kept, self._settings.first_level_limit)
