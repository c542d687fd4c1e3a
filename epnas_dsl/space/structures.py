"""Read a body as a structure: statements of which some are interchangeable, each a set of options.

An option is an expression over the values of the other statements, what the equivalence does within
it done. Statements that stand side by side and have the same options, but for how many of their
like they can read, form a *run*; their order is not seen in the graph that they make. A graph of
the body is then a choice of options without a circle, up to the order within each run, if

- every statement makes a vertex of its own: it holds an operation that is never merged with an
  equal one, is no bare value, and no sum takes its sum apart;
- the graph shows which vertices these are, and of which run: no expression's shape (its statements'
  names rubbed out) is found inside another expression, or in another run. Runs of one statement
  that each read the one before need no shapes, since the order of a chain cannot change.

Where one of these is not met, `check_structure` says so: its graphs cannot be counted by symmetry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations, pairwise
from typing import Any

from epnas_dsl.errors import CountError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.graph import carry_out
from epnas_dsl.space.nodes import Node
from epnas_dsl.space.search_space import Body, SearchSpace
from epnas_dsl.space.terms import Statement, pick
from epnas_dsl.space.vertices import STEP, ZERO, simplify, unused

MAX_OPTIONS = 100_000
MAX_EXPRESSION = 300  # vertices
MAX_LOOSE = 12  # statements that `unused` may name

Expression = tuple[str, Any]  # ("@", 3): the value of statement 3; otherwise (label, parts)
Options = frozenset[Expression]


@dataclass(frozen=True)
class Structure:
    """The statements of a body, numbered in order.

    Attributes:
        runs: the numbers of the statements, interchangeable ones together.
        options: of each statement.
        results: what the body may return, for each set of statements that nothing else reads; one
            entry, for the empty set, where that makes no difference.
        loose: the statements that the result reads where nothing else does: they are never dead.
        inputs: the number of the body's inputs.
        own: the options that are never merged with an equal one.
    """

    runs: tuple[range, ...]
    options: tuple[Options, ...]
    results: dict[frozenset[int], Options]
    loose: frozenset[int]
    inputs: int
    own: Options

    @property
    def largest(self) -> int:
        """No graph has more edges, or more nodes."""
        sets = [*self.options, frozenset(e for found in self.results.values() for e in found)]
        edges = sum(max((len(atoms(e)) for e in found), default=0) for found in sets)
        return max(edges, len(sets) + self.inputs)


def read_structure(space: SearchSpace, body: Body, level: int) -> Structure:
    """The structure of a body at a level.

    Raises:
        CountError: it has none, and why.
    """
    return _Reader(space, body, level).structure()


def check_structure(structure: Structure) -> None:
    """Make sure that its graphs are its choices of options, up to the order within runs.

    Raises:
        CountError: they are not, and why.
    """
    results = [e for found in structure.results.values() for e in found]
    if not all(e in structure.own for found in structure.options for e in found):
        raise CountError("a statement may make nothing of its own")
    _check_sums(structure.options, results)
    _check_order(structure)
    _check_shapes(structure.runs, structure.options, results)


class _NothingLeft(CountError):
    """A join of nothing."""


class _Reader:
    """Carries the statements of one body out, each with all of its options."""

    def __init__(self, space: SearchSpace, body: Body, level: int) -> None:
        self.space = space
        self.body = body
        self.strided = max(body.names.values()) > 1
        if self.strided and "wire" in space.treated.values():
            raise CountError("a wire may take a stride")
        self.architecture = Architecture(space, [0] * space.widths[level])
        self.statements = [s for s in (*body.statements, body.result) if s.level <= level]
        if sum(s.term.unordered for s in self.statements) > MAX_OPTIONS:
            raise CountError(f"more than {MAX_OPTIONS:,} options of single statements")
        arrays = unused(body.result.term)
        self.loose = [s.label for s in self.statements if s.array in arrays]
        if len(self.loose) > MAX_LOOSE:
            raise CountError("`unused` names too many values")
        self.values = {label: label for label in body.inputs}
        self.same: set[str] = set()  # names of values that have two

    def structure(self) -> Structure:
        *statements, result = self.statements
        options: list[Options] = []
        for s in statements:
            if s.term.kind == "number" and s.term.decisions:
                raise CountError(f"`{s.label}` is a number that is chosen")
            if s.term.kind == "number":
                continue
            if unused(s.term):
                raise CountError(f"`{s.label}` reads what is unused")
            found = self.options(s)
            one = next(iter(found))
            if len(found) == 1 and not _is_made(one):
                self.values[s.label] = _atom(one)
                self.same |= {s.label, _atom(one)}
            else:
                self.values[s.label] = f"@{len(options)}"
                options.append(found)
        results, loose = self.returned(result, options)
        own = frozenset(e for found in options for e in found if self.has_weights(e))
        inputs = len(self.body.inputs)
        return Structure(tuple(_runs(options)), tuple(options), results, loose, inputs, own)

    def returned(
        self, result: Statement, options: Sequence[Options]
    ) -> tuple[dict[frozenset[int], Options], frozenset[int]]:
        """The results and the loose statements of a `Structure`."""
        loose = {label: self.values[label] for label in self.loose}
        if not self.same.isdisjoint([*loose, *loose.values()]):
            raise CountError("`unused` names a value that has another name")
        if result.term.unordered << len(loose) > MAX_OPTIONS:
            raise CountError(f"more than {MAX_OPTIONS:,} results")
        indices = frozenset(int(name[1:]) for name in loose.values())
        others = (e for i, found in enumerate(options) if i not in indices for e in found)
        read_by_others = not all(indices.isdisjoint(leaves(e)) for e in others)
        results, sizes = {}, range(len(loose) + 1)
        for left in map(frozenset, chain.from_iterable(combinations(loose, n) for n in sizes)):
            numbers = frozenset(int(loose[x][1:]) for x in left)
            try:
                results[numbers] = self.options(result, loose.keys() - left, left)
            except _NothingLeft:
                if left or read_by_others:
                    raise
                results[numbers] = frozenset()  # the last of them is read by none of them
        return results, indices

    def options(
        self, statement: Statement, read: Set[str] = frozenset(), left: Set[str] = frozenset()
    ) -> Options:
        """The expressions of a statement, where `unused` names those left and not those read."""
        term = statement.term
        trees = (pick(term, i, unordered=True) for i in range(term.unordered))
        made = carry_out(self.architecture, self.body, statement, trees, self.values, read)
        return frozenset(self.expression(nodes, (seen | left) - read, read) for nodes, seen in made)

    def expression(self, nodes: Sequence[Node], seen: Set[str], read: Set[str]) -> Expression:
        """The expression of a statement's nodes; equal ones make isomorphic vertices."""
        vertices, root = simplify(nodes, self.space, self.body)
        alive = {root}
        parts: list[Expression] = []
        sizes: list[int] = []
        for i in range(root, -1, -1):
            if i in alive:
                alive.update(vertices[i].inputs)
        labels = {vertices[i].label for i in alive}
        if STEP in labels or any(label.startswith(ZERO) for label in labels):
            raise CountError("zeros or strides that depend on what is joined")
        if any(not vertices[i].inputs and vertices[i].commutes for i in alive):
            raise _NothingLeft("a join may have nothing to join")
        readers = Counter(j for i in alive for j in vertices[i].inputs)
        for i, v in enumerate(vertices[: root + 1]):
            sizes.append(1 + sum(sizes[j] for j in v.inputs))
            if sizes[i] > MAX_EXPRESSION:
                raise CountError("an expression too large to be compared")
            if readers[i] > 1 and v.inputs and self.is_own(v.label):
                raise CountError("a value within an expression is read twice")
            if v.label.startswith("input @"):
                parts.append(("@", int(v.label[7:])))
            else:
                inner = [parts[j] for j in v.inputs]
                name = v.label.removeprefix("input ")
                parts.append((name, tuple(sorted(inner) if v.commutes else inner)))
        here = {self.values[x] for x in seen & self.values.keys()}
        there = {self.values[x] for x in read & self.values.keys()}
        if here - there != {_atom(a) for a in atoms(parts[root])} - there:
            raise CountError("a value that is read does not count")
        return parts[root]

    def is_own(self, label: str) -> bool:
        """Whether a vertex of that label is never merged with an equal one."""
        role = self.space.treated.get(_head(label), "")
        return _head(label) not in {"add", "concat"} and role not in {"pure", "wire"}

    def has_weights(self, e: Expression) -> bool:
        return any(_is_made(p) and self.is_own(p[0]) for p in _inside(e))


