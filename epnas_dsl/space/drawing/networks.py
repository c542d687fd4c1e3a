"""Turn the network of an architecture into DOT, collapsed to its stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import (
    PALE,
    TIMES,
    body_title,
    box,
    canvas,
    check_size,
    frame,
    place,
)
from epnas_dsl.space.drawing.cells import draw_body
from epnas_dsl.space.drawing.column import Column
from epnas_dsl.space.drawing.stages import Stage, draw_column, folded, stages_of
from epnas_dsl.space.graph import Image, Node, nodes, to_graph, to_layers, to_network
from epnas_dsl.space.shapes import costs, sizes

if TYPE_CHECKING:
    from graphviz import Digraph


def draw_network(architecture: Architecture, image: Image = (3, 32, 32)) -> Digraph:
    """Draw the whole network from top to bottom, with the shape of each stage's value.

    Equal cells in a row are one box (`normal x 6`), and each kind of cell stands beside the column
    in detail; what skips a stage is dashed.

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
    stages = folded(stages_of(architecture.space, listing, shapes))
    check_size(sum(1 + len(s.inputs) for s in stages))
    name = f"{architecture.space.name} {architecture.id} network"
    title = [
        f"{architecture.space.name}  {architecture.id}",
        f"{total.params:,} parameters, {total.macs:,} multiply-accumulates",
    ]
    cells = list(dict.fromkeys(n.cell for n in listing if n.instance))
    if cells:
        dot = canvas(name, *title, about=architecture.text)
        _draw_beside(dot, architecture, stages, cells)
        return dot
    dot = canvas(name, about=architecture.text, fixed=True)
    column = Column(dot)
    column.title(*title)
    draw_column(column, stages)
    return dot


def _draw_beside(
    dot: Digraph, architecture: Architecture, stages: list[Stage], cells: list[str]
) -> None:
    """The column of stages, and beside it what the cells are made of, one below the other."""
    bodies = list(dict.fromkeys(architecture.space.cells[c].name for c in cells))
    for above, name in zip(("", *bodies), bodies, strict=False):
        with dot.subgraph(name=f"cluster_{place(name)}") as part:
            frame(part, body_title(architecture.space, name))
            draw_body(part, nodes(to_graph(architecture, name)), name)
        for label in architecture.space.cells[name].inputs if above else ():
            dot.edge(place(above, "return"), place(name, label), style="invis")
    for i, stage in enumerate(stages):
        _draw_stage(dot, f"stage{i}", stage)


def _draw_stage(dot: Digraph, name: str, stage: Stage) -> None:
    stacked = {"peripheries": "2"} if stage.count > 1 else {}
    box(dot, name, [*stage.told(), stage.shape], stage.kind, width="1.6", **stacked)
    for i, source in enumerate(stage.inputs):
        skip = {"style": "dashed", "color": PALE, "weight": "0"} if i else {"weight": "20"}
        dot.edge(f"stage{source}", name, **skip)


def _shape(node: Node, size: tuple[int, int]) -> str:
    numbers = (node.channels, *size) if node.scale else (node.channels,)
    return f" {TIMES} ".join(map(str, numbers))
