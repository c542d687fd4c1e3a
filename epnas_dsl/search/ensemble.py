"""Turn several predictors into one, and each point into several ways to write it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import cycle, islice

import numpy as np

from epnas_dsl.search.searcher import Predictor, Scores, Tokens
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.tokens import from_tokens, to_tokens
from epnas_dsl.space.writings import writings


class Ensemble:
    """The mean of several predictors, each fitted to all but one part of the points.

    PNAS has one (Liu et al. 2018, section 4). The paper fits its five from scratch at every step;
    these go on from their last fit, as the surrogate of EPNAS does.

    The parts are every n-th point: the first predictor lacks the points 0, n, 2n and so on. Fewer
    points than predictors are given to all of them, as is everything to one alone.

    Args:
        predictors: they start from different weights.
        space: whose tokens are predicted.
        written: each point is given so often, in different writings where there are as many, so
            that the predictors see which architectures are equal.
    """

    def __init__(
        self, predictors: Sequence[Predictor], space: SearchSpace | None = None, written: int = 1
    ) -> None:
        self._predictors, self._space, self._written = tuple(predictors), space, written
        self._ways: dict[bytes, list[Tokens]] = {}

    def fit(self, tokens: Sequence[Tokens], targets: Sequence[float]) -> None:
        """Fit each predictor to its points."""
        n, ways = len(self._predictors), [self._write(point) for point in tokens]
        for part, predictor in enumerate(self._predictors):
            held = [i for i in range(len(tokens)) if i % n != part or len(tokens) < n or n == 1]
            points = [(way, targets[i]) for i in held for way in ways[i]]
            predictor.fit([way for way, _ in points], [target for _, target in points])

    def predict(self, tokens: Sequence[Tokens]) -> Scores:
        """Mean predicted accuracies, [len(tokens)]."""
        return _mean([p.predict(tokens) for p in self._predictors])

    def predict_expansions(self, parents: Sequence[Tokens], rows: Tokens) -> Scores:
        """Mean predicted accuracies of each parent followed by each row, [parents, rows]."""
        return _mean([p.predict_expansions(parents, rows) for p in self._predictors])

    def _write(self, point: Tokens) -> list[Tokens]:
        """A point in different writings, again from the first where there are too few."""
        if not self._space or self._written == 1:
            return [point]
        name = point.tobytes()
        if name not in self._ways:
            self._ways[name] = _ways(from_tokens(self._space, point), self._written)
        return self._ways[name]


@lru_cache(maxsize=1 << 14)  # the runs of a comparison come upon the same architectures
def _ways(architecture: Architecture, most: int) -> list[Tokens]:
    return list(islice(cycle(map(to_tokens, writings(architecture, most))), most))


def _mean(scores: list[Scores]) -> Scores:
    mean: Scores = np.mean(scores, axis=0, dtype=np.float32)
    return mean
