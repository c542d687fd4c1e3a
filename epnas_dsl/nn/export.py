"""Turn the graph of a network into one Python file that needs nothing but torch.

Every operation of several layers becomes a class, and so does every cell; those of equal structure
share one. What differs among them (channels, strides) becomes an argument, what never differs is
written out, what always agrees is one argument. The paths of the weights and the order of the
steps are those of the compiled network, so its weights load and its outputs come out to the bit.
"""

from __future__ import annotations

import inspect
import keyword
import re
import textwrap
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from epnas_dsl.errors import printable
from epnas_dsl.nn.network import Step, arguments, external, identifiers, write_forward
from epnas_dsl.nn.operations import (
    MODULES,
    RESERVED,
    WEIGHTED,
    PointwiseConv2d,
    gate,
    module_path,
    settings_text,
    weight_count,
    write,
)
from epnas_dsl.space.graph import Graph, Node, nodes
from epnas_dsl.space.operations import OPERATIONS, Layer

WIDTH = 99


@dataclass(frozen=True, slots=True)
class _Part:
    """One line of a class: a layer, or an object of another class."""

    path: str  # of the module, from the class on
    reads: tuple[str, ...]
    value: str  # the name of what it makes
    layer: Layer | None = None
    use: _Use | None = None

    @property
    def settings(self) -> Mapping[str, str]:
        """What may differ between two parts of equal structure."""
        if self.use:
            return self.use.given
        return settings_text(self.layer) if self.layer else {}


@dataclass(slots=True)
class _Use:
    """A place where an object of a class stands: its parts, and the arguments that it is given."""

    parts: list[_Part]
    kind: str  # what the class is called
    about: str
    definition: _Class | None = None
    given: dict[str, str] = field(default_factory=dict)

    def structure(self) -> Hashable:
        """Equal for uses that one class can serve."""
        place = {name: n for n, name in enumerate(external_values(self.parts))}
        place |= {part.value: n for n, part in enumerate(self.parts, len(place))}
        return self.kind, tuple(
            (
                part.path,
                part.layer.kind if part.layer else id(part.use and part.use.definition),
                tuple(place[i] for i in part.reads),
                tuple(
                    (s, value == "1" and s.startswith("kernel_"))
                    for s, value in part.settings.items()
                ),
            )
            for part in self.parts
        )


@dataclass(slots=True)
class _Class:
    name: str
    lines: list[str]


def export_python(network: Graph, text: str = "") -> str:
    """The file of a network, from `to_network`.

    Args:
        text: the architecture's text, for the docstring.

    Returns:
        Python source with a class `Model` that takes images (N, C, H, W); its `state_dict` has the
        keys of the compiled network.
    """
    line = [node for node in nodes(network) if node.layers]
    image, *body = line
    writer = _Writer()
    operations = {n.name: _operation_use(n) for n in body if len(n.layers) > 1}
    writer.define([use for use in operations.values() if use])
    model: list[_Part] = []
    cells: list[_Use] = []
    for instance, run in groupby(body, lambda node: node.instance):
        members = list(run)
        prefix = f"{instance}." if instance else ""
        parts = [_node_part(node, prefix, operations.get(node.name)) for node in members]
        if instance:
            cells.append(use := _Use(parts, members[0].cell, f"The cell `{members[0].cell}`."))
            model.append(_Part(instance, external_values(parts), parts[-1].value, None, use))
        else:
            model += parts
    writer.define(cells)
    use = _Use(model, "Model", "The whole network: images (N, C, H, W) to the output.")
    use.parts = use.parts or [_Part("image", (image.output,), image.output, image.layers[0])]
    writer.define([use], image.output)
    return _file(writer.classes, text, sum(weight_count(x) for n in line for x in n.layers))


def external_values(parts: Sequence[_Part]) -> tuple[str, ...]:
    """The values that parts read and do not make."""
    made = {part.value for part in parts}
    return tuple(dict.fromkeys(i for part in parts for i in part.reads if i not in made))


