"""Turn a network and images into a trained network and the story of its training."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from epnas_dsl.config import TrainingSettings
from epnas_dsl.errors import ConfigError, EpnasError
from epnas_dsl.nn.augmentation import Part, Preprocessing, batches
from epnas_dsl.nn.checkpoint import load_checkpoint, save_checkpoint
from epnas_dsl.nn.data import ImageData
from epnas_dsl.nn.operations import set_drop_path


class TrainingFailed(EpnasError):
    """A network that cannot be trained as it is: its loss is infinite, or memory ran out."""

    code = "E640"


@dataclass(frozen=True, slots=True)
class Score:
    """What a network makes of one part of the data: accuracy in [0, 1], mean cross entropy."""

    accuracy: float
    loss: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training images.

    Attributes:
        number: from 1.
        learning_rate: at its start.
        training: while it trained, so on altered images and with changing weights; its loss has
            the label smoothing of the settings.
        validation: after it.
    """

    number: int
    learning_rate: float
    training: Score
    validation: Score


def prepare_device(settings: TrainingSettings) -> torch.device:
    """The device to train on; sets the number of torch's threads for the whole process.

    Raises:
        ConfigError: there is no such device here.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(settings.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ConfigError(
            f"there is no device `{settings.device}` here",
            code="E520",
            hint="training.device is auto, cpu, cuda or cuda:1",
        ) from None
    return device


def learning_rate(settings: TrainingSettings, epochs: int, elapsed: float) -> float:
    """The cosine with warm restarts: Loshchilov and Hutter 2017, equation 5.

    Args:
        epochs: of the training; the length of the first cosine where `restart` is 0.
        elapsed: epochs gone by, a fraction within an epoch: the rate falls from step to step.
    """
    length, start = settings.restart or epochs, 0
    while elapsed >= start + length:
        start += length
        length *= settings.restart_factor
    high, low = settings.learning_rate, settings.learning_rate_end
    return low + (high - low) * (1 + math.cos(math.pi * (elapsed - start) / length)) / 2


def train(
    module: nn.Module,
    data: ImageData,
    settings: TrainingSettings,
    seed: int,
    *,
    epochs: int | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> tuple[Epoch, ...]:
    """Train a network by Nesterov SGD and validate it after every epoch.

    An epoch's randomness depends on (seed, number of the epoch) alone, so an interrupted training
    that goes on from its checkpoint ends as it would have (on the CPU, with as many threads). The
    global random state is put back.

    Args:
        module: on the device and in the memory format of the data; changed in place.
        epochs: instead of `settings.epochs`.
        checkpoint: written after every epoch; if it exists, the training goes on from there.
        on_epoch: called after every epoch.

    Raises:
        TrainingFailed: the loss is not finite, or the memory of the device does not suffice.
        DataError: the checkpoint is damaged, or of another training.
    """
    epochs = epochs or settings.epochs
    optimizer = _sgd(module, settings)
    history: list[Epoch] = []
    key = repr((settings, seed, epochs, data.name, data.shape, len(data.train), outline(module)))
    if checkpoint and checkpoint.exists():
        history = [_epoch(h) for h in load_checkpoint(checkpoint, key, module, optimizer)]
    for number in range(len(history) + 1, epochs + 1):
        with _random_state(seed, number, data.train.images.device) as generator, _memory():
            training = _pass(module, optimizer, data, settings, epochs, number, generator)
            if settings.calibration:
                recalibrate(module, data, settings, generator)
            validation = evaluate(module, data.validation, data.preprocessing, settings)
        _refuse_infinite(training.loss + validation.loss, number)
        rate = learning_rate(settings, epochs, number - 1)
        history.append(Epoch(number, rate, training, validation))
        if checkpoint:
            save_checkpoint(checkpoint, key, module, optimizer, [asdict(h) for h in history])
        if on_epoch:
            on_epoch(history[-1])
    return tuple(history)


def _sgd(module: nn.Module, settings: TrainingSettings) -> torch.optim.SGD:
    return torch.optim.SGD(
        module.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
    )


def _refuse_infinite(loss: float, number: int) -> None:
    if not math.isfinite(loss):
        raise TrainingFailed(
            f"the loss is not finite after epoch {number}",
            hint="a lower training.learning_rate or training.clip may help",
        )


def outline(module: nn.Module) -> str:
    """Tells apart networks of other layers or other wiring, whatever their weights: SHA-256."""
    codes = [getattr(part, "code", "") for part in module.modules()]
    shapes = [(name, tuple(value.shape)) for name, value in module.state_dict().items()]
    return hashlib.sha256(repr((module, codes, shapes)).encode()).hexdigest()


def _pass(
    module: nn.Module,
    optimizer: torch.optim.SGD,
    data: ImageData,
    settings: TrainingSettings,
    epochs: int,
    number: int,
    generator: torch.Generator,
) -> Score:
    """One epoch; nothing in it waits for the device, so a bad loss is only seen afterwards."""
    module.train()
    set_drop_path(module, settings.drop_path * (number - 1) / max(1, epochs - 1))
    parameters = [p for p in module.parameters() if p.requires_grad]
    steps = math.ceil(len(data.train) / settings.batch)
    tally = Tally(data.train.labels.device)
    found = batches(
        data.train,
        data.preprocessing,
        settings.batch,
        generator=generator,
        augmentation=data.augmentation,
        channels_last=settings.channels_last,
    )
    for step, (images, labels) in enumerate(found):
        rate = learning_rate(settings, epochs, number - 1 + step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits = module(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        if settings.clip:
            nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizer.step()
        tally.add(logits, labels, loss)
    return tally.score()


def evaluate(
    module: nn.Module, part: Part, preprocessing: Preprocessing, settings: TrainingSettings
) -> Score:
    """The accuracy and the loss of a network on one part, unaltered and in order."""
    was_training = module.training
    module.eval()
    tally = Tally(part.labels.device)
    with torch.inference_mode():
        found = batches(part, preprocessing, settings.batch, channels_last=settings.channels_last)
        for images, labels in found:
            logits = module(images)
            tally.add(logits, labels, F.cross_entropy(logits, labels))
    module.train(was_training)
    return tally.score()


def recalibrate(
    module: nn.Module, data: ImageData, settings: TrainingSettings, generator: torch.Generator
) -> None:
    """Measure the batch-norm statistics anew: the mean over some unaltered training batches.

    Statistics that run along with the training are those of weights that have since changed;
    after few steps that costs several percent of accuracy. `settings.calibration` is the number
    of batches.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    was_training = module.training
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # the plain mean of all batches
    found = batches(
        data.train,
        data.preprocessing,
        settings.batch,
        generator=generator,
        channels_last=settings.channels_last,
    )
    with torch.no_grad():
        for _, (images, _labels) in zip(range(settings.calibration), found, strict=False):
            module(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.train(was_training)


class Tally:
    """Adds up losses and hits on the device; `score` is the only look at them."""

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), device=device)
        self.hits = torch.zeros((), dtype=torch.int64, device=device)
        self.count = 0

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Count a batch: logits [n, classes], labels [n] and the mean loss."""
        self.loss += loss.detach() * len(labels)
        self.hits += (logits.detach().argmax(1) == labels).sum()
        self.count += len(labels)

    def score(self) -> Score:
        """Means over everything counted."""
        return Score(int(self.hits) / self.count, float(self.loss) / self.count)


@contextmanager
def _random_state(seed: int, epoch: int, device: torch.device) -> Iterator[torch.Generator]:
    """A generator for the images, and the global state for dropout, both from (seed, epoch)."""
    state = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(state)
        yield torch.Generator().manual_seed(state)


@contextmanager
def _memory() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise TrainingFailed(
            "the memory of the device does not suffice for this network",
            code="E641",
            hint="a lower training.batch may help",
        ) from None


def _epoch(saved: dict[str, object]) -> Epoch:
    training, validation = (Score(**saved.pop(name)) for name in ("training", "validation"))  # type: ignore[arg-type]
    return Epoch(**saved, training=training, validation=validation)  # type: ignore[arg-type]
