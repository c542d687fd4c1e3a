"""Rebuild a disk as it may be after the power failed, from the calls that a run had made.

Nothing is sure to be there but what was synced: bytes by a sync of their file, names by a sync of
their folder. The rest may have come to the disk in any part and any order, a write by whole
sectors. File systems promise more; a run must not count on it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
WAYS = ("nothing", "names", "bytes", "some")  # what reached the disk without having been synced


@dataclass
class File:
    """What is sure to be in a file, and the writes (offset, bytes) and cuts (size, None) since."""

    sure: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)

    def content(self, way: str, draw: random.Random) -> bytes:
        found = bytearray(self.sure)
        for offset, data in self.since:
            if way in ("nothing", "names") or (way == "some" and draw.random() < 0.5):
                continue
            if data is None:
                found = found[:offset] + bytes(max(0, offset - len(found)))
                continue
            if way == "some" and draw.random() < 0.5:
                offset, data = torn(offset, data, draw)
            found += bytes(max(0, offset + len(data) - len(found)))
            found[offset : offset + len(data)] = data
        return bytes(found)


def torn(offset: int, data: bytes, draw: random.Random) -> tuple[int, bytes]:
    """The beginning or the end of a write, parted where a sector ends."""
    first, last = offset // SECTOR + 1, (offset + len(data)) // SECTOR
    if last < first:
        return offset, data
    cut = draw.randint(first, last) * SECTOR - offset
    return (offset, data[:cut]) if draw.random() < 0.5 else (offset + cut, data[cut:])


@dataclass
class Disk:
    """Files by inode, names by path; a folder's name has no inode.

    Args:
        root: the folder that stands already; what is outside does not count.
    """

    root: Path
    files: dict[int, File] = field(default_factory=dict)
    sure: dict[Path, int] = field(default_factory=dict)
    since: list[dict[Path, int | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in self.root.rglob("*"):
            self.sure[path] = 0 if path.is_dir() else path.stat().st_ino
            if path.is_file():
                self.files[path.stat().st_ino] = File(path.read_bytes())

    def call(self, what: str, inode: int, offset: int, path: str, data: bytes) -> None:
        """Note a call that was made."""
        first, _, second = path.partition("\t")
        place, target = Path(first.removesuffix(" (deleted)")), Path(second)
        if self.root not in (place, *place.parents):
            return
        match what:
            case "create":
                self.files[inode] = File()
                self.since.append({place: inode})
            case "mkdir":
                self.since.append({place: 0})
            case "rename":
                self.since.append({place: None, target: self.names()[place]})
            case "unlink":
                self.since.append({place: None})
            case "write":
                self.files[inode].since.append((offset, data))
            case "truncate":
                self.files[inode].since.append((offset, None))
            case "sync" if inode in self.files:
                now = self.files[inode].content("bytes", random.Random())
                self.files[inode] = File(now)
            case "sync":
                here = [change for change in self.since if place in {p.parent for p in change}]
                self.sure = changed(self.sure, here)
                self.since = [change for change in self.since if change not in here]

    def names(self, way: str = "names", draw: random.Random | None = None) -> dict[Path, int]:
        """The names of everything, or what may be left of them; a rename is whole or nothing."""
        if way == "some":
            return changed(self.sure, [c for c in self.since if draw.random() < 0.5])
        return changed(self.sure, self.since if way == "names" else [])

    def rebuild(self, place: Path, way: str, draw: random.Random) -> None:
        """Make a folder that is what may be left of the root."""
        place.mkdir()
        for path, inode in sorted(self.names(way, draw).items()):
            target = place / path.relative_to(self.root)
            if not target.parent.is_dir():
                continue  # its folder is not there
            if inode == 0:
                target.mkdir(exist_ok=True)
            else:
                target.write_bytes(self.files[inode].content(way, draw))


def changed(names: dict[Path, int], changes: list[dict[Path, int | None]]) -> dict[Path, int]:
    found: dict[Path, int | None] = dict(names)
    for change in changes:
        found |= change
    return {path: inode for path, inode in found.items() if inode is not None}


def calls(journal: Path) -> list[tuple[str, int, int, str, bytes]]:
    """What `boundaries.c` kept."""
    data, at, found = journal.read_bytes(), 0, []
    while at < len(data):
        end = data.index(b"\n", at)
        what, inode, offset, size, path = data[at:end].decode().split(" ", 4)
        at = end + 1 + int(size)
        found.append((what, int(inode), int(offset), path, data[end + 1 : at]))
    return found
