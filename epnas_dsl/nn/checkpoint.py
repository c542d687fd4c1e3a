"""Turn an unfinished training into a file from which it goes on as if nothing had happened."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from epnas_dsl.errors import DataError

EPOCH = {"number", "learning_rate", "training", "validation"}  # what is kept of one


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a part.

    Args:
        path: what to write.
        write: writes to the path that it is given, beside the target.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def save_checkpoint(
    path: Path,
    key: str,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: Sequence[dict[str, Any]],
) -> None:
    """Write everything that the next epoch depends on.

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
    write_whole(path, lambda draft: draft.write_bytes(data.getbuffer()))


def read_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """What `save_checkpoint` wrote, on the CPU.

    Raises:
        DataError: the file is damaged, or belongs to another training.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type for part in archive.infolist()):
                raise ValueError("torch packs nothing; a small file could fill the memory")
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
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
