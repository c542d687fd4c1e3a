"""Turn an architecture's text into the choices of its space: each expression against its term."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from epnas_dsl.errors import ArchitectureError, LimitError, Span, nearest
from epnas_dsl.lang import syntax
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.arithmetic import calculate
from epnas_dsl.space.genotype import print_cells, print_operand, print_parts, print_term
from epnas_dsl.space.operations import OPERATIONS
from epnas_dsl.space.recognition import Joining, Mismatch, any_of, first
from epnas_dsl.space.search_space import Body, SearchSpace
from epnas_dsl.space.terms import (
    Apply,
    CellCall,
    Choice,
    Constant,
    Each,
    Formula,
    Function,
    Join,
    Number,
    Operation,
    Stack,
    Statement,
    Subset,
    Term,
    Tree,
    Unused,
    Value,
    disassemble,
    pick,
)

MAX_ATTEMPTS = 20_000
_JOINED = {"add": "added", "concat": "joined"}
Names = Mapping[str, Term]  # what the variables of comprehensions stand for


def match_architecture(node: syntax.Genotype, space: SearchSpace) -> Architecture:
    """The architecture that a text describes.

    Raises:
        ArchitectureError: the text does not fit the space; with the place and what fits there.
    """
    if node.digest and not space.digest.startswith(node.digest.lower()):
        raise ArchitectureError(
            f"written for {node.space}@{node.digest}, but {space.name} now means "
            f"@{space.digest}", code="E304",
            span=_start(node.span, f"{node.space}@{node.digest}"),
            hint="the space has changed since; remove `@..` to read the text all the same",
        )  # fmt: skip
    matcher = _Matcher()
    written = _written(node, space)
    found: dict[Statement, list[int]] = {}
    for body, statements in written:
        found.update(matcher.body(body, statements, space))
    numbers: list[int] = []
    complete = 0
    for level in range(1, space.depth + 1):
        here = [s for _, s in space.statements if max(1, s.level) == level]
        given = [s for s in here if s in found]
        if len(given) < len(here):
            _check_rest(space, found, level, node)
            break
        complete = level
        numbers += [n for s in here for n in found[s]]
    if not complete:
        missing = next(s for _, s in space.statements if s not in found)
        raise ArchitectureError(
            f"`{missing.label}` is missing", code="E305", span=_end(node.span),
            hint=f"an architecture of {space.name} has at least level 1",
        )  # fmt: skip
    return Architecture(space, numbers)


def _check_rest(
    space: SearchSpace, found: Mapping[Statement, object], level: int, node: syntax.Genotype
) -> None:
    late = [s for _, s in space.statements if s in found and max(1, s.level) >= level]
    if late:
        body, missing = next(
            (b, s) for b, s in space.statements if s not in found and max(1, s.level) <= level
        )
        written = [b.span for b in node.bodies if not b.name or b.name in body.names]
        what = f"`{missing.label}`" if written else f"the body `{body.name}`"
        raise ArchitectureError(
            f"{what} is missing, but level {level} has begun", code="E305",
            span=_end(written[-1] if written else node.span),
            hint="all bodies of an architecture reach the same level",
        )  # fmt: skip


def _written(
    node: syntax.Genotype, space: SearchSpace
) -> Iterator[tuple[Body, tuple[syntax.Statement, ...]]]:
    decided = [b for b in space.bodies if any(body is b for body, _ in space.statements)]
    names = {name: b for b in decided for name in b.names}
    seen: set[str] = set()
    for body in node.bodies:
        if not body.name:
            if len(decided) > 1:
                raise ArchitectureError(
                    f"{space.name} has several bodies: {', '.join(b.name for b in decided)}",
                    code="E306", span=body.span, hint=f"write `{decided[0].name} {{ .. }}`",
                )  # fmt: skip
            if body.statements and not decided:
                raise ArchitectureError(f"{space.name} has nothing to choose", code="E303",
                                        span=body.statements[0].span)  # fmt: skip
            yield from [(b, body.statements) for b in decided]
            continue
        if body.name not in names:
            raise ArchitectureError(
                f"{space.name} has no body `{body.name}`; it has: {', '.join(names) or 'none'}",
                code="E306", span=_start(body.span, body.name), hint=nearest(body.name, names),
            )  # fmt: skip
        if names[body.name].name in seen:
            raise ArchitectureError(f"the body `{body.name}` is there twice", code="E306",
                                    span=_start(body.span, body.name))  # fmt: skip
        seen.add(names[body.name].name)
        yield names[body.name], body.statements


class _Mismatch(Mismatch):
    """This expression is not one of those that the term stands for."""

    def __init__(
        self, message: str, span: Span, depth: int, hint: str = "", fits: Sequence[str] = ()
    ) -> None:
        self.message, self.span, self.depth, self.hint = message, span, depth, hint
        self.fits = list(fits)
        self.of_variable: syntax.Expression | None = None  # what stands for that of a comprehension

    def told(self) -> str:
        return f"{self.message} where {_few(self.fits)} fits" if self.fits else self.message


class _Matcher(Joining[syntax.Expression, Names]):
    """Counts its attempts, so that a hostile text cannot keep it busy."""

    def __init__(self) -> None:
        self.attempts = 0
        self.commutes = False
        self.here: Span | None = None

    def whole(self, nodes: Sequence[syntax.Expression]) -> Span:
        """The stretch of some operands; where there are none, of the join around them."""
        assert self.here
        return nodes[0].span.to(nodes[-1].span) if nodes else self.here

    def body(
        self, body: Body, nodes: Sequence[syntax.Statement], space: SearchSpace
    ) -> dict[Statement, list[int]]:
        expected = [s for b, s in space.statements if b is body]
        expected.sort(key=(*body.statements, body.result).index)
        found: dict[Statement, list[int]] = {}
        result = [s for s in expected if s is body.result]
        rest = [s for s in expected if s is not body.result]
        for node in nodes:
            if isinstance(node, syntax.Return):
                statement = result.pop() if result else None
            else:
                statement = rest.pop(0) if rest else None
            label = _label(node)
            if statement and statement.label != label:
                statement = _after_levels(statement, label, rest)
            if statement is None or statement.label != label:
                what = (
                    f"`{statement.label}` comes here" if statement else "nothing comes after this"
                )
                raise ArchitectureError(
                    f"`{label}` does not belong here: {what}", code="E303",
                    span=getattr(node, "name_span", None) or _start(node.span, label),
                    hint=f"{space.name} decides {_few([s.label for s in expected])}, in this order",
                )  # fmt: skip
            assert isinstance(node, syntax.Assign | syntax.Return)
            found[statement] = self.statement(statement, node)
        return found

    def statement(self, statement: Statement, node: syntax.Assign | syntax.Return) -> list[int]:
        for self.commutes in (False, True):  # as it is printed before any other order
            try:
                return disassemble(statement.term, self.match(statement.term, node.value, {}))
            except _Mismatch as e:
                reason = e
        raise ArchitectureError(reason.told(), code="E303", span=reason.span, hint=reason.hint)

    def match(self, term: Term, node: syntax.Expression, names: Names) -> Tree:
        """The choices that make a term this expression.

        Raises:
            _Mismatch: there are none.
        """
        self.attempts += 1
        if self.attempts > MAX_ATTEMPTS:
            raise LimitError("this text takes too long to compare with its space", code="E913",
                             span=node.span)  # fmt: skip
        match term:
            case Choice():
                return self.choice(term, node, names)
            case Apply():
                return self.apply(term, node, names)
            case Join():
                return self.join(term, node, names)
            case Constant() | Formula():
                try:
                    return self.formula(term, node, names)
                except _Mismatch:
                    if term.decisions:
                        raise
            case Stack() | CellCall():
                return self.cells(term, node, names)
        self.same(term, node, names)
        return ()

    def same(self, term: Term, node: syntax.Expression, names: Names) -> None:
        """A term without choices: the text has to say the same."""
        if isinstance(term, Value) and term.label in names:
            try:
                self.match(names[term.label], node, names)
            except _Mismatch:
                belongs = print_term(names[term.label], (), {})
                mismatch = _Mismatch(f"`{belongs}` belongs here", node.span, 1)
                mismatch.of_variable = node
                raise mismatch from None
            return
        expected = print_term(term, (), {})
        written = _text(node)
        if expected.replace(" ", "") == written.replace(" ", ""):
            return
        if isinstance(term, Constant) and self.commutes and _number(node) == term.value:
            return
        raise _Mismatch(f"`{written}`", node.span, 0, nearest(written, [expected]), [expected])

    def choice(self, term: Choice, node: syntax.Expression, names: Names) -> Tree:
        try:
            return self.one_of(enumerate(term.alternatives), node, names)
        except Mismatch as best:
            if best.depth > 0:
                raise
        options = [_head(a) for a in term.alternatives]
        text = _name(node)
        if isinstance(node, syntax.Alternatives):
            raise _Mismatch(f"`{_text(node)}` leaves a choice open", node.span, 0,
                            f"write one of {_few(options)}")  # fmt: skip
        raise _Mismatch(f"`{text}` is not one of {_few(options)}", _span(node), 0,
                        nearest(text, options))  # fmt: skip

    def one_of(
        self, options: Iterable[tuple[int, Term]], node: syntax.Expression, names: Names
    ) -> tuple[int, Tree]:
        """The number of the first term that says the same, and the choices in it."""
        return first(options, lambda o: (o[0], self.printed(o[1], node, names)))

    def printed(self, term: Term, node: syntax.Expression, names: Names) -> Tree:
        """The choices that make a term this expression, and are printed as it if that is asked."""
        tree = self.match(term, node, names)
        if self.commutes:
            return tree
        texts: dict[str, str] = {}
        for name, element in names.items():
            texts[name] = print_operand(element, (), texts)
        written = node.span.source.text[node.span.start : node.span.end].replace(" ", "")
        ways = (p(term, tree, texts).replace(" ", "") for p in (print_term, print_operand))
        if written not in ways:
            raise _Mismatch(f"`{written}`", node.span, 0)
        return tree

    def apply(self, term: Apply, node: syntax.Expression, names: Names) -> Tree:
        if not isinstance(node, syntax.Call):
            what = _text(node)
            raise _Mismatch(f"`{what}` is no operation on a value, such as "
                            f"`{_example(term)}`", node.span, 0)  # fmt: skip
        callee, tree = term.callee, self.callee(term.callee, node, term, names)
        if isinstance(callee, Choice):
            callee = callee.alternatives[tree[0]]
        n = len(term.inputs)
        values, given = _given(callee, node, n)
        if len(values) < n:
            raise _Mismatch(f"`{node.name}` works on {n} value{'s' if n > 1 else ''}", node.span, 2)
        trees = [tree]
        for inner, argument in zip(term.inputs, values, strict=True):
            try:
                trees.append(self.match(inner, argument, names))
            except _Mismatch as e:
                e.depth += 2
                raise
        for name, inner in term.arguments:
            if name not in given:
                raise _Mismatch(f"`{node.name}` needs `{name}=`", node.span, 2)
            trees.append(self.match(inner, given[name], names))
        return tuple(trees)

    def callee_choice(self, term: Choice, node: syntax.Call, applied: Apply, names: Names) -> Tree:
        misses: list[_Mismatch] = []
        for i, alternative in enumerate(term.alternatives):
            try:
                return (i, self.callee(alternative, node, applied, names))
            except _Mismatch as e:
                misses.append(e)
        best = max(misses, key=lambda e: e.depth)
        if best.depth > 0:
            best.fits = [
                x for e in misses if (e.depth, e.span) == (best.depth, best.span) for x in e.fits
            ]
            raise best
        options = [_head(a) for a in term.alternatives]
        raise _Mismatch(f"`{node.name}` is not one of {_few(options)}", _span(node), 0,
                        nearest(node.name, options))  # fmt: skip

    def callee(self, term: Term, node: syntax.Call, applied: Apply, names: Names) -> Tree:
        """An operation or a function by its name, its own arguments and its body."""
        if isinstance(term, Choice):
            return self.callee_choice(term, node, applied, names)
        assert isinstance(term, Operation | Function)
        name = node.name
        if name != term.name:
            raise _Mismatch(f"`{name}` where `{term.name}` fits", _span(node), 0,
                            nearest(name, [term.name]))  # fmt: skip
        _, given = _given(term, node, len(applied.inputs))
        known = [n for n, _ in (*term.arguments, *applied.arguments)]
        for key in [k for k in given if k not in known]:
            keyword = _keywords(node).get(key)
            if not keyword:
                raise _Mismatch(f"`{name}` takes fewer arguments", given[key].span, 1)
            raise _Mismatch(f"`{name}` has no `{key}` here", keyword.span, 1, nearest(key, known))
        trees: list[Tree] = []
        for argument, inner in term.arguments:
            if argument not in given:
                raise _Mismatch(f"`{name}` needs `{argument}=`", node.span, 1)
            try:
                trees.append(self.match(inner, given[argument], names))
            except _Mismatch as e:
                e.depth += 1
                raise
        if isinstance(term, Function):
            trees += self.function_body(term, node)
        elif node.body is not None:
            raise _Mismatch(f"`{name}` has no body", node.span, 1, "only functions have one")
        return tuple(trees)

    def function_body(self, term: Function, node: syntax.Call) -> list[Tree]:
        statements = [*term.statements, Statement("return", term.result)]
        nodes = list(node.body or ())
        trees: list[Tree] = []
        for statement in statements:
            if not statement.term.decisions:
                trees.append(())
                continue
            if not nodes:
                raise _Mismatch(f"`{term.name}` leaves `{statement.label}` open", node.span, 1,
                                f"`{term.name}(..) {{ {statement.label} = .. }}`")  # fmt: skip
            inner = nodes.pop(0)
            if _label(inner) != statement.label:
                raise _Mismatch(f"`{_label(inner)}` where `{statement.label}` comes", inner.span, 2)
            assert isinstance(inner, syntax.Assign | syntax.Return)
            try:
                trees.append(self.match(statement.term, inner.value, {}))
            except _Mismatch as e:
                e.depth += 3
                raise
        if nodes:
            raise _Mismatch("nothing comes after this", nodes[0].span, 2)
        return trees

    def formula(self, term: Term, node: syntax.Expression, names: Names) -> Tree:
        if isinstance(term, Formula) and isinstance(node, syntax.Binary):
            if node.operator != term.operator:
                raise _Mismatch(f"`{node.operator}` where `{term.operator}` fits", node.span, 1)
            given: Sequence[syntax.Expression] = (node.left, node.right)
        elif isinstance(term, Formula) and isinstance(node, syntax.Unary):
            given = (node.operand,) if node.operator == term.operator else ()
        else:
            called = isinstance(node, syntax.Call) and node.name == getattr(term, "operator", "")
            given = node.arguments if isinstance(node, syntax.Call) and called else ()
        if isinstance(term, Formula) and len(given) == len(term.operands):
            pairs = zip(term.operands, given, strict=True)
            return tuple(self.match(child, operand, names) for child, operand in pairs)
        raise _Mismatch(f"`{_text(node)}` does not fit here", node.span, 0)

    def cells(self, term: Stack | CellCall, node: syntax.Expression, names: Names) -> Tree:
        name = "stack" if isinstance(term, Stack) else term.cell
        if not isinstance(node, syntax.Call) or node.name != name:
            raise _Mismatch(f"`{_name(node)}` where `{name}` fits", _span(node), 0,
                            nearest(_name(node), [name]))  # fmt: skip
        values = [*node.arguments[: len(term.inputs)]]
        cells = list(node.arguments[len(term.inputs) :])
        expected = print_cells(term.cells) if isinstance(term, Stack) else ""
        if (expected and not cells) or (len(values) < len(term.inputs)):
            raise _Mismatch(f"`{name}` needs more arguments", node.span, 1)
        if len(cells) > bool(expected):
            raise _Mismatch(f"`{name}` takes fewer arguments", cells[-1].span, 1)
        if expected and _text(cells[0]).replace(" ", "") != expected.replace(" ", ""):
            raise _Mismatch(f"`{_text(cells[0])}` where `{expected}` fits", cells[0].span, 1)
        values += self.channels(term.width, node)
        pairs = zip(term.children, values, strict=True)
        return tuple(self.match(child, value, names) for child, value in pairs)

    # --- sums and concatenations

    def join(self, term: Join, node: syntax.Expression, names: Names) -> Tree:
        operands = _operands(term.operator, node)
        self.here = node.span
        if isinstance(node, syntax.Call) and node.name in (term.operator, "sum"):
            given = self.channels(term.width, node)
            if term.width:
                self.same(term.width, given[0], names)
        if not any(p.many for p in term.parts) and len(operands) != len(term.parts):
            extra = operands[len(term.parts) :] or operands
            count = f"{len(operands)} operand{'s' if len(operands) > 1 else ''}"
            message = f"{count} where {len(term.parts)} are {_JOINED[term.operator]}"
            raise _Mismatch(message, extra[0].span.to(extra[-1].span) if extra else node.span, 1)
        try:
            return next(self.parts(term.parts, operands, names, False))[0]
        except _Mismatch:
            if not (self.commutes and term.operator == "add"):
                raise
            return next(self.parts(term.parts, operands, names, True))[0]

    def channels(self, width: Term | None, node: syntax.Call) -> list[syntax.Expression]:
        """What is given as `channels=`: one thing where there is a width, otherwise nothing."""
        keywords, wanted = _keywords(node), ["channels"] if width else []
        for k in keywords.values():
            if k.name not in wanted:
                raise _Mismatch(f"`{node.name}` has no `{k.name}` here", k.span, 1,
                                nearest(k.name, wanted))  # fmt: skip
        if width and not keywords:
            raise _Mismatch(f"`{node.name}` needs `channels=`", node.span, 1)
        return [k.value for k in keywords.values()]

    def fits(
        self, part: Term, target: syntax.Expression, taken: Container[int], scope: Names
    ) -> Iterator[tuple[tuple[int, Tree], Names]]:
        if isinstance(part, Unused) and _text(target) != f"unused({part.array})":
            raise _Mismatch(f"`unused({part.array})` belongs here", target.span, 1)
        if not isinstance(part, Subset | Each):
            yield (0, () if part.many else self.match(part, target, scope)), scope
            return
        subset = part.subset if isinstance(part, Each) else part
        left = [(i, e) for i, e in enumerate(subset.elements) if i not in taken]
        left.sort(key=lambda o: not (isinstance(o[1], Value) and o[1].label == _name(target)))
        if not left and isinstance(part, Each):
            self.check(None, [target])

        def fit(option: tuple[int, Term]) -> Iterator[tuple[int, Tree]]:
            """An element, or the body with it for the variable."""
            i, element = option
            if isinstance(part, Each):
                inner = {**scope, part.variable: element}
                yield i, ((), self.printed(part.body, target, inner))
            else:
                yield i, self.printed(element, target, scope)

        try:
            yield from ((found, scope) for found in any_of(left, fit))
        except Mismatch as best:
            node = getattr(best, "of_variable", None) or target
            if isinstance(part, Each) and node is target:
                raise
            raise self.not_chosen(subset, node, taken) from None

    def not_chosen(
        self, term: Subset, node: syntax.Expression, chosen: Container[int]
    ) -> _Mismatch:
        """The error of an element that is not there, or not there any more."""
        options = [print_term(e, (), {}) if e.size == 1 else "" for e in term.elements]
        text = _text(node)
        if text in options and options.index(text) in chosen:
            return _Mismatch(f"`{text}` is chosen twice", node.span, 1)
        left = list(filter(None, options))
        return _Mismatch(f"`{text}` cannot be chosen here; there are {_few(left)}", node.span, 1,
                         nearest(text, left))  # fmt: skip

    def check(self, part: Term | None, targets: Sequence[syntax.Expression]) -> None:
        n = len(targets)
        term = part.subset if isinstance(part, Each) else part
        if not part:
            raise _Mismatch(f"`{_text(targets[-1])}` is one too many", targets[-1].span, 1)
        if isinstance(term, Subset) and not term.least <= n <= term.most:
            need = str(term.least) if term.least == term.most else f"at least {term.least}"
            raise _Mismatch(f"{n} chosen where {need} of {len(term.elements)} are needed",
                            self.whole(targets), 1)  # fmt: skip
        if isinstance(part, Unused) and n != 1:
            raise _Mismatch(f"`unused({part.array})` belongs here", self.whole(targets), 1)
        if not (part.many or n):
            such = ":" if part.size == 1 and not part.decisions else ", such as"
            message = f"an operand is missing{such} {_few(_part_texts(part))}"
            raise _Mismatch(message, self.whole(targets), 1)


# --- small things ------------------------------------------------------------------------------


def _after_levels(first: Statement, label: str, rest: list[Statement]) -> Statement:
    """The statement of a label where the text leaves out the higher levels before it.

    Those are taken off the rest. It is the first one where there is none.
    """
    passed = [first.level]
    for i, statement in enumerate(rest):
        if statement.label == label and statement.level < min(passed):
            del rest[: i + 1]
            return statement
        passed.append(statement.level)
    return first


def _operands(operator: str, node: syntax.Expression) -> list[syntax.Expression]:
    if operator == "concat":
        if isinstance(node, syntax.Call) and node.name == "concat":
            return list(node.arguments)
        raise _Mismatch(f"`{_text(node)}` where `concat(..)` fits", node.span, 0)
    if isinstance(node, syntax.Call) and node.name == "sum":  # a `sum` inside is one operand
        return [o for a in node.arguments for o in _chain(a)]
    return _chain(node)


def _chain(node: syntax.Expression) -> list[syntax.Expression]:
    """The operands of `a + b + c`."""
    found: list[syntax.Expression] = []
    while isinstance(node, syntax.Binary) and node.operator == "+":
        found.append(node.right)
        node = node.left
    return [node, *reversed(found)]


def _keywords(node: syntax.Expression) -> dict[str, syntax.Keyword]:
    found: dict[str, syntax.Keyword] = {}
    for keyword in node.keywords if isinstance(node, syntax.Call) else ():
        if keyword.name in found:
            raise _Mismatch(f"`{keyword.name}` is given twice", keyword.span, 1)
        found[keyword.name] = keyword
    return found


def _given(
    callee: Term, node: syntax.Call, n: int
) -> tuple[list[syntax.Expression], dict[str, syntax.Expression]]:
    """The `n` values that a call gives, or less; its numbers, those without a name in order."""
    if isinstance(callee, Function):
        inputs, order = callee.inputs, callee.parameters
    else:
        inputs = tuple(f"input {i}" for i in range(n))
        order = (*inputs, *(x for x, _ in OPERATIONS[_head(callee)].parameters))
    found = {name: k.value for name, k in _keywords(node).items()}
    free = [x for x in inputs if x not in found]
    if len(node.arguments) != len(free):  # as printed, values alone have no names
        free = [x for x in order if x not in found]
    if len(node.arguments) > len(free):
        span = node.arguments[len(free)].span
        raise _Mismatch(f"`{_head(callee)}` takes fewer arguments", span, 1)
    found |= zip(free, node.arguments, strict=False)
    return [found.pop(x) for x in inputs if x in found], found


def _start(span: Span, text: str) -> Span:
    """The beginning of a stretch, as long as a text."""
    return Span(span.source, span.start, min(span.end, span.start + len(text)))


def _end(span: Span) -> Span:
    """The last character of a stretch."""
    return Span(span.source, max(span.start, span.end - 1), span.end)


def _label(node: syntax.Statement) -> str:
    match node:
        case syntax.Return():
            return "return"
        case syntax.Assign(index=None):
            return node.name
        case syntax.Assign(index=syntax.Number(value=value)):
            return f"{node.name}{value}"
    raise ArchitectureError("only values are given here: `h1 = ..`", code="E303", span=node.span)


def _number(node: syntax.Expression) -> Number | None:
    match node:
        case syntax.Number():
            return node.value
        case syntax.Unary(operator="-", operand=syntax.Number(value=value)):
            return -value
        case syntax.Binary(left=syntax.Number(value=a), right=syntax.Number(value=b)):
            return calculate(node.operator, [a, b], node.span)
    return None


def _text(node: syntax.Expression) -> str:
    from epnas_dsl.lang.formatter import print_expression

    if isinstance(node, syntax.Index) and isinstance(node.index, syntax.Number):
        return f"{node.name}{node.index.value}"
    return print_expression(node)


def _name(node: syntax.Expression) -> str:
    return node.name if isinstance(node, syntax.Call | syntax.Name) else _text(node)


def _span(node: syntax.Expression) -> Span:
    return (isinstance(node, syntax.Call) and node.name_span) or node.span


def _head(term: Term) -> str:
    match term:
        case Operation() | Function():
            return term.name
        case Apply():
            return _head(term.callee) if not isinstance(term.callee, Choice) else "an operation"
        case Choice():
            return _head(term.alternatives[0])
    return print_term(term, (), {}) if term.size == 1 else "an expression"


def _part_texts(part: Term) -> list[str]:
    if part.size == 1 and not part.decisions:
        return list(print_parts((part,), ((),), {}))
    return [_example(part)]


def _example(term: Term) -> str:
    return print_term(term, pick(term, 0), {}) if not term.many else "one of the list"


def _few(options: Sequence[str]) -> str:
    quoted = list(dict.fromkeys(f"`{o}`" for o in options))
    if not quoted:
        return "none"
    return ", ".join(quoted if len(quoted) <= 10 else [*quoted[:8], "..", quoted[-1]])
