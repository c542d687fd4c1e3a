"""Turn a run folder into what people want to know of it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from epnas_dsl.config import Config
from epnas_dsl.errors import RunError
from epnas_dsl.experiment.assembly import load_plugin
from epnas_dsl.experiment.networks import FINAL, WEIGHTS, read_weights
from epnas_dsl.experiment.several import folders, is_several
from epnas_dsl.lang.loading import read_architecture, read_space
from epnas_dsl.runs.selection import best_where
from epnas_dsl.runs.store import Store
from epnas_dsl.runs.trial import Trial, best
from epnas_dsl.search import planned_trials
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.search_space import SearchSpace

FOR_PEOPLE = ("best.arch", "best.svg", "best.png", "report.html")


def runs_of(folder: Path) -> list[Path]:
    """The run folders that a folder stands for: itself, or those of several that have begun.

    Raises:
        RunError: none of several has begun (E702).
    """
    if not is_several(folder):
        return [folder]
    found = [path for path in folders(folder) if (path / "run.db").is_file()]
    if not found:
        hint = f"`epnas resume {folder}` begins them"
        raise RunError(f"none of the runs in `{folder}` has begun", code="E702", hint=hint)
    return found


def best_run(folder: Path) -> Path:
    """The run with the best trial among those of a folder; the first one if none has any."""
    winners = {path: best(trials(path)) for path in runs_of(folder)}
    winner = best([trial for trial in winners.values() if trial])
    return next(path for path, trial in winners.items() if trial is winner or not winner)


def recorded(folder: Path, which: str) -> Architecture:
    """The architecture of a trial of a run: `best`, `best(params<2e6)`, or the trial's number.

    Of several runs it is the best of all; a number is that of a trial of one run.

    Raises:
        RunError: there is no such run, or no such trial in it (E711), or none that meets the
            condition (E715).
        ConfigError: the condition is wrong (E536).
    """
    runs, several = runs_of(folder), is_several(folder)
    found = [trial for run in runs for trial in trials(run)]
    by_number = {} if several else {str(trial.number): trial for trial in found}
    trial = best(found) if which == "best" else by_number.get(which.lstrip("0") or "0")
    if which.startswith("best("):
        trial = best_where(found, which[5:-1])
    if trial is None:
        one = f"; one of its runs may: `{runs[0]}:{which}`" if several else ""
        raise RunError(
            f"`{folder}` has no trial `{which}`; it has {len(found)}{one}", code="E711",
            hint=f"`epnas top {folder}` lists the best",
        )  # fmt: skip
    with Store(runs[0]) as store:
        return read_architecture(trial.architecture, space_of(store))


def space_of(store: Store) -> SearchSpace:
    """The space of a run, from the text that is kept with it.

    Raises:
        RunError: this version of the program understands it otherwise (E712).
    """
    plugin = Path(store.config.plugin)
    if store.config.plugin and (
        not plugin.is_absolute() or store.path.resolve() in plugin.resolve().parents
    ):
        raise RunError(
            f"`{store.path}` wants to run a plug-in that it brings along: {plugin}", code="E716",
            hint="a run that was made here names a file elsewhere, by its whole path",
        )  # fmt: skip
    load_plugin(store.config)
    space = read_space(store.space_text, str(store.path / "search.space"), **store.parameters)
    if store.space_digest and space.digest != store.space_digest:
        raise RunError(f"the space of `{store.path}` means something else now", code="E712",
            hint="go on with the version of epnas-dsl that began the run")  # fmt: skip
    return space


def trials(folder: Path) -> list[Trial]:
    """All trials of a run, by number; another process may be writing it."""
    with Store(folder) as store:
        return store.trials()


def run_config(folder: Path) -> Config:
    """The settings of a run; of several those of the best."""
    with Store(best_run(folder)) as store:
        return store.config


def image_of(folder: Path) -> tuple[int, int, int]:
    """Channels, height and width of the images of a run; on a table the usual ones."""
    weights = best_run(folder) / FINAL / WEIGHTS
    if weights.is_file():
        return read_weights(weights)[1].image
    run = run_config(folder)
    known = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashionmnist": (1, 28, 28)}
    usual = (3, run.data.size or 32, run.data.size or 32)
    return usual if run.evaluation.evaluator == "table" else known.get(run.data.name, usual)


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
    with Store(folder) as store:
        found = store.trials()
        planned = planned_trials(space_of(store), store.config.search)
        winner, next_ = best(found), commands(folder, store.config)
        final = final_training(store, winner.architecture) if winner else {}
    files = tuple(p for p in map(folder.joinpath, FOR_PEOPLE) if p.is_file())
    done = (folder / "best.arch").is_file()
    return Status(
        "running" if _is_locked(folder) else "done" if done else "stopped",
        len(found),
        sum(trial.state != "complete" for trial in found),
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


def final_training(store: Store, architecture: str) -> dict[str, Any]:
    """What the final training of an architecture wrote; empty if none came to its end."""
    out = store.path / FINAL
    try:
        text = (out / "best.arch").read_text("utf-8").strip()
        found = json.loads((out / "training.json").read_text("utf-8"))
        whole = found["accuracy"]["test"] >= 0 and found["epochs"][0]["validation_accuracy"] >= 0
    except (OSError, ValueError, TypeError, LookupError):
        return {}
    return found if whole and text == architecture else {}


def report(folder: Path) -> Path:
    """Write the report of a run, or of the best of several, finished or not.

    Another process may be writing the run.

    Returns:
        The path of the page.

    Raises:
        RunError: there is no such run, or it is damaged.
    """
    from epnas_dsl.runs.charts import percent
    from epnas_dsl.runs.report import COSTS, render
    from epnas_dsl.space.drawing import draw_cell, to_svg

    folder = best_run(folder)
    with Store(folder) as store:
        trials = store.trials()
        winner, drawing, facts, curves = best(trials), "", {}, {}
        if winner:
            architecture = read_architecture(winner.architecture, space_of(store))
            drawing = to_svg(draw_cell(architecture))
            final = final_training(store, winner.architecture)
            if final:
                facts["test accuracy"] = percent(final["accuracy"]["test"])
                for name in ("training", "validation"):
                    curves[name] = [epoch[f"{name}_accuracy"] for epoch in final["epochs"]]
            rest = {k: v for k, v in winner.metrics.items() if k not in {"accuracy", "loss"}}
            facts |= {
                COSTS.get(k, k): f"{v:,.6g}" if v % 1 else f"{v:,.0f}" for k, v in rest.items()
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
