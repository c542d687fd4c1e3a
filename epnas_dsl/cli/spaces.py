"""Turn .space files into findings, layouts, tables, counts, samples and pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from epnas_dsl.cli import arguments
from epnas_dsl.cli.terminal import document, note, progress, say, show, table, write
from epnas_dsl.errors import ConfigError, Diagnostic, EpnasError, nearest

if TYPE_CHECKING:
    from epnas_dsl.space.search_space import SearchSpace

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
SECTION = re.compile(r"^## ([EW]\d{3}) (.*)$", re.MULTILINE)


@click.command("init")
@click.argument("name")
def init_command(name: str) -> None:
    """Write a commented starter NAME.space."""
    from epnas_dsl.lang.loading import read_space

    path = Path(name if name.endswith(".space") else f"{name}.space")
    starter = Path(__file__).with_name("starter.space").read_text(encoding="utf-8")
    text = re.sub(r"\bNAME\b", lambda _: path.stem, starter)
    text = re.sub(r"\bFILE\b", lambda _: str(path), text)
    try:
        read_space(text, str(path))
    except EpnasError:
        raise ConfigError(
            f"`{path.stem}` cannot be the name of a space", code="E508",
            hint="letters, digits and underscores, and none of the language's keywords",
        ) from None  # fmt: skip
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            f"`{path}` exists, and is left as it is", code="E506", hint="choose another name"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot write `{path}`: {error.strerror}", code="E505") from None
    note(f"wrote {path}; next: epnas check {path}")


@click.command("check")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@as_json
def check_command(files: tuple[str, ...], as_json: bool) -> int:
    """Find all that is wrong, or odd, in .space files."""
    from epnas_dsl.lang.loading import check
    from epnas_dsl.space.counting import count_raw

    reports, status = [], 0
    for file in files:
        space, findings = check(file)
        stem = file.partition("(")[0].strip().removesuffix(".space").rpartition("/")[2]
        if space and space.name != stem:
            findings.append(Diagnostic(
                "W008", f"the space `{space.name}` is in a file of another name, {file}",
                hint=f"rename it {space.name}.space, so that its architectures' texts find it",
            ))  # fmt: skip
        errors = [f for f in findings if not f.is_warning]
        plain = [f.to_json() for f in findings]
        reports.append({"file": file, "ok": not errors, "findings": plain})
        status = max(status, *(2 if f.code.startswith("E5") else 1 for f in errors), 0)
        if not as_json:
            show(findings)
        numbers = {"error": len(errors), "warning": len(findings) - len(errors)}
        counted = ", ".join(f"{n} {word}{'s' * (n != 1)}" for word, n in numbers.items())
        if space is None:
            note(f"{file}: {counted}")
        else:
            found = f"{space.depth} levels, {count_raw(space):,} architectures"
            note(f"{file}: ok, {found}" + (f"; {counted}" if findings else ""))
    if as_json:
        document(files=reports)
    return status


@click.command("explain")
@click.argument("code", required=False)
def explain_command(code: str | None) -> None:
    """Explain the code of an error, or list all."""
    sections = _sections()
    if code is None:
        table((name, text.partition("\n")[0]) for name, text in sorted(sections.items()))
        return
    name = code.strip().upper()
    if name not in sections:
        hint = nearest(name, sections) or "`epnas explain` lists them"
        raise ConfigError(f"there is no code `{code}`", code="E507", hint=hint)
    say(f"{name} {sections[name]}")


def _sections() -> dict[str, str]:
    """For each code the text of its section, the title on the first line."""
    from epnas_dsl.resources import resource

    found = {}
    for path in sorted((resource("grammars", "space").parent / "errors").glob("*.md")):
        _, *parts = SECTION.split(path.read_text(encoding="utf-8"))
        for code, title, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            found[code] = f"{title}\n\n{text.strip()}"
    return found


@click.command("format")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=Path)
@click.option("--check", is_flag=True, help="Change nothing; show what would change.")
def format_command(files: tuple[Path, ...], check: bool) -> int:
    """Give .space files the canonical layout."""
    import difflib

    from epnas_dsl.lang.formatter import format_space
    from epnas_dsl.lang.loading import read_text

    status = 0
    for path in files:
        if path.suffix == ".arch":
            hint = "`epnas convert FILE --from epnas --to epnas` prints its one layout"
            raise ConfigError(f"`{path}` is an architecture, not a space", code="E501", hint=hint)
        text = read_text(path)
        result = format_space(text, str(path))
        if result == text:
            continue
        status = 1 if check else 0
        if check:
            lines = text.splitlines(), result.splitlines()
            say("\n".join(difflib.unified_diff(*lines, str(path), str(path), lineterm="")))
        else:
            write(path, result)
        note(f"{'would format' if check else 'formatted'} {path}")
    return status


@click.command("show")
@click.argument("space")
@as_json
@click.option("--sharing", is_flag=True, help="Which operations share weights.")
def show_command(space: str, as_json: bool, sharing: bool) -> None:
    """Show decisions, levels and exact counts."""
    from epnas_dsl.cli import listings
    from epnas_dsl.space.counting import count_raw, count_unordered

    found = arguments.space(space)
    if sharing:
        rows = listings.sharing(found)
        if as_json:
            plain = [{"weights": r.key, "operation": r.operation, "places": r.places,
                      "operations": r.users} for r in rows]  # fmt: skip
            document(space=found.name, share_by=found.sharing, sharing=plain)
        else:
            say(f"share by {', '.join(found.sharing)}")
            say()
            head = ("weights", "places", "one for each", "shared by")
            table([head, *listings.shared_rows(rows)], right=(1,))
        return
    if as_json:
        document(**listings.facts(found))
        return
    say(f"{found.name}  {found.digest}")
    say("parameters  " + (", ".join(f"{k}={v}" for k, v in found.parameters.items()) or "none"))
    say(f"share by    {', '.join(found.sharing)}")
    for requirement in found.requirements:
        say(f"require     {requirement.text}  (not part of the counts below)")
    say()
    head = ("level", "decision", "options", "")
    options = [(d.level, d.name, d.size, _shown(listings.options(d))) for d in found.decisions]
    if options:
        table([head, *options], right=(0, 2))
        say()
    sizes = [(i, f"{r:,}", f"{u:,}") for i, r, u in listings.level_sizes(found)]
    total = ("all", f"{count_raw(found):,}", f"{count_unordered(found):,}")
    table([("level", "raw", "unordered"), *sizes, total], right=(0, 1, 2))


def _shown(options: list[str], width: int = 72) -> str:
    """As many options as fit a line."""
    text = " | ".join(option or "(none)" for option in options)
    return text if len(text) <= width else text[: width - 3] + "..."


@click.command("count")
@click.argument("space")
@click.option("--level", type=int, metavar="L", help="Architectures of this level only.")
@click.option("--unordered", is_flag=True, help="Operands of + commute.")
@click.option("--unique", is_flag=True, help="Up to the declared equivalence; what is required.")
@as_json
def count_command(
    space: str, level: int | None, unordered: bool, unique: bool, as_json: bool
) -> None:
    """Count the architectures of a space exactly.

    Without --unique these are the assignments of its decisions, whether or not they meet what the
    space requires. With it, those that meet it and differ under the declared equivalence: by a
    counting argument where one holds, otherwise by looking at each of up to 2,000,000.
    """
    from epnas_dsl.space import counting

    if unordered and unique:
        raise ConfigError("--unordered or --unique, not both", code="E530")
    found = arguments.space(space)
    check_level(found, level)
    kind = "unique" if unique else "unordered" if unordered else "raw"
    if unique:
        count = counting.count_unique(found, level, progress("looked at"), tell=note)
    else:
        count = (counting.count_unordered if unordered else counting.count_raw)(found, level)
        if found.requirements:
            note("the requirements are not looked at; --unique meets them")
    if as_json:
        document(space=found.name, level=level or found.depth, kind=kind, count=count)
    else:
        say(count)


def check_level(space: SearchSpace, level: int | None) -> None:
    """Refuse a level that the space does not have."""
    if level is not None and not 1 <= level <= space.depth:
        raise ConfigError(
            f"there is no level {level}; those of {space.name} go from 1 to {space.depth}",
            code="E533",
        )


@click.command("sample")
@click.argument("space")
@click.option("-n", "number", type=click.IntRange(0), default=1, help="How many (1).")
@click.option("--seed", type=click.IntRange(0), default=0, help="Another seed, others (0).")
@click.option("--level", type=int, metavar="L", help="Of this level; by default of full length.")
def sample_command(space: str, number: int, seed: int, level: int | None) -> None:
    """Print random architectures, one a line.

    All are equally likely. They name their space by its path where its name would not find it.
    """
    import numpy as np

    from epnas_dsl.space.expansion import sample

    found = arguments.space(space)
    check_level(found, level)
    generator = np.random.default_rng(seed)
    text = arguments.printer(found)
    for start in range(0, number, 100):
        for architecture in sample(found, min(100, number - start), generator, level):
            say(text(architecture))


@click.command("draw")
@click.argument("what", metavar="SPACE|ARCH")
@click.option("-o", "--out", required=True, type=Path, help=".svg .png .pdf .dot .html")
@click.option("--body", metavar="CELL", help="This cell only, or `network`.")
@click.option("--network", is_flag=True, help="The whole network of an architecture.")
@click.option("--image", default="3x32x32", help="For --network: channels, height, width.")
@click.option("--space", is_flag=True, help="The space of an architecture, its choices in bold.")
@click.option(
    "--diff", metavar="ARCH", help="What changes from it to this one, as `epnas diff` has it."
)
@click.option("--dark", is_flag=True, help="Light on dark.")
def draw_command(
    what: str, out: Path, body: str | None, network: bool, image: str, space: bool,
    diff: str | None, dark: bool,
) -> None:  # fmt: skip
    """Draw a space or an architecture."""
    from epnas_dsl.lang.loading import is_architecture
    from epnas_dsl.space import drawing

    shape = arguments.image(image)
    if not is_architecture(what):
        if network or space or diff:
            raise ConfigError(
                "--network, --space and --diff are for architectures", code="E530",
                hint="`epnas sample` gives some",
            )  # fmt: skip
        dot = drawing.draw_space(arguments.space(what), body)
    elif space:
        architecture = arguments.architecture(what)
        dot = drawing.draw_space(architecture.space, body, architecture)
    elif network:
        dot = drawing.draw_network(arguments.architecture(what), shape)
    elif diff:
        first, second = map(arguments.architecture, (what, diff))
        dot = drawing.diff_cells(first, second, body)
    else:
        dot = drawing.draw_cell(arguments.architecture(what), body)
    note(f"wrote {drawing.render(dot, out, dark)}")
