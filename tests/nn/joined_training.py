"""One of the processes of a training in double precision; prints its curve if it is the first.

    torchrun --nproc-per-node 2 joined_training.py CHECKPOINT [stop]

Only the first process has the checkpoint, as on machines of their own; `stop`: after an epoch.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from epnas_dsl.config import DataSettings, TrainingSettings
from epnas_dsl.lang.loading import load_architecture
from epnas_dsl.nn.data import load_data
from epnas_dsl.nn.network import build_network
from epnas_dsl.nn.peers import gathered
from epnas_dsl.nn.training import train
from epnas_dsl.space.graph import to_layers, to_network

CELL = "h1 = skip_connect(prev2) + conv_3x3(prev1); h2 = dw_conv_5x5(prev1) + max_pool_3x3(h1)"
ARCHITECTURE = f"micro(blocks=2, channels=4, repeats=1): {CELL}"
SETTINGS = TrainingSettings(batch=101, device="cpu")  # shares of 49 and 48 images, or 50 and 50


class Double(nn.Module):
    """In double precision, so that rounding stays small for the length of a training."""

    def __init__(self) -> None:
        super().__init__()
        layers = to_layers(to_network(load_architecture(ARCHITECTURE), (1, 8, 8)))
        self.network = build_network(layers).double()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.network(x.double())
        return scores


def threads_of_the_group() -> list[str]:
    """Where the system tells: they abort the process when they outlive the interpreter."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def main() -> None:
    checkpoint = Path(sys.argv[1])
    with gathered(torch.device("cpu")) as peers:
        if peers.rank:
            checkpoint = checkpoint.parent / "elsewhere" / checkpoint.name

        def stop(epoch: object) -> None:
            if sys.argv[2:]:
                raise SystemExit(9)

        history = train(
            Double(), load_data(DataSettings()), SETTINGS, 1,
            epochs=3, checkpoint=checkpoint, on_epoch=stop, peers=peers,
        )  # fmt: skip
    if peers.rank == 0:
        print(json.dumps([asdict(epoch) for epoch in history]))


if __name__ == "__main__":
    try:
        main()
    finally:
        print(f"left: {threads_of_the_group()}", file=sys.stderr)
