"""Calls: operations, productions, functions and cells with what is handed to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from epnas_dsl.errors import EpnasError, Span, nearest
from epnas_dsl.lang import syntax
from epnas_dsl.lang.alike import key_of, usual_width
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
    counted,
    fail,
    kept,
    quoted,
)
from epnas_dsl.lang.expressions import MAX_NESTED, Expressions, Undecided
from epnas_dsl.space.operations import OPERATIONS, check_setting
from epnas_dsl.space.operations import Operation as Spec
from epnas_dsl.space.terms import (
    Apply,
    CellCall,
    Choice,
    Constant,
    Function,
    Operation,
    Stack,
    Term,
    Value,
    Variable,
)

MAX_CELLS = 2_000


class Calls(Expressions):
    """Lowers expressions, calls included."""

    # --- calls

    def call(self, node: syntax.Call, env: Env) -> Term:
        """`name(..)`: a word of the language, an operation, a production, a function, a cell."""
        span = node.name_span or node.span
        if node.keywords and node.name in self.BUILT_IN and node.name not in {"stack", "concat"}:
            keyword = node.keywords[0]
            fail("E235", f"`{node.name}` has no `{keyword.name}`", keyword.span)
        match node.name:
            case "sum" | "concat":
                return self.join(node, env)
            case "unused" | "last":
                return self.ends(node, env)
            case "stack":
                return self.stack(node, env)
            case "min" | "max":
                return self.extreme(node, env)
        binding = env.find(node.name)
        if isinstance(binding, FunctionBinding):
            return self.call_function(binding, node, env)
        if isinstance(binding, CellBinding):
            return self.call_cell(binding, node, env)
        if isinstance(binding, ProductionBinding):
            callee = self.production(node.name, env, span)
        elif isinstance(binding, Bound) and binding.term.kind == "operation":
            callee = self.bound(binding, node.name, span)
        elif binding is not None:
            if isinstance(binding, Bound | ArrayBinding) and binding.poisoned:
                raise Reported
            fail("E229", f"`{node.name}` is not an operation", span)
        elif node.name in OPERATIONS:
            callee = Operation(node.name)
        else:
            self.unknown(node.name, env, span)
        if callee.kind != "operation":
            fail(
                "E229", f"`{node.name}` stands for {KINDS[callee.kind]}, not for an operation", span
            )
        return self.apply(callee, node, env)

    def arguments(
        self, node: syntax.Call, env: Env
    ) -> tuple[list[Term], list[Term], dict[str, Term]]:
        """The values, the numbers after them, and the named numbers."""
        values: list[Term] = []
        numbers: list[Term] = []
        for term, span in self.spread(node.arguments, env):
            always_there(term, span)
            if term.many:
                fail("E220", "several values where one is needed", span,
                     "join them with `sum(..)` or `concat(..)`")  # fmt: skip
            if term.kind == "operation":
                fail("E221", "an operation where a value is needed", span)
            if term.kind == "value" and numbers:
                fail("E230", "values come before numbers", span)
            (numbers if term.kind == "number" else values).append(term)
        named: dict[str, Term] = {}
        for keyword in node.keywords:
            if keyword.name in named:
                fail("E231", f"`{keyword.name}` is given twice", keyword.span)
            named[keyword.name] = self.one(keyword.value, env)
        return values, numbers, named

    def apply(self, callee: Term, node: syntax.Call, env: Env) -> Term:
        """An operation on its inputs; without inputs it waits for them."""
        values, numbers, named = self.arguments(node, env)
        for name, term in named.items():
            if term.kind != "number":
                span = next(k.value.span for k in node.keywords if k.name == name)
                fail("E222", f"{KINDS[term.kind]} where a number is needed", span)
        leaves = callee.alternatives if isinstance(callee, Choice) else (callee,)
        given = self.place(leaves, numbers, named, node)
        self.in_range(node.name if len(leaves) > 1 else _callee_name(leaves[0]), given, node)
        if isinstance(callee, Operation):
            whole = Operation(callee.name, (*callee.arguments, *given))
            spans = {k.name: k.span for k in node.keywords}
            chosen = [(n, spans.get(n, node.span)) for n, t in given if t.decisions]
            self.alike.numbers |= dict.fromkeys(chosen, whole)
        if not values:
            if not isinstance(callee, Operation):
                fail("E232", f"`{node.name}` needs a value to work on", node.span)
            return Operation(callee.name, given)
        for leaf in leaves:
            self.check_call(leaf, len(values), given, node)
        channels = env.find("channels")
        width = channels.term if isinstance(channels, Bound) else None
        if width is not None and width.kind != "number":
            width = None
        if isinstance(channels, Bound) and any("channels" in _parameters(f) for f in leaves):
            channels.read = True
        call = Apply(callee, tuple(values), given, width, node.span)
        self.alike.widths.setdefault(callee.digest, set()).add(key_of(usual_width(call)))
        return call

    def place(
        self, leaves: tuple[Term, ...], numbers: list[Term], named: dict[str, Term],
        node: syntax.Call,
    ) -> tuple[tuple[str, Term], ...]:  # fmt: skip
        """Name the numbers given by position."""
        if numbers:
            if len(leaves) != 1 or not isinstance(leaves[0], Operation):
                fail("E233", f"numbers for `{node.name}` have to be named", node.span,
                     f"`{node.name}(x, channels=16)`")  # fmt: skip
            spec = OPERATIONS[leaves[0].name]
            taken = {n for n, _ in leaves[0].arguments}
            free = [n for n, _ in spec.parameters if n not in taken]
            if len(numbers) > len(free):
                fail("E234", f"`{node.name}` takes {counted(len(free), 'number')}, "
                     f"not {len(numbers)}",
                     node.span, _signature(spec))  # fmt: skip
            for name, term in zip(free, numbers, strict=False):
                if name in named:
                    span = next(k.span for k in node.keywords if k.name == name)
                    fail("E231", f"`{name}` is given twice", span)
                named = {name: term, **named}
        order = [n for n, _ in OPERATIONS[leaves[0].name].parameters] if isinstance(
            leaves[0], Operation) else list(named)  # fmt: skip
        for leaf in leaves:
            known = _parameters(leaf)
            for name in named:
                if name not in known:
                    span = next((k.span for k in node.keywords if k.name == name), node.span)
                    fail("E235", f"`{_callee_name(leaf)}` has no `{name}`; it has: "
                         f"{', '.join(known) or 'none'}", span, nearest(name, known))  # fmt: skip
        return tuple((n, named[n]) for n in sorted(named, key=order.index))

    def in_range(self, name: str, given: Iterable[tuple[str, Term]], node: syntax.Call) -> None:
        """Note the numbers, known by now, that are out of range; the call is good all the same."""
        for key, term in given:
            for option in term.alternatives if isinstance(term, Choice) else (term,):
                try:
                    if isinstance(option, Constant):
                        check_setting(name, key, option.value)
                except EpnasError as error:
                    place = next((k.span for k in node.keywords if k.name == key), node.span)
                    self.errors.append(kept(error, place))

    def check_call(
        self, leaf: Term, values: int, given: tuple[tuple[str, Term], ...], node: syntax.Call
    ) -> None:
        """Refuse a wrong number of inputs and missing arguments."""
        if isinstance(leaf, Function):
            if values != len(leaf.inputs):
                fail("E236", f"`{leaf.name}` works on {counted(len(leaf.inputs), 'value')}, "
                     f"not {values}", node.span)  # fmt: skip
            return
        assert isinstance(leaf, Operation)
        spec = OPERATIONS[leaf.name]
        if values != spec.inputs:
            fail("E236", f"`{leaf.name}` works on {counted(spec.inputs, 'value')}, not {values}",
                 node.span, "join them: `+`, `concat(..)`" if spec.inputs == 1 else "")  # fmt: skip
        have = {n for n, _ in (*leaf.arguments, *given)}
        missing = [n for n, d in spec.parameters if d is None and n not in have]
        if missing:
            fail("E237", f"`{leaf.name}` needs {quoted(missing)}", node.span, _signature(spec))

    # --- functions and cells

    def call_function(self, binding: FunctionBinding, node: syntax.Call, env: Env) -> Term:
        """`block(x, 3, stride=2)`"""
        self.used.add(node.name)
        parameters = [p.name for p in binding.node.parameters]
        bound: dict[str, Term] = {}
        positional = self.spread(node.arguments, env)
        if len(positional) > len(parameters):
            fail("E234", f"`{node.name}` takes {counted(len(parameters), 'argument')}, "
                 f"not {len(positional)}", node.span)  # fmt: skip
        for name, (term, span) in zip(parameters, positional, strict=False):
            always_there(term, span)
            bound[name] = term
        for keyword in node.keywords:
            if keyword.name not in parameters:
                fail("E235", f"`{node.name}` has no `{keyword.name}`; it has: "
                     f"{', '.join(parameters) or 'none'}", keyword.span,
                     nearest(keyword.name, parameters))  # fmt: skip
            if keyword.name in bound:
                fail("E231", f"`{keyword.name}` is given twice", keyword.span)
            bound[keyword.name] = self.one(keyword.value, env)
        for name, term in bound.items():
            if term.many or term.kind == "operation":
                fail("E221", f"`{name}` of `{node.name}` needs one value or number", node.span)
        numbers = {n: t for n, t in bound.items() if t.kind == "number"}
        function = self.instances(binding, numbers, env, node.span)
        one = function.alternatives[0] if isinstance(function, Choice) else function
        assert isinstance(one, Function)
        values = [bound[n] for n in one.inputs if n in bound]
        if not values:
            return function
        if len(values) < len(one.inputs):
            missing = [n for n in one.inputs if n not in bound]
            fail("E237", f"`{node.name}` needs {quoted(missing)}", node.span)
        return Apply(function, tuple(values), (), None, node.span)

    def instances(
        self, binding: FunctionBinding, numbers: Mapping[str, Term], env: Env, span: Span
    ) -> Term:
        """The function; one for each number of a choice that its body has to know."""
        errors, warnings = len(self.errors), len(self.warnings)
        tables: tuple[dict[Any, Any], ...] = (self.functions, self.known_top)
        known = [len(table) for table in tables]
        try:
            return self.function(binding, numbers, env, span)
        except Undecided as missing:
            del self.errors[errors:], self.warnings[warnings:]
            for table, size in zip(tables, known, strict=True):  # what failed is to be told again
                for key in [k for k in islice(table, size, None) if table[k] is None]:
                    del table[key]
            self.known_here.clear()
            term = numbers[missing.name]
            name = missing.name
        self.undecided(term)
        options = term.alternatives if isinstance(term, Choice) else ()
        if not options or not all(isinstance(t, Constant) for t in options):
            fail("E205", f"`{binding.node.name}` has to know `{name}` when the space is read", span,
                 f"a plain choice among numbers can be given: `{name}=2|3`")  # fmt: skip
        found: list[Term] = []
        for option in options:
            made = self.instances(binding, {**numbers, name: option}, env, span)
            found += made.alternatives if isinstance(made, Choice) else [made]
        return Choice(tuple(found))

    def function(
        self, binding: FunctionBinding, numbers: Mapping[str, Term], env: Env, span: Span
    ) -> Function:
        """A function with its numbers bound; parameters without one stand for values."""
        node = binding.node
        self.used.add(node.name)
        channels = env.find("channels")
        width = channels if isinstance(channels, Bound) else None
        key = (
            node.name,
            tuple((n, t.digest) for n, t in numbers.items()),
            width and width.term.digest,
        )
        known = self.functions.get(key)
        if known:
            return known
        if key in self.functions and node.name not in self.active:
            raise Reported
        self.functions[key] = None
        if node.name in self.active:
            fail("E109", f"the function `{node.name}` calls itself", span)
        if len(self.active) >= MAX_NESTED:
            fail("E907", f"calls nested more than {MAX_NESTED} deep", span)
        self.active.append(node.name)
        self.open.append({n for n, t in numbers.items() if not isinstance(t, Constant)})
        level, self.level = self.level, 0
        try:
            inner, inputs = self.function_env(binding, numbers, width)
            body = self.function_body(node, inner)
        except Undecided:
            del self.functions[key]
            raise
        finally:
            self.active.pop()
            self.open.pop()
            self.level = level
        if body is None:
            raise Reported
        parameters = tuple(p.name for p in node.parameters)
        function = Function(node.name, inputs, tuple(numbers.items()), *body, parameters)
        self.functions[key] = function
        return function

    def look_into(self, binding: FunctionBinding) -> None:
        """Find the errors of a function that nothing calls; its parameters may be anything."""
        inner, inputs = self.function_env(binding, {}, None)
        for name in inputs:
            inner.names[name] = Bound(Value(name), poisoned=True)
        self.level = 0
        self.function_body(binding.node, inner)
        self.errors[:] = [e for e in self.errors if e.diagnostics]

    def function_env(
        self, binding: FunctionBinding, numbers: Mapping[str, Term], width: Bound | None
    ) -> tuple[Env, tuple[str, ...]]:
        """The names inside a function, and which parameters stand for values."""
        inner = Env(Env(binding.env, {"channels": width} if width else {}))
        inputs: list[str] = []
        for p in binding.node.parameters:
            if p.name in numbers:
                term = numbers[p.name]
                known = isinstance(term, Constant)
                inner.names[p.name] = Bound(term if known else Variable(p.name), read=True)
            elif p.default is not None:
                inner.names[p.name] = Bound(self.number(p.default, inner), read=True)
            else:
                inputs.append(p.name)
                inner.names[p.name] = Bound(Value(p.name), read=True)
        return inner, tuple(inputs)

    def call_cell(self, binding: CellBinding, node: syntax.Call, env: Env) -> Term:
        """`normal(a, b)`"""
        self.used.add(node.name)
        values, numbers, named = self.arguments(node, env)
        width = named.pop("channels", None)
        if width and width.kind != "number":
            place = next(k.value.span for k in node.keywords if k.name == "channels")
            fail("E222", f"{KINDS[width.kind]} where a number is needed", place)
        if numbers or named:
            fail("E235", f"the cell `{node.name}` has no such argument", node.span,
                 "it takes `channels=`")  # fmt: skip
        self.in_range(node.name, [("channels", width)] if width else [], node)
        if len(values) != binding.inputs:
            fail("E236", f"`{node.name}` works on {counted(binding.inputs, 'value')}, "
                 f"not {len(values)}",
                 node.span)  # fmt: skip
        return CellCall(node.name, tuple(values), width, node.span)

    def stack(self, node: syntax.Call, env: Env) -> Term:
        """`stack(x, [normal*2, reduction], channels=48)`"""
        *values, cells = node.arguments or (None,)
        if not isinstance(cells, syntax.List) or not 1 <= len(values) <= 2:
            fail("E238", "`stack` takes one value or two and a list of cells", node.span,
                 "`stack(x, [normal*2, reduction])`")  # fmt: skip
        width = self.width(node, env)
        self.in_range(node.name, [("channels", width)] if width else [], node)
        inputs: list[Term] = []
        names: list[str] = []

        def read(part: syntax.Expression) -> None:
            if part is cells:
                names.extend(self.cells(cells, env))
            else:
                inputs.append(self.one(part, env))

        self.each(node.arguments, read)
        for term, value in zip(inputs, values, strict=True):
            if term.kind != "value" or term.many:
                fail("E221", "`stack` begins with a value", value.span if value else node.span)
        if not names:
            fail("E239", "a stack of no cells", node.span)
        return Stack(tuple(inputs), tuple(names), width, node.span)

    def width(self, node: syntax.Call, env: Env) -> Term | None:
        """The number behind `channels=` of `stack` or `concat`."""
        found = None
        for keyword in node.keywords:
            if keyword.name != "channels":
                fail("E235", f"`{node.name}` has no `{keyword.name}`; it has: channels",
                     keyword.span, nearest(keyword.name, ["channels"]))  # fmt: skip
            if found:
                fail("E231", "`channels` is given twice", keyword.span)
            found = self.number(keyword.value, env)
            if found.decisions and node.name == "concat":
                fail("E243", "channels that are chosen here cannot be shared out",
                     keyword.value.span, "name the number first: `width = 16 | 32`")  # fmt: skip
        return found

    def cells(self, node: syntax.List, env: Env) -> list[str]:
        """The names in the list of a stack."""
        names: list[str] = []
        for found in self.each(node.elements, lambda e: self.repeated(e, env)):
            names += found
            if len(names) > MAX_CELLS:
                fail("E912", f"a stack of more than {MAX_CELLS:,} cells", node.span)
        return names

    def repeated(self, node: syntax.Expression, env: Env) -> list[str]:
        """`normal*repeats` in a stack."""
        count, span = 1, node.span
        if isinstance(node, syntax.Binary) and node.operator == "*":
            cell = isinstance(node.left, syntax.Name) and env.find(node.left.name)
            left, right = (node.left, node.right)
            if not isinstance(cell, CellBinding):
                left, right = right, left
            count, node = self.whole(right, env), left
            if count > MAX_CELLS:
                fail("E912", f"a stack of more than {MAX_CELLS:,} cells", span)
        if not isinstance(node, syntax.Name):
            fail("E238", "a stack is made of cells", node.span, "`[normal*2, reduction]`")
        binding = env.find(node.name)
        if not isinstance(binding, CellBinding):
            known = [n for n in env.known() if isinstance(env.find(n), CellBinding)]
            fail("E103", f"there is no cell `{node.name}`", node.span, nearest(node.name, known))
        if binding.inputs > 2:
            fail("E236", f"the cell `{node.name}` takes {binding.inputs} inputs; in a stack a cell "
                 "takes one or two", node.span)  # fmt: skip
        self.used.add(node.name)
        return [node.name] * count


# --- what a callee takes


def _callee_name(leaf: Term) -> str:
    return leaf.name if isinstance(leaf, Operation | Function) else "this"


def _parameters(leaf: Term) -> list[str]:
    if isinstance(leaf, Operation):
        taken = {n for n, _ in leaf.arguments}
        return [n for n, _ in OPERATIONS[leaf.name].parameters if n not in taken]
    return []


def _signature(spec: Spec) -> str:
    shown = [n if d is None else f"{n}=.." for n, d in spec.parameters]
    return f"`{spec.name}({', '.join(['x', *shown])})`"
