"""What a graph is made of: a node for every place where a value stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from epnas_dsl.errors import Span
from epnas_dsl.space.operations import Layer, Settings
from epnas_dsl.space.terms import Number

if TYPE_CHECKING:
    import networkx as nx

Image = tuple[int, int, int]
Graph: TypeAlias = "nx.DiGraph[str]"


@dataclass(frozen=True, slots=True)
class Call:
    """A cell or a function at a place where it is called.

    Attributes:
        name: dotted and unique; what stands in it begins with it.
        callee: the name of the cell or function.
        is_cell: whether it is a cell.
        numbers: its arguments; of a cell its `channels`.
        inputs: what it calls its inputs, and the names of the nodes that they are.
        span: where it was written.
    """

    name: str
    callee: str
    is_cell: bool
    numbers: tuple[tuple[str, Number], ...]
    inputs: tuple[tuple[str, str], ...]
    span: Span | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Node:
    """A place where a value stands.

    Attributes:
        name: dotted and unique; in a network the path of its modules: `cell1.h2.op1`.
        operation: `input`, `add`, `concat`, a cell's name, or a name in `OPERATIONS`.
        inputs: the names of the nodes that it reads, in order.
        settings: the operation's arguments.
        channels: of its value; 0 where no shapes are known.
        scale: how many times smaller than the image; 0 for a vector or where no shapes are known.
        cell: the name of the cell that it stands in; "" in the network's own body.
        instance: which of the network's cells: `cell3`; "" in the network's own body.
        block: the statement that it belongs to.
        text: the operation as the language writes it: `mbconv(kernel=3)`.
        layers: what the operation is made of.
        output: the name of the layer that holds its value.
        entry: it reads an input of the cell.
        labels: of a `concat`: what the joined values are called.
        span: where it was written.
        calls: the cells and functions that it stands in, the outermost first.
        width: how many channels it makes where no shapes are known, `channels` for those of the
            cell: `channels * 2`; "" where nothing is said of them.
    """

    name: str
    operation: str
    inputs: tuple[str, ...] = ()
    settings: Settings = ()
    channels: int = 0
    scale: int = 0
    cell: str = ""
    instance: str = ""
    block: str = ""
    text: str = ""
    layers: tuple[Layer, ...] = ()
    output: str = ""
    entry: bool = False
    labels: tuple[str, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)
    calls: tuple[Call, ...] = field(default=(), compare=False, repr=False)
    width: str = ""


def nodes(graph: Graph) -> list[Node]:
    """The nodes in topological order; the last one is the output."""
    return [graph.nodes[name]["node"] for name in graph]
