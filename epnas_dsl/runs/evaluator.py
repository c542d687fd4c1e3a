"""Turn an architecture into metrics: the protocol, and the evaluator that looks them up."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Protocol

from epnas_dsl.errors import DataError, EpnasError, Source, Span, nearest
from epnas_dsl.space.architecture import Architecture

MAX_BYTES = 1 << 28  # of a table, unpacked
_HINT = "a table is a CSV file with a header, `arch` in it, plain or packed by gzip (.gz)"


class Evaluator(Protocol):
    """Measures architectures, one after the other; without state, it has nothing to save."""

    def evaluate(self, architecture: Architecture, number: int) -> dict[str, float]:
        """The metrics of an architecture; `accuracy` in [0, 1] guides the search.

        Args:
            architecture: of any level.
            number: the trial's; with the run's seed, the only source of randomness.
        """

    def save(self, path: Path) -> None:
        """Write all that the next evaluation depends on; without such state, write nothing."""
        return

    def load(self, path: Path) -> None:
        """Become the evaluator that saved this file, whatever happened since."""
        return


class TabularEvaluator(Evaluator):
    """Looks metrics up in a CSV of architectures measured before.

    The column `arch` holds the architectures' texts. An architecture has the row with exactly its
    text; if there is none, the mean of all rows that compute the same (have its canonical key):
    so a low level is found under the complete architectures that it equals, and no luck of one
    training among several decides.

    The metric becomes `accuracy`; if its column holds values above 1 it is taken as percent, and
    divided by 100. Reported columns keep their names and their values.

    Args:
        path: a CSV file with a header, or one packed by gzip (`.gz`).
        metric: the column that guides the search.
        report: the columns to keep with each trial; none means all that hold only numbers.
        read: makes an architecture of a text in the column `arch`.

    Raises:
        DataError: the file cannot be read (E650), lacks a column (E651), or holds a cell that is
            no number (E652), a text that is no architecture (E653), an accuracy beyond 0 to 100
            (E655).
    """

    def __init__(
        self,
        path: str | Path,
        metric: str,
        report: Sequence[str],
        read: Callable[[str], Architecture],
    ) -> None:
        self._table = _Table(path, ("arch", metric, *report))
        self.metric = metric
        numeric = [name for name in self._table.header if self._table.is_numeric(name)]
        self.report = tuple(report) or tuple(numeric)
        self._values = {n: self._table.numbers(n) for n in {metric, *self.report}}
        self._scale = self._percent_or_share()
        self._architectures = [self._read(i, read) for i in range(len(self._table.rows))]
        self._rows: dict[Architecture, list[int]] = {}
        for i, architecture in enumerate(self._architectures):
            self._rows.setdefault(architecture, []).append(i)

    def evaluate(self, architecture: Architecture, number: int) -> dict[str, float]:
        """The means over the rows of an architecture, or else over the rows equal to it.

        Raises:
            DataError: the table has no architecture that computes the same (E654).
        """
        rows = self._rows.get(architecture) or self.alike.get(architecture.key, [])
        if not rows:
            message = f"the table `{self._table.source.name}` has no row for `{architecture}`"
            raise DataError(message, code="E654")
        metrics = {name: fmean(self._values[name][i] for i in rows) for name in self.report}
        return metrics | {
            "accuracy": fmean(self._values[self.metric][i] for i in rows) / self._scale
        }

    @cached_property
    def alike(self) -> dict[str, list[int]]:
        """The rows of each canonical key; made when it is first needed, for it takes a while."""
        found: dict[str, list[int]] = {}
        for i, architecture in enumerate(self._architectures):
            found.setdefault(architecture.key, []).append(i)
        return found

    def _read(self, row: int, read: Callable[[str], Architecture]) -> Architecture:
        text = self._table.cell(row, "arch")
        try:
            return read(text)
        except EpnasError as error:
            reason = error.diagnostics[0]
            message = f"this is no architecture of the space: {reason.message}"
            span = self._table.span(row, "arch")
            raise DataError(message, code="E653", span=span, hint=reason.hint) from error

    def _percent_or_share(self) -> float:
        values = self._values[self.metric]
        for i, value in enumerate(values):
            if not 0 <= value <= 100:
                message = f"`{self.metric}` is {value:g}; expected 0 to 1, or 0 to 100 percent"
                raise DataError(message, code="E655", span=self._table.span(i, self.metric))
        return 100.0 if max(values) > 1 else 1.0


class _Table:
    """The cells of a CSV file, and where each of them stands."""

    def __init__(self, path: str | Path, columns: Sequence[str]) -> None:
        self.source = Source(str(path), _read_text(path))
        lines = csv.reader(io.StringIO(self.source.text, newline=""), strict=True)
        self.rows: list[list[str]] = []
        self._lines: list[int] = []
        try:
            self.header = next(lines, [])
            self._require(columns)
            for row in lines:
                if row:
                    self.rows.append(row)
                    self._lines.append(lines.line_num)
                    self._check_width(len(self.rows) - 1)
        except csv.Error as error:
            span = self._line_span(lines.line_num)
            raise DataError(
                f"this is not CSV: {error}", code="E650", span=span, hint=_HINT
            ) from None
        if not self.rows:
            raise DataError(f"the table `{path}` has no rows", code="E650", hint=_HINT)

    def cell(self, row: int, column: str) -> str:
        return self.rows[row][self.header.index(column)].strip()

    def is_numeric(self, column: str) -> bool:
        return all(math.isfinite(value) for value in self._floats(column))

    def numbers(self, column: str) -> list[float]:
        """The values of a column.

        Raises:
            DataError: a cell is no finite number (E652).
        """
        values = list(self._floats(column))
        for i, value in enumerate(values):
            if not math.isfinite(value):
                message = f"`{self.cell(i, column)}` in the column `{column}` is no number"
                raise DataError(message, code="E652", span=self.span(i, column))
        return values

    def span(self, row: int, column: str) -> Span:
        """Where a cell stands."""
        line = self._line_span(self._lines[row])
        cell = self.cell(row, column)
        before = sum(len(c) + 1 for c in self.rows[row][: self.header.index(column)])
        start = self.source.text.find(cell, line.start + before, line.end) if cell else -1
        return line if start < 0 else Span(self.source, start, start + len(cell))

    def _floats(self, column: str) -> Iterator[float]:
        at = self.header.index(column)
        for row in self.rows:
            try:
                yield float(row[at])
            except ValueError:
                yield math.nan

    def _require(self, columns: Sequence[str]) -> None:
        for name in columns:
            if name not in self.header:
                hint = nearest(name, self.header) or "it has " + ", ".join(self.header[:20])
                message = f"the table has no column `{name}`"
                raise DataError(message, code="E651", span=self._line_span(1), hint=hint)
            if self.header.count(name) > 1:
                message = f"the table has several columns `{name}`"
                raise DataError(message, code="E651", span=self._line_span(1))

    def _check_width(self, row: int) -> None:
        if len(self.rows[row]) != len(self.header):
            message = f"this row has {len(self.rows[row])} cells; the header has {len(self.header)}"
            raise DataError(message, code="E652", span=self._line_span(self._lines[row]))

    def _line_span(self, line: int) -> Span:
        line = min(max(line, 1), len(self.source.line_starts))
        start = self.source.line_starts[line - 1]
        return Span(self.source, start, start + len(self.source.line(line)))


def _read_text(path: str | Path) -> str:
    try:
        with gzip.open(path) if str(path).endswith(".gz") else Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
        text = data.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"cannot read the table `{path}`: {reason}", code="E650", hint=_HINT
        ) from None
    if not text.strip():
        raise DataError(f"the table `{path}` is empty", code="E650", hint=_HINT)
    return text
