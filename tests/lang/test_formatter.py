"""Layouts that keep every meaning and every comment; expressions with few parentheses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epnas_dsl.errors import EpnasError, Source, Span
from epnas_dsl.lang import syntax
from epnas_dsl.lang.formatter import format_space, print_expression
from epnas_dsl.lang.parser import parse_architecture, parse_space, tokenize
from epnas_dsl.resources import names, resource

SPAN = Span(Source("<made>", ""), 0, 0)

# --- syntax trees ------------------------------------------------------------------------------

words = st.sampled_from(["a", "b", "h", "op", "prev1", "conv_3x3"])
whole = st.integers(0, 999_999_999)
real = st.floats(0, allow_nan=False, allow_infinity=False).map(abs)
leaves = st.one_of(
    st.one_of(whole, real).map(lambda v: syntax.Number(v, span=SPAN)),
    words.map(lambda name: syntax.Name(name, span=SPAN)),
)
OPERATORS = [*"+-*/%^<>", "//", "<=", ">=", "==", "!=", "and", "or"]


def tuples(
    inner: st.SearchStrategy[syntax.Expression], least: int = 0
) -> st.SearchStrategy[tuple[syntax.Expression, ...]]:
    return st.lists(inner, min_size=least, max_size=3).map(tuple)


def larger(inner: st.SearchStrategy[syntax.Expression]) -> st.SearchStrategy[syntax.Expression]:
    """Expressions of every kind that are made of smaller ones."""
    ranges = st.builds(syntax.Range, inner, inner, span=st.just(SPAN))
    lists = st.builds(syntax.List, tuples(inner), span=st.just(SPAN))
    slices = st.builds(syntax.Slice, words, inner, inner, span=st.just(SPAN))
    loops = st.builds(
        syntax.Comprehension, inner, words, st.one_of(inner, ranges), span=st.just(SPAN)
    )
    keywords = st.builds(syntax.Keyword, words, inner, span=st.just(SPAN))
    some = st.lists(keywords, max_size=2).map(tuple)
    made = st.just(SPAN)
    return st.one_of(
        lists,
        slices,
        st.builds(syntax.Index, words, inner, span=made),
        st.builds(syntax.Call, words, tuples(inner), some, span=made),
        st.builds(syntax.Call, words, st.tuples(loops), span=made),
        st.builds(syntax.Subset, st.sampled_from(["any", "some"]) | inner, inner, span=made),
        st.builds(syntax.Alternatives, tuples(inner, 2), span=made),
        st.builds(syntax.Unary, st.sampled_from(["-", "not"]), inner, span=made),
        st.builds(syntax.Binary, st.sampled_from(OPERATORS), inner, inner, span=made),
        st.builds(syntax.Conditional, inner, inner, inner, span=made),
    )


expressions = st.recursive(leaves, larger, max_leaves=25)


def read(text: str) -> syntax.Expression:
    (item,) = parse_space(f"space m require ({text})").items
    assert isinstance(item, syntax.Require)
    return item.condition


@settings(max_examples=300, deadline=None)
@given(expressions)
def test_a_printed_expression_reads_back_equal(node: syntax.Expression) -> None:
    assert read(print_expression(node)) == node


@settings(max_examples=100, deadline=None)
@given(expressions)
def test_printer_and_formatter_lay_out_alike(node: syntax.Expression) -> None:
    text = f"space m\n\nrequire {print_expression(node)}\n"
    try:
        found = format_space(text)
    except EpnasError:  # alternatives need parentheses there
        return
    flat = "".join(line.strip() + " " for line in found.splitlines())
    assert flat.replace(" ", "") == text.replace("\n", "").replace(" ", "")
    assert found == text or any(
        len(line) > 90 for line in [*found.splitlines(), text.splitlines()[-1]]
    )


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("((a)+(b))+c", "a + b + c"),
        ("a+(b+c)", "a + (b + c)"),
        ("(a*b) + c//2", "a*b + c // 2"),
        ("-(2^2)", "-2^2"),
        ("(-2)^2", "(-2)^2"),
        ("2^(-b)", "2^-b"),
        ("a - -b", "a - -b"),
        ("not (a) and (b or c)", "not a and (b or c)"),
        ("h [b - 1] + h[1 .. (b-1)]", "h[b-1] + h[1..b-1]"),
        ("mbconv(x, kernel = 3 | 5)", "mbconv(x, kernel=3|5)"),
        ("op(a | b, [ (a|b) ])", "op(a | b, [(a | b)])"),
        ("sum(op(s) for s in (2) of [a , b])", "sum(op(s) for s in 2 of [a, b])"),
        ("(k+1) of h[1..3]", "(k + 1) of h[1..3]"),
        ("(a if b else c) if d else (e if f else g)", "(a if b else c) if d else e if f else g"),
        ("5e6 + 5.0", "5000000 + 5.0"),
    ],
)
def test_few_parentheses(text: str, printed: str) -> None:
    assert print_expression(read(text)) == printed


def test_calls_with_bodies() -> None:
    text = "m: x = f(x) { y = g(x); h[b+1] = y; return y }"
    (statement,) = parse_architecture(text).bodies[0].statements
    assert isinstance(statement, syntax.Assign)
    assert print_expression(statement.value) == "f(x) { y = g(x); h[b+1] = y; return y }"


# --- layouts -----------------------------------------------------------------------------------

UGLY = """# top


