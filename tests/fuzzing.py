"""Random texts, from the grammars or good ones damaged, and what the language makes of them.

Four sources: `Derivations` follows the rules of a grammar at random; `Programs` writes spaces that
are right but for what chance makes of them; `damage` changes tokens and bytes of any text; `spread`
changes only its layout. `examine_space` and `examine_architecture` carry a text through every stage
and raise `Bug` for anything but a result that holds its promises, or a documented error.
"""

from __future__ import annotations

import functools
import json
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from lark import Lark
from lark.grammar import NonTerminal, Symbol

from epnas_dsl.errors import ArchitectureError, CountError, EpnasError, LimitError, Source
from epnas_dsl.lang import load_architecture, parse_architecture, parse_space
from epnas_dsl.lang.formatter import format_space
from epnas_dsl.lang.lexer import read
from epnas_dsl.lang.loading import check_shapes
from epnas_dsl.lang.lowering import lower
from epnas_dsl.lang.matching import match_architecture
from epnas_dsl.lang.notations import from_notation, print_json
from epnas_dsl.lang.parser import SPACE_BYTES, tokenize
from epnas_dsl.resources import names, resource
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import to_graph
from epnas_dsl.space.nodes import nodes
from epnas_dsl.space.operations import OPERATIONS
from epnas_dsl.space.recognition import from_graph, from_nodes
from epnas_dsl.space.requirements import idle_requirements
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.tokens import from_tokens, to_tokens

T = TypeVar("T")
Random = random.Random
ERRORS = Path(__file__).parent / "errors"
EXTREMES = ["0", "1", "2", "64", "65", "999999999", "1000000000", "1e15", "1e308", "1e999", "0.5",
            "5e-324", "1_0", "00", "0.1e-9"]  # fmt: skip
STRANGE = ["\0", "\t", "\r", "\ufeff", "é", "−", "\ud800", "\u202e", "@", "$", "'", '"', "\\",
           ".", "!", "\x1b[31m", "\n"]  # fmt: skip
LAYOUTS = ["", "", "", "", " ", "\n", "\n\n\n", "  # why\n", "\n# alone\n", "\n\n\t#\n\n", "\t"]


class Bug(Exception):
    """The language broke a promise."""


# --- the grammar followed at random ------------------------------------------------------------

POOLS = {
    "name": ["x", "y", "image", "prev1", "prev2", "op", "source", "n", "channels", "b", "conv_3x3"],
    "call": ["op", "conv_3x3", "skip_connect", "sep_conv", "mbconv", "linear", "global_avg_pool",
             "concat", "sum", "stack", "last", "unused", "min", "max", "f", "g", "normal", "none"],
    "index": ["h", "g"], "slice": ["h", "g"], "assign": ["x", "y", "h", "h1", "z"],
    "keyword": ["kernel", "channels", "stride", "expand", "groups", "features", "n", "p"],
    "production": ["op", "source", "width"], "cell_name": ["normal", "reduction"],
    "function": ["f", "g"], "parameter": ["n", "channels", "x"], "inputs": ["x", "prev1", "image"],
    "level": ["b", "i"], "for_": ["i", "b"], "comprehension": ["s", "i"], "space": ["s"],
    "coordinate": ["cell", "block", "slot", "op", "input"], "genotype": ["made"],
    "treat": ["none", "skip_connect", "wire", "zero", "pure", "avg_pool_3x3"],
    "body": ["normal", "reduction", "network"],
}  # fmt: skip


