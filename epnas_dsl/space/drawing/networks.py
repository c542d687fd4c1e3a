"""Turn the network of an architecture into DOT, collapsed to its stages.

The stages of a network of cells stand in a column beside a cell in detail. A network without cells
has a layout of its own: what a stage hands on past the next one goes down a lane beside the column,
tapped below the stage; a dot says that lines meet where others only cross.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import count, groupby, pairwise
from typing import TYPE_CHECKING

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import (
    PALE,
    box,
    canvas,
    check_size,
    family,
    frame,
    terminal,
    title_lines,
)
from epnas_dsl.space.drawing.cells import body_title, draw_body
from epnas_dsl.space.graph import Image, Node, nodes, to_graph, to_layers, to_network
from epnas_dsl.space.operations import OPERATIONS
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.shapes import costs, sizes
from epnas_dsl.space.terms import Function, Statement, Term

if TYPE_CHECKING:
    from graphviz import Digraph

MAX_LINES = 6  # of operations in one box
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(slots=True)
class _Stage:
    """A cell or a statement of the network, and as many equal ones as follow it.

    Attributes:
        inputs: the positions of the stages that it reads, the newest first: that one is the trunk.
        key: equal for stages that may be folded into one; None: never.
    """

    inputs: list[int]
    kind: str
    lines: list[str]
    shape: str
    key: object = None
    count: int = 1


def draw_network(architecture: Architecture, image: Image = (3, 32, 32)) -> Digraph:
    """Draw the whole network from top to bottom, with the shape of each stage's value.

    Equal cells in a row are one box (`normal x 6`), and the cell that comes most often is drawn in
    detail beside it; what skips a stage is dashed.

    Raises:
        ShapeError: the architecture does not fit such images.
        LimitError: too large to draw (E803), or for a network at all.
    """
    network = to_network(architecture, image)
    layers = to_layers(network)
    total = costs(layers, image)
    size = sizes(layers, image)
    listing = nodes(network)
    shapes = {n.name: _shape(n, size[n.output]) for n in listing}
    stages = _fold(_stages(architecture.space, listing, shapes))
    check_size(sum(1 + len(s.inputs) for s in stages))
    dot = canvas(
        f"{architecture.space.name} {architecture.id} network",
        *title_lines(f"{architecture.space.name}  {architecture.id}", architecture.text, 64, 4),
        f"{total.params:,} parameters, {total.macs:,} multiply-accumulates",
    )
    dot.attr("graph", ranksep="0.25")
    cells = [n.cell for n in listing if n.instance and n.cell != "network"]
    if not cells:
        _draw_column(dot, stages)
        return dot
    for i, stage in enumerate(stages):
        _draw_stage(dot, f"stage{i}", stage)
        for source in stage.inputs:
            skip = {"style": "dashed", "color": PALE, "weight": "0"}
            dot.edge(f"stage{source}", f"stage{i}",
                     **({"weight": "20"} if source == i - 1 else skip))  # fmt: skip
    often = max(dict.fromkeys(cells), key=cells.count)
    with dot.subgraph(name="cluster_detail") as part:
        frame(part, body_title(architecture.space, often))
        draw_body(part, nodes(to_graph(architecture, often)), "detail")
    return dot


LINE, GAP, LANE = 0.19, 0.32, 0.16  # inches: a line of text, between stages, between lanes
TAP = 0.11  # below a stage


def _draw_column(dot: Digraph, stages: list[_Stage]) -> None:
    """The stages one below the other, each skip down the lane of the stage that it comes from."""
    dot.attr("graph", layout="neato", splines="line")
    width = 0.3 + 0.085 * max(len(line) for s in stages for line in (*s.lines, s.shape))
    readers = {i: [j for j, s in enumerate(stages) if i in s.inputs and j > i + 1]
               for i in range(len(stages))}  # fmt: skip
    lanes = _lanes(readers)
    top, middle, bottom = 0.0, list[float](), list[float]()
    for i, stage in enumerate(stages):
        height = 0.12 + LINE * (1 if stage.kind == "input" else len(stage.lines) + 1)
        middle.append(top - height / 2)
        bottom.append(top - height)
        top -= height + GAP
        at = {"pos": f"0,{middle[-1]:.3f}!", "height": f"{height:.3f}"}
        _draw_stage(dot, f"stage{i}", stage, width=f"{width:.3f}", **at)
        if i and i - 1 in stage.inputs:
            dot.edge(f"stage{i - 1}", f"stage{i}")
    look = {"style": "dashed", "color": PALE, "arrowhead": "none"}
    for i, lane in lanes.items():
        x = width / 2 + LANE * (lane + 2)
        _point(dot, f"tap{i}", 0, bottom[i] - TAP, meets=True)
        _point(dot, f"turn{i}", x, bottom[i] - TAP)
        dot.edge(f"tap{i}", f"turn{i}", **look)
        above = f"turn{i}"
        for j in readers[i]:
            _point(dot, f"lane{i}.{j}", x, middle[j], meets=True)
            dot.edge(above, f"lane{i}.{j}", **look)
            above = f"lane{i}.{j}"
    for j in range(len(stages)):
        outer = sorted((i for i in lanes if j in readers[i]), key=lanes.__getitem__, reverse=True)
        names = [f"lane{i}.{j}" for i in outer]
        for left, right in pairwise(names):
            dot.edge(left, right, **look)
        if names:
            _point(dot, f"side{j}", width / 2, middle[j])
            dot.edge(names[-1], f"side{j}", **{**look, "arrowhead": "normal"})


def _lanes(readers: dict[int, list[int]]) -> dict[int, int]:
    """A lane for each stage that is read past the next one, the shortest nearest the column."""
    lanes: dict[int, int] = {}
    for i in sorted((i for i in readers if readers[i]), key=lambda i: readers[i][-1] - i):
        taken = {k for j, k in lanes.items() if j < readers[i][-1] and i < readers[j][-1]}
        lanes[i] = next(k for k in count() if k not in taken)
    return lanes


def _point(dot: Digraph, name: str, x: float, y: float, meets: bool = False) -> None:
    size = "0.05" if meets else "0.001"
    dot.node(name, "", shape="point", width=size, height=size, color=PALE, fillcolor=PALE,
             pos=f"{x:.3f},{y:.3f}!")  # fmt: skip


def _draw_stage(dot: Digraph, name: str, stage: _Stage, **look: str) -> None:
    first, *more = stage.lines
    times = f"  {TIMES} {stage.count}" if stage.count > 1 else ""
    if stage.kind == "input":
        terminal(dot, name, f"{first}   {stage.shape}", **look)
    else:
        stacked = {"peripheries": "2"} if stage.count > 1 else {}
        box(
            dot,
            name,
            [first + times, *more, stage.shape],
            stage.kind,
            **{"width": "1.6", **stacked, **look},
        )


def _shape(node: Node, size: tuple[int, int]) -> str:
    numbers = (node.channels, *size) if node.scale else (node.channels,)
    return f" {TIMES} ".join(map(str, numbers))


def _stages(space: SearchSpace, listing: list[Node], shapes: dict[str, str]) -> list[_Stage]:
    """One for each cell and for each statement of the network's body, in order."""
    stages: list[_Stage] = []
    owner: dict[str, int] = {}
    for name, group in groupby(listing, key=lambda n: n.instance or n.name.split(".")[0]):
        members = list(group)
        position = len(stages)
        owner.update((n.name, position) for n in members)
        read = {owner[i] for n in members for i in n.inputs} - {position}
        last = members[-1]
        stage = _Stage(sorted(read, reverse=True), "other", [], shapes[last.name])
        if last.operation == "input":
            stage.kind, stage.lines = "input", [last.text]
        elif last.instance:
            stride = space.cells[last.cell].names[last.cell]
            stage.kind, stage.lines = "reduction" if stride > 1 else "cell", [last.cell]
            stage.key = (last.cell, stage.shape)
        else:
            _describe(stage, _statements(space, name), members)
        stages.append(stage)
    return stages


