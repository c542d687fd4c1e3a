"""Turn graphs back into the architecture that they are of: the inverse of `to_graph`.

The terms of a space are compared with the nodes of a graph, from the results upwards; where a
choice stands, the graph says which. What was recognised is then built again and compared node by
node, so that nothing is read into a graph that is not there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, product
from typing import TypeVar

from epnas_dsl.errors import ArchitectureError, LimitError, Span, nearest
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.arithmetic import evaluate
from epnas_dsl.space.builder import NOMINAL_WIDTH
from epnas_dsl.space.graph import body_nodes
from epnas_dsl.space.nodes import Graph, Node, nodes
from epnas_dsl.space.operations import WIDTH
from epnas_dsl.space.search_space import Body, SearchSpace
from epnas_dsl.space.terms import (
    Apply,
    CellCall,
    Choice,
    Each,
    Function,
    Join,
    Last,
    Number,
    Operation,
    Stack,
    Statement,
    Subset,
    Term,
    Tree,
    Unused,
    Value,
    Variable,
    decisions,
    disassemble,
    inside,
    pick,
)

T = TypeVar("T")
N = TypeVar("N")
MAX_ATTEMPTS = 20_000
MAX_NUMBERS = 10_000  # options of a number that are tried
JOINS = {"add", "concat"}
UNSAID = 1_000  # deeper than any mismatch: the graph fits, but does not tell what was chosen


def from_graph(space: SearchSpace, graphs: Mapping[str, Graph]) -> Architecture:
    """The architecture that some graphs are of: the inverse of `to_graph`.

    The choices noted at the graphs are taken where they make these graphs. Where they do not, or
    are missing, the nodes are recognised. They carry the names that `to_graph` gives: a
    statement's value stands at the last node of its label, so `h2` or `h2.op1`.

    Args:
        graphs: for every body with decisions, by one of its names, its graph.

    Raises:
        ArchitectureError: a graph is none of this space's (E313), or has no choices noted and does
            not say everything, as where a choice stands in dead code (E314).
    """
    listings = {name: nodes(graph) for name, graph in graphs.items()}
    noted = {
        name: graph.graph["choices"] for name, graph in graphs.items() if "choices" in graph.graph
    }
    with suppress(ArchitectureError):
        return _from_choices(space, noted, listings)
    return from_nodes(space, listings, True)


def _from_choices(
    space: SearchSpace, choices: Mapping[str, Sequence[int]], listings: Mapping[str, Sequence[Node]]
) -> Architecture:
    """The architecture with these choices in its bodies, if those have these nodes.

    Raises:
        ArchitectureError: they have not, or the choices are none.
    """
    left = {body: iter(numbers) for body, numbers in _by_body(space, choices).items()}
    found = [n for b, s in space.statements for n in islice(left[b], len(decisions(s.term)))]
    architecture = Architecture(space, found)
    for body, listing in _by_body(space, listings).items():
        _compare(body, listing, body_nodes(architecture, body.name), True)
    return architecture


def _by_body(space: SearchSpace, named: Mapping[str, Sequence[T]]) -> dict[Body, Sequence[T]]:
    """What is given for every body with decisions, by one of its names.

    Raises:
        ArchitectureError: there is nothing for one of them (E305).
    """
    found = {}
    for body in space.decided:
        name = next((n for n in body.names if n in named), None)
        if name is None:
            raise ArchitectureError(
                f"there is no graph of `{body.name}`", code="E305",
                hint=f"{space.name} decides {', '.join(b.name for b in space.decided)}",
            )  # fmt: skip
        found[body] = named[name]
    return found


def from_nodes(
    space: SearchSpace, bodies: Mapping[str, Sequence[Node]], whole: bool = False
) -> Architecture:
    """`from_graph` of the nodes of each body, in topological order, the result last.

    A node that stands for a value without decisions (such as `calibrate(prev1)`) may be an `input`
    of that name.

    Args:
        whole: results are there also where nothing is decided in them.
    """
    given = _by_body(space, bodies)
    present = {_block(n) for listing in given.values() for n in listing}
    least = max([1, *(s.level for _, s in space.statements if s.label in present)])
    levels = {width: i for i, width in enumerate(space.widths)}.values()
    told: ArchitectureError | None = None
    for level in (i for i in levels if i >= least):  # the blocks of a level may have no nodes
        try:
            return _at_level(space, level, given, whole)
        except ArchitectureError as error:  # it may be of the level that is not said whole
            told = error if not told or error.diagnostics[0].code == "E314" else told
    assert told
    first = told.diagnostics[0]
    terms = inside(*(s.term for _, s in space.statements))
    if first.code == "E313" and any(isinstance(t, Function) and t.decisions for t in terms):
        raise ArchitectureError(
            f"the nodes alone do not say what its functions chose, or else {first.message}",
            code="E314", span=first.span, hint="the text of the architecture, or its JSON, does",
        )  # fmt: skip
    raise told


def _at_level(
    space: SearchSpace, level: int, given: Mapping[Body, Sequence[Node]], whole: bool
) -> Architecture:
    found: dict[Statement, Tree] = {}
    for body, listing in given.items():
        ends = whole or body.result.term.decisions > 0
        found.update(_Body(body, listing, level, ends).recognised())
    choices = [n for _, s in space.statements if s in found for n in disassemble(s.term, found[s])]
    architecture = Architecture(space, choices)
    for body, listing in given.items():
        _compare(body, listing, body_nodes(architecture, body.name, dead=True), whole)
    return architecture


def _block(node: Node) -> str:
    return node.name.split(".")[0]


def roots(listing: Sequence[Node]) -> dict[str, Node]:
    """For each statement that has nodes, the node of its value, which is the last."""
    return {_block(n): n for n in listing}


class Mismatch(Exception):
    """Something is not what a term stands for; the deeper the place, the more of it fits."""

    depth = -1
    code = ""


def first(options: Iterable[N], fit: Callable[[N], T]) -> T:
    """What comes of the first option that fits.

    Raises:
        Mismatch: none does, for the deepest of their reasons; of no depth where there is none.
    """
    reasons: list[Mismatch] = []
    for option in options:
        try:
            return fit(option)
        except Mismatch as reason:
            reasons.append(reason)
    raise max(reasons, key=lambda reason: reason.depth, default=Mismatch())


def splits(
    part: Term, given: list[N], rest: int, commutes: bool
) -> Iterator[tuple[list[N], list[N]]]:
    """What a part of a join may take of what is given, and what it leaves to the `rest` parts."""
    if part.many:
        for k in [len(given)] if not rest else range(len(given), -1, -1):
            yield given[:k], given[k:]
        return
    for k in range(len(given) if commutes else min(1, len(given))):
        yield [given[k]], given[:k] + given[k + 1 :]


def subset_tree(chosen: Mapping[int, Tree]) -> Tree:
    """The choice tree of a subset from the trees of its elements."""
    order = tuple(sorted(chosen))
    return order, tuple(chosen[i] for i in order)


class _Mismatch(Mismatch):
    """The graph is not what this term stands for."""

    def __init__(
        self, message: str, node: Node | None, depth: int = 0, hint: str = "", code: str = "E313"
    ) -> None:
        self.message, self.hint, self.code = message, hint, code
        self.depth = depth + UNSAID * (code == "E314")
        self.span: Span | None = node.span if node else None


@dataclass(slots=True)
class _Scope:
    """What is known inside one body or function: which nodes values are, which numbers.

    Attributes:
        terms: what stands behind the labels that are given once, with the scope that it reads
            (None: this one).
    """

    values: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, Number] = field(default_factory=dict)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    choices: dict[str, Term] = field(default_factory=dict)
    terms: dict[str, tuple[Term, _Scope | None]] = field(default_factory=dict)

    def copy(self) -> _Scope:
        """The same, with values and numbers of its own."""
        return replace(self, values=dict(self.values), numbers=dict(self.numbers))


def _scope(statements: Sequence[Statement], inputs: Sequence[str]) -> _Scope:
    scope = _Scope(numbers={"channels": NOMINAL_WIDTH})
    times = Counter([*inputs, *(s.label for s in statements)])
    for s in statements:
        if s.array:
            scope.arrays.setdefault(s.array, []).append(s.label)
        if s.term.kind == "number":
            scope.choices[s.label] = s.term
        elif times[s.label] == 1:
            scope.terms[s.label] = s.term, None
    return scope


class _Body:
    """Compares the statements of a body with the nodes of its graph."""

    def __init__(self, body: Body, listing: Sequence[Node], level: int, ends: bool) -> None:
        self.body = body
        self.present = [s for s in (*body.statements, body.result) if s.level <= level]
        self.nodes = {n.name: n for n in listing}
        self.roots = roots(listing)
        self.result = listing[-1].name if listing and ends else ""
        self.attempts = 0

    def recognised(self) -> dict[Statement, Tree]:
        """The choice tree of each decided statement.

        Raises:
            ArchitectureError: there are none, or not all can be told.
        """
        scope = _scope(self.present[:-1], self.body.inputs)
        versions: dict[str, list[str]] = {x: [x] for x in self.body.inputs}
        for s in self.present[:-1]:
            if s.term.kind != "number":
                seen = versions.setdefault(s.label, [])
                seen.append(f"{s.label}_{len(seen) + 1}" if seen else s.label)
        found: dict[Statement, Tree] = {}
        unsaid: ArchitectureError | None = None
        for label in versions:
            self.bind(label, versions, scope)
        if self.result:
            scope.values["return"] = self.result
        for statement in reversed(self.present):
            target = scope.values.get(statement.label)
            if versions.get(statement.label):  # what is read below is an earlier value
                versions[statement.label].pop()
                self.bind(statement.label, versions, scope)
            if statement.term.decisions:
                try:
                    found[statement] = self.statement(statement, target, scope)
                except ArchitectureError as error:  # what is another is told before what is unsaid
                    if error.diagnostics[0].code != "E314":
                        raise
                    unsaid = unsaid or error
            elif target and statement.term.kind != "number":
                with suppress(_Mismatch):  # it may still tell what the values are that it reads
                    self.first([target], partial(self.match, statement.term, scope=scope), scope)
        if unsaid:
            raise unsaid
        return found

    def bind(self, label: str, versions: Mapping[str, list[str]], scope: _Scope) -> None:
        """A label stands for its newest value, at the node of that name where there is one."""
        scope.values.pop(label, None)
        newest = versions[label][-1] if versions[label] else ""
        if newest in self.roots or newest in self.body.inputs:
            scope.values[label] = self.roots[newest].name if newest in self.roots else newest

    def statement(self, statement: Statement, target: str | None, scope: _Scope) -> Tree:
        try:
            if statement.term.kind == "number" and statement.label in scope.numbers:
                return self.number(statement.term, scope.numbers[statement.label], scope, None)
            if target:
                return self.match(statement.term, target, scope)
        except _Mismatch as e:
            raise ArchitectureError(e.message, code=e.code, span=e.span, hint=e.hint) from None
        raise ArchitectureError(
            f"the graph does not say what `{self.body.name}.{statement.label}` is", code="E314",
            hint="a graph tells nothing of what its result does not depend on",
        )  # fmt: skip

    # --- values

    def match(self, term: Term, target: str, scope: _Scope) -> Tree:
        """The choices that make this term the node of that name."""
        self.count()
        node = self.nodes[target]
        match term:
            case Choice():
                return self.choice(term, target, scope)
            case Value():
                self.same(term.label, target, scope)
                return ()
            case Last():
                self.same(scope.arrays[term.array][-1], target, scope)
                return ()
            case Apply():
                return self.apply(term, node, scope)
            case Join():
                return self.join(term, node, scope)
            case Stack() | CellCall():
                cells = term.cells if isinstance(term, Stack) else (term.cell,)
                called = node.text.partition("(")[0]
                if called != " ".join(cells) or len(node.inputs) != len(term.inputs):
                    raise _Mismatch(f"`{called}` where `{' '.join(cells)}` stands", node)
                pairs = zip(term.inputs, node.inputs, strict=True)
                trees = [self.match(t, i, scope) for t, i in pairs]
                if term.width:
                    trees.append(self.width(term.width, node, scope))
                return tuple(trees)
        raise TypeError(term)

    def count(self) -> None:
        self.attempts += 1
        if self.attempts > MAX_ATTEMPTS:
            raise LimitError("this graph takes too long to compare with its space", code="E913")

    def width(self, term: Term, node: Node, scope: _Scope) -> Tree:
        known = dict(node.settings)
        if WIDTH in known:
            return self.number(term, known[WIDTH], scope, node)
        if term.decisions:
            raise ArchitectureError(
                f"the graph does not say how wide `{node.name}` is", code="E314", span=node.span,
                hint="the text of the architecture, or its JSON, does",
            )  # fmt: skip
        return ()

    def same(self, label: str, target: str, scope: _Scope) -> None:
        if label not in scope.values and label in scope.terms:  # it must be able to stand there
            term, around = scope.terms[label]
            self.match(term, target, (around or scope).copy())
        if scope.values.setdefault(label, target) != target:
            raise _Mismatch(f"`{target}` where `{label}` stands", self.nodes[target])

    def first(self, options: Iterable[N], fit: Callable[[N], T], scope: _Scope) -> T:
        """As `first`; what an option that does not fit made known is forgotten."""

        def undone(option: N) -> T:
            before = dict(scope.values), dict(scope.numbers)
            try:
                return fit(option)
            except Mismatch:
                scope.values, scope.numbers = before
                raise

        return first(options, undone)

    def choice(self, term: Choice, target: str, scope: _Scope) -> Tree:
        try:
            return self.one_of(_likely(term.alternatives, target, scope), target, scope)
        except _Mismatch as best:
            if best.depth == 0 and all(isinstance(a, Value) for a in term.alternatives):
                raise _reads(target, term.alternatives, self.nodes[target]) from None
            raise

    def one_of(
        self, options: Iterable[tuple[int, Term]], target: str, scope: _Scope
    ) -> tuple[int, Tree]:
        """The number of the first term that is the node of that name, and the choices in it."""
        return self.first(options, lambda o: (o[0], self.match(o[1], target, scope)), scope)

    def apply(self, term: Apply, node: Node, scope: _Scope) -> Tree:
        callee, inputs, arguments = self.callee(term, term.callee, node, scope)
        if isinstance(inputs, int):  # of an operation: the node reads them
            if len(node.inputs) != inputs:
                raise _Mismatch(f"`{node.operation}` of {len(node.inputs)} values", node, 1)
            reads: list[str | None] = list(node.inputs)
        else:
            reads = list(inputs)
        trees = [callee]
        for inner, read in zip(term.inputs, reads, strict=True):
            if read is None and inner.decisions:
                raise _Mismatch(
                    f"nothing reads what `{node.name}` is made of", node, 1, code="E314"
                )
            try:
                trees.append(self.match(inner, read, scope) if read is not None else ())
            except _Mismatch as e:
                e.depth += 2
                e.span = e.span or node.span
                raise
        return (*trees, *arguments)

    def callee(
        self, term: Apply, callee: Term, node: Node, scope: _Scope
    ) -> tuple[Tree, int | list[str | None], list[Tree]]:
        """The choices in an operation; how many values it reads, or which; those in arguments."""
        if isinstance(callee, Choice):
            options = enumerate(callee.alternatives)
            try:
                i, (tree, inputs, arguments) = self.first(
                    options, lambda o: (o[0], self.callee(term, o[1], node, scope)), scope
                )
            except _Mismatch as best:
                if best.depth > 0:
                    raise
                names = list(dict.fromkeys(callees(callee)))
                message = f"`{node.operation}` is not one of {', '.join(names)}"
                raise _Mismatch(message, node, 0, nearest(node.operation, names)) from None
            return (i, tree), inputs, arguments
        if isinstance(callee, Function):
            return self.function(term, callee, node, scope)
        assert isinstance(callee, Operation)
        if node.operation != callee.name:
            raise _Mismatch(f"`{node.operation}` where `{callee.name}` stands", node, 0,
                            nearest(node.operation, [callee.name]))  # fmt: skip
        known = dict(node.settings)
        written = {n for n, _ in (*callee.arguments, *term.arguments)}
        if more := known.keys() - written - {WIDTH}:
            raise _Mismatch(f"`{node.operation}` has no `{min(more)}=` here", node, 1)
        missing = [n for n in written if n not in known]
        if missing:
            raise _Mismatch(f"`{node.operation}` needs `{missing[0]}=`", node, 1)
        if term.width and WIDTH not in known and node.width.isdecimal():
            self.number(term.width, int(node.width), scope, node)
        own = [self.number(t, known[n], scope, node) for n, t in callee.arguments]
        given = [self.number(t, known[n], scope, node) for n, t in term.arguments]
        return tuple(own), len(term.inputs), given

    def function(
        self, term: Apply, function: Function, node: Node, scope: _Scope
    ) -> tuple[Tree, list[str | None], list[Tree]]:
        """The body of a function is compared like that of a cell; its names are its own."""
        inner = _scope(function.statements, function.inputs)
        made = {s.label for s in function.statements}
        for label, read in zip(function.inputs, term.inputs, strict=True):
            if label not in made:
                inner.terms[label] = read, scope
        for name, argument in (*function.arguments, *term.arguments):
            inner.choices[name] = argument
            inner.numbers.pop(name, None)  # `channels` of the cell, where a function has its own
            if not argument.decisions:
                with suppress(KeyError):
                    inner.numbers[name] = evaluate(argument, (), scope.numbers)
        trees = [self.match(function.result, node.name, inner)]
        for s in reversed(function.statements):
            if s.term.kind == "number":
                trees += self.arguments([(s.label, s.term)], inner, inner, node)
                continue
            target = inner.values.pop(s.label, None)  # what is read below is an earlier value
            if target is None and s.term.decisions:
                raise _Mismatch(
                    f"nothing reads `{s.label}` of `{function.name}`", node, 1, code="E314"
                )
            trees.append(self.match(s.term, target, inner) if target else ())
        own = self.arguments(function.arguments, inner, scope, node)
        given = self.arguments(term.arguments, inner, scope, node)
        reads = [inner.values.get(x) for x in function.inputs]
        return (*own, *reversed(trees)), reads, given

    def arguments(
        self, arguments: Sequence[tuple[str, Term]], inner: _Scope, scope: _Scope, node: Node
    ) -> list[Tree]:
        found: list[Tree] = []
        for name, term in arguments:
            if term.decisions and name not in inner.numbers:
                raise _Mismatch(f"nothing tells what `{name}` is", node, 1, code="E314")
            decided = term.decisions and name in inner.numbers
            found.append(self.number(term, inner.numbers[name], scope, node) if decided else ())
        return found

    def number(self, term: Term, value: Number | None, scope: _Scope, node: Node | None) -> Tree:
        """The choices that give a number this value."""
        if value is None:
            raise _Mismatch("a number is missing", node, 1)
        if isinstance(term, Variable):
            if scope.numbers.setdefault(term.name, value) != value:
                raise _Mismatch(f"{value} where {scope.numbers[term.name]} stands", node, 1)
            return ()
        for i in range(min(term.size, MAX_NUMBERS)):
            tree = pick(term, i)
            known = self.solved(term, tree, value, scope.numbers, scope)
            if known is not None:
                scope.numbers = known
                return tree
        raise _Mismatch(f"{value} does not fit here", node, 1)

    def solved(
        self, term: Term, tree: Tree, value: Number, numbers: dict[str, Number], scope: _Scope
    ) -> dict[str, Number] | None:
        """The numbers, chosen ones that were not known included, for which this is the value."""
        self.count()
        try:
            return numbers if evaluate(term, tree, numbers) == value else None
        except KeyError as unknown:
            name = str(unknown.args[0])
        chosen = scope.choices.get(name)
        if chosen is None:
            return numbers  # unseen here; looked at when the architecture is built again
        for i in range(min(chosen.size, MAX_NUMBERS)):
            with suppress(KeyError):
                known = {**numbers, name: evaluate(chosen, pick(chosen, i), numbers)}
                found = self.solved(term, tree, value, known, scope)
                if found is not None:
                    return found
        return None

    # --- sums and concatenations

    def join(self, term: Join, node: Node, scope: _Scope) -> Tree:
        several = node.operation == term.operator
        ways = product([[*node.inputs], [node.name]] if several else [[node.name]], (False, True))
        parts = list(enumerate(term.parts))
        try:
            trees = self.first(ways, lambda way: self.parts(parts, way[0], scope, way[1]), scope)
        except _Mismatch as e:
            e.span = e.span or node.span
            raise
        return tuple(trees[i] for i in range(len(parts)))

    def parts(
        self, parts: list[tuple[int, Term]], targets: list[str], scope: _Scope, commutes: bool
    ) -> dict[int, Tree]:
        """Give every value to a part; parts of several values take what fits."""
        single = [(i, p) for i, p in parts if not p.many]
        if commutes and len(single) != len(parts):
            parts = single + [(i, p) for i, p in parts if p.many]
        if not parts:
            if targets:
                raise _Mismatch(f"`{targets[0]}` is one too many", self.nodes[targets[0]])
            return {}
        (index, part), rest = parts[0], parts[1:]

        def give(split: tuple[list[str], list[str]]) -> dict[int, Tree]:
            tree = self.part(part, split[0], scope)
            return {index: tree, **self.parts(rest, split[1], scope, commutes)}

        try:
            return self.first(splits(part, targets, len(rest), commutes), give, scope)
        except Mismatch as best:
            if isinstance(part, Value) and part.optional and part.label not in self.roots:
                return {index: (), **self.parts(rest, targets, scope, commutes)}
            raise best if best.depth >= 0 else _Mismatch("a value is missing", None) from None

    def part(self, part: Term, taken: list[str], scope: _Scope) -> Tree:
        match part:
            case Subset():
                return self.subset(part, taken, scope)
            case Each():
                return self.each(part, taken, scope)
            case Unused():
                self.chosen([Value(x) for x in scope.arrays.get(part.array, [])], taken, scope)
                return ()
        return self.match(part, taken[0], scope)

    def subset(self, term: Subset, taken: list[str], scope: _Scope) -> Tree:
        chosen = self.chosen(term.elements, taken, scope)
        self.check_number(term, chosen, taken)
        return subset_tree(chosen)

    def chosen(self, elements: Sequence[Term], taken: list[str], scope: _Scope) -> dict[int, Tree]:
        """Which elements these nodes are, each another one, and the choices in them."""
        found: dict[int, Tree] = {}
        for target in taken:
            i, found[i] = self.element(elements, target, found, scope)
        return found

    def element(
        self, elements: Sequence[Term], target: str, taken: Mapping[int, object], scope: _Scope
    ) -> tuple[int, Tree]:
        """The first element not taken that this node can be."""
        try:
            left = [o for o in _likely(elements, target, scope) if o[0] not in taken]
            return self.one_of(left, target, scope)
        except Mismatch as e:
            raise e if e.code == "E314" else _reads(target, elements, self.nodes[target]) from None

    def each(self, term: Each, taken: list[str], scope: _Scope) -> Tree:
        """`op(s) for s in ..`: what the body reads is the element."""
        elements: dict[int, Tree] = {}
        bodies: dict[int, Tree] = {}
        outer = scope.values.pop(term.variable, None)
        for target in taken:
            body = self.match(term.body, target, scope)
            read = scope.values.pop(term.variable, None)
            if read is None:
                raise _Mismatch(f"`{target}` reads none of the elements", self.nodes[target])
            try:
                i, elements[i] = self.element(term.subset.elements, read, elements, scope)
            except _Mismatch as e:
                e.depth, e.span = max(e.depth, 2), self.nodes[target].span
                raise
            bodies[i] = body
        if outer:
            scope.values[term.variable] = outer
        self.check_number(term.subset, elements, taken)
        subset = subset_tree(elements)
        if term.is_product and term.body.size == 1:
            return (subset, ())
        return (subset, *(bodies[i] for i in subset[0]))

    def check_number(self, term: Subset, chosen: Mapping[int, Tree], taken: list[str]) -> None:
        if not term.least <= len(chosen) <= term.most:
            need = str(term.least) if term.least == term.most else f"at least {term.least}"
            last = self.nodes[taken[-1]] if taken else None
            raise _Mismatch(f"{len(chosen)} values where {need} are needed", last, 1)


def _likely(terms: Sequence[Term], target: str, scope: _Scope) -> list[tuple[int, Term]]:
    """The terms with their positions, the value known to be that node first."""

    def unknown(pair: tuple[int, Term]) -> bool:
        return not (isinstance(pair[1], Value) and scope.values.get(pair[1].label) == target)

    return sorted(enumerate(terms), key=unknown)


def _reads(target: str, elements: Sequence[Term], node: Node) -> _Mismatch:
    labels = [e.label for e in elements if isinstance(e, Value)]
    can = ", ".join(f"`{x}`" for x in labels) or "other values"
    twice = "twice " if target in labels else ""
    message = f"`{target}` cannot be read {twice}here; there are {can}"
    return _Mismatch(message, node, 0, nearest(target, [x for x in labels if x != target]))


def callees(term: Term) -> Iterator[str]:
    """The names of the operations and functions that a term may call, in the order of the text."""
    if isinstance(term, Operation | Function):
        yield term.name
    else:
        for child in term.children:
            yield from callees(child)


# --- is it the same graph? ---------------------------------------------------------------------


def _compare(body: Body, given: Sequence[Node], built: Sequence[Node], whole: bool) -> None:
    """Refuse a graph that is not the one which the recognised architecture has."""
    leaves = {n.name for n in given if n.operation == "input"}
    ours, theirs = digests(built, leaves), digests(given, leaves)
    made = _made(built)
    listings = {n.name: n for n in built}, {n.name: n for n in given}
    pairs = [(label, node, made.get(label)) for label, node in roots(given).items()]
    if whole or body.result.term.decisions:
        pairs = [p for p in pairs if p[1] is not given[-1]]
        pairs.append(("return", given[-1], built[-1]))
    for label, node, twin in pairs:
        if node.operation == "input":
            continue
        if not twin or ours[twin.name] != theirs[node.name]:
            raise _differs(body, label, node)
        asked = zip(listings, (ours, theirs), (twin, node), strict=True)
        twice, once = (Counter(d[n] for n in _below(x, top.name, leaves)) for x, d, top in asked)
        if twice != once:  # two of a kind are not one that is read twice
            raise _differs(body, label, node)


def _below(listing: Mapping[str, Node], top: str, leaves: set[str]) -> set[str]:
    """The nodes that one is made of, those that do nothing left out."""
    found, waiting = set[str](), [top]
    while waiting:
        name = waiting.pop()
        if name not in found and name not in leaves:
            found.add(name)
            waiting += listing[name].inputs
    return {n for n in found if len(listing[n].inputs) > 1 or listing[n].operation not in JOINS}


def _made(built: Sequence[Node]) -> dict[str, Node]:
    """`roots`, but what the result reads comes before what nothing reads."""
    alive = {built[-1].name} if built else set()
    for node in reversed(built):
        if node.name in alive:
            alive.update(node.inputs)
    return roots(built) | roots([node for node in built if node.name in alive])


def _differs(body: Body, label: str, node: Node) -> ArchitectureError:
    return ArchitectureError(
        f"`{body.name}.{label}` is another one in every architecture of the space", code="E313",
        span=node.span, hint="`epnas show SPACE` tells what is chosen; the rest is fixed",
    )  # fmt: skip


def digests(listing: Sequence[Node], leaves: set[str] | None = None) -> dict[str, bytes]:
    """For each node a hash of what it computes from the inputs (and `leaves`), as written.

    Operands of `+` and joined values count without their order.
    """
    found: dict[str, bytes] = {}
    for node in listing:
        parts = [found[i] for i in node.inputs]
        name = node.operation
        if node.operation == "input" or (leaves and node.name in leaves):
            name, parts = f"input {node.name}", []
        if name in JOINS:
            parts.sort()
            if len(parts) == 1:  # nothing is done to it
                found[node.name] = parts[0]
                continue
        head = repr(
            (name, node.settings if parts else (), node.text.partition("(")[0] * (name == "stack"))
        )
        found[node.name] = hashlib.blake2b(head.encode() + b"".join(parts), digest_size=16).digest()
    return found
