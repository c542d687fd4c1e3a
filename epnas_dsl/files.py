"""Turn bytes into files that are whole or absent, and the system's refusals into messages."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from epnas_dsl.errors import RunError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Raise what the system refuses to do at a path as a RunError that says what to do.

    Raises:
        RunError: the disk is full (E706), writing is not allowed (E707), or anything else (E704).
    """
    try:
        yield
    except OSError as error:
        place = error.filename or path
        if error.errno in _FULL:
            raise full(place) from error
        if error.errno in _FORBIDDEN:
            raise forbidden(place) from error
        message = f"{place}: {error.strerror or error}"
        raise RunError(message, code="E704", hint="nothing was overwritten") from error


def full(path: object) -> RunError:
    """The error of a disk without room."""
    hint = "nothing recorded is lost: make room, then `epnas resume` goes on"
    return RunError(f"no room left to write `{path}`", code="E706", hint=hint)


def forbidden(path: object) -> RunError:
    """The error of a place that may not be written."""
    hint = "check its owner and permissions, or copy the run folder to a place of your own"
    return RunError(f"not allowed to write `{path}`", code="E707", hint=hint)


def write_whole(path: Path, save: Callable[[Path], None] | bytes, kept: Path | None = None) -> str:
    """Write a file so that a crash leaves the old one, the new one, or none; never a part.

    Args:
        path: the file to be.
        save: its bytes, or what writes them to the path that it is given, or writes nothing.
        kept: where the old file goes; a crash may leave it there and the path empty.

    Returns:
        The SHA-256 of the file in hex; empty if nothing was written.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        if isinstance(save, bytes):
            partial.write_bytes(save)
        else:
            save(partial)
        if not partial.exists():
            return ""
        digest = sha256(partial)
        sync(partial)
        if kept and path.exists():
            path.replace(kept)
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)
    return digest


def overwrite(path: Path, data: bytes) -> None:
    """Write a file of the user's, whole or not at all; links in a circle are an OSError.

    One that is there keeps its mode, and its owner and group where the system allows that.
    """
    target, old = Path(os.path.realpath(path)), None
    with contextlib.suppress(FileNotFoundError):
        old = target.stat()
    if old and not stat.S_ISREG(old.st_mode):  # such as /dev/stdout
        target.write_bytes(data)
        return
    partial = target.with_name(f".{target.name[:64]}.{os.getpid()}")
    try:
        partial.write_bytes(data)
        if old:
            for owner in ((-1, old.st_gid), (old.st_uid, -1)):
                with contextlib.suppress(OSError, AttributeError):  # Windows has no chown
                    os.chown(partial, *owner)
            partial.chmod(stat.S_IMODE(old.st_mode))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless they are there; their names are on the disk then."""
    made = [path, *(folder for folder in path.parents if not folder.exists())]
    path.mkdir(parents=True, exist_ok=True)
    for folder in made:
        sync(folder.parent)


def sync(path: Path) -> None:
    """Have the system put a file, or a folder's entries, on the disk."""
    if path.is_dir() and os.name == "nt":
        return
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
