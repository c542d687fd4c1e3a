"""Turn predicted scores into the best architectures of a level: greedy where EPNAS draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from epnas_dsl.search.epnas import EpnasSearcher
from epnas_dsl.search.searcher import Predictor, Scores, Tokens


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


class Ensemble:
    """The mean of several predictors, each fitted to all but one part of the points (section 4).

    The paper fits its five from scratch at every step; these go on from their last fit, as the
    surrogate of EPNAS does.

    The parts are every n-th point: the first predictor lacks the points 0, n, 2n and so on. Fewer
    points than predictors are given to all of them.

    Args:
        predictors: at least two, that start from different weights.
    """

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        self._predictors = tuple(predictors)

    def fit(self, tokens: Sequence[Tokens], targets: Sequence[float]) -> None:
        """Fit each predictor to its points."""
        n = len(self._predictors)
        for part, predictor in enumerate(self._predictors):
            held = [i for i in range(len(tokens)) if i % n != part or len(tokens) < n]
            predictor.fit([tokens[i] for i in held], [targets[i] for i in held])

    def predict(self, tokens: Sequence[Tokens]) -> Scores:
        """Mean predicted accuracies, [len(tokens)]."""
        return _mean([p.predict(tokens) for p in self._predictors])

    def predict_expansions(self, parents: Sequence[Tokens], rows: Tokens) -> Scores:
        """Mean predicted accuracies of each parent followed by each row, [parents, rows]."""
        return _mean([p.predict_expansions(parents, rows) for p in self._predictors])


def _mean(scores: list[Scores]) -> Scores:
    mean: Scores = np.mean(scores, axis=0, dtype=np.float32)
    return mean
