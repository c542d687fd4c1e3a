"""Turn architectures into our own text and JSON, and back."""

from __future__ import annotations

import json

from epnas_dsl.errors import ArchitectureError, Source
from epnas_dsl.lang.literals import read_literal, wrong
from epnas_dsl.lang.loading import load_architecture, named_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.terms import pick

SCHEMA = 1  # of our JSON


def read_epnas(source: Source, space: SearchSpace | None) -> Architecture:
    """The language's own text, or the path of a file."""
    return load_architecture(source.text.strip(), space)


def to_json(architecture: Architecture) -> dict[str, object]:
    """An architecture as plain data, without loss."""
    space = architecture.space
    pairs = zip(space.decisions, architecture.choices, strict=False)
    return {
        "schema": SCHEMA,
        "space": space.name,
        "parameters": space.changed,
        "digest": space.digest,
        "text": architecture.text,
        "decisions": {d.name: print_term(d.term, pick(d.term, n), {}) for d, n in pairs},
        "choices": list(architecture.choices),
    }


def print_json(architecture: Architecture) -> str:
    """`to_json` as text."""
    return json.dumps(to_json(architecture), indent=2)


def read_json(source: Source, space: SearchSpace | None) -> Architecture:
    """The inverse of `to_json`; `decisions` and `text` are for readers, `choices` count."""
    found = read_literal(source)
    table = {k: found.entry(k) for k in ("schema", "space", "choices")} | found.table()
    if table["schema"].value != SCHEMA:
        raise wrong(f"schema {table['schema'].value}; this is for {SCHEMA}", table["schema"].span)
    if space is None:
        given = table["parameters"].table() if "parameters" in table else {}
        numbers = {k: x.value for k, x in given.items() if isinstance(x.value, int | float)}
        space = named_space(table["space"].text(), numbers)
    digest = table.get("digest")
    if digest and digest.value != space.digest:
        raise ArchitectureError(
            f"written for {space.name}@{digest.value}, which now means @{space.digest}",
            code="E304", span=digest.span, hint="its `text` may still be read, as `epnas`",
        )  # fmt: skip
    return Architecture(space, [x.whole() for x in table["choices"].items()])
