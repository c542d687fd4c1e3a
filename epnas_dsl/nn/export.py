"""Turn the graph of a network into one Python file that needs nothing but torch.

The classes are those of `nn/classes.py`, laid out by Black. The steps run in the order of the
compiled network's, so with its weights the outputs come out to the bit.
"""

from __future__ import annotations

import ast
import inspect
import keyword
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from epnas_dsl.errors import printable
from epnas_dsl.nn.arguments import is_width
from epnas_dsl.nn.classes import find_classes, source, weight_paths
from epnas_dsl.nn.network import Step, identifiers, write_forward
from epnas_dsl.nn.operations import PYTHON, RESERVED, PointwiseConv2d, gate, weight_count, write
from epnas_dsl.nn.units import Class, Group, Item, Slot
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.graph import to_network
from epnas_dsl.space.nodes import Image, nodes
from epnas_dsl.space.operations import Kind

WIDTH, LINE = 100, 72  # of the file, and the longest nested expression
VALUES = {"add": "out", "concat": "joined"}  # what values without a name are called
SHORT = {"raw_conv": "conv"}  # operations of one layer are called as it is


LOADING = '''

def normalise(images: Tensor) -> Tensor:
    """Images (N, C, H, W) of values from 0 to 255 as the weights want them."""
    mean, std = (torch.tensor(v, device=images.device)[:, None, None] for v in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def load() -> Model:
    """The model with the weights from the file beside this one, in evaluation mode."""
    model = Model()
    weights = torch.load(Path(__file__).with_suffix(".pt"), "cpu", weights_only=True)
    model.load_state_dict(weights)
    return model.eval()
'''


@dataclass(frozen=True, slots=True)
class PythonFile:
    """An exported network.

    Attributes:
        text: Python source with a class `Model` that takes images (N, C, H, W).
        paths: for each module of the compiled network with weights its path in `Model`.
    """

    text: str
    paths: dict[str, str]


def export_python(
    architecture: Architecture, image: Image, trained: Mapping[str, Any] | None = None
) -> PythonFile:
    """The file of an architecture for images (channels, height, width).

    Args:
        trained: `mean`, `std` and `classes` of its weights, which will be in a file beside it.

    Raises:
        ShapeError: it does not fit such images.
    """
    network = to_network(architecture, image)
    classes, top = find_classes(network, architecture.space.name)
    writer = _Writer(classes)
    text = "\n".join(line for c in classes for line in writer.lines(c))
    count = sum(weight_count(x) for n in nodes(network) for x in n.layers)
    channels, height, width = image
    about = f"Made for images of {channels}x{height}x{width}; {count:,} parameters."
    file = _file(text, f"{architecture}\n\n{about}", trained)
    return PythonFile(file, dict(weight_paths(top, writer.attributes)))


