"""Turn the words SPACE, ARCH and IMAGE of a command line into what they stand for."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from epnas_dsl.errors import ArchitectureError, ConfigError

if TYPE_CHECKING:
    from epnas_dsl.space.architecture import Architecture

MAX_TEXT = 1 << 16
_TRIAL = re.compile(r"(?P<run>[^=;]*):(?P<trial>best|\d{1,9})")


def architecture(word: str) -> Architecture:
    """The architecture of a text, an .arch file, `-` (standard input), or a trial `DIR:best`.

    Raises:
        ArchitectureError: there is none, or it does not fit its space.
        SpaceError: it does not parse, or its space has errors.
        RunError: there is no such run, or no such trial in it.
    """
    from epnas_dsl.lang.loading import load_architecture

    if word == "-":
        text = sys.stdin.read(MAX_TEXT + 1)
        if ":" not in text:
            raise ArchitectureError(
                "no architecture came on standard input", code="E308",
                hint="a text begins with the name of its space: `micro: h1 = ..`",
            )  # fmt: skip
        return load_architecture(text.removesuffix("\n"))
    if found := _TRIAL.fullmatch(word):
        from epnas_dsl import experiment

        return experiment.recorded(Path(found["run"]), found["trial"])
    return load_architecture(word)


def is_architecture(word: str) -> bool:
    """Whether a word that may be a space or an architecture is the latter."""
    path = word.partition("(")[0]
    return word == "-" or word.endswith(".arch") or (":" in word and not Path(path).is_file())


def image(text: str) -> tuple[int, int, int]:
    """Channels, height and width of `3x32x32`.

    Raises:
        ConfigError: it is written otherwise, or out of range (E532).
    """
    found = re.fullmatch(r"(\d{1,4})x(\d{1,5})x(\d{1,5})", text)
    numbers = tuple(map(int, found.groups())) if found else ()
    if len(numbers) != 3 or min(numbers) < 1:
        raise ConfigError(
            f"`{text}` is no size of images", code="E532",
            hint="channels, height and width: `--image 3x32x32`",
        )  # fmt: skip
    channels, height, width = numbers
    return channels, height, width
