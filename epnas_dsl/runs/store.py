"""Turn trials into a folder on disk from which no crash can take them.

    config.toml    every setting           checkpoints/  shared weights after the last two trials
    search.space   the space's text        report.html, best.arch, best.svg   for people
    run.db         the trials (SQLite)     run.lock      held by the one writer

A checkpoint is written first, then the row that names it: a crash between the two leaves a file
that no row names, and the next writer removes it. A new folder counts as a run once it has its
run.db, which comes last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from epnas_dsl.config import Config, dump_toml, load_config
from epnas_dsl.errors import RunError
from epnas_dsl.files import make_folder, refusals, sha256, sync, write_whole
from epnas_dsl.runs import database
from epnas_dsl.runs.trial import Trial

KEPT_CHECKPOINTS = 2
OURS = re.compile(r"\d{6,}\.ckpt(\.\d+\.partial)?")  # nothing else is removed from `checkpoints`
PATIENCE = 0.2  # seconds for a lock: who looks at a run holds it for a moment, a writer for long
_LOCKS = {"run.lock", "run.lock.holder"}


def create(
    path: str | Path,
    config: Config,
    space_text: str,
    parameters: Mapping[str, float] | None = None,
    digest: str = "",
) -> Store:
    """Make a run folder and open it for writing.

    Args:
        path: a folder that does not exist yet, or is empty; the others are as in `Store`.

    Raises:
        RunError: the place is taken (E701) or locked (E703), the disk is full (E706), or writing
            is not allowed (E707).
    """
    folder = Path(path)
    with contextlib.ExitStack() as held:
        held.enter_context(claimed(folder))
        unfinished = folder / "run.db.partial"
        for leftover in folder.glob("run.db.partial-*"):
            leftover.unlink()
        unfinished.write_bytes(b"")  # never absent: it tells a failed start from other files
        database.create(unfinished)
        (folder / "checkpoints").mkdir(exist_ok=True)
        texts = {"config.toml": dump_toml(config), "search.space": space_text}
        for name, text in texts.items():
            write_whole(folder / name, text.encode())
        facts = {"files": texts, "parameters": dict(parameters or {}), "space": digest}
        database.write_facts(unfinished, facts)
        os.replace(unfinished, folder / "run.db")
        sync(folder)
        return Store(folder, writing=True, held=held.pop_all())


class Store:
    """A run folder, open.

    Attributes:
        path: the folder.
        config: the settings of the run.
        space_text: the whole text of the space.
        parameters: those of the space that were given from outside.
        space_digest: the hash of the space's meaning when the run began.

    Args:
        path: the folder of a run.
        writing: take the lock, and remove what a crash left over. Without it, a run that
            another process is writing can be read.
        held: what holds the lock already, to be closed with the folder.

    Raises:
        RunError: no run folder (E702), locked by another writer (E703), damaged (E704), of
            another version (E705), full (E706), or may not be written (E707).
    """

    def __init__(
        self, path: str | Path, *, writing: bool = False, held: contextlib.ExitStack | None = None
    ) -> None:
        self.path = Path(path)
        file = self.path / "run.db"
        if not file.is_file():
            what = "is no run folder" if self.path.exists() else "does not exist"
            hint = "a run folder holds run.db; `epnas search SPACE --out DIR` makes one"
            raise RunError(f"`{path}` {what}", code="E702", hint=hint)
        self._closing = held or contextlib.ExitStack()
        try:
            if writing and not held:
                self._closing.enter_context(locked(self.path))
            self._database = self._closing.enter_context(database.connect(file, writing))
            with self._reports():
                database.check(self._database, file)
                self._read_facts()
                if writing:
                    self._clean()
        except BaseException:
            self._closing.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, *trials: Trial) -> None:
        """Record trials for good, all or none; when this returns, they are on the disk.

        Raises:
            RunError: as when opening; none of the trials is then recorded.
        """
        with self._reports():
            database.insert(self._database, trials)
            if any(trial.checkpoint for trial in trials):
                self._prune()

    def trials(self) -> list[Trial]:
        """The recorded trials, by number."""
        with self._reports():
            return database.select(self._database)

    def save_checkpoint(self, number: int, save: Callable[[Path], None]) -> tuple[str, str]:
        """Write the shared weights after a trial; they count once a trial that names them is in.

        Returns:
            The file's name and its SHA-256; both empty if `save` wrote nothing.
        """
        name = f"{number:06d}.ckpt"
        path = self.path / "checkpoints" / name
        with refusals(path):
            digest = write_whole(path, save)
        return (name, digest) if digest else ("", "")

    def amend(self, name: str, digest: str) -> list[Trial]:
        """Have the trials that name a checkpoint know it as it was written again; returns them."""
        named = [trial for trial in self.trials() if trial.checkpoint == name]
        amended = [dataclasses.replace(trial, digest=digest) for trial in named]
        with self._reports():
            database.insert(self._database, amended, instead=True)
        return amended

    def checkpoint(self, trial: Trial) -> Path | None:
        """The file of the shared weights after a trial, found whole; None if it keeps none.

        Raises:
            RunError: the file is missing or has changed (E709).
        """
        if not trial.checkpoint:
            return None
        path = self.path / "checkpoints" / trial.checkpoint
        if not path.is_file() or sha256(path) != trial.digest:
            what = "has changed" if path.is_file() else "is missing"
            hint = "the trials are whole: `epnas top` and `epnas report` work; put the file back"
            raise RunError(f"the checkpoint `{path}` {what}", code="E709", hint=hint)
        return path

    def write(self, name: str, content: str | bytes) -> Path:
        """Put a file for people into the folder; returns its path."""
        path = self.path / name
        with refusals(path):
            write_whole(path, content.encode() if isinstance(content, str) else content)
        return path

    def close(self) -> None:
        """Let go of the folder; all is on the disk already."""
        self._closing.close()

    def _reports(self) -> contextlib.AbstractContextManager[None]:
        return database.translated(self.path / "run.db")

    def _read_facts(self) -> None:
        facts = database.read_facts(self._database)
        for name, text in facts.files.items():
            path = self.path / name
            found = path.read_bytes() if path.is_file() else None
            if found != text.encode():
                what = "is missing" if found is None else "has changed since the run began"
                changes = "" if found is None else _changes(text, found.decode(errors="replace"))
                hint = "put the original file back, or start a new run with the new one"
                raise RunError(f"`{path}` {what}{changes}", code="E704", hint=hint)
        self.parameters, self.space_digest = facts.parameters, facts.space
        self.config = load_config(self.path / "config.toml")
        self.space_text = (self.path / "search.space").read_text(encoding="utf-8")

    def _clean(self) -> None:
        """Remove what a crash left over."""
        (self.path / "checkpoints").mkdir(exist_ok=True)
        for leftover in self.path.glob("*.partial"):
            leftover.unlink()
        self._prune()

    def _prune(self) -> None:
        named = database.checkpoints(self._database, KEPT_CHECKPOINTS)
        for file in (self.path / "checkpoints").iterdir():
            if file.name not in named and OURS.fullmatch(file.name):
                file.unlink(missing_ok=True)


def _changes(old: str, new: str, most: int = 20) -> str:
    """The lines in which a text differs from the one of the run's begin, as a diff shows them."""
    before, after = (text.splitlines()[:2000] for text in (old, new))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
    shown = [line[:100] for line in lines if not line.startswith("@@")]
    more = [f"... {len(shown) - most} more"] if len(shown) > most else []
    return "".join(f"\n  {line}" for line in [*shown[:most], *more])


