"""Turn the graph of a network into the classes that one would write for it by hand.

Cells, functions and operations of several layers become units, the uses of classes. Uses of equal
structure share a class: what differs among them (channels, strides, repeats) becomes an argument,
called as the space calls it where the space has a number for it. A step that only some uses take
becomes a condition on the arguments, a row of like steps a `Sequential`, a stack of cells a list.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import chain, count, groupby, pairwise

from epnas_dsl.nn.operations import MODULES, RESERVED, module_path
from epnas_dsl.space.nodes import Call, Graph, Node, nodes
from epnas_dsl.space.operations import OPERATIONS, Layer

WIDE = {"groups", "in_features", "out_features", "start", "stop"}  # numbers of channels
TAKEN = RESERVED | {"i", "range", "super"}  # names that a class needs for itself
MAX_OWN = 4  # arguments of a function's class that the function itself does not have
Value = int | float
Column = tuple[Value | None, ...]  # of a number, over the uses of a class; None where it is free
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


def find_classes(network: Graph, space: str) -> tuple[list[Class], Unit]:
    """The classes of a network, each after those that it uses, and the use that is the network.

    Args:
        network: from `to_network`.
        space: what the space is called.
    """
    image, *body = nodes(network)
    outputs = {n.name: (n.output, n.channels) for n in (image, *body)}
    items = [*_items(body, 0, "", outputs, {})]
    about = f"A network of the space `{space}`: images (N, {image.channels}, H, W) to scores."
    top = Unit(("network", ""), about, (("image", image.output),), {}, items)
    if not items:
        top.items = [Item("", "image", "image", "input", (), image.output, image.layers[0])]
    kinds: dict[tuple[str, str], list[Item]] = {}
    needs: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
    parents: dict[tuple[str, str], list[Unit]] = {}
    output = body[-1].output if body else image.output
    _gather(Item("", "", "", "", (), output, unit=top), kinds, needs, parents)
    classes: list[Class] = []
    for kind in TopologicalSorter(needs).static_order():
        units = [item.unit for item in kinds[kind] if item.unit]
        if top not in units and all(len(unit.items) == 1 for unit in units):
            for item, unit in zip(kinds[kind], units, strict=True):
                item.become(unit.items[0])
            continue
        for item, unit in zip(kinds[kind], units, strict=True):
            unit.items = _rolled(unit.items, item.value)
        made = _define(units)
        for item, unit in zip(kinds[kind], units, strict=True):
            place = dict(unit.inputs)
            needed = unit.definition.inputs if unit.definition else []
            item.reads = tuple(dict.fromkeys(place.get(x, x) for x in needed))
        if kind[0] == "function" and _is_scattered(made, units):
            for parent in {id(p): p for p in parents[kind]}.values():
                parent.items = [*_spliced(parent.items, kind)]
        else:
            classes += made
    return classes, top


def _is_scattered(classes: Sequence[Class], units: Sequence[Unit]) -> bool:
    """Whether so much differs among the uses of a function that classes would explain nothing."""
    own = max(sum(name not in c.named for name in c.parameters) for c in classes)
    plain = all(item.row or len(item.reads) == 1 for unit in units for item in unit.items)
    return own > MAX_OWN or (plain and 1 < len(units) == len(classes))


def _spliced(items: Sequence[Item], kind: tuple[str, str]) -> Iterator[Item]:
    """The items, each use of a function replaced by what it does."""
    for item in items:
        if not item.unit or item.unit.kind != kind:
            yield item
            continue
        inner = [i for part in item.unit.items for i in (chain(*part.row) if part.row else [part])]
        for part in inner:
            if part.label != item.label or not (part.is_root and item.is_root):
                last = part is inner[-1]
                part.name = item.name if last else f"{item.name}.{part.name}"
                part.label = item.label
            part.key = item.key, part.key
            yield part


def _gather(
    item: Item,
    kinds: dict[tuple[str, str], list[Item]],
    needs: dict[tuple[str, str], dict[tuple[str, str], None]],
    parents: dict[tuple[str, str], list[Unit]],
) -> None:
    """All uses of each kind, the kinds that each needs, and the units that use it."""
    assert item.unit
    kind = item.unit.kind
    kinds.setdefault(kind, []).append(item)
    needs.setdefault(kind, {})
    for inner in item.unit.items:
        if inner.unit:
            needs[kind][inner.unit.kind] = None
            parents.setdefault(inner.unit.kind, []).append(item.unit)
            _gather(inner, kinds, needs, parents)


def _items(
    body: Sequence[Node],
    depth: int,
    prefix: str,
    outputs: dict[str, tuple[str, int]],
    adapted: Mapping[str, str],
) -> Iterator[Item]:
    """The steps of a body: its own nodes, and its calls of cells and functions.

    Args:
        outputs: of each node its value and the channels of it.
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


