"""Turn a cell, or the difference of two cells, into DOT in the manner of the papers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from epnas_dsl.errors import ConfigError, nearest
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import (
    FAMILIES,
    box,
    canvas,
    check_size,
    family,
    frame,
    join,
    operation_lines,
    place,
    side_by_side,
    terminal,
    title_lines,
)
from epnas_dsl.space.graph import Node, nodes, to_graph
from epnas_dsl.space.search_space import SearchSpace

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
    dot = canvas(f"{space.name} {architecture.id}", *_title(architecture))
    shown = drawn_bodies(space, body)
    graphs = {name: nodes(to_graph(architecture, name)) for name in shown}
    check_size(sum(1 + len(n.inputs) for listing in graphs.values() for n in listing))
    for name, listing in graphs.items():
        if len(graphs) == 1:
            _draw_body(dot, listing, "")
            continue
        with dot.subgraph(name=f"cluster_{place(name)}") as part:
            frame(part, body_title(space, name), dashed=False)
            _draw_body(part, listing, name)
    return dot


def _title(architecture: Architecture) -> list[str]:
    return title_lines(f"{architecture.space.name}  {architecture.id}", architecture.text)


def drawn_bodies(space: SearchSpace, body: str | None) -> list[str]:
    """The names of the bodies to draw: those with decisions, or else the first.

    Raises:
        ConfigError: there is no body of the name asked for (E804).
    """
    known = [name for b in space.bodies for name in b.names]
    if body is None:
        decided = dict.fromkeys(b.name for b, _ in space.statements)
        return list(decided) or known[:1]
    if body not in known:
        raise ConfigError(
            f"{space.name} has no cell `{body}`; there are {', '.join(known)}", code="E804",
            hint=nearest(body, known),
        )  # fmt: skip
    return [body]


def body_title(space: SearchSpace, name: str) -> str:
    """All names of a body: `normal, reduction/2`."""
    body = next(b for b in space.bodies if name in b.names)
    return ", ".join(f"{n}/{s}" if s > 1 else n for n, s in body.names.items())


def _draw_body(dot: Digraph, listing: Sequence[Node], prefix: str) -> None:
    """Inputs above, a dashed box for each block, the output below."""
    inputs = [n for n in listing if n.operation == "input"]
    for node in inputs:
        terminal(dot, place(prefix, node.name), node.text)
    side_by_side(dot, [place(prefix, n.name) for n in inputs])
    for block, members in blocks(listing):
        if block == "output":
            for node in members:
                _draw_node(dot, node, prefix)
            continue
        with dot.subgraph(name=f"cluster_{place(prefix, block)}") as part:
            frame(part, block)
            for node in members:
                _draw_node(part, node, prefix)
    for node in listing:
        for source in node.inputs:
            zero = "zero" in {family(node.operation)}
            style = {"style": "dashed", "color": FAMILIES["zero"][1]} if zero else {}
            dot.edge(place(prefix, source), place(prefix, node.name), **style)
    terminal(dot, place(prefix, "return"), "output")
    dot.edge(place(prefix, listing[-1].name), place(prefix, "return"))


def blocks(listing: Sequence[Node]) -> Iterator[tuple[str, list[Node]]]:
    """The nodes of each statement, the inputs left out; `output` is what is returned."""
    inner = [n for n in listing if n.operation != "input"]
    found: dict[str, list[Node]] = {}
    for block, members in groupby(inner, key=lambda n: n.name.split(".")[0]):
        found.setdefault(block, []).extend(members)
    yield from found.items()


def _draw_node(dot: Digraph, node: Node, prefix: str) -> None:
    name = place(prefix, node.name)
    if node.operation in {"add", "concat"}:
        join(dot, name, node.operation)
    else:
        box(dot, name, operation_lines(node.text), family(node.operation))


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
    dot = canvas(name, *_title(first), *_title(second))
    shown = drawn_bodies(first.space, body)
    for part_name in shown:
        drawn_bodies(second.space, part_name)
        pairs = _pairs(*(nodes(to_graph(a, part_name)) for a in (first, second)))
        check_size(2 * len(pairs))
        with dot.subgraph(name=f"cluster_{place(part_name)}") as part:
            frame(part, body_title(first.space, part_name), dashed=False)
            _draw_pairs(part, pairs, part_name)
    with dot.subgraph(name="cluster_legend") as part:
        frame(part, "legend")
        for key, look in (
            ("in both", _SAME), ("changed", _CHANGED),
            (f"only in {first.id}", _FIRST), (f"only in {second.id}", _SECOND),
        ):  # fmt: skip
            box(part, place("legend", key), [key], "join", **look)
    return dot


def _pairs(first: Sequence[Node], second: Sequence[Node]) -> dict[str, _Pair]:
    """The nodes of both by one name each: equal operations meet first, then the others in order."""
    pairs = {n.name: _Pair(first=n) for n in first}
    theirs: dict[str, str] = {}
    for node in second:
        inputs = {theirs[i] for i in node.inputs}
        free = [
            p.first for p in pairs.values()
            if p.first and not p.second and p.first.block == node.block
            and _is_join(p.first) == _is_join(node)
        ]  # fmt: skip
        free.sort(key=lambda n: (n.text != node.text, set(n.inputs) != inputs))
        name = free[0].name if free else f"{node.name}.second"
        theirs[node.name] = name
        pairs.setdefault(name, _Pair()).second = node
    for pair in pairs.values():
        if pair.second:
            renamed = tuple(theirs[i] for i in pair.second.inputs)
            pair.second = Node(pair.second.name, pair.second.operation, renamed,
                               block=pair.second.block, text=pair.second.text)  # fmt: skip
    return pairs


def _is_join(node: Node) -> bool:
    return node.operation in {"add", "concat", "input"}


def _draw_pairs(dot: Digraph, pairs: dict[str, _Pair], prefix: str) -> None:
    for name, pair in pairs.items():
        key, node = place(prefix, name), pair.shown
        if node.operation == "input":
            terminal(dot, key, node.text)
            continue
        inner = node.block != "output"
        with dot.subgraph(name=f"cluster_{place(prefix, node.block)}" if inner else None) as part:
            if inner:
                frame(part, node.block)
            if node.operation in {"add", "concat"}:
                join(part, key, node.operation, **pair.look)
            else:
                box(part, key, pair.lines, "join", **pair.look)
    for name, pair in pairs.items():
        before = pair.first.inputs if pair.first else ()
        after = pair.second.inputs if pair.second else ()
        for source in dict.fromkeys((*before, *after)):
            look = _SAME if source in before and source in after else (
                _FIRST if source in before else _SECOND
            )  # fmt: skip
            style = "dashed" if look is _FIRST else "solid"
            width = look.get("penwidth", "1")
            dot.edge(place(prefix, source), place(prefix, name), color=look["color"], style=style,
                     penwidth=width)  # fmt: skip
