"""Turn an architecture into metrics by training it, with shared weights or with its own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from epnas_dsl.config import EvaluationSettings, TrainingSettings
from epnas_dsl.errors import NO_MEMORY, TOO_SLOW, ConfigError, DataError
from epnas_dsl.nn.data import ImageData
from epnas_dsl.nn.folding import fold_batch_norms
from epnas_dsl.nn.network import build_network
from epnas_dsl.nn.stepping import cuda_recorder
from epnas_dsl.nn.supernet import Supernet
from epnas_dsl.nn.training import TrainingFailed, train
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.graph import network_layers
from epnas_dsl.space.operations import Layer
from epnas_dsl.space.passes import EXACT, Pass, joined
from epnas_dsl.space.shapes import costs

WARM_UP, PASSES = 3, 15  # of a measurement of the latency
UNTIMED = EvaluationSettings()
PARTS = 4  # of a batch, where the whole of it does not fit into memory


class StandaloneEvaluator:
    """Trains each architecture from scratch; nothing is carried from one trial to the next.

    Args:
        how: whether the latency is measured, and what it may be.
    """

    def __init__(
        self,
        data: ImageData,
        settings: TrainingSettings,
        seed: int = 0,
        how: EvaluationSettings = UNTIMED,
    ) -> None:
        self.data, self.settings, self.seed, self.how = data, settings, seed, how

    def evaluate(self, architecture: Architecture, number: int) -> dict[str, float]:
        """Train and validate.

        Returns:
            As `measure`, and `latency` where it is measured.

        Raises:
            TrainingFailed: the loss is not finite, memory ran out, or it is too slow (E642).
            ShapeError, LimitError: the network does not fit the images, or the limits.
        """
        layers = layers_for(architecture, self.data, self.settings)
        seed = _seed(self.seed, number)

        def fresh() -> nn.Module:
            network = build_network(layers, seed, passes(self.settings))
            return place(network, self.data, self.settings)

        return self.measured(layers, fresh, seed)

    def measured(
        self, layers: tuple[Layer, ...], make: Callable[[], nn.Module], seed: int
    ) -> dict[str, float]:
        """The metrics of a network of these layers."""
        timed = self._timed(layers) if self.how.latency else {}
        return _measure_somehow(layers, make, self.data, self.settings, seed) | timed

    def _timed(self, layers: tuple[Layer, ...]) -> dict[str, float]:
        device, memory = self.data.train.labels.device, memory_format(self.settings)
        found = latency(layers, self.data.shape, self.how.latency, device, memory)
        if 0 < self.how.latency_limit < found:
            raise TrainingFailed(
                f"a batch of {self.how.latency} takes {found:.3g} ms, more than the "
                f"{self.how.latency_limit:g} of evaluation.latency_limit", code=TOO_SLOW,
            )  # fmt: skip
        return {"latency": found}

    def save(self, path: Path) -> None:
        """Nothing: an evaluation does not depend on the ones before."""

    def load(self, path: Path) -> None:
        """Nothing."""


class SupernetEvaluator(StandaloneEvaluator):
    """Trains each architecture a little, on weights that all of them share (section 3.3).

    An evaluation depends on the shared weights, the seed and the number of the trial. One that
    fails or is interrupted leaves the shared weights as it found them.
    """

    @cached_property
    def supernet(self) -> Supernet:
        """The shared weights, where the images are."""
        device = self.data.train.labels.device
        return Supernet(self.seed, memory_format=memory_format(self.settings), device=device)

    def evaluate(self, architecture: Architecture, number: int) -> dict[str, float]:
        """Train and validate; as `StandaloneEvaluator.evaluate`."""
        layers = layers_for(architecture, self.data, self.settings)
        shared = list(self.supernet.network(layers).parameters())
        before = [p.detach().clone() for p in shared]

        @torch.no_grad()
        def restored() -> nn.Module:
            for parameter, value in zip(shared, before, strict=True):
                parameter.copy_(value)
            return self.supernet.network(layers, passes(self.settings))

        try:
            metrics = self.measured(layers, restored, _seed(self.seed, number))
            if not bool(torch.stack([p.isfinite().all() for p in shared]).all()):
                raise TrainingFailed("the trained weights are not all finite")
            return metrics
        except BaseException:
            restored()
            raise

    def save(self, path: Path) -> None:
        """Write the shared weights as safetensors; a full disk is an OSError, as elsewhere."""
        path.write_bytes(self.dump())

    def load(self, path: Path) -> None:
        """Go back to shared weights that were saved.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"the shared weights {path} cannot be read: {error}",
                code="E620",
                hint="the file is missing, cut short, or not in the safetensors format",
            ) from None
        self.supernet.load_state(state)

    def dump(self, architecture: Architecture | None = None) -> bytes:
        """The shared weights, or those that an architecture has, as safetensors."""
        network = None
        if architecture is not None:
            network = self.supernet.network(layers_for(architecture, self.data, self.settings))
        return to_bytes(self.supernet.state(network))

    def take(self, weights: bytes) -> None:
        """Go back to shared weights that were dumped."""
        self.supernet.load_state(from_bytes(weights))

    def merge(self, parts: Sequence[bytes]) -> None:
        """Average what was trained apart: see `Supernet.merge`."""
        self.supernet.merge([from_bytes(part) for part in parts])


