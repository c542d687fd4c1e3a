"""Recorded steps: a tape on the CPU stands for a CUDA graph; tests marked `gpu` take the real one.

The tape keeps tensor operations only and does them again in the same memory. Whatever a step would
ask of Python anew at every turn is baked in, as in a graph, and what reads a value is refused.
"""

from __future__ import annotations

import gc
import logging
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch
from nn.test_training import DATA, SETTINGS, Net, same, settings
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from epnas_dsl.errors import ConfigError
from epnas_dsl.lang.loading import load_architecture
from epnas_dsl.nn import augmentation, stepping, training
from epnas_dsl.nn.augmentation import Augmentation, Part, Preprocessing
from epnas_dsl.nn.data import ImageData
from epnas_dsl.nn.evaluators import SupernetEvaluator
from epnas_dsl.nn.supernet import Supernet
from epnas_dsl.nn.training import Score, Tally, prepare_device, train
from epnas_dsl.space.graph import to_layers, to_network

CELL = "micro(blocks=2, channels=4, repeats=1): "
ARCHITECTURES = [
    CELL + "h1 = skip_connect(prev2) + conv_3x3(prev1); h2 = dw_conv_5x5(prev1) + max_pool_3x3(h1)",
    CELL + "h1 = avg_pool_3x3(prev2) + conv_5x5(prev1); h2 = dw_conv_3x3(h1) + conv_3x3(prev1)",
]
READS = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "equal", "_unique2"}


def tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors(value)


class NoReads(TorchDispatchMode):
    """Refuses every operation for which a host would wait for its device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        is_mask = any(x.dtype == torch.bool for x in tensors(args[1:]))
        if name in READS or (name.startswith("index") and is_mask):
            raise RuntimeError(f"{name} waits for the device")
        return self.keep(func, args, kwargs or {}, func(*args, **(kwargs or {})))

    def keep(self, func: Any, args: Any, kwargs: Any, result: Any) -> Any:
        return result


class Tape(NoReads):
    """What was done, to be done again in the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def keep(self, func: Any, args: Any, kwargs: Any, result: Any) -> Any:
        self.done.append((func, args, kwargs, list(tensors(result))))
        return result

    @torch.inference_mode()
    def replay(self) -> None:
        for func, args, kwargs, made in self.done:
            for old, new in zip(made, tensors(func(*args, **kwargs)), strict=True):
                if old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                    old.copy_(new)


class TapeRecorder:
    """Records on tapes; like a graph, a recording changes nothing yet."""

    def __init__(self) -> None:
        self.warm_ups = self.records = 0
        self.state: list[Tensor] = []

    def warm_up(self, function: Callable[[], None]) -> None:
        self.warm_ups += 1
        with torch.random.fork_rng(devices=[]):
            function()

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        self.records += 1
        before = [tensor.detach().clone() for tensor in self.state]
        with torch.random.fork_rng(devices=[]), Tape() as tape:
            function()
        with torch.no_grad():
            for tensor, value in zip(self.state, before, strict=True):
                tensor.copy_(value)
        return tape.replay


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> TapeRecorder:
    """Trainings take it; the graph step tells it what a step changes."""
    found = TapeRecorder()

    class Step(stepping.GraphStep):
        def __init__(self, function: Any, recorder: TapeRecorder, state: Any) -> None:
            super().__init__(function, recorder, state)
            recorder.state += [t for t in state if not any(t is other for other in recorder.state)]

    monkeypatch.setattr(training, "GraphStep", Step)
    monkeypatch.setattr(
        training, "recorder_for", lambda s, *_: None if s.cuda_graphs == "no" else found
    )
    return found


