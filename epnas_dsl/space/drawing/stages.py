"""Turn the nodes of a network into stages, and a line of stages into DOT."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from epnas_dsl.space.drawing.canvas import TIMES, cell_kind, chip, family, width_of
from epnas_dsl.space.drawing.column import AFTER, BEFORE, FIXED, SKIP, Column, strongest
from epnas_dsl.space.genotype import print_callee, runs
from epnas_dsl.space.graph import statement_names
from epnas_dsl.space.nodes import Node
from epnas_dsl.space.operations import OPERATIONS
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.terms import Function, Statement, Term

MAX_SHOWN, MAX_LINES = 24, 6  # operations in one box; the same in a difference
MAX_LETTERS = 64  # in a line of them


@dataclass(slots=True)
class Stage:
    """A cell or a statement of the network, and as many equal ones as follow it.

    Attributes:
        place: the statement or the cell that it is.
        inputs: the positions of the stages that it reads, and how.
        key: equal for stages that may be folded into one; None: never.
        look: of its box in a difference.
        end: the last one of those that are folded into it.
        done: its operations, also where the lines tell functions.
        joined: its parts, and which of them each reads.
    """

    place: str
    inputs: dict[int, str]
    kind: str
    lines: list[str]
    shape: str
    key: object = None
    count: int = 1
    name: str = ""
    look: dict[str, str] = field(default_factory=dict)
    end: str = ""
    done: list[str] = field(default_factory=list)
    joined: object = None

    def told(self, most: int = MAX_SHOWN) -> list[str]:
        """Its name and lines, as one where that is short."""
        if self.look and self.count > 1:
            return [f"{self.place} to {self.end}: the same in both  {TIMES} {self.count}"]
        times = f"  {TIMES} {self.count}" if self.count > 1 else ""
        told, lines = [self.name], self.lines
        if len(lines) > most and not self.look:
            lines = [*lines[:most], f"and {len(lines) - most} more"]
        for line in lines:
            gap = ("   " if told == [self.name] else ", ") if told[-1] else ""
            if told[-1] and (self.look or len(told[-1] + line) > MAX_LETTERS):
                told.append(line)
            else:
                told[-1] += gap + line
        return [*told[:-1], told[-1] + times]


def draw_column(column: Column, stages: list[Stage]) -> None:
    """Draw stages one below the other, what skips one as a thin lane beside them."""
    shapes = max(width_of(s.shape, 9) for s in stages)
    left = shapes + 10 if shapes else 0.0
    wide = max(width_of(line) for s in stages for line in s.told()) + 18
    names: list[str] = []
    for i, stage in enumerate(stages):
        lines = stage.told()
        high = 13.0 * len(lines) + 6
        if stage.shape and (not i or stage.shape != stages[i - 1].shape):
            column.text(shapes + 4, column.y - high / 2, stage.shape, size=9, end=True)
        look = {**chip(lines, stage.kind, FIXED), **stage.look}
        names.append(column.node(left + wide / 2, column.y - high / 2, wide, high, **look))
        uses = {str(j): use for j, use in stage.inputs.items()}
        if uses.get(str(i - 1)) in {SKIP, FIXED}:
            column.dot.edge(names[i - 1], names[i])
            del uses[str(i - 1)]
        column.wire(left + wide, column.y - high / 2 + 3, uses)
        column.heads[str(i)] = left + wide, column.y - high / 2 - 3
        column.y -= high + 13
    column.finish()


def draw_difference(
    column: Column, first: list[Stage], second: list[Stage], looks: Sequence[dict[str, str]]
) -> None:
    """Draw two lines of stages as one: what both have, what changed, the first's, the second's.

    Neighbours that are the same in both, and read the same, are one.
    """
    ours, theirs = ({s.place: s for s in stages} for stages in (first, second))
    longer, other = sorted((first, second), key=len, reverse=True)
    places = [s.place for s in longer]
    at = len(places)
    for stage in reversed(other):
        if stage.place not in places:
            places.insert(at, stage.place)
        at = places.index(stage.place)
    stages = []
    for place in places:
        one, two = ours.get(place), theirs.get(place)
        look = looks[0 if one and two else 2 if one else 3]
        if one and two and one.lines == two.lines and one.done != two.done:
            one, two = (replace(s, lines=s.done) for s in (one, two))  # of other functions
        lines = next((s.told(MAX_LINES) for s in (one, two) if s), [])
        if one and two and one.lines != two.lines:
            after = _shortened(replace(two, name=""), one).told(MAX_LINES)
            lines = [*_shortened(one, two).told(MAX_LINES), f"becomes {after[0]}", *after[1:]]
            look = looks[1]
        reads = [{places.index(stages_[i].place) for i in s.inputs} if s else set()
                 for stages_, s in ((first, one), (second, two))]  # fmt: skip
        if one and two and look is looks[0] and reads[0] == reads[1] and one.joined != two.joined:
            lines, look = [*lines, "becomes the same, joined otherwise"], looks[1]
        inputs = {
            p: FIXED if p in reads[0] & reads[1] else BEFORE if p in reads[0] else AFTER
            for p in reads[0] | reads[1]
        }
        key = "same" if look is looks[0] and {*inputs.values()} == {FIXED} else None
        stages.append(Stage(place, inputs, "join", lines, "", key, look=look))
    for source, use in (x for s in stages for x in s.inputs.items()):
        if use != FIXED:  # it must not be lost among others
            stages[source].key = None
    draw_column(column, folded(stages))


def _shortened(stage: Stage, other: Stage) -> Stage:
    """One of two long stages, without the operations with which both begin and end."""
    ours, theirs = stage.lines, other.lines
    if max(len(ours), len(theirs)) <= MAX_LINES:
        return stage
    least = min(len(ours), len(theirs))
    first = next((i for i in range(least) if ours[i] != theirs[i]), least)
    last = next((i for i in range(least - first) if ours[~i] != theirs[~i]), least - first)
    kept = ours[first : len(ours) - last] or ["nothing"]
    dots = "\N{HORIZONTAL ELLIPSIS}"
    return replace(stage, lines=[*[dots] * (first > 0), *kept, *[dots] * (last > 0)])


def stages_of(
    space: SearchSpace, listing: Iterable[Node], shapes: Mapping[str, str]
) -> list[Stage]:
    """One for each cell and for each statement of the network's body, in order."""
    stages: list[Stage] = []
    owner: dict[str, int] = {}
    statements = statement_names(space.network, space.depth)
    for (name, cell), group in groupby(listing, key=_stage):
        members = list(group)
        position = len(stages)
        owner.update((n.name, position) for n in members)
        read = dict.fromkeys({owner[i] for n in members for i in n.inputs} - {position}, SKIP)
        last = members[-1]
        stage = Stage(name, read, "other", [], shapes.get(last.name, ""))
        at = {n.name: i for i, n in enumerate(members)}
        stage.joined = [(n.operation, n.text, [at[i] for i in n.inputs if i in at])
                        for n in members]  # fmt: skip
        if last.operation == "input":
            stage.kind, stage.lines = "input", [last.text]
        elif cell:
            stage.kind, stage.lines = cell_kind(space, cell), [cell]
            stage.key = (cell, stage.shape)
        else:
            _describe(stage, statements.get(name), members)
        stages.append(stage)
    return stages