def layers_for(
    architecture: Architecture, data: ImageData, settings: TrainingSettings
) -> tuple[Layer, ...]:
    """The layers of an architecture for these images and classes.

    Raises:
        ConfigError: it tells another number of classes apart than the data have.
    """
    layers = network_layers(architecture, data.shape, drop_path=settings.drop_path > 0)
    if layers[-1].channels != len(data.classes):
        raise ConfigError(
            f"{architecture.space.name} ends in {layers[-1].channels} classes, "
            f"{data.name} has {len(data.classes)}",
            code="E610",
            hint=f"try {architecture.space.name}(classes={len(data.classes)})",
        )
    return layers


def measure(
    layers: tuple[Layer, ...],
    network: nn.Module,
    data: ImageData,
    settings: TrainingSettings,
    seed: int,
) -> dict[str, float]:
    """Train a network.

    Returns:
        `accuracy` and `loss` on the validation part in the epoch of the best accuracy, `params`,
        and `macs` for one image.
    """
    cost = costs(layers, data.shape)
    history = train(network, data, settings, seed)
    best = max((epoch.validation for epoch in history), key=lambda score: score.accuracy)
    return {
        "accuracy": best.accuracy,
        "loss": best.loss,
        "params": float(cost.params),
        "macs": float(cost.macs),
    }


@torch.no_grad()
def latency(
    layers: Sequence[Layer],
    image: tuple[int, int, int],
    count: int,
    device: torch.device,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> float:
    """Milliseconds of a forward pass in the middle of `PASSES`, after some that do not count.

    The network is that for inference, its batch norms folded; its weights are of no account. Other
    work of the machine counts, so networks that are compared want a machine that is alike.

    Args:
        image: channels, height and width.
        count: images in the batch.
    """
    network = fold_batch_norms(build_network(layers).eval(), layers)
    network.to(device, memory_format=memory_format)  # type: ignore[call-overload]
    images = torch.rand(count, *image, device=device).contiguous(memory_format=memory_format)
    seconds = []
    for _ in range(WARM_UP + PASSES):
        start = time.perf_counter()
        network(images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[WARM_UP:])


class InParts(nn.Module):
    """A network through which a batch goes in parts, so that it takes the memory of one.

    What a part leaves for the gradient is not kept but worked out again (activation checkpointing,
    Chen et al. 2016), so the gradient is that of the whole batch, up to rounding. Batch norm sees
    the parts.
    """

    def __init__(self, network: nn.Module, parts: int) -> None:
        super().__init__()
        self.network, self.parts = network, parts

    def forward(self, images: Tensor) -> Tensor:
        """Scores [n, classes] of images [n, channels, height, width]."""
        chunks = images.chunk(self.parts)
        if not torch.is_grad_enabled():
            return torch.cat([self.network(chunk) for chunk in chunks])
        return torch.cat([checkpoint(self.network, c, use_reentrant=False) for c in chunks])


def _measure_somehow(
    layers: tuple[Layer, ...],
    make: Callable[[], nn.Module],
    data: ImageData,
    settings: TrainingSettings,
    seed: int,
) -> dict[str, float]:
    """As `measure`; where memory does not suffice, once more with batches in parts.

    Raises:
        TrainingFailed: that did not help either (E641), or as `measure`.
    """
    try:
        return measure(layers, make(), data, settings, seed)
    except Exception as error:
        if not _wants_memory(error):
            raise
    cuda_recorder.cache_clear()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    settings = msgspec.structs.replace(settings, cuda_graphs="no")
    try:
        return measure(layers, InParts(make(), PARTS), data, settings, seed)
    except Exception as error:
        if not _wants_memory(error):
            raise
        raise TrainingFailed(
            f"the memory does not suffice for this network, with batches in {PARTS} parts neither",
            code=NO_MEMORY, hint="a lower training.batch may help",
        ) from error  # fmt: skip


def _wants_memory(error: Exception) -> bool:
    if isinstance(error, TrainingFailed):
        return error.diagnostics[0].code == NO_MEMORY
    on_the_cpu = "DefaultCPUAllocator" in str(error)  # which is a plain RuntimeError
    return on_the_cpu or isinstance(error, MemoryError | torch.OutOfMemoryError)


def memory_format(settings: TrainingSettings) -> torch.memory_format:
    """The order in memory of images and convolutions' weights."""
    return torch.channels_last if settings.channels_last else torch.contiguous_format


def passes(settings: TrainingSettings, processes: int = 1) -> tuple[Pass, ...]:
    """What the layers go through; the batch norms of several processes are not for joining."""
    return (*EXACT, joined) if settings.joined and processes == 1 else EXACT


def place(network: nn.Module, data: ImageData, settings: TrainingSettings) -> nn.Module:
    """The network where the data are, in the memory format of the settings."""
    network.to(data.train.labels.device)
    return network.to(memory_format=memory_format(settings))


def _seed(seed: int, number: int) -> int:
    """Independent seeds for the trials of a run."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
