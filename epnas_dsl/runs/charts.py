"""Turn trials and curves into charts: plain SVG that opens offline, on light and on dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from epnas_dsl.runs.trial import Trial

_WIDTH, _HEIGHT = 760, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 26, 24, 42


@dataclass(frozen=True, slots=True)
class _Axes:
    """A plane with its ranges; turns values into places in the picture."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width: int = _WIDTH
    height: int = _HEIGHT
    whole_x: bool = True  # epochs and trials have no halves

    def x(self, value: float) -> float:
        low, high = self.x_range
        return round(_LEFT + (value - low) / (high - low) * (self.width - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.y_range
        share = (value - low) / (high - low)
        return round(self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM), 1)

    def draw(
        self,
        marks: Iterable[str],
        labels: tuple[str, str],
        x_text: Callable[[float], str] = "{:g}".format,
        y_text: Callable[[float], str] = "{:.4g}".format,
    ) -> str:
        """The whole picture: grid, ticks and labels below the marks."""
        bottom, right = self.height - _BOTTOM, self.width - _RIGHT
        parts = [f'<svg viewBox="0 0 {self.width} {self.height}" role="img" class="chart">']
        for value in ticks(*self.y_range):
            y = self.y(value)
            parts += [f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}"/>']
            parts += [f'<text class="end" x="{_LEFT - 8}" y="{y + 4}">{y_text(value)}</text>']
        for value in ticks(*self.x_range, least=1 if self.whole_x else 0):
            x = self.x(value)
            parts += [f'<line class="tick" x1="{x}" x2="{x}" y1="{bottom}" y2="{bottom + 4}"/>']
            parts += [f'<text class="mid" x="{x}" y="{bottom + 18}">{x_text(value)}</text>']
        parts += [f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>']
        middle = (_LEFT + right) / 2
        parts += [f'<text class="mid" x="{middle}" y="{self.height - 6}">{labels[0]}</text>']
        parts += [f'<text x="6" y="14">{labels[1]}</text>', *marks, "</svg>"]
        return "\n".join(parts)


def ticks(low: float, high: float, count: int = 6, least: float = 0) -> list[float]:
    """Round numbers from low to high, about so many, at least so far apart."""
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    step *= next(f for f in (1, 2, 5, 10) if (high - low) / (step * f) <= count)
    step = max(step, least)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def colour(level: int, levels: int) -> str:
    """The colour of a level: from blue over violet to orange, as bright as the page wants."""
    hue = 215 + 175 * (level - 1) / max(1, levels - 1)
    return f"hsl({hue % 360:.0f} 65% var(--bright))"


def trials_chart(trials: Sequence[Trial]) -> str:
    """Accuracy of every trial over its number, coloured by level, with the best so far."""
    done = [trial for trial in trials if trial.state == "complete"]
    if not done:
        return ""
    accuracies = [trial.accuracy for trial in done]
    axes = _Axes((0, max(trials[-1].number + 1, 2)), _padded(accuracies))
    levels = max(trial.level for trial in trials)
    marks = _iterations(axes, trials)
    marks += [_point(axes, t, t.number + 1, t.accuracy, levels) for t in done]
    marks += [
        f'<text class="failed" x="{axes.x(t.number + 1)}" y="{axes.y(axes.y_range[0]) - 3}">'
        f"×<title>trial {t.number} {t.state}: {escape(t.message)}</title></text>"
        for t in trials
        if t.state != "complete"
    ]
    steps: list[str] = []
    best = -1.0
    for trial in done:
        if trial.accuracy > best:
            x = axes.x(trial.number + 1)
            steps += [f"H{x}"] if steps else [f"M{x} {axes.y(trial.accuracy)}"]
            steps += [f"V{axes.y(trial.accuracy)}"]
            best = trial.accuracy
    steps += [f"H{axes.x(trials[-1].number + 1)}"]
    marks += [f'<path class="best" d="{" ".join(steps)}"/>']
    return axes.draw(marks, ("trial", "validation accuracy"), y_text=percent)


def predictions_chart(trials: Sequence[Trial]) -> str:
    """Measured over predicted accuracy; on the diagonal the surrogate was right."""
    pairs = [(t.notes["predicted"], t.accuracy, t) for t in predicted(trials)]
    if not pairs:
        return ""
    plane = _padded([value for p, m, _ in pairs for value in (p, m)])
    axes = _Axes(plane, plane, 420, 400, whole_x=False)
    levels = max(trial.level for trial in trials)
    ends = [(axes.x(v), axes.y(v)) for v in plane]
    marks = [
        f'<line class="guide" x1="{ends[0][0]}" y1="{ends[0][1]}"'
        f' x2="{ends[1][0]}" y2="{ends[1][1]}"/>'
    ]
    marks += [_point(axes, trial, p, m, levels) for p, m, trial in pairs]
    return axes.draw(marks, ("predicted accuracy", "measured accuracy"), percent, percent)


def front_chart(trials: Sequence[Trial], front: Sequence[Trial], cost: str, label: str) -> str:
    """Accuracy of every trial over its cost; the line joins those that no other beats."""
    done = [t for t in trials if t.state == "complete" and cost in t.metrics]
    if not front:
        return ""
    costs = [trial.metrics[cost] for trial in done]
    pad = 0.05 * (max(costs) - min(costs)) or 0.05 * max(costs) or 1.0
    across = (max(0.0, min(costs) - pad), max(costs) + pad)
    axes = _Axes(across, _padded([t.accuracy for t in done]), 480, 320, whole_x=False)
    levels = max(trial.level for trial in trials)
    marks = [_point(axes, t, t.metrics[cost], t.accuracy, levels) for t in done]
    corners = [(axes.x(t.metrics[cost]), axes.y(t.accuracy)) for t in front]
    steps = " ".join(f"H{x} V{y}" for x, y in corners[1:])
    start, end = f"M{corners[0][0]} {corners[0][1]}", f"H{axes.x(across[1])}"
    marks += [f'<path class="best" d="{start} {steps} {end}"/>']
    return axes.draw(marks, (label, "validation accuracy"), short, percent)


def short(value: float) -> str:
    """A large number as people say it: 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def curves_chart(curves: Mapping[str, Sequence[float]]) -> str:
    """One line for each name, over epochs from 1."""
    lines = [list(values) for values in curves.values()]
    every = [value for values in lines for value in values]
    if not every:
        return ""
    axes = _Axes((0, max(2, *map(len, lines))), _padded(every))
    marks = []
    for i, values in enumerate(lines, 1):
        ink = colour(i, len(lines))
        points = [(e, axes.x(e), axes.y(v), v) for e, v in enumerate(values, 1)]
        line = " ".join(f"{x},{y}" for _, x, y, _ in points)
        marks.append(f'<polyline class="curve" style="stroke: {ink}" points="{line}"/>')
        marks += [
            f'<circle cx="{x}" cy="{y}" r="3" style="fill: {ink}">'
            f"<title>epoch {e}: {percent(v)}</title></circle>"
            for e, x, y, v in points
        ]
    return axes.draw(marks, ("epoch", "accuracy"), y_text=percent)


def predicted(trials: Iterable[Trial]) -> list[Trial]:
    """The complete trials whose accuracy was predicted before it was measured."""
    return [t for t in trials if t.state == "complete" and "predicted" in t.notes]


def percent(value: float) -> str:
    """A share as percent, without needless digits."""
    return f"{100 * value:.4g} %"


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = max(0.06 * (high - low), 0.002)
    return max(0.0, low - pad), min(1.0, high + pad) if high <= 1 else high + pad


def _point(axes: _Axes, trial: Trial, x: float, y: float, levels: int) -> str:
    about = f"trial {trial.number}, level {trial.level}: {percent(trial.accuracy)}"
    return (
        f'<circle cx="{axes.x(x)}" cy="{axes.y(y)}" r="3.2"'
        f' style="fill: {colour(trial.level, levels)}">'
        f"<title>{about}\n{escape(trial.architecture)}</title></circle>"
    )


def _iterations(axes: _Axes, trials: Sequence[Trial]) -> list[str]:
    """A line wherever a new iteration of the search begins."""
    marks, before = [], trials[0].notes.get("iteration")
    for trial in trials:
        iteration = trial.notes.get("iteration")
        if iteration is not None and iteration != before:
            x = axes.x(trial.number + 0.5)
            top, bottom = axes.y(axes.y_range[1]), axes.y(axes.y_range[0])
            marks += [f'<line class="guide" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>']
            marks += [f'<text x="{x + 5}" y="{top + 10}">iteration {iteration:g}</text>']
        before = iteration
    return marks
