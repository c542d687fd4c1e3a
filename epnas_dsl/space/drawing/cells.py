"""Turn a cell, or the difference of two cells, into DOT in the manner of the papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import (
    FAMILIES,
    PALE,
    block_frame,
    body_title,
    box,
    canvas,
    check_size,
    drawn_bodies,
    family,
    frame,
    join,
    operation_lines,
    place,
    side_by_side,
    terminal,
)
from epnas_dsl.space.drawing.column import Column
from epnas_dsl.space.drawing.stages import draw_column, draw_difference, folded, stages_of
from epnas_dsl.space.genotype import runs
from epnas_dsl.space.graph import Node, nodes, to_graph

if TYPE_CHECKING:
    from graphviz import Digraph


def draw_cell(architecture: Architecture, body: str | None = None) -> Digraph:
    """Draw a cell, or the network's own body where the choices stand there.

    Args:
        body: a cell's name or `network`; by default every body that has decisions, side by side.

    Raises:
        ConfigError: there is no such body (E804).
        LimitError: too large to draw (E803).
    """
    space = architecture.space
    shown = drawn_bodies(space, body)
    if shown == ["network"] and not space.cells:
        return _draw_layers(architecture)
    dot = canvas(f"{space.name} {architecture.id}", *_title(architecture), about=architecture.text)
    graphs = {name: nodes(to_graph(architecture, name)) for name in shown}
    dot.attr("graph", newrank=str("network" in shown).lower())
    check_size(sum(1 + len(n.inputs) for listing in graphs.values() for n in listing))
    for name, listing in graphs.items():
        if len(graphs) == 1:
            draw_body(dot, listing, "")
            continue
        with dot.subgraph(name=f"cluster_{place(name)}") as part:
            frame(part, body_title(space, name))
            draw_body(part, listing, name)
    return dot


def _draw_layers(architecture: Architecture) -> Digraph:
    """A network without cells: its statements in one column."""
    space = architecture.space
    dot = canvas(f"{space.name} {architecture.id}", about=architecture.text, fixed=True)
    column = Column(dot)
    column.title(*_title(architecture))
    draw_column(column, folded(stages_of(space, nodes(to_graph(architecture, "network")), {})))
    return dot


def _title(*architectures: Architecture) -> list[str]:
    return [f"{a.space.name}  {a.id}" for a in architectures]


def draw_body(dot: Digraph, listing: Sequence[Node], prefix: str) -> None:
    """Inputs above, a dashed box for each block, the output below."""
    inputs = [n for n in listing if n.operation == "input"]
    for node in inputs:
        terminal(dot, place(prefix, node.name), node.text)
    side_by_side(dot, [place(prefix, n.name) for n in inputs])
    blocks: dict[str, list[Node]] = {}
    for node in listing:
        if node.operation != "input":
            blocks.setdefault(_block(node), []).append(node)
    for block, members in blocks.items():
        if block == "output":
            for node in members:
                _draw_node(dot, node, prefix)
            continue
        with dot.subgraph(name=f"cluster_{place(prefix, block)}") as part:
            for node in members:
                _draw_node(part, node, prefix)
            block_frame(part, block, place(prefix, members[-1].name))
    owner = {n.name: _block(n) for n in listing}
    zeros = {n.name for n in listing if family(n.operation) == "zero"}
    for node in listing:
        for source in node.inputs:
            skips = node.cell == "network" and node.operation == "concat"
            look = _edge(node, skips and owner[source] != owner[node.name], source in zeros)
            dot.edge(place(prefix, source), place(prefix, node.name), **look)
    terminal(dot, place(prefix, "return"), "output")
    dot.edge(place(prefix, listing[-1].name), place(prefix, "return"))


def _edge(node: Node, skips: bool, zero: bool) -> dict[str, str]:
    """Of what a node reads: zeros and the skips of a network are dashed."""
    if skips:
        return {"style": "dashed", "color": PALE, "weight": "0"}
    if zero or family(node.operation) == "zero":
        return {"style": "dashed", "color": FAMILIES["zero"][1]}
    return {"weight": "100"} if node.cell == "network" else {}


def _block(node: Node) -> str:
    """The statement that a node belongs to, also where it stands inside a function."""
    return node.name.split(".")[0]


def _draw_node(dot: Digraph, node: Node, prefix: str) -> None:
    name = place(prefix, node.name)
    if node.operation in {"add", "concat"}:
        join(dot, name, node.operation)
    else:
        text = node.text
        if node.operation == "stack":
            cells = [f"{cell}*{n}" if n > 1 else cell for cell, n in runs(text.split())]
            text = f"stack({', '.join(cells)})"
        box(dot, name, operation_lines(text), family(node.operation))


# --- difference --------------------------------------------------------------------------------

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
    name = f"{first.id} and {second.id}"
    shown = drawn_bodies(first.space, body)
    about = f"{first} becomes {second}"
    looks = ("dashed, orange", "bold, blue")
    legend = [f"{t}: {x}" for t, x in zip(_title(first, second), looks, strict=True)]
    legend.append("both: grey")
    if shown == ["network"] and not first.space.cells and not second.space.cells:
        dot = canvas(name, about=about, fixed=True)
        column = Column(dot)
        column.title(*legend)
        one, two = (stages_of(a.space, nodes(to_graph(a, "network")), {}) for a in (first, second))
        draw_difference(column, one, two, (_SAME, _CHANGED, _FIRST, _SECOND))
        return dot
    dot = canvas(name, *legend, about=about)
    for part_name in shown:
        drawn_bodies(second.space, part_name)
        pairs, last = _pairs(*(nodes(to_graph(a, part_name)) for a in (first, second)))
        check_size(2 * len(pairs))
        with dot.subgraph(name=f"cluster_{place(part_name)}") as part:
            frame(part, body_title(first.space, part_name))
            _draw_pairs(part, pairs, last, part_name)
    return dot


def _pairs(
    first: Sequence[Node], second: Sequence[Node]
) -> tuple[dict[str, _Pair], tuple[str, str]]:
    """The nodes of both by one name each, and what each of the cells returns.

    Equal operations of a statement meet first, then the others in order.
    """
    pairs = {n.name: _Pair(first=n) for n in first}
    theirs: dict[str, str] = {}

    def likeness(ours: Node, node: Node) -> int:
        inputs = {theirs.get(i) for i in node.inputs}
        return 2 * (ours.text == node.text) + (set(ours.inputs) == inputs)

    for block in dict.fromkeys(map(_block, second)):
        rest = [n for n in second if _block(n) == block]
        for least in (3, 2, 0):
            for node in list(rest):
                free = [
                    n for n in first
                    if _block(n) == block and not pairs[n.name].second
                    and _is_join(n) == _is_join(node) and likeness(n, node) >= least
                ]  # fmt: skip
                if free:
                    theirs[node.name] = free[0].name
                    pairs[free[0].name].second = node
                    rest.remove(node)
        for node in rest:
            theirs[node.name] = f"{node.name}.second"
            pairs[theirs[node.name]] = _Pair(second=node)
    for pair in pairs.values():
        if pair.second:
            pair.second = replace(pair.second, inputs=tuple(theirs[i] for i in pair.second.inputs))
    return pairs, (first[-1].name, theirs[second[-1].name])


def _is_join(node: Node) -> bool:
    return node.operation in {"add", "concat", "input"}


def _draw_pairs(dot: Digraph, pairs: dict[str, _Pair], last: tuple[str, str], prefix: str) -> None:
    inputs = [place(prefix, n) for n, p in pairs.items() if p.shown.operation == "input"]
    side_by_side(dot, inputs)
    newest = {_block(p.shown): n for n, p in pairs.items()}
    for name, pair in pairs.items():
        key, node = place(prefix, name), pair.shown
        if node.operation == "input":
            terminal(dot, key, node.text)
            continue
        block = _block(node)
        framed = block != "output"
        with dot.subgraph(name=f"cluster_{place(prefix, block)}" if framed else None) as part:
            if framed and newest[block] == name:
                block_frame(part, block, key)
            if node.operation in {"add", "concat"}:
                join(part, key, node.operation, **pair.look)
            else:
                box(part, key, pair.lines, "join", **pair.look)
    for name, pair in pairs.items():
        before = pair.first.inputs if pair.first else ()
        after = pair.second.inputs if pair.second else ()
        for source in dict.fromkeys((*before, *after)):
            look = _look(source in before, source in after)
            dot.edge(place(prefix, source), place(prefix, name), **look)
    terminal(dot, place(prefix, "return"), "output")
    for name in dict.fromkeys(last):
        look = _look(name == last[0], name == last[1])
        dot.edge(place(prefix, name), place(prefix, "return"), **look)


def _look(before: bool, after: bool) -> dict[str, str]:
    """Of an edge of the first cell, of the second, or of both."""
    look = _SAME if before and after else _FIRST if before else _SECOND
    width = look.get("penwidth", "1")
    return {"color": look["color"], "style": "dashed" if look is _FIRST else "", "penwidth": width}