def _node_item(node: Node, name: str, outputs: dict[str, tuple[str, int]]) -> Item | None:
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
    call: Call,
    body: list[Node],
    depth: int,
    outputs: dict[str, tuple[str, int]],
    adapted: Mapping[str, str],
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
    call: Call, body: list[Node], depth: int, outputs: dict[str, tuple[str, int]]
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


# --- rows ----------------------------------------------------------------------------------------


def _rolled(items: list[Item], output: str) -> list[Item]:
    """The items, those that follow each other like turns of a loop put into rows."""
    uses = Counter(value for item in items for value in item.reads)
    uses[output] += 1
    result: list[Item] = []
    start = 0
    while start < len(items):
        end = start + 1
        while end < len(items) and _follows(items[end - 1], items[end], uses):
            end += 1
        rolling = end - start == 1
        if rolling:
            while end < len(items) and _stacked(items, start, end):
                end += 1
            inside = Counter(v for item in items[start:end] for v in {*item.reads})
            if any(uses[i.value] > inside[i.value] for i in items[start : end - 1]):
                end = start + 1
            rolling = end - start > 2
            end = end if rolling else start + 1
        run = items[start:end]
        result.append(_row(run, rolling) if len(run) > 1 else run[0])
        start = end
    return result


def _follows(one: Item, two: Item, uses: Counter[str]) -> bool:
    """Whether the second reads only the first, nothing else does, and they are of one kind."""
    chained = two.reads == (one.value,) and uses[one.value] == 1 and len(one.reads) == 1
    cells = all(i.unit and i.unit.kind[0] == "cell" for i in (one, two))
    same = one.title == two.title or _text_key(one) == _text_key(two)
    alike = same and one.label == two.label and one.is_root and two.is_root
    plain = one.label and not one.label[-1].isdigit()
    return bool(chained and one.is_module and two.is_module and (cells or (alike and plain)))


def _stacked(items: Sequence[Item], start: int, end: int) -> bool:
    """Whether the item at the end is a cell that reads the two values before it."""
    first, last, cell = items[start], items[end - 1], items[end]
    if not (first.unit and last.unit and cell.unit and first.unit.definition):
        return False
    read = [unit.definition.inputs for unit in (first.unit, cell.unit) if unit.definition]
    if cell.unit.kind[0] != "cell" or len(cell.unit.inputs) != 2 or read[0] != read[-1]:
        return False
    before = [value for _, value in last.unit.inputs]
    return [v for _, v in cell.unit.inputs] == [before[-1], last.value] and len(read[0]) == 2


def _row(run: list[Item], rolling: bool) -> Item:
    def place(item: Item) -> Hashable:
        given = () if item.unit is None or item.unit.kind[0] != "cell" else item.settings.items()
        return _text_key(item), item.shape, tuple(given)

    groups = [even for _, members in groupby(run, place) for even in _even([*members])]
    first = run[0]
    titles = {item.title for item in run}
    several = "cells" if first.unit and first.unit.kind[0] == "cell" else "blocks"
    title = f"{first.title}s" if len(titles) == 1 else several
    reads = tuple(v for _, v in first.unit.inputs) if rolling and first.unit else first.reads
    return Item(
        first.key, first.name, first.label, title, reads, run[-1].value, row=groups, rolling=rolling
    )


def _even(run: list[Item]) -> list[list[Item]]:
    """The run, if its numbers stay or the widths grow by equal steps; else its items one by one."""
    for settings in zip(*(item.settings.items() for item in run), strict=True):
        name, numbers = settings[0][0], [n for _, n in settings]
        steps = {b - a for a, b in pairwise(numbers)}
        if len(steps) > 1 or (steps - {0} and (not is_width(name) or len(run) < 3)):
            return [[item] for item in run]
    return [run]


# --- from units to classes -----------------------------------------------------------------------


