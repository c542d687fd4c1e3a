"""Find alternatives that are written differently and are the same operation on the same values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from epnas_dsl.errors import Diagnostic, Span
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.operations import ENTRY, OPERATIONS, WIDTH
from epnas_dsl.space.terms import Apply, Choice, Function, Join, Operation, Term, Value, pick

MAX_COMPARED = 200_000  # pairs of alternatives in one file
MAX_LISTED = 2_000  # numbers that one argument may be
Options = dict[str, dict[str, str]]  # of each argument: what is taken, and how it is written
Form = tuple[object, list[str], Options]  # equal where the first is, and each argument may be


class Alike:
    """The choices of a file, and how wide the values are that each one of operations is used on.

    Attributes:
        stepping: whether a cell has a stride, so that a stride may be another than 1.
        wires: the operations that count as nothing.
        shared: whether widths follow from behind somewhere, so that none is known.
    """

    def __init__(self) -> None:
        self.choices: dict[bytes, tuple[Sequence[Term], Sequence[Span]]] = {}
        self.widths: dict[bytes, set[str]] = {}
        self.stepping = self.shared = False
        self.wires: Collection[str] = ()

    def warnings(self) -> Iterator[Diagnostic]:
        """A warning for each alternative that may be the same as an earlier one."""
        left = MAX_COMPARED
        for digest, (terms, spans) in self.choices.items():
            width, *others = self.widths.get(digest, [""])
            known: dict[object, list[Form]] = {}
            told = set()
            for term, span in zip(terms, spans, strict=True):
                for form in self.forms(term, "" if others else width):
                    earlier = known.setdefault(form[0], [])
                    left -= len(earlier)
                    texts = filter(None, (_same(form, f) for f in earlier if left > 0))
                    for text, other in texts:
                        if text not in told:
                            told.add(text)
                            yield Diagnostic("W004", f"`{text}` is the same as `{other}`", span)
                    earlier.append(form)

    def forms(self, term: Term, width: str) -> Iterator[Form]:
        """The operations that an alternative may be; a sum is the same in any order."""
        if isinstance(term, Join) and term.operator == "add":
            parts = sorted(part.digest for part in term.parts)
            yield tuple(parts), [print_term(term, pick(term, 0), {})], {}
        inputs = term.inputs if isinstance(term, Apply) else ()
        read = [print_term(t, pick(t, 0), {}) for t in inputs]
        width = usual_width(term) if isinstance(term, Apply) else width
        for name, given in _called(term):
            for same, options in self.calls(name, given, width) if name else ():
                yield (same, *(t.digest for t in inputs)), [name, *read], options

    def calls(
        self, name: str, given: dict[str, Term], width: str
    ) -> Iterator[tuple[object, Options]]:
        """What the arguments come to, for each window on its own: padding goes by it."""
        kernel = given.get("kernel")
        if isinstance(kernel, Choice):
            for k in kernel.alternatives:
                yield from self.calls(name, {**given, "kernel": k}, width)
            return
        spec = OPERATIONS[name]
        usual = {n: str(v) for n, v in (*spec.parameters, *spec.fixed)}
        usual |= {n: print_term(t, (), {}) for n, t in given.items() if not t.decisions}
        options: Options = {n: {} for n in {**given, **usual}}
        twice: list[dict[str, Term]] = []
        for n, found in options.items():
            for text in _numbers(given[n]) if n in given else [""]:
                taken = text or usual[n]
                if n == WIDTH and taken == width and not self.shared:
                    taken = WIDTH
                if taken == ENTRY and not (self.stepping or spec.calibrates):
                    taken = "1"
                if (n, taken, spec.family) == ("padding", "-1", "pooling"):
                    taken = str(int(usual["kernel"]) // 2) if usual["kernel"].isdigit() else taken
                if found.setdefault(taken, text) != text:
                    twice.append({**given, n: Value(text)})
        if name in self.wires and not self.stepping and "1" in options.get(ENTRY, "1"):
            yield "wire", {n: f for n, f in options.items() if n == ENTRY}
        else:
            yield spec.build, options
        for again in twice:
            yield from self.calls(name, again, width)


def _same(one: Form, two: Form) -> list[str]:
    """How two of one key are written where they are the same; empty where they never are."""
    common = {n: [t for t in f if t in two[2].get(n, f)] for n, f in one[2].items()}
    if not all(common.values()):
        return []
    texts = []
    for _, (name, *inputs), options in (one, two):
        taken = {
            n: f[common[n][0]] if n in common else next(iter(f.values()))
            for n, f in options.items()
        }
        items = [*inputs, *(f"{n}={text}" for n, text in taken.items() if text)]
        texts.append(f"{name}({', '.join(items)})" if items else name)
    return texts


def _numbers(term: Term) -> list[str]:
    """What a number may be."""
    return [print_term(term, pick(term, i), {}) for i in range(min(term.size, MAX_LISTED))]


def _called(term: Term) -> Iterator[tuple[str, dict[str, Term]]]:
    """The operations that a term may be a call of ("": a function), and their arguments."""
    callee, given = (term.callee, term.arguments) if isinstance(term, Apply) else (term, ())
    for leaf in callee.alternatives if isinstance(callee, Choice) else (callee,):
        if isinstance(leaf, Operation | Function):
            name = leaf.name if isinstance(leaf, Operation) else ""
            yield name, dict((*leaf.arguments, *given))


def width_of(value: Term) -> str:
    """How many channels a value has where its text says so and no choice changes it, else ""."""
    found = {""}
    match value:
        case Value():
            return value.width
        case Choice(alternatives=terms) | Join(operator="add", parts=terms):
            found = {width_of(t) for t in terms}
        case Apply():
            found = {_made(value, *called) for called in _called(value)}
    return found.pop() if len(found) == 1 else ""


def usual_width(call: Apply) -> str:
    """How many channels an operation makes that says nothing of them."""
    return print_term(call.width, (), {}) if call.width else width_of(call.inputs[0])


def _made(call: Apply, name: str, given: dict[str, Term]) -> str:
    """How many channels an operation makes."""
    spec = OPERATIONS.get(name)
    if spec is None:
        return ""
    if WIDTH in given:
        return "" if given[WIDTH].decisions else print_term(given[WIDTH], (), {})
    if (WIDTH, WIDTH) in spec.parameters:
        return usual_width(call)
    keeps = spec.family in {"pooling", "activation", "zero"} or (ENTRY, ENTRY) in spec.parameters
    return width_of(call.inputs[0]) if keeps else ""
