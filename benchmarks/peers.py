"""A new architecture under shared weights: drawn, bound, trained; beside NNI's supernet of PNAS.

    python benchmarks/peers.py [--peers FOLDER] [--rounds 5] [-o FILE]

Where NNI 3.0 is installed it takes turns with ours: its hub's PNAS and ours, 24 channels and 8
cells, batches of 32 images of CIFAR's size, one thread. FOLDER is the site-packages of an
environment with

    pip install nni==3.0 "setuptools<81"; pip install --no-deps pytorch-lightning torchmetrics \
        lightning-utilities fsspec

which need not be the one that torch is taken from. Ours is held as well against the file that
`epnas compile` writes, which is plain PyTorch: its class made, its step. A step is forward, loss,
backward and SGD; a single path is held against the same network on its own: NNI's against its
`freeze`, ours against `Supernet.extract`. NNI resamples as its lightning module does.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rows import Row, beside, finish, medians, parser, row
from torch import nn

from epnas_dsl.lang import load_space
from epnas_dsl.nn.export import export_python
from epnas_dsl.nn.network import build_network
from epnas_dsl.nn.supernet import Supernet
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import network_layers

IMAGE = (3, 32, 32)
Runs = dict[str, Callable[[], object]]


def step_of(network: nn.Module) -> Callable[[], None]:
    """A training step on the same images and labels."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(32, *IMAGE, generator=random)
    labels = torch.randint(10, (32,), generator=random)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9)
    network.train()

    def step() -> None:
        optimizer.zero_grad()
        scores = network(images)
        scores = scores[0] if isinstance(scores, tuple) else scores
        F.cross_entropy(scores, labels).backward()
        optimizer.step()

    return step


def ours() -> Runs:
    """Drawing and binding, making a network, steps."""
    space, random, supernet = load_space("pnas"), np.random.default_rng(0), Supernet()
    (architecture,) = sample(space, 1, random)
    layers = network_layers(architecture, IMAGE)
    found: dict[str, Any] = {}
    exec(export_python(architecture, IMAGE).text, found)

    def resample() -> None:
        (drawn,) = sample(space, 1, random)
        supernet.network(network_layers(drawn, IMAGE))

    return {
        "resample": resample,
        "model": lambda: build_network(network_layers(sample(space, 1, random)[0], IMAGE)),
        "path": step_of(supernet.network(layers)),
        "alone": step_of(supernet.extract(layers)),
        "class": found["Model"],
        "file": step_of(found["Model"]()),
    }


def theirs() -> Runs:
    """The same of NNI; empty where it is not installed."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    try:
        from nni.nas.hub.pytorch import PNAS
        from nni.nas.oneshot.pytorch.strategy import RandomOneShot
        from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
    except ImportError as error:
        print(f"NNI is left out: {error}", file=sys.stderr)
        return {}

    def space() -> Any:
        return PNAS(width=24, num_cells=8, dataset="cifar")

    plain, net = space(), RandomOneShot().mutate_model(space())
    modules = [m for m in net.modules() if isinstance(m, BaseSuperNetModule)]

    def resample() -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        for module in modules:
            drawn.update(module.resample(memo=drawn))
        return drawn

    chosen = resample()  # and once more at every turn: the path that is trained is the last one
    runs = {"resample": resample, "model": lambda: plain.freeze(chosen)}
    return {**runs, "path": step_of(net), "alone": step_of(plain.freeze(chosen))}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--peers", metavar="FOLDER", help="where NNI is installed")
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    if given.peers:
        sys.path.append(given.peers)
    torch.set_num_threads(1)
    mine, nni = ours(), theirs()
    # resampling last: the steps of NNI's path are those of the architecture that it was frozen to
    figures: dict[str, float] = {}
    for part in (("path", "alone", "file"), ("resample", "model", "class")):
        runs = {f"{who} {name}": them[name] for who, them in (("ours", mine), ("nni", nni))
                for name in part if name in them}  # fmt: skip
        figures |= medians(runs, given.rounds)
    finish(table(figures), given.output)


def table(figures: dict[str, float]) -> list[Row]:
    """The rows, each beside plain PyTorch and, where it is installed, NNI."""

    def milliseconds(what: str, name: str, plain: str, rival: str) -> Row:
        ours, *others = (1e3 * figures[n] for n in (f"ours {name}", f"ours {plain}", f"nni {name}")
                         if n in figures)  # fmt: skip
        named = zip((rival, "NNI 3.0's PNAS"), others, strict=False)
        against = "; ".join(beside(who, value, ours, "ms") for who, value in named)
        return row(f"{what}, pnas", ours, "ms", against)

    def speed(who: str) -> float:
        return figures[f"{who} alone"] / figures[f"{who} path"]

    alone = f"the same on its own: {1e3 * figures['ours alone']:.3g} ms a step"
    nni = f"; NNI 3.0's PNAS: {speed('nni'):.3g}" if "nni path" in figures else ""
    return [
        milliseconds("an architecture drawn and bound to shared weights", "resample", "class",
                     "the compiled file's class made"),
        milliseconds("a model of its own for a new architecture", "model", "class",
                     "the compiled file's class made"),
        milliseconds("training step of a single path", "path", "file",
                     "the compiled file, plain PyTorch"),
        row("speed of a single path by its own frozen network", speed("ours"), "", alone + nni,
            at_least=0.98),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