@pytest.mark.parametrize("changes", [
    {"drop_path": 0.0}, {"drop_path": 0.0, "momentum": 0.0}, {"drop_path": 0.0, "restart": 1},
    {"drop_path": 0.0, "clip": 0.0, "calibration": 0, "weight_decay": 0.0},
])  # fmt: skip
def test_replayed_steps_are_the_same_to_the_last_bit(
    recorder: TapeRecorder, changes: dict[str, float]
) -> None:
    nets = [Net(), Net()]
    one_by_one = train(nets[0], DATA, settings(cuda_graphs="no", **changes), 3)
    assert recorder.records == 0
    replayed = train(nets[1], DATA, settings(cuda_graphs="yes", **changes), 3)
    assert replayed == one_by_one
    assert same(*nets)
    # 100 images in batches of 15 and 14, and 40 of validation in 14 and 13: once for 4 epochs
    assert recorder.records == recorder.warm_ups == 4
    assert all(p.grad is None for p in nets[1].parameters())


def test_drop_path_grows_between_replays(recorder: TapeRecorder) -> None:
    seen: list[float] = []

    class Spy(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    net = Spy()
    train(net, DATA, settings(drop_path=0.9), 0, on_epoch=lambda _: seen.append(float(net.drop.p)))
    assert seen == pytest.approx([0, 0.3, 0.6, 0.9])
    assert isinstance(net.drop.p, float)
    assert recorder.records == 4
    quiet = Net()
    train(quiet, DATA, settings(drop_path=0.0), 0)
    assert not same(net, quiet)  # so the replays did drop


def test_a_replayed_training_goes_on_from_one_done_step_by_step(
    recorder: TapeRecorder, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "training.ckpt"
    s = settings(drop_path=0.0)
    whole, parts = Net(), Net()
    history = train(whole, DATA, s, 0)

    def stop(epoch: Any) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as without:
        without.setattr(training, "recorder_for", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            train(parts, DATA, s, 0, checkpoint=path, on_epoch=stop)
    again = Net(seed=5)
    assert train(again, DATA, s, 0, checkpoint=path) == history
    assert same(again, whole)


class Reads(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 if float(x.sum()) > -1e9 else 2)


def test_what_cannot_be_recorded_is_done_step_by_step_and_the_log_says_why(
    recorder: TapeRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    s = settings(drop_path=0.0)
    stepping._fall_back.cache_clear()
    nets = [Net(), Reads()]
    plain = train(nets[0], DATA, msgspec.structs.replace(s, cuda_graphs="no"), 0)
    with caplog.at_level(logging.WARNING):
        assert train(nets[1], DATA, s, 0) == plain
    assert same(*nets)
    (record,) = caplog.records
    assert "without CUDA graphs: a step could not be recorded (_local_scalar" in record.message


def test_a_warm_up_that_fails_leaves_everything_as_it_was(recorder: TapeRecorder) -> None:
    value = torch.ones(3)

    def step(first: Tensor, second: Tensor) -> None:
        value.add_(first)
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError):
        stepping.GraphStep(step, recorder, [value])(torch.ones(3), torch.ones(3))
    assert value.tolist() == [1, 1, 1]


@pytest.mark.parametrize("graphs", ["no", "yes"])
def test_a_training_holds_nothing_when_it_is_over(recorder: TapeRecorder, graphs: str) -> None:
    net = Net()
    held = weakref.ref(net)
    gc.disable()  # memory of a GPU cannot wait for the collector
    try:
        train(net, DATA, settings(cuda_graphs=graphs), 0)
        recorder.state.clear()
        del net
        assert held() is None
    finally:
        gc.enable()


def test_who_records(caplog: pytest.LogCaptureFixture) -> None:
    cpu = torch.device("cpu")
    stepping._fall_back.cache_clear()
    assert stepping.recorder_for(SETTINGS, cpu) is None
    assert stepping.recorder_for(settings(cuda_graphs="no"), torch.device("cuda")) is None
    assert not caplog.records
    for _ in range(2):
        assert stepping.recorder_for(settings(cuda_graphs="yes"), cpu) is None
    assert stepping.recorder_for(SETTINGS, torch.device("cuda"), 2) is None
    assert [r.message for r in caplog.records] == [
        "without CUDA graphs: there are no CUDA graphs on `cpu`",
        "without CUDA graphs: 2 processes train together",
    ]


class Random:
    """The random generator of a GPU; a recording that breaks off leaves its state in the middle."""

    def __init__(self) -> None:
        self.seed = self.offset = 0
        self.recording: Graph | None = None

    def draw(self, stream: object) -> tuple[int, int]:
        if self.recording and stream == "default":
            raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")
        if self.recording:
            self.recording.draws += 1
            return -1, -1
        self.offset += 1
        return self.seed, self.offset


class Graph:
    """A recording; replayed, it draws from the state that there was when it was made."""

    def __init__(self) -> None:
        self.draws, self.replayed = 0, Random()

    def replay(self) -> None:
        DRAWN.extend(self.replayed.draw("default") for _ in range(self.draws))


DRAWN: list[tuple[int, int]] = []


class Cuda:
    """`torch.cuda`, as far as a recorder knows it, with streams and a generator and no device."""

    CUDAGraph, graph_pool_handle = Graph, object

    def __init__(self) -> None:
        self.current: list[object] = ["default"]
        self.random = Random()

    def Stream(self, _: object) -> Any:
        return SimpleNamespace(wait_stream=lambda _: None)

    current_stream = Stream

    def get_rng_state(self, _: object) -> tuple[int, int]:
        return self.random.seed, self.random.offset

    def set_rng_state(self, state: tuple[int, int], _: object) -> None:
        self.random.seed, self.random.offset = state

    @contextmanager
    def stream(self, found: object) -> Iterator[None]:
        before = [*self.current]
        self.current.append(found)
        try:
            yield
        finally:
            self.current[:] = before

    @contextmanager
    def graph(self, graph: Graph, pool: object, found: object) -> Iterator[None]:
        self.current.append(found)
        self.random.recording, graph.replayed = graph, self.random
        yield  # where something is raised, ending the capture raises, too, and the stream stays
        self.current.pop()
        self.random.recording = None


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cuda]:
    found = Cuda()
    monkeypatch.setattr(torch, "cuda", found)
    monkeypatch.setattr(torch, "get_device_module", lambda _: found)  # which remembers
    stepping.cuda_recorder.cache_clear()
    DRAWN.clear()
    yield found
    stepping.cuda_recorder.cache_clear()


def test_a_recording_that_breaks_off_costs_no_other(cuda: Cuda) -> None:
    make, device = stepping.cuda_recorder, torch.device("cpu")
    recorder = make(device)
    assert recorder is make(device)
    with pytest.raises(RuntimeError, match="float"):
        recorder.record(lambda: (_ for _ in ()).throw(RuntimeError("float")))
    assert cuda.current == ["default"]
    assert make(device)._pool is not recorder._pool


@pytest.mark.parametrize("sizes", [(2, 3), (3, 2)])
def test_after_a_recording_that_breaks_off_steps_draw_as_they_would_one_by_one(
    cuda: Cuda, sizes: tuple[int, int]
) -> None:
    """The recorded steps of another size and those that could not be recorded, from one stream."""

    def step(first: Tensor, second: Tensor) -> None:
        number = cuda.random.draw(cuda.current[-1])
        if cuda.random.recording and len(first) == 3:
            raise RuntimeError("this size cannot be recorded")
        if not cuda.random.recording:
            DRAWN.append(number)

    def epochs(do: stepping.Step) -> list[tuple[int, int]]:
        DRAWN.clear()
        for seed in (1, 2):
            cuda.random.seed, cuda.random.offset = seed, 0
            for size in 2 * sizes:
                do(torch.zeros(size), torch.zeros(size))
        return [*DRAWN]

    one_by_one = epochs(step)
    recorder = stepping.cuda_recorder(torch.device("cpu"))
    steps = stepping.GraphStep(step, recorder, [])
    for size in sizes:  # warm-ups draw in earnest, and are put back
        steps(torch.zeros(size), torch.zeros(size))
    assert epochs(steps) == one_by_one
    assert len(one_by_one) == 8


# --- nothing waits for the device ----------------------------------------------------------------


def one_epoch(module: nn.Module, data: ImageData, s: Any) -> None:
    optimizer = training._sgd(module, s)
    with training.Fit(module, optimizer, data, s, 3, False, training.ALONE) as fit:
        fit.epoch(2, torch.Generator().manual_seed(1))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "score", lambda *_: Score(0.0, 0.0))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_epoch_reads_nothing_before_its_end(unread: None, precision: str) -> None:
    with NoReads():
        one_epoch(Net(), DATA, settings(precision=precision))


def test_its_end_does_read() -> None:
    with NoReads(), pytest.raises(RuntimeError, match="_local_scalar_dense waits"):
        one_epoch(Net(), DATA, SETTINGS)


@pytest.mark.parametrize("place", ["cuda", "cpu"])
def test_everything_lies_on_the_gpu_or_travels_there(
    unread: None, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Pretended tensors know devices and shapes: two devices in one operation are an error.

    The backward pass and the fused optimizer cannot be pretended where there is no driver.
    """
    layers = to_layers(to_network(load_architecture(ARCHITECTURES[0])))
    device = torch.device("cuda")
    sent: list[torch.dtype] = []

    def send(values: Tensor, device: torch.device) -> Tensor:
        if values.device.type == "cpu" and device.type == "cuda":
            sent.append(values.dtype)
        return values.to(device)

    monkeypatch.setattr(augmentation, "send", send)
    monkeypatch.setattr(torch.optim.SGD, "step", lambda _: None)
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = Supernet(device=device).network(layers)

        def backward(_: Tensor) -> None:
            for parameter in network.parameters():
                parameter.grad = torch.zeros_like(parameter)

        monkeypatch.setattr(Tensor, "backward", backward)

        def part(n: int) -> Part:
            images = torch.zeros(n, 3, 32, 32, dtype=torch.uint8, device=place)
            return Part(images, torch.zeros(n, dtype=torch.int64, device=device))

        plain = Preprocessing((0.5,) * 3, (0.2,) * 3)
        data = ImageData(
            "x", tuple("0123456789"), part(50), part(20), part(20), plain, Augmentation(4, True, 8)
        )
        s = settings(precision="float32", drop_path=0.0)
        asked: list[object] = []
        monkeypatch.setattr(training, "recorder_for", lambda *_: asked.append(_))
        one_epoch(network, data, s)
        assert {p.device.type for p in network.parameters()} == {"cuda"}
        assert len(asked) == (place == "cuda")  # what travels is not recorded
        assert sent.count(torch.uint8) == (10 if place == "cpu" else 0)  # batches


# --- half of the precision -----------------------------------------------------------------------


def test_bfloat16_learns_alike_and_keeps_its_weights_in_float32() -> None:
    nets = [Net(), Net()]
    kinds: set[torch.dtype] = set()
    nets[1].conv.register_forward_hook(lambda *found: kinds.add(found[2].dtype))
    whole, half = (
        train(net, DATA, settings(precision=p, drop_path=0.0), 0)[-1]
        for net, p in zip(nets, ("float32", "bfloat16"), strict=True)
    )
    assert kinds == {torch.bfloat16}
    assert {p.dtype for p in nets[1].parameters()} == {torch.float32}
    assert half.validation != whole.validation
    assert half.validation.loss == pytest.approx(whole.validation.loss, rel=0.1)
    assert half.validation.accuracy > 0.9


# --- compiled ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++ here")
def test_compiled_steps_learn_alike() -> None:
    nets = [Net(), Net()]
    s = settings(batch=20, drop_path=0.0, epochs=2)  # five batches of one size
    plain, compiled = (
        train(net, DATA, s, 0, compiled=c)[-1] for net, c in zip(nets, (False, True), strict=True)
    )
    assert compiled.validation.loss == pytest.approx(plain.validation.loss, rel=0.05)
    assert nets[1].state_dict().keys() == nets[0].state_dict().keys()


def test_nothing_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("No working C++ compiler found\nmore")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(ConfigError, match=r"E522: .*: No working C\+\+ compiler found\n"):
        train(Net(), DATA, SETTINGS, 0, compiled=True)


# --- on a GPU ------------------------------------------------------------------------------------


def on_gpu(s: Any) -> tuple[torch.device, ImageData]:
    device = prepare_device(msgspec.structs.replace(s, device="cuda"))
    parts = [Part(p.images.to(device), p.labels.to(device))
             for p in (DATA.train, DATA.validation, DATA.test)]  # fmt: skip
    return device, ImageData("shades", DATA.classes, *parts, DATA.preprocessing, DATA.augmentation)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_graphs_train_as_single_launches_do(precision: str) -> None:
    s = settings(precision=precision, drop_path=0.3)
    device, data = on_gpu(s)
    nets = [Net().to(device), Net().to(device)]
    stepping._fall_back.cache_clear()
    alone, graph = (
        train(net, data, msgspec.structs.replace(s, cuda_graphs=g), 0)
        for net, g in zip(nets, ("no", "yes"), strict=True)
    )
    assert stepping._fall_back.cache_info().currsize == 0
    tolerance = 1e-4 if precision == "float32" else 3e-2
    for one, other in zip(alone, graph, strict=True):
        assert other.training.loss == pytest.approx(one.training.loss, rel=tolerance)
        assert other.validation.loss == pytest.approx(one.validation.loss, rel=tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("graphs", ["yes", "no"])
def test_no_epoch_waits_for_the_gpu(unread: None, graphs: str) -> None:
    s = settings(cuda_graphs=graphs)
    device, data = on_gpu(s)
    net = Net().to(device)
    optimizer = training._sgd(net, s)
    with training.Fit(net, optimizer, data, s, 3, False, training.ALONE) as fit:
        fit.epoch(1, torch.Generator().manual_seed(1))  # records
        torch.cuda.set_sync_debug_mode("error")
        try:
            fit.epoch(2, torch.Generator().manual_seed(1))
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_networks_share_the_memory_of_their_graphs() -> None:
    s = settings(drop_path=0.0, epochs=1)
    device, _ = on_gpu(s)
    count, channels = 300, 3
    images = torch.randint(0, 256, (count, channels, 32, 32), dtype=torch.uint8, device=device)
    part = Part(images, torch.randint(0, 10, (count,), device=device))
    data = ImageData("noise", tuple("0123456789"), part, part, part,
                     Preprocessing.of(images), Augmentation())  # fmt: skip
    evaluator = SupernetEvaluator(data, s)
    evaluator.supernet = Supernet(device=device)
    architectures = [load_architecture(text) for text in ARCHITECTURES]
    held = []
    for turn in range(6):
        for number, architecture in enumerate(architectures):
            evaluator.evaluate(architecture, 2 * turn + number)
        held.append(torch.cuda.memory_reserved(device))
    assert held[-1] <= 1.05 * held[1]


@pytest.mark.gpu
def test_what_a_graph_cannot_hold_is_launched_one_by_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device, data = on_gpu(SETTINGS)
    stepping._fall_back.cache_clear()
    history = train(Reads().to(device), data, SETTINGS, 0)
    assert history[-1].validation.accuracy > 0.8
    assert "without CUDA graphs" in caplog.text
    stepping._fall_back.cache_clear()
    train(Net().to(device), data, SETTINGS, 0)  # the next network is recorded again
    assert stepping._fall_back.cache_info().currsize == 0


@pytest.mark.gpu
def test_recording_takes_well_under_a_second() -> None:
    s = settings(drop_path=0.0, epochs=1)
    device, data = on_gpu(s)
    train(Net().to(device), data, s, 0)
    start = time.perf_counter()
    train(Net().to(device), data, s, 0)
    assert time.perf_counter() - start < 1
