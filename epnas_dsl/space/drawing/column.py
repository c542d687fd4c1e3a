"""Turn rows that read one another into DOT: one column, and beside it a lane for each value.

What a row reads is a wire to the right; a dot where it meets the lane of a value joins the two, and
lines that cross without a dot do not touch. Places are worked out here, so that the picture of 24
layers with all their skips is as plain as that of three.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from epnas_dsl.space.drawing.canvas import (
    FADED,
    FAMILIES,
    GREY,
    INK,
    PALE,
    PAPER,
    check_size,
    label,
    width_of,
)

if TYPE_CHECKING:
    from graphviz import Digraph

PITCH, FREE = 9.0, 40.0  # points between lanes side by side, and one below the other: a row
FIXED, OPEN, SKIP, CHOSEN, GONE = "fixed", "open", "skip", "chosen", "gone"  # how it is read
BEFORE, AFTER = "before", "after"  # by one of two architectures only
_LINES = {  # of a wire or a lane, by the strongest use of it
    CHOSEN: {"color": INK, "penwidth": "1.6"},
    FIXED: {"color": GREY},
    SKIP: {"color": PALE, "penwidth": "0.8"},
    OPEN: {"color": PALE, "penwidth": "0.7"},
    GONE: {"color": FADED, "penwidth": "0.7"},
    BEFORE: {"color": FAMILIES["reduction"][1], "style": "dashed"},
    AFTER: {"color": FAMILIES["convolution"][1], "penwidth": "1.6"},
}


@dataclass(slots=True)
class Column:
    """Rows from top to bottom; `finish` draws the lanes once all are there.

    Attributes:
        x, y: the left edge, and where the next row begins; y falls.
        right: the right edge, counted from the left one, as all places in a column are.
        wires: of rows: where each ends, and the values that it comes from.
        heads: where the lane of each value begins.
    """

    dot: Digraph
    prefix: str = ""
    x: float = 0
    y: float = 0
    right: float = 0
    wires: list[tuple[float, float, dict[str, str]]] = field(default_factory=list)
    heads: dict[str, tuple[float, float]] = field(default_factory=dict)
    drawn: int = 0

    def node(self, x: float, y: float, wide: float, high: float, **look: str) -> str:
        """A node of that size in points, its middle at (x, y)."""
        self.drawn += 1
        check_size(self.drawn)
        name = look.pop("name", "") or f"{self.prefix}{self.drawn}"
        self.dot.node(
            name, pos=f"{self.x + x:.6g},{y:.6g}",
            **{"width": f"{wide / 72:.4g}", "height": f"{high / 72:.4g}", "label": "", **look},
        )  # fmt: skip
        self.right = max(self.right, x + wide / 2)
        return name

    def title(self, *lines: str) -> None:
        """Lines above all else; they may be wider than the column."""
        for line in lines:
            self.text(0, self.y, line, size=11)
            self.y -= 15
        self.right = 0
        self.y -= 3

    def text(self, x: float, y: float, line: str, size: int = 10, end: bool = False) -> None:
        """A line of text that begins, or ends, at x, in any font; small ones are grey."""
        wide = 1.2 * width_of(line, size) + 2
        self.node(
            x + (-wide if end else wide) / 2, y, wide, 12, shape="plaintext", style="",
            fontsize=str(size), fontcolor=GREY if size < 10 else INK,
            label=label(line, justify="\\r" if end else "\\l"),
        )  # fmt: skip

    def wire(self, x: float, y: float, reads: dict[str, str]) -> None:
        """What ends at (x, y) reads these values, each in its way."""
        if reads:
            self.wires.append((x, y, reads))

    def arrow(self, x: float, top: float, bottom: float, use: str) -> None:
        """From what ends at the top straight down to what begins at the bottom."""
        self._line([self._point(x, top), self._point(x, bottom)], [use], dir="forward")

    def finish(self) -> None:
        """Draw lanes and wires: the lane nearest to the column that is free from head to end."""
        busy: list[float] = []
        left = self.right + 14
        knots: dict[tuple[str, float], tuple[float, str]] = {}
        for value, (x, y) in self.heads.items():
            uses = [(down, reads[value]) for _, down, reads in self.wires if value in reads]
            if not uses:
                continue
            number = next((i for i, end in enumerate(busy) if end > y + FREE), len(busy))
            busy[number : number + 1] = [uses[-1][0]]
            lane = left + number * PITCH
            strengths = [strongest(u for _, u in uses[i:]) for i in range(len(uses))]
            path = [self._point(x, y), self._point(lane, y)]
            for down, use in uses:
                path.append(self._dot(lane, down, use))
                knots[value, down] = (lane, path[-1])
            self._line(path, [strengths[0], *strengths])
        for x, y, reads in self.wires:
            met = sorted((*knots[v, y], use) for v, use in reads.items())
            strengths = [strongest(u for *_, u in met[i:]) for i in range(len(met))]
            path = [self._point(x, y), *(name for _, name, _ in met)]
            self._line(path, strengths, dir="back")

    def _point(self, x: float, y: float) -> str:
        return self.node(x, y, 0, 0, shape="point", style="invis")

    def _dot(self, x: float, y: float, use: str) -> str:
        """Where a wire meets a lane; what is not read has none."""
        if use == GONE:
            return self._point(x, y)
        color, size = _LINES[use]["color"], 4.5 if use in {FIXED, SKIP} else 5.5
        color = GREY if color == PALE else color
        fill = PAPER if use in {OPEN, BEFORE} else color
        return self.node(x, y, size, size, shape="point", fillcolor=fill, color=color)

    def _line(self, places: Sequence[str], strengths: Sequence[str], dir: str = "none") -> None:
        """Pieces from place to place; of a wire, the first ends in an arrow."""
        for i, strength in enumerate(strengths):
            look = {**_LINES[strength], "headclip": "false", "tailclip": "false"}
            look["dir"] = "none" if i else dir
            self.dot.edge(places[i], places[i + 1], **look)


def strongest(uses: Iterable[str]) -> str:
    """A line that is used in several ways is drawn in the first of these."""
    found = set(uses)
    return next(s for s in (CHOSEN, FIXED, AFTER, BEFORE, SKIP, OPEN, GONE) if s in found)
