"""Turn a search space into DOT: a frame for each statement, a row for each choice in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import (
    PALE,
    WIDER,
    body_title,
    canvas,
    chip,
    drawn_bodies,
    width_of,
)
from epnas_dsl.space.drawing.column import FIXED, Column, strongest
from epnas_dsl.space.drawing.sheets import GAP, Functions, Row, Sheet, count_text, sheets_of
from epnas_dsl.space.genotype import print_reference
from epnas_dsl.space.search_space import SearchSpace

if TYPE_CHECKING:
    from graphviz import Digraph

LINE, BELOW, GUTTER = 19.0, 12.0, 36.0  # points: of a line, below a statement, between columns
STEM = 18.0  # points from the left edge to an arrow between boxes


def draw_space(
    space: SearchSpace, body: str | None = None, path: Architecture | None = None
) -> Digraph:
    """Draw a space: each choice lists its options, open dots are values that it may read.

    Choices of the same options in a row are drawn once, with their number.

    Args:
        body: a cell's name or `network`; by default every body that has decisions, else every cell.
        path: an architecture of the space: what it chose stands out, the rest is faded.

    Raises:
        ConfigError: there is no such body (E804).
        LimitError: too large to draw (E803).
    """
    names = drawn_bodies(space, body)
    head = f"{print_reference(space)}: {', '.join(body_title(space, n) for n in names)}"
    levels = f"at each of {space.depth} levels" if space.depth > 1 else "in all"
    notes = [f"options {levels}: {_numbers(space)}", "filled dots are read, open ones may be"]
    if path:
        notes = [f"the choices of {path.id}"]
    elif not space.decisions:
        notes = ["nothing is to be chosen"]
    dot = canvas(space.name, about=path.text if path else space.source)
    trees = space.trees(path.choices) if path else {}
    functions = Functions(path is not None)
    waiting: list[tuple[str, Iterator[Sheet]]] = []
    for name in names:
        found = next(b for b in space.bodies if name in b.names)
        title = body_title(space, name) if len(names) > 1 else ""
        waiting.append((title, sheets_of(space, found, functions, path, trees)))
    _set(dot, [head, *notes], [
        (title, _together(sheets)) for title, sheets in chain(waiting, functions.opened(space))
    ])  # fmt: skip
    return dot


def _together(sheets: Iterable[Sheet]) -> list[Sheet]:
    """The sheets, those that do the same once more to the value before them as one."""
    found: list[Sheet] = []
    for sheet in sheets:
        last = found[-1] if found else None
        if last and not sheet.rows and sheet.title == last.title and [*sheet.reads] == [last.value]:
            last.value, last.count = sheet.value, last.count + 1
        else:
            found.append(sheet)
    return found


def _numbers(space: SearchSpace) -> str:
    """The sizes of the levels, the middle ones left out where there are many."""
    sizes = [count_text(space.level_size(n)) for n in range(1, space.depth + 1)]
    return ", ".join(
        sizes if len(sizes) <= 8 else [*sizes[:5], "\N{HORIZONTAL ELLIPSIS}", sizes[-1]]
    )


def _set(dot: Digraph, head: list[str], parts: list[tuple[str, list[Sheet]]]) -> None:
    """Set the parts in columns like those of a newspaper, the whole about as wide as high."""
    page = Column(dot)
    page.title(*head)
    wide = max(_measures(sheets)[1] for _, sheets in parts) + 2 * GUTTER
    total = sum(_height(s) for _, sheets in parts for s in sheets)
    most = min((total / n for n in range(1, 9)), key=lambda m: max(m, wide * total / m))
    x, y, right = 0.0, page.y, 0.0
    for number, (title, sheets) in enumerate(parts):
        room, high = most - (page.y - y), sum(map(_height, sheets))
        if number and room < 0.6 * min(high, most):
            x, y, room = right, page.y, most
        if high < 1.25 * most:
            room = high  # stays whole
        starts = _breaks([_height(s) for s in sheets], room, most)
        for start, end in pairwise([*starts, len(sheets)]):
            if start:
                x, y = right, page.y
            column = Column(dot, f"{number}.{start}.", x, y)
            if title:
                column.title(f"{title}, continued" if start else title)
            _draw_sheets(column, sheets, start, end)
            right = max(right, x + column.right + GUTTER)
            y = column.y - LINE


def _breaks(heights: list[float], room: float, most: float) -> list[int]:
    """Where columns begin; a rest that is not much too long stays where it is."""
    starts, used, left = [0], 0.0, sum(heights)
    for i, high in enumerate(heights):
        if used and used + high / 2 > room and used + left > room + most / 4:
            starts.append(i)
            used, room = 0.0, most
        used, left = used + high, left - high
    return starts


def _measures(sheets: list[Sheet]) -> tuple[float, float]:
    """How wide the lead of a row is, and a frame."""
    rows = [r for s in sheets for r in s.rows]
    lead = max((width_of(r.lead) + 14 for r in rows), default=0)
    wide = max((lead + r.grid[0] * (r.grid[1] + GAP) for r in rows), default=0)
    return lead, max(wide, *(WIDER * (width_of(s.told) + width_of(s.note, 9)) + 12 for s in sheets))


def _height(sheet: Sheet) -> float:
    """Of a sheet and the gap below it."""
    rows = sum(3 + high for row in sheet.rows for _, high in _lines(row))
    return LINE + BELOW + (6 + rows if sheet.rows else 0)


def _lines(row: Row) -> Iterator[tuple[list[tuple[str, str, str]], float]]:
    """The alternatives of a row, line by line, and how high each line is."""
    columns = row.grid[0] or 1
    for i in range(0, max(1, len(row.chips)), columns):
        line = row.chips[i : i + columns]
        yield line, LINE + 14 * max((text.count("\n") for text, *_ in line), default=0)


def _draw_sheets(column: Column, sheets: list[Sheet], start: int, end: int) -> None:
    """Those from start to end; above them, by their names, the values that earlier ones made."""
    lead, wide = _measures(sheets)
    for sheet in sheets[:start]:
        if any(sheet.value in s.read for s in sheets[start:end]):
            column.text(wide, column.y, sheet.told.partition(" = ")[0], size=9, end=True)
            column.heads[sheet.value] = wide + 4, column.y
            column.y -= 11
    for i in range(start, end):
        if sheets[i].rows:
            _draw_frame(column, sheets[i], lead, wide)
        else:
            _draw_box(column, sheets[i], sheets[i - 1].value if i > start else None)
        column.y -= BELOW
    column.finish()


def _draw_box(column: Column, sheet: Sheet, above: str | None) -> None:
    """What has no choices, with an arrow from above where it reads nothing but that."""
    right, middle = width_of(sheet.told) + 20, column.y - LINE / 2
    use = strongest(sheet.reads.values() or [FIXED])
    column.node(right / 2, middle, right, LINE, **chip([sheet.told], sheet.kind, use))
    if [*sheet.reads] == [above]:
        column.arrow(STEM, column.y + BELOW, column.y, use)
    else:
        column.wire(right, middle + 4 * bool(sheet.value), sheet.reads)
    column.heads[sheet.value] = right, middle - 4 * bool(sheet.reads)
    column.y -= LINE


def _draw_frame(column: Column, sheet: Sheet, lead: float, wide: float) -> None:
    top = column.y
    column.y -= 6
    for row in sheet.rows:
        columns, chip_wide = row.grid
        start = column.y
        for line, high in _lines(row):
            for i, (text, kind, state) in enumerate(line):
                x = lead + i * (chip_wide + GAP) + chip_wide / 2
                look = chip(text.split("\n"), kind, state)
                column.node(x, column.y - high / 2, chip_wide, high - 4, **look)
            column.y -= high
        middle = (start + column.y) / 2
        column.text(6, middle, row.lead)
        column.y -= 3
        column.wire(lead + columns * (chip_wide + GAP) - GAP, middle, row.reads)
    column.y -= LINE
    bottom = column.y + LINE / 2
    column.text(6, bottom, sheet.title)
    column.text(wide - 4, bottom, sheet.note, size=9, end=True)
    column.node(
        wide / 2 + 2, (top + column.y) / 2, wide + 4, top - column.y,
        shape="box", style="dashed,rounded", color=PALE,
    )  # fmt: skip
    column.wire(wide + 4, bottom + 4, sheet.reads)
    column.heads[sheet.value] = wide + 4, bottom - 4 * bool(sheet.reads)
