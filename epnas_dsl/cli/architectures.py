"""Turn an architecture into a table of its costs, an exported file, a trained network, a score."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from epnas_dsl.cli import arguments
from epnas_dsl.cli.spaces import as_json
from epnas_dsl.cli.terminal import document, log, note, percent, say, table, write
from epnas_dsl.errors import RunError

EPOCHS = 30  # of `epnas train`, unless set otherwise


@click.command("summary")
@click.argument("arch")
@as_json
@click.option("--image", help="Channels, height, width: 3x32x32, or those of the run.")
def summary_command(arch: str, as_json: bool, image: str | None) -> None:
    """Show layers, parameters and MACs."""
    from epnas_dsl.cli import listings
    from epnas_dsl.space.graph import to_layers, to_network
    from epnas_dsl.space.passes import changed
    from epnas_dsl.space.shapes import costs, training_memory

    shape = arguments.image(image, arch)
    architecture = arguments.architecture(arch)
    network = to_network(architecture, shape)
    layers = to_layers(network)
    cost, memory = costs(layers, shape), training_memory(changed(layers), shape)
    rows = listings.costs_by_node(network, shape)
    if as_json:
        names = ("node", "operation", "inputs", "output", "params", "macs")
        plain = [dict(zip(names, row, strict=True)) for row in rows]
        facts = {"architecture": str(architecture), "id": architecture.id, "image": shape}
        document(**facts, **asdict(cost), training_bytes=memory, nodes=plain)
        return
    say(architecture)
    say()
    shown = [(n, o, "x".join(map(str, s)), f"{p:,}", f"{m:,}") for n, o, _, s, p, m in rows]
    table([("node", "operation", "output", "params", "MACs"), *shown], right=(3, 4))
    say()
    say(f"parameters   {cost.params:,}")
    say(f"MACs         {cost.macs:,} for an image of {'x'.join(map(str, shape))}")
    say(f"depth        {cost.depth} convolutions and fully connected layers")
    say(f"activations  {cost.activations:,} numbers ({_size(cost.activations * 4)})")
    say(f"training     keeps {_size(memory)} for each image of a batch, in float32")


def _size(number: int) -> str:
    """Bytes, as a person reads them."""
    return f"{number / 2**20:.1f} MiB" if number >= 2**20 else f"{number / 2**10:.1f} KiB"


@click.command("compile")
@click.argument("arch")
@click.option("-o", "--out", required=True, type=Path, help="Ends in .py, .onnx or .pt2.")
@click.option("--image", help="Channels, height, width: 3x32x32, or those of the run.")
@click.option("--weights", metavar="FILE|DIR", help="From `epnas train`, or a run's `DIR:best`.")
def compile_command(arch: str, out: Path, image: str | None, weights: str | None) -> None:
    """Write a file that runs without this program.

    A .py file needs torch only, and its weights are written beside it; they are inside of .onnx
    and .pt2 files. All are checked against the network before they are written. The network takes
    normalised images, (pixel / 255 - mean) / std of each channel; `--weights` brings both along.
    """
    from epnas_dsl import experiment

    shape = arguments.image(image, arch)
    architecture = arguments.architecture(arch)
    files = experiment.export(architecture, shape, out.suffix, weights)
    for suffix, content in files.items():
        write(out.with_suffix(suffix), content)
        note(f"wrote {out.with_suffix(suffix)}")
    if ".pt" in files:
        note(f"in Python: import {out.stem}; model = {out.stem}.load()")
    if not weights and out.suffix != ".py":
        note("the weights in it are random ones; `--weights` takes trained ones")


@click.command("train")
@click.argument("arch")
@arguments.settings
@click.option("--out", type=Path, help="Folder of the weights; goes on where one was stopped.")
@click.option("--torchrun", metavar="OPTIONS", help="In several processes: '--nproc-per-node 2'.")
@arguments.minutes
@as_json
@click.pass_obj
def train_command(
    words: list[str], /, arch: str, out: Path | None, torchrun: str | None, minutes: float,
    as_json: bool, **given: Any,
) -> int:  # fmt: skip
    """Train an architecture from scratch.

    Takes 30 epochs, unless `--set training.epochs=` or the settings of `--config` say otherwise.
    The folder then holds the weights, with all that it takes to use them.
    """
    from epnas_dsl import experiment
    from epnas_dsl.config import Config, override

    if torchrun and "TORCHELASTIC_RUN_ID" not in os.environ:  # else it is one of the processes
        return experiment.launch(torchrun, words)
    architecture = arguments.architecture(arch)
    run = arguments.run_of(arch)
    usual = override(experiment.run_config(run) if run else Config(), [f"training.epochs={EPOCHS}"])
    config = arguments.config([], usual=usual, **given)
    folder = out or arguments.free_folder(f"{architecture.space.name}-{architecture.id}")
    if (folder / "training.json").exists() and not any(folder.glob("training.ckpt*")):
        hint = "choose another `--out`, or remove it first"
        raise RunError(f"`{folder}` holds a finished training", code="E701", hint=hint)
    epochs, until = config.training.epochs, time.monotonic() + 60 * minutes
    leads = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun

    def tell(epoch: Any) -> None:
        measured = epoch.training.loss, percent(epoch.validation.accuracy)
        log(f"epoch {epoch.number}/{epochs}  loss {measured[0]:.4f}  validation {measured[1]}")
        if time.monotonic() > until and epoch.number < epochs:
            raise KeyboardInterrupt

    if leads:
        note(f"the weights go to {folder}")
    try:
        done = experiment.train(architecture, config, folder, tell)
    except KeyboardInterrupt:
        if leads:
            note(f"stopped; the same command with --out {shlex.quote(str(folder))} goes on")
        return 3
    if not leads:
        return 0
    if as_json:
        facts = {"architecture": str(architecture), "params": done.params, "curve": done.curve}
        document(**facts, accuracy=done.accuracy, weights=str(done.path))
        return 0
    rows = [("architecture", str(architecture)), ("parameters", f"{done.params:,}")]
    table([*rows, *((f"{n} accuracy", percent(a)) for n, a in done.accuracy.items()),
           ("weights", str(done.path))])  # fmt: skip
    data = shlex.quote(config.data.name)
    note(f"next: epnas evaluate {shlex.quote(str(done.path))} --data {data}")
    return 0


@click.command("evaluate")
@click.argument("weights", metavar="DIR|FILE")
@arguments.settings
@as_json
def evaluate_command(weights: str, as_json: bool, **given: Any) -> None:
    """Measure trained weights on images."""
    from epnas_dsl import experiment

    accuracy = experiment.evaluate(weights, arguments.config([], **given))
    if as_json:
        document(weights=weights, accuracy=accuracy)
    else:
        table((f"{name} accuracy", percent(value)) for name, value in accuracy.items())
