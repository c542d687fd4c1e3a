"""Turn settings into work done: puts spaces, networks and runs together.

This is the only module that knows them all. Torch is loaded where it is needed, not before.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from epnas_dsl.config import Config
from epnas_dsl.errors import ConfigError, DataError, RunError
from epnas_dsl.lang.loading import load_space, read_space
from epnas_dsl.lang.matching import match_architecture
from epnas_dsl.lang.notations import read_nasbench201
from epnas_dsl.lang.parser import parse_architecture
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import network_layers, to_layers, to_network
from epnas_dsl.space.operations import load_operations
from epnas_dsl.space.search_space import SearchSpace

if TYPE_CHECKING:
    from epnas_dsl.nn.trained import TrainedModel
    from epnas_dsl.nn.training import Epoch
    from epnas_dsl.runs.evaluator import Evaluator
    from epnas_dsl.runs.runner import Watcher
    from epnas_dsl.runs.store import Store
    from epnas_dsl.runs.trial import Trial
    from epnas_dsl.search.searcher import Searcher

WEIGHTS = "model.safetensors"
FINAL = "final"  # where a run keeps the final training of its best architecture
FOR_PEOPLE = ("best.arch", "best.svg", "best.png", "report.html")


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

    if (out / "run.db").exists():
        raise RunError(f"`{out}` holds a search", code="E701", hint="choose another `--out`")
    out.mkdir(parents=True, exist_ok=True)
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

    path = _weights_file(path)
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


def _weights_file(path: str | Path) -> Path:
    """The file of weights itself, or the one in the folder of a training or of a search."""
    place = Path(str(path).removesuffix(":best"))
    if not place.is_dir():
        return place
    inner = place / FINAL / WEIGHTS
    return inner if inner.is_file() else place / WEIGHTS


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
        image = check_weights(weights, architecture)
        model = load_model(weights)
        network = model.network
        facts |= {"mean": model.preprocessing.mean, "std": model.preprocessing.std}
        facts["classes"] = model.classes
    else:
        network = build_network(network_layers(architecture, image))
    facts["image"] = image
    return EXPORTS[suffix](Original(architecture, image, network.eval(), facts))


def check_weights(path: str | Path, architecture: Architecture) -> tuple[int, int, int]:
    """The size of the images that trained weights are for.

    Raises:
        DataError: the file is damaged, or its weights belong to another architecture (E624).
    """
    from epnas_dsl.nn.trained import read_trained

    path = _weights_file(path)
    facts = read_trained(path)[1]
    if facts["architecture"] != str(architecture):
        raise DataError(
            f"{path} holds the weights of another architecture", code="E624",
            hint=f"that of `{facts['architecture']}`",
        )  # fmt: skip
    channels, height, width = facts["image"]
    return channels, height, width


def device() -> str:
    """What computes here: the names of the GPUs, or the processor with its number of threads."""
    from epnas_dsl.nn.trained import device_name

    return device_name()


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
    load_plugin(store.config)
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


def run_config(folder: Path) -> Config:
    """The settings of a run."""
    from epnas_dsl.runs.store import Store

    with Store(folder) as store:
        return store.config


def image_of(folder: Path) -> tuple[int, int, int]:
    """Channels, height and width of the images of a run."""
    from epnas_dsl.nn.trained import read_trained

    weights = folder / FINAL / WEIGHTS
    if weights.is_file():
        channels, height, width = read_trained(weights)[1]["image"]
        return channels, height, width
    data = run_config(folder).data
    known = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashionmnist": (1, 28, 28)}
    return known.get(data.name, (3, data.size or 32, data.size or 32))


def plan(config: Config) -> tuple[SearchSpace, int]:
    """The space of a search, and the largest number of trials that it will take."""
    from epnas_dsl.search import planned_trials

    space = load_space(config.space)
    return space, planned_trials(space, settle(config).search)


@dataclass(frozen=True, slots=True)
class Status:
    """How far a run is.

    Attributes:
        state: `running`, `stopped` (it can be resumed) or `done`.
        planned: the largest number of trials that it takes.
        seconds: spent on evaluations.
        best: the complete trial of the highest accuracy.
        test: its test accuracy after the final training, in [0, 1]; None without such a training.
        files: those for people: the architecture, pictures, the report.
        commands: what can be done next: a few words, and the command to type.
    """

    state: Literal["running", "stopped", "done"]
    trials: int
    failed: int
    planned: int
    seconds: float
    best: Trial | None
    test: float | None
    files: tuple[Path, ...]
    commands: list[tuple[str, str]]


def status(folder: Path) -> Status:
    """How far a run is; another process may be writing it.

    Raises:
        RunError: there is no run, or it is damaged.
    """
    from epnas_dsl.runs.store import Store
    from epnas_dsl.runs.trial import best
    from epnas_dsl.search import planned_trials

    with Store(folder) as store:
        found = store.trials()
        planned = planned_trials(space_of(store), store.config.search)
        winner, next_ = best(found), commands(folder, store.config)
        final = _final(store, winner.architecture) if winner else {}
    files = tuple(p for p in map(folder.joinpath, FOR_PEOPLE) if p.is_file())
    done = (folder / "best.arch").is_file()
    return Status(
        "running" if _is_locked(folder) else "done" if done else "stopped",
        len(found),
        sum(trial.state == "failed" for trial in found),
        planned,
        sum(trial.seconds for trial in found),
        winner,
        final.get("accuracy", {}).get("test"),
        files,
        next_,
    )


def _is_locked(folder: Path) -> bool:
    """Whether a process is writing a run."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / "run.lock", timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that may only be read
        return False