class _Writer:
    """Gives classes, modules and values their names, and writes them."""

    def __init__(self, classes: Sequence[Class]) -> None:
        self.names = {"Model", "PointwiseConv2d"}
        self.attributes: dict[int, str] = {}
        for definition in classes:
            kind = definition.kind
            definition.name = "Model" if kind[0] == "network" else self._class_name(definition)
            self._name_modules(definition)

    def _class_name(self, definition: Class) -> str:
        kind = definition.kind[1]
        words = re.split(r"\W|(?<!\d)_|_(?!\d)", kind)  # `1x3_3x1` is one
        name = "".join(w[:1].upper() + w[1:] for w in words) or "Part"
        name = name if name.isidentifier() and not keyword.iskeyword(name) else f"Part{name}"
        if name in self.names and (definition.strided or definition.residual):
            name = f"{'Strided' if definition.strided else 'Residual'}{name}"
        count = 1
        unique = name
        while unique in self.names:
            count += 1
            unique = f"{name}{'_' if name[-1].isdigit() else ''}{count}"
        self.names.add(unique)
        return unique

    def _name_modules(self, definition: Class) -> None:
        slots = [s for s in definition.slots if s.item.is_module and not s.does_nothing]
        if definition.kind[0] == "operation":
            wishes = [s.item.name for s in slots]
        else:
            wishes = [_module_name(s.item) for s in slots]
        many = Counter(wishes)
        numbers: Counter[str] = Counter()
        used = set(RESERVED) | set(definition.parameters)
        for slot, wish in zip(slots, wishes, strict=True):
            numbers[wish] += 1
            joint = "_" if wish[-1:].isdigit() else ""
            name = f"{wish}{joint}{numbers[wish]}" if many[wish] > 1 else wish
            name = re.sub(r"\W", "_", name)
            while name in used:
                name += "_"
            used.add(name)
            self.attributes[id(slot)] = name

    # --- a class

    def lines(self, definition: Class) -> list[str]:
        """The source of a class."""
        init: list[str] = []
        kept: dict[str, str] = {}  # numbers that `forward` needs
        steps: list[Step] = []
        names, values = self._values(definition)
        for n, slot in enumerate(definition.slots):
            if slot.does_nothing:
                continue
            reads = [values[source(definition, read)] for read in slot.reads]
            value = values["item", n]
            if attribute := self.attributes.get(id(slot)):
                init.append(f"self.{attribute} = {self._maker(slot)}")
                steps.append(self._call(slot, definition, attribute, value, reads, names))
                continue
            assert slot.item.layer
            kind, settings = slot.item.layer.kind, slot.groups[0].texts[0]
            own = dict(settings)
            for k, v in settings.items():
                if not v.replace(".", "").isdigit():
                    known = [v] if v in definition.parameters else [n for n in kept if kept[n] == v]
                    name = known[0] if known else f"{slot.item.name}_{k}"
                    kept[name], own[k] = v, f"self.{name}"
            steps.append(_expression(kind, value, reads, own))
        typed = [f"{name}: {_type(name, column)}" for name, column in definition.parameters.items()]
        init = [f"self.{name} = {v}" for name, v in kept.items()] + init
        given = ", ".join(f"{names[values['input', x]]}: Tensor" for x in definition.inputs)
        return [
            f"class {definition.name}(nn.Module):",
            *_docstring(definition.about, "    "),
            "",
            f"    def __init__({', '.join(['self', *typed])}) -> None:",
            "        super().__init__()",
            *(f"        {line}" for line in init),
            "",
            f"    def forward(self, {given}) -> Tensor:",
            *self._forward(definition, steps, names, values),
        ]

    def _forward(
        self,
        definition: Class,
        steps: list[Step],
        names: dict[str, str],
        values: Mapping[object, str],
    ) -> list[str]:
        if not steps:
            last = {("item", len(definition.slots) - 1)}
            return [f"        return {names[values[source(definition, last)]]}"]  # type: ignore[arg-type]
        body = write_forward(steps, names, len(definition.inputs), LINE)[1:]
        return [f"    {line}" for line in body]

    def _values(self, definition: Class) -> tuple[dict[str, str], dict[object, str]]:
        """An identifier for each value, and the value of each place; dead names are used again."""
        values: dict[object, str] = {("input", x): x for x in definition.inputs}
        wishes = {x: x for x in definition.inputs}
        last_read: dict[str, int] = {}
        for n, slot in enumerate(definition.slots):
            if slot.does_nothing:
                continue
            for read in slot.reads:
                last_read[values[source(definition, read)]] = n
            value = values["item", n] = f"value{n}"
            attribute = self.attributes.get(id(slot))
            item = slot.item
            wishes[value] = (
                item.label if item.is_root else attribute or VALUES.get(item.title, item.title)
            )
            if item.prefix:
                wishes[value] = item.name
        names = identifiers(wishes)
        current: dict[str, str] = {}
        for value, wish in wishes.items():
            number = -1 if value in definition.inputs else int(value[5:])
            free = current.get(wish)
            if free and last_read.get(free, number) <= number and wish not in RESERVED:
                names[value] = names[free]
            current[wish] = value
        return names, values

    def _call(
        self,
        slot: Slot,
        definition: Class,
        attribute: str,
        value: str,
        reads: list[str],
        names: dict[str, str],
    ) -> Step:
        if slot.item.rolling:
            labels = [label for label, _ in slot.item.row[0][0].unit.inputs]  # type: ignore[union-attr]
            return _loop(attribute, labels, value, reads, names)
        unit = slot.groups[0].example(0).unit
        if unit and unit.definition and not slot.is_row:
            inner = unit.definition.inputs
            place = dict(unit.inputs)
            order = [
                slot.item.reads.index(place[x]) for x in inner if place.get(x) in slot.item.reads
            ]
            reads = [reads[i] for i in order] if len(order) == len(inner) else reads
        return Step(value, tuple(reads), lambda x: f"self.{attribute}({', '.join(x)})")

    # --- constructors

    def _maker(self, slot: Slot) -> str:
        if not slot.is_row:
            return self._one(slot.groups[0], slot.groups[0].texts)
        makers = [self._several(group) for group in slot.groups]
        if slot.item.rolling:
            return f"nn.ModuleList([{', '.join(makers)}])"
        return f"nn.Sequential({', '.join(makers)})"

    def _several(self, group: Group) -> str:
        if group.count == "1":
            return self._one(group, group.texts)
        grown = [
            {
                name: f"{text} + {group.steps[name]} * i" if name in group.steps else text
                for name, text in texts.items()
            }
            for texts in group.texts
        ]
        variable = "i" if group.steps else "_"
        return f"*({self._one(group, grown)} for {variable} in range({group.count}))"

    def _one(self, group: Group, texts: Sequence[dict[str, str]]) -> str:
        makers = [
            "nn.Identity()" if shape is None else self._construct(group.example(n), texts[n])
            for n, shape in enumerate(group.shapes)
        ]
        if len(makers) == 1:
            return makers[0]
        return f"{makers[0]} if {group.condition} else {makers[1]}"

    def _construct(self, item: Item, settings: Mapping[str, str]) -> str:
        if item.layer:
            return write(item.layer.kind, (), settings)
        definition = item.unit and item.unit.definition
        assert definition
        given: list[str] = []
        for n, (name, text) in enumerate(settings.items()):
            if text != "1" or _type(name, definition.parameters[name]) != "int = 1":
                plain = n < 3 and is_width(name) and not any("=" in g for g in given)
                given.append(text if plain else f"{name}={text}")
        return f"{definition.name}({', '.join(given)})"


