"""Turn an architecture into other notations, its differences from another, its neighbours."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from epnas_dsl.cli import arguments
from epnas_dsl.cli.spaces import as_json
from epnas_dsl.cli.terminal import document, note, say, table
from epnas_dsl.errors import ConfigError, nearest
from epnas_dsl.lang.notations import NOTATIONS, from_notation, to_notation

if TYPE_CHECKING:
    from epnas_dsl.space.difference import Change

ABOUT = "\n".join(f"  {name:11}  {notation.about}" for name, notation in NOTATIONS.items())
EXAMPLES = """\n
\b
  epnas convert genotype.txt --from darts --to epnas
  epnas convert runs/darts:best --from epnas --to nni"""
STATUSES = {"same": "same", "changed": "changed", "first": "only in A", "second": "only in B"}
SIGNS = {"same": "=", "changed": "~", "first": "-", "second": "+"}


def _known(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if value not in NOTATIONS:
        hint = nearest(value, NOTATIONS) or f"there are {', '.join(NOTATIONS)}"
        raise ConfigError(f"there is no notation `{value}`", code="E530", hint=hint)
    return value


NOTATION: Any = {"metavar": "NOTATION", "callback": _known, "required": True}


@click.command("convert", epilog=f"\b\nNotations:\n{ABOUT}{EXAMPLES}")
@click.argument("text", metavar="TEXT|FILE|ARCH")
@click.option("--from", "source", **NOTATION, help="What TEXT is written in.")
@click.option("--to", "target", **NOTATION, help="What to write.")
@click.option("--space", help="The space to read it in; by default the notation's own.")
@as_json
def convert_command(text: str, source: str, target: str, space: str | None, as_json: bool) -> None:
    """Translate from and to other notations."""
    from epnas_dsl.space.measures import check_requirements

    if source == "epnas" and space is None:
        found = arguments.architecture(text)
    else:
        name, read = arguments.text(text)
        found = from_notation(read, source, arguments.space(space) if space else None, name)
        check_requirements(found)
    written = to_notation(found, target)
    if as_json:
        document(space=found.space.name, notation=target, text=written, architecture=str(found))
    else:
        say(written)


@click.command("diff", epilog="\b\n  epnas diff old.arch runs/micro:best -o diff.svg")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("-o", "--out", type=Path, help="Draw it too: .svg .png .pdf .dot .html")
@click.option("--body", metavar="CELL", help="This cell only, or `network`.")
@as_json
def diff_command(
    first: str, second: str, out: Path | None, body: str | None, as_json: bool
) -> None:
    """Show how two architectures differ.

    Blocks that compute the same belong together whatever they are called: `=` is in both, `~`
    changed (first A's, then B's, in the names of A), `-` only in A, `+` only in B. The picture goes
    from A to B. Of two spaces that differ, what is fixed is compared too.
    """
    from epnas_dsl.space.difference import difference

    a, b = arguments.architecture(first), arguments.architecture(second)
    changes = difference(a, b)
    if body is not None:
        own = {n: c.name for x in (a, b) for c in x.space.bodies for n in c.names}
        if body not in own:
            raise ConfigError(f"there is no cell `{body}`; there are {', '.join(own)}",
                              code="E804", hint=nearest(body, own))  # fmt: skip
        shown = body if any(c.body == body for c in changes) else own[body]
        changes = [c for c in changes if c.body == shown]
    if out:
        from epnas_dsl.space import drawing

        note(f"wrote {drawing.render(drawing.diff_cells(a, b, body), out)}")
    same = a.space.digest == b.space.digest and a.key == b.key
    if as_json:
        rows = [
            {"body": c.body, "status": c.status, "a": c.labels[0], "b": c.labels[1],
             "a_text": c.texts[0], "b_text": c.texts[1]}
            for c in changes
        ]  # fmt: skip
        document(a=str(a), b=str(b), equal=same, blocks=rows)
    else:
        for name in dict.fromkeys(c.body for c in changes):
            say(name)
            table([row for c in changes if c.body == name for row in _lines(c)])
        counts = [f"{sum(c.status == s for c in changes)} {name}" for s, name in STATUSES.items()]
        say(", ".join(counts) + "; the two are equal under the equivalence of the space" * same)


def _lines(change: Change) -> list[tuple[str, str, str]]:
    (ours, theirs), texts = change.labels, [t for t in change.texts if t]
    label = ours if ours == theirs or not theirs else f"{ours} (B: {theirs})" if ours else theirs
    head = (f"  {SIGNS[change.status]}", label, texts[0])
    after = texts[-1] if texts[-1] != texts[0] else "written alike; what it calls differs"
    return [head, ("", "", after)] if change.status == "changed" else [head]


@click.command("neighbours", epilog="\b\n  epnas neighbours runs/micro:best -n 10 --seed 1")
@click.argument("arch")
@click.option("-n", "number", type=click.IntRange(0), help="So many, at random; by default all.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Another seed, others (0).")
@click.option("--all-texts", is_flag=True, help="Also those equal under the space's equivalence.")
@as_json
def neighbours_command(
    arch: str, number: int | None, seed: int, all_texts: bool, as_json: bool
) -> None:
    """List what is one decision away.

    One architecture a line; they are of the same level and meet the requirements of the space.
    They name their space as `epnas sample` does.
    """
    import numpy as np

    from epnas_dsl.space.neighbours import count_changes, neighbours

    architecture = arguments.architecture(arch)
    generator = None if number is None else np.random.default_rng(seed)
    found = islice(neighbours(architecture, generator, all_texts), number)
    total = count_changes(architecture)
    text = arguments.printer(architecture.space)
    if as_json:
        listed = [{"architecture": text(a), "id": a.id} for a in found]
        document(architecture=text(architecture), changes=total, neighbours=listed)
        return
    shown = 0
    for neighbour in found:
        say(text(neighbour))
        shown += 1
    sys.stdout.flush()
    note(f"{shown:,} neighbours; {total:,} ways to make one decision otherwise")