def _stage(node: Node) -> tuple[str, str]:
    """The outermost cell that a node stands in, and what that is called; or else its statement."""
    cells = ((call.name, call.callee) for call in node.calls if call.is_cell)
    return next(cells, (node.name.split(".")[0], ""))


def _describe(stage: Stage, statement: Statement | None, members: list[Node]) -> None:
    """Operations of a statement, or the functions that it calls, in the order they are done."""
    done = [n for n in members if n.operation in OPERATIONS]
    texts = [_written(n) for n in done] or [members[-1].text]
    kinds = [family(n.operation) for n in done] or ["join"]
    stage.kind = "head" if "head" in kinds else kinds[0]
    stage.name = statement.label if statement and statement.array else ""
    stage.done = stage.lines = _counted(texts)
    nested = any(n.name.count(".") > 1 for n in members)
    if nested and statement and not statement.term.decisions:
        called = list(_functions(statement.term))[::-1]
        if called:
            stage.kind, stage.key = "cell", () if stage.name else tuple(texts)
            stage.lines = _counted(called)


def _counted(texts: Iterable[str]) -> list[str]:
    """Equal neighbours as one, with their number."""
    return [f"{text} {TIMES} {count}" if count > 1 else text for text, count in runs(texts)]


def _written(node: Node) -> str:
    """An operation; in a network with its numbers in the place of formulas."""
    found = dict(node.settings) if node.layers else {}
    name, _, rest = node.text.partition("(")
    given = [f"{k}={found[k]}" for k in re.findall(r"(\w+)=", rest) if k in found]
    return f"{name}({', '.join(given)})" if given else node.text


def _functions(term: Term) -> Iterator[str]:
    """The functions called in a term, from the last one done to the first."""
    if isinstance(term, Function):
        yield print_callee(term, (), [], [])
        return
    for child in term.children:
        yield from _functions(child)


def folded(stages: list[Stage]) -> list[Stage]:
    """Join neighbours of the same key into one stage; inputs are positions in the new list."""
    folded: list[Stage] = []
    place_of: list[int] = []
    for i, stage in enumerate(stages):
        last, inputs = folded[-1] if folded else None, dict[int, str]()
        for j, use in stage.inputs.items():
            inputs[place_of[j]] = strongest([use, inputs.get(place_of[j], use)])
        alike = last and stage.key and stage.key == last.key
        if last and alike and (stage.look or i - 1 in stage.inputs):
            last.count, last.shape, last.end = last.count + 1, stage.shape, stage.place
            inputs.pop(len(folded) - 1, None)
            last.inputs = inputs | last.inputs
        else:
            folded.append(replace(stage, inputs=inputs))
        place_of.append(len(folded) - 1)
    return folded
