"""Turn results into standard output, and all else that a person reads into standard error."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import click

from epnas_dsl.errors import ConfigError, Diagnostic, EpnasError, printable

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1  # of every JSON document; counts up when a field changes its meaning


def say(text: object = "") -> None:
    """Put data on standard output."""
    click.echo(printable(str(text)))


def note(text: str) -> None:
    """Put a note on standard error; where nobody reads it any more, the work goes on without."""
    with contextlib.suppress(OSError):
        click.echo(printable(text), err=True)


def log(text: str) -> None:
    """Put progress on standard error, dated where nobody watches."""
    note(text if sys.stderr.isatty() else f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")


def percent(share: float) -> str:
    """An accuracy in [0, 1] as a person reads it."""
    return f"{100 * share:.2f} %"


def document(**values: object) -> None:
    """Put one JSON document on standard output."""
    import json

    click.echo(json.dumps({"schema": SCHEMA, **values}, indent=2, ensure_ascii=True))


def table(
    rows: Iterable[Sequence[object]], right: Sequence[int] = (), put: Callable[[str], None] = say
) -> None:
    """Put rows on standard output in aligned columns; those in `right` are flush right."""
    texts = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        put("  ".join(cells).rstrip())


def fail(error: EpnasError) -> None:
    """Put the findings of an error on standard error."""
    show(error.diagnostics)
    for added in getattr(error, "__notes__", []):
        note(f"  {added}")


def show(findings: Iterable[Diagnostic]) -> None:
    """Put findings on standard error, the words `error` and `warning` in colour."""
    colour = None if "NO_COLOR" not in os.environ else False
    for finding in findings:
        kind, shade = ("warning", "yellow") if finding.is_warning else ("error", "red")
        word = f"{kind} {finding.code}"
        text = str(finding).replace(word, click.style(word, fg=shade, bold=True), 1)
        click.echo(text, err=True, color=colour)


def write(path: Path, content: str | bytes) -> None:
    """Write a file of the user's, whole or not at all.

    Raises:
        ConfigError: that is not possible (E505).
    """
    from epnas_dsl.files import overwrite

    try:
        overwrite(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise ConfigError(f"cannot write `{path}`: {error.strerror}", code="E505") from None


def progress(label: str) -> Callable[[int, int], None]:
    """Shows how far a count is: a line that is written over, in a terminal only."""
    if not sys.stderr.isatty():
        return lambda done, total: None
    shown = [0.0]

    def update(done: int, total: int) -> None:
        now = time.monotonic()
        if now - shown[0] > 0.1 or done == total:
            shown[0] = now
            end = "\n" if done == total else ""
            click.echo(f"\r{label} {done:,} of {total:,}{end}", nl=False, err=True)

    return update
