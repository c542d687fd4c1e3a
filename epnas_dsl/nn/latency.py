"""Turn layers into the time that a network of them takes for a batch of images on this device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch

from epnas_dsl.nn.folding import fold_batch_norms
from epnas_dsl.nn.network import build_network
from epnas_dsl.space.operations import Layer

WARM_UP, PASSES = 3, 15


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
