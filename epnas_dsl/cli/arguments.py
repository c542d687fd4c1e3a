"""Turn the words SPACE, ARCH and IMAGE of a command line into what they stand for."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from epnas_dsl.cli.terminal import note
from epnas_dsl.errors import ArchitectureError, ConfigError, EpnasError

if TYPE_CHECKING:
    from epnas_dsl.config import Config
    from epnas_dsl.space.architecture import Architecture
    from epnas_dsl.space.search_space import SearchSpace

MAX_TEXT = 1 << 16
_TRIAL = re.compile(r"(?P<run>[^=;]*):(?P<trial>best(?:\(.*\))?|\d{1,9})")


def architecture(word: str) -> Architecture:
    """The architecture of a text, an .arch file, `-` (standard input), or a trial `DIR:best`.

    A trial is also named by its number, or by a condition: `DIR:17`, `DIR:best(params<2e6)`.

    Raises:
        ArchitectureError: there is none, or it does not fit its space, or misses a requirement.
        SpaceError: it does not parse, or its space has errors.
        RunError: there is no such run, or no such trial in it.
    """
    from epnas_dsl.lang.loading import is_file, load_architecture
    from epnas_dsl.space.measures import check_requirements

    if found := _TRIAL.fullmatch(word):  # it was searched, so it met them
        from epnas_dsl import experiment

        return experiment.recorded(Path(found["run"]), found["trial"])
    if word == "-":
        text = sys.stdin.read(MAX_TEXT + 1)
        if ":" not in text:
            raise ArchitectureError(
                "no architecture came on standard input", code="E308",
                hint="a text begins with the name of its space: `micro: h1 = ..`",
            )  # fmt: skip
        word = text.removesuffix("\n")
    path = Path(word.removesuffix(":"))
    if any(is_file(path / name) for name in ("run.db", "runs.toml")):
        raise ArchitectureError(
            f"`{path}` is a run, not an architecture; its best is `{path}:best`", code="E308"
        )
    architecture = load_architecture(word)
    told(architecture.space)
    check_requirements(architecture)
    return architecture


def space(word: str) -> SearchSpace:
    """The space of a name or a path, with parameters if wanted.

    Notes what is odd: another space than the built-in one of its name, and architectures that do
    not fit together, as far as a few of them show it (some 8; `check` tries some 64).
    """
    from epnas_dsl.lang.loading import check_shapes, load_space

    found = told(load_space(word))
    try:
        check_shapes(found, most=8)
    except EpnasError as error:
        first = error.diagnostics[0]
        note(f"some architectures of {found.name} cannot be built: {first.code}, {first.message}")
        note(f"  `epnas check {shlex.quote(word)}` shows where")
    return found


def printer(space: SearchSpace) -> Callable[[Architecture], str]:
    """Writes architectures so that this program finds their space again."""
    name = _found_by(space)
    return lambda architecture: name + str(architecture).removeprefix(space.name)


def _found_by(space: SearchSpace) -> str:
    """What texts call a space: its name, or where that is found otherwise, the path of its file."""
    from epnas_dsl.lang.loading import find_space, is_file, read_text
    from epnas_dsl.lang.parser import parse_architecture

    with suppress(EpnasError):
        if read_text(find_space(space.name)[0]) == space.source:
            return space.name
    file = space.network.span.source.name if space.network.span else ""
    with suppress(EpnasError):  # not every path can stand in a text
        return parse_architecture(f"{file}:").space if is_file(Path(file)) else space.name
    return space.name


def told(space: SearchSpace) -> SearchSpace:
    """Note where a space is another one than the built-in one of its name."""
    from epnas_dsl.resources import names, resource

    if space.name in names("spaces"):
        text = resource("spaces", space.name).read_text(encoding="utf-8")
        if space.source != text:
            note(f"this `{space.name}` is that of a file, not the built-in one")
    return space


def text(word: str) -> tuple[str, str]:
    """What to call a text in messages, and the text: of a file, of standard input, or the word."""
    from epnas_dsl.lang.loading import is_file, read_text

    if word == "-":
        return "<stdin>", sys.stdin.read(MAX_TEXT + 1)
    if is_file(Path(word)):
        return word, read_text(Path(word), MAX_TEXT)
    if re.fullmatch(r"[\w./\\~-]+\.[A-Za-z]\w{0,5}", word):
        raise ArchitectureError(f"there is no file `{word}`", code="E309")
    return "<text>", word


def run_of(word: str) -> Path | None:
    """The run's folder in `DIR:best`; None for another kind of word."""
    found = _TRIAL.fullmatch(word)
    return Path(found["run"]) if found else None


