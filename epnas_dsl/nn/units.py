"""Turn the graph of a network into units: the uses of cells, functions and operations.

What `nn/classes.py` makes of them, classes and their steps, stands here beside them.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from epnas_dsl.nn.arguments import Column, Value
from epnas_dsl.nn.operations import MODULES
from epnas_dsl.space.nodes import Call, Graph, Node, nodes
from epnas_dsl.space.operations import OPERATIONS, Layer

Outputs = dict[str, tuple[str, int]]  # of each node its value and the channels of that
Place = tuple[str, str | int]  # where a value comes from: ("input", label) or ("item", number)


@dataclass(slots=True, eq=False)
class Item:
    """A step of a unit.

    Attributes:
        key: the same for the same place of the space's text.
        name: its path in the unit.
        label: of the statement that it belongs to.
        title: what it carries out: an operation, a function, a cell, a kind of layer.
        reads: the values that it reads: names of layers.
        value: what it makes; what it reads, if it changes nothing.
        layer: what it is; or
        unit: what it is; or
        row: the items that follow each other, grouped by their places in the text.
        rolling: the items of the row read the two values before each.
        numbers: what the language knows of it.
        prefix: of arguments that it needs.
    """

    key: Hashable
    name: str
    label: str
    title: str
    reads: tuple[str, ...]
    value: str
    layer: Layer | None = None
    unit: Unit | None = None
    row: list[list[Item]] = field(default_factory=list)
    rolling: bool = False
    numbers: dict[str, Value] = field(default_factory=dict)
    prefix: str = ""

    @property
    def is_root(self) -> bool:
        """Whether its value is that of the statement."""
        return bool(self.label) and "." not in self.name

    @property
    def shape(self) -> Hashable:
        """Equal for items that differ in their settings only; None: it changes nothing."""
        if self.unit:
            return id(self.unit.definition)
        if self.layer:
            one = self.layer.kind == "conv" and self.layer["kernel_h"] == 1
            return self.layer.kind, one, self.layer.kind in {"add", "concat"} and len(self.reads)
        return None

    @property
    def settings(self) -> dict[str, Value]:
        """The numbers in which it may differ from others of its shape."""
        if self.unit:
            return self.unit.given
        if self.layer and self.layer.kind == "batch_norm":
            return {"channels": self.layer.channels}
        return dict(self.layer.settings) if self.layer else self.numbers

    @property
    def is_module(self) -> bool:
        """Whether an object carries it out, or would, if it did something."""
        return not self.layer or self.layer.kind in MODULES

    def become(self, other: Item) -> None:
        """Stand for the only item of the unit that it was."""
        self.title, self.reads, self.value = other.title, other.reads, other.value
        self.layer, self.unit = other.layer, other.unit
        self.numbers |= other.numbers


@dataclass(slots=True, eq=False)
class Unit:
    """A use of a class: one cell, function or operation at its place in the network.

    Attributes:
        kind: "cell", "function", "operation" or "network", and its name.
        about: a line that describes it.
        inputs: what they are called, and the values that they are.
        numbers: what its arguments are called in the space.
        items: its steps, in order.
        definition: the class.
        given: the arguments of the class.
    """

    kind: tuple[str, str]
    about: str
    inputs: tuple[tuple[str, str], ...]
    numbers: dict[str, Value]
    items: list[Item]
    definition: Class | None = None
    given: dict[str, Value] = field(default_factory=dict)

    def places(self) -> dict[str, set[Place]]:
        """Where each of its values comes from; items that change nothing give a second place."""
        found: dict[str, set[Place]] = {}
        for label, value in self.inputs:
            found.setdefault(value, set()).add(("input", label))
        for number, item in enumerate(self.items):
            found.setdefault(item.value, set()).add(("item", number))
        return found


@dataclass(slots=True)
class Group:
    """Items at one place of the text: one, or several in a row; variants where uses differ.

    Attributes:
        members: for each use of the class its items here.
        shapes: the variants, the one that does something first.
        texts: for each variant its settings, each a number or an expression of arguments.
        count: how many items stand in a row, as text.
        steps: what settings grow by from item to item.
        condition: of the first variant.
    """

    members: list[list[Item]]
    shapes: list[Hashable] = field(default_factory=list)
    texts: list[dict[str, str]] = field(default_factory=list)
    count: str = "1"
    steps: dict[str, str] = field(default_factory=dict)
    condition: str = ""

    def example(self, variant: int) -> Item:
        """An item of a variant."""
        return next(m[0] for m in self.members if m and m[0].shape == self.shapes[variant])


@dataclass(slots=True)
class Slot:
    """A step of a class."""

    item: Item
    reads: list[set[Place]]
    groups: list[Group]
    is_row: bool = False

    @property
    def does_nothing(self) -> bool:
        """In every use its value is what it reads."""
        return all(shape is None for group in self.groups for shape in group.shapes)


@dataclass(slots=True, eq=False)
class Class:
    """What units of equal structure have in common."""

    name: str
    kind: tuple[str, str]
    about: str
    slots: list[Slot]
    inputs: list[str]
    parameters: dict[str, Column] = field(default_factory=dict)
    strided: bool = False  # all its uses step down
    named: frozenset[str] = frozenset()  # what the space calls its arguments

    @property
    def residual(self) -> bool:
        """Whether it adds its input to what it makes of it."""
        adds = [s for s in self.slots if s.item.layer and s.item.layer.kind == "add"]
        return any(("input", x) in read for s in adds for read in s.reads for x in self.inputs)


# --- from nodes to units -------------------------------------------------------------------------


def find_units(network: Graph, space: str) -> tuple[Unit, str]:
    """The unit that is the network, all others inside it, and the value that it returns.

    Args:
        network: from `to_network`.
        space: what the space is called.
    """
    image, *body = nodes(network)
    outputs = {n.name: (n.output, n.channels) for n in (image, *body)}
    items = [*_items(body, 0, "", outputs, {})]
    if not items:
        items = [Item("", "image", "image", "input", (), image.output, image.layers[0])]
    about = f"A network of the space `{space}`: images (N, {image.channels}, H, W) to scores."
    top = Unit(("network", ""), about, (("image", image.output),), {}, items)
    return top, body[-1].output if body else image.output


def _items(
    body: Sequence[Node], depth: int, prefix: str, outputs: Outputs, adapted: Mapping[str, str]
) -> Iterator[Item]:
    """The steps of a body: its own nodes, and its calls of cells and functions.

    Args:
        adapted: the nodes that bring the inputs of the cell to its width.
    """
    seen: Counter[Hashable] = Counter()

    def key(thing: Node | Call, name: str) -> Hashable:
        place = (thing.span.start, thing.span.end) if thing.span else name
        seen[place] += 1
        return place, seen[place]

    def inner(node: Node) -> Call | None:
        return node.calls[depth] if len(node.calls) > depth else None

    for call, run in groupby(body, inner):
        for node in run if call is None else ():
            name = node.name.removeprefix(prefix)
            if item := _node_item(node, name, outputs):
                item.key = key(node, name)
                yield item
        if call:
            item = _call_item(call, [*run], depth + 1, outputs, adapted)
            item.key, item.name = key(call, call.name), call.name.removeprefix(prefix)
            if not call.is_cell:
                item.label = re.sub(r"_\d+$", "", item.name.partition(".")[0])
            yield item


def _node_item(node: Node, name: str, outputs: Outputs) -> Item | None:
    title, channels = node.operation, outputs[node.inputs[0]][1]
    reads = tuple(dict.fromkeys(outputs[i][0] for i in node.inputs))
    numbers = {**dict(node.settings), "in_channels": channels}
    item = Item("", name, node.block, title, reads, node.output, numbers=numbers)
    if len(node.layers) > 1:
        spec = OPERATIONS[title]
        about = (inspect.getdoc(spec.build) or title).splitlines()[0]
        inputs = tuple((f"x{n}" if len(reads) > 1 else "x", r) for n, r in enumerate(reads, 1))
        inside = [
            Item(x.name, x.name.removeprefix(f"{node.name}."), "", x.kind, x.inputs, x.name, x)
            for x in node.layers
        ]
        item.unit = Unit(("operation", title), about, inputs, numbers, inside)
    elif node.layers:
        item.layer, item.reads = node.layers[0], node.layers[0].inputs
    elif title not in OPERATIONS:  # a sum or a concatenation of one value
        return None
    return item


def _call_item(
    call: Call, body: list[Node], depth: int, outputs: Outputs, adapted: Mapping[str, str]
) -> Item:
    output, sources = body[-1].output, dict(call.inputs)
    items: list[Item] = []
    if call.is_cell:
        items, body, adapted = _adapters(call, body, depth, outputs)
    else:  # what it reads of a cell's input may be what the cell made of that
        read = {i for node in body for i in node.inputs}
        sources = {x: adapted[s] if adapted.get(s) in read else s for x, s in sources.items()}
    items += _items(body, depth, f"{call.name}.", outputs, adapted)
    alive = {label: outputs[source] for label, source in sources.items() if source in outputs}
    inputs = tuple((x, alive[x][0] if x in alive else source) for x, source in sources.items())
    widths = {
        "in_channels" if len(sources) == 1 else f"{label}_channels": channels
        for label, (_, channels) in alive.items()
    }
    kind = "cell" if call.is_cell else "function"
    about = f"The {kind} `{call.callee}` of the space."
    unit = Unit((kind, call.callee), about, inputs, {**dict(call.numbers), **widths}, items)
    reads = tuple(dict.fromkeys(value for _, value in inputs))
    return Item("", "", "", call.callee, reads, output, unit=unit)


def _adapters(
    call: Call, body: list[Node], depth: int, outputs: Outputs
) -> tuple[list[Item], list[Node], dict[str, str]]:
    """The 1x1 convolutions that bring a cell's inputs to its width, and the rest of the cell.

    An input that fits as it is has an item that changes nothing, so that cells of both kinds can
    be one class. Returned last: the node that stands for each input.
    """
    width = dict(call.numbers)["channels"]
    made = {f"{call.name}.{label}": label for label, _ in call.inputs}
    adapters = {made[n.name]: n for n in body if n.name in made and len(n.calls) == depth}
    items = []
    for label, source in call.inputs:
        value, channels = outputs.get(source, (source, 0))  # absent where nothing reads the input
        if label in adapters:
            item = _node_item(adapters[label], label, outputs)
            assert item
        else:
            known = {"in_channels": channels, "channels": width, "stride": 1}
            numbers = known if channels else {}
            item = Item("", label, label, "conv_1x1", (value,), value, numbers=numbers)
        item.key, item.prefix = ("adapter", label), f"{label}_"
        items.append(item)
    adapted = {node.inputs[0]: node.name for node in adapters.values()}
    return items, [n for n in body if n.name not in adapted.values()], adapted