# --- searches ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to.

    Attributes:
        path: the run folder; it holds `best.arch`, `best.svg`, `best.png` and `report.html`.
        trials: all of them, by number.
        best: the trial of the highest validation accuracy.
        test: test accuracy after the final training, in [0, 1]; None without such a training.
        commands: what can be done next: a few words, and the command to type.
    """

    path: Path
    trials: list[Trial]
    best: Trial
    test: float | None
    commands: list[tuple[str, str]]


def run(config: Config, out: Path, watcher: Watcher | None = None) -> Found:
    """Search a space from the beginning, in a new run folder.

    Args:
        config: what to search, how, and on what.
        out: a folder that does not exist yet, or is empty.
        watcher: is told of the trials, and of the final training in notes.

    Raises:
        Stopped: on SIGINT or SIGTERM; `resume` goes on.
        SpaceError, ConfigError, DataError: the space, the settings or the data are wrong; no
            folder is made then.
        RunError: the folder is taken or cannot be written.
    """
    from epnas_dsl.runs.store import create

    space, config = load_space(config.space), settle(config)
    evaluator = make_evaluator(space, config)
    with create(out, config, space.source, space.changed, space.digest) as store:
        if watcher:
            watcher.note(f"the run is kept in {store.path}")
        return _search(store, space, watcher, evaluator)


def resume(folder: Path, watcher: Watcher | None = None) -> Found:
    """Go on with a run; the result is that of one never stopped. As `run`."""
    from epnas_dsl.runs.store import Store

    with Store(folder, writing=True) as store:
        return _search(store, space_of(store), watcher)


def load_plugin(config: Config) -> None:
    """The operations of the user's own that the settings name."""
    if config.plugin:
        load_operations(config.plugin)


