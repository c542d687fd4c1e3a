"""Turn one expression of the language into a term; what names mean is handed in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from typing import NoReturn, TypeVar

from epnas_dsl.errors import Diagnostic, EpnasError, SpaceErrors, Span, nearest
from epnas_dsl.lang import syntax
from epnas_dsl.lang.alike import Alike
from epnas_dsl.lang.bindings import (
    KINDS,
    ArrayBinding,
    Bound,
    CellBinding,
    Env,
    FunctionBinding,
    ProductionBinding,
    Reported,
    always_there,
    fail,
    kept,
    listed,
    mistake,
)
from epnas_dsl.lang.distinct import check_apart, check_subsets, check_texts
from epnas_dsl.space.arithmetic import calculate
from epnas_dsl.space.operations import OPERATIONS
from epnas_dsl.space.terms import (
    Choice,
    Constant,
    Each,
    Formula,
    Function,
    Join,
    Last,
    Number,
    Operation,
    Statement,
    Subset,
    Term,
    Unused,
    Value,
    Variable,
    inside,
)

MAX_NESTED = 64  # productions and functions in each other
MAX_NESTING = 90  # expressions and loops in each other, through functions and productions
MAX_TERMS = 100_000  # that one file may have, its loops and slices written out


class Undecided(Exception):
    """A function has to know this parameter when the space is read, but it is still a choice."""

    def __init__(self, name: str) -> None:
        self.name = name


T = TypeVar("T")
N = TypeVar("N", bound=syntax.Node)
FunctionBody = Callable[[syntax.Function, Env], tuple[tuple[Statement, ...], Term] | None]


class Expressions(ABC):
    """Lowers expressions.

    Args:
        function_body: lowers the statements of a function, with its parameters bound.
    """

    BUILT_IN = ("concat", "sum", "unused", "last", "stack", "min", "max")

    def __init__(self, function_body: FunctionBody) -> None:
        self.function_body = function_body
        self.used: set[str] = set()
        self.warnings: list[Diagnostic] = []
        self.filled: dict[Span, bool] = {}  # alternatives that are lists: were they ever not empty
        self.alike = Alike()
        self.met: dict[tuple[bytes, bytes], bool] = {}
        self.asked = False  # was there anything that looks like a choice
        self.level = 0
        self.active: list[str] = []
        self.functions: dict[tuple[object, ...], Function | None] = {}  # None: in error
        self.open: list[set[str]] = [set()]  # parameters not known yet, of each function at hand
        self.errors: list[EpnasError] = []
        self.spent = self.depth = 0
        self.known_top: dict[int, Term | None] = {}  # productions outside bodies; None: in error
        self.known_here: dict[int, Term | None] = {}  # those inside, for the present statement

    # --- care

    def spend(self, count: int, span: Span) -> None:
        """Count the work done, so that a short text cannot ask for endless work."""
        self.spent += count
        if self.spent > MAX_TERMS:
            what = f"more than {MAX_TERMS:,} expressions once loops and slices are written out"
            raise SpaceErrors([*self.errors, mistake("E911", what, span)])

    def each(self, nodes: Iterable[N], action: Callable[[N], T]) -> list[T]:
        """Carry an action out for every node, so that the errors of all are reported."""
        found: list[T] = []
        failed = False
        for node in nodes:
            try:
                found.append(action(node))
            except SpaceErrors:
                raise
            except EpnasError as error:
                self.errors.append(kept(error, node.span))
                failed = True
        if failed:
            raise Reported
        return found

    # --- entrances

    def single(self, node: syntax.Expression, env: Env, level: int = 0) -> Term:
        """One value, number or operation."""
        self.level = level
        found = self.several(node, env)
        if len(found) != 1 or found[0].many:
            fail("E220", "several values where one is needed", node.span,
                 "join them with `sum(..)` or `concat(..)`")  # fmt: skip
        always_there(found[0], node.span)
        return found[0]

    def value(self, node: syntax.Expression, env: Env, level: int) -> Term:
        """One value."""
        term = self.single(node, env, level)
        if term.kind != "value":
            fail("E221", f"{KINDS[term.kind]} where a value is needed", node.span)
        return term

    def number(self, node: syntax.Expression, env: Env) -> Term:
        """A number, possibly known later."""
        term = self.single(node, env, self.level)
        if term.kind != "number":
            fail("E222", f"{KINDS[term.kind]} where a number is needed", node.span)
        return term

    def static(self, node: syntax.Expression, env: Env) -> Number:
        """A number that is known when the space is read."""
        term = self.number(node, env)
        if not isinstance(term, Constant):
            self.undecided(term)
            fail("E205", "this number has to be known when the space is read", node.span,
                 "it cannot depend on the width of a cell, nor on a choice; a choice can be "
                 "given to a function: `f(x, n=2|3)`")  # fmt: skip
        return term.value

    def undecided(self, term: Term) -> None:
        """Ask for the parameter of the function at hand that a number depends on."""
        for part in inside(term):
            if isinstance(part, Variable) and part.name in self.open[-1]:
                raise Undecided(part.name)

    def whole(self, node: syntax.Expression, env: Env) -> int:
        """A whole number, at least 0, that is known when the space is read."""
        number = self.static(node, env)
        if int(number) != number or number < 0:
            fail("E223", f"{number:.6g} is not a whole number from 0", node.span)
        return int(number)

    # --- expressions

    def several(self, node: syntax.Expression, env: Env) -> list[Term]:
        """The terms of an expression; slices and lists give any number."""
        if isinstance(node, syntax.Slice):
            return self.slice(node, env)
        if not isinstance(node, syntax.List | syntax.Comprehension | syntax.Conditional):
            return [self.one(node, env)]
        self.descend(node.span)
        try:
            if isinstance(node, syntax.Comprehension):
                return self.comprehension(node, env)
            if isinstance(node, syntax.Conditional):
                test = self.static(node.test, env)
                return self.several(node.then if test else node.otherwise, env)
            return [term for term, _ in self.spread(node.elements, env)]
        finally:
            self.depth -= 1

    def spread(self, nodes: Iterable[syntax.Expression], env: Env) -> list[tuple[Term, Span]]:
        """The terms of several expressions, each with its place."""
        lists = self.each(nodes, lambda n: [(t, n.span) for t in self.several(n, env)])
        return [pair for pairs in lists for pair in pairs]

    def one(self, node: syntax.Expression, env: Env) -> Term:
        """One term; slices and lists are refused."""
        self.spend(1, node.span)
        self.descend(node.span)
        try:
            return self.read(node, env)
        finally:
            self.depth -= 1

    def descend(self, span: Span) -> None:
        """Count one more expression or loop around what comes; `depth` is set back after it."""
        if self.depth > MAX_NESTING:
            fail("E907", f"expressions and loops nested more than {MAX_NESTING} deep, calls of "
                 "functions included", span)  # fmt: skip
        self.depth += 1

    def read(self, node: syntax.Expression, env: Env) -> Term:
        """One term, its limits checked."""
        match node:
            case syntax.Number():
                return Constant(node.value)
            case syntax.Name():
                return self.name(node, env)
            case syntax.Index():
                return self.index(node, env)
            case syntax.Call():
                return self.call(node, env)
            case syntax.Subset():
                return self.subset(node, env)
            case syntax.Alternatives():
                return self.choice(node.options, env, node.span)
            case syntax.Unary() | syntax.Binary():
                return self.arithmetic(node, env)
            case syntax.Conditional():
                test = self.static(node.test, env)
                return self.one(node.then if test else node.otherwise, env)
        fail("E220", "several values where one is needed", node.span)

    def name(self, node: syntax.Name, env: Env) -> Term:
        """What a name stands for here."""
        binding = env.find(node.name)
        match binding:
            case Bound():
                return self.bound(binding, node.name, node.span)
            case ArrayBinding():
                fail("E106", f"`{node.name}` needs an index", node.span,
                     f"`{node.name}[1]`, `last({node.name})` or `unused({node.name})`")  # fmt: skip
            case ProductionBinding():
                return self.production(node.name, env, node.span)
            case FunctionBinding():
                return self.function(binding, {}, env, node.span)
            case CellBinding():
                fail("E225", f"the cell `{node.name}` needs inputs", node.span,
                     f"`{node.name}(x)`, or `stack(x, [{node.name}])`")  # fmt: skip
        if node.name in OPERATIONS:
            return Operation(node.name)
        self.unknown(node.name, env, node.span)

    def bound(self, binding: Bound, name: str, span: Span) -> Term:
        """The term of a name, which has to be there at this level."""
        binding.read = True
        if binding.poisoned:
            raise Reported
        always_there(binding.term, span)
        if binding.level > max(1, self.level):
            fail("E226", f"`{name}` exists only from level {binding.level} on", span,
                 "fewer levels are whole too: use `last(..)` or `unused(..)`")  # fmt: skip
        return binding.term

    def unknown(self, name: str, env: Env, span: Span, hint: str = "") -> NoReturn:
        """Raise the error of an unknown name."""
        known = [*env.known(), *OPERATIONS, *self.BUILT_IN]
        fail("E103", f"`{name}` is not known here", span, nearest(name, known) or hint)

    def array(self, name: str, env: Env, span: Span) -> ArrayBinding | None:
        """The values of a name with indices; None where there is no such name."""
        binding = env.find(name)
        if binding is None:
            return None
        if not isinstance(binding, ArrayBinding):
            fail("E106", f"`{name}` has no elements", span)
        binding.read = True
        if binding.poisoned:
            raise Reported
        return binding

    def index(self, node: syntax.Index, env: Env) -> Term:
        """`h[2]`"""
        number = self.whole(node.index, env)
        binding = self.array(node.name, env, node.span)
        if binding is None or number not in binding.elements:
            self.no_element(node.name, number, env, node.span)
        return self.bound(binding.elements[number], f"{node.name}[{number}]", node.span)

    def slice(self, node: syntax.Slice, env: Env) -> list[Term]:
        """`h[1..3]`: the elements, those of later levels optional."""
        first = self.static(node.first, env)
        last = self.static(node.last, env)
        if int(first) != first or int(last) != last:
            fail("E223", "the ends of a slice are whole numbers", node.span)
        if last < first:
            return []
        binding = self.array(node.name, env, node.span)
        found: list[Term] = []
        for i in range(int(first), int(last) + 1):
            self.spend(1, node.span)
            if binding is None or i not in binding.elements:
                self.no_element(node.name, i, env, node.span)
            element = binding.elements[i]
            element.read = True
            later = element.level > max(1, self.level)
            label = f"{node.name}{i}"
            found.append(Value(label, optional=True) if later else element.term)
        return found

    def no_element(self, name: str, number: int, env: Env, span: Span) -> NoReturn:
        """Report an element that is not there."""
        binding = env.find(name)
        there = f"; there are {listed(binding)}" if isinstance(binding, ArrayBinding) else ""
        arrays = [n for n in env.known() if isinstance(env.find(n), ArrayBinding)]
        fail("E105", f"there is no `{name}[{number}]` yet{there}", span,
             "" if there else nearest(name, arrays))  # fmt: skip

    def arithmetic(self, node: syntax.Unary | syntax.Binary, env: Env) -> Term:
        """Operators: sums of values, or numbers."""
        if isinstance(node, syntax.Unary):
            return self.formula(node.operator, [self.number(node.operand, env)], node.span)
        chain = [node]  # of operators, the first one first: `a + b + c` is `(a + b) + c`
        while isinstance(chain[0].left, syntax.Binary):
            chain.insert(0, chain[0].left)
        operators = {id(b.right): b.operator for b in chain}
        operators[id(chain[0].left)] = chain[0].operator
        result, *others = self.each(
            [chain[0].left, *(b.right for b in chain)],
            lambda n: self.operand(n, operators[id(n)], env),
        )
        for binary, other in zip(chain, others, strict=True):
            result = self.combined(binary, result, other)
        if isinstance(result, Join) and all(_may_be_empty(p) for p in result.parts):
            fail("E209", "this sum may have nothing to add", node.span)
        if isinstance(result, Join):
            check_subsets(result.parts, node.span)
        return result

    def combined(self, node: syntax.Binary, left: Term, right: Term) -> Term:
        """An operator between two terms."""
        if node.operator == "+" and left.kind == right.kind == "value":
            return join("add", [left, right], node.span)
        for term, side in ((left, node.left), (right, node.right)):
            if term.kind != "number" or term.many:
                what = "several values" if term.many else KINDS[term.kind]
                hint = "`*` repeats a cell inside `stack(x, [..])`" if node.operator == "*" else ""
                fail("E227", f"{what} cannot be an operand of `{node.operator}` here",
                     side.span, hint)  # fmt: skip
        return self.formula(node.operator, [left, right], node.span)

    def operand(self, node: syntax.Expression, operator: str, env: Env) -> Term:
        """One side of an operator; a sum inside a sum may be of nothing."""
        if operator == "+" and isinstance(node, syntax.Call) and node.name == "sum":
            return self.join(node, env, inside=True)
        return self.one(node, env)

    def formula(self, operator: str, operands: list[Term], span: Span) -> Term:
        """A number worked out now, or later where an operand is known later."""
        values = [t.value for t in operands if isinstance(t, Constant)]
        if len(values) == len(operands):
            return Constant(calculate(operator, values, span))
        return Formula(operator, tuple(operands), span)

    # --- choices

    def production(self, name: str, env: Env, span: Span) -> Term:
        """A use of a production: a decision of its own."""
        binding = env.find(name)
        assert isinstance(binding, ProductionBinding)
        self.used.add(name)
        known = self.known_here if binding.env.outer else self.known_top
        if id(binding) not in known:
            known[id(binding)] = None
            known[id(binding)] = self.define(name, binding, span)
        term = known[id(binding)]
        if term is None and name in self.active:
            fail("E109", f"`{name}` is defined by itself", span)
        if term is None:
            raise Reported
        return term

    def define(self, name: str, binding: ProductionBinding, span: Span) -> Term:
        """Work out what a production stands for."""
        if len(self.active) >= MAX_NESTED:
            fail("E907", f"productions nested more than {MAX_NESTED} deep", span)
        self.active.append(name)
        try:
            return self.choice(binding.node.alternatives, binding.env, binding.node.span, name)
        finally:
            self.active.pop()

    def choice(
        self, nodes: tuple[syntax.Expression, ...], env: Env, span: Span, name: str = ""
    ) -> Term:
        """Alternatives as one decision; nested ones are spread."""
        self.asked = True
        found: list[Term] = []
        spans: list[Span] = []
        lists = self.each(nodes, lambda n: self.several(n, env))
        for node, terms in zip(nodes, lists, strict=True):
            if isinstance(node, syntax.Slice | syntax.List):
                self.filled[node.span] = self.filled.get(node.span, False) or bool(terms)
            for term in terms:
                inner = term.alternatives if isinstance(term, Choice) else (term,)
                found += inner
                spans += [node.span] * len(inner)
        if not found:
            fail("E207", f"`{name}` has no alternative" if name else "no alternative", span,
                 "a slice may be empty: `h[1..b-1]` is, for b = 1")  # fmt: skip
        seen: set[bytes] = set()
        for term, place in zip(found, spans, strict=True):
            always_there(term, place)
            if term.many:
                fail("E220", "an alternative of several values", place)
            if term.kind != found[0].kind:
                fail("E206", f"alternatives of different kinds: {KINDS[found[0].kind]} and "
                     f"{KINDS[term.kind]}", place)  # fmt: skip
            if term.digest in seen:
                fail("E211", "this alternative is there already", place)
            seen.add(term.digest)
        if len(found) == 1:
            return found[0]
        choice = Choice(tuple(found))
        check_texts(choice, spans, self.met)
        self.alike.choices[choice.digest] = found, spans
        return choice

    def warn(self, code: str, message: str, span: Span) -> None:
        """Note what looks like a mistake, once."""
        found = Diagnostic(code, message, span)
        if found not in self.warnings:
            self.warnings.append(found)

    def subset(self, node: syntax.Subset, env: Env) -> Subset:
        """`any of`, `some of`, `2 of`."""
        self.asked = True
        listed = node.elements
        nodes = listed.elements if isinstance(listed, syntax.List) else (listed,)
        pairs = self.spread(nodes, env)
        elements, spans = [term for term, _ in pairs], [place for _, place in pairs]
        for term, span in pairs:
            always_there(term, span)
            if term.kind != "value" or term.many:
                fail("E228", "a subset is chosen among values", span)
        n = len(elements)
        if isinstance(node.quantity, str):
            if node.quantity == "some" and not n:
                fail("E210", "`some of` nothing: there is no element to choose", node.span)
            subset = Subset(tuple(elements), int(node.quantity == "some"), n)
        else:
            k = self.whole(node.quantity, env)
            if k > n:
                fail("E210", f"{k} of {n} elements cannot be chosen", node.span)
            subset = Subset(tuple(elements), k, k)
        check_apart(subset, "in the list twice", spans)
        if subset.least < n and subset.most:
            self.alike.choices[subset.digest] = elements, spans
        return subset

    def comprehension(self, node: syntax.Comprehension, env: Env) -> list[Term]:
        """`op(s) for s in ..`: spread at once, or once for each chosen element."""
        if isinstance(node.iterable, syntax.Subset):
            outer = env.find(node.variable)
            if isinstance(outer, Bound | ArrayBinding):
                fail("E102", f"`{node.variable}` has a meaning already", node.span,
                     "choose another name")  # fmt: skip
            subset = self.subset(node.iterable, env)
            if any(e.decisions for e in subset.elements):
                fail("E244", "a choice inside an element that `for` runs over",
                     node.iterable.elements.span,
                     "name it first: `y = relu(x) | swish(x)`")  # fmt: skip
            variable = Bound(Value(node.variable))
            body = self.one(node.element, Env(env, {node.variable: variable}))
            if not variable.read:
                fail("E242", f"`{node.variable}` is not used, so what is chosen would not matter",
                     node.element.span)  # fmt: skip
            each = Each(node.variable, subset, body)
            check_apart(each, "what two choices are written as", repeat(node.element.span))
            return [each]
        if isinstance(node.iterable, syntax.Range):
            first, last = self.whole(node.iterable.first, env), self.whole(node.iterable.last, env)
            if last - first > 10_000:
                fail("E911", f"a loop of {last - first + 1:,} turns; at most 10,000 are "
                     "allowed", node.iterable.span)  # fmt: skip
            self.spend(last - first, node.iterable.span)
            terms: list[Term] = [Constant(i) for i in range(first, last + 1)]
        elif isinstance(node.iterable, syntax.List | syntax.Slice):
            terms = self.several(node.iterable, env)
        else:
            fail("E218", "a comprehension runs over a list, a slice, a range or a subset",
                 node.iterable.span, "`[a, b]`, `h[1..3]`, `1..n` or `2 of [a, b]`")  # fmt: skip
        return [
            t
            for term in terms
            for t in self.several(node.element, Env(env, {node.variable: Bound(term)}))
        ]

    # --- what waits for its inputs

    @abstractmethod
    def call(self, node: syntax.Call, env: Env) -> Term:
        """`name(..)`: a word of the language, an operation, a production, a function, a cell."""

    @abstractmethod
    def function(
        self, binding: FunctionBinding, numbers: Mapping[str, Term], env: Env, span: Span
    ) -> Function:
        """A function with its numbers bound; parameters without one stand for values."""

    @abstractmethod
    def width(self, node: syntax.Call, env: Env) -> Term | None:
        """The number behind `channels=` of `stack` or `concat`."""

    # --- built-in words

    def join(self, node: syntax.Call, env: Env, inside: bool = False) -> Join:
        """`sum(..)` and `concat(..)`"""
        found = self.spread(node.arguments, env)
        for part, span in found:
            if part.kind != "value":
                fail("E221", f"{KINDS[part.kind]} where a value is needed", span)
        parts = [part for part, _ in found]
        if not inside and all(_may_be_empty(p) for p in parts):
            may = any(p.size > 1 for p in parts)
            fail("E209", f"`{node.name}` {'may have' if may else 'has'} nothing to join here",
                 node.span, "`some of` always has an element" if may else "")  # fmt: skip
        width = self.width(node, env)
        self.alike.shared |= width is not None
        for part, span in found:
            if width and not _is_named(part):
                fail("E243", "only named values can share channels", span,
                     "give it a name: `y = ..`")  # fmt: skip
        result = join("add" if node.name == "sum" else "concat", parts, node.span, width)
        if not inside:
            check_subsets(result.parts, node.span)
        return result

    def ends(self, node: syntax.Call, env: Env) -> Term:
        """`unused(h)` and `last(h)`"""
        if len(node.arguments) != 1 or not isinstance(node.arguments[0], syntax.Name):
            fail("E240", f"`{node.name}` takes the name of values with indices", node.span,
                 f"`{node.name}(h)`")  # fmt: skip
        name = node.arguments[0].name
        array = self.array(name, env, node.arguments[0].span)
        if array is None:
            self.unknown(name, env, node.arguments[0].span,
                         "no statement gives it an element, or a loop goes over none")  # fmt: skip
        level = min((e.level for e in array.elements.values()), default=0)
        if level > max(1, self.level):
            fail("E226", f"`{name}` exists only from level {level} on", node.arguments[0].span,
                 "architectures of fewer levels have to be whole too")  # fmt: skip
        return Unused(name) if node.name == "unused" else Last(name)

    def extreme(self, node: syntax.Call, env: Env) -> Term:
        """`min(..)` and `max(..)`"""
        numbers = [self.number(a, env) for a in node.arguments]
        if not numbers:
            fail("E234", f"`{node.name}` needs numbers", node.span)
        result = numbers[0]
        for number in numbers[1:]:
            result = self.formula(node.name, [result, number], node.span)
        return result


def join(operator: str, parts: list[Term], span: Span, width: Term | None = None) -> Join:
    """A sum or a concatenation; sums inside a sum are spread."""
    flat: list[Term] = []
    for part in parts:
        inner = isinstance(part, Join) and part.operator == operator == "add"
        flat += part.parts if inner else [part]  # type: ignore[attr-defined]
    return Join(operator, tuple(flat), span, width)


def _is_named(part: Term) -> bool:
    if isinstance(part, Subset):
        return all(map(_is_named, part.elements))
    return isinstance(part, Value | Last | Unused)


def _may_be_empty(part: Term) -> bool:
    subset = part.subset if isinstance(part, Each) else part
    return isinstance(subset, Subset) and subset.least == 0
