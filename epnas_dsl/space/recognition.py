"""Turn graphs back into the architecture that they are of: the inverse of `to_graph`.

The terms of a space are compared with the nodes of a graph, from the results upwards; where a
choice stands, the graph says which. What was recognised is then built again and compared node by
node, so that nothing is read into a graph that is not there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar

from epnas_dsl.errors import ArchitectureError, LimitError, Span, nearest
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.arithmetic import evaluate
from epnas_dsl.space.builder import NOMINAL_WIDTH
from epnas_dsl.space.graph import body_nodes, statement_names
from epnas_dsl.space.nodes import Graph, Node, nodes
from epnas_dsl.space.operations import WIDTH
from epnas_dsl.space.search_space import Body, SearchSpace
from epnas_dsl.space.terms import (
    Apply,
    CellCall,
    Choice,
    Constant,
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
    pick,
)

T = TypeVar("T")
N = TypeVar("N")
S = TypeVar("S")
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
    with suppress(ArchitectureError, Mismatch):
        return _from_choices(space, noted, listings)
    return from_nodes(space, listings, True)


def _from_choices(
    space: SearchSpace, choices: Mapping[str, Sequence[int]], listings: Mapping[str, Sequence[Node]]
) -> Architecture:
    """The architecture with these choices in its bodies, if those have these nodes."""
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
    present = {(body, _block(n)) for body, listing in given.items() for n in listing}
    least = max([1, *(s.level for b, s in space.statements if (b, s.label) in present)])
    levels = {width: i for i, width in enumerate(space.widths)}.values()
    told: Mismatch | None = None
    for level in (i for i in levels if i >= least):  # the blocks of a level may have no nodes
        try:
            return _at_level(space, level, given, whole)
        except Mismatch as reason:  # it may be of the level that is not said whole
            told = reason if not told or reason.code == "E314" else told
    assert told
    raise ArchitectureError(told.message, code=told.code, span=told.span, hint=told.hint)


def _at_level(
    space: SearchSpace, level: int, given: Mapping[Body, Sequence[Node]], whole: bool
) -> Architecture:
    numbers = {s: [0] * len(decisions(s.term)) for _, s in space.statements if s.level <= level}
    for body, listing in given.items():
        ways = _Body(body, listing, level, whole or body.result.term.decisions > 0).recognised()
        next(any_of(ways, partial(_built, space, numbers, body, listing, whole)))
    return Architecture(space, [n for chosen in numbers.values() for n in chosen])


def _built(
    space: SearchSpace, numbers: dict[Statement, list[int]], body: Body, listing: Sequence[Node],
    whole: bool, trees: Mapping[Statement, Tree],
) -> Iterator[None]:  # fmt: skip
    """Note the numbers chosen in a body, if they make these nodes."""
    numbers.update((s, disassemble(s.term, tree)) for s, tree in trees.items())
    architecture = Architecture(space, [n for chosen in numbers.values() for n in chosen])
    _compare(body, listing, body_nodes(architecture, body.name, dead=True), whole)
    yield


def _block(node: Node) -> str:
    return node.name.split(".")[0]


def roots(listing: Sequence[Node]) -> dict[str, Node]:
    """For each statement that has nodes, the node of its value, which is the last."""
    return {_block(n): n for n in listing}


class Mismatch(Exception):
    """Something is not what a term stands for; the deeper the place, the more of it fits."""

    def __init__(
        self, message: str = "a value is missing", node: Node | None = None, depth: int = 0,
        hint: str = "", code: str = "E313",
    ) -> None:  # fmt: skip
        self.message, self.hint, self.code = message, hint, code
        self.depth = depth + UNSAID * (code == "E314")
        self.span: Span | None = node.span if node else None


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is known inside one body or function: which nodes values are, which numbers.

    Attributes:
        terms: what stands behind the labels, but for those that are given again.
        named: whether a value without a node of its name is another, as in a body.
        passes: whether nothing is made here, only passed on.
        made: the nodes that are compared already.
    """

    values: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, Number] = field(default_factory=dict)
    arrays: dict[str, list[str]] = field(default_factory=dict, compare=False)
    terms: dict[str, Term] = field(default_factory=dict, compare=False)
    again: set[str] = field(default_factory=set, compare=False)
    named: bool = False
    passes: bool = field(default=False, compare=False)
    made: frozenset[str] = frozenset()

    def where(self, label: str, node: str | None) -> _Scope:
        """The same, but for the node that one label stands for."""
        if self.values.get(label) == node:
            return self
        values = {x: n for x, n in self.values.items() if x != label}
        return replace(self, values={**values, label: node} if node else values)

    def makes(self, node: Node) -> _Scope:
        """The same behind what makes a node; nothing else does."""
        if self.passes or node.name in self.made:
            raise Mismatch(f"`{node.name}` is made elsewhere", node)
        return replace(self, made=self.made | {node.name})


