"""Turn a text into the syntax nodes of `syntax.py`, or into all of its errors at once.

The grammars are files of their own (`grammars/`). A .space text is cut at its top-level items
first and every item is parsed alone, so that one error does not hide the next.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lark import Lark, Token, UnexpectedToken, v_args
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive

from epnas_dsl.errors import (
    EpnasError,
    LimitError,
    Source,
    SpaceErrors,
    SpaceSyntaxError,
    Span,
    nearest,
)
from epnas_dsl.lang import lexer, syntax
from epnas_dsl.lang.mistakes import Mistake, explain, explain_start
from epnas_dsl.resources import resource

SPACE_BYTES = 2**20
ARCHITECTURE_BYTES = 2**16
TOKENS = 100_000
WHOLE = 160, 600  # brackets and depth of an architecture's text: any is read that is written
ERRORS = 100  # that are reported of one text
_WORDS = {"NAME": "a name", "INT": "a number", "FLOAT": "a number", "COMPARISON": "a comparison"}
_GATHERED = {"alternatives", "list", "share"}  # rules of which all parts make one field


def parse_space(text: str, name: str = "<text>") -> syntax.Space:
    """The nodes of a .space text; `name` is what messages call it.

    Raises:
        SpaceSyntaxError: it does not parse.
        LimitError: it is larger than the stated limits.
        SpaceErrors: more than one of these.
    """
    source = lexer.read(text, name, SPACE_BYTES, "E902")
    chunks, errors = _chunks(source)
    errors += _head_errors(source, chunks)
    parts: list[Any] = []
    for chunk in chunks:
        if len(errors) >= ERRORS:
            break
        if error := explain_start(source, chunk.tokens):
            errors.append(error)
        elif not chunk.broken:
            start = "space" if chunk.tokens[0] == "space" else "item"
            node = _parse("space", start, source, chunk)
            (errors if isinstance(node, EpnasError) else parts).append(node)
    _raise(errors)
    head, *items = parts
    space: syntax.Space = replace(head, items=tuple(items), span=head.span.to(parts[-1].span))
    return space


def parse_architecture(text: str, name: str = "<text>") -> syntax.Genotype:
    """The nodes of an architecture's text.

    Raises:
        SpaceSyntaxError, LimitError, SpaceErrors: as for `parse_space`.
    """
    source = lexer.read(text, name, ARCHITECTURE_BYTES, "E903")
    genotype: syntax.Genotype = _parse_whole("genotype", source)
    return genotype


def parse_reference(text: str) -> tuple[str, tuple[syntax.Keyword, ...]]:
    """The name or path and the arguments of a space as named on a command line.

    `micro`, `micro(blocks=3)` and `my folder/my.space(blocks=3)` are such. Arguments begin at
    the first `(` that a name and `=` follow; other brackets belong to the path.

    Raises:
        SpaceSyntaxError, LimitError, SpaceErrors: the arguments do not parse.
    """
    source = lexer.read(text, "<argument>", ARCHITECTURE_BYTES, "E903")
    found = re.search(r"\(\s*([A-Za-z_][A-Za-z0-9_]*\s*=|\)\s*$)", source.text)
    start = found.start() if found else len(source.text)
    name = source.text[:start].strip()
    if not name:
        span = Span(source, 0, start)
        raise SpaceSyntaxError("no space is named", code="E012", span=span, hint="as in `micro`")
    return name, _parse_whole("arguments", source, start) if found else ()


def tokenize(source: Source, grammar: str = "space", start: int = 0) -> list[Token]:
    """The tokens of a text from an offset on, with its comments.

    Raises:
        LimitError: more than `TOKENS` (E902).
    """
    text = re.sub(r"[^\n]", " ", source.text[:start]) + source.text[start:]
    lexed = _grammar(grammar).lex(text, dont_ignore=True)
    tokens = list(itertools.islice((t for t in lexed if t.type != "BLANK"), TOKENS + 1))
    if len(tokens) > TOKENS:
        message = f"{source.name} has more than {TOKENS:,} words and signs"
        raise LimitError(message, code="E902", span=lexer.span_of(source, tokens[-1]))
    return tokens


@functools.cache
def _grammar(name: str) -> Lark:
    """The parser of a grammar, made on first use.

    Its tables are kept beside the compiled form of this module, like it and where it may be
    written: that saves a tenth of a second at every start.
    """
    tables: str | bool = False
    if not sys.dont_write_bytecode:
        tables = importlib.util.cache_from_source(str(Path(__file__).with_name(f"{name}.py")))
        tables = str(Path(tables).with_suffix(".tables"))
    return Lark.open(
        str(resource("grammars", name)),
        parser="lalr",
        lexer="basic",
        start=["space", "item"] if name == "space" else ["genotype", "arguments"],
        propagate_positions=True,
        cache=tables,
    )


def _chunks(source: Source) -> tuple[list[lexer.Chunk], list[EpnasError]]:
    """A .space text cut at its items; those with errors in tokens or brackets are marked."""
    tokens = [token for token in tokenize(source) if token.type != "COMMENT"]
    errors = lexer.check_tokens(source, tokens)
    chunks, unmatched = lexer.cut(source, [token for token in tokens if token.type != "UNKNOWN"])
    places = [d.span.start for error in errors for d in error.diagnostics if d.span][:ERRORS]
    for chunk in chunks:
        start, end = chunk.tokens[0].start_pos or 0, len(source.text)
        if chunk.following is not None:
            end = chunk.following.start_pos or 0
        chunk.broken |= any(start <= place < end for place in places)
    return chunks, errors + unmatched


def _head_errors(source: Source, chunks: list[lexer.Chunk]) -> list[EpnasError]:
    """The errors of a space that has no head or more than one."""
    starts = [chunk.tokens[0] for chunk in chunks]
    spans = [lexer.span_of(source, start) for start in starts] or [Span(source, 0, 0)]
    hint = "a file begins with one `space NAME`"
    errors: list[EpnasError] = []
    if not starts or (starts[0] in lexer.ITEMS[1:] or not nearest(starts[0], ("space",))):
        message = "the head of the space is missing"
        errors.append(SpaceSyntaxError(message, code="E012", span=spans[0], hint=hint))
    for start, span in zip(starts[1:], spans[1:], strict=True):
        if start == "space":
            message = "a second head of a space"
            errors.append(SpaceSyntaxError(message, code="E011", span=span, hint=hint))
    return errors


def _parse_whole(start: str, source: Source, offset: int = 0) -> Any:
    """The node of a text of one piece, from an offset on."""
    tokens = [t for t in tokenize(source, "architecture", offset) if t.type != "COMMENT"]
    errors = lexer.check_tokens(source, tokens)
    brackets = lexer.Brackets(source, *WHOLE)
    for token in tokens:
        brackets.feed(token)
    if brackets.open:
        brackets.forget(None)
    _raise(errors + brackets.errors)
    node = _parse("architecture", start, source, lexer.Chunk(tokens))
    _raise([node] if isinstance(node, EpnasError) else [])
    return node


def _parse(grammar: str, start: str, source: Source, chunk: lexer.Chunk) -> Any:
    """The node of a piece of text, or its first error."""
    lark = _grammar(grammar)
    parser, at = lark.parse_interactive(start=start), 0
    try:
        for at, token in enumerate(chunk.tokens):  # noqa: B007 - the error wants to know
            parser.feed_token(token)
        at = len(chunk.tokens)
        tree = parser.feed_token(Token("$END", ""))
    except UnexpectedToken:
        accepted = _accepted(lark, start, chunk.tokens[:at])
        return explain(Mistake(source, chunk.tokens, at, chunk.following, accepted))
    return _ToSyntax(source).transform(tree)


def _accepted(lark: Lark, start: str, tokens: Iterable[Token]) -> frozenset[str]:
    """What may follow the tokens. Parsed anew, as the parser that failed has moved on already."""
    parser = lark.parse_interactive(start=start)
    for token in tokens:
        parser.feed_token(token)
    words = {t.name: t.pattern.value for t in lark.terminals if t.pattern.type == "str"} | _WORDS
    return frozenset(words[name] for name in parser.accepts() if name in words)


def _raise(errors: Iterable[EpnasError]) -> None:
    found = list(errors)
    if len(found) == 1:
        raise found[0]
    if found:
        raise SpaceErrors(found[:ERRORS])


@v_args(meta=True, inline=True)
class _ToSyntax(Transformer_NonRecursive[Token, Any]):
    """Builds the node of every rule: of the class of its name, from its parts in their order.

    A rule has a method where its parts are not the fields; a trailing `_` keeps a rule's name apart
    from Python's keyword.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(visit_tokens=False)
        self.source = source

    def __default__(self, data: str, children: Iterable[Any], meta: Meta) -> syntax.Node:
        parts = [x.value if isinstance(x, Token) else x for x in children]
        fields = [tuple(parts)] if data in _GATHERED else parts
        node: syntax.Node = node_class(data)(*fields, span=self._span(meta))
        return node

    def _span(self, meta: Meta) -> Span:
        return Span(self.source, meta.start_pos, meta.end_pos)

    def _at(self, token: Token) -> Span:
        return lexer.span_of(self.source, token)

    def binary(
        self, meta: Meta, left: syntax.Expression, operator: Token, right: syntax.Expression
    ) -> syntax.Binary:
        return syntax.Binary(operator.value, left, right, span=self._span(meta))

    def number(self, meta: Meta, token: Token) -> syntax.Number:
        return syntax.Number(number(token), span=self._span(meta))

    def call(self, meta: Meta, name: Token, *parts: Any) -> syntax.Call:
        body = parts[-1] if parts and isinstance(parts[-1], tuple) else None
        return syntax.Call(
            name.value,
            tuple(p for p in parts if not isinstance(p, syntax.Keyword | tuple)),
            tuple(p for p in parts if isinstance(p, syntax.Keyword)),
            body,
            self._at(name),
            span=self._span(meta),
        )

    def assign(self, meta: Meta, name: Token, *parts: syntax.Expression) -> syntax.Assign:
        *index, value = parts
        place = index[0] if index else None
        return syntax.Assign(name.value, place, value, self._at(name), span=self._span(meta))

    def space(self, meta: Meta, name: Token, *parts: Any) -> syntax.Space:
        parameters = tuple(p for p in parts if isinstance(p, syntax.Parameter))
        items = parts[len(parameters) :]
        return syntax.Space(name.value, parameters, items, self._at(name), span=self._span(meta))

    def production(
        self, meta: Meta, name: Token, *alternatives: syntax.Expression
    ) -> syntax.Production:
        return syntax.Production(name.value, alternatives, self._at(name), span=self._span(meta))

    def cell(self, meta: Meta, *parts: Any) -> syntax.Cell:
        *names, inputs, body = parts
        return syntax.Cell(tuple(names), inputs, body, span=self._span(meta))

    def cell_name(self, meta: Meta, name: Token, stride: str = "1") -> syntax.CellName:
        return syntax.CellName(name.value, int(stride), span=self._span(meta))

    def function(self, meta: Meta, name: Token, *parts: Any) -> syntax.Function:
        *parameters, body = parts
        return syntax.Function(
            name.value, tuple(parameters), body, self._at(name), span=self._span(meta)
        )

    def coordinate(self, meta: Meta, token: Token) -> syntax.Name:
        return syntax.Name(token.value, span=self._span(meta))

    def block(self, meta: Meta, *parts: Any) -> tuple[Any, ...]:
        return parts

    inputs = arguments = block

    def genotype(self, meta: Meta, name: Token, *parts: Any) -> syntax.Genotype:
        return syntax.Genotype(
            name.value,
            next((p for p in parts if isinstance(p, tuple)), ()),
            tuple(p for p in parts if isinstance(p, syntax.Body)),
            next((p[1:] for p in parts if isinstance(p, Token)), ""),
            span=self._span(meta),
        )

    def plain_body(self, meta: Meta, *statements: syntax.Statement) -> syntax.Body:
        return syntax.Body("", statements, span=self._span(meta))


@functools.cache
def node_class(rule: str) -> Any:
    """The class of the nodes of a rule: `cell_name` gives a `CellName`."""
    return getattr(syntax, rule.title().replace("_", ""))


def number(text: str) -> int | float:
    """The value of a number: whole ones of at most nine digits without a point are int."""
    if text.replace("_", "").isdigit():
        return int(text)
    value = float(text)
    whole = "." not in text and value.is_integer() and value < 10**lexer.INTEGER
    return int(value) if whole else value
