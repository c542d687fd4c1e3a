"""Turn one architecture into a trained network, a loaded one, a tested one, an exported one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from epnas_dsl.config import Config
from epnas_dsl.errors import ConfigError, DataError, RunError
from epnas_dsl.experiment.several import is_several
from epnas_dsl.files import make_folder, write_whole
from epnas_dsl.lang.loading import read_architecture, read_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.graph import network_layers
from epnas_dsl.space.shapes import costs

if TYPE_CHECKING:
    from epnas_dsl.nn.trained import TrainedModel
    from epnas_dsl.nn.training import Epoch

WEIGHTS = "model.safetensors"
CHECKPOINT = "training.ckpt"
Side = Annotated[int, Meta(ge=1, le=10**6)]
FINAL = "final"  # where a run keeps the final training of its best architecture


@dataclass(frozen=True, slots=True)
class Trained:
    """What became of a training.

    Attributes:
        path: the file of the weights.
        accuracy: in [0, 1], by part: `validation` and `test`.
        params: trainable numbers.
        curve: validation accuracy after each epoch.
    """

    path: Path
    accuracy: dict[str, float]
    params: int
    curve: tuple[float, ...]


def train(
    architecture: Architecture,
    config: Config,
    out: Path,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train an architecture from scratch; if `out` holds a part of it, go on from there.

    Writes `model.safetensors` (the weights, and all that it takes to use them), `best.arch`
    (the architecture's text) and `training.json` (the curve) into `out`. Processes that `torchrun`
    started do it together; the first one alone writes, and calls `on_epoch`.

    Raises:
        DataError: the images are missing or damaged, or `out` holds another training (E631).
        ConfigError: settings that do not fit the images or this machine.
    """
    from epnas_dsl.nn import training
    from epnas_dsl.nn.data import load_data
    from epnas_dsl.nn.evaluators import layers_for, passes, place
    from epnas_dsl.nn.network import build_network, count_parameters
    from epnas_dsl.nn.peers import gathered
    from epnas_dsl.nn.trained import save_trained

    if (out / "run.db").exists():
        raise RunError(f"`{out}` holds a search", code="E701", hint="choose another `--out`")
    make_folder(out)
    settings = config.training
    device, seed = training.prepare_device(settings), config.search.seed
    data = load_data(config.data, device)
    layers = layers_for(architecture, data, settings)
    with gathered(device) as peers:
        network = place(build_network(layers, seed, passes(settings, peers.count)), data, settings)
        history = training.train(
            network, data, settings, seed,
            checkpoint=out / CHECKPOINT, on_epoch=on_epoch, compiled=settings.compile, peers=peers,
        )  # fmt: skip
        test = training.evaluate(network, data.test, data.preprocessing, settings, peers).accuracy
    curve = tuple(epoch.validation.accuracy for epoch in history)
    accuracy = {"validation": curve[-1], "test": test}
    if not peers.rank:
        facts = {
            **describe(architecture),
            "data": data.name,
            "image": data.shape,
            "classes": data.classes,
            "mean": data.preprocessing.mean,
            "std": data.preprocessing.std,
            "accuracy": accuracy,
        }
        save_trained(out / WEIGHTS, network, facts)
        report = {"accuracy": accuracy, "epochs": [epoch_facts(e) for e in history]}
        text = json.dumps(report, indent=1)
        _finish(out, {"best.arch": str(architecture), "training.json": text})
    return Trained(out / WEIGHTS, accuracy, count_parameters(network), curve)


def launch(torchrun: str, words: Sequence[str]) -> int:
    """Carry a command `epnas train` out in several processes; its exit status."""
    from epnas_dsl.nn import peers

    return peers.launch(torchrun, words)


def _finish(out: Path, texts: Mapping[str, str]) -> None:
    """Write what tells of a training, and remove what it took to go on with it."""
    from epnas_dsl.nn.checkpoint import before

    for name, text in texts.items():
        write_whole(out / name, f"{text}\n".encode())
    checkpoint = out / CHECKPOINT
    partial = [p for x in (WEIGHTS, CHECKPOINT, *texts) for p in out.glob(f"{x}.*.partial")]
    for leftover in (checkpoint, before(checkpoint), *partial):
        leftover.unlink(missing_ok=True)


def epoch_facts(epoch: Epoch) -> dict[str, float]:
    """An epoch as plain data."""
    scores = {"training": epoch.training, "validation": epoch.validation}
    return {"epoch": epoch.number, "learning_rate": epoch.learning_rate} | {
        f"{part}_{what}": getattr(score, what)
        for part, score in scores.items()
        for what in ("loss", "accuracy")
    }


def describe(architecture: Architecture) -> dict[str, Any]:
    """An architecture and the whole of its space, as plain data."""
    space = architecture.space
    return {
        "architecture": str(architecture),
        "space": space.source,
        "parameters": space.changed,
        "digest": space.digest,
    }


