"""Texts to nodes with exact places; mistakes to messages; hostile texts to refusals."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.lark import from_lark
from lark import Lark

from epnas_dsl.errors import Diagnostic, EpnasError, LimitError, Source, SpaceErrors, Span
from epnas_dsl.lang import parser, syntax
from epnas_dsl.lang.parser import parse_architecture, parse_reference, parse_space
from epnas_dsl.lang.syntax import Binary, Call, Index, Keyword, Name, Number, Range, Slice, Unary
from epnas_dsl.resources import names, resource

SPAN = Span(Source("", ""), 0, 0)


def n(value: float | str) -> syntax.Expression:
    """A name or a number."""
    return Name(value, span=SPAN) if isinstance(value, str) else Number(value, span=SPAN)


def b(left: syntax.Expression, operator: str, right: syntax.Expression) -> Binary:
    return Binary(operator, left, right, span=SPAN)


def expression(text: str) -> syntax.Expression:
    """The node of an expression."""
    (item,) = parse_space(f"space m require {text}").items
    assert isinstance(item, syntax.Require)
    return item.condition


def texts(root: syntax.Node) -> list[tuple[str, str]]:
    """The class and the text of every node below this one."""
    found: list[tuple[str, str]] = []
    stack: list[object] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            stack += reversed(node)
        elif isinstance(node, syntax.Node):
            text = node.span.source.text[node.span.start : node.span.end]
            found.append((type(node).__name__, text))
            stack += reversed([getattr(node, slot) for slot in type(node).__slots__])
    return found


# --- nodes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("5e6", n(5_000_000)),
        ("5e9", n(5e9)),
        ("5.0", n(5.0)),
        ("1_000", n(1000)),
        ("1.5e-3", n(0.0015)),
        ("a + b - 1", b(b(n("a"), "+", n("b")), "-", n(1))),
        ("a + b*c", b(n("a"), "+", b(n("b"), "*", n("c")))),
        ("-2^2", Unary("-", b(n(2), "^", n(2)), span=SPAN)),
        ("2^-1", b(n(2), "^", Unary("-", n(1), span=SPAN))),
        ("a^b^c", b(n("a"), "^", b(n("b"), "^", n("c")))),
        ("a or b and not c", b(n("a"), "or", b(n("b"), "and", Unary("not", n("c"), span=SPAN)))),
        ("a + 1 <= b", b(b(n("a"), "+", n(1)), "<=", n("b"))),
        ("h[1]", Index("h", n(1), span=SPAN)),
        ("h[1..b-1]", Slice("h", n(1), b(n("b"), "-", n(1)), span=SPAN)),
        ("f()", Call("f", (), span=SPAN)),
        (
            "f(a | 2, k=3|5,)",
            Call(
                "f",
                (syntax.Alternatives((n("a"), n(2)), span=SPAN),),
                (Keyword("k", syntax.Alternatives((n(3), n(5)), span=SPAN), span=SPAN),),
                span=SPAN,
            ),
        ),
        (
            "sum(s for s in 1..3)",
            Call(
                "sum",
                (syntax.Comprehension(n("s"), "s", Range(n(1), n(3), span=SPAN), span=SPAN),),
                span=SPAN,
            ),
        ),
        ("any of [a]", syntax.Subset("any", syntax.List((n("a"),), span=SPAN), span=SPAN)),
        ("k of h[1..2]", syntax.Subset(n("k"), Slice("h", n(1), n(2), span=SPAN), span=SPAN)),
        ("(k) of [a]", syntax.Subset(n("k"), syntax.List((n("a"),), span=SPAN), span=SPAN)),
        ("a if b else c", syntax.Conditional(n("a"), n("b"), n("c"), span=SPAN)),
    ],
)
def test_expressions(text: str, node: syntax.Expression) -> None:
    assert expression(text) == node


def test_whole_numbers_are_int() -> None:
    kinds = {t: type(parser.number(t)) for t in ("5", "5e6", "999999999e0", "5.0", "1e9", "1e-1")}
    assert [t for t, kind in kinds.items() if kind is int] == ["5", "5e6", "999999999e0"]


def test_places_are_exact() -> None:
    text = "space m  # head\ncell a, b/2 (x) {\n\th[1] = op( x )+(-y) ; return h[1]\n}\n"
    assert texts(parse_space(text)) == [
        ("Space", text.rstrip()),
        ("Cell", text[16:].rstrip()),
        ("CellName", "a"),
        ("CellName", "b/2"),
        ("Name", "x"),
        ("Assign", "h[1] = op( x )+(-y)"),
        ("Number", "1"),
        ("Binary", "op( x )+(-y)"),
        ("Call", "op( x )"),
        ("Name", "x"),
        ("Unary", "-y"),
        ("Name", "y"),
        ("Return", "return h[1]"),
        ("Index", "h[1]"),
        ("Number", "1"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_mark_do_not_matter(end: str) -> None:
    text = "\ufeff" + end.join(["space m", "op := a |", "  b"])
    space = parse_space(text)
    assert space == parse_space("space m; op := a|b")
    assert str(space.items[0].span) == "<text>:2:1"


def test_items_of_every_kind() -> None:
    text = """space m() op := a | b; def f(x, s=1,) { } cell c (x, y,) { ; } network (i) { x = 1; }
    require a == b share by (cell, op,) treat none as zero"""
    kinds = [type(item).__name__ for item in parse_space(text).items]
    assert kinds == ["Production", "Function", "Cell", "Network", "Require", "Share", "Treat"]


def test_architectures() -> None:
    node = parse_architecture("d@1a2b(k=-3): normal { h1 = f(x) { y = g(x) } } ; reduction { }")
    assert (node.space, node.digest, len(node.arguments)) == ("d", "1a2b", 1)
    assert [body.name for body in node.bodies] == ["normal", "reduction"]
    (statement,) = node.bodies[0].statements
    assert isinstance(statement, syntax.Assign)
    assert isinstance(statement.value, Call)
    assert statement.value.body is not None
    lines, joined = parse_architecture("m: a = b\nc = d\n"), parse_architecture("m: a = b; c = d")
    assert lines == joined
    assert parse_architecture("m:").bodies == ()


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("micro", "micro", []),
        ("micro()", "micro", []),
        ("micro(blocks=3, channels=8)", "micro", ["blocks", "channels"]),
        ("my dir/a.b/mine.space(blocks=-3)", "my dir/a.b/mine.space", ["blocks"]),
        ("mine (copy).space", "mine (copy).space", []),
        ("mine(1)", "mine(1)", []),
        ("dir (old)/mine.space(a=(1 + 2))", "dir (old)/mine.space", ["a"]),
    ],
)
def test_references(text: str, name: str, arguments: list[str]) -> None:
    found, keywords = parse_reference(text)
    assert (found, [k.name for k in keywords]) == (name, arguments)


# --- mistakes ----------------------------------------------------------------------------------

MISTAKES = [
    ("space m\nrequire a <", "E002", 2, 12, "the text ends, expected an expression", ""),
    ("netwrok (i) { }", "E001", 1, 1, "`netwrok` does not begin", "did you mean `network`?"),
    ("space m\nlevel b in 1..3 { }", "E001", 2, 1, "`level` stands outside the braces", ""),
    ("space m\nrequire\ncell x (y) { }", "E001", 3, 1, "found `cell`, expected an expression", ""),
    ("space m\ncell a b (x) { }", "E001", 2, 8, "expected `(`, `,` or `/`", ""),
    ("space m\ndef f(x) { for i im 1..3 { } }", "E001", 2, 18, "expected `in`", ""),
    ("space m\ndef f(x) { x = a if b\ny = c }", "E001", 3, 1, "expected `else`", "both values"),
    ("space m(5)", "E001", 1, 9, "found `5`, expected a name or `)`", ""),
    ("space m\nrequire a < 5 €", "E003", 2, 15, "`€` U+20AC (euro sign) has no", ""),
    ("space m\nrequire a ! b", "E003", 2, 11, "`!` has no meaning", "unequal is `!=`"),
    ("space m\nrequire ä", "E003", 2, 9, "small letter a with diaeresis", "a to z"),
    ("space m\nrequire a\0", "E003", 2, 10, "U+0000 (a control character)", "a text file?"),
    ("space m\nrequire .5", "E003", 2, 9, "`.` has no meaning", "digits on both sides"),
    ("space m\ndef f(x) { level = 3 }", "E004", 2, 12, "`level` is a keyword", "`level_`"),
    ("space m\nrequire a + for", "E004", 2, 13, "`for` is a keyword", ""),
    ("space m\ntreat cell as wire", "E004", 2, 7, "`cell` is a keyword", ""),
    ("space m\nany := a | b", "E004", 2, 1, "`any` is a keyword", ""),
    ("space m(a=1\nop := a", "E005", 1, 8, "`(` is never closed", "before `op` in line 2"),
    ("space m\ncell x (y) {\n z = 1\nrequire a", "E005", 2, 12, "`{` is never", "before `require`"),
    ("space m\ndef f(x) { y = g(x }", "E005", 2, 17, "`(` is never closed", "before `}`"),
    ("space m }", "E006", 1, 9, "`}` closes nothing", ""),
    ("space m\nrequire f(a]", "E006", 2, 12, "cannot close the `(` of line 2, column 10", "`)`"),
    ("space m\ndef f(x) { y = g(x) g(x) }", "E007", 2, 21, "missing between `)` and `g`", ""),
    ("space m\nrequire [a b]", "E007", 2, 12, "a comma or an operator is missing", ""),
    ("space m\nrequire a nad b", "E007", 2, 11, "an operator is missing", "mean `and`?"),
    ("space m\nrequire 3x3 < 4", "E007", 2, 9, "`3x3` is neither a number nor", ""),
    ("space m\nop = a | b", "E008", 2, 4, "`=` where a production has `:=`", "`op := ..`"),
    ("space m\nrequire a | b", "E008", 2, 11, "a choice cannot stand here", "(a | b)"),
    ("space m\ndef f(x) { h[1] := a }", "E008", 2, 17, "`:=` where `=` is expected", ""),
    ("space m\nrequire a = 3", "E009", 2, 11, "`=` names a value", "write `==`"),
    ("space m\ndef f(x) { y == 3 }", "E009", 2, 14, "`==` compares", "write `=`"),
    ("space m\nrequire a < b < c", "E009", 2, 15, "comparisons cannot be chained", ""),
    ("space m\ndef f(x) { f(x) = 3 }", "E010", 2, 13, "expected `=` after `f`", ""),
    ("space m\ndef f(x) { 3 = x }", "E010", 2, 12, "`3` cannot be given a value", ""),
    ("space m\ndef f(x) { retrun x }", "E010", 2, 19, "expected `=`", "mean `return`?"),
    ("space m\nspace n", "E011", 2, 1, "a second head", ""),
    ("op := a", "E012", 1, 1, "the head of the space is missing", "`space NAME`"),
    ("", "E012", 1, 1, "the head of the space is missing", ""),
    ("space m\nrequire 1234567890 < a", "E904", 2, 9, "more than 9 digits", ""),
    ("space m\nrequire 1e999 < a", "E904", 2, 9, "a number larger", ""),
    (f"space m\nrequire 0.{'0' * 40} < a", "E904", 2, 9, "a number of 42 characters", ""),
    (f"space m\nrequire {'n' * 129}", "E905", 2, 9, "a name of 129 characters", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "line", "column", "message", "hint"), MISTAKES)
def test_mistakes(text: str, code: str, line: int, column: int, message: str, hint: str) -> None:
    with pytest.raises(EpnasError) as caught:
        parse_space(text)
    found = {d.code: d for d in caught.value.diagnostics}
    assert set(found) - {"E012"} <= {code}
    span = found[code].span
    assert span is not None
    assert span.source.position(span.start) == (line, column)
    assert message in found[code].message
    assert hint in found[code].hint


@pytest.mark.parametrize(
    ("text", "code", "column", "message"),
    [
        ("micro", "E002", 6, "the text ends, expected `(` or `:`"),
        ("micro h1 = a", "E001", 7, "found `h1`, expected `(` or `:`"),
        ("micro: h1 = h[a | b]", "E008", 17, "a choice cannot stand here"),
        ("micro: h1 := a", "E008", 11, "`:` where `=` is expected"),
        ("micro: op(x)", "E010", 10, "expected `=` after `op`"),
        ("micro@xy: a = b", "E003", 6, "`@` has no meaning"),
        ("micro: normal { a = b", "E005", 15, "`{` is never closed"),
        ("", "E002", 1, "the text ends, expected a name"),
    ],
)
def test_mistakes_in_architectures(text: str, code: str, column: int, message: str) -> None:
    with pytest.raises(EpnasError) as caught:
        parse_architecture(text)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert found.span is not None
    assert found.span.start == column - 1
    assert message in found.message


def test_carets_stand_under_the_token() -> None:
    with pytest.raises(EpnasError) as caught:
        parse_space("space m\n\trequire\tnetwork_size = 5", "my.space")
    assert str(caught.value).splitlines() == [
        "my.space:2:23: error E009: `=` names a value and cannot stand here",
        "  2 |  require network_size = 5",
        "    |                       ^",
        "  hint: to compare, write `==`",
    ]


def test_all_errors_of_a_file_at_once() -> None:
    text = """space m
