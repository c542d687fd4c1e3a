"""Turn the notations of other projects into architectures and back.

A reader makes nodes of its text, each with its place in it, and `from_nodes` finds the architecture
that has such a graph; a writer reads the graph. So a notation serves every space whose graphs it
can say, and `NOTATIONS` is the table of all. In the cells of DARTS, NASNet, ENAS and NNI values
have numbers: 0 is the cell before the last one, 1 the last, 2 the first block.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from epnas_dsl.errors import ArchitectureError, EpnasError, Source, Span, nearest
from epnas_dsl.lang.literals import Literal, read_literal, wrong
from epnas_dsl.lang.loading import load_architecture, load_space, named_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.graph import Node, body_nodes
from epnas_dsl.space.recognition import callees, from_nodes, roots
from epnas_dsl.space.search_space import Body, SearchSpace
from epnas_dsl.space.terms import Choice, Each, Subset, Term, Value, pick, rank

SCHEMA = 1  # of our own JSON
T = TypeVar("T")
Names = Mapping[str, tuple[str, ...]]  # what a notation calls an operation, and what a space may


@dataclass(frozen=True, slots=True)
class Notation:
    """A way to write architectures down.

    Attributes:
        about: whose it is.
        sample: what it looks like.
        read: the architecture of a text, in a space or in the one that the text speaks of.
        write: the text of an architecture.
    """

    about: str
    sample: str
    read: Callable[[Source, SearchSpace | None], Architecture]
    write: Callable[[Architecture], str]


def from_notation(
    text: str, notation: str, space: SearchSpace | None = None, name: str = "<text>"
) -> Architecture:
    """The architecture that a text of another project describes.

    Args:
        notation: one of `NOTATIONS`.
        space: the space that it is looked for in; by default the one that the notation belongs to.
        name: what to call the text in messages.

    Raises:
        ArchitectureError: the text is none of this notation (E309), or of another space.
    """
    try:
        return NOTATIONS[notation].read(Source(name, text), space)
    except EpnasError as error:
        first = error.diagnostics[0]
        if first.code == "E309" and not first.hint:
            sample = f"{notation} looks like `{NOTATIONS[notation].sample}`"
            raise wrong(first.message, first.span, sample) from None
        raise


def to_notation(architecture: Architecture, notation: str) -> str:
    """The text of an architecture in the notation of another project: the inverse.

    Raises:
        ArchitectureError: the notation cannot say it (E311, E312, E315).
    """
    return NOTATIONS[notation].write(architecture)


# --- our own -----------------------------------------------------------------------------------


def read_epnas(source: Source, space: SearchSpace | None) -> Architecture:
    """The language's own text, or the path of a file."""
    return load_architecture(source.text.strip(), space)


def to_json(architecture: Architecture) -> dict[str, object]:
    """An architecture as plain data, without loss."""
    space = architecture.space
    pairs = zip(space.decisions, architecture.choices, strict=False)
    return {
        "schema": SCHEMA,
        "space": space.name,
        "parameters": space.changed,
        "digest": space.digest,
        "text": architecture.text,
        "decisions": {d.name: print_term(d.term, pick(d.term, n), {}) for d, n in pairs},
        "choices": list(architecture.choices),
    }


def read_json(source: Source, space: SearchSpace | None) -> Architecture:
    """The inverse of `to_json`; `decisions` and `text` are for readers, `choices` count."""
    table = read_literal(source).table()
    for key in ("schema", "space", "choices"):
        _entry(table, key, source)
    if table["schema"].value != SCHEMA:
        raise wrong(f"schema {table['schema'].value}; this is for {SCHEMA}", table["schema"].span)
    if space is None:
        given = table["parameters"].table() if "parameters" in table else {}
        numbers = {k: x.value for k, x in given.items() if isinstance(x.value, int | float)}
        space = named_space(table["space"].text(), numbers)
    digest = table.get("digest")
    if digest and digest.value != space.digest:
        raise ArchitectureError(
            f"written for {space.name}@{digest.value}, which now means @{space.digest}",
            code="E304", span=digest.span, hint="its `text` may still be read, as `epnas`",
        )  # fmt: skip
    return Architecture(space, [x.whole() for x in table["choices"].items()])


def _entry(table: Mapping[str, Literal], key: str, source: Source) -> Literal:
    if key not in table:
        end = Span(source, max(0, len(source.text.rstrip()) - 1), len(source.text.rstrip()))
        raise wrong(f"`{key}` is missing", end, nearest(key, table))
    return table[key]


