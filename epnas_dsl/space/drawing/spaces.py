"""Turn a search space into DOT: a frame for each statement, a row for each choice in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import PALE, body_title, canvas, chip, drawn_bodies
from epnas_dsl.space.drawing.column import FIXED, Column, strongest, width_of
from epnas_dsl.space.drawing.sheets import GAP, Functions, Sheet, count_text, sheets_of
from epnas_dsl.space.genotype import print_reference
from epnas_dsl.space.search_space import SearchSpace

if TYPE_CHECKING:
    from graphviz import Digraph

SHELF = 700.0  # points: beyond it, the next body begins a new row
LINE = 19.0


def draw_space(
    space: SearchSpace, body: str | None = None, path: Architecture | None = None
) -> Digraph:
    """Draw a space: each choice lists its options, open dots are values that it may read.

    Choices of the same options in a row are drawn once, with their number.

    Args:
        body: a cell's name or `network`; by default every body that has decisions.
        path: an architecture of the space: what it chose stands out, the rest is faded.

    Raises:
        ConfigError: there is no such body (E804).
        LimitError: too large to draw (E803).
    """
    names = drawn_bodies(space, body)
    head = f"{print_reference(space)}: {', '.join(body_title(space, n) for n in names)}"
    levels = f"at each of {space.depth} levels" if space.depth > 1 else "in all"
    options = f"options {levels}: {_numbers(space)}"
    notes = [options, "filled dots are read, open ones may be"]
    if path:
        notes = [f"the choices of {path.id}"]
    elif not space.decisions:
        notes = ["nothing is to be chosen"]
    dot = canvas(space.name, about=path.text if path else space.source, fixed=True)
    trees = space.trees(path.choices) if path else {}
    functions = Functions(path is not None)
    waiting: list[tuple[str, Iterator[Sheet]]] = []
    for name in names:
        found = next(b for b in space.bodies if name in b.names)
        title = body_title(space, name) if len(names) > 1 else ""
        waiting.append((title, sheets_of(space, found, functions, path, trees)))
    x, top, bottom = 0.0, 0.0, 0.0
    for number, (title, sheets) in enumerate(chain(waiting, functions.opened(space))):
        if x > SHELF:
            x, top = 0.0, bottom - 24
        column = Column(dot, f"{number}.", x, top)
        if not top:
            column.title(*([head, *notes] if not number else [""] * (1 + len(notes))))
        if title:
            column.title(title)
        _draw_body(column, list(sheets))
        x, bottom = x + column.right + 36, min(bottom, column.y)
    return dot


def _numbers(space: SearchSpace) -> str:
    """The sizes of the levels, the middle ones left out where there are many."""
    sizes = [count_text(space.level_size(n)) for n in range(1, space.depth + 1)]
    return ", ".join(
        sizes if len(sizes) <= 8 else [*sizes[:5], "\N{HORIZONTAL ELLIPSIS}", sizes[-1]]
    )


def _draw_body(column: Column, sheets: list[Sheet]) -> None:
    inputs = [s for s in sheets if s.kind == "input"]
    lead = max((width_of(r.lead) + 14 for s in sheets for r in s.rows), default=0)
    wide = max((lead + r.grid[0] * (r.grid[1] + GAP) for s in sheets for r in s.rows), default=0)
    wide = max(wide, *(width_of(s.title) + width_of(s.note, 9) + 16 for s in sheets))
    for sheet in sheets:
        if sheet.rows:
            _draw_frame(column, sheet, lead, wide)
            continue
        high = 19.0
        column.y -= high / 2
        right = width_of(sheet.title) + 16
        state = strongest(sheet.reads.values() or [FIXED])
        column.node(right / 2, column.y, right, high, **chip([sheet.title], sheet.kind, state))
        column.wire(right, column.y + 4 * bool(sheet.value), sheet.reads)
        column.head(sheet.value, right, column.y - 4 * bool(sheet.reads))
        column.y -= high / 2 + (4 if sheet in inputs[:-1] else 10)
    column.finish()


def _draw_frame(column: Column, sheet: Sheet, lead: float, wide: float) -> None:
    top = column.y
    column.y -= 6
    for row in sheet.rows:
        columns, chip_wide = row.grid
        lines = [row.chips[i : i + columns] for i in range(0, len(row.chips), columns or 1)]
        start = column.y
        for line in lines:
            high = LINE + 12 * max(text.count("\n") for text, *_ in line)
            for i, (text, kind, state) in enumerate(line):
                x = lead + i * (chip_wide + GAP) + chip_wide / 2
                look = chip(text.split("\n"), kind, state)
                column.node(x, column.y - high / 2, chip_wide, high - 4, **look)
            column.y -= high
        column.y -= 0 if lines else LINE
        middle = (start + column.y) / 2
        column.text(6, middle, row.lead)
        column.y -= 3
        column.wire(lead + columns * (chip_wide + GAP) - GAP, middle, row.reads)
    column.y -= LINE
    bottom = column.y + LINE / 2
    column.text(6, bottom, sheet.title)
    column.text(wide, bottom, sheet.note, size=9, end=True)
    column.node(
        wide / 2 + 2, (top + column.y) / 2, wide + 4, top - column.y,
        shape="box", style="dashed,rounded", color=PALE,
    )  # fmt: skip
    column.wire(wide + 4, bottom + 4, sheet.reads)
    column.head(sheet.value, wide + 4, bottom - 4 * bool(sheet.reads))
    column.y -= 10
