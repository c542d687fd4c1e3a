"""Training steps one by one, as a CUDA graph and compiled, and what the paper's search would take.

    python benchmarks/gpu.py [--space micro|macro] [--rounds 3] [--peak TFLOPS] [-o FILE]

The images are noise of CIFAR-10's size: 45,000 to train on, 5,000 for validation. For every level
of the space a few random architectures are trained on shared weights as a search does; the time of
their epochs and recordings, times the trainings of a level, is the projection, held against the
paper's own time; each level against the steps alone at the rate of the graph. Without a GPU the
same code runs on a small setting, a graph is stood for by the function itself, and the figures say
nothing about a GPU.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch
from rows import Row, beside, finish, parser, row
from torch.utils._python_dispatch import TorchDispatchMode

from epnas_dsl.config import SearchSettings, TrainingSettings
from epnas_dsl.errors import ConfigError
from epnas_dsl.lang.loading import load_space
from epnas_dsl.nn import training
from epnas_dsl.nn.augmentation import Augmentation, Part, Preprocessing
from epnas_dsl.nn.data import ImageData
from epnas_dsl.nn.peers import ALONE
from epnas_dsl.nn.supernet import Supernet
from epnas_dsl.nn.training import Fit
from epnas_dsl.search import planned_trials
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import to_layers, to_network
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.shapes import costs

PEAKS = {"A100": 312.0, "H100": 989.4, "H200": 989.4}  # dense bfloat16 TFLOPS, data sheets (SXM)
GPU = torch.cuda.is_available()
PAPER_TRAINING, PAPER_VALIDATION = 45_000, 5_000
PAPER_DAYS = {"micro": 1.8, "macro": 1.2}  # of one GPU, for its searches
TARGET = 30.0  # minutes for the paper's search


class Twin:
    """Stands for the recording of a graph where there is no GPU: its replay is the function."""

    def warm_up(self, function: Callable[[], None]) -> None:
        function()

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        return function


@dataclass
class Bench:
    """What is measured, and on what."""

    space: SearchSpace
    data: ImageData
    settings: TrainingSettings
    supernet: Supernet
    rounds: int

    @contextmanager
    def fit(
        self, architecture: Architecture, graphs: bool, compiled: bool = False
    ) -> Iterator[Fit]:
        layers = to_layers(to_network(architecture, self.data.shape))
        network = self.supernet.network(layers)
        settings = msgspec.structs.replace(self.settings, cuda_graphs="yes" if graphs else "no")
        optimizer = training._sgd(network, settings)
        with Fit(network, optimizer, self.data, settings, 3, compiled, ALONE) as fit:
            yield fit

    def epochs(self, fit: Fit) -> tuple[float, list[float]]:
        """Seconds of the first epoch, which records and compiles, and of those after it."""
        seconds = []
        for number in range(1, self.rounds + 2):
            start = waited()
            fit.epoch(number, torch.Generator().manual_seed(number))
            seconds.append(waited() - start)
        return seconds[0], seconds[1:]

    def steps(self, fit: Fit) -> float:
        """Median seconds of a training step, out of whole passes."""
        fit.module.train()
        step, times = fit.recorded or fit._step, []
        for number in range(self.rounds + 1):
            picks = fit.feed.picks(self.settings.batch, torch.Generator().manual_seed(number))
            start = waited()
            for chosen, draws in picks:
                step(chosen, draws)
            times.append((waited() - start) / len(picks))
        return statistics.median(times[1:])


def waited() -> float:
    """The time when the device has nothing left to do."""
    if GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def noise(count: int, device: torch.device) -> Part:
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 10, (count,), device=device)
    return Part(images.contiguous(memory_format=torch.channels_last), labels)


def launches(fit: Fit) -> int:
    """Kernels of one step on a GPU, tensor operations of one step elsewhere."""
    fit.module.train()
    (chosen, draws), *_ = fit.feed.picks(fit.settings.batch, torch.Generator().manual_seed(0))
    fit._step(chosen, draws)
    if not GPU:
        count = 0

        class Counting(TorchDispatchMode):
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                nonlocal count
                count += 1
                return func(*args, **(kwargs or {}))

        with Counting():
            fit._step(chosen, draws)
        return count
    waited()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        fit._step(chosen, draws)
        waited()
    events = [e for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    return sum(not e.name.startswith(("Memcpy", "Memset")) for e in events)


def ways(
    bench: Bench, architecture: Architecture, peak: float | None
) -> tuple[list[Row], float]:  # fmt: skip
    """The three ways to do the steps of one architecture of full length; seconds of a replay."""
    name = "CUDA graph" if GPU else "function in place of a CUDA graph"
    unit = f"steps/s at batch {bench.settings.batch}"
    with bench.fit(architecture, graphs=False) as fit:
        kernels, eager = launches(fit), bench.steps(fit)
    with bench.fit(architecture, graphs=True) as fit:
        start = waited()
        for pick in {p[0].shape: p for p in fit.feed.picks(bench.settings.batch)}.values():
            fit.module.train()
            assert fit.recorded
            fit.recorded(*pick)
        recording, graph = waited() - start, bench.steps(fit)
    rows = [
        row("steps, launched one by one", 1 / eager, unit, "the base of the steps below"),
        row(f"steps, {name}", 1 / graph, unit, beside("one by one", 1 / eager, 1 / graph, unit)),
        row("recording an architecture, all batch sizes", recording, "s",
            beside("a step one by one", eager, recording, "s"), at_most=1.0 if GPU else None),
        row("kernels" if GPU else "tensor operations", kernels, "a step",
            "the replay of a graph: 1 launch"),
    ]  # fmt: skip
    try:
        with bench.fit(architecture, graphs=True, compiled=True) as fit:
            compiled = bench.steps(fit)
        against = beside(f"steps, {name}", 1 / graph, 1 / compiled, unit)
        rows.append(row(f"steps, compiled, {name}", 1 / compiled, unit, against))
    except ConfigError as error:
        rows.append(row("steps, compiled", None, unit, str(error)))
    macs = costs(to_layers(to_network(architecture, bench.data.shape)), bench.data.shape).macs
    rate = 6 * macs * bench.settings.batch / graph / 1e12  # forward and twice as much backward
    share = f"{100 * rate / peak:.2f} % of {peak:g} TFLOPS" if peak else "peak unknown: --peak"
    rows.append(row("arithmetic", rate, "TFLOPS", share))
    return rows, graph


def projection(bench: Bench, each: int, step: float) -> list[Row]:
    """Minutes of the paper's whole search, from trainings of every level; `step`: see `ways`."""
    search, rng = SearchSettings(retrain="yes"), np.random.default_rng(0)
    depth = bench.space.depth
    planned, later = planned_trials(bench.space, search), search.kept * search.iterations
    seconds, rows = 0.0, []
    scale = PAPER_TRAINING / len(bench.data.train)
    alone = 3 * math.ceil(PAPER_TRAINING / bench.settings.batch) * step
    for level in range(1, depth + 1):
        found = []
        for architecture in sample(bench.space, each, rng, level=level):
            start = waited()
            with bench.fit(architecture, graphs=True) as fit:
                made = waited() - start
                record, epochs = bench.epochs(fit)
            epoch = statistics.median(epochs)
            found.append(made + max(record - epoch, 0) + 3 * epoch * scale)
        trainings = later if level > 1 else planned - later * (depth - 1)
        one = statistics.fmean(found)
        seconds += trainings * one
        rows.append(row(f"level {level}, {trainings} trainings of 3 epochs", one, "s each",
                        beside("the steps of the full length alone", alone, one, "s")))  # fmt: skip
    what = "the paper's search, without surrogate and files" if GPU else "all, of no account here"
    theirs = 24 * 60 * PAPER_DAYS[bench.space.name]
    against = beside(f"the paper, {planned} trainings", theirs, seconds / 60, "minutes")
    target = TARGET if GPU else None
    return [*rows, row(what, seconds / 60, "minutes", against, at_most=target)]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--space", choices=["micro", "macro"], default="micro")
    arguments.add_argument("--rounds", type=int, default=3 if GPU else 1)
    arguments.add_argument("--each", type=int, default=2 if GPU else 1, help="of each level")
    arguments.add_argument("--peak", type=float, help="TFLOPS of the device in bfloat16")
    options = arguments.parse_args()
    device = torch.device("cuda" if GPU else "cpu")
    name = torch.cuda.get_device_name() if GPU else "no GPU"
    settings = TrainingSettings(device=device.type, batch=128 if GPU else 16)
    space, sizes = load_space(options.space), (PAPER_TRAINING, PAPER_VALIDATION)
    if not GPU:
        print(
            "There is no GPU here: a small setting on the processor, to see that all of this runs."
        )
        training.recorder_for = lambda s, *_: Twin() if s.cuda_graphs == "yes" else None
        small = {"micro": {"blocks": 1, "repeats": 1}, "macro": {"layers": 2}}[options.space]
        space, sizes = load_space(options.space, channels=4, **small), (48, 32)
    peak = options.peak or next((v for k, v in PEAKS.items() if k in name), None)
    parts = [noise(n, device) for n in sizes]
    data = ImageData("noise", tuple("0123456789"), *parts, parts[1],
                     Preprocessing.of(parts[0].images), Augmentation(4, True, 0))  # fmt: skip
    supernet = Supernet(memory_format=torch.channels_last, device=device)
    bench = Bench(space, data, settings, supernet, options.rounds)
    (whole,) = sample(space, 1, np.random.default_rng(1))
    rows, step = ways(bench, whole, peak)
    rows += projection(bench, options.each, step)
    print(f"{options.space} on {name}, torch {torch.__version__}: {whole}")
    finish([{**r, "device": name} for r in rows], options.output)


if __name__ == "__main__":
    main()
