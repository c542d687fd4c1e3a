"""Turn the training settings of a run into those of one of its workers: its cores, its GPU."""

from __future__ import annotations

import os

import msgspec
import torch

from epnas_dsl.config import TrainingSettings


def place_worker(settings: TrainingSettings, slot: int, workers: int) -> TrainingSettings:
    """The settings of a worker on a machine that it shares with others.

    It gets an even part of the cores, unless the settings name its threads, and GPU number `slot`
    modulo the number of GPUs, unless they name a device.

    Args:
        slot: the worker's number, from 0.
        workers: how many there are at a time.
    """
    threads = settings.threads or max(1, cores() // workers)
    device = settings.device
    if device in {"auto", "cuda"} and torch.cuda.is_available():
        device = f"cuda:{slot % torch.cuda.device_count()}"
    return msgspec.structs.replace(settings, threads=threads, device=device)


def cores() -> int:
    """How many cores this process may use."""
    known = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
