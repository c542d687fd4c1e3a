"""Find alternatives that are written differently and are the same operation on the same values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import product

from epnas_dsl.errors import Diagnostic, Span
from epnas_dsl.space.genotype import print_callee, print_term
from epnas_dsl.space.operations import ENTRY, OPERATIONS, WIDTH
from epnas_dsl.space.operations import Operation as Spec
from epnas_dsl.space.terms import (
    Apply,
    CellCall,
    Choice,
    Constant,
    Formula,
    Function,
    Join,
    Operation,
    Stack,
    Term,
    Tree,
    Value,
    Variable,
    pick,
)

MAX_COMPARED = 200_000  # pairs of alternatives in one file
MAX_LISTED = 2_000  # numbers that one argument may be
MAX_DECIDED = 64  # decisions in one; of more nothing is known
PADDED = ("raw_conv", "max_pool", "avg_pool")
Written = dict[object, list[str]]  # numbers, and how each is written: "" where it is left out
# What it is and of what, its name and inputs, and for each argument the numbers it may be.
Form = tuple[object, str, Sequence[str], dict[str, Written]]


class Alike:
    """Compares the alternatives of every choice in a file.

    Attributes:
        stepping: whether a cell in use has a stride, so that a stride may be another than 1.
        wires: the operations that count as nothing, wherever they stand.
        shared: whether widths follow from behind somewhere, so that none is known.
        choices: alternatives, and elements of subsets.
        numbers: the names of arguments that are chosen, each with its call.
        widths: of the values that each choice among operations is used on.
    """

    def __init__(self) -> None:
        self.stepping = self.shared = False
        self.wires: Collection[str] = ()
        self.choices: dict[bytes, tuple[Sequence[Term], Sequence[Span]]] = {}
        self.numbers: dict[tuple[str, Span], Operation] = {}
        self.widths: dict[bytes, set[object]] = {}

    def warnings(self) -> Iterator[Diagnostic]:
        """A warning for each alternative that may be the same as an earlier one."""
        left = MAX_COMPARED
        for digest, (terms, spans) in self.choices.items():
            width, *others = self.widths.get(digest, [None])
            known: list[Form] = []
            for term, span in zip(terms, spans, strict=True):
                forms = [*self.forms(term, None if others else width)]
                for form in forms:
                    left -= len(known)
                    same = next(filter(None, (_same(form, f) for f in known if left > 0)), None)
                    if same:
                        message = f"`{same[0]}` is the same as `{same[1]}`"
                        yield Diagnostic("W004", message, span)
                known += forms
        for (name, span), call in self.numbers.items():
            for *_, options in self.forms(call, None):
                for first, *rest in options.get(name, {}).values():
                    message = f"`{name}={{}}` is the same as `{name}={first}`"
                    yield from (Diagnostic("W004", message.format(x), span) for x in rest)

    def forms(self, term: Term, width: object) -> Iterator[Form]:
        """What an alternative may be, on values of a width or of an unknown one."""
        for inner in term.alternatives if isinstance(term, Choice) else ():
            yield from self.forms(inner, width)
        if term.kind == "value":
            yield self.value(term), print_term(term, pick(term, 0), {}), [], {}
        inputs = term.inputs if isinstance(term, Apply) else ()
        read = [print_term(t, pick(t, 0), {}) for t in inputs]
        keys = [self.value(t) for t in inputs]
        width = key_of(usual_width(term)) if isinstance(term, Apply) else width
        for leaf, given in _calls(term):
            if isinstance(leaf, Function):
                text = print_callee(leaf, pick(leaf, 0), read, [])
                yield (_meaning(leaf), *keys), text, [], {}
                continue
            spec = OPERATIONS[leaf.name]
            options = self.options(spec, given, width)
            key: object = spec.build, *keys
            if leaf.name in self.wires and 1 in options.get(ENTRY, [1]):
                key = keys[0] if keys else "wire"
                options = {n: {1: f[1]} for n, f in options.items() if n == ENTRY}
            yield key, leaf.name, read, options

    def options(self, spec: Spec, given: dict[str, Written], width: object) -> dict[str, Written]:
        """What the arguments may be; a number that changes nothing is as if left out."""
        found = {n: given.get(n, {d: [""]}) for n, d in (*spec.parameters, *spec.fixed)}
        same: dict[str, tuple[object, object]] = {"padding": (_padding(spec, found), -1)}
        if not (self.stepping or spec.calibrates):
            same[ENTRY] = ENTRY, 1
        if width is not None and not self.shared:
            same[WIDTH] = width, WIDTH
        for name, (number, usual) in same.items():
            if number in found.get(name, {}):
                found[name].setdefault(usual, []).extend(found[name].pop(number))
        return found

    def value(self, term: Term) -> str:
        """What tells a value from others: wires count as nothing, and a sum has no order."""
        match term:
            case Apply(callee=Operation() as leaf) if leaf.name in self.wires:
                given = (*leaf.arguments, *term.arguments)
                if all(n == ENTRY and _numbers(t).keys() == {1} for n, t in given):
                    return self.value(term.inputs[0])
            case CellCall(width=Term() as width) | Stack(width=Term() as width):
                usual = width_of(term.inputs[-1])
                if usual and not self.shared and _numbers(width).keys() == {key_of(usual)}:
                    return self.value(replace(term, width=None))
            case Join(operator="add"):
                return f"sum({','.join(sorted(map(self.value, term.parts)))})"
        return term.digest.hex()


def _padding(spec: Spec, options: dict[str, Written]) -> object:
    """What a padding of -1 comes to; None where that is not known."""
    windows = [k for n in ("kernel", "kernel_w") for k in options.get(n, ()) if k]
    half = {
        (k if spec.family == "pooling" else d * (k - 1)) // 2
        if isinstance(k, int) and isinstance(d, int) and spec.name.startswith(PADDED)
        else None
        for k, d in product(windows, options.get("dilation", {1: []}))
    }
    return half.pop() if len(half) == 1 else None


def _same(one: Form, two: Form) -> list[str]:
    """How both may be written where they are the same; empty where they never are."""
    options = one[3], two[3]
    common = {n: [k for k in f if k in options[1].get(n, f)] for n, f in options[0].items()}
    if one[0] != two[0] or not all(common.values()):
        return []
    first = {n: [*f] for n, f in options[1].items()} | common
    texts = [
        [f"{n}={f[first[n][0]][0]}" for n, f in found.items() if f[first[n][0]][0]]
        for found in options
    ]
    calls = zip((one, two), texts, strict=True)
    return [print_callee(Operation(x[1]), (), [*x[2]], given) for x, given in calls]


def _calls(term: Term) -> Iterator[tuple[Operation | Function, dict[str, Written]]]:
    """The operations and functions that a term may be a call of, and their numbers."""
    callee, given = (term.callee, term.arguments) if isinstance(term, Apply) else (term, ())
    for leaf in callee.alternatives if isinstance(callee, Choice) else (callee,):
        if isinstance(leaf, Operation | Function):
            yield leaf, {n: _numbers(t) for n, t in (*leaf.arguments, *given)}


def _meaning(function: Function) -> object:
    """What tells a function from others: its body, where all that it is given stands in there."""
    given = function.arguments
    if not all(isinstance(t, Constant) or t.digest == Variable(n).digest for n, t in given):
        return function.digest
    labels = [(s.label, s.array) for s in function.statements]
    body = function.children[len(given) :]
    return function.inputs, *labels, *(t.digest for t in body)


def _numbers(term: Term) -> Written:
    """The numbers that a term may be."""
    found: Written = {}
    for i in range(min(term.size, MAX_LISTED) if term.decisions <= MAX_DECIDED else 0):
        tree = pick(term, i)
        found.setdefault(key_of(term, tree), []).append(print_term(term, tree, {}))
    return found


def key_of(number: Term | None, tree: Tree = ()) -> object:
    """What tells a number from others: a name by what it means here, not by its letters."""
    while isinstance(number, Choice):
        number, tree = number.alternatives[tree[0]], tree[1]
    if isinstance(number, Formula):
        trees = tree or ((),) * len(number.operands)
        return number.operator, *map(key_of, number.operands, trees)
    return number.value if isinstance(number, Constant) else number


def width_of(value: Term) -> Term | None:
    """How many channels a value has where its text says so and no choice changes it."""
    found: list[Term | None] = [None]
    match value:
        case Value():
            return value.width
        case _ if value.size > MAX_LISTED:
            return None
        case Choice(alternatives=terms) | Join(operator="add", parts=terms):
            found = [width_of(t) for t in terms]
        case Apply(callee=callee) if not any(
            isinstance(t, Function) for t in (callee, *callee.children)
        ):
            found = [_made(value, leaf) for leaf, _ in _calls(value)]
    return found[0] if len({key_of(width) for width in found}) == 1 else None


def usual_width(call: Apply) -> Term | None:
    """How many channels an operation makes that says nothing of them."""
    return call.width or width_of(call.inputs[0])


def _made(call: Apply, leaf: Operation | Function) -> Term | None:
    """How many channels an operation makes."""
    spec, given = OPERATIONS[leaf.name], dict((*leaf.arguments, *call.arguments)).get(WIDTH)
    if given:
        return None if given.decisions else given
    if (WIDTH, WIDTH) in spec.parameters:
        return usual_width(call)
    keeps = spec.family in {"pooling", "activation", "zero"} or (ENTRY, ENTRY) in spec.parameters
    return width_of(call.inputs[0]) if keeps else None
