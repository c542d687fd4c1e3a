"""Turn predicted scores into the next architectures: EPNAS, level by level (section 4).

iteration 1, level 1   every architecture of the level, or K at random where they are too many
every further step     each kept architecture with each option of the level; all of them scored,
                       K drawn by score at the step's temperature, trained, kept
iteration 2 and on     `grow` begins again at level 1, drawing K there too; `refine` overwrites
                       one row after the other of the K kept architectures of full length,
                       `revise` in each step any one row of the K best
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from statistics import fmean
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from epnas_dsl.config import SearchSettings
from epnas_dsl.errors import RunError
from epnas_dsl.search.searcher import Predictor, Progress, Scores, Step, Tokens
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import first_level, options, sample
from epnas_dsl.space.measures import satisfies
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.tokens import columns, encode, to_tokens

SCORED = 10_000_000  # expansions scored in a step; a wider level is represented by SAMPLED rows
SAMPLED = 10_000
PATIENCE = 5_000  # draws in a row that bring nothing new, after which a step takes what it has
PASSES = 3  # iterations in a row without a trial, after which nothing new is left


def planned_trials(space: SearchSpace, settings: SearchSettings) -> int:
    """How many architectures EPNAS trains: `evaluations`, or at most so many in its iterations."""
    if settings.evaluations:
        return settings.evaluations
    sizes = [space.level_size(level, unordered=True) for level in range(1, space.depth + 1)]
    first = drawn = min(settings.kept, sizes[0])
    if sizes[0] <= settings.first_level_limit:
        first = len({a.key for a in first_level(space)})
        drawn = min(settings.kept, first) if settings.retrain == "yes" else 0
    later, width = 0, min(settings.kept, first)
    for size in sizes[1:]:
        width = min(settings.kept, width * size)
        later += width
    again = drawn + later if settings.later == "grow" else space.depth * width
    return first + later + (settings.iterations - 1) * again + max(0, settings.random_arm)


class _Scored(NamedTuple):
    """Scores, [gaps, rows], of rows of a level in gaps: the choices before and after them."""

    gaps: list[tuple[tuple[int, ...], tuple[int, ...]]]
    rows: npt.NDArray[np.int64]
    scores: Scores


class EpnasSearcher:
    """Efficient progressive neural architecture search (Pérez-Rúa, Baccouche, Pateux 2018).

    Where the paper is silent:

    - Steps are counted from 0 over all iterations, t = iteration * levels + level, both from 0.
    - Where the first step trains more than K, K of them are drawn by their measured accuracies,
      at the temperature of that step; the others are in the surrogate's store all the same.
    - Architectures equal by canonical key count once in a step; further ones are drawn for them.
      Two kept architectures that differ only in the row to be overwritten have the same children,
      which are scored once.
    - A failed trial is not stored, kept or drawn again. If a whole step fails it is drawn again
      from the rest; where nothing is left, the next iteration begins.
    - Without `retrain`, what was trained before and is drawn again is kept with the accuracy that
      it has, at no cost; in the last level, and when refining, new ones are preferred.
    - With `evaluations`, iterations follow one another until there are so many trials, or three
      in a row have found nothing new.

    Args:
        predictor: the surrogate; it is fitted when a step is drawn and trials were told since.
    """

    def __init__(self, space: SearchSpace, settings: SearchSettings, predictor: Predictor) -> None:
        self._space, self._settings, self._predictor = space, settings, predictor
        self._retrain = settings.retrain == "yes"
        self._total = planned_trials(space, settings)
        self._measured: dict[Architecture, list[float]] = {}
        self._tokens: dict[Architecture, Tokens] = {}
        self._known: dict[str, bool] = {}  # by key: whether a trial succeeded
        self._parents: list[Architecture] = []  # those that the step expands
        self._drawn: list[Architecture] = []  # by the step: to be kept, whether trained or not
        self._notes: dict[Architecture, dict[str, float]] = {}
        self._step = Step()
        self._t = self._begun = 0  # the step to be drawn next, and the one begun last
        self._draws = self._trials = 0
        self._fitted = 0  # trials told when the surrogate was fitted
        self._trials_before = self._idle = 0  # when the iteration began; iterations without any

    def ask(self, n: int) -> list[Architecture]:
        """The next architectures of the step, at most n; a new step begins when all were told."""
        while self._step.is_done and not self._is_over:
            if self._drawn:
                self._finish()
            if not self._is_over:
                self._begin()
        return self._step.ask(n)

    def tell(self, architecture: Architecture, metrics: Mapping[str, float] | None) -> None:
        """Take the accuracy of an architecture of this step, or its failure."""
        self._step.tell(architecture, metrics)
        self._trials += 1

    def note(self, architecture: Architecture) -> dict[str, float]:
        """The step's iteration, level and temperature, and the score that was predicted."""
        return self._notes[architecture]

    @property
    def progress(self) -> Progress:
        """Where the search stands; the note tells the temperature."""
        settings, depth = self._settings, self._space.depth
        iteration, level = divmod(self._begun, depth)
        return Progress(
            iteration=iteration + 1,
            level=level + 1,
            step=self._begun + 1,
            steps=max(self._begun + 1, settings.iterations * depth),
            trials=self._trials,
            total=max(self._trials, self._total),  # a step that failed as a whole is drawn again
            note=" ".join(f"{word} {n:.3g}" for word, n in self._place(self._begun).items()),
        )

    @property
    def _is_over(self) -> bool:
        if self._settings.evaluations:
            return self._trials >= self._settings.evaluations or self._idle >= PASSES
        return self._t >= self._settings.iterations * self._space.depth

    def _finish(self) -> None:
        for architecture in self._step.architectures:
            accuracy = self._step.accuracies[architecture]
            if accuracy is not None:
                self._measured.setdefault(architecture, []).append(accuracy)
            self._known[architecture.key] = accuracy is not None or self._known.get(
                architecture.key, False
            )
        kept = [a for a in self._drawn if self._known.get(a.key, False)]
        self._step, self._drawn = Step(), []
        if len(kept) > self._survivors:  # the first step trains more than it keeps
            accuracies = [self._accuracy(a) for a in kept]
            order = self._order(accuracies, 0, self._generator())
            kept = [kept[i] for i in order[: self._survivors]]
        if kept:
            self._parents = kept
            self._move_on(self._t + 1)

    def _begin(self) -> None:
        settings = self._settings
        drawn = self._first() if self._t == 0 else self._next()
        self._drawn, self._begun = list(drawn), self._t
        if not drawn:
            if not self._measured:
                raise RunError(
                    f"no architecture of level 1 of {self._space.name} is left to be tried: those "
                    f"that meet the requirements failed, {self._trials} in all", code="E720",
                )  # fmt: skip
            self._move_on(self._t - self._t % self._space.depth + self._space.depth)
        asked = [a for a in drawn if self._retrain or a.key not in self._known]
        if settings.evaluations:
            asked = asked[: settings.evaluations - self._trials]
        self._step = Step(asked)
        iteration, level = divmod(self._begun, self._space.depth)
        if iteration and settings.later == "revise":
            level = self._space.depth - 1
        place: dict[str, float] = {"iteration": iteration + 1, "level": level + 1}
        heat = self._place(self._begun)
        self._notes = {
            a: place if math.isnan(drawn[a]) else {**place, **heat, "predicted": drawn[a]}
            for a in asked
        }

    def _move_on(self, t: int) -> None:
        """Go to a step; where that ends an iteration, see whether it brought a trial."""
        self._t = t
        if t % self._space.depth == 0:
            self._idle = 0 if self._trials > self._trials_before else self._idle + 1
            self._trials_before = self._trials

    def _first(self) -> dict[Architecture, float]:
        """The first step: all of level 1, or K of them at random; nothing is predicted."""
        space, settings = self._space, self._settings
        if space.level_size(1, unordered=True) <= settings.first_level_limit:
            found = first_level(space)
            return self._pick(((a, math.nan) for a in found), len(found), prefer_new=True)
        generator = self._generator()
        endless = (sample(space, 1, generator, level=1)[0] for _ in itertools.count())
        return self._pick(((a, math.nan) for a in endless), settings.kept, prefer_new=True)

    def _next(self) -> dict[Architecture, float]:
        """A further step: K of all expansions, drawn by score; each with its score."""
        depth, kept, later = self._space.depth, self._settings.kept, self._settings.later
        iteration, level = divmod(self._t, depth)
        anew = iteration > 0 and later != "grow"
        parents, levels = self._parents if level or anew else [], [level + 1]
        if anew and later == "revise" and (best := self._best()):  # else as `refine`
            parents, levels = best, list(range(1, depth + 1))
        prefer_new = (anew or level + 1 == depth) and not self._retrain
        return self._pick(self._expansions(parents, levels), kept, prefer_new)

    def _best(self) -> list[Architecture]:
        """Of all of full length that were trained, the K most accurate ones."""
        full = [a for a in self._measured if a.level == self._space.depth]
        return sorted(full, key=self._accuracy, reverse=True)[: self._settings.kept]

    def _pick(
        self, found: Iterable[tuple[Architecture, float]], most: int, prefer_new: bool
    ) -> dict[Architecture, float]:
        """The first ones that are distinct, meet the requirements and have not failed.

        Those already trained come after the others where new ones are preferred.
        """
        picked: dict[str, tuple[Architecture, float]] = {}
        spare: dict[str, tuple[Architecture, float]] = {}
        misses = 0
        for architecture, score in found:
            key = architecture.key
            into = spare if prefer_new and key in self._known else picked
            usable = key not in into and self._known.get(key, True) and satisfies(architecture)
            if usable:
                into[key] = (architecture, score)
            misses = 0 if usable and into is picked else misses + 1
            if len(picked) == most or misses == PATIENCE:
                break
        return dict(itertools.islice((picked | spare).values(), most))

    def _expansions(
        self, parents: list[Architecture], levels: Sequence[int]
    ) -> Iterator[tuple[Architecture, float]]:
        """Every parent with every row of a level in its place, scored, in the order of the draw.

        Without parents, the rows are those of level 1, and stand alone.
        """
        generator = self._generator()
        parts = [self._scored(parents, level, generator) for level in levels]
        starts = [0, *accumulate(part.scores.size for part in parts)]
        scores = np.concatenate([part.scores.ravel() for part in parts])
        for i in self._order(scores, self._t, generator):
            number = bisect(starts, int(i)) - 1
            part = parts[number]
            parent, row = divmod(int(i) - starts[number], len(part.rows))
            before, after = part.gaps[parent]
            choices = (*before, *part.rows[row].tolist(), *after)
            yield Architecture(self._space, choices), float(scores[i])

    def _scored(
        self, parents: list[Architecture], level: int, generator: np.random.Generator
    ) -> _Scored:
        start, end = self._space.widths[level - 1 : level + 1]
        alone = np.empty((0, len(columns(self._space))), np.int16)
        gaps = {(a.choices[:start], a.choices[end:]): to_tokens(a) for a in parents}
        gaps = gaps or {((), ()): alone}
        rows = self._rows(level, generator)
        scores = self._score(list(gaps.values()), level, encode(self._space, level, rows))
        return _Scored(list(gaps), rows, scores)

    def _order(
        self, scores: npt.ArrayLike, t: int, generator: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """The order in which a step takes those that have these scores."""
        return draw_order(scores, temperature(self._settings, t), generator)

    def _place(self, t: int) -> dict[str, float]:
        """What the order of a step depends on, to be noted."""
        return {"temperature": temperature(self._settings, t)}

    @property
    def _survivors(self) -> int:
        """How many of the first step are expanded."""
        return self._settings.kept

    def _rows(self, level: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """The options of a level as choices, or random ones where they are too many to score."""
        if self._space.level_size(level) <= SCORED // max(self._settings.kept, len(self._parents)):
            return options(self._space, level)
        drawn = sample(self._space, SAMPLED, generator, level)
        return np.unique(np.array([a.rows()[level - 1] for a in drawn], np.int64), axis=0)

    def _score(self, parents: list[Tokens], level: int, rows: Tokens) -> Scores:
        """Predicted accuracies, [parents, rows], of parents with their row of a level replaced."""
        self._fit()
        heads = [tokens[: level - 1] for tokens in parents]
        tails = [tokens[level:] for tokens in parents]
        if not any(map(len, tails)):
            return self._predictor.predict_expansions(heads, rows)
        scores = np.empty((len(parents), len(rows)), np.float32)
        for i, (head, tail) in enumerate(zip(heads, tails, strict=True)):
            whole = [np.concatenate((head, row, tail)) for row in rows[:, None]]
            scores[i] = self._predictor.predict(whole)
        return scores

    def _fit(self) -> None:
        if self._fitted < self._trials:
            measured = list(self._measured)
            accuracies = [self._accuracy(a) for a in measured]
            new = (a for a in measured if a not in self._tokens)
            self._tokens |= {a: to_tokens(a) for a in new}
            self._predictor.fit([self._tokens[a] for a in measured], accuracies)
            self._fitted = self._trials

    def _accuracy(self, architecture: Architecture) -> float:
        found = self._measured[architecture]
        match self._settings.repeated:
            case "max":
                return max(found)
            case "mean":
                return fmean(found)
            case "last":
                return found[-1]

    def _generator(self) -> np.random.Generator:
        """A generator for one draw: from the seed and the number of the draw."""
        self._draws += 1
        return np.random.default_rng((self._settings.seed, self._draws))


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