def image(text: str | None, arch: str = "") -> tuple[int, int, int]:
    """Channels, height and width of `3x32x32`; without a text those of the run that ARCH names.

    Raises:
        ConfigError: it is written otherwise, or out of range (E532).
    """
    if text is None:
        from epnas_dsl import experiment

        run = run_of(arch)
        return experiment.image_of(run) if run else (3, 32, 32)
    found = re.fullmatch(r"(\d{1,4})x(\d{1,5})x(\d{1,5})", text)
    numbers = tuple(map(int, found.groups())) if found else ()
    if len(numbers) != 3 or min(numbers) < 1:
        raise ConfigError(
            f"`{text}` is no size of images", code="E532",
            hint="channels, height and width: `--image 3x32x32`",
        )  # fmt: skip
    channels, height, width = numbers
    return channels, height, width


def seeds(text: str) -> list[int]:
    """The numbers of `0..4` or `1,7,9`.

    Raises:
        ConfigError: it is written otherwise (E530), or names more than 10,000.
    """
    try:
        first, dots, last = text.partition("..")
        found = range(int(first), int(last) + 1) if dots else [int(n) for n in text.split(",")]
    except ValueError:
        found = []
    if not 0 < len(found) <= 10_000 or min(found) < 0:
        raise ConfigError(f"`{text}` names no seeds", code="E530", hint="`0..4` or `1,7,9`")
    return list(dict.fromkeys(found))


def settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options from which `config` makes settings."""
    for option in (
        click.option("--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE",
                     help="One setting; may be repeated."),
        click.option("--config", "file", help="Settings from a TOML file."),
        click.option("--data", help="digits, cifar10, cifar100, mnist, fashionmnist, "
                     "imagefolder:PATH."),
    ):  # fmt: skip
        command = option(command)
    return command


preset = click.option(
    "--preset", type=click.Choice(["paper", "fast"]),
    help="The usual settings; or those for some hundred trials.",
)  # fmt: skip
minutes = click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), default=math.inf, show_default=False,
    metavar="M", help="Stop after so long, with exit status 3; it can be gone on with.",
)  # fmt: skip


def config(
    words: Sequence[str],
    file: str | None,
    data: str | None,
    assignments: Sequence[str],
    usual: Config | None = None,
    preset: Literal["paper", "fast"] | None = None,
) -> Config:
    """The settings of a file (or the usual ones), then a preset, the words, those of `--set`.

    Raises:
        ConfigError: some are unknown or wrong.
    """
    from epnas_dsl import config
    from epnas_dsl.space.operations import load_operations

    found = config.load_config(file) if file else usual or config.Config()
    found = config.preset(found, preset) if preset else found
    found = config.override(found, [*words, *([f"data.name={data}"] if data else []), *assignments])
    if found.plugin:
        load_operations(found.plugin)
    return found


def free_folder(name: str) -> Path:
    """`runs/NAME`, or with the next number where that is taken."""
    first = re.sub(r"[^\w.-]+", "-", name)
    names = [first, *(f"{first}-{i}" for i in range(2, 10_000))]
    return next(p for p in (Path("runs", name) for name in names) if not p.exists())
