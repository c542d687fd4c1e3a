"""Turn the network of an architecture into DOT, collapsed to its stages."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import (
    PALE,
    box,
    canvas,
    check_size,
    family,
    terminal,
    title_lines,
)
from epnas_dsl.space.graph import Image, Node, nodes, to_layers, to_network
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

    Equal cells in a row are one box (`normal x 6`); what skips a stage is dashed.

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
    for i, stage in enumerate(stages):
        _draw_stage(dot, f"stage{i}", stage)
    return dot


def _draw_stage(dot: Digraph, name: str, stage: _Stage) -> None:
    first, *more = stage.lines
    times = f"  {TIMES} {stage.count}" if stage.count > 1 else ""
    if stage.kind == "input":
        terminal(dot, name, f"{first}   {stage.shape}")
    else:
        stacked = {"peripheries": "2"} if stage.count > 1 else {}
        box(dot, name, [first + times, *more, stage.shape], stage.kind, width="1.6", **stacked)
    for i, source in enumerate(stage.inputs):
        skip = {"style": "dashed", "color": PALE, "weight": "0"} if i else {"weight": "20"}
        dot.edge(f"stage{source}", name, **skip)


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
