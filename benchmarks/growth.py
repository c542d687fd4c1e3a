"""How time and memory grow with blocks B, layers L, kept architectures K and the number of trials.

    python benchmarks/growth.py [--plot docs/growth.svg] [-o FILE]

A slope is the exponent of the power law through the upper half of the points, of least squares on
logarithms. Time is the processor's, the least of three; memory is the peak of what Python and numpy
allocate meanwhile (tracemalloc); torch's tensors, which that does not see, are worked out from
their sizes and added. A slope is held against the figures at the largest size and at half of it,
the report against the same trials read by sqlite3 alone and written as JSON.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rows import Row, beside, finish, parser, row, timed

from epnas_dsl import experiment
from epnas_dsl.config import Config, SurrogateSettings
from epnas_dsl.lang import load_space
from epnas_dsl.nn.predictor import LstmPredictor
from epnas_dsl.runs import store
from epnas_dsl.runs.trial import Trial
from epnas_dsl.space.counting import count_unique
from epnas_dsl.space.expansion import options, sample
from epnas_dsl.space.graph import network_layers
from epnas_dsl.space.tokens import columns, encode, to_tokens

IMAGE = (3, 32, 32)
REPORTED = 2000  # trials of the report that has a target


@dataclass
class Line:
    """One thing at several sizes: seconds and bytes of each."""

    name: str
    sizes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)

    def add(self, size: int, run: Callable[[], object], tensors: float = 0) -> None:
        """Measure one size."""
        self.sizes.append(size)
        self.seconds.append(max(1e-6, min(timed(run) for _ in range(3))))
        tracemalloc.start()
        run()
        self.bytes.append(max(1.0, tracemalloc.get_traced_memory()[1] + tensors))
        tracemalloc.stop()

    def slope(self, values: Sequence[float]) -> float:
        """The exponent of the power law through the upper half."""
        n = len(values) // 2
        return float(np.polyfit(np.log(self.sizes[n:]), np.log(values[n:]), 1)[0])

    def doubled(self, values: Sequence[float], unit: str) -> str:
        """The figures at half of the largest size and at the largest."""
        largest = self.sizes[-1]
        half = values[self.sizes.index(largest // 2)]
        return (f"{half:.3g} {unit} at {largest // 2:,}; {values[-1]:.3g} {unit} at {largest:,}, "
                f"{values[-1] / half:.3g} times that")  # fmt: skip


def by_blocks() -> list[Line]:
    """Micro with B blocks."""
    keys, layers, rows, unique = map(Line, ("100 keys", "a network's layers", "options of level B",
                                            "exact unique count"))  # fmt: skip
    for b in (1, 2, 3, 4, 5, 6, 8, 10, 12):
        space = load_space("micro", blocks=b)
        drawn = sample(space, 100, np.random.default_rng(0))
        keys.add(b, lambda d=drawn: [_fresh(a).key for a in d])
        layers.add(b, lambda d=drawn: network_layers(d[0], IMAGE))
        rows.add(b, lambda s=space, b=b: encode(s, b, options(s, b)))
        if b <= 6:
            unique.add(b, lambda s=space: count_unique(s))
    return [keys, layers, rows, unique]


def by_layers() -> list[Line]:
    """Macro with L layers."""
    keys, layers, rows = map(Line, ("100 keys", "a network's layers", "options of level L"))
    for n in (2, 4, 6, 8, 10, 12, 14, 16):
        space = load_space("macro", layers=n)
        drawn = sample(space, 100, np.random.default_rng(0))
        keys.add(n, lambda d=drawn: [_fresh(a).key for a in d])
        layers.add(n, lambda d=drawn: network_layers(d[0], IMAGE))
        rows.add(n, lambda s=space, n=n: encode(s, n, options(s, n)))
    return [keys, layers, rows]


def by_kept() -> list[Line]:
    """Micro's level 5 expanded from K parents."""
    scores, parents = Line("K × 1,764 expansions scored"), Line("K parents drawn, as tokens")
    space = load_space("micro")
    predictor = LstmPredictor(columns(space), SurrogateSettings(), 0)
    rows = encode(space, 5, options(space, 5, unordered=False))
    for k in (5, 10, 25, 50, 100, 200, 400):

        def draw(k: int = k) -> list[np.ndarray]:
            drawn = sample(space, k, np.random.default_rng(0), level=4)
            return [to_tokens(a) for a in drawn]

        tokens = draw()
        held = 4 * len(rows) * (k + 2 * 4 * 100)  # scores, the rows' gates and one parent's pairs
        scores.add(k, lambda t=tokens: predictor.predict_expansions(t, rows), held)
        parents.add(k, draw)
    return [scores, parents]


