"""Turn cells whose blocks add operations on numbered values into architectures and back.

Value 0 is the cell before the last one, 1 the last, 2 the first block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from epnas_dsl.errors import ArchitectureError, Span, nearest
from epnas_dsl.lang.literals import Literal, wrong
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.graph import body_nodes
from epnas_dsl.space.nodes import Node
from epnas_dsl.space.recognition import callees, from_nodes, roots
from epnas_dsl.space.search_space import Body, SearchSpace
from epnas_dsl.space.terms import Each, Join, Statement, Term, Value

T = TypeVar("T")
Names = Mapping[str, tuple[str, ...]]  # what a notation calls an operation, and what a space may


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as other projects write it: for each block operations and what they read.

    Attributes:
        concat: what is joined in the end; None where the notation does not say.
    """

    blocks: Sequence[Sequence[tuple[Literal, Literal]]]
    concat: Sequence[Literal] | None
    span: Span


@dataclass(frozen=True, slots=True)
class Frame:
    """The body of a space that such a cell is compared with."""

    body: Body
    values: tuple[str, ...]  # labels by their numbers, the blocks' behind the inputs'
    blocks: tuple[str, ...]
    operations: tuple[str, ...]


def frames_of(space: SearchSpace, joins: bool = True) -> dict[str, Frame]:
    """The bodies of a space of cells: `normal`, `reduction`, which may be the same.

    Args:
        joins: the notation says which blocks are joined.

    Raises:
        ArchitectureError: the space is none of cells (E312), or chooses what is joined (E315).
    """
    frames: dict[str, Frame] = {}
    # a cell may leave nothing to decide
    for body in dict.fromkeys([*space.decided, *space.bodies]):
        for stride in body.names.values():
            role = "normal" if stride == 1 else "reduction"
            if body is space.network or role in frames:
                break
            frames[role] = _frame(body)
    bodies = [f.body for f in frames.values()]
    if (
        set(frames) != {"normal", "reduction"} or any(b not in bodies for b in space.decided)
        or any(len(f.values) != len(f.blocks) + 2 for f in frames.values())
    ):  # fmt: skip
        raise ArchitectureError(
            f"{space.name} is no space of normal and reduction cells with two inputs", code="E312",
            hint="this notation belongs to spaces such as `darts`, `pnas`, `micro`",
        )  # fmt: skip
    if not joins and any(b.result.term.decisions for b in bodies):
        raise ArchitectureError("this notation does not say which blocks are joined", code="E315")
    return frames


def _frame(body: Body) -> Frame:
    decided = [s for s in body.statements if s.term.decisions] or [*_fixed_blocks(body)]
    blocks = tuple(s.label for s in decided)
    read = [x for s in decided for x in _labels(s.term)]
    inputs = sorted({x for x in read if x not in blocks}, key=lambda x: (_origin(body, x), x))
    operations = dict.fromkeys(x for s in decided for x in callees(s.term))
    return Frame(body, (*inputs, *blocks), blocks, tuple(operations))


def _fixed_blocks(body: Body) -> Iterator[Statement]:
    """The statements of a cell without decisions but those that prepare an input alone."""
    prepared = {*body.inputs}
    for s in body.statements:
        if isinstance(s.term, Join) or not prepared.issuperset(_labels(s.term)):
            yield s
        else:
            prepared.add(s.label)


def _origin(body: Body, label: str) -> int:
    """Which input of the cell a value is made of."""
    terms = {s.label: s.term for s in body.statements}
    while label in terms and label not in body.inputs:
        label = next(_labels(terms.pop(label)), "")
    return body.inputs.index(label) if label in body.inputs else len(body.inputs)


def _labels(term: Term) -> Iterator[str]:
    """The values that a term names."""
    if isinstance(term, Value):
        yield term.label
    for child in term.children:
        if isinstance(term, Each):
            yield from (x for x in _labels(child) if x != term.variable)
        else:
            yield from _labels(child)


def read_cells(space: SearchSpace, cells: Mapping[str, Cell], names: Names) -> Architecture:
    """The architecture with these cells."""
    frames = frames_of(space)
    listings = {role: _cell_nodes(space, f, cells[role], names) for role, f in frames.items()}
    shared = frames["normal"].body is frames["reduction"].body
    found = from_nodes(space, {frames[r].body.name: listings[r] for r in ("reduction", "normal")})
    if shared:
        other = from_nodes(space, {frames["reduction"].body.name: listings["reduction"]})
        if other != found:
            raise ArchitectureError(
                f"the two cells differ; those of {space.name} are one", code="E313",
                span=cells["reduction"].span, hint="`darts` and `nasnet` have two",
            )  # fmt: skip
    for role, frame in frames.items():
        if not any(b is frame.body for b, _ in space.statements):
            here = [sorted((n.text, i) for n, i in b) for b in blocks_of(found, frame)]
            asked = [sorted((known_as(n.text(), names, frame.operations), i.whole()) for n, i in b)
                     for b in cells[role].blocks]  # fmt: skip
            if here != asked:
                raise ArchitectureError(f"the {role} cell of {space.name} is fixed, and another",
                                        code="E313", span=cells[role].span)  # fmt: skip
        given = cells[role].concat
        if given is not None:
            joins = joined_by(found, frame)
            if sorted(joins) != sorted(x.whole() for x in given):
                span = given[0].span.to(given[-1].span) if given else cells[role].span
                raise ArchitectureError(
                    f"the {role} cell of {space.name} joins {joins} here", code="E313", span=span,
                    hint=f"a copy of {space.name} with `for` instead of `level` and `return concat("
                    f"some of [{_written(frame)}])` joins any of them: `--space FILE`",
                )  # fmt: skip
    return found


