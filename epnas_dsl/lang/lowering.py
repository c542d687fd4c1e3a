"""Turn syntax into a search space: names resolved, loops unrolled, every error reported at once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from epnas_dsl.errors import Diagnostic, EpnasError, SpaceErrors, Span, nearest
from epnas_dsl.lang import syntax
from epnas_dsl.lang.alike import key_of, width_of
from epnas_dsl.lang.bindings import (
    KINDS,
    ArrayBinding,
    Binding,
    Bound,
    CellBinding,
    Env,
    FunctionBinding,
    ProductionBinding,
    fail,
    kept,
    mistake,
)
from epnas_dsl.lang.calls import Calls
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.operations import OPERATIONS
from epnas_dsl.space.search_space import DEFAULT_SHARING, Body, Requirement, SearchSpace
from epnas_dsl.space.terms import (
    MAX_DEPTH,
    CellCall,
    Constant,
    Number,
    Stack,
    Statement,
    Term,
    Value,
    Variable,
    inside,
)

MAX_STATEMENTS = 10_000
MAX_BITS = 13_000  # of a count; Python writes numbers of up to 4,300 digits
MAX_ERRORS = 100  # after which the rest of the file is not looked at
COORDINATES = ("cell", "block", "slot", "op", "input")
ROLES = ("wire", "zero", "pure")
FRAMES = 3_000  # 64 functions in each other take 900; kept, as another thread may be as deep
MEASURES = ("edges", "nodes", "depth", "params", "macs", "levels")


def lower(
    space: syntax.Space, given: Mapping[str, Number] | None = None
) -> tuple[SearchSpace, list[Diagnostic]]:
    """The meaning of a .space text, and the warnings about it.

    Args:
        given: values for parameters of its head.

    Raises:
        SpaceErrors: everything that is wrong with it.
        LimitError: it has so many architectures that their number cannot be written (E919).
    """
    sys.setrecursionlimit(max(sys.getrecursionlimit(), FRAMES))
    lowerer = _Lowerer(space, dict(given or {}))
    result = lowerer.space()
    if lowerer.errors or result is None:
        raise SpaceErrors(lowerer.errors)
    if sum(d.size.bit_length() for d in result.decisions) > MAX_BITS:
        place = space.name_span or space.span
        fail("E919", f"`{space.name}` has more than 2^{MAX_BITS:,} architectures", place)
    lowerer.idle(result)
    return result, lowerer.warnings()


@dataclass
class _Scope:
    """What a body has so far.

    Attributes:
        values: the names in force, in the order of their assignment.
        kind: `cell`, `network` or `function`.
    """

    kind: str
    env: Env
    statements: list[Statement] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)  # label: the name or array it belongs to
    level: int = 0
    levels: int = 0  # levels used up by earlier `level` loops of this body
    result: Statement | None = None


class _Lowerer:
    """Walks one file; keeps the errors and goes on."""

    def __init__(self, node: syntax.Space, given: dict[str, Number]) -> None:
        self.node, self.given = node, given
        self.errors: list[EpnasError] = []
        self.top = Env(None)
        self.unrolled = 0
        self.expressions = Calls(self.function_body)
        self.expressions.errors = self.errors
        self.declared: list[tuple[str, str, Span | None]] = []
        self.used: set[str] = set()

    # --- items

    def space(self) -> SearchSpace | None:
        parameters, changed = self.parameters()
        items = self.node.items
        for item in items:
            self.keep(lambda i=item: self.declare(i))
        sharing, treated = self.settings(items)
        cells = [i for i in items if isinstance(i, syntax.Cell)]
        self.reached = self.reach()
        names = [n for cell in cells for n in cell.names if n.name in self.reached]
        alike = self.expressions.alike
        alike.stepping = any(n.stride != 1 for n in names)
        if not alike.stepping:
            alike.wires = {name for name, role in treated.items() if role == "wire"}
        bodies = [b for cell in cells for b in self.cell(cell)]
        networks = [i for i in items if isinstance(i, syntax.Network)]
        for extra in networks[1:]:
            self.error("E112", "a second network; a space has one", extra.span)
        if not networks:
            span = self.node.name_span or self.node.span
            hint = "add `network (image) { .. return .. }`"
            self.error("E113", f"the space `{self.node.name}` has no network", span, hint)
            return None
        network = self.network(networks[0])
        self.used = set(self.expressions.used)
        for item in items:
            if isinstance(item, syntax.Production | syntax.Function):
                self.keep(lambda i=item: self.look_into(i), item.span)
        requirements = [r for i in items if isinstance(i, syntax.Require) for r in self.require(i)]
        self.nested_cells(bodies)
        if self.errors or network is None:
            return None
        return SearchSpace(
            self.node.name, parameters, changed, (*bodies, network), tuple(requirements),
            sharing, treated, self.node.span.source.text,
        )  # fmt: skip

    def keep(self, action: object, span: Span | None = None) -> None:
        """Carry an action out; keep its error and go on."""
        try:
            action()  # type: ignore[operator]
        except EpnasError as error:
            self.errors.append(kept(error, span))

    def look_into(self, item: syntax.Production | syntax.Function) -> None:
        """Find the errors of what nothing uses."""
        binding = self.top.names.get(item.name)
        if isinstance(binding, ProductionBinding) and binding.node is item:
            self.expressions.production(item.name, self.top, item.span)
        if isinstance(binding, FunctionBinding) and item.name not in self.used:
            self.expressions.look_into(binding)

    def error(self, code: str, message: str, span: Span | None, hint: str = "") -> None:
        self.errors.append(mistake(code, message, span, hint))

    def parameters(self) -> tuple[dict[str, Number], dict[str, Number]]:
        found: dict[str, Number] = {}
        changed: dict[str, Number] = {}
        self.names(self.node.parameters, "parameter")
        for p in self.node.parameters:
            if p.name in found:
                continue
            if p.default is None:
                self.error("E111", f"the parameter `{p.name}` has no default", p.span,
                           f"write `{p.name} = 5`")  # fmt: skip
                found[p.name] = 1
                self.top.names[p.name] = Bound(Constant(1))
                continue
            try:
                default = self.expressions.static(p.default, self.top)
            except EpnasError as error:
                self.errors.append(error)
                default = 1
            found[p.name] = self.given.get(p.name, default)
            if found[p.name] != default:
                changed[p.name] = found[p.name]
            taken = p.name in OPERATIONS or p.name in self.expressions.BUILT_IN
            term = Constant(found[p.name])
            self.top.names[p.name] = Bound(term, poisoned=taken, span=p.span)
        for name in self.given:
            if name not in found:
                known = ", ".join(found) or "none"
                self.error("E110", f"{self.node.name} has no parameter `{name}`; it has: {known}",
                           None, nearest(name, found))  # fmt: skip
        return found, changed

    def declare(self, item: syntax.Item) -> None:
        match item:
            case syntax.Production():
                self.define(item.name, ProductionBinding(item, self.top), item)
            case syntax.Function():
                self.define(item.name, FunctionBinding(item, self.top), item)
                self.names(item.parameters, "parameter")
            case syntax.Cell():
                for n in item.names:
                    self.define(n.name, CellBinding(n.name, n.stride, len(item.inputs)), n)

    def names(self, nodes: Iterable[syntax.Name | syntax.Parameter], what: str) -> None:
        """Check the names of inputs or parameters."""
        seen: set[str] = set()
        for node in nodes:
            if node.name in seen:
                self.error("E101", f"the {what} `{node.name}` is there twice", node.span)
            if node.name in OPERATIONS or node.name in self.expressions.BUILT_IN:
                self.error("E102", f"`{node.name}` has a meaning already", node.span,
                           "choose another name")  # fmt: skip
            seen.add(node.name)

    def define(self, name: str, binding: object, item: syntax.Node) -> None:
        span = getattr(item, "name_span", None) or item.span
        if name in self.top.names:
            fail("E101", f"`{name}` is already defined", span)
        if name in OPERATIONS:
            fail("E102", f"`{name}` is a built-in operation", span, "choose another name")
        if name in self.expressions.BUILT_IN:
            fail("E102", f"`{name}` is a word of the language", span)
        self.top.names[name] = binding  # type: ignore[assignment]
        self.declared.append((type(item).__name__, name, span))

    def cell(self, item: syntax.Cell) -> Iterator[Body]:
        env = Env(self.top)
        env.names["channels"] = Bound(Variable("channels"))
        for n in item.names:
            if not 1 <= n.stride <= 8:
                self.error("E212", f"a stride of {n.stride}; it lies between 1 and 8", n.span)
        body = self.body(item.inputs, item.body, "cell", env, item.span)
        if body:
            names = {n.name: n.stride for n in item.names}
            inputs = tuple(i.name for i in item.inputs)
            assert body.result
            yield Body(names, inputs, tuple(body.statements), body.result, item.span)

    def network(self, item: syntax.Network) -> Body | None:
        if len(item.inputs) != 1:
            self.error("E213", "a network has one input, the image", item.span)
            return None
        body = self.body(item.inputs, item.body, "network", Env(self.top), item.span)
        if not body or not body.result:
            return None
        inputs = (item.inputs[0].name,)
        return Body({"network": 1}, inputs, tuple(body.statements), body.result, item.span)

    def require(self, item: syntax.Require) -> Iterator[Requirement]:
        env = Env(self.top)
        for name in MEASURES:
            env.names[name] = Bound(Variable(name))
        try:
            term = self.expressions.number(item.condition, env)
        except EpnasError as error:
            self.errors.append(error)
            return
        if term.decisions:
            self.error("E241", "a choice in a requirement", item.condition.span,
                       "a requirement holds for all architectures alike")  # fmt: skip
            return
        used = frozenset(t.name for t in inside(term) if isinstance(t, Variable))
        if not used:
            self.error("E214", "this requirement says nothing about the architecture",
                       item.condition.span, f"it may speak of {', '.join(MEASURES)}")  # fmt: skip
            return
        yield Requirement(term, print_term(term, (), {}), used, item.span)

    def settings(self, items: Iterable[syntax.Item]) -> tuple[tuple[str, ...], dict[str, str]]:
        sharing: tuple[str, ...] = DEFAULT_SHARING
        treated: dict[str, str] = {}
        for item in items:
            if isinstance(item, syntax.Share):
                if sharing is not DEFAULT_SHARING:
                    self.error("E101", "a second `share by`", item.span)
                for c in item.coordinates:
                    if c.name not in COORDINATES:
                        self.error("E114", f"`{c.name}` is no coordinate of sharing; these are: "
                                   + ", ".join(COORDINATES), c.span,
                                   nearest(c.name, COORDINATES))  # fmt: skip
                sharing = tuple(c.name for c in item.coordinates)
            if isinstance(item, syntax.Treat):
                op, role = item.operation, item.role
                if op.name not in OPERATIONS:
                    self.error("E104", f"there is no operation `{op.name}`", op.span,
                               nearest(op.name, OPERATIONS))  # fmt: skip
                if role.name not in ROLES:
                    self.error("E115", f"`{role.name}` is no role; these are: {', '.join(ROLES)}",
                               role.span, nearest(role.name, ROLES))  # fmt: skip
                if op.name in treated:
                    self.error("E101", f"`{op.name}` is treated twice", op.span)
                treated[op.name] = role.name
        return sharing, treated

    def nested_cells(self, bodies: Sequence[Body]) -> None:
        """Refuse cells that are made of themselves, and those nested too deeply."""
        cells = {name: body for body in bodies for name in body.names}
        depths: dict[str, int | None] = {}  # None: being worked out

        def depth(body: Body) -> int:
            depths[body.name] = None
            terms = [s.term for s in (*body.statements, body.result)]
            deepest = 0
            for name, span in _calls(terms):
                called = cells.get(name)
                known = depths.get(called.name, 0) if called else 0
                if called and called.name not in depths:
                    known = depth(called)
                if known is None:
                    fail("E109", f"the cell `{name}` is made of itself", span)
                deepest = max(deepest, known)
            total = deepest + max(t.depth for t in terms)
            if total > MAX_DEPTH:
                fail("E907", f"cells nested more than {MAX_DEPTH} deep, with what stands in "
                     "them", body.span)  # fmt: skip
            depths[body.name] = total
            return total

        for body in bodies:
            if body.name not in depths:
                self.keep(lambda b=body: depth(b))

    # --- bodies

    def body(
        self, inputs: Sequence[syntax.Name], statements: tuple[syntax.Statement, ...], kind: str,
        env: Env, span: Span,
    ) -> _Scope | None:  # fmt: skip
        before = len(self.errors)
        scope = _Scope(kind, env)
        self.names(inputs, "input")
        channels = env.names.get("channels")  # to which a cell brings what it reads
        width = channels.term if isinstance(channels, Bound) else None
        for name in inputs:
            scope.labels[name.name] = name.name
            env.names[name.name] = Bound(Value(name.name, width=width), span=name.span)
        self.statements(statements, scope, env, last=True)
        self.unread(scope.env.names)
        if scope.result is None and len(self.errors) == before:
            self.error("E215", "this body returns nothing", span, "end it with `return ..`")
        return scope if scope.result and len(self.errors) == before else None

    def function_body(
        self, node: syntax.Function, env: Env
    ) -> tuple[tuple[Statement, ...], Term] | None:
        """The statements and the result of a function, its parameters bound in `env`."""
        before = len(self.errors)
        scope = _Scope("function", env)
        for name, bound in env.names.items():
            if isinstance(bound, Bound) and isinstance(bound.term, Value):
                scope.labels[name] = name
        self.statements(node.body, scope, env, last=True)
        self.unread(scope.env.names)
        if scope.result is None and len(self.errors) == before:
            self.error("E215", f"the function `{node.name}` returns nothing", node.name_span,
                       "end it with `return ..`")  # fmt: skip
        return (tuple(scope.statements), scope.result.term) if scope.result else None

    def statements(
        self, nodes: tuple[syntax.Statement, ...], scope: _Scope, env: Env, last: bool = False
    ) -> None:
        for i, node in enumerate(nodes):
            before = len(self.errors)
            self.unrolled += 1
            if self.unrolled > MAX_STATEMENTS:
                what = f"more than {MAX_STATEMENTS:,} statements once the loops are unrolled"
                raise SpaceErrors([*self.errors, mistake("E911", what, node.span)])
            if isinstance(node, syntax.Return) and not (last and i == len(nodes) - 1):
                self.error("E216", "`return` is the last statement of a body", node.span)
                continue
            try:
                self.statement(node, scope, env)
            except SpaceErrors:
                raise
            except EpnasError as error:
                self.errors.append(kept(error, node.span))
                self.poison(node, scope)
            new = any(e.diagnostics for e in self.errors[before:])
            if new and sum(len(e.diagnostics) for e in self.errors) > MAX_ERRORS:
                raise SpaceErrors(self.errors)

    def statement(self, node: syntax.Statement, scope: _Scope, env: Env) -> None:
        self.expressions.known_here.clear()
        self.expressions.level = scope.level
        match node:
            case syntax.Assign():
                self.assign(node, scope, env)
            case syntax.Production():
                self.names([syntax.Name(node.name, span=node.name_span or node.span)], "production")
                if node.name in env.names:
                    fail("E101", f"`{node.name}` is already defined", node.name_span)
                env.names[node.name] = ProductionBinding(node, env)
                self.expressions.production(node.name, env, node.span)
            case syntax.For():
                self.expressions.descend(node.span)
                try:
                    for term in self.iterated(node, env):
                        self.expressions.spend(1, node.span)
                        inner = Env(env, {node.variable: Bound(term)})
                        self.statements(node.body, scope, inner)
                finally:
                    self.expressions.depth -= 1
            case syntax.Level():
                self.level(node, scope, env)
            case syntax.Return():
                term = self.expressions.value(node.value, env, scope.level)
                scope.result = Statement("return", term, scope.level, "", node.span)

    def level(self, node: syntax.Level, scope: _Scope, env: Env) -> None:
        if scope.kind == "function" or scope.level:
            where = "a function" if scope.kind == "function" else "another `level`"
            fail("E217", f"`level` inside {where}", node.span, "use `for` here")
        for term in list(self.iterated(node, env)):
            scope.levels += 1
            scope.level = scope.levels
            self.statements(node.body, scope, Env(env, {node.variable: Bound(term)}))
        scope.level = 0

    def iterated(self, loop: syntax.For | syntax.Level, env: Env) -> Iterable[Term]:
        node = loop.iterable
        if loop.variable in OPERATIONS or loop.variable in self.expressions.BUILT_IN:
            fail("E102", f"`{loop.variable}` has a meaning already", loop.span,
                 "choose another name")  # fmt: skip
        if isinstance(node, syntax.Range):
            first = self.expressions.whole(node.first, env)
            last = self.expressions.whole(node.last, env)
            if last - first >= MAX_STATEMENTS:
                fail("E911", f"a loop of {last - first + 1:,} turns; at most "
                     f"{MAX_STATEMENTS:,} are allowed", node.span)  # fmt: skip
            return (Constant(i) for i in range(first, last + 1))
        if isinstance(node, syntax.List | syntax.Slice):
            return self.expressions.several(node, env)
        fail("E218", "a loop runs over a range or a list", node.span, "write `1..n` or `[16, 32]`")

    def assign(self, node: syntax.Assign, scope: _Scope, env: Env) -> None:
        label, array, index = node.name, "", 0
        if node.index is not None:
            index = self.expressions.whole(node.index, env)
            label, array = f"{node.name}{index}", node.name
        span = node.name_span or node.span
        inner: Env | None = env
        while inner and inner is not scope.env:
            if node.name in inner.names:
                fail("E102", f"`{node.name}` has a meaning already", span, "choose another name")
            inner = inner.outer
        self.check_name(node, label, array, scope, span)
        term = self.expressions.single(node.value, env, scope.level)
        if term.kind not in {"value", "number"} or (term.kind == "number" and array):
            hint = "" if term.kind == "number" else f"a production: `{node.name} := ..`"
            what = "only values have an index" if array else "names stand for values"
            fail("E219", f"`{node.name}` would be {KINDS[term.kind]}; {what}",
                 node.value.span, hint)  # fmt: skip
        if term.kind == "number" and not term.decisions:
            scope.env.names[label] = Bound(term)
            return
        scope.labels[label] = array or label
        scope.statements.append(Statement(label, term, scope.level, array, node.span))
        number = term.kind == "number"
        reader = Variable(label) if number else Value(label, width=width_of(term))
        bound = Bound(reader, scope.level, span=span)
        if array:
            binding = scope.env.names.setdefault(array, ArrayBinding(array, span=span))
            assert isinstance(binding, ArrayBinding)
            binding.elements[index] = bound
        else:
            before = scope.env.names.get(label)
            if isinstance(before, Bound) and isinstance(before.term, Value):
                bound.level = min(bound.level, before.level)
                if scope.level > 1 and key_of(before.term.width) != key_of(width_of(term)):
                    bound.term = Value(label)  # fewer levels leave it as wide as before
            scope.env.names[label] = bound

    def check_name(
        self, node: syntax.Assign, label: str, array: str, scope: _Scope, span: Span
    ) -> None:
        name = node.name
        if name in OPERATIONS or name in self.expressions.BUILT_IN:
            fail("E102", f"`{name}` has a meaning already", span, "choose another name")
        known = scope.env.names.get(name) or self.top.names.get(name)
        if isinstance(known, ProductionBinding | FunctionBinding | CellBinding):
            fail("E101", f"`{name}` is already defined", span)
        if isinstance(known, ArrayBinding) != bool(array) and known and name in scope.env.names:
            fail("E106", f"`{name}` is used with an index and without one", span)
        owner = scope.labels.get(label, array or label)
        if owner != (array or label):
            fail("E107",
                 f"in an architecture's text this and another value would both be `{label}`", span,
                 "choose another name")  # fmt: skip
        if array and label in scope.labels:
            fail("E108", f"`{name}[{label[len(name) :]}]` is given twice", span)

    def poison(self, node: syntax.Statement, scope: _Scope) -> None:
        """Let the names that it gives exist, so that one mistake is reported once."""
        if isinstance(node, syntax.For | syntax.Level):
            for inner in node.body:
                self.poison(inner, scope)
        if not isinstance(node, syntax.Assign):
            return
        if node.index is None:
            scope.env.names.setdefault(node.name, Bound(Value(node.name), poisoned=True))
        else:
            array = scope.env.names.setdefault(node.name, ArrayBinding(node.name))
            if isinstance(array, ArrayBinding):
                array.poisoned = True

    # --- warnings

    def unread(self, names: Mapping[str, Binding]) -> None:
        """Note the values and numbers that nothing reads."""
        for name, binding in names.items():
            if isinstance(binding, Bound | ArrayBinding) and binding.span and not binding.read:
                self.expressions.warn("W002", f"`{name}` is never read", binding.span)

    def idle(self, space: SearchSpace) -> None:
        """Note the choices that leave nothing to choose."""
        warn = self.expressions.warn
        for found in self.expressions.alike.warnings():
            warn(found.code, found.message, found.span or self.node.span)
        for span, filled in self.expressions.filled.items():
            if not filled:
                warn("W006", "this alternative is always empty, so it is never chosen", span)
        place = self.node.name_span or self.node.span
        if not space.decisions:
            if self.expressions.asked:
                warn(
                    "W007", f"nothing is left to choose: `{space.name}` has one architecture", place
                )
            return
        idle = [str(i) for i in range(1, space.depth + 1) if space.level_size(i) == 1]
        if idle:
            first = next((s.span for b in space.bodies for s in b.statements
                          if s.level == int(idle[0])), None)  # fmt: skip
            levels = f"level {idle[0]} has" if len(idle) == 1 else f"levels {', '.join(idle)} have"
            warn("W003", f"{levels} one option only", first or place)

    def reach(self) -> set[str]:
        """What the network speaks of, be it in a branch not taken, and what that speaks of."""
        items: dict[str, syntax.Item] = {}
        for item in self.node.items:
            if isinstance(item, syntax.Production | syntax.Function):
                items[item.name] = item
            if isinstance(item, syntax.Cell):
                items |= {n.name: item for n in item.names}
        found: set[str] = set()
        waiting: list[syntax.Item] = [i for i in self.node.items if isinstance(i, syntax.Network)]
        while waiting:
            new = {*syntax.mentions(waiting.pop())} & items.keys() - found
            found |= new
            waiting += [items[name] for name in new]
        return found

    def warnings(self) -> list[Diagnostic]:
        """What is not wrong but looks like a mistake."""
        words = {"Production": "production", "Function": "function", "CellName": "cell"}
        found = [
            Diagnostic("W001", f"the {words[kind]} `{name}` is never used", span)
            for kind, name, span in self.declared
            if name not in self.reached
        ]
        self.unread(self.top.names)
        return found + self.expressions.warnings


def _calls(terms: Iterable[Term]) -> Iterator[tuple[str, Span | None]]:
    """The cells that terms are made of."""
    for term in inside(*terms):
        if isinstance(term, CellCall | Stack):
            names = (term.cell,) if isinstance(term, CellCall) else term.cells
            yield from ((name, term.span) for name in dict.fromkeys(names))
