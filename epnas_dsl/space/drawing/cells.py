"""Turn a cell, or the difference of two cells, into DOT in the manner of the papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import (
    FAMILIES,
    body_title,
    canvas,
    cell_kind,
    check_size,
    drawn_bodies,
    family,
    operation_lines,
)
from epnas_dsl.space.drawing.column import Column
from epnas_dsl.space.drawing.rows import GAP, Blocks, Item, Rows, draw_frame, item_of
from epnas_dsl.space.drawing.stages import draw_column, draw_difference, folded, stages_of
from epnas_dsl.space.genotype import runs
from epnas_dsl.space.graph import to_graph
from epnas_dsl.space.nodes import Node, nodes
from epnas_dsl.space.search_space import SearchSpace

if TYPE_CHECKING:
    from graphviz import Digraph


def draw_cell(architecture: Architecture, body: str | None = None) -> Digraph:
    """Draw a cell, or the network's own body where the choices stand there.

    Args:
        body: a cell's name or `network`; by default every body that has decisions, or else every
            cell, side by side.

    Raises:
        ConfigError: there is no such body (E804).
        LimitError: too large to draw (E803).
    """
    space = architecture.space
    shown = drawn_bodies(space, body)
    dot = canvas(f"{space.name} {architecture.id}", about=architecture.text)
    page = Column(dot)
    page.title(f"{space.name}  {architecture.id}")
    if shown == ["network"] and not space.cells:
        draw_column(page, folded(stages_of(space, nodes(to_graph(architecture, "network")), {})))
        return dot
    for name in shown:
        listing = nodes(to_graph(architecture, name))
        check_size(sum(1 + len(n.inputs) for n in listing))
        if len(shown) == 1:
            Rows(page, blocks_of(space, listing)).draw()
        else:
            frame = draw_frame(page, name, body_title(space, name), blocks_of(space, listing))
            page.x += frame.right + GAP
    return dot


def blocks_of(space: SearchSpace, listing: Sequence[Node]) -> Blocks:
    """The inputs, a block for each statement, and the output; zeros are dashed."""
    zeros = {n.name for n in listing if family(n.operation) == "zero"}
    dashed = {"style": "dashed", "color": FAMILIES["zero"][1]}
    blocks: dict[str, dict[str, Item]] = {}
    for node in listing:
        reads = {s: dashed if zeros & {s, node.name} else {} for s in node.inputs}
        text = node.text
        if node.operation == "stack":
            cells = [f"{cell}*{n}" if n > 1 else cell for cell, n in runs(text.split())]
            text = f"stack({', '.join(cells)})"
        kind = cell_kind(space, node.operation)
        item = item_of(node.operation, operation_lines(text), kind, reads)
        blocks.setdefault(_block(node), {})[node.name] = item
    blocks["return"] = {"return": item_of("input", ["output"], "", {listing[-1].name: {}})}
    return blocks


def _block(node: Node) -> str:
    """The statement that a node belongs to, also where it stands inside a function."""
    return node.name.split(".")[0]


# --- difference --------------------------------------------------------------------------------

_JOINS = {"add", "concat", "input"}
_SAME = {"fillcolor": "#ffffff", "color": "#a6a6a6", "fontcolor": "#595959"}
_CHANGED = {"fillcolor": "#faeccc", "color": "#c78800", "penwidth": "2"}
_FIRST = {"fillcolor": "#f9e0cf", "color": "#d55e00", "style": "rounded,filled,dashed"}
_SECOND = {"fillcolor": "#cce3f0", "color": "#0072b2", "penwidth": "2"}


@dataclass(slots=True)
class _Pair:
    """A node of the first cell, of the second, or of both."""

    first: Node | None = None
    second: Node | None = None

    @property
    def shown(self) -> Node:
        node = self.first or self.second
        assert node
        return node

    @property
    def look(self) -> dict[str, str]:
        if not self.second:
            return _FIRST
        if not self.first:
            return _SECOND
        return _SAME if self.first.text == self.second.text else _CHANGED

    @property
    def lines(self) -> list[str]:
        before = operation_lines(self.shown.text)
        if not self.first or not self.second or self.first.text == self.second.text:
            return before
        return [" ".join(before), "becomes", " ".join(operation_lines(self.second.text))]


def diff_cells(first: Architecture, second: Architecture, body: str | None = None) -> Digraph:
    """Draw two cells as one: grey in both, orange changed, dashed the first's, blue the second's.

    The operations of a statement are compared with those of the statement of the same name,
    whatever their order.

    Raises:
        ConfigError: one of them has no such body (E804).
    """
    shown = drawn_bodies(first.space, body)
    if body is None:  # one body for several cells may stand against one for each
        known = {n for b in first.space.bodies for n in b.names}
        theirs = [n for n in drawn_bodies(second.space, None) if n in known]
        shown = list(dict.fromkeys([*shown, *theirs]))
    looks = {"dashed, orange": first, "bold, blue": second}
    legend = [*(f"{a.space.name}  {a.id}: {x}" for x, a in looks.items()), "both: grey"]
    dot = canvas(f"{first.id} and {second.id}", about=f"{first} becomes {second}")
    page = Column(dot)
    page.title(*legend)
    if shown == ["network"] and not first.space.cells and not second.space.cells:
        one, two = (stages_of(a.space, nodes(to_graph(a, "network")), {}) for a in (first, second))
        draw_difference(page, one, two, (_SAME, _CHANGED, _FIRST, _SECOND))
        return dot
    for part in shown:
        drawn_bodies(second.space, part)
        pairs, last = _pairs(*(nodes(to_graph(a, part)) for a in (first, second)))
        title = min((body_title(a.space, part) for a in (first, second)), key=len)
        frame = draw_frame(page, part, title, _paired(pairs, last))
        page.x += frame.right + GAP
    return dot


def _pairs(
    first: Sequence[Node], second: Sequence[Node]
) -> tuple[dict[str, _Pair], tuple[str, str]]:
    """The nodes of both by one name each, and what each of the cells returns.

    The values of a statement meet first, then its equal operations, then the others in order; no
    two that would close a circle.
    """
    pairs = {n.name: _Pair(first=n) for n in first}
    theirs: dict[str, str] = {}
    last = [{_block(n): n for n in listing} for listing in (first, second)]

    def likeness(ours: Node, node: Node) -> int:
        inputs = {theirs.get(i) for i in node.inputs}
        alike = ours.text == node.text
        ends = last[0][_block(ours)] is ours and last[1][_block(node)] is node
        return 4 * (alike and ends) + 2 * alike + (set(ours.inputs) == inputs)

    def closes(ours: Node, node: Node) -> bool:
        """Whether the picture would have a circle with these two as one."""
        named = {n.name: f"{n.name}.second" for n in second} | theirs | {node.name: ours.name}
        reads = {n.name: set(n.inputs) for n in first}
        for n in second:
            reads.setdefault(named[n.name], set()).update(named[i] for i in n.inputs)
        try:
            TopologicalSorter(reads).prepare()
        except CycleError:
            return True
        return False

    for block in dict.fromkeys(map(_block, second)):
        rest = [n for n in second if _block(n) == block]
        for least in (6, 3, 2, 0):
            for node in list(rest):
                free = next((
                    n for n in first
                    if _block(n) == block and not pairs[n.name].second
                    and (n.operation in _JOINS) == (node.operation in _JOINS)
                    and likeness(n, node) >= least and not closes(n, node)
                ), None)  # fmt: skip
                if free:
                    theirs[node.name] = free.name
                    pairs[free.name].second = node
                    rest.remove(node)
        for node in rest:
            theirs[node.name] = f"{node.name}.second"
            pairs[theirs[node.name]] = _Pair(second=node)
    for pair in pairs.values():
        if pair.second:
            pair.second = replace(pair.second, inputs=tuple(theirs[i] for i in pair.second.inputs))
    return pairs, (first[-1].name, theirs[second[-1].name])


def _paired(pairs: dict[str, _Pair], last: tuple[str, str]) -> Blocks:
    """What `blocks_of` says, of both cells at once."""
    blocks: dict[str, dict[str, Item]] = {}
    for name, pair in pairs.items():
        before = pair.first.inputs if pair.first else ()
        after = pair.second.inputs if pair.second else ()
        reads = {s: _look(s in before, s in after) for s in (*before, *after)}
        item = item_of(pair.shown.operation, pair.lines, "join", reads, **pair.look)
        blocks.setdefault(_block(pair.shown), {})[name] = item
    ends = {name: _look(name == last[0], name == last[1]) for name in last}
    blocks["return"] = {"return": item_of("input", ["output"], "", ends)}
    return blocks


def _look(before: bool, after: bool) -> dict[str, str]:
    """Of an edge of the first cell, of the second, or of both."""
    look = _SAME if before and after else _FIRST if before else _SECOND
    width = look.get("penwidth", "1")
    return {"color": look["color"], "style": "dashed" if look is _FIRST else "", "penwidth": width}
