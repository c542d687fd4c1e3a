"""Turn the statements of a body into what is drawn of them: alternatives, and what they read."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import TIMES, family, short, width_of
from epnas_dsl.space.drawing.column import CHOSEN, FIXED, GONE, OPEN, strongest
from epnas_dsl.space.genotype import print_cells, print_term
from epnas_dsl.space.search_space import Body, SearchSpace
from epnas_dsl.space.terms import (
    Apply,
    CellCall,
    Choice,
    Each,
    Formula,
    Function,
    Join,
    Last,
    Operation,
    Stack,
    Statement,
    Subset,
    Term,
    Tree,
    Unused,
    Value,
)

SHOWN = 24  # alternatives of one decision
LONG = 280  # letters of one alternative
MAX_LEVELS = 6
WIDE, GAP = 340.0, 4.0  # points for the alternatives of a row, and between them
LEFT_OUT = "left out"
MARKS = "αβγδεζηθκλμξπρστφψω"  # names of values have no Greek letters


def count_text(number: int) -> str:
    """A number that may be large: exact up to a billion."""
    digits, _, power = f"{Decimal(number):.1e}".partition("e+")
    return f"{number:,}" if number < 10**9 else f"about {digits} {TIMES} 10^{power}"


@dataclass(slots=True)
class Row:
    """Alternatives, and what the choice reads.

    Attributes:
        chips: text, family, and whether it is chosen.
        mark: a letter, which stands for the row in the text of the statement.
        count: so many choices that are alike.
    """

    note: str
    chips: list[tuple[str, str, str]]
    reads: dict[str, str]
    mark: str = ""
    count: int = 1

    @property
    def lead(self) -> str:
        """What stands before the alternatives."""
        times = f"{TIMES} {self.count}" if self.count > 1 else ""
        return "  ".join(x for x in (self.mark, times, self.note) if x)

    @property
    def grid(self) -> tuple[int, float]:
        """How many alternatives stand side by side, and how wide each is."""
        wide = max(
            (width_of(line) + 13 for text, *_ in self.chips for line in text.split("\n")), default=0
        )
        most = max(1, int((WIDE + GAP) // (wide + GAP))) if wide else 1
        lines = math.ceil(len(self.chips) / most)
        return (math.ceil(len(self.chips) / lines) if lines else 0), wide


@dataclass(slots=True)
class Sheet:
    """What is drawn of one statement, or of `count` equal ones."""

    title: str
    note: str
    rows: list[Row]
    reads: dict[str, str]
    kind: str
    value: str = ""
    count: int = 1

    @property
    def read(self) -> set[str]:
        """The values that it or a row of it reads."""
        return {*self.reads, *(value for row in self.rows for value in row.reads)}

    @property
    def told(self) -> str:
        """Its title, and how often it is done."""
        return f"{self.title}  {TIMES} {self.count}" if self.count > 1 else self.title


@dataclass(slots=True)
class Functions:
    """The functions with choices, each drawn once, or once for each way that a path takes.

    Attributes:
        known: what each is called in the picture, and its choices.
    """

    path: bool
    known: dict[object, tuple[str, Function, Tree | None]] = field(default_factory=dict)

    def name(self, function: Function, tree: Tree | None, opened: bool = False) -> str:
        """What a function is called in the picture; without choices it may be opened as well."""
        opened = opened or any(s.term.decisions for s in _body(function))
        if not opened or (self.path and tree is None):
            return function.name
        key: object = (function.digest, tree) if self.path else function.name
        if key not in self.known:
            number = sum(f.name == function.name for _, f, _ in self.known.values())
            name = f"{function.name}\N{MIDDLE DOT}{number + 1}" if self.path else function.name
            self.known[key] = name, function, tree
        name, first, _ = self.known[key]
        if (function.size, function.places) > (first.size, first.places):
            self.known[key] = name, function, tree
        return name

    def opened(self, space: SearchSpace) -> Iterator[tuple[str, Iterator[Sheet]]]:
        """A title and the statements of each; more functions may come up in them."""
        drawn = 0
        while drawn < len(self.known):
            name, function, tree = list(self.known.values())[drawn]
            drawn += 1
            statements = _body(function)
            trees = _inner(function, tree)[len(function.arguments) :]
            body = Body({name: 1}, function.inputs, statements[:-1], statements[-1])
            found = dict(zip(statements, trees, strict=True)) if tree is not None else {}
            title = f"{name}({', '.join((*function.inputs, *_given(function, tree)))})"
            yield title, sheets_of(space, body, self, self.path or None, found)


def sheets_of(
    space: SearchSpace, body: Body, functions: Functions, path: Architecture | bool | None,
    trees: Mapping[Statement, Tree | None],
) -> Iterator[Sheet]:  # fmt: skip
    """What to draw from top to bottom; of many levels the first three and the last."""
    reader = _Reader(functions)
    for label in body.inputs:
        reader.values[label] = label
        yield Sheet(label, "", [], {}, "input", label)
    for number, s in enumerate((*body.statements, body.result)):
        out = s is body.result
        value = "" if out else f"{s.label}/{number}"
        if not path and space.depth > MAX_LEVELS and 3 < s.level < space.depth:
            if LEFT_OUT not in reader.values:
                newest = reader.values[next(reversed(reader.values))]
                text = f"levels 4 to {space.depth - 1} likewise"
                yield Sheet(text, "", [], {newest: OPEN}, "zero", LEFT_OUT)
            reader.values[LEFT_OUT] = value = LEFT_OUT
            reader.taken.update(reader.values)
        elif s.term.kind != "number" or s.term.decisions:
            absent = isinstance(path, Architecture) and s.level > path.level
            tree = trees.get(s) if s.term.decisions else None if absent else ()
            title, rows, reads = reader.statement(s, tree, absent)
            size = count_text(s.term.size)
            note = f"level {s.level}: {size} options" if s.level else f"{size} options"
            title = short(f"{'output' if out else short(s.label, 32)} = {title}", 100)
            yield Sheet(title, note * bool(rows), rows, reads, _kind(s.term), value)
        if s.term.kind != "number":
            reader.values[s.label] = value
            if s.array:
                reader.arrays.setdefault(s.array, []).append(s.label)


@dataclass(slots=True)
class _Reader:
    """Reads the terms of one body; a tree of None: nothing is chosen there.

    Attributes:
        values: the lane of each label.
        bound: how the variable of a comprehension is written, and what it reads.
        taken: the labels that the architecture reads; without one, those that may be read.
    """

    functions: Functions
    values: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    bound: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    rows: list[Row] = field(default_factory=list)
    sure: str = FIXED
    maybe: str = OPEN

    def statement(
        self, statement: Statement, tree: Tree | None, absent: bool
    ) -> tuple[str, list[Row], dict[str, str]]:
        """The text of a statement's term, its rows, and what is read outside of them."""
        self.sure = GONE if absent else CHOSEN if self.functions.path else FIXED
        self.maybe = GONE if self.functions.path else OPEN
        self.rows = []
        reads: dict[str, str] = {}
        return self.text(statement.term, tree, reads), self.rows, reads

    def text(self, term: Term, tree: Tree | None, reads: dict[str, str], note: str = "") -> str:
        """How a term is written, a letter for each row; what it reads goes to `reads`."""
        match term:
            case Value() if term.label in self.bound:
                text, read = self.bound[term.label]
                reads |= read
                return text
            case Value():
                return self.value(term.label, reads)
            case Last():
                labels = self.arrays[term.array]
                return self.value(labels[-1], reads) if labels else ""
            case Unused():
                for label in self.arrays.get(term.array, []):
                    free = label not in self.taken
                    self.read(label, self.sure if free else self.maybe, reads)
                return f"unused({term.array})"
            case Choice():
                return self.choice(term, tree, reads, note)
            case Subset():
                return self.subset(term, tree, reads)
            case Each():
                return self.each(term, tree, reads)
            case Apply():
                return self.apply(term, tree, reads)
        if not term.children:
            return print_term(term, (), {})
        pairs = zip(term.children, _inner(term, tree), strict=True)
        texts = [x for x in (self.text(t, r, reads) for t, r in pairs) if x]
        match term:
            case Join():
                if term.operator == "add" and len(term.parts) > 1:
                    return " + ".join(texts)
                return f"{'sum' if term.operator == 'add' else 'concat'}({', '.join(texts)})"
            case Stack():
                return f"stack({', '.join(texts[: len(term.inputs)])}, {print_cells(term.cells)})"
            case CellCall():
                return f"{term.cell}({', '.join(texts)})"
            case Formula():
                return f" {term.operator} ".join(texts)
        return f"{getattr(term, 'name', '')}({', '.join(texts)})"

    def value(self, label: str, reads: dict[str, str]) -> str:
        """A value that is read for certain."""
        self.read(label, self.sure, reads)
        return label

    def read(self, label: str, how: str, reads: dict[str, str]) -> None:
        """Values inside a function have no lanes."""
        if label in self.values:
            if how == CHOSEN or not self.functions.path:
                self.taken.add(label)
            lane = self.values[label]
            reads[lane] = strongest([how, reads.get(lane, how)])

    def add(self, note: str, chips: list[tuple[str, str, str]], reads: dict[str, str]) -> str:
        """A new row, or one more of the same; its letter."""
        row = Row(note, chips, reads)
        last = self.rows[-1] if self.rows else None
        same = last and (note, chips, reads) == (last.note, last.chips, last.reads)
        if last and same and not self.functions.path:
            last.count += 1
            return last.mark
        number = len(self.rows)
        row.mark = MARKS[number % len(MARKS)] + str(number // len(MARKS) or "")
        self.rows.append(row)
        return row.mark

    def choice(self, term: Choice, tree: Tree | None, reads: dict[str, str], note: str) -> str:
        """One of several: values alone are dots, all else are chips of a new row."""
        chosen, rest = _chosen(term, tree)
        leaves = list(islice(_alternatives(term), SHOWN + 1))
        plain = all(isinstance(x, Value) for x in leaves)
        own = reads if plain or term.kind == "operation" else {}
        chips = []
        for leaf in leaves[:SHOWN]:
            ours = leaf is chosen or (chosen is not None and leaf.digest == chosen.digest)
            text = self.alternative(leaf, rest if ours else None)
            if len(text) > LONG and self.sure == FIXED:
                self.sure = OPEN
                text = self.text(leaf, None, own)  # with rows of its own for the choices in it
                self.sure = FIXED
            else:
                for label in _labels(leaf, rest if ours else None):
                    self.read(label, self.sure if ours else self.maybe, own)
            if not (plain and isinstance(leaf, Value) and leaf.label in self.values):
                state = CHOSEN if ours else GONE if self.functions.path else FIXED
                chips.append((_wrapped(text), _kind(leaf), state))
        if len(leaves) > SHOWN:
            chips.append(("and more", "join", self.maybe))
        return "" if plain and not chips else self.add(note, chips, own)

    def alternative(self, term: Term, tree: Tree | None) -> str:
        """How an alternative is written; the functions in it are opened."""
        if isinstance(term, Function):
            text = f"{term.name}({', '.join(_given(term, tree))})"
        else:
            text = _open(term) if tree is None else print_term(term, tree, {})
        while (rest := re.sub(r" \{[^{}]*\}", "", text)) != text:
            text = rest  # what functions choose is drawn with them
        for part, inner in _inside(term, tree):
            if isinstance(part, Function):
                name = self.functions.name(part, inner, opened=True)
                text = re.sub(rf"\b{part.name}\(", f"{name}(", text, count=1)
        return text.removesuffix("()")

    def subset(self, term: Subset, tree: Tree | None, outside: dict[str, str]) -> str:
        """Some of several."""
        if term.least == term.most == len(term.elements):
            pairs = zip(term.elements, tree[1] if tree else _inner(term, tree), strict=True)
            return ", ".join(self.text(t, r, outside) for t, r in pairs)
        chosen = dict(zip(*tree, strict=True)) if tree else {}
        reads: dict[str, str] = {}
        chips = []
        for i, element in enumerate(term.elements):
            state = self.sure if i in chosen else self.maybe
            for label in _labels(element, None):
                self.read(label, state, reads)
            if not isinstance(element, Value):
                shown = FIXED if state == OPEN else state
                text = _wrapped(self.alternative(element, chosen.get(i)))
                chips.append((text, _kind(element), shown))
        return self.add(_quantity(term), chips, reads)

    def each(self, term: Each, tree: Tree | None, reads: dict[str, str]) -> str:
        """The body for each element, where these are fixed or chosen; else once for all."""
        elements = term.subset.elements
        whole = term.subset.least == term.subset.most == len(elements)
        mark = ""
        if not whole and not all(isinstance(e, Value) for e in elements):
            mark = self.subset(term.subset, tree[0] if tree else None, reads)
        chosen = range(len(elements)) if whole else tree[0][0] if tree else [-1]
        bodies = tree[1:] if tree else ()
        texts = []
        for n, i in enumerate(chosen):
            own: dict[str, str] = {}
            for j, element in enumerate(() if mark else elements):
                if not whole or i == j:
                    for label in _labels(element, None):
                        self.read(label, self.sure if i == j else self.maybe, own)
            named = (i >= 0 and not isinstance(elements[i], Value)) or (mark and tree)
            self.bound[term.variable] = _open(elements[i]) if named else mark, own
            body = bodies[n] if n < len(bodies) else None if term.body.decisions else ()
            texts.append(self.text(term.body, body, reads))
        self.bound.pop(term.variable, None)
        text = ", ".join(texts)
        return text if whole or tree or mark else f"{text} for {_quantity(term.subset)} .."

    def apply(self, term: Apply, tree: Tree | None, reads: dict[str, str]) -> str:
        """An operation, or the operations that it is chosen from."""
        inner, *rest = _inner(term, tree)
        callee = term.callee
        own = {} if isinstance(callee, Choice) else reads
        inputs = [self.text(t, r, own) for t, r in zip(term.inputs, rest, strict=False)]
        inputs = [x or ".." for x in inputs] if len(inputs) > 1 else inputs
        values = [
            f"{n}={self.text(t, r, own, n)}"
            for (n, t), r in zip(term.arguments, rest[len(inputs) :], strict=True)
        ]
        if isinstance(callee, Choice):
            name = self.choice(callee, inner, own, "")
        else:
            name, own_values = self.callee(callee, inner)
            values = own_values + values
        shown = [x for x in (*inputs, *values) if x]
        return f"{name}({', '.join(shown)})" if shown else name

    def callee(self, callee: Term, tree: Tree | None) -> tuple[str, list[str]]:
        """The name of an operation or a function, and its own arguments."""
        assert isinstance(callee, Operation | Function)
        values = [
            f"{n}={self.text(t, r, {}, n)}"
            for (n, t), r in zip(callee.arguments, _inner(callee, tree), strict=False)
        ]
        if isinstance(callee, Function):
            return self.functions.name(callee, tree), values
        return callee.name, values


def _body(function: Function) -> tuple[Statement, ...]:
    return (*function.statements, Statement("return", function.result))


def _inner(term: Term, tree: Tree | None) -> Tree:
    """The trees of a term's children."""
    return tree or ((None if tree is None else ()),) * len(term.children)


def _chosen(term: Term, tree: Tree | None) -> tuple[Term | None, Tree | None]:
    """The alternative that was chosen, choices among choices opened, and its tree."""
    while isinstance(term, Choice):
        if tree is None:
            return None, None
        term, tree = term.alternatives[tree[0]], tree[1]
    return term, tree


def _inside(
    term: Term, tree: Tree | None, seen: set[bytes] | None = None
) -> Iterator[tuple[Term, Tree | None]]:
    """A term and those in it, but for functions' bodies: what is chosen, or once what may be."""
    seen = set() if seen is None else seen
    if tree is None and term.digest in seen:
        return
    seen.add(term.digest)
    yield term, tree
    children, trees = term.children, _inner(term, tree)
    if tree and isinstance(term, Choice):
        children, trees = (term.alternatives[tree[0]],), tree[1:]
    elif tree and isinstance(term, Subset):
        children, trees = tuple(term.elements[i] for i in tree[0]), tree[1]
    elif tree and isinstance(term, Each):
        children = (term.subset, *[term.body] * (len(tree) - 1))
    if not isinstance(term, Function):
        for child, inner in zip(children, trees, strict=True):
            yield from _inside(child, inner, seen)


def _labels(term: Term, tree: Tree | None) -> Iterator[str]:
    """The values that are read, or may be read where nothing is chosen."""
    return (t.label for t, _ in _inside(term, tree) if isinstance(t, Value))


def _wrapped(text: str) -> str:
    if len(text) > LONG:
        text = re.sub(r"\([^()]*\|[^()]*\)(?=\()", "\N{HORIZONTAL ELLIPSIS}", text)
    text = re.sub(r"\S{57,}", lambda word: word[0].replace("|", " | "), text)
    return "\n".join(textwrap.wrap(text, 56, max_lines=6, placeholder=" \N{HORIZONTAL ELLIPSIS}"))


def _quantity(term: Subset) -> str:
    if term.least == term.most:
        return f"{term.least} of"
    return "some of" if term.least else "any of"


def _alternatives(term: Term, seen: set[bytes] | None = None) -> Iterator[Term]:
    """What may be chosen, choices among choices opened; what means the same comes once."""
    seen = set() if seen is None else seen
    if term.digest in seen:
        return
    seen.add(term.digest)
    if isinstance(term, Choice):
        for alternative in term.alternatives:
            yield from _alternatives(alternative, seen)
    else:
        yield term


def _kind(term: Term) -> str:
    while isinstance(term, Apply):
        term = term.callee
    if isinstance(term, Operation | Function):
        return family(term.name)
    return "cell" if isinstance(term, CellCall | Stack) else "join"


def _given(function: Function, tree: Tree | None = None) -> list[str]:
    """The arguments of a function."""
    pairs = zip(function.arguments, _inner(function, tree), strict=False)
    return [f"{n}={_open(t) if r is None else print_term(t, r, {})}" for (n, t), r in pairs]


def _open(term: Term) -> str:
    """A term as the language writes it, its choices with `|`."""
    match term:
        case Choice() if term.size < 1_000:
            return "|".join(map(_open, islice(_alternatives(term), SHOWN)))
        case Subset():
            return f"{_quantity(term)} [{', '.join(map(_open, term.elements))}]"
        case Operation() | Function() | Apply():
            inputs = list(map(_open, term.inputs)) if isinstance(term, Apply) else []
            inputs += [f"{n}={_open(t)}" for n, t in term.arguments]
            name = _open(term.callee) if isinstance(term, Apply) else term.name
            if isinstance(term, Apply) and isinstance(term.callee, Function):
                name, inputs = term.callee.name, inputs + _given(term.callee)
            if isinstance(term, Apply) and isinstance(term.callee, Choice):
                name = f"({name})"
            return f"{name}({', '.join(inputs)})" if inputs else name
        case Join():
            texts = [f"({_open(p)})" if isinstance(p, Choice) else _open(p) for p in term.parts]
            return " + ".join(texts) if term.operator == "add" else f"concat({', '.join(texts)})"
    return print_term(term, (), {}) if term.size == 1 else "\N{HORIZONTAL ELLIPSIS}"