def by_trials() -> list[Line]:
    """Runs of N trials, the surrogate's fit on them, and the plainest report that could be."""
    fit, page, read, plain = map(Line, ("surrogate fit", "report", "run read, status", "plain"))
    space = load_space("micro")
    settings = SurrogateSettings()
    for n in (125, 250, 500, 1000, 2000, 4000):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "run"
            trials = run_of(n, folder)
            tokens = [to_tokens(a) for a, _ in trials]
            predictor = LstmPredictor(columns(space), settings, 0)
            held = 4 * 3 * sum(p.numel() for p in predictor.network.parameters())
            fit.add(n, lambda p=predictor, t=tokens, y=trials: p.fit(t, [x for _, x in y]), held)
            page.add(n, lambda f=folder: experiment.report(f))
            read.add(n, lambda f=folder: experiment.status(f))
            if n == REPORTED:
                plain.add(n, lambda f=folder: copied(f))
    return [fit, page, read, plain]


def copied(folder: Path) -> None:
    """The trials of a run, read by sqlite3 alone and written as JSON."""
    with closing(sqlite3.connect(folder / "run.db")) as database:
        trials = database.execute("SELECT * FROM trials ORDER BY number").fetchall()
    (folder / "trials.json").write_text(json.dumps(trials), encoding="utf-8")


