"""Turn names, paths and texts into search spaces and architectures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from random import Random
from shlex import quote
from textwrap import shorten

from epnas_dsl.errors import (
    ArchitectureError,
    ConfigError,
    Diagnostic,
    EpnasError,
    LimitError,
    SpaceErrors,
    SpaceSyntaxError,
    Span,
    nearest,
)
from epnas_dsl.lang.bindings import locate
from epnas_dsl.lang.lowering import lower
from epnas_dsl.lang.matching import match_architecture
from epnas_dsl.lang.parser import parse_architecture, parse_reference, parse_space
from epnas_dsl.lang.syntax import Genotype, Keyword, Number, Unary
from epnas_dsl.resources import names, resource
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.graph import network_layers
from epnas_dsl.space.requirements import idle_requirements
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.shapes import costs
from epnas_dsl.space.terms import Number as Value

MAX_BYTES = 1 << 20
MAX_FILES, MAX_HEAD = 200, 1 << 14  # of a folder, looked at for the head of a space
IMAGE = (3, 32, 32)
MIXED_LAYERS = 1_000  # after which no alternatives are combined at random any more
MAX_LAYERS = 8_000  # that are worked out to check the shapes of one level


def load_space(reference: str | Path, **parameters: Value) -> SearchSpace:
    """A search space by its name, its path, or either with parameters: `micro(blocks=3)`.

    Raises:
        SpaceError: there is no such file, or it has errors (all of them are reported).
    """
    path, given = find_space(reference)
    return read_space(read_text(path), str(path), **{**given, **parameters})


def read_space(text: str, name: str = "<text>", **parameters: Value) -> SearchSpace:
    """A search space from its text.

    Args:
        name: what to call the text in messages.

    Raises:
        SpaceError: the text has errors (all of them are reported).
    """
    return lower(parse_space(text, name), parameters)[0]


def read_architecture(text: str, space: SearchSpace, name: str = "<text>") -> Architecture:
    """An architecture of a space from its text.

    Raises:
        ArchitectureError: it does not fit the space.
        SpaceError: it does not parse.
    """
    return match_architecture(parse_architecture(text, name), space)


def find_space(reference: str | Path, folder: Path = Path()) -> tuple[Path, dict[str, Value]]:
    """The file that a name or path stands for, and the parameters written behind it.

    A name stands for the file `NAME.space` in the folder or the current one, or else for the
    built-in space. So does the name in front of an architecture's text.
    """
    if isinstance(reference, Path):
        given: dict[str, Value] = {}
        name = str(reference)
    else:
        if is_architecture(reference):
            raise ConfigError(
                f"`{shorten(reference, 60, placeholder=' ..')}` is an architecture, not a space",
                code="E501", hint="it is for `epnas summary`, `draw`, `compile` and `train`; what "
                "stands before the colon of its text is its space",
            )  # fmt: skip
        name, keywords = parse_reference(reference)
        given = {k.name: _value(k) for k in keywords}
    path = Path(name)
    file = path if path.suffix == ".space" else Path(f"{name}.space")
    for found in (folder / file, file, path):
        if is_file(found):
            return found, given
    if file == path:
        return path, given
    if name in names("spaces"):
        return resource("spaces", name), given
    known = sorted({*names("spaces"), *(p.stem for p in Path().glob("*.space"))})
    raise ConfigError(
        f"there is no space `{name}`; built in are {', '.join(sorted(names('spaces')))}",
        code="E501", hint=_describing(name, folder) or nearest(name, known)
        or "give the path of its file, also in front of a text's colon: `folder/mine.space: ..`",
    )  # fmt: skip


def _describing(name: str, folder: Path) -> str:
    """A hint at the file of another name that describes a space; empty where there is none."""
    head = re.compile(rf"^\s*space\s+{re.escape(name)}\b".encode(), re.MULTILINE)
    for path in sorted({*folder.glob("*.space"), *Path().glob("*.space")})[:MAX_FILES]:
        with suppress(OSError), path.open("rb") as file:
            if head.search(file.read(MAX_HEAD)):
                return f"it is in {path}; give this path, also in front of a text's colon"
    return ""


def is_architecture(word: str) -> bool:
    """Whether a word that may be a space or an architecture is the latter."""
    path, _, rest = word.partition("(")
    is_text = ":" in rest or (":" in path and not any(map(is_file, (path, f"{path}.space"))))
    return word == "-" or word.endswith(".arch") or is_text


def is_file(path: str | Path) -> bool:
    """Whether there is such a file; what is too long for a path is none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _value(keyword: Keyword) -> Value:
    node = keyword.value
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Unary) and node.operator == "-" and isinstance(node.operand, Number):
        return -node.operand.value
    raise ConfigError(
        f"the parameter {keyword.name} needs a number", code="E502", span=keyword.span
    )


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """The text of a file.

    Raises:
        ConfigError: it cannot be read, or is no text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 4)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", code="E503") from None
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SpaceSyntaxError(
            f"{path} is no text: byte {error.start} is not UTF-8", code="E013"
        ) from None


def check(
    path: str | Path, text: str | None = None, **parameters: Value
) -> tuple[SearchSpace | None, list[Diagnostic]]:
    """Everything that can be said about a .space file: all its errors, or else its warnings.

    Besides the text, networks are worked out (not built) until every alternative was in one.
    """
    path, given = find_space(path) if text is None else (Path(path), {})
    try:
        syntax = parse_space(read_text(path) if text is None else text, str(path))
        space, warnings = lower(syntax, {**given, **parameters})
        check_shapes(space)
        warnings += idle_requirements(space)
    except EpnasError as error:
        return None, list(error.diagnostics)
    return space, warnings


def check_shapes(space: SearchSpace, most: int = 64) -> None:
    """Work out networks of the first and the last level until every alternative was in one.

    Then all where there are few, otherwise some at random, so that alternatives of different
    decisions meet. Where decisions are large or networks deep, as many as `most` and `MAX_LAYERS`
    allow.

    Raises:
        SpaceErrors: some do not fit together.
    """
    errors: dict[object, EpnasError] = {}
    for level in dict.fromkeys([space.depth, 1]):
        decisions = [d for row in space.levels[:level] for d in row]
        left = MAX_LAYERS
        turns = min(max((d.size for d in decisions), default=1), most)
        for turn, choices in enumerate(_combinations([d.size for d in decisions], most)):
            if turn >= turns and left < MAX_LAYERS - MIXED_LAYERS:
                break
            try:
                layers = network_layers(Architecture(space, choices), IMAGE)
                left -= max(len(layers), space.places)
                costs(layers, IMAGE)
            except EpnasError as error:
                errors.setdefault((error.diagnostics[0].code, error.diagnostics[0].span), error)
                if isinstance(error, LimitError):  # smaller ones would take as long
                    raise SpaceErrors(errors.values()) from None
                left -= max(MAX_LAYERS // most, space.places)
            if len(errors) >= 8 or left <= 0:
                break
    if errors:
        raise SpaceErrors(errors.values())


def _combinations(sizes: list[int], most: int) -> Iterator[Sequence[int]]:
    """Choices of all decisions in turn, so that each alternative is in one; then all, or random."""
    turns = min(max(sizes, default=1), most)
    for turn in range(turns):
        yield [_spread(turn, size, turns) for size in sizes]
    generator = Random(0)
    if math.prod(sizes) <= most:
        yield from product(*map(range, sizes))
    else:
        yield from ([generator.randrange(size) for size in sizes] for _ in range(most))


def _spread(turn: int, size: int, turns: int) -> int:
    """Small decisions in rotation, large ones in steps."""
    return turn % size if size <= turns else turn * (size - 1) // max(1, turns - 1)


def load_architecture(source: str | Path, space: SearchSpace | None = None) -> Architecture:
    """An architecture from its text, or from the path of a file that holds it.

    Args:
        space: the space that it belongs to; by default the one that it names by its path, or by
            its name: a `.space` file of that name beside the file or in the current folder, or else
            built in.

    Raises:
        ArchitectureError: it does not fit its space.
        SpaceError: it does not parse, or its space has errors.
    """
    name, folder = "<text>", Path()
    text = str(source)
    if isinstance(source, Path) or (":" not in text or text.endswith(".arch")):
        path = Path(source)
        if path.suffix == ".space" or not is_file(path):
            said, only = "neither an architecture's text nor a file", "resnet"
            hint = "a text begins with the name of its space: `micro: h1 = ..`"
            with suppress(EpnasError):
                if find_space(text)[0].suffix == ".space":
                    said, only = "a space, not an architecture", text
                    hint = f"`epnas sample {quote(text)}` prints architectures of it"
            hint += f"; where nothing is chosen, `{only}:` is the only one"
            raise ArchitectureError(f"`{text}` is {said}", code="E308", hint=hint)
        text, name, folder = read_text(path), str(path), path.parent
    node = parse_architecture(text, name)
    return match_architecture(node, space or _space_of(node, folder))


def _space_of(node: Genotype, folder: Path) -> SearchSpace:
    try:
        return named_space(node.space, {k.name: _value(k) for k in node.arguments}, folder)
    except EpnasError as error:
        start = node.span.start
        locate(error, Span(node.span.source, start, start + len(node.space)))
        raise


def named_space(name: str, parameters: Mapping[str, Value], folder: Path = Path()) -> SearchSpace:
    """The space that an architecture names: of a file beside it or in the current folder, or ours.

    Raises:
        SpaceError, ConfigError: there is none, or it has errors.
    """
    path, _ = find_space(name, folder)
    return read_space(read_text(path), str(path), **parameters)