class Derivations:
    """Random texts of a grammar, each name drawn from the few that fit the rule it stands in."""

    def __init__(self, grammar: str, start: Sequence[str]) -> None:
        lark = Lark.open(str(resource("grammars", grammar)), parser="lalr", start=list(start))
        self.rules: dict[str, list[list[Symbol]]] = {}
        for rule in lark.rules:
            self.rules.setdefault(str(rule.origin.name), []).append(list(rule.expansion))
        self.words = {t.name: t.pattern.value for t in lark.terminals if t.pattern.type == "str"}
        self.heights = dict.fromkeys(self.rules, 10**6)
        for _ in self.rules:
            for name, expansions in self.rules.items():
                self.heights[name] = 1 + min(map(self._height, expansions))

    def _height(self, expansion: Sequence[Symbol]) -> int:
        return max((self.heights[str(s.name)] for s in expansion if isinstance(s, NonTerminal)),
                   default=0)  # fmt: skip

    def derive(self, start: str, chance: Random, tokens: int = 60) -> list[str]:
        """The tokens of one derivation; beyond `tokens` each rule takes its shortest way out."""
        found: list[str] = []
        waiting: list[tuple[Symbol, str]] = [(NonTerminal(start), "")]
        while waiting:
            symbol, around = waiting.pop()
            name = str(symbol.name)
            if not isinstance(symbol, NonTerminal):
                found.append(self.word(name, around, chance))
                continue
            expansions = self.rules[name]
            if len(found) + len(waiting) > tokens:
                shortest = min(map(self._height, expansions))
                expansions = [e for e in expansions if self._height(e) == shortest]
            chosen = chance.choice(expansions)
            if len(chosen) > 1 and chance.random() < 0.4:
                chosen = chance.choice(expansions)
            place = name if name in POOLS and around not in ("inputs", "treat") else around
            waiting += [(s, place) for s in reversed(chosen)]
        return found

    def word(self, terminal: str, rule: str, chance: Random) -> str:
        """A text of a terminal where a rule uses it."""
        match terminal:
            case "NAME":
                return chance.choice(POOLS.get(rule, POOLS["name"]))
            case "INT":
                return str(chance.choice([0, 1, 2, 3, 4, 8, 16, 31]))
            case "FLOAT":
                return chance.choice(["0.5", "2.0", "5e6", "1.5e-3"])
            case "COMPARISON":
                return chance.choice(["<", "<=", ">", ">=", "==", "!="])
            case "DIGEST":
                return chance.choice(["@1f", "@0123456789abcdef"])
            case "PATH":
                return chance.choice(["no.space", "a folder/no.space"])
        return self.words[terminal]


@functools.cache
def grammar(name: str) -> Derivations:
    """The derivations of `space` or `architecture`."""
    starts = ["space", "item"] if name == "space" else ["genotype", "arguments"]
    return Derivations(name, starts)


# --- spaces that are nearly right --------------------------------------------------------------

UNARY = [n for n, o in OPERATIONS.items()
         if o.inputs == 1 and all(d is not None for _, d in o.parameters)
         and n not in ("global_avg_pool", "channel_slice", "shuffle")]  # fmt: skip
WEIGHTED = ["conv_3x3", "conv_5x5", "sep_conv_3x3", "max_pool_3x3", "skip_connect", "relu", "none"]


