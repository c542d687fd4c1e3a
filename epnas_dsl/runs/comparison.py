"""Turn the trials of many runs into one picture: best so far against evaluations, by searcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from epnas_dsl.errors import printable
from epnas_dsl.runs.charts import percent, ticks
from epnas_dsl.runs.trial import Trial

Quartiles = npt.NDArray[np.float64]  # [3, evaluations]: lower quartile, median, upper quartile

# Okabe and Ito, "Color Universal Design" (2008): told apart by the colour-blind too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, SOFT, RULE = "#1c1d21", "#63666e", "#e2e3e6"
_WIDTH, _HEIGHT = 760, 400  # points
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 170, 52, 46
_LINE = 15  # between two labels


def quartiles(runs: Sequence[Sequence[Trial]], evaluations: int) -> Quartiles:
    """The quartiles over runs of the best accuracy after 1, 2, ... evaluations.

    A failed trial is an evaluation too; before the first success the best is 0. A run that ended
    early, as nothing new was left, keeps its best.
    """
    best = np.zeros((len(runs), evaluations))
    for row, trials in zip(best, runs, strict=True):
        accuracies = np.array([max(t.accuracy, 0.0) for t in trials[:evaluations]])
        row[: len(accuracies)] = accuracies
        np.maximum.accumulate(row, out=row)
    return np.quantile(best, (0.25, 0.5, 0.75), axis=0)


def picture(searchers: Mapping[str, Quartiles], title: str, runs: int) -> str:
    """The picture as DOT without nodes; its background is the drawing, in Graphviz's xdot.

    So it becomes a file in whatever way all other drawings do. The accuracies begin where the
    first tenth of the evaluations led, lest the first few trials take all the room.

    Args:
        searchers: by name, in the order of their colours.
        runs: how many each searcher made.
    """
    evaluations = max(q.shape[1] for q in searchers.values())
    early = evaluations // 10
    low = min(q[0, early] for q in searchers.values())
    high = max(q[2, -1] for q in searchers.values())
    pad = max(0.06 * (high - low), 0.001)
    plane = _Plane(evaluations, max(0.0, low - pad), min(1.0, high + pad))
    inks = dict(zip(searchers, COLOURS * len(searchers), strict=False))
    drawn = plane.frame(
        title, f"best validation accuracy so far: median of {runs} runs, and quartiles"
    )
    for name, (lower, _, upper) in searchers.items():
        there, back = plane.steps(lower), plane.steps(upper)[::-1]
        fill = f"C {_sized(f'{inks[name]}30')}"
        drawn += [_stroke(f"{inks[name]}00", 0), fill, _path("P", there + back)]
    for name, (_, median, _) in searchers.items():
        drawn += [_stroke(inks[name], 2), _path("L", plane.steps(median))]
    drawn += plane.labels({name: q[1, -1] for name, q in searchers.items()}, inks)
    corners = f'a [pos="0,0"]; b [pos="{_WIDTH},{_HEIGHT}"];'
    return (
        f'digraph "{_plain(title)}" {{\nlayout=nop2; bgcolor=white; pad=0;\n'
        f'about="{_plain(title)}: best validation accuracy so far against evaluations";\n'
        f"_background={_quoted(' '.join(drawn))};\n"
        f'node [shape=point, width=0, style=invis, label=""];\n{corners}\n}}\n'
    )


class _Plane:
    """Evaluations to the right, accuracy upward; turns values into points of the page."""

    def __init__(self, evaluations: int, low: float, high: float) -> None:
        self.evaluations, self.low, self.high = evaluations, low, high

    def x(self, evaluation: float) -> float:
        share = (evaluation - 1) / max(1, self.evaluations - 1)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, accuracy: float) -> float:
        share = max(0.0, (accuracy - self.low) / (self.high - self.low))
        return round(_BOTTOM + share * (_HEIGHT - _TOP - _BOTTOM), 1)

    def steps(self, values: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
        """A value holds until the next evaluation has ended."""
        corners = [(self.x(i), self.y(v)) for i, v in enumerate(values, 1)]
        between = [(x, y) for (x, _), (_, y) in zip(corners[1:], corners, strict=False)]
        return [p for pair in zip(corners, [*between, corners[-1]], strict=True) for p in pair]

    def frame(self, title: str, about: str) -> list[str]:
        """Title, grid, ticks and what they mean."""
        right = _WIDTH - _RIGHT
        drawn = [*_text(14, INK, _LEFT, _HEIGHT - 20, title), *_text(11, SOFT, _LEFT, 362, about)]
        for value in ticks(self.low, self.high):
            y = self.y(value)
            drawn += [_stroke(RULE, 1), _path("L", [(_LEFT, y), (right, y)])]
            drawn += _text(11, SOFT, _LEFT - 7, y - 4, percent(value), 1)
        for value in ticks(1, max(2, self.evaluations), least=1):
            drawn += _text(11, SOFT, self.x(value), _BOTTOM - 16, f"{value:g}", 0)
        drawn += [_stroke(SOFT, 1), _path("L", [(_LEFT, _BOTTOM), (right, _BOTTOM)])]
        return drawn + _text(11, SOFT, (_LEFT + right) / 2, 10, "evaluations", 0)

    def labels(self, ends: Mapping[str, float], inks: Mapping[str, str]) -> list[str]:
        """Each name where its line ends, or above the name below it where there is no room."""
        drawn: list[str] = []
        free = 0.0
        for name in sorted(ends, key=lambda n: ends[n]):
            y = max(self.y(ends[name]) - 4, free)
            free = y + _LINE
            words = f"{name}, {percent(ends[name])}"
            drawn += _text(12, inks[name], _WIDTH - _RIGHT + 8, y, words)
        return drawn


def _quoted(text: str) -> str:
    """A text without quotes as DOT has it: in pieces, as its reader takes no long ones."""
    return " +\n".join(f'"{text[i : i + 4000]}"' for i in range(0, len(text), 4000))


def _plain(text: str) -> str:
    return printable(text).replace("\\", "/").replace('"', "'").replace("\n", " ")


def _sized(text: str) -> str:
    return f"{len(text.encode())} -{text}"


def _stroke(colour: str, width: int) -> str:
    return f"c {_sized(colour)} S {_sized(f'setlinewidth({width})')}"


def _path(kind: str, points: Sequence[tuple[float, float]]) -> str:
    return f"{kind} {len(points)} " + " ".join(f"{x} {y}" for x, y in points)


def _text(size: int, ink: str, x: float, y: float, text: str, side: int = -1) -> list[str]:
    """A text that begins at x (-1), has its middle there (0), or ends there (1)."""
    words = _plain(text)
    font = f"F {size} {_sized('Helvetica')}"
    return [f"c {_sized(ink)}", f"{font} T {x} {y} {side} {6 * len(words)} {_sized(words)}"]