def _check_free(folder: Path) -> None:
    """Make sure that a new run spoils nothing: what stands there is nothing, or a failed start."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"`{folder}` is a file, not a folder", code="E701")
    if any((folder / name).is_file() for name in ("run.db", "runs.toml")):
        hint = f"`epnas resume {folder}` goes on with it"
        raise RunError(f"`{folder}` holds a run already", code="E701", hint=hint)
    found = {file.name for file in folder.iterdir()} if folder.exists() else set()
    if found - _LOCKS and "run.db.partial" not in found:
        hint = "name another folder with `--out`"
        raise RunError(f"`{folder}` exists and is not empty", code="E701", hint=hint)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder's one writer; its holder is named in a file beside the lock.

    Raises:
        RunError: another process holds it (E703).
    """
    holder = folder / "run.lock.holder"
    lock = FileLock(folder / "run.lock", timeout=PATIENCE)
    with refusals(folder):
        try:
            lock.acquire()
        except Timeout:
            name = holder.read_text("utf-8", errors="replace") if holder.is_file() else ""
            name = name.strip()[:200] or "another process"
            hint = f"wait, or stop it; `epnas status {folder}` shows how far it is"
            message = f"`{folder}` is being written by {name}"
            raise RunError(message, code="E703", hint=hint) from None
        try:
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", "utf-8")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make a folder for a new run, or for several, and hold its lock.

    Raises:
        RunError: as `create`.
    """
    with refusals(folder):
        try:
            _check_free(folder)
        except RunError:
            if (folder / "run.lock").is_file():
                with locked(folder):  # says so if another process writes there at this moment
                    pass
            raise
        make_folder(folder)
        with locked(folder):
            _check_free(folder)
            yield
