"""Turn a token that does not fit the grammar into a message in human words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lark import Token

from epnas_dsl.errors import Source, SpaceSyntaxError, Span, nearest
from epnas_dsl.lang.lexer import ITEMS, STATEMENTS, ends_value, is_word, quote, span_of, starts_line

_OPERATORS = {"a comparison", "+", "*", "/", "//", "%", "^", "and", "or", "if", "of"}
_VALUES = {"a name", "a number", "(", "[", "-", "not", "any", "some"}
_UNNAMED = "a statement gives a value a name: `x = ..` or `h[i] = ..`"


@dataclass(frozen=True, slots=True)
class Mistake:
    """Where a text stops to fit.

    Attributes:
        tokens: of the item.
        at: index of the token that does not fit; `len(tokens)` where the item ends too early.
        following: the first token after the item.
        accepted: what would have fitted: keywords and signs, "a name", "a number", "a comparison".
    """

    source: Source
    tokens: Sequence[Token]
    at: int
    following: Token | None
    accepted: frozenset[str]

    @property
    def found(self) -> Token | None:
        """The token that does not fit."""
        return self.tokens[self.at] if self.at < len(self.tokens) else self.following

    def before(self, steps: int = 1) -> Token | None:
        """The token that many places before the one that does not fit."""
        return self.tokens[self.at - steps] if self.at >= steps else None

    def error(
        self, code: str, message: str, token: Token | None, hint: str = ""
    ) -> SpaceSyntaxError:
        """An error at a token, or behind the last one where there is none."""
        end = (self.tokens[-1].end_pos or 0) if self.tokens else len(self.source.text)
        span = span_of(self.source, token) if token is not None else Span(self.source, end, end)
        return SpaceSyntaxError(message, code=code, span=span, hint=hint)


def explain(mistake: Mistake) -> SpaceSyntaxError:
    """The error that tells what is wrong; the more particular explanations come first."""
    for rule in (_reserved, _unfinished, _equals, _choice, _adjacent, _unnamed):
        if error := rule(mistake):
            return error
    found = mistake.found
    hint = nearest(found, filter(str.isidentifier, mistake.accepted)) if found else ""
    if found and mistake.accepted == {"a name", ")"} and _starts_value(found):
        hint = "what is given by name comes last: `conv(x, 3, stride=2)`"
    message = f"found {quote(found)}, expected {expectation(mistake.accepted)}"
    return mistake.error("E001", message, found, hint)


def explain_start(source: Source, tokens: Sequence[Token]) -> SpaceSyntaxError | None:
    """The error of an item that does not begin like one; None where it does."""
    first, following = tokens[0], tokens[1] if len(tokens) > 1 else None
    mistake = Mistake(source, tokens, 0, None, frozenset())
    if is_word(first) and following in ("=", ":="):
        return _keyword(mistake, first)
    if first.value in ITEMS or (first.type == "NAME" and following == ":="):
        return None
    if first.type == "NAME" and following == "=":
        hint = f"write `{first} := ..`; `=` names a value inside braces"
        return mistake.error("E008", "`=` where a production has `:=`", following, hint)
    if first.value in STATEMENTS or following == "[":
        message = f"{quote(first)} stands outside the braces of a cell, function or network"
        return mistake.error("E001", message, first)
    hint = nearest(first, ITEMS) or f"an item is `name := ..` or begins with {_join(ITEMS)}"
    return mistake.error("E001", f"{quote(first)} does not begin an item", first, hint)


def _keyword(mistake: Mistake, token: Token) -> SpaceSyntaxError:
    message = f"`{token}` is a keyword, so it cannot be a name"
    return mistake.error("E004", message, token, f"another name will do: `{token}_`")


def _reserved(mistake: Mistake) -> SpaceSyntaxError | None:
    """`level = 3`, `x = for + 1`"""
    found, previous = mistake.found, mistake.before()
    if found is None or mistake.at == len(mistake.tokens):
        return None
    opens = found.value in STATEMENTS and starts_line(found, previous)
    if is_word(found) and "a name" in mistake.accepted and not opens:
        return _keyword(mistake, found)
    if previous is not None and is_word(previous) and found.value in ("=", ":="):
        return _keyword(mistake, previous)
    return None


def _unfinished(mistake: Mistake) -> SpaceSyntaxError | None:
    """`x = a if b`, and a text that ends too early."""
    expected = expectation(mistake.accepted)
    if "else" in mistake.accepted:
        message = f"found {quote(mistake.found)}, expected `else` or an operator"
        return mistake.error("E001", message, mistake.found, "`a if test else b` needs both values")
    if mistake.found is None:
        return mistake.error("E002", f"the text ends, expected {expected}", None)
    return None


def _equals(mistake: Mistake) -> SpaceSyntaxError | None:
    """`require a = b`, `x == 3`"""
    found = mistake.found
    if found == "=" and "a comparison" in mistake.accepted:
        hint = "to compare, write `==`"
        return mistake.error("E009", "`=` names a value and cannot stand here", found, hint)
    if found == "==" and "=" in mistake.accepted:
        hint = "to name a value, write `=`"
        return mistake.error("E009", "`==` compares and cannot stand here", found, hint)
    if found is not None and found.type == "COMPARISON" and "and" in mistake.accepted:
        hint = "write `a < b and b < c`"
        return mistake.error("E009", "comparisons cannot be chained", found, hint)
    return None


def _choice(mistake: Mistake) -> SpaceSyntaxError | None:
    """`x = a | b`, `h[1] := a`"""
    found = mistake.found
    if found == "|" and "a comparison" in mistake.accepted:
        hint = "name a choice with `x := a | b`, or put it in parentheses, `(a | b)`"
        return mistake.error("E008", "a choice cannot stand here", found, hint)
    if found in (":=", ":") and "=" in mistake.accepted:
        hint = "`:=` is for productions: `name := a | b`"
        return mistake.error("E008", f"`{found}` where `=` is expected", found, hint)
    return None


def _adjacent(mistake: Mistake) -> SpaceSyntaxError | None:
    """`op(a) op(b)`, `[a b]`"""
    found, previous, first = mistake.found, mistake.before(), mistake.before(2)
    if found is None or previous is None or mistake.at == len(mistake.tokens):
        return None
    if "+" in mistake.accepted and _starts_value(found) and ends_value(previous):
        pair, culprit = (previous, found), found
    elif (  # the second value was taken for the name of the next statement
        {"=", "["} <= mistake.accepted
        and first is not None
        and ends_value(first)
        and first.line == previous.line
    ):
        pair, culprit = (first, previous), previous
    else:
        return None
    hint = nearest(culprit, ("and", "or", "if", "else", "of", "for", "in"))
    missing = "a comma or an operator" if "," in mistake.accepted else "an operator"
    message = f"{missing} is missing between {quote(pair[0])} and {quote(pair[1])}"
    return mistake.error("E007", message, culprit, hint)


def _unnamed(mistake: Mistake) -> SpaceSyntaxError | None:
    """`op(x)`, `3 = x`"""
    found, previous = mistake.found, mistake.before()
    if {"=", "["} <= mistake.accepted and previous is not None and previous.type == "NAME":
        if previous.value in STATEMENTS:  # words of a space, names in an architecture's text
            message = f"`{previous}` has no place in an architecture's text"
            hint = "it is written out: `h1 = ..; h2 = ..`"
            return mistake.error("E010", message, previous, hint)
        hint = nearest(previous, STATEMENTS) or _UNNAMED
        message = f"found {quote(found)}, expected `=`"
        return mistake.error("E010", f"{message} after {quote(previous)}", found, hint)
    if found and "return" in mistake.accepted and _starts_value(found):
        return mistake.error("E010", f"{quote(found)} cannot be given a value", found, _UNNAMED)
    return None


def _starts_value(token: Token) -> bool:
    return token.type in ("NAME", "INT", "FLOAT") or token.value in _VALUES


def expectation(accepted: Iterable[str]) -> str:
    """What would have fitted, in words: "an expression, `)` or `,`"."""
    left, words = set(accepted), []
    if {"a name", "return"} <= left:
        words.append("a statement")
        left -= {"a name", ";", *STATEMENTS}
    elif {"a name", "("} <= left:
        words.append("an expression")
        left -= _VALUES
    if "+" in left:
        words.append("an operator")
        left -= _OPERATORS | {"-"}
    words += sorted(w for w in left if " " in w)
    words += sorted(f"`{w}`" for w in left if " " not in w)
    return _join(words) or "nothing more"


def _join(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