def load_model(path: str | Path) -> TrainedModel:
    """A trained network from the file that `epnas train` wrote, or from the folder that holds it.

    Returns:
        A module, in evaluation mode, from images (N, C, H, W) of values 0 to 255 to the scores of
        the classes; `classes` names them.

    Raises:
        DataError: the file is missing, damaged, or written by something else.
    """
    from epnas_dsl.nn.augmentation import Preprocessing
    from epnas_dsl.nn.network import build_network
    from epnas_dsl.nn.trained import TrainedModel, restore

    path = _weights_file(path)
    state, facts = read_weights(path)
    space = read_space(facts.space, f"{path} (space)", **facts.parameters)
    architecture = read_architecture(facts.architecture, space, str(path))
    layers = network_layers(architecture, facts.image)
    if costs(layers, facts.image).params > sum(value.numel() for value in state.values()):
        raise DataError(f"{path} does not hold all weights of its network", code="E622")
    network = build_network(layers)
    restore(network, state, path)
    preprocessing = Preprocessing(facts.mean, facts.std)
    return TrainedModel(network, preprocessing, facts.classes, facts.architecture)


class Facts(msgspec.Struct, frozen=True):
    """What a file of weights must tell of itself."""

    architecture: str
    space: str
    parameters: dict[str, int | float]
    image: tuple[Side, Side, Side]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_weights(path: Path) -> tuple[Any, Facts]:
    """The weights of a file by name, and what it tells of itself.

    Raises:
        DataError: the file is damaged; some facts are missing, or no such facts (E621).
    """
    from epnas_dsl.nn.trained import read_trained

    state, facts = read_trained(path)
    try:
        return state, msgspec.convert(facts, Facts)
    except msgspec.ValidationError as error:
        message = f"the metadata of {path} are not those of a network: {error}"
        raise DataError(message, code="E621") from None


def _weights_file(path: str | Path) -> Path:
    """The file of weights itself, or the one in the folder of a training or of a search."""
    place = Path(str(path).removesuffix(":best"))
    if not place.is_dir():
        return place
    from epnas_dsl.experiment.records import best_run

    place = best_run(place) if is_several(place) else place
    inner = place / FINAL / WEIGHTS
    return inner if inner.is_file() else place / WEIGHTS


def evaluate(path: str | Path, config: Config) -> dict[str, float]:
    """The accuracy of a trained network on the validation and on the test part of a data set.

    Raises:
        DataError: the weights or the images are missing or damaged, or do not fit (E623).
    """
    from epnas_dsl.nn import training
    from epnas_dsl.nn.data import load_data

    model = load_model(path)
    device = training.prepare_device(config.training)
    data = load_data(config.data, device)
    if data.shape[0] != len(model.preprocessing.mean) or len(data.classes) != len(model.classes):
        raise DataError(
            f"{path} tells {len(model.classes)} classes apart in images of "
            f"{len(model.preprocessing.mean)} channels; {data.name} has {len(data.classes)} in "
            f"images of {data.shape[0]}", code="E623",
        )  # fmt: skip
    network = model.network.to(device)
    parts = {"validation": data.validation, "test": data.test}
    return {
        name: training.evaluate(network, part, model.preprocessing, config.training).accuracy
        for name, part in parts.items()
    }


def export(
    architecture: Architecture, image: tuple[int, int, int], suffix: str, weights: str | None = None
) -> dict[str, bytes]:
    """An architecture as files that run without this program.

    Args:
        image: channels, height and width; of no account with weights, which know theirs.
        suffix: `.py`, `.pt2` or `.onnx`.
        weights: from `epnas train`: the file, its folder, or a run (`DIR:best`).

    Returns:
        The content of each file, by its suffix; each was checked against the network.

    Raises:
        ConfigError: there is no such export (E534), or what it needs is not installed (E535).
        DataError: the weights are damaged, or belong to another architecture (E624).
        ShapeError: the architecture does not fit such images.
    """
    from epnas_dsl.nn.network import build_network
    from epnas_dsl.nn.portable import EXPORTS, Original

    if suffix not in EXPORTS:
        raise ConfigError(
            f"there is no export to `{suffix}`", code="E534", hint=f"there is {', '.join(EXPORTS)}"
        )
    facts: dict[str, Any] = {"architecture": str(architecture)}
    if weights:
        file = _weights_file(weights)
        known = read_weights(file)[1]
        if known.architecture != str(architecture):
            raise DataError(
                f"{file} holds the weights of another architecture", code="E624",
                hint=f"that of `{known.architecture}`",
            )  # fmt: skip
        image, model = known.image, load_model(file)
        layers, network = network_layers(architecture, image), model.network
        facts |= {"mean": model.preprocessing.mean, "std": model.preprocessing.std}
        facts["classes"] = model.classes
    else:
        layers = network_layers(architecture, image)
        network = build_network(layers)
    facts["image"] = image
    return EXPORTS[suffix](Original(architecture, image, layers, network.eval(), facts))


def device() -> str:
    """What computes here: the names of the GPUs, or the processor with its number of threads."""
    from epnas_dsl.nn.trained import device_name

    return device_name()