def _define(units: list[Unit]) -> list[Class]:
    """Classes for units of one kind."""
    places = {id(u): u.places() for u in units}
    vague = {id(u): sum(len(p) > 1 for p in places[id(u)].values()) for u in units}
    rows = {id(u): sum(len(i.row) for i in u.items) for u in units}
    waiting = sorted(units, key=lambda u: (-rows[id(u)], vague[id(u)]))
    found: list[tuple[Class, list[Unit]]] = []
    for unit in waiting:
        for definition, members in found:
            if _fits(definition.slots, unit, places[id(unit)]):
                _merge(definition.slots, unit, places[id(unit)])
                members.append(unit)
                break
        else:
            slots = [_slot(item, places[id(unit)]) for item in unit.items]
            found.append((Class("", unit.kind, unit.about, slots, []), [unit]))
    result = []
    for definition, members in found:
        if _generalise(definition, members):
            result.append(definition)
        else:  # no condition tells the variants apart
            alike: dict[Hashable, list[Unit]] = {}
            for unit in members:
                shape = tuple((i.shape, *(g[0].shape for g in i.row)) for i in unit.items)
                alike.setdefault(shape, []).append(unit)
            for some in alike.values() if len(alike) > 1 else ([unit] for unit in members):
                result += _define(some)
    order = {id(u.definition): -n for n, u in reversed([*enumerate(units)])}
    return sorted(result, key=lambda c: -order[id(c)])


def _groups(item: Item) -> list[list[Item]]:
    return item.row or [[item]]


def _slot(item: Item, places: dict[str, set[Place]]) -> Slot:
    reads = [set(places.get(v, {("input", v)})) for v in item.reads]
    return Slot(item, reads, [Group([list(g)]) for g in _groups(item)], bool(item.row))


def _text_key(item: Item) -> Hashable:
    return item.key[0] if isinstance(item.key, tuple) else item.key


def _aligned(slot: Slot, item: Item) -> list[list[Item]] | None:
    """The item's groups, one for each of the slot's; empty ones where it has none there."""
    rest = _groups(item)
    if not slot.is_row:
        return rest if len(rest) == 1 and not item.row else None
    if item.rolling != slot.item.rolling or (not item.is_module):
        return None
    found: list[list[Item]] = []
    for group in slot.groups:
        first = next(m[0] for m in group.members if m)
        same = bool(rest) and _text_key(rest[0][0]) == _text_key(first)
        found.append(rest[0] if same else [])
        rest = rest[1:] if same else rest
    return None if rest or not found[0] else found


def _fits(slots: Sequence[Slot], unit: Unit, places: dict[str, set[Place]]) -> bool:
    if len(slots) != len(unit.items):
        return False
    for slot, item in zip(slots, unit.items, strict=True):
        groups = _aligned(slot, item)
        if groups is None or len(item.reads) != len(slot.reads):
            return False
        own = unit.kind[0] == "operation"
        if not own and _text_key(slot.item) != _text_key(item):
            return False
        for read, value in zip(slot.reads, item.reads, strict=True):
            if not read & places.get(value, {("input", value)}):
                return False
        for group, members in zip(slot.groups, groups, strict=True):
            first = next(m[0] for m in group.members if m)
            if members and members[0].shape != first.shape:
                single = len(first.reads) == len(members[0].reads) == 1
                single = single and first.title == members[0].title
                if own or not (first.is_module and members[0].is_module and single):
                    return False
    return True


def _merge(slots: Sequence[Slot], unit: Unit, places: dict[str, set[Place]]) -> None:
    for slot, item in zip(slots, unit.items, strict=True):
        for read, value in zip(slot.reads, item.reads, strict=True):
            read &= places.get(value, {("input", value)})
        for group, members in zip(slot.groups, _aligned(slot, item) or [], strict=True):
            group.members.append(members)


def _generalise(definition: Class, members: list[Unit]) -> bool:
    """Settle the arguments of a class; False where its variants cannot be told apart."""
    named = _columns([unit.numbers for unit in members])
    named = {f"{n}_" if n in TAKEN else n: c for n, c in named.items()}
    widths = {f"{label}_channels" for label, _ in members[0].inputs}
    if len(widths) > 1 and len({named.get(w) for w in widths}) == 1:  # all inputs are alike
        named = {"in_channels" if n in widths else n: c for n, c in named.items()}
    for name, column in [*named.items()]:
        if len(set(column)) == 1 or column in [c for n, c in named.items() if n != name]:
            del named[name]
    writer = Arguments(named)
    for slot in definition.slots:
        for group in slot.groups:
            _settle(group, slot, writer)
    for slot in definition.slots:
        for group in slot.groups:
            if len(group.shapes) > 2:
                return False
            if len(group.shapes) == 2:
                real = [not m or m[0].shape == group.shapes[0] for m in group.members]
                facts = _columns([m[0].numbers if m else {} for m in group.members])
                prefix = re.sub(r"\W", "_", slot.item.name)
                own = {f"{prefix}_{n}": c for n, c in facts.items() if n == "stride"}
                group.condition = writer.condition(real, own)
                if not group.condition:
                    return False
    definition.parameters = writer.ordered()
    definition.named = frozenset(named)
    definition.strided = all(unit.numbers.get("stride", 1) != 1 for unit in members)
    labels = [label for label, _ in members[0].inputs]
    needed = {
        source(definition, read)
        for slot in definition.slots
        for read in slot.reads
        if not slot.does_nothing
    }
    definition.inputs = [x for x in labels if ("input", x) in needed]
    definition.inputs += [
        str(x) for kind, x in sorted(needed, key=str) if kind == "input" and x not in labels
    ]
    for n, unit in enumerate(members):
        unit.definition = definition
        unit.given = {
            name: next(v for v in (column[n], *column) if v is not None)
            for name, column in definition.parameters.items()
        }
    return True