class Programs:
    """Writes random spaces.

    Args:
        wild: how likely it is that an expression is any that the grammar has.
    """

    def __init__(self, chance: Random, wild: float = 0.0) -> None:
        self.chance, self.wild = chance, wild
        self.values: list[str] = []
        self.numbers: list[str] = []
        self.operations: list[str] = []
        self.functions: list[tuple[str, int, bool]] = []
        self.cells: list[tuple[str, int]] = []
        self.arrays: list[tuple[str, str]] = []  # h and the last index that is there

    def space(self) -> str:
        """A whole file."""
        c = self.chance
        self.numbers = ["n", "channels"]
        lines = [f"space made(n={c.randint(1, 4)}, channels={c.choice([4, 8, 12])})"]
        for i in range(c.randint(0, 3)):
            lines.append(self.production(f"op{i}"))
            self.operations.append(f"op{i}")
        for i in range(c.randint(0, 2)):
            lines.append(self.function(f"f{i}"))
        for i in range(c.randint(0, 2)):
            lines.append(self.cell(i))
        lines.append(self.network())
        extras = ["require params <= 5e6", "require depth < 40 or levels == 1", "require edges > 2",
                  "share by (cell, block, slot, op, input)", "treat skip_connect as wire",
                  "treat none as zero", "treat avg_pool_3x3 as pure"]  # fmt: skip
        lines += c.sample(extras, c.choice([0] * 9 + [1, 2]))
        return "\n".join(lines) + "\n"

    def production(self, name: str) -> str:
        kinds = [self.operation() for _ in range(self.chance.randint(2, 4))]
        return f"{name} := {' | '.join(dict.fromkeys(kinds))}"

    def operation(self) -> str:
        c = self.chance
        if c.random() < self.wild:
            return self.anything()
        match c.randrange(8):
            case 0 if self.operations:
                return c.choice(self.operations)
            case 1:
                return f"sep_conv({c.choice('357')})"
            case 2:
                return f"mbconv(kernel={c.choice(['3', '5', '3 | 5'])}, expand=3|{c.choice('46')})"
            case 3:
                return c.choice(UNARY)
        return c.choice(WEIGHTED)

    def anything(self) -> str:
        """Any expression that the grammar has."""
        return " ".join(grammar("space").derive("expression", self.chance, 8))

    def number(self) -> str:
        c = self.chance
        match c.randrange(8):
            case 0 if self.wild:
                return self.anything() if c.random() < self.wild else c.choice(EXTREMES)
            case 1:
                return f"{self.number()} {c.choice(['+', '*', '-', '//', '%'])} {c.choice('1234')}"
            case 2:
                return f"{c.choice(['min', 'max'])}({self.number()}, {c.randint(1, 9)})"
            case 3:
                return f"({c.choice('1234')} if {c.choice(self.numbers)} > 2 else {self.number()})"
            case 4 | 5:
                return c.choice(self.numbers)
        return str(c.randint(1, 9))

    def value(self, depth: int = 3) -> str:
        """An expression for a value."""
        c = self.chance
        if c.random() < self.wild:
            return self.anything()
        if not depth or c.random() < 0.15:
            return c.choice(self.values)
        inner = functools.partial(self.value, depth - 1)
        match c.randrange(14):
            case 0 | 1:
                return f"{inner()} + {inner()}"
            case 2:
                return f"conv_1x1(concat({inner()}, {inner()}), channels)"
            case 3 if len(self.values) > 1:
                return f"({' | '.join(c.sample(self.values, 2))})"
            case 4 if len(self.values) > 1:
                few = ", ".join(c.sample(self.values, c.randint(2, min(4, len(self.values)))))
                quantity = c.choice(["any", "some", "1", "2", "some"])
                body = c.choice(["relu(s)", "conv_3x3(s)", *(f"{o}(s)" for o in self.operations)])
                base = f"{c.choice(self.values)}, " if quantity == "any" else ""
                return f"sum({base}{body} for s in {quantity} of [{few}])" if not base else (
                    f"conv_1x1(concat({base}any of [{few}]), channels)")  # fmt: skip
            case 5 if self.functions:
                name, inputs, number = c.choice(self.functions)
                given = [inner() for _ in range(inputs)]
                given += [f"n={c.choice(['2', '2|3', self.number()])}"] if number else []
                return f"{name}({', '.join(given)})"
            case 6 if self.arrays:
                array, last = c.choice(self.arrays)
                some = [f"last({array})", f"sum(unused({array}))", f"sum({array}[1..{last}])",
                        f"{array}[1]", f"conv_1x1(concat(unused({array})), channels)"]  # fmt: skip
                return c.choice(some)
            case 7:
                return f"conv_3x3({inner()}, {c.choice(['channels', '4 | 8', 'channels*2'])})"
            case 8 if self.cells:
                name, inputs = c.choice(self.cells)
                return f"{name}({', '.join(inner() for _ in range(inputs))}, channels=channels)"
        operation = self.operation()
        plain = re.fullmatch(r"\w+", operation)
        return f"{operation}({inner()})" if plain else f"{c.choice(WEIGHTED)}({inner()})"

    def statements(self, names: str) -> list[str]:
        """Statements of a body, without its `return`; indented."""
        c = self.chance
        lines = []
        for i in range(c.randint(0, 3)):
            match c.randrange(6):
                case 0 if not self.arrays:
                    word, end = c.choice(["level", "level", "for"]), c.choice(["n", "2", "3"])
                    lines.append(f"    {word} b in 1..{end} {{")
                    if c.random() < 0.6:
                        few = " | ".join(c.sample(self.values, 1))
                        lines.append(f"        source := {few} | h[1..b-1]")
                        lines.append(f"        h[b] = {c.choice(WEIGHTED)}(source) + "
                                     f"{self.value(1)}")  # fmt: skip
                    else:
                        lines.append(f"        h[b] = {self.value(2)}")
                    lines.append("    }")
                    self.arrays.append(("h", end))
                case 1:
                    lines.append(f"    {names}{i} := {self.operation()} | relu6")
                    lines.append(f"    {names}v{i} = {names}{i}({self.value(1)})")
                    self.values.append(f"{names}v{i}")
                case _:
                    lines.append(f"    {names}{i} = {self.value()}")
                    self.values.append(f"{names}{i}")
        return lines

    def function(self, name: str) -> str:
        inputs, number = self.chance.randint(1, 2), self.chance.random() < 0.4
        kept = self.numbers
        self.values, self.arrays = ["a", "d"][:inputs], []
        self.numbers = ["n", *kept] if number else kept
        body = [*self.statements("t"), f"    return {self.value()}"]
        self.numbers = kept
        self.functions.append((name, inputs, number))
        given = ", ".join([*["a", "d"][:inputs], *(["n"] if number else [])])
        return "\n".join([f"def {name}({given}) {{", *body, "}"])

    def cell(self, i: int) -> str:
        c = self.chance
        inputs = ["prev2", "prev1"][: c.randint(1, 2)]
        self.values, self.arrays = list(inputs), []
        body = self.statements("k")
        ends = [self.value()] + [f"concat(unused({a}))" for a, _ in self.arrays] * 2
        body.append(f"    return {c.choice(ends)}")
        second = f", r{i}/2" if c.random() < 0.4 else ""
        self.cells.append((f"c{i}", len(inputs)))
        return "\n".join([f"cell c{i}{second} ({', '.join(inputs)}) {{", *body, "}"])

    def network(self) -> str:
        c = self.chance
        self.values, self.arrays = ["x"], []
        lines = ["network (image) {", f"    x = {c.choice(WEIGHTED[:3])}(image, channels)"]
        lines += self.statements("w")
        if self.cells and c.random() < 0.7:
            stacked = ", ".join(f"{n}*{c.choice('12n')}" for n, _ in self.cells)
            lines.append(f"    y = stack({c.choice(self.values)}, [{stacked}])")
            self.values.append("y")
        last = self.values[-1]
        return "\n".join([*lines, f"    return linear(global_avg_pool({last}), 10)", "}"])


