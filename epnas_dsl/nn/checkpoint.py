"""Turn an unfinished training into a file from which it goes on as if nothing had happened."""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from epnas_dsl.errors import DataError
from epnas_dsl.files import write_whole

_log = logging.getLogger(__name__)

SEAL = 32  # bytes in front: the SHA-256 of all others, as torch reads flipped bits without a word
EPOCH = {"number", "learning_rate", "training", "validation"}  # what is kept of one


def before(path: Path) -> Path:
    """Where the checkpoint of one epoch earlier is kept."""
    return path.with_name(f"{path.name}.before")


def has_checkpoint(path: Path) -> bool:
    """Whether there is a training to go on with."""
    return path.exists() or before(path).exists()


def save_checkpoint(
    path: Path,
    key: str,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: Sequence[dict[str, Any]],
) -> None:
    """Write everything that the next epoch depends on; what was there is kept as `before`.

    Args:
        key: tells this training from every other.
        history: the epochs so far, as plain data.
    """
    content = {
        "key": key,
        "history": list(history),
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    data = io.BytesIO()  # a full disk is an OSError then, whatever torch makes of it
    torch.save(content, data)
    sealed = hashlib.sha256(data.getbuffer()).digest() + data.getbuffer()
    write_whole(path, sealed, kept=before(path))


def read_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """What `save_checkpoint` wrote last, on the CPU; what it wrote before if that is damaged.

    Raises:
        DataError: both files are damaged (E630), or belong to another training (E631).
    """
    try:
        return _read(path, key)
    except DataError as error:
        if error.diagnostics[0].code != "E630" or not before(path).exists():
            raise
    content = _read(before(path), key)
    if path.exists():  # it is absent where a crash came while a new one took its place
        epoch = len(content["history"])
        _log.warning("the checkpoint %s is damaged: going back to that of epoch %d", path, epoch)
        path.unlink()  # or it would be kept as the one before the next
    return content


def _read(path: Path, key: str) -> dict[str, Any]:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[SEAL:]).digest() != data[:SEAL]:
            raise ValueError("it is not what was written")
        file = io.BytesIO(data[SEAL:])
        with zipfile.ZipFile(file) as archive:
            if any(part.compress_type for part in archive.infolist()):
                raise ValueError("torch packs nothing; a small file could fill the memory")
        file.seek(0)
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        found = content["key"], content["module"], content["optimizer"]["state"]
        if any(set(epoch) != EPOCH for epoch in content["history"]):
            raise ValueError("an epoch lacks something")
    except Exception as error:  # unpickling what is damaged raises a dozen kinds
        raise _damaged(path, error) from None
    if found[0] != key:
        raise DataError(
            f"the checkpoint {path} belongs to a training with other settings, data or seed",
            code="E631",
            hint="go on with the settings that it was begun with, or remove it to begin anew",
        )
    return {**content, "path": path}


def restore_checkpoint(
    content: dict[str, Any], module: nn.Module, optimizer: torch.optim.Optimizer
) -> list[dict[str, Any]]:
    """Put network and optimizer back to where they were; returns the history.

    The optimizer keeps its settings: which of its kernels fits differs from device to device.

    Raises:
        DataError: what the file holds does not fit them.
    """
    groups = optimizer.state_dict()["param_groups"]
    state = content["optimizer"]["state"]
    try:
        module.load_state_dict(content["module"])
        shapes = [p.shape for group in optimizer.param_groups for p in group["params"]]
        for number, kept in state.items():
            if any(value.shape != shapes[number] for value in kept.values() if value is not None):
                raise ValueError("a momentum is not of its parameter's shape")
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        for parameter, kept in optimizer.state.items():  # fused kernels do not look at formats
            kept |= {
                k: torch.empty_like(parameter).copy_(v) for k, v in kept.items() if v is not None
            }
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise _damaged(content["path"], error) from None
    return list(content["history"])


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"the checkpoint {path} is damaged ({type(error).__name__})",
        code="E630",
        hint="remove it to begin anew",
    )
