"""Turn blocks that read one another into DOT: in rows, from left to right in the order of the text.

A block stands below all that it reads; what is read further down passes the rows between in a lane
that is kept free. Places are worked out here because Graphviz orders blocks as it likes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import pairwise, takewhile

from epnas_dsl.space.drawing.canvas import PALE, chip, place, width_of
from epnas_dsl.space.drawing.column import Column

ZERO = "rounded,filled,dashed"  # the style of an operation that gives zeros
GAP, PAD, LEVEL, ROW, ARROW = 10.0, 8.0, 20.0, 34.0, 6.0  # points between and around things
SWEEPS = 30
Look = dict[str, str]


@dataclass(slots=True)
class Item:
    """An operation or a join; `reads` has the look of the edge from each source.

    Attributes:
        terminal: it is what goes into a picture or comes out of it.
        x, y: from the middle of its block, and from the top of it.
    """

    look: Look
    wide: float = 4
    high: float = 0
    reads: dict[str, Look] = field(default_factory=dict)
    terminal: bool = False
    x: float = 0
    y: float = 0


Blocks = Mapping[str, dict[str, Item]]  # the items of each, in the order of the text


@dataclass(slots=True, eq=False)
class _Part:
    """A block with its levels from top to bottom, or a lane, which has none; `x` is its middle.

    Attributes:
        links: a place in it, a neighbour above or below, and the place in that.
    """

    levels: list[dict[object, Item]]
    name: str = ""
    wide: float = 4
    high: float = 0
    x: float = 0
    links: list[tuple[float, _Part, float]] = field(default_factory=list)

    @property
    def wish(self) -> float:
        """Where its edges would be straight."""
        wishes = [other.x + there - here for here, other, there in self.links]
        return sum(wishes) / len(wishes) if wishes else self.x


def draw_frame(page: Column, name: str, title: str, blocks: Blocks) -> Column:
    """Draw blocks in a box with a title, its corner where the page is; a column as large as it."""
    inner = Column(page.dot, f"{name}.", page.x + 14, page.y - 28)
    Rows(inner, blocks).draw()
    frame = Column(page.dot, f"{name}.frame", page.x)
    frame.text(10, page.y - 12, title, size=11)
    wide, frame.y = max(inner.right, frame.right) + 28, inner.y - 14
    look = {"shape": "box", "style": "rounded", "color": PALE}
    frame.node(wide / 2, (page.y + frame.y) / 2, wide, page.y - frame.y, **look)
    return frame


def item_of(
    operation: str, lines: Sequence[str], kind: str, reads: dict[str, Look], **look: str
) -> Item:
    """An operation in the colours of its family; what joins is a flat box, or `+` in a circle."""
    if operation == "add":
        circle = {**chip(["+"], "join"), "shape": "circle", "fontsize": "13"}
        return Item({**circle, **look}, 18, 18, reads)
    kind = {"concat": "join", "input": "input"}.get(operation, kind)
    lines, look = ["concat"] if operation == "concat" else lines, {} if kind == "input" else look
    wide = max(map(width_of, lines)) + 18
    return Item({**chip(lines, kind), **look}, wide, 13.0 * len(lines) + 6, reads, kind == "input")


def _part(name: str, items: dict[str, Item]) -> _Part:
    """A block, its last operation at the bottom; what is read below the top has lanes as well."""
    framed = name != "output" and not any(i.terminal for i in items.values())
    above: dict[str, int] = {}
    order = TopologicalSorter({n: [m for m in i.reads if m in items] for n, i in items.items()})
    for n in reversed([*order.static_order()]):
        above[n] = 1 + max((above[m] for m in above if n in items[m].reads), default=-1)
    depth = {n: max(above.values()) - above[n] for n in items}
    levels: list[dict[object, Item]] = [{} for _ in range(max(depth.values()) + 1)]
    for n, item in items.items():
        levels[depth[n]][n] = item
    for n, item in items.items():
        for source, look in item.reads.items():
            for level in levels[depth.get(source, -1) + 1 : depth[n]]:
                level.setdefault((source, look.get("color", "")), Item({}))
    part = _Part(levels, name if framed else "", 0, PAD * framed)
    for level in levels:
        wide = sum(i.wide + GAP for i in level.values()) - GAP
        high, x = max(i.high for i in level.values()), -wide / 2
        for item in level.values():
            item.x, item.y = x + item.wide / 2, part.high + high / 2
            item.high = item.high or high
            x += item.wide + GAP
        part.wide, part.high = max(part.wide, wide), part.high + high + LEVEL
    part.high -= LEVEL
    if framed:
        part.wide = max(part.wide, wide + 2 * width_of(name, 9) + 8) + 2 * PAD
        part.high += PAD
    return part


def _spread(parts: list[_Part], wishes: list[float]) -> None:
    """Put parts in this order as near to where they wish to be as their widths allow.

    The least sum of squares, by pooling neighbours that violate the order (Ayer et al. 1955).
    """
    steps = [0.0]
    for one, two in pairwise(parts):
        steps.append(steps[-1] + (one.wide + two.wide) / 2 + GAP)
    pools: list[tuple[float, int]] = []
    for wish, step in zip(wishes, steps, strict=True):
        pools.append((wish - step, 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (b, m), (a, n) = pools.pop(), pools.pop()
            pools.append(((a * n + b * m) / (n + m), n + m))
    means = [mean for mean, n in pools for _ in range(n)]
    for part, mean, step in zip(parts, means, steps, strict=True):
        part.x = mean + step


class Rows:
    """Blocks as dashed boxes with their names, inputs and output without."""

    def __init__(self, column: Column, blocks: Blocks) -> None:
        self.column, self.blocks = column, blocks
        self.owner = {n: b for b, items in blocks.items() for n in items}
        self.items = {n: item for items in blocks.values() for n, item in items.items()}
        self.parts = {b: _part(b, items) for b, items in blocks.items()}
        self.tops: list[tuple[float, float]] = []  # of each row, and its bottom
        self.row: dict[str, int] = {}
        last = max(map(self._stand, blocks))
        self.rows: list[dict[object, _Part]] = [{} for _ in range(last + 1)]
        for block, part in self.parts.items():
            self.rows[self.row[block]][block] = part
        for name, item in self.items.items():
            for source, look in item.reads.items():
                self._link(name, source, look)

    def _stand(self, block: str) -> int:
        """The row of a block, below what it reads; two that read each other stand anyhow."""
        if block not in self.row:
            self.row[block] = 0
            read = {self.owner[s] for i in self.blocks[block].values() for s in i.reads} - {block}
            self.row[block] = 1 + max(map(self._stand, sorted(read)), default=-1)
        return self.row[block]

    def _link(self, name: str, source: str, look: Look) -> None:
        """Make the lanes of an edge, one for each source and colour; its parts are neighbours."""
        part, lane = self.parts[self.owner[source]], (source, look.get("color", ""))
        here, first = self.items[source].x, self.row[self.owner[source]] + 1
        way = [r.setdefault(lane, _Part([])) for r in self.rows[first : self.row[self.owner[name]]]]
        goal = self.parts[self.owner[name]]
        for other in (*way, goal):
            there = goal.levels[0].get(lane, self.items[name]).x if other is goal else 0.0
            if other is not part and (here, other, there) not in part.links:
                part.links.append((here, other, there))
                other.links.append((there, part, here))
            part, here = other, there

    def settle(self) -> None:
        """Blocks keep the order of the text; lanes stand where they fit best between them."""
        for _ in range(SWEEPS):
            for row in (*reversed(self.rows), *self.rows):
                blocks = [p for p in row.values() if p.levels]
                lanes = [p for p in row.values() if not p.levels]
                _spread(blocks, [p.wish for p in blocks])
                parts = sorted((*blocks, *lanes), key=lambda p: p.x if p.levels else p.wish)
                _spread(parts, [p.wish for p in parts])
        left = min(p.x - p.wide / 2 for row in self.rows for p in row.values())
        for part in (p for row in self.rows for p in row.values()):
            part.x -= left

    def draw(self) -> None:
        """Frames, operations, and edges that are straight inside rows and bend between them."""
        self.settle()
        y = self.column.y
        for row in self.rows:
            self.tops.append((y, y - max(p.high for p in row.values())))
            y = self.tops[-1][1] - ROW
        for block, part in self.parts.items():
            self._draw_part(part, self.tops[self.row[block]][0])
        for name in self.items:
            self._draw_edges(name)
        self.column.y = self.tops[-1][1]

    def _draw_part(self, part: _Part, top: float) -> None:
        if part.name:
            look = {"shape": "box", "style": "dashed,rounded", "color": PALE}
            self.column.node(part.x, top - part.high / 2, part.wide, part.high, **look)
            x = part.x + part.wide / 2 - PAD / 2
            self.column.text(x, top - part.high + PAD + 4, part.name, size=9, end=True)
        for level in part.levels:
            # Graphviz draws the edges of nodes in their order: those of zeros lie below
            for name, item in sorted(level.items(), key=lambda x: x[1].look.get("style") != ZERO):
                if item.look:
                    look = {**item.look, "name": place(self.column.prefix + str(name))}
                    self.column.node(part.x + item.x, top - item.y, item.wide, item.high, **look)

    def _way(self, name: str, source: str, look: Look) -> list[tuple[float, float]]:
        """The points that an edge passes before it comes to the item that it ends at."""
        part, goal = self.parts[self.owner[source]], self.parts[self.owner[name]]
        start, end = self.row[self.owner[source]], self.row[self.owner[name]]
        lane, item = (source, look.get("color", "")), self.items[source]
        x = part.x + item.x
        way = [(x, self.tops[start][0] - item.y - item.high / 2)]
        if part is not goal:
            way.append((x, self.tops[start][1]))
        for row in range(start + 1, end):
            way += [(self.rows[row][lane].x, y) for y in self.tops[row]]
        for level in takewhile(lambda level: name not in level, goal.levels):
            if lane in level:
                x, y = goal.x + level[lane].x, self.tops[end][0] - level[lane].y
                way += [(x, y + level[lane].high / 2), (x, y - level[lane].high / 2)]
        return way

    def _draw_edges(self, name: str) -> None:
        """To one item, side by side where it is wide enough."""
        item, goal, key = self.items[name], self.parts[self.owner[name]], self.column.prefix
        top = self.tops[self.row[self.owner[name]]][0]
        tip = top - item.y + item.high / 2
        ways = [(self._way(name, s, look), s, look) for s, look in item.reads.items()]
        ways.sort(key=lambda w: w[0][-1][0])
        step = min(9.0, 0.6 * item.wide / len(ways)) if ways and item.wide > 20 else 0.0
        for i, (way, source, look) in enumerate(ways):
            x = goal.x + item.x + (i - (len(ways) - 1) / 2) * step
            if way[-1][1] > top:  # it comes from a row above
                way.append((x, max(top, tip + ARROW)))
            curve = [(x, tip), way[0]]
            for (a, high), (b, low) in pairwise([*way, (x, tip + ARROW)]):
                curve += [(a, (high + low) / 2), (b, (high + low) / 2), (b, low)]
            points = " ".join(f"{self.column.x + a:.1f},{b:.1f}" for a, b in curve)
            self.column.dot.edge(place(key + source), place(key + name), pos=f"e,{points}", **look)
