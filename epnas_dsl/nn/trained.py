"""Turn a trained network into one file that tells all about itself, and back into a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from epnas_dsl.errors import DataError
from epnas_dsl.files import write_whole
from epnas_dsl.nn.augmentation import Preprocessing

FORMAT = "epnas-1"


class TrainedModel(nn.Module):
    """A network behind its preprocessing: raw images in, one score for each class out.

    Attributes:
        network: takes normalised images.
        preprocessing: means and deviations of the images that it was trained on.
        classes: their names, in the order of the scores.
        architecture: the text of the network's architecture.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        classes: Sequence[str],
        architecture: str,
    ) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing
        self.classes = tuple(classes)
        self.architecture = architecture
        mean, std = preprocessing.tensors()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Scores [n, classes] of images [n, channels, height, width] of values 0 to 255."""
        normalised = (images.float() / 255 - self.mean) / self.std
        scores: Tensor = self.network(normalised)
        return scores


def save_trained(path: Path, network: nn.Module, facts: dict[str, Any]) -> None:
    """Write weights and batch-norm statistics as safetensors, the facts as its metadata."""
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    metadata = {"format": FORMAT, "facts": json.dumps(facts)}
    metadata["sha256"] = _fingerprint(state)
    write_whole(path, save(state, metadata))


def device_name() -> str:
    """What torch computes on here."""
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join(devices) or f"cpu, {torch.get_num_threads()} threads"


def read_trained(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights and the facts of a file by `save_trained`.

    Raises:
        DataError: it is missing or damaged (E620), or written by another program (E621).
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"the weights {path} cannot be read: {error}", code="E620",
            hint="the file is missing, cut short, or not in the safetensors format",
        ) from None  # fmt: skip
    try:
        if metadata.get("format") != FORMAT:
            raise ValueError
        facts = dict(json.loads(metadata["facts"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(
            f"{path} does not say which network its weights belong to", code="E621",
            hint="files written by `epnas train` do",
        ) from None  # fmt: skip
    if metadata.get("sha256", fingerprint := _fingerprint(state)) != fingerprint:
        raise DataError(
            f"the weights {path} cannot be read: they are not those that were written",
            code="E620", hint="a part of the file has changed",
        )  # fmt: skip
    return state, facts


def _fingerprint(state: dict[str, Tensor]) -> str:
    """SHA-256 of all weights: a bit that flips in one is not to be seen otherwise."""
    found = hashlib.sha256()
    for name, value in sorted(state.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def restore(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Give a network its weights.

    Raises:
        DataError: they belong to another network (E622).
    """
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise DataError(
            f"the weights in {path} do not fit the network that it names", code="E622",
            hint="the file was changed, or written by another version of this program",
        ) from None  # fmt: skip
    if not all(bool(torch.isfinite(v).all()) for v in state.values()):
        raise DataError(f"the weights in {path} are not all finite", code="E622")
