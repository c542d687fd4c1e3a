"""Turn a straight line of layers into a module whose `forward` reads like one written by hand.

Each cell (each first part of the layers' names) becomes a module with its own `forward`, and so
does each operation in it; what is equal has equal code, which is compiled once. Steps run in the
order of the layers, so that everything made from the same layers adds up in the same order and
agrees to the last bit.
"""

from __future__ import annotations

import builtins
import gc
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import nn

from epnas_dsl.nn.operations import (
    EXPRESSIONS,
    IN_PLACE,
    MODULES,
    PICTURES,
    RESERVED,
    Pattern,
    build_module,
    initial,
    module_path,
    settings_text,
    write,
    write_joined,
)
from epnas_dsl.space.operations import Layer
from epnas_dsl.space.passes import EXACT, Pass, changed

LINE = 84  # longest nested expression
_WORD = lru_cache(maxsize=8192)(lambda wish: re.sub(r"\W", "_", wish))
EMPTY = Pattern(nn.Module())


class Step(NamedTuple):
    """One value of a `forward`: its name, what it reads, and its Python for given inputs.

    Attributes:
        nests: it may stand inside another expression without parentheses.
        is_block: its Python is not an expression but lines that give the name its value.
    """

    name: str
    inputs: tuple[str, ...]
    text: Callable[[Sequence[str]], str]
    nests: bool = True
    is_block: bool = False


def write_forward(
    steps: Sequence[Step], names: Mapping[str, str], inputs: int, longest: int = LINE
) -> list[str]:
    """The lines of a `forward` that returns the value of the last step.

    Values that are read once are written where they are read, as far as that keeps the order of
    the steps; so they also need no memory afterwards.

    Args:
        names: an identifier for every value.
        inputs: the first so many of them are the arguments.
        longest: how many characters a nested expression may have.
    """
    uses = Counter([i for step in steps for i in step.inputs])
    lines = [f"def forward(self, {', '.join([*names.values()][:inputs])}):"]
    waiting: dict[str, str] = {}  # values not yet written, in their order

    def settle(count: int | None = None) -> None:
        for name in list(waiting)[:count]:
            lines.append(f"    {names[name]} = {waiting.pop(name)}")

    for step in steps:
        if step.is_block:
            settle()
            text = names[step.name]
            lines += [f"    {x}" for x in step.text([names[i] for i in step.inputs]).splitlines()]
            continue
        nested = [i for i in step.inputs if i in waiting]
        if nested:
            order, last = list(waiting), 0  # the end, in the order of reading, can nest
            while last < len(nested) and order[-1 - last :] == nested[-1 - last :]:
                last += 1
            if early := nested[: len(nested) - last]:
                settle(max(map(order.index, early)) + 1)
                nested = nested[len(nested) - last :]
        text = step.text([waiting.get(i) or names[i] for i in step.inputs])
        while nested and len(text) > longest and any(i in waiting for i in nested):
            settle(len(waiting) - len(nested) + 1)
            nested = [i for i in nested if i in waiting]
            text = step.text([waiting.get(i, names[i]) for i in step.inputs])
        for i in nested:
            waiting.pop(i, None)
        if step is steps[-1]:
            break
        waiting[step.name] = text
        if uses[step.name] != 1 or not step.nests:
            settle()
    settle()
    return [*lines, f"    return {text}"]


def identifiers(names: Mapping[str, str]) -> dict[str, str]:
    """For each name a Python identifier of its own, like the one wished for."""
    result: dict[str, str] = {}
    used = set(RESERVED)
    for name, wish in names.items():
        first = identifier = _WORD(wish)
        count = 1
        while identifier in used:
            count += 1
            identifier = f"{first}_{count}"
        used.add(identifier)
        result[name] = identifier
    return result


def compile(
    layers: Sequence[Layer], make: Callable[[Layer], nn.Module], passes: Iterable[Pass] = EXACT
) -> nn.Module:
    """The network of the layers around the given modules.

    Args:
        layers: in topological order; the first is the input, the last the output.
        make: gives the modules of layers that have one; they are used as they are.
        passes: change the steps of `forward`, one after the other; the modules are those of the
            layers all the same.

    Returns:
        A module from images (N, C, H, W) to the output; `code` holds its `forward` as text.
    """
    program = changed(layers, passes)
    with collector_off():
        image = {program[0].name: "image"}
        classes = _classes(program[1:], image, overwriting(program), in_network=True)
        made = {"": EMPTY.made(classes[""])}
        for layer in layers:
            if layer.kind in MODULES:
                path, _, name = module_path(layer.name).rpartition(".")
                (made.get(path) or _inner(made, path, classes))._modules[name] = make(layer)
        for path in classes:
            _inner(made, path, classes)
    return made[""]


