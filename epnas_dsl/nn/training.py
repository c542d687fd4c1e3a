"""Turn a network and images into a trained network and the story of its training."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from epnas_dsl.config import TrainingSettings
from epnas_dsl.errors import ConfigError, EpnasError
from epnas_dsl.nn.augmentation import Feed, Part, Preprocessing
from epnas_dsl.nn.checkpoint import (
    has_checkpoint,
    read_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)
from epnas_dsl.nn.data import ImageData
from epnas_dsl.nn.operations import set_drop_path
from epnas_dsl.nn.peers import ALONE, Peers, local_device
from epnas_dsl.nn.stepping import GraphStep, Recorder, Step, recorder_for


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
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = local_device(torch.device(name))
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
    compiled: bool = False,
    peers: Peers = ALONE,
) -> tuple[Epoch, ...]:
    """Train a network by Nesterov SGD and validate it after every epoch.

    An epoch's randomness depends on (seed, number of the epoch) alone, so an interrupted training
    that goes on from its checkpoint ends as it would have (on the CPU, with as many threads). The
    global random state is put back.

    Args:
        module: on the device and in the memory format of the data; changed in place.
        epochs: instead of `settings.epochs`.
        checkpoint: written after every epoch, the one before kept; if it exists, the training
            goes on from there.
        on_epoch: called after every epoch; its KeyboardInterrupt ends all processes.
        compiled: run the steps through `torch.compile`.
        peers: the processes that train together; the first one reads and writes the checkpoint,
            and calls `on_epoch`.

    Raises:
        TrainingFailed: the loss is not finite, or the memory of the device does not suffice.
        DataError: the checkpoint is damaged, or of another training.
        ConfigError: nothing compiles here (E522), or the batches are too small for so many
            processes (E523).
    """
    epochs = epochs or settings.epochs
    key = repr((settings, seed, epochs, data.name, data.shape, len(data.train), outline(module)))
    optimizer = _sgd(module, settings)
    history: list[Epoch] = []
    if peers.told(checkpoint is not None and has_checkpoint(checkpoint)):
        assert checkpoint
        content = peers.told(read_checkpoint(checkpoint, key) if peers.rank == 0 else None)
        history = [_epoch(h) for h in restore_checkpoint(content, module, optimizer)]
    with Fit(module, optimizer, data, settings, epochs, compiled, peers) as fit:
        for number in range(len(history) + 1, epochs + 1):
            with _random_state(seed, number, fit.device, peers.rank) as generator, _memory():
                training, validation = fit.epoch(number, generator)
            _refuse_infinite(training.loss + validation.loss, number)
            rate = learning_rate(settings, epochs, number - 1)
            history.append(Epoch(number, rate, training, validation))
            if checkpoint and peers.rank == 0:
                save_checkpoint(checkpoint, key, module, optimizer, [asdict(h) for h in history])
            stop = None
            if on_epoch and peers.rank == 0:
                try:
                    on_epoch(history[-1])
                except KeyboardInterrupt as asked:
                    stop = asked
            over = torch.tensor(int(stop is not None), device=fit.device)
            if number < epochs:
                peers.add_up(over)
            if over:  # all end at once: none waits for one that is gone
                raise stop or KeyboardInterrupt
    return tuple(history)


def _sgd(module: nn.Module, settings: TrainingSettings) -> torch.optim.SGD:
    return torch.optim.SGD(
        module.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
        fused=True,
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


class Fit:
    """A network in training: everything that its steps read and change, made once.

    All of it stays where it is in memory, so that steps can be recorded and replayed. Nothing in
    an epoch waits for the device before its end, where the scores are read.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.SGD,
        data: ImageData,
        settings: TrainingSettings,
        epochs: int,
        compiled: bool,
        peers: Peers,
    ) -> None:
        peers.refuse_empty(len(data.train), settings.batch)
        self.module, self.optimizer, self.data = module, optimizer, data
        self.settings, self.epochs, self.peers = settings, epochs, peers
        self.device = data.train.labels.device
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.forward: Callable[[Tensor], Tensor] = peers.join(module)
        if compiled:
            _refuse_to_compile_in_vain(self.device)
            self.forward = torch.compile(self.forward, dynamic=False)
        self.feed = Feed.of(
            data.train, data.preprocessing, data.augmentation, settings.channels_last
        )
        self.tally = Tally(self.device)
        self.recorded: Step | None = None
        stays = data.train.images.device == self.device  # a replay knows nothing of other memory
        recorder = recorder_for(settings, self.device, peers.count) if stays else None
        _hold_still(optimizer, self.device)
        if recorder:
            momenta = [v for state in optimizer.state.values() for v in state.values()]
            changed = [*module.parameters(), *module.buffers(), *momenta, *self.tally.tensors]
            self.recorded = GraphStep(self._step, recorder, changed)
        changing = settings.drop_path > 0 and (recorder or compiled)
        self.drop_path = torch.zeros((), device=self.device) if changing else None
        self.scoring = _Scoring(
            module, data.validation, data.preprocessing, settings, recorder, peers
        )

    def __enter__(self) -> Fit:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of graphs, of gradients in their memory and of the group of processes now.

        A traceback would keep them, or a cycle until it is looked for.
        """
        self.optimizer.zero_grad()
        self.forward = self.module
        set_drop_path(self.module, self._drop_path(self.epochs))
        self.scoring.recorded = self.recorded = None

    def epoch(self, number: int, generator: torch.Generator) -> tuple[Score, Score]:
        """Train on every image once, then validate; the scores of both."""
        self.module.train()
        rate = self._drop_path(number)
        set_drop_path(self.module, rate if self.drop_path is None else self.drop_path.fill_(rate))
        self.tally.clear()
        step = self.recorded or self._step
        picks = self.feed.picks(self.settings.batch, generator)
        for done, (chosen, draws) in enumerate(picks):
            elapsed = number - 1 + done / len(picks)
            for group in self.optimizer.param_groups:
                group["lr"].fill_(learning_rate(self.settings, self.epochs, elapsed))
            step(chosen, draws)
        if self.settings.calibration:
            recalibrate(self.module, self.data, self.settings, generator, self.peers)
        validation = self.scoring()
        return self.tally.score(len(self.data.train), self.peers), validation

    def _step(self, chosen: Tensor, draws: Tensor) -> None:
        images, labels = self.feed.make(self.peers.share(chosen), self.peers.share(draws))
        with _autocast(self.settings, self.device):
            logits = self.forward(images).float()
        smoothing = self.settings.label_smoothing
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        self.optimizer.zero_grad()
        if self.peers.count == 1:
            loss.backward()
        else:  # the gradients are averaged over processes, whose shares may differ in size
            (loss * (len(labels) * self.peers.count / len(chosen))).backward()
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimizer.step()
        self.tally.add(logits, labels, loss)

    def _drop_path(self, number: int) -> float:
        return self.settings.drop_path * (number - 1) / max(1, self.epochs - 1)


def _hold_still(optimizer: torch.optim.SGD, device: torch.device) -> None:
    """Give an optimizer a rate and momenta in tensors that stay, so that all its steps are alike.

    A momentum of zero makes the first step what it is without one. The fused kernels read a
    rate where it lies: as float32 on a GPU, as float64 on the CPU.
    """
    kind = torch.float32 if device.type == "cuda" else torch.float64
    for group in optimizer.param_groups:
        group["lr"] = torch.full((), float(group["lr"]), dtype=kind, device=device)
        for parameter in group["params"] if group["momentum"] else ():
            state = optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)


def _autocast(settings: TrainingSettings, device: torch.device) -> AbstractContextManager[object]:
    """Half of the precision where the settings want it; `auto`: on GPUs made for it."""
    half = settings.precision == "bfloat16"
    if settings.precision == "auto" and device.type == "cuda":
        half = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, torch.bfloat16) if half else nullcontext()


def _refuse_to_compile_in_vain(device: torch.device) -> None:
    """See that `torch.compile` finds the compilers that it needs, before hours are spent.

    Raises:
        ConfigError: it does not (E522).
    """
    try:
        torch.compile(lambda x: (x + 1).relu())(torch.zeros(8, device=device))
    except Exception as error:  # of dynamo, inductor, triton, the compiler or the linker
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"`torch.compile` does not work here: {reason}", code="E522",
            hint="it needs a C++ compiler, for GPUs also triton; or `training.compile=false`",
        ) from None  # fmt: skip


class _Scoring:
    """Measures a network on one part, unaltered and in order, again and again."""

    def __init__(
        self,
        module: nn.Module,
        part: Part,
        preprocessing: Preprocessing,
        settings: TrainingSettings,
        recorder: Recorder | None = None,
        peers: Peers = ALONE,
    ) -> None:
        peers.refuse_empty(len(part), settings.batch)
        self.module, self.settings, self.peers = module, settings, peers
        self.feed = Feed.of(part, preprocessing, channels_last=settings.channels_last)
        self.tally = Tally(part.labels.device)
        self.recorded: Step | None = None
        if recorder:
            self.recorded = GraphStep(self._step, recorder, self.tally.tensors)

    def __call__(self) -> Score:
        was_training = self.module.training
        self.module.eval()
        self.tally.clear()
        step = self.recorded or self._step
        for chosen, draws in self.feed.picks(self.settings.batch):
            step(chosen, draws)
        self.module.train(was_training)
        return self.tally.score(len(self.feed.part), self.peers)

    @torch.inference_mode()
    def _step(self, chosen: Tensor, draws: Tensor) -> None:
        images, labels = self.feed.make(self.peers.share(chosen), self.peers.share(draws))
        with _autocast(self.settings, labels.device):
            logits = self.module(images).float()
        self.tally.add(logits, labels, F.cross_entropy(logits, labels))


def evaluate(
    module: nn.Module,
    part: Part,
    preprocessing: Preprocessing,
    settings: TrainingSettings,
    peers: Peers = ALONE,
) -> Score:
    """The accuracy and the loss of a network on one part, unaltered and in order."""
    return _Scoring(module, part, preprocessing, settings, peers=peers)()


def recalibrate(
    module: nn.Module,
    data: ImageData,
    settings: TrainingSettings,
    generator: torch.Generator,
    peers: Peers = ALONE,
) -> None:
    """Measure the batch-norm statistics anew: the mean over some unaltered training batches.

    Statistics that run along with the training are those of weights that have since changed;
    after few steps that costs several percent of accuracy. `settings.calibration` is the number
    of batches.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    was_training = module.training
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    feed = Feed.of(data.train, data.preprocessing, channels_last=settings.channels_last)
    picks = feed.picks(settings.batch, generator)[: settings.calibration]
    for number, (chosen, draws) in enumerate(picks, 1):
        for norm in norms:
            norm.momentum = 1 / number  # the plain mean; None would read the number from the device
        images, _ = feed.make(peers.share(chosen), peers.share(draws))
        with torch.no_grad(), _autocast(settings, images.device):
            module(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.train(was_training)


class Tally:
    """Adds up losses and hits on the device; `score` is the only look at them."""

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), device=device)
        self.hits = torch.zeros((), dtype=torch.int64, device=device)
        self.tensors = self.loss, self.hits

    def clear(self) -> None:
        """Begin anew, in the same memory."""
        for tensor in self.tensors:
            tensor.zero_()

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Count a batch: logits [n, classes], labels [n] and the mean loss."""
        self.loss += loss.detach() * len(labels)
        self.hits += (logits.detach().argmax(1) == labels).sum()

    def score(self, count: int, peers: Peers = ALONE) -> Score:
        """Means over everything counted, `count` images in all processes together."""
        for tensor in self.tensors:
            peers.add_up(tensor)
        return Score(int(self.hits) / count, float(self.loss) / count)


@contextmanager
def _random_state(
    seed: int, epoch: int, device: torch.device, rank: int = 0
) -> Iterator[torch.Generator]:
    """A generator for the images, and the global state for dropout, both from (seed, epoch).

    Processes that train together see the same images and drop what they drop on their own.
    """
    state = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(state + rank)
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
