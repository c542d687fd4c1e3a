"""Turn an unfinished training into a file from which it goes on as if nothing had happened."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from epnas_dsl.errors import DataError


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
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = content["key"], list(content["history"]), content["module"], content["optimizer"]
    except Exception as error:  # unpickling what is damaged raises a dozen kinds
        raise DataError(
            f"the checkpoint {path} is damaged ({type(error).__name__})",
            code="E630",
            hint="remove it to begin anew",
        ) from None
    if found[0] != key:
        raise DataError(
            f"the checkpoint {path} belongs to a training with other settings, data or seed",
            code="E631",
            hint="go on with the settings that it was begun with, or remove it to begin anew",
        )
    return content


def restore_checkpoint(
    content: dict[str, Any], module: nn.Module, optimizer: torch.optim.Optimizer
) -> list[dict[str, Any]]:
    """Put network and optimizer back to where they were; returns the history.

    The optimizer keeps its settings: which of its kernels fits differs from device to device.
    """
    module.load_state_dict(content["module"])
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": content["optimizer"]["state"], "param_groups": groups})
    return list(content["history"])