def _statements(space: SearchSpace, name: str) -> list[Statement]:
    """The statements of the network's body that nodes of a name may come from."""
    label = "return" if name == "output" else name
    body = (*space.network.statements, space.network.result)
    return [s for s in body if re.fullmatch(rf"{re.escape(s.label)}(_\d+)?", label)]


def _describe(stage: _Stage, statements: list[Statement], members: list[Node]) -> None:
    """Operations of a statement in the order in which they are done, a line each."""
    done = [n for n in members if n.operation in OPERATIONS]
    texts = [n.text for n in done] or [members[-1].text]
    kinds = [family(n.operation) for n in done] or ["join"]
    stage.kind = "head" if "head" in kinds else kinds[0]
    called = {name for s in statements for name in _functions(s.term, set())}
    if called and any(n.name.count(".") > 1 for n in members):
        stage.kind, stage.lines = "cell", [" or ".join(sorted(called))]
        stage.key = (*texts, stage.shape)
        return
    stage.lines = [s.label for s in statements[:1] if s.array]
    for text, same in groupby(texts):
        count = len(list(same))
        stage.lines.append(text if count == 1 else f"{text} {TIMES} {count}")
    if len(stage.lines) > MAX_LINES:
        stage.lines[MAX_LINES:] = [f"and {len(stage.lines) - MAX_LINES} more"]


def _functions(term: Term, seen: set[bytes]) -> set[str]:
    """The names of the functions called in a term."""
    if term.digest in seen:
        return set()
    seen.add(term.digest)
    if isinstance(term, Function):
        return {term.name}
    return {name for child in term.children for name in _functions(child, seen)}


def _fold(stages: list[_Stage]) -> list[_Stage]:
    """Join neighbours of the same key into one stage; inputs are positions in the new list."""
    folded: list[_Stage] = []
    place_of: list[int] = []
    for i, stage in enumerate(stages):
        last = folded[-1] if folded else None
        if last and stage.key and stage.key == last.key and i - 1 in stage.inputs:
            last.count += 1
        else:
            inputs = dict.fromkeys(place_of[j] for j in stage.inputs)
            folded.append(replace(stage, inputs=list(inputs)))
        place_of.append(len(folded) - 1)
    return folded