# two
space m(a = 1 , b=2)   # head
op:=a|b( kernel= 3 | 5, x = 2 + 3 )# trail
   |c   # why c
   # own
   |d | e



cell normal,reduction / 2(x,y){ # open

  level b in 1 .. n - 1 { h[b + 1] = op( h [b-1] )+-op(y) ; z = 2*-3^2//4 % 1
  }
  # before close

}
network(image){return (a if not b and c<=d else e)
}
cell e (x) { }
require any of[ h[1 .. n - 1] ] == sum( op(s)|x for s in (k+1) of [a,  # first
b]) ;share by(cell,block); treat none as zero
# end"""

NEAT = """# top

# two
space m(a=1, b=2)  # head
op := a | b(kernel=3|5, x=2 + 3)  # trail
    | c  # why c
    # own
    | d | e

cell normal, reduction/2 (x, y) {  # open

    level b in 1..n-1 {
        h[b+1] = op(h[b-1]) + -op(y)
        z = 2*-3^2 // 4 % 1
    }
    # before close
}
network (image) {
    return (a if not b and c <= d else e)
}
cell e (x) {
}
require any of [h[1..n-1]] == sum(op(s) | x for s in (k + 1) of [a,  # first
    b])
share by (cell, block)
treat none as zero
# end
"""


def test_layout() -> None:
    assert format_space(UGLY) == NEAT


def test_long_lines_are_broken() -> None:
    text = f"""space m
op := {" | ".join(f"operation_{i}" for i in range(12))}
def f(x) {{
    x = stack(x, [{", ".join(f"normal{i}*repeats" for i in range(9))}], channels=channels*2)
    return conv_3x3_of_a_long_name(x) + conv_5x5_of_a_long_name(x) + conv_7x7_of_a_long_name(x)
}}
"""
    assert (
        format_space(text)
        == """space m
op := operation_0 | operation_1 | operation_2 | operation_3 | operation_4 | operation_5
    | operation_6 | operation_7 | operation_8 | operation_9 | operation_10 | operation_11
def f(x) {
    x = stack(
        x,
        [normal0*repeats, normal1*repeats, normal2*repeats, normal3*repeats, normal4*repeats,
            normal5*repeats, normal6*repeats, normal7*repeats, normal8*repeats],
        channels=channels*2)
    return conv_3x3_of_a_long_name(x) + conv_5x5_of_a_long_name(x) + conv_7x7_of_a_long_name(x)
}
"""
    )


@pytest.mark.parametrize("name", names("spaces"))
def test_published_spaces_keep_their_meaning(name: str) -> None:
    text = resource("spaces", name).read_text(encoding="utf-8")
    assert parse_space(format_space(text)) == parse_space(text)


SPREAD = ["", "", "", " ", "\n", "\n\n\n", "  # comment\n", "\n# alone\n", "\n\n\t#\n\n"]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([*names("spaces"), ""]))
def test_meaning_and_comments_stay_and_twice_is_once(data: st.DataObject, name: str) -> None:
    text = resource("spaces", name).read_text(encoding="utf-8") if name else NEAT
    pieces = [text]
    for token in reversed(tokenize(Source("", text))):
        if token.type == "COMMENT" or (token.start_pos or 0) == 0:
            continue
        start = token.start_pos or 0
        between = data.draw(st.sampled_from(SPREAD))
        pieces[-1:] = [pieces[-1][start:], between, pieces[-1][:start]]
    spread = "".join(reversed(pieces))
    once = format_space(spread)
    assert format_space(once) == once
    assert parse_space(once) == parse_space(text)
    assert once.count("#") == spread.count("#")
    assert "\n\n\n" not in once


@settings(max_examples=30, deadline=None)
@given(st.lists(expressions, min_size=1, max_size=4))
def test_made_statements_keep_their_meaning(values: list[syntax.Expression]) -> None:
    body = ";".join(f"x=({print_expression(v)})" for v in values)
    text = f"space m\ndef f(a) {{ {body} }}"
    once = format_space(text)
    assert parse_space(once) == parse_space(text)
    assert format_space(once) == once


@pytest.mark.parametrize(
    "text", ["f(a | " * 62 + "1" + ")" * 62, "a^" * 190 + "1", "-" * 190 + "1"]
)
def test_what_the_limits_allow_is_printed(text: str) -> None:
    assert read(print_expression(read(text))) == read(text)
    assert format_space(format_space(f"space m op := {text}"))


def test_a_row_broken_before_an_alternative_is_broken_alike_again() -> None:
    once = format_space(f"space m op := a | none | (kernel | {'(' * 62}4{')' * 62})")
    assert once.count("\n    | ") == 1
    assert format_space(once) == once


def test_a_row_with_breaks_inside_and_outside_is_broken_alike_again() -> None:
    long = " and ".join(f"operand_number_{i}" for i in range(9))
    once = format_space(f"space m source := [] | f([({long})]) - channels if last(h) == 1 else []")
    assert format_space(once) == once