def run_of(count: int, folder: Path) -> list[tuple[object, float]]:
    """A run folder with so many trials, as a search leaves it, with accuracies made up."""
    space, random = load_space("micro"), np.random.default_rng(0)
    drawn = [a for i in range(count) for a in sample(space, 1, random, level=1 + i % 5)]
    accuracies = random.uniform(0.5, 0.9, count).tolist()
    with store.create(folder, Config(), space.source, {}, space.digest) as written:
        for i, (a, accuracy) in enumerate(zip(drawn, accuracies, strict=True)):
            notes = {"iteration": 1 + 3 * i // count, "level": a.level, "predicted": accuracy**2}
            written.append(
                Trial(number=i, architecture=str(a), id=a.id, key=a.key, level=a.level,
                      state="complete", metrics={"accuracy": accuracy}, notes=notes,
                      started=1.7e9 + 60 * i, ended=1.7e9 + 60 * i + 50)
            )  # fmt: skip
    return list(zip(drawn, accuracies, strict=True))


def _fresh(architecture):  # type: ignore[no-untyped-def]
    """The same architecture, its key not known yet."""
    return type(architecture).normal(architecture.space, architecture.choices)


# --- the picture ---------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, TOP = 300, 230, 52, 46
INKS = ("#2457c5", "#c2410c", "#15803d", "#7e22ce")
STYLE = """text { font: 11px system-ui, sans-serif; fill: #444 } .title { font-weight: 600; fill: #111 }
.grid { stroke: #e5e5e5 } .axis { stroke: #888 } .end { text-anchor: end } .mid { text-anchor: middle }
polyline { fill: none; stroke-width: 1.8 }"""  # noqa: E501


def picture(panels: dict[str, list[Line]]) -> str:
    """Two rows of panels, time above and memory below, both axes logarithmic."""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * len(panels) + 12} '
             f'{2 * HEIGHT + 90}"><style>{STYLE}</style>',
             '<rect width="100%" height="100%" fill="white"/>']  # fmt: skip
    for column, (title, lines) in enumerate(panels.items()):
        x = column * WIDTH
        parts += panel(x, 0, f"{title}: seconds", lines, [line.seconds for line in lines])
        megabytes = [[b / 1e6 for b in line.bytes] for line in lines]
        parts += panel(x, HEIGHT, f"{title}: megabytes", lines, megabytes)
        for i, line in enumerate(lines):
            y = 2 * HEIGHT + 20 + 16 * i
            slopes = f"{line.slope(line.seconds):.1f}, {line.slope(line.bytes):.1f}"
            parts += [f'<line x1="{x + 12}" x2="{x + 30}" y1="{y - 4}" y2="{y - 4}" '
                      f'stroke="{INKS[i]}" stroke-width="2.5"/>',
                      f'<text x="{x + 36}" y="{y}">{line.name} ({slopes})</text>']  # fmt: skip
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(
    x: float, y: float, title: str, lines: list[Line], values: list[list[float]]
) -> list[str]:
    """The lines of one panel with its axes."""
    right, bottom = x + WIDTH - 14, y + HEIGHT - 22
    sizes = sorted({s for line in lines for s in line.sizes})
    low, high = np.floor(np.log10(min(map(min, values)))), np.ceil(np.log10(max(map(max, values))))
    across = np.log(sizes[-1] / sizes[0])

    def place(size: float, value: float) -> tuple[float, float]:
        share = (np.log10(value) - low) / (high - low)
        here = x + LEFT + np.log(size / sizes[0]) / across * (right - x - LEFT)
        return round(here, 1), round(bottom - share * (bottom - y - TOP), 1)

    parts = [f'<text class="title" x="{x + 10}" y="{y + 24}">{title}</text>']
    for power in range(int(low), int(high) + 1):
        _, level = place(sizes[0], 10.0**power)
        number = f"{10.0**power:g}"
        parts += [
            f'<line class="grid" x1="{x + LEFT}" x2="{right}" y1="{level}" y2="{level}"/>',
            f'<text class="end" x="{x + LEFT - 6}" y="{level + 4}">{number}</text>',
        ]
    for size in spread(sizes):
        here, _ = place(size, 10.0**low)
        parts.append(f'<text class="mid" x="{here}" y="{bottom + 15}">{size:,}</text>')
    parts.append(f'<line class="axis" x1="{x + LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    for ink, line, those in zip(INKS, lines, values, strict=False):
        points = " ".join(f"{a},{b}" for a, b in map(place, line.sizes, those))
        parts.append(f'<polyline stroke="{ink}" points="{points}"/>')
    return parts


def spread(sizes: Iterable[int]) -> list[int]:
    """Sizes at least a factor of 1.3 apart, for which there is room."""
    kept: list[int] = []
    for size in sizes:
        if not kept or size >= 1.3 * kept[-1]:
            kept.append(size)
    return kept


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--plot", type=Path, metavar="FILE", help="draw the lines as SVG")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    *trials, plain = by_trials()
    panels = {"B, micro": by_blocks(), "L, macro": by_layers(), "K": by_kept(), "trials": trials}
    if given.plot:
        given.plot.write_text(picture(panels), encoding="utf-8")
    finish([*slopes(panels), report(trials[1], plain)], given.output)


def slopes(panels: dict[str, list[Line]]) -> Iterator[Row]:
    """Both slopes of every line."""
    for title, line in [(title, line) for title, lines in panels.items() for line in lines]:
        megabytes = [b / 1e6 for b in line.bytes]
        for what, values, unit in (("time", line.seconds, "s"), ("memory", megabytes, "MB")):
            held = line.doubled(values, unit)
            yield row(f"{title}: {line.name}, slope of {what}", line.slope(values), "", held)


def report(page: Line, plain: Line) -> Row:
    """The report of so many trials."""
    ours, theirs = page.seconds[page.sizes.index(REPORTED)], plain.seconds[0]
    rival = beside("the trials read by sqlite3 and written as JSON", theirs, ours, "s")
    return row(f"report of {REPORTED:,} trials", ours, "s", rival, at_most=5)


if __name__ == "__main__":
    main()