def _operation_use(node: Node) -> _Use:
    about = inspect.getdoc(OPERATIONS[node.operation].build) or node.operation
    parts = [
        _Part(module_path(x.name.removeprefix(f"{node.name}.")), x.inputs, x.name, x)
        for x in node.layers
    ]
    return _Use(parts, node.operation, about.splitlines()[0])


def _node_part(node: Node, prefix: str, use: _Use | None) -> _Part:
    layer = node.layers[0]
    name = layer.name if not use and layer.kind in WEIGHTED else node.name
    path = module_path(name.removeprefix(prefix))
    return _Part(path, external(node.layers), node.output, None if use else layer, use)


class _Writer:
    """Makes classes out of uses, and tells the uses which class and arguments are theirs."""

    def __init__(self) -> None:
        self.classes: list[_Class] = []
        self.names = {"Model", "PointwiseConv2d"}

    def define(self, uses: Sequence[_Use], image: str = "") -> None:
        """Classes for uses of one kind; those of equal structure share one."""
        found: dict[Hashable, list[_Use]] = {}
        for use in uses:
            found.setdefault(use.structure(), []).append(use)
        for alike in found.values():
            first = alike[0]
            name = "Model" if image else self._class_name(first.kind)
            texts, values = _generalise([use.parts for use in alike])
            definition = _Class(name, _class_lines(name, first, texts, list(values), image))
            self.classes.append(definition)
            for n, use in enumerate(alike):
                use.definition = definition
                use.given = {argument: column[n] for argument, column in values.items()}

    def _class_name(self, kind: str) -> str:
        name = "".join(w[:1].upper() + w[1:] for w in re.split(r"\W|_", kind)) or "Part"
        name = name if name.isidentifier() and not keyword.iskeyword(name) else f"Part{name}"
        count = 1
        unique = name
        while unique in self.names:
            count += 1
            unique = f"{name}{'_' if name[-1].isdigit() else ''}{count}"
        self.names.add(unique)
        return unique


def _generalise(
    alike: Sequence[Sequence[_Part]],
) -> tuple[list[dict[str, str]], dict[str, tuple[str, ...]]]:
    """What parts of equal structure have in common, as texts, and their arguments with the values.

    Returns:
        For each part its settings, each a number or the name of an argument; and for each argument
        its values in the order of the uses.
    """
    wishes: dict[tuple[str, ...], list[str]] = {}
    for column in zip(*alike, strict=True):
        for setting in column[0].settings:
            values = tuple(part.settings[setting] for part in column)
            if len(set(values)) > 1:
                wishes.setdefault(values, []).append(setting)
    used = {part.path.split(".")[0] for part in alike[0]} | RESERVED
    names: dict[tuple[str, ...], str] = {}
    for values, settings in wishes.items():
        ends = {s for s in settings if s.startswith(("in_channels", "out_channels", "channels"))}
        first = name = "channels" if len(ends) > 1 else re.sub(r"_\d+$", "", settings[0])
        count = 1
        while name in used:
            count += 1
            name = f"{first}_{count}"
        used.add(name)
        names[values] = name
    texts = [
        {
            s: names.get(tuple(part.settings[s] for part in column), column[0].settings[s])
            for s in column[0].settings
        }
        for column in zip(*alike, strict=True)
    ]
    return texts, {name: values for values, name in names.items()}