# --- expressions -------------------------------------------------------------------------------


def _is_made(e: Expression) -> bool:
    """Whether it is more than a value given."""
    return e[0] != "@" and e[1] != ()


def _inside(e: Expression) -> Iterator[Expression]:
    """All parts of an expression, itself included."""
    yield e
    if e[0] != "@":
        for part in e[1]:
            yield from _inside(part)


@lru_cache(maxsize=1 << 16)
def atoms(e: Expression) -> frozenset[Expression]:
    """The values that it reads: of statements and inputs."""
    return frozenset(p for p in _inside(e) if not _is_made(p))


def leaves(e: Expression) -> frozenset[int]:
    """The statements that it reads."""
    return frozenset(number for label, number in atoms(e) if label == "@")


def _head(label: str) -> str:
    return label.partition("(")[0]


def _atom(e: Expression) -> str:
    return f"@{e[1]}" if e[0] == "@" else e[0]


def relabel(e: Expression, numbers: Mapping[int, int]) -> Expression:
    """The expression with other statements in place of some."""
    label, parts = e
    if label == "@":
        return (label, numbers.get(parts, parts))
    inner = [relabel(p, numbers) for p in parts]
    return (label, tuple(sorted(inner) if _head(label) in {"add", "concat"} else inner))


def _shape(e: Expression) -> Expression:
    return relabel(e, dict.fromkeys(leaves(e), -1))