def settle(config: Config) -> Config:
    """The settings with what is left open decided, and paths that hold wherever the run is moved.

    Raises:
        ConfigError: settings that do not go together (E515).
    """
    load_plugin(config)
    how, data = config.evaluation, config.data
    if how.evaluator == "table" and not (how.table and how.metric):
        hint = "`--table CSV --metric COLUMN`"
        raise ConfigError("a table needs its file and its metric", code="E515", hint=hint)
    if how.evaluator == "supernet" and how.workers > 1:
        raise ConfigError(
            "shared weights are trained by one process; evaluation.workers is "
            f"{how.workers}", code="E515", hint="`--set evaluation.evaluator=standalone`",
        )  # fmt: skip
    table = str(Path(how.table).expanduser().absolute()) if how.table else ""
    kind, colon, path = data.name.partition(":")
    name = f"{kind}:{Path(path).expanduser().absolute()}" if colon and path else data.name
    root = str(Path(data.root).expanduser().absolute())
    retrain = config.search.retrain
    if retrain == "auto":
        retrain = "yes" if how.evaluator == "supernet" else "no"
    plugin = str(Path(config.plugin).expanduser().absolute()) if config.plugin else ""
    return msgspec.structs.replace(
        config,
        plugin=plugin,
        search=msgspec.structs.replace(config.search, retrain=retrain),
        data=msgspec.structs.replace(data, name=name, root=root),
        evaluation=msgspec.structs.replace(how, table=table),
    )


def make_evaluator(space: SearchSpace, config: Config) -> Evaluator:
    """The evaluator of the settings, with its data; sees that they fit the space.

    Raises:
        ConfigError, DataError: they do not, or are missing or damaged.
    """
    if config.evaluation.evaluator == "table":
        from epnas_dsl.runs.evaluator import TabularEvaluator

        how, read = config.evaluation, partial(_read_row, space=space)
        return TabularEvaluator(how.table, how.metric, how.report, read)
    from epnas_dsl.nn.data import load_data
    from epnas_dsl.nn.evaluators import StandaloneEvaluator, SupernetEvaluator, layers_for
    from epnas_dsl.nn.training import prepare_device

    data = load_data(config.data, prepare_device(config.training))
    (first,) = sample(space, 1, np.random.default_rng(0), level=1)
    layers_for(first, data, config.training)
    shares = config.evaluation.evaluator == "supernet"
    kind = SupernetEvaluator if shares else StandaloneEvaluator
    return kind(data, config.training, config.search.seed)


def make_searcher(space: SearchSpace, config: Config) -> Searcher:
    """The searcher of the settings."""
    from epnas_dsl.search import EpnasSearcher, RandomSearcher

    if config.search.searcher == "random":
        return RandomSearcher(space, config.search)
    from epnas_dsl.nn.predictor import LstmPredictor
    from epnas_dsl.nn.training import prepare_device
    from epnas_dsl.space.tokens import columns

    prepare_device(config.training)
    predictor = LstmPredictor(columns(space), config.surrogate, config.search.seed)
    return EpnasSearcher(space, config.search, predictor)


def _read_row(text: str, space: SearchSpace) -> Architecture:
    """An architecture from a table, in the notation of NAS-Bench-201 or in our own."""
    if text.startswith("|"):
        return read_nasbench201(text, space)
    return match_architecture(parse_architecture(text), space)


def _search(
    store: Store,
    space: SearchSpace,
    watcher: Watcher | None,
    evaluator: Evaluator | None = None,
) -> Found:
    """Run the loop of a run to its end, then train, draw and report the best."""
    from epnas_dsl.runs import runner
    from epnas_dsl.runs.executor import ProcessExecutor, SerialExecutor
    from epnas_dsl.runs.trial import best

    config, watcher = store.config, watcher or runner.Silence()
    factory, workers = partial(make_evaluator, space, config), config.evaluation.workers
    executor = (
        ProcessExecutor(factory, workers) if workers > 1 else SerialExecutor(factory, evaluator)
    )
    with contextlib.closing(executor):
        trials = runner.run(make_searcher(space, config), executor, store, watcher)
    winner = best(trials)
    if winner is None:
        raise RunError(f"none of the {len(trials)} trials succeeded", code="E710")
    architecture = reader(space)(winner.architecture)
    if config.evaluation.evaluator != "table" and config.evaluation.final_epochs:
        _train_finally(store, architecture, watcher)
    _write_best(store, architecture)
    report(store.path)
    test = _final(store, winner.architecture).get("accuracy", {}).get("test")
    return Found(store.path, trials, winner, test, commands(store.path, config))


