"""Widths that are asked for from behind: how the parts of a `concat` share its channels.

In the cells of NAS-Bench-101 (Ying et al. 2019, section 2.2) nothing says how wide a value is but
the joined output: its parts share the channels of the cell, and a value in front of them is as wide
as the most demanding of its readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from epnas_dsl.errors import ShapeError, Span
from epnas_dsl.space.operations import OPERATIONS, WIDTH

if TYPE_CHECKING:
    from epnas_dsl.space.nodes import Node


def shared(channels: int, parts: int, span: Span | None = None) -> list[int]:
    """The channels of each part: as many for all, the first ones one more where there is a rest.

    Raises:
        ShapeError: there are fewer channels than parts.
    """
    if channels < parts:
        raise ShapeError(f"{channels} channels for {parts} values that share them", code="E414",
                         span=span, hint="each needs one at least")  # fmt: skip
    each, rest = divmod(channels, parts)
    return [each + (i < rest) for i in range(parts)]


def wanted(nodes: Iterable[Node]) -> dict[str, int]:
    """How many channels each node shall make, for those of which a shared `concat` asks it.

    What an operation shall make it wants of what it reads as well, unless it says itself how many
    channels it makes.

    Args:
        nodes: those of `to_graph` that count, the last one the result.
    """
    found: dict[str, int] = {}
    for node in reversed(list(nodes)):
        settings = dict(node.settings)
        own = found.get(node.name, 0)
        if node.operation == "concat" and WIDTH in settings:
            asked = shared(int(settings[WIDTH]), len(node.inputs), node.span)
        elif own and _passes_on(node, settings):
            asked = [own] * len(node.inputs)
        else:
            continue
        for name, width in zip(node.inputs, asked, strict=True):
            found[name] = max(found.get(name, 0), width)
    return found


def _passes_on(node: Node, settings: Mapping[str, object]) -> bool:
    if node.operation == "add":
        return True
    spec = OPERATIONS.get(node.operation)
    if spec is None or spec.family == "head" or spec.calibrates:
        return False
    return not {WIDTH, "stop"} & settings.keys()
