"""Turn settings into work done: puts spaces, networks and runs together.

This is the only module that knows them all. Torch is loaded where it is needed, not before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epnas_dsl.config import Config
from epnas_dsl.errors import DataError, RunError
from epnas_dsl.lang.loading import read_space
from epnas_dsl.lang.matching import match_architecture
from epnas_dsl.lang.parser import parse_architecture
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.graph import to_layers, to_network
from epnas_dsl.space.search_space import SearchSpace

if TYPE_CHECKING:
    from epnas_dsl.nn.trained import TrainedModel
    from epnas_dsl.nn.training import Epoch
    from epnas_dsl.runs.store import Store
    from epnas_dsl.runs.trial import Trial

WEIGHTS = "model.safetensors"


# --- one network ---------------------------------------------------------------------------------


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
    (the architecture's text) and `training.json` (the curve) into `out`.

    Raises:
        DataError: the images are missing or damaged, or `out` holds another training (E631).
        ConfigError: settings that do not fit the images or this machine.
    """
    from epnas_dsl.nn.data import load_data
    from epnas_dsl.nn.evaluators import layers_for, place
    from epnas_dsl.nn.network import build_network, count_parameters
    from epnas_dsl.nn.trained import save_trained
    from epnas_dsl.nn.training import evaluate as score
    from epnas_dsl.nn.training import prepare_device
    from epnas_dsl.nn.training import train as fit

    settings = config.training
    data = load_data(config.data, prepare_device(settings))
    layers = layers_for(architecture, data, settings)
    network = place(build_network(layers, config.search.seed), data, settings)
    checkpoint = out / "training.ckpt"
    history = fit(
        network, data, settings, config.search.seed, checkpoint=checkpoint, on_epoch=on_epoch
    )
    curve = tuple(epoch.validation.accuracy for epoch in history)
    test = score(network, data.test, data.preprocessing, settings).accuracy
    accuracy = {"validation": curve[-1], "test": test}
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
    (out / "best.arch").write_text(f"{architecture}\n", encoding="utf-8")
    report = {"accuracy": accuracy, "epochs": [epoch_facts(e) for e in history]}
    (out / "training.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    checkpoint.unlink(missing_ok=True)
    return Trained(out / WEIGHTS, accuracy, count_parameters(network), curve)


def epoch_facts(epoch: Epoch) -> dict[str, float]:
    """An epoch as plain data."""
    return {
        "epoch": epoch.number,
        "learning_rate": epoch.learning_rate,
        "training_loss": epoch.training.loss,
        "training_accuracy": epoch.training.accuracy,
        "validation_loss": epoch.validation.loss,
        "validation_accuracy": epoch.validation.accuracy,
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
    from epnas_dsl.nn.trained import TrainedModel, read_trained, restore

    path = Path(path) / WEIGHTS if Path(path).is_dir() else Path(path)
    state, facts = read_trained(path)
    try:
        channels, height, width = map(int, facts["image"])
        preprocessing = Preprocessing(tuple(facts["mean"]), tuple(facts["std"]))
        text, classes = str(facts["architecture"]), tuple(map(str, facts["classes"]))
        space = read_space(facts["space"], f"{path} (space)", **facts["parameters"])
    except (KeyError, TypeError, ValueError):
        raise DataError(f"the metadata of {path} is incomplete", code="E621") from None
    architecture = match_architecture(parse_architecture(text, str(path)), space)
    network = build_network(to_layers(to_network(architecture, (channels, height, width))))
    restore(network, state, path)
    return TrainedModel(network, preprocessing, classes, text)


def evaluate(path: str | Path, config: Config) -> dict[str, float]:
    """The accuracy of a trained network on the validation and on the test part of a data set.

    Raises:
        DataError: the weights or the images are missing or damaged, or do not fit (E623).
    """
    from epnas_dsl.nn.data import load_data
    from epnas_dsl.nn.training import evaluate as score
    from epnas_dsl.nn.training import prepare_device

    model = load_model(path)
    device = prepare_device(config.training)
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
        name: score(network, part, model.preprocessing, config.training).accuracy
        for name, part in parts.items()
    }


def export_python(architecture: Architecture, image: tuple[int, int, int]) -> str:
    """The architecture as one Python file that needs nothing but torch.

    Raises:
        ShapeError: it does not fit such images.
    """
    from epnas_dsl.nn.export import export_python

    return export_python(to_network(architecture, image), str(architecture))


def write_weights(path: str | Path, out: Path) -> None:
    """The weights of a trained network as torch's own file, for `Model().load_state_dict`."""
    import torch

    torch.save(load_model(path).network.state_dict(), out)


def device_facts() -> dict[str, str]:
    """What torch computes on here."""
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"device": ", ".join(devices) or f"cpu, {torch.get_num_threads()} threads"}


# --- runs ----------------------------------------------------------------------------------------


def recorded(folder: Path, which: str) -> Architecture:
    """The architecture of a trial of a run: `best`, or the trial's number.

    Raises:
        RunError: there is no such run, or no such trial in it (E711).
    """
    from epnas_dsl.runs.store import Store
    from epnas_dsl.runs.trial import best

    with Store(folder) as store:
        trials = store.trials()
        by_number = {str(trial.number): trial for trial in trials}
        trial = best(trials) if which == "best" else by_number.get(which.lstrip("0") or "0")
        if trial is None:
            raise RunError(
                f"`{folder}` has no trial `{which}`; it has {len(trials)}", code="E711",
                hint=f"`epnas top {folder}` lists the best",
            )  # fmt: skip
        return reader(space_of(store))(trial.architecture)


def space_of(store: Store) -> SearchSpace:
    """The space of a run, from the text that is kept with it.

    Raises:
        RunError: this version of the program understands it otherwise (E712).
    """
    space = read_space(store.space_text, str(store.path / "search.space"), **store.parameters)
    if store.space_digest and space.digest != store.space_digest:
        raise RunError(f"the space of `{store.path}` means something else now", code="E712",
            hint="go on with the version of epnas-dsl that began the run")  # fmt: skip
    return space


def reader(space: SearchSpace) -> Callable[[str], Architecture]:
    """Makes architectures of texts."""
    return lambda text: match_architecture(parse_architecture(text), space)


def trials(folder: Path) -> list[Trial]:
    """All trials of a run, by number; another process may be writing it."""
    from epnas_dsl.runs.store import Store

    with Store(folder) as store:
        return store.trials()