@contextmanager
def collector_off() -> Iterator[None]:
    """Nothing of a new network is garbage, but Python would look through it dozens of times."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _classes(
    layers: Sequence[Layer], inputs: Mapping[str, str], over: Container[str], in_network: bool
) -> dict[str, type[nn.Module]]:
    """The class of a module that carries layers out (""), and of its parts, by path.

    Args:
        inputs: what the arguments of `forward` are called.
    """
    steps: list[Step] = []
    names = dict(inputs)
    classes: dict[str, type[nn.Module]] = {}
    for head, run in _parts(layers, in_network):
        if head:
            reads, place = external(run), module_path(head)
            for path, found in _part(run, reads, f"{head}.", over).items():
                classes[f"{place}.{path}" if path else place] = found
            steps.append(Step(run[-1].name, reads, _call(head)))
            names[run[-1].name] = head
        else:
            steps += [_step(layer, over) for layer in run]
            names |= {x.name: x.name.removesuffix(".output") for x in run}
    lines = write_forward(steps, identifiers(names), len(inputs))
    return {"": _module_class("\n".join(lines)), **classes}


def overwriting(layers: Sequence[Layer]) -> set[str]:
    """The ReLUs that may overwrite what they read: no other layer and no gradient needs that."""
    uses = Counter([i for layer in layers for i in layer.inputs])
    fresh = {
        x.name for x in layers
        if x.kind in {"conv", "batch_norm"} or (x.kind == "add" and len(x.inputs) > 1)
    }  # fmt: skip
    return {
        x.name for x in layers
        if x.kind in IN_PLACE and x.inputs[0] in fresh and uses[x.inputs[0]] == 1
    }  # fmt: skip


def _parts(layers: Sequence[Layer], in_network: bool) -> list[tuple[str, list[Layer]]]:
    """Runs of layers with a `forward` of their own, each with its head, and the others ("").

    In a network these are cells and statements of several layers, in those operations.
    """

    def head_of(layer: Layer) -> str:
        return layer.name.partition(".")[0] if in_network else layer.name.rpartition(".")[0]

    runs = [(h, list(run)) for h, run in groupby(layers, head_of)]
    count = Counter(head for head, _ in runs)
    inner = {x.name: n for n, (_, run) in enumerate(runs) for x in run[:-1]}
    leaks = {
        runs[inner[i]][0] for n, (_, run) in enumerate(runs) for x in run for i in x.inputs
        if inner.get(i, n) != n
    }  # fmt: skip
    return [
        (head if count[head] == 1 and len(run) > 1 and head not in leaks else "", run)
        for head, run in runs
    ]


def external(layers: Sequence[Layer]) -> tuple[str, ...]:
    """The values that layers read and do not make, in the order of reading."""
    made = {layer.name for layer in layers}
    return tuple(dict.fromkeys(i for layer in layers for i in layer.inputs if i not in made))


def arguments(reads: Sequence[str]) -> dict[str, str]:
    """What the arguments of a part are called."""
    return {name: f"x{n}" if len(reads) > 1 else "x" for n, name in enumerate(reads, 1)}


def _part(
    run: Sequence[Layer], reads: Sequence[str], prefix: str, over: Container[str]
) -> dict[str, type[nn.Module]]:
    start = len(prefix)
    names = {name: f"<{n}>" for n, name in enumerate(reads)}
    names |= {x.name: x.name[start:] for x in run}
    steps = [
        (names[x.name], x.kind, tuple([names[i] for i in x.inputs]),
         () if x.kind in MODULES and not x.parts else x.settings,
         x.parts and tuple([p[start:] for p in x.parts]), x.name in over)
        for x in run
    ]  # fmt: skip
    return _part_classes(tuple(steps), len(reads))


@lru_cache(maxsize=4096)
def _part_classes(found: tuple[Any, ...], inputs: int) -> dict[str, type[nn.Module]]:
    """Of a part that runs such layers: their names, kinds, inputs, ..., and may they overwrite."""
    run = [Layer(n, k, i, 0, s, parts=p) for n, k, i, s, p, _ in found]
    over = {x[0] for x in found if x[-1]}
    return _classes(run, arguments([f"<{n}>" for n in range(inputs)]), over, in_network=False)


def _step(layer: Layer, over: Container[str]) -> Step:
    if layer.parts:
        paths = [f"self.{module_path(part)}" for part in layer.parts]
        return Step(layer.name, layer.inputs, lambda x: write_joined(layer, x[0], paths))
    if layer.kind in MODULES:
        return Step(layer.name, layer.inputs, _call(layer.name))
    settings = settings_text(layer)

    def text(inputs: Sequence[str]) -> str:
        return write(layer.kind, inputs, settings, IN_PLACE if layer.name in over else PICTURES)

    return Step(layer.name, layer.inputs, text, nests=layer.kind != "add")


def _call(name: str) -> Callable[[Sequence[str]], str]:
    return lambda inputs: f"self.{module_path(name)}({', '.join(inputs)})"


@lru_cache(maxsize=512)
def _module_class(code: str) -> type[nn.Module]:
    """The class of modules with this `forward`; only texts of `write_forward` come here."""
    found: dict[str, Any] = {}
    exec(builtins.compile(code, "<network>", "exec"), dict(EXPRESSIONS), found)
    return type("Network", (nn.Module,), {**found, "code": code, "__reduce__": _reduced})


def _reduced(module: nn.Module) -> tuple[Any, ...]:
    """For pickle, which does not find classes that were made here: the code instead."""
    return _blank, (module.code,), module.__dict__


def _blank(code: str) -> nn.Module:
    module = nn.Module()
    module.__class__ = _module_class(code)
    return module


def _inner(
    made: dict[str, nn.Module], path: str, classes: Mapping[str, type[nn.Module]]
) -> nn.Module:
    """The module at a path, made where there is none."""
    found = made.get(path)
    if found is None:
        outer, _, name = path.rpartition(".")
        found = made[path] = EMPTY.made(classes.get(path))
        _inner(made, outer, classes)._modules[name] = found
    return found


def build_network(
    layers: Sequence[Layer], seed: int = 0, passes: Iterable[Pass] = EXACT
) -> nn.Module:
    """The network of the layers with weights of its own, each a function of (seed, its path).

    The global random state is neither read nor changed.

    Args:
        passes: as for `compile`.
    """

    def own(layer: Layer, name: str, shape: tuple[int, ...]) -> nn.Parameter:
        return nn.Parameter(initial(layer, name, shape, seed, f"{layer.name}.{name}"))

    return compile(layers, lambda x: build_module(x, own, torch.device("cpu")), passes)


def count_parameters(module: nn.Module) -> int:
    """How many numbers a module learns."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