# --- damage ------------------------------------------------------------------------------------

PIECES = re.compile(r"#[^\n]*|\s+|\w+|:=|\.\.|//|<=|>=|==|!=|.", re.DOTALL)


def damage(text: str, chance: Random, others: Sequence[str]) -> str:
    """The text with one to four changes, of tokens or of characters."""
    pieces = PIECES.findall(text)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 4])):
        solid = [i for i, p in enumerate(pieces) if p.strip() and p[:1] != "#"] or [0]
        pieces = pieces or [" "]
        i, j = chance.choice(solid), chance.choice(solid)
        words = list(grammar("space").words.values())
        match chance.randrange(14):
            case 0:
                pieces[i] = ""
            case 1:
                pieces[i] += f" {pieces[j]}"
            case 2:
                pieces[i], pieces[j] = pieces[j], pieces[i]
            case 3 | 4:
                alike = [k for k in solid if pieces[k].isidentifier() == pieces[i].isidentifier()]
                pieces[i] = pieces[chance.choice(alike or solid)]
            case 5:
                pieces[i] = f" {chance.choice(words)} "
            case 6:
                pool = chance.choice(list(POOLS.values()))
                pieces[i] = chance.choice([*pool, *OPERATIONS])
            case 7 | 8:
                numbers = [k for k in solid if pieces[k][:1].isdigit()] or solid
                pieces[chance.choice(numbers)] = chance.choice(EXTREMES)
            case 9:
                pieces[i] = nested(pieces[i], chance)
            case 10:
                other = PIECES.findall(chance.choice(others))
                k = chance.randrange(len(other) or 1)
                pieces[i:j] = other[k : k + chance.choice([3, 10, 50, 500])]
            case 11:
                made = grammar("space").derive(
                    chance.choice(["expression", "item", "statement", "alternatives"]), chance, 15
                )
                pieces[i] = " ".join(["", *made, ""])
            case 12:
                pieces[min(i, j) : max(i, j)] = []
            case _:
                characters = list("".join(pieces)) or [" "]
                for _ in range(chance.randint(1, 5)):
                    k = chance.randrange(len(characters))
                    some = [*STRANGE, chr(chance.randrange(256)), chance.choice(characters)]
                    characters[k] = chance.choice(["", characters[k] * 2, *some])
                pieces = PIECES.findall("".join(characters))
    return "".join(pieces)