# --- what has to hold --------------------------------------------------------------------------


def _runs(options: Sequence[Options]) -> Iterator[range]:
    start = 0
    for i in range(1, len(options) + 1):
        if i == len(options) or not _continues(options, start, i):
            yield range(start, i)
            start = i


def _continues(options: Sequence[Options], start: int, i: int) -> bool:
    """Whether statement i is as the one before, which belongs to a run, and may read it too."""
    shorter = {e for e in options[i] if i - 1 not in leaves(e)}
    swaps = pairwise(range(start, i))
    return shorter == options[i - 1] and all(_is_closed(options[i], *swap) for swap in swaps)


def _is_closed(options: Options, i: int, j: int) -> bool:
    return all(relabel(e, {i: j, j: i}) in options for e in options)


def _check_order(structure: Structure) -> None:
    """Whatever stands behind a run reads its statements alike."""
    for run in structure.runs:
        for i, j in pairwise(run):
            swap = {i: j, j: i}
            behind = structure.options[run.stop :]
            alike = all(_is_closed(options, i, j) for options in behind) and all(
                frozenset(relabel(e, swap) for e in found)
                == structure.results.get(frozenset(swap.get(k, k) for k in unread))
                for unread, found in structure.results.items()
            )
            if not alike:
                raise CountError("statements of the same form are read differently")


def _check_sums(options: Sequence[Options], results: Iterable[Expression]) -> None:
    """No sum reads a statement that may be a sum: they would become one."""
    sums = {("@", i) for i, found in enumerate(options) if any(e[0] == "add" for e in found)}
    for e in (*(e for found in options for e in found), *results):
        if any(p[0] == "add" and not sums.isdisjoint(p[1]) for p in _inside(e)):
            raise CountError("sums inside sums")


def _check_shapes(
    runs: Sequence[range], options: Sequence[Options], results: Iterable[Expression]
) -> None:
    shapes = [{_shape(e) for i in run for e in options[i]} for run in runs]
    within = {_shape(p) for found in options for e in found for p in list(_inside(e))[1:]}
    within |= {_shape(p) for e in results for p in _inside(e)}
    if any(not within.isdisjoint(found) for found in shapes):
        raise CountError("a statement may look like a part of another")
    for a, b in combinations(range(len(runs)), 2):
        if not shapes[a].isdisjoint(shapes[b]):
            chain = [i for run in runs[a : b + 1] for i in run]
            if len(chain) > b - a + 1 or not all(
                i in leaves(e) for i, j in pairwise(chain) for e in options[j]
            ):
                raise CountError("statements of different forms may look alike")