def _class_lines(
    name: str, use: _Use, texts: Sequence[dict[str, str]], parameters: list[str], image: str
) -> list[str]:
    makers: dict[str, str] = {}
    kept: dict[str, None] = {}  # arguments that `forward` needs
    steps = []
    for part, settings in zip(use.parts, texts, strict=True):
        if part.use and part.use.definition:
            makers[part.path] = _construct(part.use.definition.name, settings)
        elif part.layer and part.layer.kind in MODULES:
            makers[part.path] = write(part.layer.kind, (), settings)
        elif part.layer:
            kept |= dict.fromkeys(s for s in settings.values() if s in parameters)
        steps.append(_step(part, settings, parameters))
    reads = (image,) if image else external_values(use.parts)
    wishes = {image: "image"} if image else arguments(reads)
    wishes |= {p.value: p.path for p in use.parts if p.value not in wishes}
    head = f"def __init__({', '.join(['self', *parameters])}):"
    init = [f"self.{a} = {a}" for a in kept] + _assignments(makers)
    forward = write_forward(steps, identifiers(wishes), len(reads))
    return [
        f"class {name}(nn.Module):",
        *_docstring(use.about, "    "),
        "",
        *_wrapped(head, "    "),
        "        super().__init__()",
        *(x for text in init for x in _wrapped(text, " " * 8)),
        "",
        *(x for text in forward for x in _wrapped(text.lstrip(), "    " + _indent(text))),
    ]


def _step(part: _Part, settings: dict[str, str], parameters: Sequence[str]) -> Step:
    layer = part.layer
    if layer is None or layer.kind in MODULES:
        return Step(part.value, part.reads, lambda x: f"self.{part.path}({', '.join(x)})")
    kind = layer.kind
    own = {k: f"self.{v}" if v in parameters else v for k, v in settings.items()}
    # a layer may read one value twice
    return Step(part.value, layer.inputs, lambda x: write(kind, x, own), nests=kind != "add")


def _assignments(makers: Mapping[str, str]) -> list[str]:
    """Constructors in the order of the parts, each after the module that it is put into."""
    lines: dict[str, str] = {}
    for path in makers:
        parts = path.split(".")
        for n in range(1, len(parts) + 1):
            inner = ".".join(parts[:n])
            lines.setdefault(inner, f"self.{inner} = {makers.get(inner, 'nn.Module()')}")
    return list(lines.values())


def _construct(name: str, given: Mapping[str, str]) -> str:
    named = len(given) > 2
    return f"{name}({', '.join(f'{k}={v}' if named else v for k, v in given.items())})"


# --- text ----------------------------------------------------------------------------------------


def _file(classes: Sequence[_Class], text: str, parameters: int) -> str:
    title = f"{text}\n\n" if text else ""
    about = f"{title}{parameters:,} parameters. `Model().load_state_dict(...)` takes its weights."
    body = "\n\n\n".join("\n".join(c.lines) for c in classes)
    for own in (gate, PointwiseConv2d):
        if f"{own.__name__}(" in body:
            body = inspect.getsource(own).rstrip() + "\n\n\n" + body
    imports = ["import torch"] if "torch." in body else []
    imports += ["import torch.nn.functional as F"] if re.search(r"\bF\.", body) else []
    imports += ["from torch import Tensor, nn" if "Tensor" in body else "from torch import nn"]
    return "\n".join([*_docstring(about, ""), "", *imports, "", "", body, ""])


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


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _wrapped(line: str, indent: str) -> list[str]:
    """The line, or several where it is too long: broken inside parentheses."""
    if len(indent) + len(line) <= WIDTH:
        return [indent + line]
    if line.startswith("def "):
        start, inner, end = line[: line.index("(") + 1], line[line.index("(") + 1 : -2], "):"
    else:
        found = re.match(r"return |[\w.]+ = ", line)
        start = f"{found.group() if found else ''}("
        inner, end = line[len(start) - 1 :], ")"
        if re.fullmatch(r"[\w.]+\([^()]*\)", inner):  # a plain call has parentheses of its own
            start, inner = (
                start[:-1] + inner[: inner.index("(") + 1],
                inner[inner.index("(") + 1 : -1],
            )
    inside = textwrap.wrap(
        inner, WIDTH - len(indent) - 4, break_long_words=False, break_on_hyphens=False
    )
    return [indent + start, *(f"{indent}    {x}" for x in inside), indent + end]
