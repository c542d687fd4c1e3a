"""Turn settings into a search carried to its end: run, resume, the final training."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from epnas_dsl.config import Config
from epnas_dsl.errors import RunError
from epnas_dsl.experiment import several
from epnas_dsl.experiment.assembly import (
    make_evaluator,
    make_executor,
    make_searcher,
    placed,
    settle,
)
from epnas_dsl.experiment.networks import FINAL, train
from epnas_dsl.experiment.records import best_run, final_training, report, space_of
from epnas_dsl.files import refusals
from epnas_dsl.lang.loading import load_space, read_architecture
from epnas_dsl.runs import runner
from epnas_dsl.runs.evaluator import Evaluator
from epnas_dsl.runs.runner import Stopped, Watcher
from epnas_dsl.runs.store import Store, claimed, create, locked
from epnas_dsl.runs.trial import Trial, best
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.search_space import SearchSpace

if TYPE_CHECKING:
    from epnas_dsl.nn.training import Epoch


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to.

    Attributes:
        path: the run folder; it holds `best.arch`, `best.svg`, `best.png` and `report.html`.
        trials: all of them, by number.
        best: the trial of the highest validation accuracy.
        test: test accuracy after the final training, in [0, 1]; None without such a training.
    """

    path: Path
    trials: list[Trial]
    best: Trial
    test: float | None


def run(
    config: Config, out: Path, watcher: Watcher | None = None, minutes: float = math.inf
) -> Found:
    """Search a space from the beginning, in a new run folder.

    Args:
        out: a folder that does not exist yet, or is empty.
        watcher: is told of the trials, and of the final training in notes.
        minutes: after which it stops, between two trials or two epochs of the final training.

    Returns:
        What was found; with `search.runs` above 1, by the best of the runs.

    Raises:
        Stopped: on SIGINT or SIGTERM, or when its time is over; `resume` goes on.
        SpaceError, ConfigError, DataError: the space, the settings or the data are wrong; no
            folder is made then.
        RunError: the folder is taken or cannot be written.
    """
    until = time.monotonic() + 60 * minutes
    space = load_space(config.space)
    config = settle(config, space)
    evaluator = make_evaluator(space, config)
    if config.search.runs > 1:
        with claimed(out):
            several.begin(config, out)
            several.carry_out(out, watcher, until)
        return _found(best_run(out))
    with create(out, config, space.source, space.changed, space.digest) as store:
        if watcher:
            watcher.note(f"the run is kept in {store.path}")
        return _search(store, space, watcher, until, evaluator)


def resume(
    folder: Path, watcher: Watcher | None = None, minutes: float = math.inf, ray: str | None = None
) -> Found:
    """Go on with a run; the result is that of one never stopped. As `run`.

    Args:
        ray: the address of another Ray cluster than that of the settings.
    """
    until = time.monotonic() + 60 * minutes
    if several.is_several(folder):
        several.refuse_ray(ray)
        with locked(folder):
            several.carry_out(folder, watcher, until)
        return _found(best_run(folder))
    with Store(folder, writing=True) as store:
        if ray:
            how = msgspec.structs.replace(store.config.evaluation, ray=ray)
            store.config = msgspec.structs.replace(store.config, evaluation=how)
        return _search(store, space_of(store), watcher, until)


def go_on(folder: Path, watcher: Watcher, slot: int, workers: int) -> None:
    """Go on with a run that shares this machine with others, on its part of it."""
    with Store(folder, writing=True) as store:
        store.config = placed(store.config, slot, workers)
        _search(store, space_of(store), watcher, math.inf)


def _search(
    store: Store,
    space: SearchSpace,
    watcher: Watcher | None,
    until: float,
    evaluator: Evaluator | None = None,
) -> Found:
    """Run the loop of a run to its end, then train, draw and report the best."""
    config, watcher = store.config, watcher or runner.Silence()
    with contextlib.closing(make_executor(space, config, evaluator)) as executor:
        trials = runner.run(make_searcher(space, config), executor, store, watcher, until)
    winner = best(trials)
    if winner is None:
        raise RunError(f"none of the {len(trials)} trials succeeded", code="E710")
    architecture = read_architecture(winner.architecture, space)
    if config.evaluation.evaluator != "table" and config.evaluation.final_epochs:
        _train_finally(store, architecture, watcher, until)
    _write_best(store, architecture)
    report(store.path)
    return _found(store.path)


def _found(folder: Path) -> Found:
    """What a run that is done has found."""
    with Store(folder) as store:
        trials = store.trials()
        winner = best(trials)
        assert winner is not None
        test = final_training(store, winner.architecture).get("accuracy", {}).get("test")
        return Found(folder, trials, winner, test)


def _train_finally(
    store: Store, architecture: Architecture, watcher: Watcher, until: float
) -> None:
    """Train the best architecture from scratch, unless that is done; goes on where it stopped.

    Raises:
        Stopped: after an epoch, if it is later than `until`.
    """
    out, config = store.path / FINAL, store.config
    if final_training(store, str(architecture)):
        return
    epochs = config.evaluation.final_epochs

    def tell(epoch: Epoch) -> None:
        accuracy = f"{100 * epoch.validation.accuracy:.2f} % on validation"
        watcher.note(f"final training, epoch {epoch.number} of {epochs}: {accuracy}")
        if time.monotonic() > until and epoch.number < epochs:
            raise Stopped(0, at_once=False)

    training = msgspec.structs.replace(config.training, epochs=epochs)
    with refusals(out):
        train(architecture, msgspec.structs.replace(config, training=training), out, tell)


def _write_best(store: Store, architecture: Architecture) -> None:
    """The best architecture, as text and as pictures."""
    from epnas_dsl.space.drawing import draw_cell, render

    drawing = draw_cell(architecture)
    for suffix in ("svg", "png"):
        render(drawing, store.path / f"best.{suffix}")
    store.write("best.arch", f"{architecture}\n")
