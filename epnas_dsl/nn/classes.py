"""Turn the units of a network into the classes that one would write for it by hand.

Uses of equal structure share a class: what differs among them (channels, strides, repeats) becomes
an argument, called as the space calls it where the space has a number for it. A step that only some
uses take becomes a condition on the arguments, a row of like steps a `Sequential`, a stack of cells
a list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from graphlib import TopologicalSorter
from itertools import chain, groupby, pairwise

from epnas_dsl.nn.arguments import Arguments, Column, Value, is_width
from epnas_dsl.nn.operations import RESERVED, module_path
from epnas_dsl.nn.units import Class, Group, Item, Place, Slot, Unit, find_units
from epnas_dsl.space.nodes import Graph

TAKEN = RESERVED | {"i", "range", "super"}  # names that a class needs for itself
Kind = tuple[str, str]  # of a unit
MAX_OWN = 4  # arguments of a function's class that the function itself does not have


def find_classes(network: Graph, space: str) -> tuple[list[Class], Unit]:
    """The classes of a network, each after those that it uses, and the use that is the network.

    Args:
        network: from `to_network`.
        space: what the space is called.
    """
    top, output = find_units(network, space)
    kinds: dict[Kind, list[Item]] = {}
    needs: dict[Kind, dict[Kind, None]] = {}
    parents: dict[Kind, list[Unit]] = {}
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


def _spliced(items: Sequence[Item], kind: Kind) -> Iterator[Item]:
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
    item: Item, kinds: dict[Kind, list[Item]], needs: dict[Kind, dict[Kind, None]],
    parents: dict[Kind, list[Unit]],
) -> None:  # fmt: skip
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


def _text_key(item: Item) -> Hashable:
    return item.key[0] if isinstance(item.key, tuple) else item.key


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
