"""Turn the records of a run into one HTML file that opens offline."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import msgspec
import numpy as np
from markupsafe import Markup

from epnas_dsl.config import Config
from epnas_dsl.errors import printable
from epnas_dsl.runs import charts
from epnas_dsl.runs.selection import front
from epnas_dsl.runs.trial import Trial, best
from epnas_dsl.search.random_arm import FEWEST

TOP = 15
RESAMPLES = 2_000

_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=lambda value: printable(value) if type(value) is str else value,
)
_PAGES.filters |= {"accuracy": "{:.2%}".format, "count": "{:,}".format, "short": charts.short}


@dataclass(frozen=True, slots=True)
class Fit:
    """How well the surrogate foretold the trials of a level.

    Attributes:
        predicted: the mean of what was predicted, beside which
        measured: the mean of what was measured shows how the surrogate is calibrated.
        rank_correlation: Spearman's; nan for fewer than 3 trials, or without any differences.
        error: mean absolute difference of predicted and measured accuracy.
    """

    level: int
    count: int
    predicted: float
    measured: float
    rank_correlation: float
    error: float


def render(
    trials: Sequence[Trial],
    config: Config,
    *,
    facts: Mapping[str, str] | None = None,
    drawing: str = "",
    curves: Mapping[str, Sequence[float]] | None = None,
    commands: Sequence[tuple[str, str]] = (),
) -> str:
    """The report of a run as HTML.

    Args:
        facts: further figures of the best architecture: name and value, ready to read.
        drawing: the best architecture as SVG.
        curves: accuracies in [0, 1] after each epoch of the final training, by name.
        commands: what can be done next: a few words, and the command to type.
    """
    curves = curves or {}
    winner = best(list(trials))
    complete = [trial for trial in trials if trial.state == "complete"]
    levels = sorted({trial.level for trial in trials})
    image = base64.b64encode(drawing.encode()).decode()  # an image cannot act on the page
    page = _PAGES.get_template("report.html.jinja")
    return page.render(
        config=config,
        best=winner,
        figures=_figures(trials, winner, facts or {}),
        began=time.strftime("%Y-%m-%d %H:%M", time.localtime(trials[0].started)) if trials else "",
        drawing=image and f"data:image/svg+xml;base64,{image}",
        trials_chart=Markup(charts.trials_chart(trials)),  # whose texts are escaped already
        predictions_chart=Markup(charts.predictions_chart(trials)),
        curves_chart=Markup(charts.curves_chart(curves)),
        curves_legend=[(n, charts.colour(i, len(curves))) for i, n in enumerate(curves, 1)],
        legend=[(level, charts.colour(level, max(levels))) for level in levels],
        fits=fits(trials),
        chance=against_chance(trials),
        fronts=_fronts(trials),
        top=sorted(complete, key=lambda t: (-t.accuracy, t.number))[:TOP],
        failed=[trial for trial in trials if trial.state != "complete"],
        settings=_settings(config),
        commands=commands,
        isnan=math.isnan,
    )


def fits(trials: Sequence[Trial]) -> list[Fit]:
    """How well the surrogate foretold each level; later levels show what it has learned."""
    found = []
    known = charts.predicted(trials)
    for level in sorted({trial.level for trial in known}):
        here = [trial for trial in known if trial.level == level]
        guessed = np.array([trial.notes["predicted"] for trial in here])
        measured = np.array([trial.accuracy for trial in here])
        correlation = rank_correlation(guessed, measured)
        means = float(guessed.mean()), float(measured.mean())
        error = float(abs(guessed - measured).mean())
        found.append(Fit(level, len(here), *means, correlation, error))
    return found


@dataclass(frozen=True, slots=True)
class Advantage:
    """How much better the search's full-length trials are than those drawn at random.

    Attributes:
        searched: how many full-length trials the search chose.
        random: how many were drawn uniformly.
        mean: of the first minus mean of the second, in accuracy.
        low: where the 95 % interval of that difference begins.
        high: where it ends; both are nan with fewer than 5 of either.
    """

    searched: int
    random: int
    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Whether the search beat chance, as far as the interval tells."""
        if math.isnan(self.low):
            return f"too few trials to tell; it takes {FEWEST} of each"
        if self.low > 0:
            return "the search beat uniform random choice"
        worse = "the search was worse than uniform random choice"
        return worse if self.high < 0 else "this does not tell the two apart"


def against_chance(trials: Sequence[Trial]) -> Advantage | None:
    """The search against its random arm; None without both.

    The interval is the percentile bootstrap of the difference of means (Efron, Tibshirani, "An
    Introduction to the Bootstrap", chapter 13): both sides are drawn anew 2,000 times, with
    replacement and a fixed seed. It takes the trials as independent, which those of one search are
    not quite, so it says nothing of other seeds.
    """
    drawn = [t for t in trials if t.state == "complete" and t.notes.get("random")]
    level = max((t.level for t in drawn), default=0)
    full = [t for t in trials if t.state == "complete" and t.level == level]
    ours = np.array([t.accuracy for t in full if not t.notes.get("random")])
    theirs = np.array([t.accuracy for t in drawn])
    if not len(ours) or not len(theirs):
        return None
    low = high = math.nan
    if min(len(ours), len(theirs)) >= FEWEST:
        generator = np.random.default_rng(0)

        def means(side: np.ndarray) -> np.ndarray:
            draws = (generator.integers(len(side), size=len(side)) for _ in range(RESAMPLES))
            return np.array([side[drawn].mean() for drawn in draws])

        low, high = np.quantile(means(ours) - means(theirs), (0.025, 0.975)).tolist()
    return Advantage(len(ours), len(theirs), float(ours.mean() - theirs.mean()), low, high)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; ties share their mean rank."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank: np.ndarray = np.cumsum(counts) - (counts - 1) / 2
    return mean_rank[where]


COSTS = {"params": "parameters", "macs": "MACs for an image", "latency": "milliseconds for a batch"}


def _fronts(trials: Sequence[Trial]) -> list[tuple[str, str, list[Trial]]]:
    """For each cost that was measured its name, the chart, and the Pareto front."""
    there = {name for trial in trials for name in trial.metrics}
    fronts = {cost: front(trials, cost) for cost in COSTS if cost in there}
    return [(c, Markup(charts.front_chart(trials, m, c, COSTS[c])), m) for c, m in fronts.items()]


def _figures(
    trials: Sequence[Trial], winner: Trial | None, facts: Mapping[str, str]
) -> dict[str, str]:
    figures = {"validation accuracy": charts.percent(winner.accuracy)} if winner else {}
    figures |= facts
    failed = sum(trial.state != "complete" for trial in trials)
    figures["trials"] = f"{len(trials):,}" + (f" ({failed:,} failed)" if failed else "")
    figures["time of evaluation"] = duration(sum(trial.seconds for trial in trials))
    return figures


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def _settings(config: Config) -> list[tuple[str, list[tuple[str, str]]]]:
    values = msgspec.to_builtins(config)
    general = {name: value for name, value in values.items() if not isinstance(value, dict)}
    sections = {"general": general} | {n: v for n, v in values.items() if isinstance(v, dict)}
    return [
        (section, [(k, v if isinstance(v, str) else json.dumps(v)) for k, v in settings.items()])
        for section, settings in sections.items()
    ]
