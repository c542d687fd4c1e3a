"""Turn scores into a random order: drawing without replacement, sharpened as the search cools."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from epnas_dsl.config import SearchSettings


def temperature(settings: SearchSettings, t: int) -> float:
    """T(t) = (T0 - T1) exp(-(t + 1)² / sigma²) + T1, for the step t, counted from 0."""
    start, end = settings.temperature_start, settings.temperature_end
    return (start - end) * math.exp(-(((t + 1) / settings.temperature_decay) ** 2)) + end


def draw_order(
    scores: npt.ArrayLike, heat: float, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The order in which all are drawn, one after the other without replacement.

    Each draw takes one of those left with a probability in proportion to score^(1 / heat). Sorting
    the logarithms with Gumbel noise added is the same distribution (Yellott 1977; Kool et al.
    2019), without a sum that could under- or overflow. Scores of 0 come last; equal ones, also if
    all are 0, in random order; the limit for heat to 0 is the order of the scores.
    """
    logarithms = np.log(np.maximum(np.asarray(scores, np.float64), 1e-300))
    noise = generator.gumbel(size=logarithms.shape)
    return np.argsort(
        -(logarithms - logarithms.max(initial=-np.inf)) / max(heat, 1e-9) - noise, kind="stable"
    )