def _module_name(item: Item) -> str:
    """`h1_op1` in a statement with a number, otherwise by what the module does."""
    if item.prefix:
        return item.name
    if item.label[-1:].isdigit() and not item.row:
        return item.name.replace(".", "_")
    return SHORT.get(item.title, item.title)


def _type(name: str, column: Sequence[float | None]) -> str:
    if name.endswith("stride") and 1 in column:
        return "int = 1"
    return "float" if any(isinstance(v, float) for v in column) else "int"


def _expression(kind: Kind, value: str, reads: Sequence[str], settings: Mapping[str, str]) -> Step:
    def text(inputs: Sequence[str]) -> str:
        if re.search(r"\{(sum|0\}[.[])", PYTHON[kind]):
            sums = [isinstance(ast.parse(x, mode="eval").body, ast.BinOp) for x in inputs]
            inputs = [f"({x})" if is_sum else x for x, is_sum in zip(inputs, sums, strict=True)]
        return write(kind, inputs, settings)

    return Step(value, tuple(reads), text)


def _loop(
    attribute: str, labels: Sequence[str], value: str, reads: Sequence[str], names: dict[str, str]
) -> Step:
    taken = {v: n for v, n in names.items() if v != value}
    old, new, cell = list(
        identifiers({**taken, "old": labels[0], "new": labels[1], "cell": "cell"}).values()
    )[-3:]
    names[value] = new

    def text(inputs: Sequence[str]) -> str:
        both = f"{old} = {new}" if len({*inputs}) == 1 else f"{old}, {new}"
        first = f"{both} = {', '.join(dict.fromkeys(inputs))}"
        turn = f"    {old}, {new} = {new}, {cell}({old}, {new})"
        return f"{first}\nfor {cell} in self.{attribute}:\n{turn}"

    return Step(value, tuple(reads), text, is_block=True)


# --- text ----------------------------------------------------------------------------------------


def _file(body: str, about: str, trained: Mapping[str, Any] | None) -> str:
    from black import format_str
    from black.mode import Mode, TargetVersion

    for own in (gate, PointwiseConv2d):
        if f"{own.__name__}(" in body:
            body = inspect.getsource(own) + body
    body = f"{body}\n{LOADING}" if trained else body
    lines = [*_docstring(about, ""), "from pathlib import Path\n" if trained else ""]
    lines += ["import torch"] if "torch." in body else []
    lines += ["import torch.nn.functional as F"] if re.search(r"\bF\.", body) else []
    lines += ["from torch import Tensor, nn\n"]
    if trained:
        values = ("mean", "std", "classes")
        lines += [f"{name.upper()} = {tuple(trained[name])!r}" for name in values]
    mode = Mode({TargetVersion.PY311}, line_length=WIDTH)
    return format_str("\n".join([*lines, body]), mode=mode)


def _docstring(text: str, indent: str) -> list[str]:
    safe = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    lines = [
        wrapped
        for line in safe.splitlines()
        for wrapped in textwrap.wrap(line, WIDTH - 6 - len(indent), break_on_hyphens=False) or [""]
    ]
    lines[0] = f'"""{lines[0]}'
    if len(lines) == 1:
        return [f'{indent}{lines[0]}"""']
    return [f"{indent}{line}" if line else "" for line in [*lines, '"""']]