def nested(piece: str, chance: Random) -> str:
    """A piece with many brackets or operators around it."""
    n = chance.choice([5, 20, 31, 33, 62, 64, 66, 150, 199, 1000])
    start, end = chance.choice([("(", ")"), ("[", "]"), ("f(", ")"), ("relu(", ")"), ("sum(", ")"),
                                ("- ", ""), ("not ", ""), ("x + ", ""), ("2^", ""), ("(a | ", ")"),
                                ("for i in 1..2 {", "}"), ("h[", "]"), ("conv_3x3(x, ", ")"),
                                ("min(1, ", ")"), ("1 if n else ", ""),
                                ("any of ", "")])  # fmt: skip
    return start * n + piece + end * n


def spread(text: str, chance: Random) -> str:
    """The text with other blanks and comments between its tokens; its meaning stays."""
    pieces, at = [], 0
    for token in tokenize(Source("", text)):
        start = token.start_pos or 0
        between = text[at:start]
        if start and token.type != "COMMENT":
            between += chance.choice(LAYOUTS)
        pieces += [between, token.value]
        at = token.end_pos or 0
    return "".join([*pieces, text[at:]])


@functools.cache
def corpus() -> tuple[str, ...]:
    """Texts to begin with: the published spaces, and the bad ones of the tests."""
    published = [resource("spaces", n).read_text(encoding="utf-8") for n in sorted(names("spaces"))]
    bad = (p.read_bytes().decode("utf-8", "replace") for p in sorted(ERRORS.glob("*.space")))
    return (*published * 2, *(t for t in bad if len(t) < 5_000))


def space_texts(chance: Random) -> Iterator[tuple[str, str]]:
    """Texts of spaces without end, each with the name of its source."""
    texts = corpus()
    while True:
        kind = chance.choice(["derived", "made", "made", "wild", "damaged", "damaged made", "soup"])
        match kind:
            case "derived":
                text = " ".join(grammar("space").derive("space", chance, chance.choice([30, 200])))
            case "made":
                text = Programs(chance).space()
                text = spread(text, chance) if chance.random() < 0.3 else text
            case "wild":
                text = Programs(chance, chance.choice([0.03, 0.2])).space()
            case "damaged":
                text = damage(chance.choice(texts), chance, texts)
            case "damaged made":
                text = damage(Programs(chance).space(), chance, texts)
            case _:
                words = [*grammar("space").words.values(), *STRANGE, *EXTREMES, *POOLS["name"]]
                text = "space s " + " ".join(chance.choices(words, k=chance.randint(1, 40)))
        yield kind, text