Ways = Iterator[tuple[Tree, _Scope]]  # the choices that fit, each with what is known then
Step = Callable[[_Scope], Ways]


class _Way(NamedTuple):
    """How far a comparison has come; how it did so makes no difference to the rest."""

    done: Any
    trees: dict[Any, Any]
    scope: Any


def first(options: Iterable[N], fit: Callable[[N], T]) -> T:
    """What comes of the first option that fits, or the deepest reason why none does."""
    return next(any_of(options, lambda option: [fit(option)]))


def any_of(
    options: Iterable[N], fit: Callable[[N], Iterable[T] | None], steps: float = 1
) -> Iterator[T]:
    """All that comes of the options, depth first.

    Args:
        steps: what comes is fitted again, up to so many times, as long as `fit` is not None.

    Raises:
        Mismatch: nothing does, for the deepest of the reasons.
    """
    deepest, fits = Mismatch(depth=-1), False
    waiting: list[Iterator[Any]] = [iter(options)]
    while waiting:
        try:
            for found in waiting[-1]:
                following = fit(found) if len(waiting) <= steps else None
                if following is not None:
                    waiting.append(iter(following))
                    break
                fits = True
                yield found
            else:
                waiting.pop()
        except Mismatch as reason:
            deepest = max(deepest, reason, key=lambda r: r.depth)
    if not fits:
        raise deepest


def _search(start: _Way, onward: Callable[[_Way], Iterator[_Way] | None]) -> Iterator[_Way]:
    """The ways that lead to an end, where `onward` is None; of those that meet, one."""
    met: dict[Any, list[Any]] = {}

    def fresh(way: _Way) -> Iterable[_Way] | None:
        known = met.setdefault(way.done, [])
        if way.scope in known:
            return ()
        known.append(way.scope)
        return onward(way)

    return any_of([start], fresh, inf)


def _in_turn(steps: Sequence[Step], scope: _Scope, trees: Tree = ()) -> Ways:
    """One step after the other, each with what is known after the one before."""
    if not steps:
        return iter([(trees, scope)])
    return any_of(steps[0](scope), lambda way: _in_turn(steps[1:], way[1], (*trees, way[0])))


class Joining(Generic[N, S]):
    """Tells which parts the operands of a join are; graphs and texts have that in common."""

    def fits(
        self, part: Term, target: N, taken: Container[int], scope: S
    ) -> Iterator[tuple[tuple[int, Tree], S]]:
        """The elements of a part, not taken, that an operand is; 0 of a part without any."""
        raise NotImplementedError

    def check(self, part: Term | None, targets: Sequence[N]) -> None:
        """Refuse a part of so many or few operands; None: what is left when all parts are taken."""
        raise NotImplementedError

    def parts(
        self, parts: Sequence[Term], targets: Sequence[N], scope: S, commutes: bool = True
    ) -> Iterator[tuple[Tree, S]]:
        """Every operand is that of a part, or of an element of one, each of another."""
        order = sorted(enumerate(parts), key=lambda p: commutes and p[1].many)

        def onward(way: _Way) -> Iterator[_Way] | None:
            own: list[list[N]] = [[] for _ in parts]
            for (i, _), target in zip(way.trees, targets, strict=False):
                own[i].append(target)
            if len(way.trees) == len(targets):
                for part, given in zip(parts, own, strict=True):
                    self.check(part, given)
                return None
            target = targets[len(way.trees)]
            free = [(i, p) for i, p in order if p.many or not own[i]]
            if not commutes:  # neither before the last one nor beyond the next
                last = max((i for i, _ in way.trees), default=0)
                single = next((i for i, p in free if i >= last and not p.many), len(parts))
                free = [(i, p) for i, p in free if last <= i <= single]
            if not free:
                self.check(None, [target])

            def fit(option: tuple[int, Term]) -> Iterator[_Way]:
                i, part = option
                taken = {j for k, j in way.trees if k == i}
                for (j, tree), after in self.fits(part, target, taken, way.scope):
                    trees = {**way.trees, (i, j): tree}
                    yield _Way(frozenset(trees), trees, after)

            return any_of(free, fit)

        for way in _search(_Way(frozenset(), {}, scope), onward):
            chosen: list[dict[int, Tree]] = [{} for _ in parts]
            for (i, j), tree in way.trees.items():
                chosen[i][j] = tree
            yield tuple(map(_part_tree, parts, chosen)), way.scope


