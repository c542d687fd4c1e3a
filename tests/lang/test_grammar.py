"""The grammars: free of conflicts, in step with the nodes, the transformer and the reference."""

from __future__ import annotations

import re

import pytest
from lark import Lark

from epnas_dsl.errors import Source, SpaceNameError
from epnas_dsl.lang import parser, syntax
from epnas_dsl.resources import names, resource
from epnas_dsl.space import operations
from epnas_dsl.space.operations import OPERATIONS

FILES = ("space", "expressions", "architecture")
STARTS = {"space": ["space", "item"], "architecture": ["genotype", "arguments"]}
REFERENCE = resource("grammars", "space").with_name("README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)`(.*?) \| (.*?) \| (.*) \|$", REFERENCE, re.MULTILINE)
SAMPLES = re.findall(r"^```(\w+)\n(.*?)^```", REFERENCE, re.MULTILINE | re.DOTALL)


def grammar(name: str, lexer: str = "basic") -> Lark:
    path = str(resource("grammars", name))
    return Lark.open(path, parser="lalr", lexer=lexer, start=STARTS[name], propagate_positions=True)


def rules_of(name: str) -> list[str]:
    text = resource("grammars", name).read_text(encoding="utf-8")
    return re.findall(r"^\??([a-z_]+):", text, re.MULTILINE)


def trees(lark: Lark) -> set[str]:
    """The names of the trees that the grammar can give."""
    found = set()
    for rule in lark.rules:
        kept = [s for s in rule.expansion if not getattr(s, "filter_out", False)]
        single = rule.options.expand1 and len(kept) == 1 and not rule.alias
        found |= set() if single else {str(rule.alias or rule.origin.name)}
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("lexer", ["basic", "contextual"])
def test_is_lalr_without_conflicts(name: str, lexer: str) -> None:
    assert grammar(name, lexer).rules


def test_every_rule_has_its_method_or_its_class_and_every_method_its_rule() -> None:
    methods = {name for name in vars(parser._ToSyntax) if not name.startswith("_")}
    rules = trees(grammar("space")) | trees(grammar("architecture"))
    assert methods <= rules
    for rule in rules - methods:
        assert issubclass(parser.node_class(rule), syntax.Node)


def test_every_node_has_its_rule() -> None:
    rules = {name.title().replace("_", "") for file in STARTS for name in trees(grammar(file))}
    nodes = {
        name for name, kind in vars(syntax).items()
        if isinstance(kind, type) and issubclass(kind, syntax.Node)
    }  # fmt: skip
    assert nodes - rules == {"Node"}


def test_reference_follows_the_rules() -> None:
    headings = re.findall(r"^### (.*)$", REFERENCE, re.MULTILINE)
    described = [name for heading in headings for name in re.findall(r"`(\w+)`", heading)]
    rules = [rule for file in FILES for rule in rules_of(file)]
    assert described == [*rules, "call"]  # an %extend is no rule of its own


def test_every_rule_has_a_sample() -> None:
    _, *sections = re.split(r"^### ", REFERENCE, flags=re.MULTILINE)
    bare = [s.splitlines()[0] for s in sections if "```" not in s]
    assert bare == ["`item`"]


@pytest.mark.parametrize(("kind", "text"), SAMPLES)
def test_samples_of_the_reference_parse(kind: str, text: str) -> None:
    match kind:
        case "space":
            parser.parse_space(text)
        case "items":
            parser.parse_space(f"space sample\n{text}")
        case "statements":
            parser.parse_space(f"space sample\ndef f(x) {{\n{text}}}")
        case "expression":
            parser.parse_space(f"space sample\nop := ({text})")
        case "architecture":
            parser.parse_architecture(text)
        case "python":
            compile(text, "sample", "exec")
        case _:
            pytest.fail(f"no such kind of sample: {kind}")


@pytest.mark.parametrize("name", names("spaces"))
def test_pieces_parse_as_the_whole_does(name: str) -> None:
    text = resource("spaces", name).read_text(encoding="utf-8")
    tree = grammar("space").parse(text, start="space")
    assert parser._ToSyntax(Source(name, text)).transform(tree) == parser.parse_space(text)


def test_resources_are_found_by_name() -> None:
    assert set(names("grammars")) == set(FILES)
    assert resource("spaces", "micro").name == "micro.space"
    with pytest.raises(SpaceNameError) as caught:
        resource("spaces", "mikro")
    assert caught.value.diagnostics[0].hint == "did you mean `micro`?"


def test_the_reference_lists_the_operations_as_they_are() -> None:
    told = {name: row for name, *row in ROWS if name in OPERATIONS}
    found = {}
    for spec in OPERATIONS.values():
        given = [n if d is None or isinstance(d, str) else f"{n}={d}" for n, d in spec.parameters]
        sized = [x.name for x in OPERATIONS.values() if x.build is spec.build and x is not spec]
        names = "".join(f" `{x.removeprefix(spec.name)}`" for x in sized if not spec.fixed)
        about = (spec.build.__doc__ or "").splitlines()[0]
        if "kernel" not in dict(spec.fixed):
            found[spec.name] = [names, ", ".join(given), about]
    assert told == found


def test_the_plugin_of_the_reference_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "OPERATIONS", dict(OPERATIONS))
    (text,) = (sample for kind, sample in SAMPLES if kind == "python")
    exec(text, {})
    assert operations.OPERATIONS["ghost_3x3"].fixed == (("kernel", 3),)
