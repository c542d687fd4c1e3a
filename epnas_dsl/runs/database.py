"""Turn trials into rows of an SQLite database, and back."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from epnas_dsl.errors import RunError
from epnas_dsl.files import forbidden, full, refusals
from epnas_dsl.runs.trial import Trial

VERSION = 2
APPLICATION = 0x45504E41
CHECKPOINT = re.compile(r"\d{6,}\.ckpt")

_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE trials (
    number INTEGER PRIMARY KEY, architecture TEXT NOT NULL, id TEXT NOT NULL, key TEXT NOT NULL,
    level INTEGER NOT NULL, state TEXT NOT NULL, metrics TEXT NOT NULL, notes TEXT NOT NULL,
    message TEXT NOT NULL, started REAL NOT NULL, ended REAL NOT NULL,
    checkpoint TEXT NOT NULL, digest TEXT NOT NULL, seal TEXT NOT NULL
) STRICT;
"""
_MADE = {sql.strip() for sql in _TABLES.split(";") if sql.strip()}
_COLUMNS = tuple(field.name for field in dataclasses.fields(Trial))


def create(path: Path) -> None:
    """Make the database of a new run, without trials and without facts."""
    with translated(path), contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA application_id = {APPLICATION}")
        database.execute(f"PRAGMA user_version = {VERSION}")
        database.executescript(_TABLES)


def write_facts(path: Path, facts: Mapping[str, object]) -> None:
    """Lay down what never changes again, as JSON by name."""
    with translated(path), contextlib.closing(sqlite3.connect(path)) as database, database:
        rows = [(name, json.dumps(value)) for name, value in facts.items()]
        database.executemany("INSERT INTO facts VALUES (?, ?)", rows)


@contextlib.contextmanager
def connect(path: Path, writing: bool) -> Iterator[sqlite3.Connection]:
    """The trials' database; read-only, it needs no right to write its folder."""
    with contextlib.ExitStack() as closing, translated(path):
        if writing:
            database = closing.enter_context(contextlib.closing(sqlite3.connect(path)))
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA journal_mode = WAL")
        else:
            database = closing.enter_context(_reader(path))
        yield database
        if writing:
            with contextlib.suppress(sqlite3.OperationalError):
                # One file, without its log: easy to move, readable on a read-only disk.
                database.execute("PRAGMA journal_mode = DELETE")


@contextlib.contextmanager
def _reader(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        database.execute("SELECT 1 FROM sqlite_master").fetchall()
    except sqlite3.OperationalError:
        # A log left by a crash in a folder that we may not write: read a copy of both.
        with tempfile.TemporaryDirectory() as copy:
            for file in path.parent.glob("run.db*"):
                if not file.name.endswith("-shm"):
                    shutil.copy(file, copy)
            with contextlib.closing(sqlite3.connect(Path(copy) / "run.db")) as database:
                yield database
        return
    with contextlib.closing(database):
        yield database


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as what they mean to a person."""
    with refusals(path):
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.DatabaseError, ValueError, RecursionError) as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith("SQLITE_FULL"):
                raise full(path) from error
            if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN")):
                raise forbidden(path) from error
            if name.startswith("SQLITE_IOERR"):
                hint = "nothing recorded is lost: once the disk works, `epnas resume` goes on"
                message = f"`{path}` could not be read or written: {error}"
                raise RunError(message, code="E704", hint=hint) from error
            hint = "nothing was overwritten; `sqlite3 run.db .recover` may save what is readable"
            raise RunError(f"`{path}` is damaged: {error}", code="E704", hint=hint) from error


def check(database: sqlite3.Connection, path: Path) -> None:
    """Make sure that a database is whole, of a run, and of this version.

    Raises:
        RunError: it is another program's (E702), of another version (E705), or damaged (E704).
    """
    with translated(path):
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION:
            message = f"`{path.parent}` is no run folder: run.db was written by another program"
            raise RunError(message, code="E702")
        if version != VERSION:
            message = f"`{path.parent}` has version {version}; this program reads {VERSION}"
            hint = "use the version of epnas that made the run"
            raise RunError(message, code="E705", hint=hint)
        made = {sql for (sql,) in database.execute("SELECT sql FROM sqlite_master") if sql}
        if made != _MADE:  # a view or a trigger could keep us busy for ever
            raise sqlite3.DatabaseError("its tables are not those of a run")
        findings = database.execute("PRAGMA quick_check(1)").fetchall()
        if findings != [("ok",)]:
            raise sqlite3.DatabaseError(findings[0][0])


class Facts(msgspec.Struct, frozen=True):
    """What was laid down when the run was made.

    Attributes:
        files: the texts of the settings and of the space, by the files' names.
        parameters: of the space.
        space: the hash of the space's meaning.
    """

    files: dict[Literal["config.toml", "search.space"], str]
    parameters: dict[str, int | float]
    space: str


def read_facts(database: sqlite3.Connection) -> Facts:
    """What was laid down when the run was made."""
    found = database.execute("SELECT name, value FROM facts").fetchall()
    return msgspec.convert({name: json.loads(value) for name, value in found}, Facts)


def insert(database: sqlite3.Connection, trials: Iterable[Trial], instead: bool = False) -> None:
    """Record trials, all or none; when this returns, they are on the disk.

    Args:
        instead: put them in the place of those of their numbers; else there must be none.
    """
    verb = "REPLACE" if instead else "INSERT"
    rows = [[_cell(getattr(trial, name)) for name in _COLUMNS] for trial in trials]
    marks = ", ".join("?" * len(_COLUMNS))
    with database:
        database.executemany(
            f"{verb} INTO trials VALUES ({marks}, ?)", [[*row, _seal(row)] for row in rows]
        )


def _cell(value: object) -> object:
    return json.dumps(dict(value)) if isinstance(value, Mapping) else value


def _seal(row: Sequence[object]) -> str:
    """The SHA-256 of a row: a bit that flips in a number leaves a database whole, but not this."""
    return hashlib.sha256(repr(tuple(row)).encode()).hexdigest()


def select(database: sqlite3.Connection) -> list[Trial]:
    """The recorded trials, by number.

    Raises:
        sqlite3.DatabaseError: a row is not the one that was written.
    """
    found = []
    for *row, seal in database.execute("SELECT * FROM trials ORDER BY number"):
        if _seal(row) != seal:
            raise sqlite3.DatabaseError(f"trial {row[0]} has changed")
        values = dict(zip(_COLUMNS, row, strict=True))
        values |= {name: json.loads(values[name]) for name in ("metrics", "notes")}
        if values["checkpoint"] and not CHECKPOINT.fullmatch(values["checkpoint"]):
            raise sqlite3.DatabaseError(f"trial {row[0]} names no checkpoint")
        found.append(msgspec.convert(values, Trial))
    return found


def checkpoints(database: sqlite3.Connection, count: int) -> set[str]:
    """The names of the last few checkpoints that a trial names."""
    query = "SELECT DISTINCT checkpoint FROM trials WHERE checkpoint != ''"
    rows = database.execute(f"{query} ORDER BY checkpoint DESC LIMIT ?", (count,))
    return {name for (name,) in rows}