def architecture_texts(
    chance: Random, spaces: Sequence[SearchSpace]
) -> Iterator[tuple[str, str, SearchSpace]]:
    """Texts of architectures without end, each with its source and the space to match it with."""
    samples = [
        (space, str(a))
        for space in spaces
        for level in dict.fromkeys([1, (space.depth + 1) // 2, space.depth])
        for a in sample(space, 6, np.random.default_rng(level), level)
    ]
    texts = [t for _, t in samples]
    while True:
        space, text = chance.choice(samples)
        if chance.random() < 0.25:
            made = grammar("architecture").derive("genotype", chance, chance.choice([20, 80]))
            yield "derived architecture", " ".join(made), space
        else:
            yield "damaged architecture", damage(text, chance, texts), space


# --- what the language makes of a text ---------------------------------------------------------


@functools.cache
def explained() -> frozenset[str]:
    """The codes that grammars/errors/ explains."""
    files = resource("grammars", "space").parent.glob("errors/*.md")
    return frozenset(
        c for f in files for c in re.findall(r"^## ([EW]\d{3}) ", f.read_text("utf-8"), re.M)
    )


@dataclass
class Outcome:
    """How far a text came, with what findings, and the CPU seconds of every stage."""

    reached: str = "parse"
    codes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage."""
        self.reached = name
        start = time.thread_time()
        try:
            yield
        finally:
            self.seconds[name] = time.thread_time() - start


def documented(error: EpnasError, text: str) -> tuple[str, ...]:
    """The codes of an error, which has to be explained, placed inside the text, and printable."""
    expect(error.diagnostics, "an error without a finding")
    for d in error.diagnostics:
        expect(d.code in explained(), f"{d.code} is not explained")
        json.dumps(d.to_json())
        expect(d.code in str(d), f"{d.code} is not shown")
        if d.code in ("E902", "E903") and d.span is None:  # the whole text is too long
            continue
        expect(d.span, f"{d.code} has no place")
        assert d.span
        length = len(d.span.source.text)
        expect(0 <= d.span.start <= d.span.end <= length <= len(text), f"{d.code} lies outside")
    str(error)
    return tuple(d.code for d in error.diagnostics)


def expect(holds: object, promise: str) -> None:
    """Raise a Bug unless it holds."""
    if not holds:
        raise Bug(promise)


def examine_space(text: str, turns: int = 2) -> Outcome:
    """Carry the text of a space through every stage, with `turns` of its architectures.

    With 0 turns neither the formatter nor architectures are looked at.

    Raises:
        Bug: a promise does not hold. Any exception but an EpnasError gets through, too.
    """
    out = Outcome()
    try:
        with out.stage("parse"):
            node = parse_space(text, "fuzz")
        if turns:
            with out.stage("format"):
                formats(text, node)
        with out.stage("lower"):
            space, warnings = lower(node)
        with out.stage("check"):
            check_shapes(space)
            warnings += idle_requirements(space)
        with out.stage("architectures"):
            out.codes = tuple(w.code for w in warnings)
            for i in range(turns if "W005" not in out.codes else 0):
                level = 1 + i % space.depth
                with suppress(CountError):  # nearly none of this level may meet the requirements
                    survives(sample(space, 1, np.random.default_rng(i), level)[0])
        out.reached = "whole"
    except EpnasError as error:
        out.codes = documented(error, text)
    return out


def formats(text: str, node: object) -> str:
    """The formatted text; it means the same, keeps the comments, and is formatted already."""
    once = promised(lambda: format_space(text, "fuzz"))
    expect(promised(lambda: parse_space(once)) == node, "the formatter changes what is written")
    expect(promised(lambda: format_space(once)) == once, "the formatter is not idempotent")
    expect(comments(once) == comments(text), "the formatter changes a comment")
    return once


def comments(text: str) -> list[str]:
    """The comments of a text, in order."""
    source = read(text, "", SPACE_BYTES, "E902")
    return [t.value.rstrip() for t in tokenize(source) if t.type == "COMMENT"]


def promised(action: Callable[[], T]) -> T:
    """The result of what must not fail any more."""
    try:
        return action()
    except EpnasError as error:
        raise Bug(f"refused later: {error}") from error


def survives(architecture: Architecture) -> None:
    """Text, symbols, graphs, JSON and key of an architecture hold their promises."""
    text = str(architecture)
    back = promised(lambda: load_architecture(text, architecture.space))
    expect(back == architecture, "the text is another architecture")
    expect(str(back) == text, "equal architectures have two texts")
    with suppress(LimitError):  # a decision may be too large to be written as symbols
        symbols = from_tokens(architecture.space, to_tokens(architecture))
        expect(symbols == architecture, "the symbols are another architecture")
    plain = promised(lambda: from_notation(print_json(architecture), "json", architecture.space))
    expect(plain == architecture, "the JSON is another architecture")
    _graphs_survive(architecture)
    with suppress(LimitError):  # a graph may be too regular to be told apart
        expect(back.key == architecture.key, "one architecture has two keys")


def _graphs_survive(architecture: Architecture) -> None:
    """Its graphs are of the architecture; their nodes alone are of an equal one, or do not say."""
    space = architecture.space
    decided = dict.fromkeys(b.name for b, _ in space.statements)
    graphs = {name: to_graph(architecture, name) for name in decided}
    back = promised(lambda: from_graph(space, graphs))
    expect(back == architecture, "the graphs are another architecture")
    try:
        equal = from_nodes(space, {name: nodes(graph) for name, graph in graphs.items()}, True)
    except ArchitectureError as error:
        expect(error.diagnostics[0].code == "E314", f"its nodes are not recognised: {error}")
    except LimitError:
        pass  # a value may be read in more ways than are tried
    else:
        expect(equal == architecture or equal.key == architecture.key, "the nodes are of another")


def examine_architecture(text: str, space: SearchSpace) -> Outcome:
    """Carry the text of an architecture through every stage.

    Raises:
        Bug: a promise does not hold. Any exception but an EpnasError gets through, too.
    """
    out = Outcome()
    try:
        with out.stage("parse architecture"):
            node = parse_architecture(text, "fuzz")
        with out.stage("match"):
            architecture = match_architecture(node, space)
        with out.stage("architectures"):
            survives(architecture)
        out.reached = "whole"
    except EpnasError as error:
        out.codes = documented(error, text)
    return out


def shrink(text: str, fails: Callable[[str], bool], attempts: int = 2000) -> str:
    """A smaller text that still fails, by leaving out stretches of tokens, in few attempts."""
    pieces, size = PIECES.findall(text), 0
    size = len(pieces) // 2
    while size:
        at = 0
        while at < len(pieces) and attempts:
            attempts -= 1
            fewer = pieces[:at] + pieces[at + size :]
            if fails("".join(fewer)):
                pieces = fewer
            else:
                at += size
        size //= 2
    return "".join(pieces)


# --- the same architecture, written otherwise --------------------------------------------------

STATEMENT = re.compile(r"\bh(\d+) = ([^;{}]*[^;{} ])")


def turn_sums(text: str, chance: random.Random) -> str:
    """An architecture's text with the operands of its outermost sums in another order."""

    def turned(found: re.Match[str]) -> str:
        operands = _split(found[2])
        chance.shuffle(operands)
        return f"h{found[1]} = {' + '.join(operands)}"

    return STATEMENT.sub(turned, text)


def _split(value: str) -> list[str]:
    """The operands of the outermost sum."""
    parts, depth = [""], 0
    for piece in re.findall(r" \+ |.", value):
        depth += (piece in "([{") - (piece in ")]}")
        if piece == " + " and not depth:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def reordered(text: str, chance: random.Random) -> Iterator[str]:
    """An architecture's text with two neighbouring blocks exchanged, the later not reading the
    earlier, in each of its bodies where there are such; names follow."""
    for body in re.findall(r"\bh\d+ = [^{}]*", text):
        values = [m[2] for m in STATEMENT.finditer(body)]
        apart = [i for i in range(len(values) - 1) if f"h{i + 1}" not in _names(values[i + 1])]
        if len(values) > 1 and apart and re.match(r"h1 ", body):
            i = chance.choice(apart)
            values[i], values[i + 1] = values[i + 1], values[i]
            other = {f"h{i + 1}": f"h{i + 2}", f"h{i + 2}": f"h{i + 1}"}
            for j in range(i + 2, len(values)):
                words = re.split(r"(\W+)", values[j])
                values[j] = "".join(other.get(word, word) for word in words)
            made = "; ".join(f"h{k} = {v}" for k, v in enumerate(values, 1))
            yield text.replace(body.rstrip(), made, 1)


def _names(value: str) -> set[str]:
    return set(re.findall(r"\w+", value))