# --- cells whose blocks add operations on numbered values ----------------------------------------


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell as other projects write it: for each block operations and what they read.

    Attributes:
        concat: what is joined in the end; None where the notation does not say.
    """

    blocks: Sequence[Sequence[tuple[Literal, Literal]]]
    concat: Sequence[Literal] | None
    span: Span


@dataclass(frozen=True, slots=True)
class _Frame:
    """The body of a space that such a cell is compared with."""

    body: Body
    values: tuple[str, ...]  # labels by their numbers, the blocks' behind the inputs'
    blocks: tuple[str, ...]
    operations: tuple[str, ...]


def _frames(space: SearchSpace) -> dict[str, _Frame]:
    """The bodies of a space of cells: `normal`, `reduction`, which may be the same.

    Raises:
        ArchitectureError: the space is none of cells (E312).
    """
    frames: dict[str, _Frame] = {}
    for body in dict.fromkeys(b for b, _ in space.statements):
        for stride in body.names.values():
            role = "normal" if stride == 1 else "reduction"
            if body is space.network or role in frames:
                break
            frames[role] = _frame(body)
    if set(frames) != {"normal", "reduction"} or any(
        len(f.values) != len(f.blocks) + 2 for f in frames.values()
    ):
        raise ArchitectureError(
            f"{space.name} is no space of normal and reduction cells with two inputs", code="E312",
            hint="this notation belongs to spaces such as `darts`, `pnas`, `micro`",
        )  # fmt: skip
    return frames


def _frame(body: Body) -> _Frame:
    decided = [s for s in body.statements if s.term.decisions]
    blocks = tuple(s.label for s in decided)
    read = [x for s in decided for x in _labels(s.term)]
    inputs = dict.fromkeys(x for x in read if x not in blocks)
    operations = dict.fromkeys(x for s in decided for x in callees(s.term))
    return _Frame(body, (*inputs, *blocks), blocks, tuple(operations))


def _labels(term: Term) -> Iterator[str]:
    """The values that a term names."""
    if isinstance(term, Value):
        yield term.label
    for child in term.children:
        if isinstance(term, Each):
            yield from (x for x in _labels(child) if x != term.variable)
        else:
            yield from _labels(child)


def _read_cells(space: SearchSpace, cells: Mapping[str, _Cell], names: Names) -> Architecture:
    """The architecture with these cells."""
    frames = _frames(space)
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
        given = cells[role].concat
        if given is not None:
            joins = _joined(found, frame)
            if sorted(joins) != sorted(x.whole() for x in given):
                span = given[0].span.to(given[-1].span) if given else cells[role].span
                raise ArchitectureError(
                    f"the {role} cell of {space.name} joins {joins} here", code="E313", span=span
                )
    return found


def _cell_nodes(space: SearchSpace, frame: _Frame, cell: _Cell, names: Names) -> list[Node]:
    if len(cell.blocks) > len(frame.blocks):
        raise ArchitectureError(
            f"a cell of {len(cell.blocks)} blocks; {space.name} has {len(frame.blocks)}",
            code="E313", span=cell.blocks[len(frame.blocks)][0][0].span,
            hint="parameters give it more: `--space 'darts(nodes=5)'`",
        )  # fmt: skip
    inputs = len(frame.values) - len(frame.blocks)
    found = [Node(x, "input", text=x) for x in frame.values[:inputs]]
    for i, (label, block) in enumerate(zip(frame.blocks, cell.blocks, strict=False)):
        operands = []
        for j, (operation, value) in enumerate(block, 1):
            name = _ours(operation.text(), names, frame.operations)
            read = frame.values[_below(value, inputs + i)]
            node = Node(f"{label}.op{j}", name, (read,), text=name, span=operation.span)
            operands.append(node)
        found += operands
        span = block[0][0].span.to(block[-1][1].span)
        found.append(Node(label, "add", tuple(n.name for n in operands), span=span))
    if frame.body.result.term.decisions and cell.concat is not None:
        last = inputs + len(cell.blocks)
        joined = tuple(frame.values[_below(x, last)] for x in cell.concat)
        found.append(Node("output", "concat", joined, span=cell.span))
    return found


def _below(number: Literal, end: int) -> int:
    if number.whole() >= end:
        raise wrong(f"{number.value}, but values go from 0 to {end - 1} here", number.span)
    return number.whole()


def _ours(name: str, names: Names, known: Sequence[str]) -> str:
    """What a space calls an operation that a notation gives that name."""
    return next((x for x in names.get(name, (name,)) if x in known), name)


def _theirs(node: Node, names: Names, closed: bool) -> str:
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


def _twos(items: Sequence[T]) -> list[tuple[T, T]]:
    return list(zip(items[::2], items[1::2], strict=True))


Block = list[tuple[Node, int]]


def _blocks(architecture: Architecture, frame: _Frame) -> list[Block]:
    """For each block of a cell its operations, and the number of what each reads.

    Raises:
        ArchitectureError: a block is no sum of two operations on one value each (E315).
    """
    listing = body_nodes(architecture, frame.body.name)
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


def _joined(architecture: Architecture, frame: _Frame) -> list[int]:
    """The numbers of the values that a cell joins in the end."""
    listing = body_nodes(architecture, frame.body.name)
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


# --- DARTS -------------------------------------------------------------------------------------

_DARTS = {
    "skip_connect": ("skip_connect", "identity"),
    "conv_7x1_1x7": ("conv_7x1_1x7", "conv_1x7_7x1"),
}


def read_darts(source: Source, space: SearchSpace | None) -> Architecture:
    """`Genotype(normal=[('op', value), ..], normal_concat=[..], reduce=.., reduce_concat=..)`.

    Also with a pair of brackets around each block, and with the name of the genotype in front.
    """
    found = read_literal(source)
    table = found.table()
    if len(table) == 1:
        table = next(iter(table.values())).table()
    cells = {}
    for role, key in (("normal", "normal"), ("reduction", "reduce")):
        steps, joined = _entry(table, key, source), _entry(table, f"{key}_concat", source)
        cells[role] = _Cell(list(_pairs(steps)), joined.items(), steps.span)
    return _read_cells(space or load_space("darts"), cells, _DARTS)


def _pairs(steps: Literal) -> Iterator[list[tuple[Literal, Literal]]]:
    items = steps.items()
    if not items:
        raise wrong("a cell without blocks", steps.span)
    if isinstance(items[0].items()[0].value, tuple):
        flat = [x for block in items for x in block.items()]
    else:
        flat = list(items)
    if len(flat) % 2:
        raise wrong("a block has two operations; one is left over", flat[-1].span)
    for two in _twos(flat):
        block = []
        for step in two:
            parts = step.items()
            if len(parts) != 2:
                raise wrong("`('operation', number of a value)` belongs here", step.span)
            parts[0].text()
            block.append((parts[0], parts[1]))
        yield block


def print_darts(architecture: Architecture) -> str:
    """The inverse of `read_darts`."""
    fields = []
    for role, frame in _frames(architecture.space).items():
        key = "normal" if role == "normal" else "reduce"
        steps = [(_theirs(n, _DARTS, False), i) for b in _blocks(architecture, frame) for n, i in b]
        fields += [f"{key}={steps}", f"{key}_concat={_joined(architecture, frame)}"]
    return f"Genotype({', '.join(fields)})"


# --- NASNet and AmoebaNet as TensorFlow writes them ---------------------------------------------

_TENSORFLOW: dict[str, tuple[str, ...]] = {
    "none": ("skip_connect", "identity"),
    **{f"separable_{k}x{k}_2": (f"sep_conv_{k}x{k}",) for k in (3, 5, 7)},
    **{f"{p}_pool_{k}x{k}": (f"{p}_pool_{k}x{k}",) for p in ("avg", "max") for k in (2, 3, 5, 7)},
    **{f"{k}x{k}": (f"nor_conv_{k}x{k}",) for k in (1, 3)},
    **{f"1x{k}_{k}x1": (f"conv_1x{k}_{k}x1",) for k in (3, 7)},
}
_LISTS = ("operations", "hiddenstate_indices", "used_hiddenstates")


def read_nasnet(source: Source, space: SearchSpace | None) -> Architecture:
    """`normal_cell_operations=[..], normal_cell_hiddenstate_indices=[..], ..`, as in TF-slim.

    State 0 is the last cell, 1 the one before; `used_hiddenstates` has a 1 for each state that is
    not joined in the end.
    """
    table = read_literal(source).table()
    cells = {}
    for role in ("normal", "reduction"):
        operations, indices, used = (
            _entry(table, f"{role}_cell_{x}", source).items() for x in _LISTS
        )
        span = table[f"{role}_cell_{_LISTS[0]}"].span
        states = len(operations) // 2 + 2
        for key, want in zip(_LISTS, (2 * states - 4, 2 * states - 4, states), strict=True):
            here = table[f"{role}_cell_{key}"]
            if len(here.items()) != want or states == 2:
                raise wrong(f"{len(here.items())} where {want} belong", here.span)
        joined = [Literal(i, x.span) for i, x in enumerate(used) if not x.whole()]
        pairs = zip(operations, map(_swapped, indices), strict=True)
        cells[role] = _Cell(_twos(list(pairs)), [*map(_swapped, joined)], span)
    return _read_cells(space or load_space("nasnet"), cells, _TENSORFLOW)


def _swapped(number: Literal) -> Literal:
    """Other projects count the last two cells from the older one."""
    return Literal(1 - number.whole(), number.span) if number.whole() < 2 else number


def print_nasnet(architecture: Architecture) -> str:
    """The inverse of `read_nasnet`."""
    lines = []
    for role, frame in _frames(architecture.space).items():
        steps = [s for block in _blocks(architecture, frame) for s in block]
        joined = {1 - i if i < 2 else i for i in _joined(architecture, frame)}
        lists = (
            [_theirs(n, _TENSORFLOW, True) for n, _ in steps],
            [1 - i if i < 2 else i for _, i in steps],
            [int(i not in joined) for i in range(len(steps) // 2 + 2)],
        )
        pairs = zip(_LISTS, lists, strict=True)
        lines += [f"{role}_cell_{key}={values}" for key, values in pairs]
    return ", ".join(lines)


# --- ENAS --------------------------------------------------------------------------------------


def _integers(source: Source) -> list[Literal]:
    found = []
    for match in re.finditer(r"[^\s,\[\]\"]+", source.text):
        span = Span(source, match.start(), match.end())
        if not re.fullmatch(r"\d{1,9}", match[0]):
            raise wrong(f"`{match[0]}` is no whole number", span)
        found.append(Literal(int(match[0]), span))
    if not found:
        raise wrong("no numbers", Span(source, 0, len(source.text)))
    return found


def read_enas_micro(source: Source, space: SearchSpace | None) -> Architecture:
    """`0 2 0 0 0 4 0 1 ..`: for each block value, operation, value, operation; two cells.

    Operations are numbered in the order of the space: in `enas_micro` that of the ENAS authors.
    """
    space = space or load_space("enas_micro")
    frames = _frames(space)
    numbers = _integers(source)
    if len(numbers) % 8:
        raise wrong(f"{len(numbers)} numbers; two cells of some blocks have a multiple of 8",
                    numbers[0].span.to(numbers[-1].span))  # fmt: skip
    cells = {}
    half = len(numbers) // 2
    for role, part in (("normal", numbers[:half]), ("reduction", numbers[half:])):
        known = frames[role].operations
        steps = []
        for value, operation in _twos(part):
            name = known[_below(operation, len(known))]
            steps.append((Literal(name, operation.span), value))
        cells[role] = _Cell(_twos(steps), None, part[0].span.to(part[-1].span))
    return _read_cells(space, cells, {})


def print_enas_micro(architecture: Architecture) -> str:
    """The inverse of `read_enas_micro`."""
    numbers: list[int] = []
    for frame in _frames(architecture.space).values():
        if frame.body.result.term.decisions:
            raise ArchitectureError("this notation does not say which blocks are joined",
                                    code="E315")  # fmt: skip
        for block in _blocks(architecture, frame):
            for node, value in block:
                if node.text not in frame.operations:
                    raise ArchitectureError(f"`{node.text}` has no number", code="E315")
                numbers += [value, frame.operations.index(node.text)]
    return " ".join(map(str, numbers))


def read_enas_macro(source: Source, space: SearchSpace | None) -> Architecture:
    """`0 3 0 0 1 0 ..`: for each layer its operation, then a bit for each layer it may skip from.

    Operations and bits are numbered in the order of the space.
    """
    space = space or load_space("enas_macro")
    numbers = _integers(source)
    choices: list[int] = []
    rest = list(numbers)
    for row in _layers(space):
        if not rest:
            break
        for term in row:
            bits = len(term.elements) if isinstance(term, Subset) else 0
            if len(rest) < max(1, bits) and (bits or isinstance(term, Choice)):
                raise wrong("the text ends within a layer", numbers[-1].span)
            if isinstance(term, Subset):
                mask = sum(_below(rest.pop(0), 2) << i for i in range(bits))
                choices.append(mask - term.least)
            else:
                choices.append(_below(rest.pop(0), term.size))
    if rest:
        raise wrong(f"more numbers than {space.name} has layers for", rest[0].span)
    return Architecture(space, choices)


def print_enas_macro(architecture: Architecture) -> str:
    """The inverse of `read_enas_macro`."""
    numbers: list[int] = []
    for row, terms in zip(architecture.rows(), _layers(architecture.space), strict=False):
        for number, term in zip(row, terms, strict=True):
            if isinstance(term, Subset):
                chosen = pick(term, number)[0]
                numbers += [int(i in chosen) for i in range(len(term.elements))]
            else:
                numbers.append(number)
    return " ".join(map(str, numbers))


def _layers(space: SearchSpace) -> list[list[Term]]:
    """For each level the choice of an operation and, where there is one, that of the skips."""
    rows = [[d.term for d in level] for level in space.levels]
    for terms in rows:
        kinds = [type(t) for t in terms]
        if kinds not in ([Choice], [Choice, Subset]) or any(
            isinstance(t, Subset) and not t.is_bit_set for t in terms
        ):
            raise ArchitectureError(
                f"{space.name} is no space of layers with skips", code="E312",
                hint="this notation belongs to spaces such as `enas_macro` and `macro`",
            )  # fmt: skip
    return rows


# --- NAS-Bench-201 -----------------------------------------------------------------------------

_EDGE = re.compile(r"([^~|+]+)~(\d{1,4})\Z")


def read_nasbench201(text: str | Source, space: SearchSpace | None = None) -> Architecture:
    """`|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`: for each node its edges, `op~j` reading node j.

    Raises:
        ArchitectureError: the text is not of this form, or the space has no such operation.
    """
    source = text if isinstance(text, Source) else Source("<text>", text)
    space = space or load_space("nasbench201")
    choices: list[int] = []
    start = len(source.text) - len(source.text.lstrip())
    nodes = source.text.strip().split("+")
    whole = Span(source, start, start + len(source.text.strip()))
    if len(nodes) != space.depth:
        raise wrong(f"{len(nodes)} nodes; {space.name} has {space.depth}", whole)
    for i, node in enumerate(nodes):
        edges = [e for e in node.split("|") if e]
        here = Span(source, start, start + len(node))
        if len(edges) != i + 1 or len(space.levels[i]) != i + 1:
            raise wrong(f"node {i + 1} has {len(edges)} edges, not {i + 1}", here)
        at = start
        for j, edge in enumerate(edges):
            at = source.text.index(edge, at)
            span = Span(source, at, at + len(edge))
            at += len(edge)
            match = _EDGE.match(edge)
            if not match or int(match[2]) != j:
                raise wrong(f"`{edge}` where `operation~{j}` belongs", span)
            names = _options(space, i, j)
            if match[1] not in names:
                raise ArchitectureError(f"`{match[1]}` is not one of {', '.join(names)}",
                                        code="E310", span=span,
                                        hint=nearest(match[1], names))  # fmt: skip
            choices.append(names.index(match[1]))
        start += len(node) + 1
    return Architecture(space, choices)


def print_nasbench201(architecture: Architecture) -> str:
    """The inverse of `read_nasbench201`; the architecture has to be of full length.

    Raises:
        ArchitectureError: it is shorter.
    """
    nodes = ("|".join(f"{op}~{j}" for j, op in enumerate(row)) for row in _edges(architecture))
    return "+".join(f"|{node}|" for node in nodes)


def _edges(architecture: Architecture) -> list[list[str]]:
    """For each node the operations on its edges."""
    space = architecture.space
    _options(space, 0, 0)
    if architecture.level != space.depth:
        raise ArchitectureError(
            f"an architecture of level {architecture.level} has no text in this notation; "
            f"it needs all {space.depth} levels", code="E311",
        )  # fmt: skip
    rows = enumerate(architecture.rows())
    return [[_options(space, i, j)[n] for j, n in enumerate(row)] for i, row in rows]


def _options(space: SearchSpace, level: int, position: int) -> list[str]:
    term = space.levels[level][position].term if space.levels[level] else None
    if not isinstance(term, Choice) or term.kind != "operation" or len(space.levels[0]) > 1:
        raise ArchitectureError(
            f"{space.name} is no space of operations on edges", code="E312",
            hint="this notation belongs to `nasbench201`",
        )  # fmt: skip
    return [print_term(term, pick(term, i), {}) for i in range(term.size)]


# --- NAS-Bench-101 -----------------------------------------------------------------------------

_VERTICES = {"conv3x3-bn-relu": "conv_3x3", "conv1x1-bn-relu": "conv_1x1",
             "maxpool3x3": "max_pool_3x3"}  # fmt: skip
_SHORT = {"CONV3X3": "conv3x3-bn-relu", "CONV1X1": "conv1x1-bn-relu", "MAXPOOL3X3": "maxpool3x3"}


@dataclass(frozen=True, slots=True)
class _Vertex:
    """A vertex as the space decides it: positions of decisions, the operation's and the inputs'."""

    label: str
    operation: int | None
    inputs: int
    reads: tuple[str, ...]  # the labels of the vertices that it may read, the cell's input first


def _vertices(space: SearchSpace) -> list[_Vertex]:
    """The statements of the one cell, each with the choice of an operation and of its inputs."""
    found: list[_Vertex] = []
    at: dict[str, dict[str, int]] = {}
    for i, decision in enumerate(space.decisions):
        kind = "inputs" if isinstance(decision.term, Subset) else "operation"
        at.setdefault(decision.name.rpartition(".")[0], {}).setdefault(kind, i)
    body = space.statements[0][0] if space.statements else space.network
    for statement in (*body.statements, body.result):
        mine = at.pop(f"{body.name}.{statement.label}", None)
        if mine is None:
            continue
        subset = space.decisions[mine.get("inputs", 0)].term
        plain = isinstance(subset, Subset) and all(isinstance(e, Value) for e in subset.elements)
        if not plain or ("operation" in mine) == (statement is body.result):
            at[statement.label] = mine
            break
        reads = tuple(_labels(subset))
        found.append(_Vertex(statement.label, mine.get("operation"), mine["inputs"], reads))
    count = sum(1 if v.operation is None else 2 for v in found)
    if at or not found or count != len(space.decisions) or found[-1].operation is not None:
        raise ArchitectureError(
            f"{space.name} is no space of vertices that choose their operation and inputs",
            code="E312", hint="this notation belongs to `nasbench101`",
        )  # fmt: skip
    return found


def read_nasbench101(source: Source, space: SearchSpace | None) -> Architecture:
    """`ModelSpec(matrix=[[0, 1, ..], ..], ops=['input', 'conv3x3-bn-relu', .., 'output'])`.

    The matrix is upper triangular, rows feed columns. A space of more vertices gets the missing
    ones as vertices that nothing reads.
    """
    table = read_literal(source).table()
    if len(table) == 1:
        table = next(iter(table.values())).table()
    ops = _entry(table, "ops", source).items()
    rows = [row.items() for row in _entry(table, "matrix", source).items()]
    space = space or load_space("nasbench101")
    vertices = _vertices(space)
    matrix = table["matrix"].span
    if not 2 <= len(ops) == len(rows) or any(len(r) != len(ops) for r in rows):
        raise wrong(f"a matrix of {len(rows)} rows for {len(ops)} operations", matrix)
    bits = [[_below(x, 2) for x in row] for row in rows]
    low = [rows[i][j] for i in range(len(rows)) for j in range(i + 1) if bits[i][j]]
    if low:
        raise wrong("the matrix is upper triangular: a vertex feeds later ones", low[0].span)
    for literal, name in ((ops[0], "input"), (ops[-1], "output")):
        if literal.text().lower() != name:
            raise wrong(f"`{name}` belongs here", literal.span)
    if len(ops) > len(vertices) + 1:
        raise ArchitectureError(
            f"{len(ops)} vertices; {space.name} has {len(vertices) + 1}", code="E313",
            span=ops[len(vertices)].span,
        )  # fmt: skip
    return _from_matrix(space, vertices, bits, ops[1:-1], matrix)


def _from_matrix(
    space: SearchSpace, vertices: Sequence[_Vertex], bits: list[list[int]],
    ops: Sequence[Literal], span: Span,
) -> Architecture:  # fmt: skip
    choices = [0] * len(space.decisions)
    labels = [vertices[-1].reads[0], *(v.label for v in vertices[: len(ops)])]
    for j, vertex in enumerate([*vertices[: len(ops)], vertices[-1]], 1):
        term = space.decisions[vertex.inputs].term
        assert isinstance(term, Subset)
        fed = [labels[i] for i in range(j) if bits[i][j]]
        chosen = tuple(i for i, label in enumerate(vertex.reads) if label in fed)
        if len(chosen) != len(fed) or not term.least <= len(chosen) <= term.most:
            raise ArchitectureError(
                f"vertex {j} reads {', '.join(fed) or 'nothing'}; "
                f"there are {', '.join(vertex.reads)}", code="E313", span=span,
            )  # fmt: skip
        choices[vertex.inputs] = rank(term, (chosen, ((),) * len(chosen)))
        if vertex.operation is not None:
            names = _names_of(space, vertex)
            given = ops[j - 1].text()
            name = _VERTICES.get(_SHORT.get(given, given), given)
            if name not in names:
                raise ArchitectureError(f"`{given}` is not one of {', '.join(_VERTICES)}",
                                        code="E310", span=ops[j - 1].span,
                                        hint=nearest(given, _VERTICES))  # fmt: skip
            choices[vertex.operation] = names.index(name)
    return Architecture(space, choices)


def _names_of(space: SearchSpace, vertex: _Vertex) -> list[str]:
    term = space.decisions[vertex.operation or 0].term
    return [print_term(term, pick(term, i), {}).partition("(")[0] for i in range(term.size)]


def print_nasbench101(architecture: Architecture) -> str:
    """The inverse of `read_nasbench101`; every vertex of the space is there, read or not."""
    space = architecture.space
    vertices = _vertices(space)
    if architecture.level != space.depth:
        raise ArchitectureError(f"this notation needs all {space.depth} levels", code="E311")
    labels = [vertices[-1].reads[0], *(v.label for v in vertices)]
    matrix = [[0] * len(labels) for _ in labels]
    ops = ["input"]
    for j, vertex in enumerate(vertices, 1):
        chosen = pick(space.decisions[vertex.inputs].term, architecture.choices[vertex.inputs])[0]
        for i in chosen:
            matrix[labels.index(vertex.reads[i])][j] = 1
        if vertex.operation is not None:
            name = _names_of(space, vertex)[architecture.choices[vertex.operation]]
            theirs = next((x for x, ours in _VERTICES.items() if ours == name), None)
            if theirs is None:
                raise ArchitectureError(f"this notation has no word for `{name}`", code="E315")
            ops.append(theirs)
    return f"ModelSpec(matrix={matrix}, ops={[*ops, 'output']})"


# --- NNI ---------------------------------------------------------------------------------------

_NNI: dict[str, tuple[str, ...]] = {
    "none": ("none",),
    "skip_connect": ("skip_connect", "identity"),
    **{f"{x}_conv_{k}x{k}": (f"{x}_conv_{k}x{k}",) for x in ("sep", "dil") for k in (3, 5, 7)},
    **{f"{p}_pool_{k}x{k}": (f"{p}_pool_{k}x{k}",) for p in ("avg", "max") for k in (2, 3, 5, 7)},
    **{f"conv_{k}x{k}": (f"nor_conv_{k}x{k}",) for k in (1, 3)},
    **{f"conv_{k}x1_1x{k}": (f"conv_1x{k}_{k}x1",) for k in (3, 7)},
    "dil_sep_conv_3x3": ("dil_sep_conv_3x3",),
}
_SIZES = {"width": "channels", "depth": "layers"}


def read_nni(source: Source, space: SearchSpace | None) -> Architecture:
    """What NNI exports for a space of its hub: `{"normal/op_2_0": "..", "normal/input_2_0": [0]}`.

    Keys `cell/0_1` are those of NAS-Bench-201; `width` and `depth` are parameters of the space.
    """
    found = read_literal(source)
    while isinstance(found.value, tuple) and len(found.value) == 1:  # a list of top models
        found = found.value[0]
    table = {k.replace("__", "/"): x for k, x in found.table().items()}
    if any(k.startswith("cell/") for k in table):
        return _read_nni_edges(table, space or load_space("nasbench201"), source)
    sizes = {_SIZES[k]: table.pop(k).whole() for k in _SIZES if k in table}
    cells = {
        role: _nni_cell(table, key, source)
        for role, key in (("normal", "normal"), ("reduction", "reduce"))
    }
    if table:
        key, value = next(iter(table.items()))
        raise wrong(f"`{key}` is no choice of such a cell", value.span)
    return _read_cells(space or load_space("darts", **sizes), cells, _NNI)


def _nni_cell(table: dict[str, Literal], key: str, source: Source) -> _Cell:
    blocks = []
    i = 2
    while i == 2 or f"{key}/op_{i}_0" in table:
        block = []
        for j in range(2):
            operation = _entry(table, f"{key}/op_{i}_{j}", source)
            value = _entry(table, f"{key}/input_{i}_{j}", source)
            del table[f"{key}/op_{i}_{j}"], table[f"{key}/input_{i}_{j}"]
            one = value.items() if isinstance(value.value, tuple) else [value]
            if len(one) != 1:
                raise wrong("one value belongs here", value.span)
            block.append((operation, one[0]))
        blocks.append(block)
        i += 1
    return _Cell(blocks, None, blocks[0][0][0].span.to(blocks[-1][-1][0].span))


def _read_nni_edges(table: dict[str, Literal], space: SearchSpace, source: Source) -> Architecture:
    choices = []
    for i, row in enumerate(space.levels):
        for j in range(len(row)):
            edge = _entry(table, f"cell/{j}_{i + 1}", source)
            names = _options(space, i, j)
            name = _ours(edge.text(), _NNI, names)
            if name not in names:
                raise ArchitectureError(f"`{name}` is not one of {', '.join(names)}", code="E310",
                                        span=edge.span, hint=nearest(name, names))  # fmt: skip
            choices.append(names.index(name))
    return Architecture(space, choices)


def print_nni(architecture: Architecture) -> str:
    """The inverse of `read_nni`."""
    space = architecture.space
    found: dict[str, object] = {
        k: space.changed[x] for k, x in _SIZES.items() if x in space.changed
    }
    if len(space.levels[0]) == 1:
        for i, row in enumerate(_edges(architecture), 1):
            nodes = (Node("", "", text=x) for x in row)
            found |= {f"cell/{j}_{i}": _theirs(n, _NNI, True) for j, n in enumerate(nodes)}
        return json.dumps(found)
    for role, frame in _frames(space).items():
        key = "normal" if role == "normal" else "reduce"
        if frame.body.result.term.decisions:
            raise ArchitectureError("this notation does not say which blocks are joined",
                                    code="E315")  # fmt: skip
        for i, block in enumerate(_blocks(architecture, frame), 2):
            for j, (node, value) in enumerate(block):
                found[f"{key}/op_{i}_{j}"] = _theirs(node, _NNI, True)
                found[f"{key}/input_{i}_{j}"] = [value]
    return json.dumps(found)


NOTATIONS = {
    "epnas": Notation("our own text", "micro: h1 = ..", read_epnas, str),
    "json": Notation(
        "our own, as data", '{"schema": 1, "space": "micro", "choices": [..]}', read_json,
        lambda a: json.dumps(to_json(a), indent=2),
    ),
    "darts": Notation(
        "genotypes of DARTS, PNASNet, NASNet in Python",
        "Genotype(normal=[('op', 0), ('op', 1), ..], normal_concat=[2, ..], reduce=[..], ..)",
        read_darts, print_darts,
    ),
    "nasnet": Notation(
        "NASNet and AmoebaNet in TensorFlow",
        "normal_cell_operations=['separable_5x5_2', ..], normal_cell_hiddenstate_indices=[..], ..",
        read_nasnet, print_nasnet,
    ),
    "enas_micro": Notation("cells of ENAS", "0 2 0 0 0 4 0 1 ..", read_enas_micro,
                           print_enas_micro),
    "enas_macro": Notation("layers of ENAS", "0 3 0 0 1 0 ..", read_enas_macro, print_enas_macro),
    "nasbench101": Notation(
        "NAS-Bench-101",
        "ModelSpec(matrix=[[0, 1, ..], ..], ops=['input', 'conv3x3-bn-relu', .., 'output'])",
        read_nasbench101,
        print_nasbench101,
    ),
    "nasbench201": Notation("NAS-Bench-201", "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|",
                            read_nasbench201, print_nasbench201),
    "nni": Notation("what NNI exports", '{"normal/op_2_0": "op", "normal/input_2_0": [0], ..}',
                    read_nni, print_nni),
}  # fmt: skip