op = a | b
cell c (x) {
    y = f(x
    return y
}
network (image) { x = = 3 }
require a € b
require a <= 3
require b = 4
"""
    with pytest.raises(SpaceErrors) as caught:
        parse_space(text)
    found = [
        (d.code, d.span.source.position(d.span.start)[0])
        for d in caught.value.diagnostics
        if d.span
    ]
    assert found == [("E008", 2), ("E005", 4), ("E001", 7), ("E003", 8), ("E009", 10)]


def test_references_that_do_not_parse() -> None:
    for text in ("", "(a=1)", "micro(blocks=", "micro(blocks=3", "micro(a=1)(b=2)", "micro(a=1) b"):
        with pytest.raises(EpnasError):
            parse_reference(text)


# --- hostile texts -----------------------------------------------------------------------------

HOSTILE = [
    ("E901", "space m require " + "(" * 20_000),
    ("E901", "space m require " + "[" * 65 + "1" + "]" * 65),
    ("E901", "space m require " + "- " * 20_000 + "1"),
    ("E901", "space m require " + "not " * 20_000 + "1"),
    ("E901", "space m require " + "a^" * 20_000 + "1"),
    ("E901", "space m require " + "a + " * 20_000 + "1"),
    ("E901", "space m require " + "a if b else " * 10_000 + "1"),
    ("E901", "space m def f(x) {" + "for i in 1..2 {" * 65 + "}" * 66),
    ("E902", "#" * (2**20 + 1)),
    ("E902", "space m require " + "1 " * 100_000),
    ("E906", "space m " + "a := b " * 10_001),
]


@pytest.mark.parametrize(("code", "text"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_refused(code: str, text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(LimitError) as caught:
        parse_space(text)
    assert caught.value.diagnostics[0].code == code
    assert time.perf_counter() - start < 20


def test_errors_without_end_are_cut_off() -> None:
    assert len(diagnostics(parse_space, "space m " + ")" * 50_000)) == 100
    assert len(diagnostics(parse_space, "space m\n" + "require =\n" * 9_000)) == 100


def test_what_the_limits_allow_is_read() -> None:
    for text in (
        "(" * 64 + "1" + ")" * 64,
        "a + " * 200 + "1",
        "-" * 200 + "1",
        "f(" * 64 + ")" * 64,
    ):
        assert expression(text)
    with pytest.raises(LimitError, match="longer than 65,536 bytes"):
        parse_architecture("m: " + "#" * 2**16)


WORDS = [
    *["space", "cell", "level", "for", "in", "def", "network", "return", "require", "share", "by"],
    *["treat", "as", "any", "some", "of", "if", "else", "and", "or", "not", "a", "h", "op", "1"],
    *[
        "2.5",
        "5e6",
        "1_0",
        "..",
        ".",
        ":=",
        "=",
        "==",
        "<",
        "+",
        "-",
        "*",
        "/",
        "//",
        "^",
        "(",
        ")",
    ],
    *["[", "]", "{", "}", ",", ";", "|", ":", "@1f", "# c\n", "\n", "\t", "$", "é", "\0", "\ud800"],
]


def diagnostics(parse: Callable[[str], object], text: str) -> tuple[Diagnostic, ...]:
    """What is wrong with a text; anything but an error of ours gets through."""
    try:
        parse(text)
    except EpnasError as error:
        assert str(error)  # noqa: PT017 - it can be printed
        return error.diagnostics
    return ()


@settings(max_examples=150, deadline=2000)
@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join), st.booleans())
def test_token_soup_parses_or_is_explained(text: str, headed: bool) -> None:
    for parse in (parse_space, parse_architecture, parse_reference):
        found = diagnostics(parse, f"space m {text}" if headed else text)
        assert all(d.code != "E000" and d.message for d in found)


@settings(max_examples=60, deadline=2000)
@given(st.data(), st.sampled_from(names("spaces")))
def test_damaged_spaces_parse_or_are_explained(data: st.DataObject, name: str) -> None:
    text = resource("spaces", name).read_text(encoding="utf-8")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    damaged = text[:start] + data.draw(st.sampled_from(["", *WORDS])) + text[end:]
    found = diagnostics(parse_space, damaged)
    assert all(d.span is not None and d.span.end <= len(damaged) for d in found)


# made from the grammar itself: a parser that comes from its stored tables does not have it
GRAMMAR = Lark.open(str(resource("grammars", "space")), start=["space", "item"])


@settings(max_examples=40, deadline=None)
@given(from_lark(GRAMMAR, start="space"))
def test_texts_from_the_grammar_parse_or_are_explained(text: str) -> None:
    assert all(d.message for d in diagnostics(parse_space, text))
