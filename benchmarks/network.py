"""Training step of a bound network against the same network written by hand; time to bind.

    python benchmarks/network.py [--batch 128] [--rounds 15] [--threads 2] [-o FILE]

The steps (forward, loss, backward, clipping, Nesterov SGD) of all variants take turns within one
process, and speeds are medians of the ratios within a turn, so that what else the machine does
hits all alike. One thread by default: several wait for each other where there is other work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rows import finish, parser, row
from torch import Tensor, nn

from epnas_dsl.lang.loading import load_architecture
from epnas_dsl.nn.network import count_parameters
from epnas_dsl.nn.supernet import Supernet
from epnas_dsl.space.graph import to_layers, to_network

TEXT = (
    "micro: h1 = skip_connect(prev2) + conv_3x3(prev1); "
    "h2 = dw_conv_5x5(prev1) + max_pool_3x3(h1); h3 = conv_5x5(prev2) + dw_conv_3x3(h1); "
    "h4 = dw_conv_3x3(h2) + avg_pool_3x3(prev2); h5 = conv_3x3(h2) + dw_conv_5x5(h4)"
)
LARGE = "micro(repeats=4)"  # 14 cells of 10 operations, for the time to bind


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


def variants(batch: int) -> dict[str, Callable[[], None]]:
    """The training steps, after checking that all are of one and the same network."""
    layers = to_layers(to_network(load_architecture(TEXT)))
    images, labels = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
    steps = {}
    for name, form in (("contiguous", torch.contiguous_format), ("last", torch.channels_last)):
        x = images.contiguous(memory_format=form)
        supernet = Supernet(memory_format=form)
        bound, hand = supernet.network(layers), ByHand()
        own = list(supernet.extract(layers).parameters())
        for ours, theirs in zip(own, hand.parameters(), strict=True):
            theirs.data.copy_(ours)
        hand.to(memory_format=form)
        torch.testing.assert_close(bound(x[:2]), hand(x[:2]), rtol=1e-3, atol=1e-3)
        assert count_parameters(bound) == count_parameters(hand)
        steps[f"by hand, {name}"] = step_of(hand, x, labels)
        steps[f"bound, {name}"] = step_of(bound, x, labels)
    return steps


def binding(rounds: int) -> dict[str, float]:
    """Milliseconds to bind a large network, whose weights exist, and whose code is known."""
    layers = to_layers(to_network(load_architecture(TEXT.replace("micro", LARGE, 1))))
    supernet = Supernet()
    first = timed(lambda: supernet.network(layers))
    again = statistics.median(timed(lambda: supernet.network(layers)) for _ in range(rounds))
    return {"layers": len(layers), "first_ms": 1e3 * first, "median_ms": 1e3 * again}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--threads", type=int, default=1)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    steps = variants(options.batch)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(options.rounds + 2):
        order = list(steps) if number % 2 else list(reversed(steps))
        for name in order:
            seconds = timed(steps[name])
            if number >= 2:
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    base = times["by hand, contiguous"]
    speeds = {
        name: statistics.median(b / t for b, t in zip(base, values, strict=True))
        for name, values in times.items()
    }
    bind = binding(30)
    hand = "the same network by hand, contiguous"
    last = row("training step, channels_last, against contiguous by hand",
               speeds["bound, last"], "", f"{hand}; by hand, last {speeds['by hand, last']:.2f}",
               at_least=1.6)  # fmt: skip
    finish(
        [
            row("training step of a bound network, speed", speeds["bound, contiguous"], "",
                f"{hand}: {1e3 * medians['by hand, contiguous']:.0f} ms", at_least=0.98),
            last,
            row(f"binding {bind['layers']} layers to shared weights", bind["median_ms"], "ms"),
            row("  the first time, weights made", bind["first_ms"], "ms"),
        ],
        options.output,
    )  # fmt: skip


if __name__ == "__main__":
    main()