def _train_finally(store: Store, architecture: Architecture, watcher: Watcher) -> None:
    """Train the best architecture from scratch, unless that is done; goes on where it stopped."""
    out, config = store.path / FINAL, store.config
    if _final(store, str(architecture)):
        return
    epochs = config.evaluation.final_epochs

    def tell(epoch: Epoch) -> None:
        accuracy = f"{100 * epoch.validation.accuracy:.2f} % on validation"
        watcher.note(f"final training, epoch {epoch.number} of {epochs}: {accuracy}")

    out.mkdir(exist_ok=True)
    training = msgspec.structs.replace(config.training, epochs=epochs)
    train(architecture, msgspec.structs.replace(config, training=training), out, tell)


def _final(store: Store, architecture: str) -> dict[str, Any]:
    """What the final training of an architecture wrote; empty if none came to its end."""
    out = store.path / FINAL
    try:
        text = (out / "best.arch").read_text("utf-8").strip()
        found = json.loads((out / "training.json").read_text("utf-8"))
        whole = found["accuracy"]["test"] >= 0 and found["epochs"][0]["validation_accuracy"] >= 0
    except (OSError, ValueError, TypeError, LookupError):
        return {}
    return found if whole and text == architecture else {}


def _write_best(store: Store, architecture: Architecture) -> None:
    """The best architecture, as text and as pictures."""
    from epnas_dsl.space.drawing import draw_cell, render

    drawing = draw_cell(architecture)
    for suffix in ("svg", "png"):
        render(drawing, store.path / f"best.{suffix}")
    store.write("best.arch", f"{architecture}\n")


def report(folder: Path) -> Path:
    """Write the report of a run, finished or not; another process may be writing the run.

    Returns:
        The path of the page.

    Raises:
        RunError: there is no such run, or it is damaged.
    """
    from epnas_dsl.runs.charts import percent
    from epnas_dsl.runs.report import render
    from epnas_dsl.runs.store import Store
    from epnas_dsl.runs.trial import best
    from epnas_dsl.space.drawing import draw_cell, to_svg

    with Store(folder) as store:
        trials = store.trials()
        winner, drawing, facts, curves = best(trials), "", {}, {}
        if winner:
            drawing = to_svg(draw_cell(reader(space_of(store))(winner.architecture)))
            final = _final(store, winner.architecture)
            if final:
                facts["test accuracy"] = percent(final["accuracy"]["test"])
                for name in ("training", "validation"):
                    curves[name] = [epoch[f"{name}_accuracy"] for epoch in final["epochs"]]
            rest = {k: v for k, v in winner.metrics.items() if k not in {"accuracy", "loss"}}
            names = {"params": "parameters", "macs": "MACs for an image"}
            facts |= {
                names.get(k, k): f"{v:,.6g}" if v % 1 else f"{v:,.0f}" for k, v in rest.items()
            }
        page = render(
            trials,
            store.config,
            facts=facts,
            drawing=drawing,
            curves=curves,
            commands=commands(folder, store.config),
        )
        return store.write("report.html", page)


def commands(folder: Path, config: Config) -> list[tuple[str, str]]:
    """What can be done with a run next: words, and what to type."""
    run, best = shlex.quote(str(folder)), shlex.quote(f"{folder}:best")
    if not (folder / "best.arch").is_file():
        return [("go on with the search", f"epnas resume {run}")]
    found = [
        ("write it as a Python file that needs torch only", f"epnas compile {best} -o best.py"),
        ("see its layers and their costs", f"epnas summary {best}"),
        ("list the best trials", f"epnas top {run}"),
    ]
    if config.evaluation.evaluator == "table":
        return found
    data, out = shlex.quote(config.data.name), shlex.quote(str(folder / "trained"))
    longer = f"epnas train {best} --data {data} --set training.epochs=100 --out {out}"
    return [("train the best architecture for longer", longer), *found]
