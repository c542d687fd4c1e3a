"""Turn the network of an architecture into DOT, collapsed to its stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import TIMES, body_title, canvas
from epnas_dsl.space.drawing.cells import blocks_of
from epnas_dsl.space.drawing.column import Column
from epnas_dsl.space.drawing.rows import GAP, draw_frame
from epnas_dsl.space.drawing.stages import draw_column, folded, stages_of
from epnas_dsl.space.graph import to_graph, to_layers, to_network
from epnas_dsl.space.nodes import Image, nodes
from epnas_dsl.space.shapes import costs, sizes

if TYPE_CHECKING:
    from graphviz import Digraph


def draw_network(architecture: Architecture, image: Image = (3, 32, 32)) -> Digraph:
    """Draw the whole network from top to bottom, with the shape of each stage's value.

    Equal cells in a row are one box (`normal x 6`), and each kind of cell stands beside the column
    in detail; what skips a stage is a thin line.

    Raises:
        ShapeError: the architecture does not fit such images.
        LimitError: too large to draw (E803), or for a network at all.
    """
    space = architecture.space
    network = to_network(architecture, image)
    layers = to_layers(network)
    total = costs(layers, image)
    size = sizes(layers, image)
    listing = nodes(network)
    shapes = {
        n.name: f" {TIMES} ".join(map(str, (n.channels, *(size[n.output] if n.scale else ()))))
        for n in listing
    }
    stages = folded(stages_of(space, listing, shapes))
    cells = dict.fromkeys(space.cells[n.cell].name for n in listing if n.instance)
    dot = canvas(f"{space.name} {architecture.id} network", about=architecture.text)
    column = Column(dot)
    column.title(
        f"{space.name}  {architecture.id}",
        f"{total.params:,} parameters, {total.macs:,} multiply-accumulates",
    )
    top, right = column.y, 0.0
    for body in cells:
        blocks = blocks_of(space, nodes(to_graph(architecture, body)))
        frame = draw_frame(column, body, body_title(space, body), blocks)
        right, column.y = max(right, frame.right), frame.y - GAP
    draw_column(Column(dot, "stage", right + 3 * GAP if cells else 0, top), stages)
    return dot
