"""Find alternatives that are written differently and are the same operation on the same values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from epnas_dsl.errors import Diagnostic, EpnasError, Span
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.operations import ENTRY, OPERATIONS, WIDTH, Trace
from epnas_dsl.space.terms import Apply, Choice, Join, Operation, Term, Value, pick

MAX_LISTED = 2_000  # numbers that one argument may be
MAX_COMPARED = 200_000  # pairs of alternatives in one file


@dataclass(frozen=True, slots=True)
class _Form:
    """Calls of one operation; two are the same where their keys are, and each number may be.

    Attributes:
        options: for each argument the numbers taken, and how each is written ("": not at all).
    """

    key: object
    name: str
    inputs: tuple[str, ...]
    options: dict[str, dict[str, str]]

    def text(self, taken: dict[str, str]) -> str:
        """How it is written with these numbers."""
        written = {n: found[taken[n]] for n, found in self.options.items()}
        items = [*self.inputs, *(f"{n}={text}" for n, text in written.items() if text)]
        return f"{self.name}({', '.join(items)})" if items else self.name


class Alike:
    """The choices of a file, and what each of operations is used on.

    Attributes:
        stepping: whether a cell has a stride, so that a stride may be another than 1.
        wires: the operations that count as nothing.
        shared: whether widths follow from behind somewhere, so that none is known.
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
            widths = self.widths.get(digest, set())
            known: dict[object, list[_Form]] = {}
            told: set[str] = set()
            for term, span in zip(terms, spans, strict=True):
                for form in self.forms(term, widths.copy().pop() if len(widths) == 1 else ""):
                    earlier = known.setdefault(form.key, [])
                    for other in earlier[: max(0, left)]:
                        texts = _same(form, other)
                        if texts and texts[0] not in told:
                            told.add(texts[0])
                            message = f"`{texts[0]}` is the same as `{texts[1]}`"
                            yield Diagnostic("W004", message, span)
                    left -= len(earlier)
                    earlier.append(form)

    def forms(self, term: Term, width: str) -> Iterator[_Form]:
        """The operations that an alternative may be; sums are the same in any order."""
        if isinstance(term, Join) and term.operator == "add":
            key = tuple(sorted(part.digest for part in term.parts))
            yield _Form(key, print_term(term, pick(term, 0), {}), (), {})
        if not isinstance(term, Apply | Operation):
            return
        call = term if isinstance(term, Apply) else Apply(term, ())
        width = usual_width(call) if call is term else width
        inputs = tuple(print_term(t, pick(t, 0), {}) for t in call.inputs)
        read = tuple(t.digest for t in call.inputs)
        for callee in _leaves(call):
            if isinstance(callee, Operation):
                given = dict((*callee.arguments, *call.arguments))
                for form in self.calls(callee.name, given, "" if self.shared else width):
                    yield replace(form, key=(form.key, read), inputs=inputs)

    def calls(self, name: str, given: dict[str, Term], width: str) -> Iterator[_Form]:
        """The calls of one operation, for each window on its own: padding goes by it."""
        kernel = given.get("kernel")
        if isinstance(kernel, Choice):
            for option in kernel.alternatives:
                yield from self.calls(name, {**given, "kernel": option}, width)
            return
        spec = OPERATIONS[name]
        usual = {n: str(v) for n, v in (*spec.parameters, *spec.fixed)}
        options: dict[str, dict[str, str]] = {}
        again: list[tuple[str, str, str]] = []
        for n in {**given, **usual}:
            for text in _texts(given[n]) if n in given else [""]:
                taken = text or usual[n]
                if n == WIDTH and taken == width:
                    taken = WIDTH
                if n == ENTRY and not (self.stepping or spec.calibrates):
                    taken = taken.replace(ENTRY, "1")
                if n == "padding" and taken == "-1" and spec.family == "pooling":
                    window = _texts(kernel)[0] if kernel else usual["kernel"]
                    taken = str(int(window) // 2) if window.isdigit() else taken
                if options.setdefault(n, {}).setdefault(taken, text) != text:
                    again.append((n, taken, text))
        still = not self.stepping and "1" in options.get(ENTRY, {"1": ""})
        form = _Form(spec.build, name, (), options)
        if name in self.wires and still:
            first = {n: {"": next(iter(found.values()))} for n, found in options.items()}
            form = _Form("wire", name, (), first)
        yield form
        for n, taken, text in again:
            yield replace(form, options={**options, n: {taken: text}})


def _same(one: _Form, two: _Form) -> tuple[str, str] | None:
    """How two forms of one key are written where they are the same; None: they never are."""
    taken: dict[str, str] = {}
    for n in {**one.options, **two.options}:
        found = [form.options[n] for form in (one, two) if n in form.options]
        common = [t for t in found[0] if t in found[-1]]
        if not common:
            return None
        taken[n] = common[0]
    return one.text(taken), two.text(taken)


def _texts(number: Term) -> list[str]:
    """What a number may be."""
    return [print_term(number, pick(number, i), {}) for i in range(min(number.size, MAX_LISTED))]


def _leaves(call: Apply) -> tuple[Term, ...]:
    return call.callee.alternatives if isinstance(call.callee, Choice) else (call.callee,)


def width_of(value: Term) -> str:
    """How many channels a value has, where its text says so and no choice changes it, or ""."""
    found = {""}
    match value:
        case Value():
            return value.width
        case Choice(alternatives=terms) | Join(operator="add", parts=terms):
            found = {width_of(t) for t in terms}
        case Apply():
            found = {_made(callee, value) for callee in _leaves(value)}
    return found.pop() if len(found) == 1 else ""


def usual_width(call: Apply) -> str:
    """How many channels an operation makes that says nothing of them."""
    return print_term(call.width, (), {}) if call.width else width_of(call.inputs[0])


def _made(callee: Term, call: Apply) -> str:
    """How many channels an operation makes; those of a function are not looked for."""
    if not isinstance(callee, Operation):
        return ""
    given = dict((*callee.arguments, *call.arguments)).get(WIDTH)
    if given:
        return "" if given.decisions else print_term(given, (), {})
    if (WIDTH, WIDTH) in OPERATIONS[callee.name].parameters:
        return usual_width(call)
    return width_of(call.inputs[0]) if _keeps(callee.name) else ""


@lru_cache
def _keeps(name: str) -> bool:
    """Whether an operation makes as many channels as it reads."""
    spec = OPERATIONS[name]
    settings = {n: {None: 3, ENTRY: 1}.get(v, v) for n, v in spec.parameters} | dict(spec.fixed)
    made = set()
    for channels in (48, 96):
        trace = Trace("", {"x": channels})
        try:
            y = spec.build(trace, *["x"] * spec.inputs, **settings)
        except EpnasError:
            return False
        made.add(trace.channels[y] - channels)
    return made == {0}