def _columns(numbers: Sequence[dict[str, Value]]) -> dict[str, Column]:
    """For each name its numbers, one for each use."""
    names = dict.fromkeys(n for found in numbers for n in found)
    return {name: tuple(found.get(name) for found in numbers) for name in names}


def source(definition: Class, read: set[Place]) -> Place:
    """The one place of a value that a class reads: past items that change nothing."""
    found = sorted(read, key=lambda p: (p[0] == "input", p[1] if p[0] == "item" else 0))
    real = [
        p for p in found
        if p[0] == "input" or not definition.slots[int(p[1])].does_nothing
    ]  # fmt: skip
    if real:
        return real[-1] if real[-1][0] == "item" else real[0]
    return source(definition, definition.slots[int(found[0][1])].reads[0])


def _settle(group: Group, slot: Slot, writer: Arguments) -> None:
    present = dict.fromkeys(m[0].shape for m in group.members if m)
    group.shapes = sorted(present, key=lambda s: s is None)
    for shape in group.shapes:
        mine = [m if m and m[0].shape == shape else [] for m in group.members]
        others = [m if m and m[0].shape is None else [] for m in group.members]
        names = next(m[0] for m in mine if m).settings if shape is not None else {}
        texts: dict[str, str] = {}
        for name in names:
            column = tuple(
                (a or b)[0].settings.get(name) if a or b else None
                for a, b in zip(mine, others, strict=True)
            )
            step = tuple(
                m[1].settings[name] - m[0].settings[name] if len(m) > 1 else None for m in mine
            )
            if any(step):
                group.steps[name] = writer.express("step", step, slot.item.prefix)
            texts[name] = writer.express(name, column, slot.item.prefix)
        group.texts.append(texts)
    if slot.is_row:
        group.count = writer.express("repeats", tuple(len(m) for m in group.members), "")


class Arguments:
    """The arguments of a class: turns columns of numbers into expressions of them."""

    def __init__(self, named: dict[str, Column]) -> None:
        self.named = named
        self.used: dict[str, Column] = {}

    def express(self, setting: str, column: Column, prefix: str) -> str:
        """The text of a setting: a number, or an expression of arguments."""
        values = {v for v in column if v is not None}
        known = {**self.named, **self.used}
        if len(values) == 1:
            value = values.pop()
            if None in column and is_width(setting):  # of one variant: a width that is right for it
                for name in sorted(filter(is_width, known), key=lambda n: n != setting):
                    if _full(column, known[name]) == known[name]:
                        self.used.setdefault(name, known[name])
                        return name
            return repr(value)
        for name, numbers in known.items():
            if _same(numbers, column):
                self.used[name] = _full(column, numbers)
                return name
        for name, numbers in known.items():
            if text := _derived(setting, name, numbers, column):
                self.used.setdefault(name, numbers)
                return text
        for (a, one), (b, two) in (
            (p, q) for p in known.items() for q in known.items() if len(values) > 2
        ):
            if text := _combined(a, one, b, two, column):
                self.used |= {a: one, b: two}
                return text
        wish = f"{prefix}{_plain(setting)}"
        if wish in self.named and _full(self.named[wish], column) == _full(column, column):
            self.used[wish] = column
            return wish
        names = (f"{wish}_{n}" if n > 1 else wish for n in count(1))
        name = next(n for n in names if n not in known)
        self.used[name] = column
        return name

    def condition(self, real: Sequence[bool], own: dict[str, Column]) -> str:
        """A test of the arguments that is true exactly where `real` is; empty if there is none.

        Args:
            own: numbers that may become arguments for its sake.
        """
        known = {n: c for n, c in {**self.used, **self.named, **own}.items() if None not in c}
        widths = sorted(filter(is_width, known), key=lambda n: not n.endswith("_channels"))
        pairs = [(a, b) for a in widths for b in widths if a != b]
        others = sorted({*known} - {*widths}, key=lambda n: (not n.endswith("stride"), n))
        unlike = [f"{a} != {b}" for a, b in pairs]
        steps = [f"{n} != 1" for n in others if n.endswith("stride")]
        tests = [*unlike, *(f"{a} or {b}" for a in unlike for b in steps), *steps]
        tests += [f"{n} == {v!r}" for n in others for v in dict.fromkeys(known[n])]
        tests += [f"{a} != {n} * {b}" for a, b in pairs for n in range(2, 9)]
        rows = [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]
        for test in tests:
            code = compile(test, "<test>", "eval")
            if all(eval(code, {}, row) == wanted for row, wanted in zip(rows, real, strict=True)):
                self.used |= {name: known[name] for name in code.co_names}
                return test
        return ""

    def ordered(self) -> dict[str, Column]:
        """The arguments: what is read, then the space's own, then the rest; strides last."""

        def rank(name: str) -> tuple[bool, int, int]:
            place = [*self.named].index(name) if name in self.named else len(self.named)
            width = -name.endswith("_channels") - is_width(name)
            return name.endswith("stride"), width, place

        return {name: self.used[name] for name in sorted(self.used, key=rank)}


