"""Text to meaning: .space files and the texts of architectures."""

from epnas_dsl.lang.formatter import format_space
from epnas_dsl.lang.loading import (
    check,
    find_space,
    load_architecture,
    load_space,
    read_space,
    read_text,
)
from epnas_dsl.lang.parser import parse_architecture, parse_space

__all__ = [
    "check",
    "find_space",
    "format_space",
    "load_architecture",
    "load_space",
    "parse_architecture",
    "parse_space",
    "read_space",
    "read_text",
]
