"""Find alternatives that are written differently and are the same operation on the same values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from epnas_dsl.errors import Diagnostic, Span
from epnas_dsl.space.genotype import print_callee, print_term
from epnas_dsl.space.operations import ENTRY, OPERATIONS, WIDTH
from epnas_dsl.space.operations import Operation as Spec
from epnas_dsl.space.terms import Apply, Choice, Function, Join, Operation, Term, Value, pick

MAX_COMPARED = 200_000  # pairs of alternatives in one file
MAX_LISTED = 2_000  # numbers that one argument may be
# What it is, its name and inputs, and for each argument the numbers taken and how they are written.
Form = tuple[object, str, list[str], dict[str, dict[str, str]]]


class Alike:
    """Compares the alternatives of every choice in a file.

    Attributes:
        stepping: whether a cell has a stride, so that a stride may be another than 1.
        wires: the operations that count as nothing.
        shared: whether widths follow from behind somewhere, so that none is known.
        widths: of the values that each choice among operations is used on.
    """

    def __init__(self) -> None:
        self.stepping = self.shared = False
        self.wires: Collection[str] = ()
        self.choices: dict[bytes, tuple[Sequence[Term], Sequence[Span]]] = {}
        self.widths: dict[bytes, set[str]] = {}

    def warnings(self) -> Iterator[Diagnostic]:
        """A warning for each alternative that may be the same as an earlier one."""
        left = MAX_COMPARED
        for digest, (terms, spans) in self.choices.items():
            width, *others = self.widths.get(digest, [""])
            known: list[Form] = []
            for term, span in zip(terms, spans, strict=True):
                for form in self.forms(term, "" if others else width):
                    left -= len(known)
                    same = next(filter(None, (_same(form, f) for f in known if left > 0)), None)
                    if same:
                        message = f"`{same[0]}` is the same as `{same[1]}`"
                        yield Diagnostic("W004", message, span)
                    known.append(form)

    def forms(self, term: Term, width: str) -> Iterator[Form]:
        """The calls that an alternative may be; a sum is the same in any order."""
        if isinstance(term, Join) and term.operator == "add":
            parts = sorted(part.digest for part in term.parts)
            yield tuple(parts), print_term(term, pick(term, 0), {}), [], {}
        inputs = term.inputs if isinstance(term, Apply) else ()
        read = [print_term(t, pick(t, 0), {}) for t in inputs]
        width = usual_width(term) if isinstance(term, Apply) else width
        for name, given in _calls(term):
            spec = OPERATIONS.get(name)
            if spec is None:
                continue
            usual = {n: [str(v)] for n, v in (*spec.parameters, *spec.fixed)}
            numbers = {**given, **{n: [""] for n in usual if n not in given}}
            kernel = given.get("kernel") or usual.get("kernel", [])
            options = {
                n: {self.taken(spec, n, t, usual.get(n, [""])[0], kernel, width): t for t in texts}
                for n, texts in numbers.items()
            }
            key: object = spec.build
            if name in self.wires and not self.stepping and "1" in options.get(ENTRY, "1"):
                key, options = "wire", {n: f for n, f in options.items() if n == ENTRY}
            yield (key, *(t.digest for t in inputs)), name, read, options

    def taken(
        self, spec: Spec, name: str, given: str, usual: str, kernel: Sequence[str], width: str
    ) -> str:
        """What an argument comes to: the same where it changes nothing."""
        if given in {ENTRY, WIDTH}:  # a number of the text, whose value may be any
            return f"{given} as given"
        text = given or usual
        if name == WIDTH and text == width and not self.shared:
            return WIDTH
        if text == ENTRY and not (self.stepping or spec.calibrates):
            return "1"
        half = [str(int(k) // 2) for k in kernel if k.isdigit()]
        return "-1" if name == "padding" and spec.family == "pooling" and half == [text] else text


def _same(one: Form, two: Form) -> list[str]:
    """How both may be written where they are the same; empty where they never are."""
    options = one[3], two[3]
    common = {n: [t for t in f if t in options[1].get(n, f)] for n, f in options[0].items()}
    if one[0] != two[0] or not all(common.values()):
        return []
    first = {n: [*f] for n, f in options[1].items()} | common
    texts = [
        [f"{n}={f[first[n][0]]}" for n, f in found.items() if f[first[n][0]]] for found in options
    ]
    calls = zip((one, two), texts, strict=True)
    return [print_callee(Operation(x[1]), (), x[2], given) for x, given in calls]


def _calls(term: Term) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """The operations that a term may be a call of ("": a function), and their numbers."""
    callee, given = (term.callee, term.arguments) if isinstance(term, Apply) else (term, ())
    for leaf in callee.alternatives if isinstance(callee, Choice) else (callee,):
        if isinstance(leaf, Function):
            yield "", {}
        if isinstance(leaf, Operation):
            yield (
                leaf.name,
                {
                    n: [print_term(t, pick(t, i), {}) for i in range(min(t.size, MAX_LISTED))]
                    for n, t in (*leaf.arguments, *given)
                },
            )


def width_of(value: Term) -> str:
    """How many channels a value has where its text says so and no choice changes it, else ""."""
    found = {""}
    match value:
        case Value():
            return value.width
        case _ if value.size > MAX_LISTED:
            return ""
        case Choice(alternatives=terms) | Join(operator="add", parts=terms):
            found = {width_of(t) for t in terms}
        case Apply(callee=callee) if not any(
            isinstance(t, Function) for t in (callee, *callee.children)
        ):
            found = {_made(value, *call) for call in _calls(value)}
    return found.pop() if len(found) == 1 else ""


def usual_width(call: Apply) -> str:
    """How many channels an operation makes that says nothing of them."""
    return print_term(call.width, (), {}) if call.width else width_of(call.inputs[0])


def _made(call: Apply, name: str, given: dict[str, list[str]]) -> str:
    """How many channels an operation makes."""
    spec = OPERATIONS.get(name)
    if spec is None or WIDTH in given:
        return given[WIDTH][0] if len(given.get(WIDTH, [])) == 1 else ""
    if (WIDTH, WIDTH) in spec.parameters:
        return usual_width(call)
    keeps = spec.family in {"pooling", "activation", "zero"} or (ENTRY, ENTRY) in spec.parameters
    return width_of(call.inputs[0]) if keeps else ""