def _part_tree(part: Term, chosen: Mapping[int, Tree]) -> Tree:
    """The choice tree of a part of a join from those of its elements."""
    order = tuple(sorted(chosen))
    match part:
        case Subset():
            return order, tuple(chosen[i] for i in order)
        case Each():
            subset = order, tuple(chosen[i][0] for i in order)
            bodies = [chosen[i][1] for i in order]
            same = part.is_product and part.body.size == 1  # one tree stands for each
            return (subset, *(bodies[:1] or [()])) if same else (subset, *bodies)
    return chosen.get(0, ())


def _scope(statements: Sequence[Statement], inputs: Sequence[str]) -> _Scope:
    scope = _Scope(numbers={"channels": NOMINAL_WIDTH})
    times = Counter([*inputs, *(s.label for s in statements)])
    for s in statements:
        if s.array:
            scope.arrays.setdefault(s.array, []).append(s.label)
        if times[s.label] > 1 and s.term.kind != "number":
            scope.again.add(s.label)
        else:
            scope.terms[s.label] = s.term
    return scope


class _Body(Joining[str, _Scope]):
    """Compares the statements of a body with the nodes of its graph.

    What is compared gives all ways to choose that fit, or a Mismatch where there are none.
    """

    def __init__(self, body: Body, listing: Sequence[Node], level: int, ends: bool) -> None:
        self.body = body
        self.names = statement_names(body, level)
        self.nodes = {n.name: n for n in listing}
        self.roots = roots(listing)
        self.ends = {"return": listing[-1].name} if listing and ends else {}
        self.attempts = 0

    def recognised(self) -> Iterator[dict[Statement, Tree]]:
        """The choice tree of each decided statement."""
        scope = _scope([*self.names.values()][:-1], self.body.inputs)
        values, lines = {x: x for x in self.body.inputs}, []
        for name, s in self.names.items():
            passes = name not in self.roots and s is not self.body.result
            lines.append((s, values.pop(s.label, None), passes))
            if name in self.roots and s.term.kind != "number":
                values[s.label] = self.roots[name].name
        scope = replace(scope, values=values | self.ends, named=True)
        for trees, _ in self.statements(self.body.name, lines, scope):
            self.count(len(self.nodes))
            yield {s: t for (s, *_), t in zip(lines, trees, strict=True) if s.term.decisions}

    def statements(
        self, name: str, lines: Sequence[tuple[Statement, str | None, bool]], scope: _Scope
    ) -> Ways:
        """The choices in the statements of a body or function, from the last to the first.

        Args:
            lines: each with the node that its label stood for before, and whether it makes none.
        """

        def onward(way: _Way) -> Iterator[_Way] | None:
            if way.done:
                return self.statement(name, lines[way.done - 1], way)
            unsaid = [s.label for i, (s, *_) in enumerate(lines)
                      if s.term.decisions and i not in way.trees]  # fmt: skip
            if unsaid:
                what = f"the graph does not say what `{name}.{unsaid[-1]}` is"
                raise way.trees.get("unsaid") or Mismatch(
                    what if scope.named else f"nothing reads `{unsaid[-1]}` of `{name}`", None, 1,
                    "a graph tells nothing of what its result does not depend on", "E314",
                )  # fmt: skip
            return None

        for way in _search(_Way(len(lines), {}, scope), onward):
            yield tuple(way.trees.get(i, ()) for i in range(len(lines))), way.scope

    def statement(
        self, name: str, line: tuple[Statement, str | None, bool], way: _Way
    ) -> Iterator[_Way]:
        """The ways of one statement; one of which the graph does not tell is passed over."""
        s, before, passes = line
        i, trees, scope, ways = way.done - 1, way.trees, way.scope, None
        node = self.nodes.get(scope.values.get(s.label, ""))
        value = scope.numbers.get(s.label) if s.term.kind == "number" else None
        again = scope.where(s.label, before) if s.label in scope.again else scope
        scope = replace(again, passes=passes)
        try:
            if value is not None:
                ways = self.number(s.term, value, None, scope)
            elif node:
                ways = self.match(s.term, node.name, scope)
            for tree, after in ways or ():
                yield _Way(i, {**trees, i: tree} if s.term.decisions else trees, after)
            if ways:
                return
        except Mismatch as reason:
            if reason.code == "E314":
                trees = {"unsaid": reason, **trees}  # the first of them stays
            elif s.term.decisions or not node:
                raise
            elif node.operation != "input" or node.name in self.body.inputs:
                raise _differs(name, s.label, node) from None
        yield _Way(i, trees, scope)

    # --- values

    def match(self, term: Term, target: str, scope: _Scope) -> Ways:
        """The choices that make this term the node of that name."""
        self.count()
        node = self.nodes[target]
        match term:
            case Choice():
                return self.one_of(term.alternatives, target, scope)
            case Value():
                return self.same(term.label, target, scope)
            case Last():
                return self.same(scope.arrays[term.array][-1], target, scope)
            case Apply():
                return self.apply(term, node, scope)
            case Join():
                return self.join(term, node, scope)
            case Stack() | CellCall():
                cells = term.cells if isinstance(term, Stack) else (term.cell,)
                called, settings = node.text.partition("(")[0], dict(node.settings)
                if called != " ".join(cells) or len(node.inputs) != len(term.inputs):
                    raise Mismatch(f"`{called}` where `{' '.join(cells)}` stands", node)
                pairs = zip(term.inputs, node.inputs, strict=True)
                steps = [partial(self.match, t, i) for t, i in pairs]
                if term.width:
                    steps.append(partial(self.number, term.width, settings.get(WIDTH), node))
                return _in_turn(steps, scope.makes(node))
        raise TypeError(term)

    def count(self, attempts: int = 1) -> None:
        self.attempts += attempts
        if self.attempts > MAX_ATTEMPTS:
            raise LimitError("this graph takes too long to compare with its space", code="E913")

    def same(self, label: str, target: str, scope: _Scope) -> Ways:
        if scope.named and label not in scope.values and label in scope.terms:  # may it be passed?
            known = {x: n for x, n in scope.values.items() if x not in scope.again}
            try:
                alone = replace(scope, values=known, passes=True)
                next(self.match(scope.terms[label], target, alone))
            except Mismatch as reason:
                if reason.code != "E314":
                    raise
        if scope.values.get(label, target) != target:
            raise Mismatch(f"`{target}` where `{label}` stands", self.nodes[target])
        yield (), scope.where(label, target)

    def one_of(
        self, terms: Sequence[Term], target: str, scope: _Scope, taken: Container[int] = ()
    ) -> Ways:
        """The numbers of the terms not taken that are the node, with the choices in them."""

        def fit(option: tuple[int, Term]) -> Ways:
            ways = self.match(option[1], target, scope)
            return (((option[0], tree), after) for tree, after in ways)

        known = [scope.values.get(t.label) if isinstance(t, Value) else None for t in terms]
        left = [
            (i, t) for i, t in enumerate(terms) if i not in taken and known[i] in {None, target}
        ]
        try:
            yield from any_of(sorted(left, key=lambda o: known[o[0]] is None), fit)
        except Mismatch as best:
            if best.depth > 0 or not all(isinstance(t, Value) for t in terms):
                raise
            raise _reads(target, terms, self.nodes[target]) from None

    def apply(self, term: Apply, node: Node, scope: _Scope) -> Ways:
        def read(found: tuple[Tree, _Scope]) -> Ways:
            (callee, reads, arguments), known = found
            pairs = zip(term.inputs, reads, strict=True)
            steps = [partial(self.read, inner, name, node) for inner, name in pairs]
            return (((callee, *t, *arguments), after) for t, after in _in_turn(steps, known))

        return any_of(self.callee(term, term.callee, node, scope), read)

    def read(self, term: Term, target: str | None, node: Node, scope: _Scope) -> Ways:
        """What a node reads; None: a function that does not read it."""
        if target is None and term.decisions:
            raise Mismatch(f"nothing reads what `{node.name}` is made of", node, 1, code="E314")
        try:
            yield from self.match(term, target, scope) if target else iter([((), scope)])
        except Mismatch as e:
            e.depth += 2
            e.span = e.span or node.span
            raise

    def callee(self, term: Apply, callee: Term, node: Node, scope: _Scope) -> Ways:
        """The choices in an operation, the values that it reads, the choices in arguments."""
        if isinstance(callee, Choice):

            def fit(option: tuple[int, Term]) -> Ways:
                ways = self.callee(term, option[1], node, scope)
                return ((((option[0], tree), *rest), after) for (tree, *rest), after in ways)

            try:
                yield from any_of(enumerate(callee.alternatives), fit)
            except Mismatch as best:
                if best.depth > 0:
                    raise
                names = list(dict.fromkeys(callees(callee)))
                message = f"`{node.operation}` is not one of {', '.join(names)}"
                raise Mismatch(message, node, 0, nearest(node.operation, names)) from None
            return
        if isinstance(callee, Function):
            yield from self.function(term, callee, node, scope)
            return
        assert isinstance(callee, Operation)
        if node.operation != callee.name:
            raise Mismatch(f"`{node.operation}` where `{callee.name}` stands", node, 0,
                            nearest(node.operation, [callee.name]))  # fmt: skip
        known, arguments = dict(node.settings), (*callee.arguments, *term.arguments)
        written = {n for n, _ in arguments}
        if more := known.keys() - written - {WIDTH}:
            raise Mismatch(f"`{node.operation}` has no `{min(more)}=` here", node, 1)
        missing = [n for n in written if n not in known]
        if missing:
            raise Mismatch(f"`{node.operation}` needs `{missing[0]}=`", node, 1)
        if len(node.inputs) != len(term.inputs):
            raise Mismatch(f"`{node.operation}` of {len(node.inputs)} values", node, 1)
        steps = [partial(self.number, t, known[n], node) for n, t in arguments]
        if term.width and WIDTH not in known and node.width.isdecimal():
            steps.append(partial(self.number, term.width, int(node.width), node))
        own = len(callee.arguments)
        for trees, after in _in_turn(steps, scope.makes(node)):
            yield (trees[:own], node.inputs, trees[own : len(arguments)]), after

    def function(self, term: Apply, function: Function, node: Node, scope: _Scope) -> Ways:
        """The body of a function is compared like that of a cell; its names are its own."""
        inner = replace(_scope(function.statements, function.inputs), made=scope.made)
        inner.values["return"] = node.name
        arguments = (*function.arguments, *term.arguments)
        for name, argument in arguments:
            inner.numbers.pop(name, None)  # `channels` of the cell, where a function has its own
            trees = (pick(argument, i) for i in range(min(argument.size, MAX_NUMBERS)))
            every = (self.worked_out(argument, tree, scope.numbers, scope) for tree in trees)
            options = {number for ways in every for _, number in ways}
            if None not in options:
                inner.terms[name] = Choice(tuple(Constant(n) for n in options if n is not None))
        own = len(function.arguments)

        def outside(found: tuple[Tree, _Scope]) -> Ways:
            trees, known = found
            steps = [partial(self.number, t, known.numbers.get(n), node) for n, t in arguments]
            reads = [known.values.get(x) for x in function.inputs]
            for given, after in _in_turn(steps, replace(scope, made=known.made)):
                yield ((*given[:own], *trees), reads, given[own:]), after

        statements = (*function.statements, Statement("return", function.result))
        lines = [(s, None, scope.passes) for s in statements]
        return any_of(self.statements(function.name, lines, inner), outside)

    def number(self, term: Term, value: Number | None, node: Node | None, scope: _Scope) -> Ways:
        """The choices that give a number this value; None: nothing tells it."""
        fits = False
        if value is None and term.decisions:
            raise Mismatch("the graph does not say all numbers here", node, 1, code="E314")
        if value is None:
            yield (), scope
        elif isinstance(term, Variable) and term.name not in scope.numbers:
            yield (), replace(scope, numbers={**scope.numbers, term.name: value})
        else:
            for tree in (pick(term, i) for i in range(min(term.size, MAX_NUMBERS))):
                for known, number in self.worked_out(term, tree, scope.numbers, scope):
                    if number in {value, None}:
                        fits = True
                        yield tree, replace(scope, numbers=known)
            if not fits:
                raise Mismatch(f"{value} does not fit here", node, 1)

    def worked_out(
        self, term: Term, tree: Tree, numbers: dict[str, Number], scope: _Scope
    ) -> Iterator[tuple[dict[str, Number], Number | None]]:
        """A number, with all others, in each way to choose those in it; None: not known here."""
        self.count()
        try:
            yield numbers, evaluate(term, tree, numbers)
        except KeyError as unknown:
            name = str(unknown.args[0])
            if name not in scope.terms:
                yield numbers, None
                return
            chosen = scope.terms[name]
            for i in range(min(chosen.size, MAX_NUMBERS)):
                for known, number in self.worked_out(chosen, pick(chosen, i), numbers, scope):
                    if number is not None:
                        yield from self.worked_out(term, tree, {**known, name: number}, scope)
                    else:
                        yield known, None

    # --- sums and concatenations

    def join(self, term: Join, node: Node, scope: _Scope) -> Ways:
        def fit(targets: Sequence[str]) -> Ways:
            several = targets is node.inputs
            return self.parts(term.parts, targets, scope.makes(node) if several else scope)

        options = [node.inputs] * (node.operation == term.operator) + [(node.name,)]
        try:
            yield from any_of(options, fit)
        except Mismatch as e:
            e.span = e.span or node.span
            raise

    def fits(self, part: Term, target: str, taken: Container[int], scope: _Scope) -> Ways:
        match part:
            case Subset():
                return self.one_of(part.elements, target, scope, taken)
            case Each():
                return self.each(part, target, scope, taken)
            case Unused():
                elements = [Value(x) for x in scope.arrays.get(part.array, [])]
                return self.one_of(elements, target, scope, taken)
            case Value() if scope.values.get(part.label, target) != target:
                raise Mismatch(f"`{target}` where `{part.label}` stands", self.nodes[target])
        return (((0, tree), after) for tree, after in self.match(part, target, scope))

    def each(self, term: Each, target: str, scope: _Scope, taken: Container[int]) -> Ways:
        """`op(s) for s in ..`: what the body reads is the element; or any, where it reads none."""
        elements = term.subset.elements

        def fit(found: tuple[Tree, _Scope]) -> Ways:
            body, after = found
            read, known = after.values.get(term.variable), after.where(term.variable, None)
            left = (((j, pick(e, 0)), known) for j, e in enumerate(elements) if j not in taken)
            ways = self.one_of(elements, read, known, taken) if read else left
            return (((j, (tree, body)), beyond) for (j, tree), beyond in ways)

        try:
            yield from any_of(self.match(term.body, target, scope), fit)
        except Mismatch as e:
            e.depth, e.span = max(e.depth, 2), self.nodes[target].span
            raise

    def check(self, part: Term | None, targets: Sequence[str]) -> None:
        last, n = self.nodes[targets[-1]] if targets else None, len(targets)
        term = part.subset if isinstance(part, Each) else part
        if not term:
            raise Mismatch(f"`{targets[-1]}` is one too many", last)
        if isinstance(term, Subset) and not term.least <= n <= term.most:
            need = str(term.least) if term.least == term.most else f"at least {term.least}"
            raise Mismatch(f"{n} values where {need} are needed", last, 1)
        left_out = isinstance(term, Value) and term.optional and term.label not in self.roots
        if not (term.many or n or left_out):
            raise Mismatch


def _reads(target: str, elements: Sequence[Term], node: Node) -> Mismatch:
    labels = [e.label for e in elements if isinstance(e, Value)]
    can = ", ".join(f"`{x}`" for x in labels) or "other values"
    twice = "twice " if target in labels else ""
    message = f"`{target}` cannot be read {twice}here; there are {can}"
    return Mismatch(message, node, 0, nearest(target, [x for x in labels if x != target]))


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
            raise _differs(body.name, label, node)
        asked = zip(listings, (ours, theirs), (twin, node), strict=True)
        twice, once = (Counter(d[n] for n in _below(x, top.name, leaves)) for x, d, top in asked)
        if twice != once:  # two of a kind are not one that is read twice
            raise _differs(body.name, label, node)


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


def _differs(name: str, label: str, node: Node) -> Mismatch:
    message = f"`{name}.{label}` is another one in every architecture of the space"
    hint = "`epnas show SPACE` tells what is chosen; the rest is fixed"
    return Mismatch(message, node, 0, hint)


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