def is_width(name: str) -> bool:
    """Whether an argument is a number of channels."""
    return "channels" in name or "width" in name


def _plain(setting: str) -> str:
    if setting.startswith(("kernel_", "pad_")):
        return {"kernel": "kernel_size", "pad": "padding"}[setting.partition("_")[0]]
    return setting


def _full(column: Column, other: Column) -> Column:
    """The column, what is free in it filled in from another."""
    return tuple(b if a is None else a for a, b in zip(column, other, strict=True))


def _same(numbers: Column, column: Column) -> bool:
    pairs = [pair for pair in zip(numbers, column, strict=True) if None not in pair]
    return len({b for _, b in pairs}) > 1 and all(a == b for a, b in pairs)


def _derived(setting: str, name: str, numbers: Column, column: Column) -> str:
    """A column as a multiple, a part or a neighbour of another."""
    pairs = [(a, b) for a, b in zip(numbers, column, strict=True) if b is not None]
    if any(a is None or not isinstance(a, int) or not isinstance(b, int) for a, b in pairs):
        return ""
    whole = [(int(a), int(b)) for a, b in pairs if a is not None]
    first, value = whole[0]
    if setting.startswith("pad_"):
        kernel = "kernel" in name and all(a // 2 == b for a, b in whole)
        return f"{name} // 2" if kernel else ""
    wide = "channels" in setting or setting in WIDE
    if setting in {"repeats", "step"} or is_width(name) != wide:
        near = value - first
        if setting == "repeats" and "channels" not in name and abs(near) == 1:
            return f"{name} - 1" if near < 0 and all(b == a - 1 for a, b in whole) else ""
        return ""
    if first and value % first == 0 and all(b == value // first * a for a, b in whole):
        return f"{value // first} * {name}"
    if value and first % value == 0 and all(b == a // (first // value) for a, b in whole):
        return f"{name} // {first // value}"
    return ""


def _combined(a: str, one: Column, b: str, two: Column, column: Column) -> str:
    """A column as the product, the sum or the difference of two others."""
    rows = [r for r in zip(one, two, column, strict=True) if r[2] is not None]
    if any(x is None or y is None for x, y, _ in rows):
        return ""
    full = [(x, y, z) for x, y, z in rows if x is not None and y is not None and z is not None]
    if "kernel" in a and "dilation" in b and all(z == x // 2 * y for x, y, z in full):
        return f"{a} // 2 * {b}"
    if is_width(a) and a != b and all(z == x * y for x, y, z in full):
        return f"{a} * {b}"
    if is_width(a) and is_width(b) and all(z == x - y for x, y, z in full):
        return f"{a} - {b}"
    if is_width(a) and is_width(b) and a < b and all(z == x + y for x, y, z in full):
        return f"{a} + {b}"
    return ""


# --- weights -------------------------------------------------------------------------------------


def weight_paths(
    unit: Unit, attributes: dict[int, str], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """For each module of the network its path there, and its path in the written classes.

    Args:
        attributes: what a slot's module is called, by the identity of the slot.
    """
    assert unit.definition
    for slot, item in zip(unit.definition.slots, unit.items, strict=True):
        if id(slot) not in attributes:
            continue
        path = f"{prefix}{attributes[id(slot)]}"
        members = [i for group in _groups(item) for i in group]
        for n, member in enumerate(members):
            place = f"{path}.{n}" if slot.is_row else path
            if member.unit:
                yield from weight_paths(member.unit, attributes, f"{place}.")
            elif member.layer:
                yield module_path(member.layer.name), place
