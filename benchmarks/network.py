"""Training steps of bound networks against the same networks written by hand; time to a new one.

    python benchmarks/network.py [--batch 128] [--rounds 5] [--threads 2] [-o FILE]

The steps (forward, loss, backward, clipping, Nesterov SGD) of all variants take turns within one
process, and speeds are medians of the ratios within a turn, so that what else the machine does
hits all alike. One thread by default: several wait for each other where there is other work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from rows import Row, beside, finish, parser, row
from torch import Tensor, nn

from epnas_dsl.lang.loading import load_architecture, load_space
from epnas_dsl.nn.export import export_python
from epnas_dsl.nn.network import build_network, count_parameters
from epnas_dsl.nn.portable import renamed
from epnas_dsl.nn.supernet import Supernet
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import network_layers, to_layers, to_network
from epnas_dsl.space.operations import Layer

IMAGE = (3, 32, 32)
OWN = 20  # networks that are also made with weights of their own
Steps = dict[str, Callable[[], None]]
Hand = Callable[[nn.Module], nn.Module]  # a module with the weights of a network

TEXT = (
    "micro: h1 = skip_connect(prev2) + conv_3x3(prev1); "
    "h2 = dw_conv_5x5(prev1) + max_pool_3x3(h1); h3 = conv_5x5(prev2) + dw_conv_3x3(h1); "
    "h4 = dw_conv_3x3(h2) + avg_pool_3x3(prev2); h5 = conv_3x3(h2) + dw_conv_5x5(h4)"
)


# --- the network by hand -------------------------------------------------------------------------


class Conv(nn.Module):
    def __init__(self, inputs: int, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Separable(nn.Module):
    def __init__(self, c: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(c, c, kernel, stride, kernel // 2, groups=c, bias=False)
        self.pointwise = nn.Conv2d(c, c, 1, bias=False)
        self.norm = nn.BatchNorm2d(c)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.pointwise(self.depthwise(x))))


class Reduce(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.left = nn.Conv2d(c, c // 2, 1, 2, bias=False)
        self.right = nn.Conv2d(c, c // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(c)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        shifted = F.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))
        return self.norm(torch.cat([self.left(x), self.right(shifted)], 1))


class Cell(nn.Module):
    """`adapt2` and `adapt1`: the stride of the 1x1 convolution on an input; 0 where it fits."""

    def __init__(self, in2: int, in1: int, c: int, stride: int, adapt2: int, adapt1: int) -> None:
        super().__init__()
        self.prev2 = Conv(in2, c, 1, adapt2) if adapt2 else nn.Identity()
        self.h1a = Reduce(c) if stride == 2 else nn.Identity()
        self.prev1 = Conv(in1, c, 1, adapt1) if adapt1 else nn.Identity()
        self.h1b = Conv(c, c, 3, stride)
        self.h2a = Separable(c, 5, stride)
        self.h2b = nn.MaxPool2d(3, 1, 1)
        self.h3a = Conv(c, c, 5, stride)
        self.h3b = Separable(c, 3)
        self.h4a = Separable(c, 3)
        self.h4b = nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        self.h5a = Conv(c, c, 3)
        self.h5b = Separable(c, 5)

    def forward(self, prev2: Tensor, prev1: Tensor) -> Tensor:
        prev1, prev2 = self.prev1(prev1), self.prev2(prev2)
        h1 = self.h1a(prev2) + self.h1b(prev1)
        h2 = self.h2a(prev1) + self.h2b(h1)
        h3 = self.h3a(prev2) + self.h3b(h1)
        h4 = self.h4a(h2) + self.h4b(prev2)
        h5 = self.h5a(h2) + self.h5b(h4)
        return torch.cat([h3, h5], 1)


class ByHand(nn.Module):
    def __init__(self, c: int = 24, classes: int = 10) -> None:
        super().__init__()
        self.stem = Conv(3, c, 3)
        self.cells = nn.ModuleList()
        before2, before1 = (c, 1), (c, 1)  # channels and scale of the cells before
        for stride in (1, 1, 2, 1, 1, 2, 1, 1):
            c *= stride
            scale = max(before2[1], before1[1])
            adapt = [0 if b == (c, scale) else scale // b[1] for b in (before2, before1)]
            self.cells.append(Cell(before2[0], before1[0], c, stride, *adapt))
            before2, before1 = before1, (2 * c, scale * stride)
        self.linear = nn.Linear(2 * c, classes)

    def forward(self, image: Tensor) -> Tensor:
        x2 = x1 = self.stem(image)
        for cell in self.cells:
            x2, x1 = x1, cell(x2, x1)
        return self.linear(x1.mean((2, 3)))


# --- measuring -----------------------------------------------------------------------------------


def step_of(
    network: nn.Module, images: Tensor, labels: Tensor, fused: bool = False
) -> Callable[[], None]:
    parameters = list(network.parameters())
    optimizer = torch.optim.SGD(
        parameters, 0.01, 0.9, weight_decay=1e-4, nesterov=True, fused=fused
    )

    def step() -> None:
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return step


def timed(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def by_hand(network: nn.Module) -> nn.Module:
    """The module above with the weights of a network."""
    made = ByHand()
    for theirs, ours in zip(made.parameters(), network.parameters(), strict=True):
        theirs.data.copy_(ours)
    return made


def from_file(architecture: Architecture) -> Hand:
    """The class that `epnas compile` writes for an architecture: plain PyTorch, as by hand."""
    file = export_python(architecture, IMAGE)
    found: dict[str, type[nn.Module]] = {}
    exec(file.text, found)

    def made(network: nn.Module) -> nn.Module:
        module = found["Model"]()
        module.load_state_dict(renamed(network.state_dict(), file))
        return module

    return made


def steps_of(layers: Sequence[Layer], hand: dict[str, Hand], batch: int) -> Steps:
    """The training steps of one network, after checking that all compute the same."""
    images, labels = torch.randn(batch, *IMAGE), torch.randint(10, (batch,))
    steps: Steps = {}
    for form, memory in (("contiguous", torch.contiguous_format), ("last", torch.channels_last)):
        x = images.contiguous(memory_format=memory)
        supernet = Supernet(memory_format=memory)
        bound = supernet.network(layers)
        steps[f"bound, {form}"] = step_of(bound, x, labels, fused=True)
        for name, made in hand.items():
            other = made(supernet.extract(layers)).to(memory_format=memory)
            torch.testing.assert_close(bound(x[:2]), other(x[:2]), rtol=1e-3, atol=1e-3)
            assert count_parameters(bound) == count_parameters(other)
            steps[f"{name}, {form}"] = step_of(other, x, labels, fused=form == "last")
    return steps


def taken(steps: Steps, rounds: int) -> dict[str, list[float]]:
    """Seconds of each step, of which all take turns; the first two turns do not count."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 2):
        for name in list(steps) if number % 2 else reversed(steps):
            seconds = timed(steps[name])
            if number >= 2:
                times[name].append(seconds)
    return times