def _written(frame: Frame) -> str:
    """The values of a cell as its text says them."""
    arrays = {s.label: s.array for s in frame.body.statements if s.array}
    return ", ".join(
        f"{arrays[x]}[{x.removeprefix(arrays[x])}]" if x in arrays else x for x in frame.values
    )


def _cell_nodes(space: SearchSpace, frame: Frame, cell: Cell, names: Names) -> list[Node]:
    if len(cell.blocks) > len(frame.blocks):
        twice = any(len({i.value for _, i in block}) < len(block) for block in cell.blocks)
        raise ArchitectureError(
            f"a cell of {len(cell.blocks)} blocks; {space.name} has {len(frame.blocks)}",
            code="E313", span=cell.blocks[len(frame.blocks)][0][0].span,
            hint="a block here reads a value twice, as in `--space nasnet` and `--space amoebanet`"
            if twice else "parameters give it more: `--space 'darts(nodes=5)'`",
        )  # fmt: skip
    inputs = len(frame.values) - len(frame.blocks)
    found = [Node(x, "input", text=x) for x in frame.values[:inputs]]
    for i, (label, block) in enumerate(zip(frame.blocks, cell.blocks, strict=False)):
        operands = []
        for j, (operation, value) in enumerate(block, 1):
            name = known_as(operation.text(), names, frame.operations)
            read = frame.values[below(value, inputs + i)]
            node = Node(f"{label}.op{j}", name, (read,), text=name, span=operation.span)
            operands.append(node)
        found += operands
        span = block[0][0].span.to(block[-1][1].span)
        found.append(Node(label, "add", tuple(n.name for n in operands), span=span))
    if frame.body.result.term.decisions and cell.concat is not None:
        last = inputs + len(cell.blocks)
        joined = tuple(frame.values[below(x, last)] for x in cell.concat)
        found.append(Node("output", "concat", joined, span=cell.span))
    return found


def below(number: Literal, end: int) -> int:
    """A number from 0 to end - 1."""
    if number.whole() >= end:
        raise wrong(f"{number.value}, but values go from 0 to {end - 1} here", number.span)
    return number.whole()


def known_as(name: str, names: Names, known: Sequence[str]) -> str:
    """What a space calls an operation that a notation gives that name."""
    return next((x for x in names.get(name, (name,)) if x in known), name)


def spelt(node: Node, names: Names, closed: bool) -> str:
    """What a notation calls an operation of ours; in a closed one those of its table only."""
    for theirs, ours in names.items():
        if node.text in ours:
            return theirs
    if closed or not node.text.isidentifier():
        raise ArchitectureError(
            f"this notation has no word for `{node.text}`", code="E315",
            hint=nearest(node.text, (x for ours in names.values() for x in ours)),
        )  # fmt: skip
    return node.text


def twos(items: Sequence[T]) -> list[tuple[T, T]]:
    """The items two by two."""
    return list(zip(items[::2], items[1::2], strict=True))


Block = list[tuple[Node, int]]


def blocks_of(architecture: Architecture, frame: Frame) -> list[Block]:
    """For each block of a cell its operations, and the number of what each reads.

    Raises:
        ArchitectureError: a block is no sum of two operations on one value each (E315).
    """
    listing = body_nodes(architecture, frame.body.name, dead=True)
    by_name, made = {n.name: n for n in listing}, roots(listing)
    number = {made[x].name: i for i, x in enumerate(frame.values) if x in made}
    blocks: list[Block] = []
    for label in frame.blocks:
        if label not in made:
            continue
        node = made[label]
        operands = [by_name[i] for i in (node.inputs if node.operation == "add" else (node.name,))]
        reads = [n.inputs[0] if len(n.inputs) == 1 else "" for n in operands]
        if len(operands) != 2 or any(r not in number for r in reads):
            raise ArchitectureError(
                f"`{frame.body.name}.{label}` is no sum of two operations on a value each, "
                "which is all that this notation can say", code="E315",
            )  # fmt: skip
        blocks.append([(n, number[r]) for n, r in zip(operands, reads, strict=True)])
    return blocks


def joined_by(architecture: Architecture, frame: Frame) -> list[int]:
    """The numbers of the values that a cell joins in the end."""
    listing = body_nodes(architecture, frame.body.name, dead=True)
    by_name, made = {n.name: n for n in listing}, roots(listing)
    number = {made[x].name: i for i, x in enumerate(frame.values) if x in made}
    last = listing[-1]
    while last.name not in number and last.operation != "concat" and len(last.inputs) == 1:
        last = by_name[last.inputs[0]]
    names = [last.name] if last.name in number else last.inputs
    if not all(n in number for n in names):
        raise ArchitectureError(
            f"what `{frame.body.name}` returns is no concatenation of its blocks", code="E315"
        )
    return [number[n] for n in names]