def speed(times: dict[str, list[float]], ours: str, theirs: str) -> float:
    """How many times as fast, in the middle of the turns."""
    return statistics.median(b / t for b, t in zip(times[theirs], times[ours], strict=True))


def several(count: int, rounds: int, batch: int) -> list[Row]:
    """Seeded architectures of the paper's size, each against what was written for it."""
    fast, faster = [], []
    for architecture in sample(load_space("micro"), count, np.random.default_rng(0)):
        steps = steps_of(to_layers(to_network(architecture)), {"file": from_file(architecture)},
                         batch)  # fmt: skip
        del steps["bound, contiguous"]
        times = taken(steps, rounds)
        fast.append(speed(times, "bound, last", "file, contiguous"))
        faster.append(speed(times, "bound, last", "file, last"))
    what = f"training step of {count} architectures in the middle"
    return [
        row(f"{what}, speed", statistics.median(fast), "",
            f"plain contiguous modules; from {min(fast):.2f} to {max(fast):.2f}", at_least=2.3),
        row("  by modules in channels_last with a fused optimiser", statistics.median(faster), "",
            f"the same, tuned; from {min(faster):.2f} to {max(faster):.2f}", at_least=1.05),
    ]  # fmt: skip


def ready(text: str, count: int = 200) -> list[Row]:
    """From an architecture to its network, bound to weights that others of a space have made."""
    supernet, seconds, own, layers = Supernet(), [], [], 0
    for number, architecture in enumerate(sample(load_space(text), 2 * count,
                                                 np.random.default_rng(0))):  # fmt: skip
        start = time.process_time()
        program = network_layers(architecture, IMAGE)
        supernet.network(program)
        seconds.append(time.process_time() - start)
        layers += len(program)
        if number >= 2 * count - OWN:
            start = time.process_time()
            build_network(program)
            own.append(time.process_time() - start)
    middle, mean = (1e3 * f(seconds[count:]) for f in (statistics.median, statistics.mean))
    what = f"a network for a new architecture, {text}"
    alone = beside("weights of its own, layers known", 1e3 * statistics.median(own), middle, "ms")
    return [
        row(what, middle, "ms", f"{alone}; after {count} others, {layers / 2 / count:.0f} layers",
            at_most=5),
        row("  on average, Python's collector included", mean, "ms",
            beside("the median", middle, mean, "ms")),
    ]  # fmt: skip


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--batch", type=int, default=128)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--architectures", type=int, default=10)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    architecture = load_architecture(TEXT)
    hand = {"hand": by_hand, "file": from_file(architecture)}
    times = taken(
        steps_of(to_layers(to_network(architecture)), hand, options.batch), options.rounds
    )
    rows = several(options.architectures, options.rounds, options.batch)
    middle = 1e3 * statistics.median(times["hand, contiguous"])
    finish(
        [
            row("training step of a bound network, contiguous, speed",
                speed(times, "bound, contiguous", "hand, contiguous"), "",
                f"the same network by hand: {middle:.0f} ms", at_least=0.98),
            row("  of the file that `epnas compile` writes",
                speed(times, "file, contiguous", "hand, contiguous"), "",
                f"the same network by hand: {middle:.0f} ms"),
            *rows,
            *ready("enas_micro(repeats=2)"),
            *ready("pnas"),
        ],
        options.output,
    )  # fmt: skip


if __name__ == "__main__":
    main()
