"""Turn settings into a search, and the folder of a run into what a person wants to know of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from epnas_dsl.cli import arguments
from epnas_dsl.cli.spaces import as_json
from epnas_dsl.cli.terminal import document, note, percent, say, table
from epnas_dsl.errors import ConfigError

if TYPE_CHECKING:
    from epnas_dsl.config import Config

directory = click.argument("folder", metavar="DIR", type=Path)


@click.command("search")
@click.argument("space")
@arguments.settings
@arguments.preset
@click.option("--out", type=Path, help="The run's folder; runs/SPACE-DATA by default.")
@click.option(
    "--searcher", help="epnas, pnas, random, evolution, local_search, q_learning or reinforce."
)
@click.option("--table", "csv", help="Look accuracies up in this CSV file; train nothing.")
@click.option("--metric", metavar="COLUMN", help="The column of the table to search by.")
@click.option("--workers", type=int, metavar="N", help="Processes that evaluate side by side.")
@click.option("--runs", type=int, metavar="N", help="Independent searches; the best counts.")
@click.option("--ray", metavar="ADDRESS", help="On a Ray cluster: HOST:PORT, or auto.")
@click.option("--dry-run", is_flag=True, help="Print the plan and all settings as TOML.")
@arguments.minutes
@as_json
def search_command(
    space: str, csv: str | None, metric: str | None, searcher: str | None, out: Path | None,
    workers: int | None, runs: int | None, ray: str | None, dry_run: bool, minutes: float,
    as_json: bool, **given: Any,
) -> int:  # fmt: skip
    """Search a space for its best architecture."""
    from epnas_dsl import experiment

    named = {"search.searcher": searcher or None, "evaluation.workers": workers,
             "search.runs": runs, "evaluation.ray": ray or None}  # fmt: skip
    words = [f"{name}={value}" for name, value in named.items() if value is not None]
    config = arguments.config([*_words(space, csv, metric), *words], **given)
    folder = out or arguments.free_folder(_name(config))
    if dry_run:
        _print_plan(config, folder)
        return 0
    return _watched(folder, as_json, lambda watch: experiment.run(config, folder, watch, minutes))


def _words(space: str, csv: str | None, metric: str | None) -> list[str]:
    """The settings that a space and a table stand for."""
    if bool(csv) != bool(metric):
        raise ConfigError(
            "--table and --metric go together", code="E530", hint="--table CSV --metric COLUMN"
        )
    words = [f"space={space}"]
    if csv:
        words += ["evaluation.evaluator=table", f"evaluation.table={csv}"]
        words += [f"evaluation.metric={metric}"]
    return words


@click.command("compare")
@click.argument("space")
@arguments.settings
@arguments.preset
@click.option("--searchers", default="epnas,random", help="Their names (epnas,random).")
@click.option("--seeds", default="0..4", help="Such as 0..4 (the default) or 1,7,9.")
@click.option("--table", "csv", help="Look accuracies up in this CSV file; train nothing.")
@click.option("--metric", metavar="COLUMN", help="The column of the table to search by.")
@click.option("--out", type=Path, help="The folder; runs/compare-SPACE-DATA by default.")
@as_json
def compare_command(
    space: str, searchers: str, seeds: str, csv: str | None, metric: str | None,
    out: Path | None, as_json: bool, **given: Any,
) -> int:  # fmt: skip
    """Compare searchers under the same budget.

    Each run has the folder OUT/SEARCHER-SEED; a run that is there is kept, or gone on with if it
    was stopped. The budget is search.evaluations. The best ones are not trained finally, unless
    evaluation.final_epochs says so.
    """
    from epnas_dsl import experiment

    config = arguments.config(
        [*_words(space, csv, metric), "evaluation.final_epochs=0"], **given
    )  # fmt: skip
    names = list(dict.fromkeys(name.strip() for name in searchers.split(",")))
    numbers, folder = arguments.seeds(seeds), out or Path("runs", f"compare-{_name(config)}")
    runs = experiment.planned_runs(config, names, numbers, folder)
    for settings, place in runs:
        note(f"{place}: {settings.search.evaluations} evaluations")
        work = partial(experiment.carry_out, settings, place)
        status = _carried_out(work, lambda: "the same command")
        if status:
            return status
    arms = experiment.compared(names, numbers, folder, _name(config))
    pictures = [str(folder / f"compare.{suffix}") for suffix in ("svg", "png")]
    fields = ("searcher", "lower", "median", "upper", "best")
    rows = [{name: getattr(arm, name) for name in fields} for arm in arms]
    shown = [(a.searcher, len(a.best), *map(percent, (a.lower, a.median, a.upper))) for a in arms]
    table([("searcher", "runs", "lower quartile", "median", "upper quartile"), *shown],
          right=(1, 2, 3, 4), put=note)  # fmt: skip
    if as_json:
        evaluations = runs[0][0].search.evaluations
        document(space=space, evaluations=evaluations, searchers=rows, pictures=pictures)
    else:
        for path in pictures:
            say(path)
    return 0


@click.command("resume")
@directory
@click.option("--ray", metavar="ADDRESS", help="On another Ray cluster than before.")
@arguments.minutes
@as_json
def resume_command(folder: Path, ray: str | None, minutes: float, as_json: bool) -> int:
    """Go on with a run that was stopped."""
    from epnas_dsl import experiment

    return _watched(folder, as_json, lambda watch: experiment.resume(folder, watch, minutes, ray))


def _watched(folder: Path, as_json: bool, work: Callable[[Any], object]) -> int:
    """Run with progress shown; ends with the result, or with how to go on."""

    def again() -> str:
        there = any((folder / name).is_file() for name in ("run.db", "runs.toml"))
        return f"epnas resume {shlex.quote(str(folder))}" if there else ""

    status = _carried_out(work, again)
    if not status:
        _print_status(folder, as_json)
    return status


def _carried_out(work: Callable[[Any], object], again: Callable[[], str]) -> int:
    """Work with its progress shown; the exit status, after a word on how to go on if stopped."""
    from epnas_dsl.cli.watching import watcher

    try:
        with watcher() as watch:
            work(watch)
    except KeyboardInterrupt as stop:
        if command := again():
            note(f"stopped; go on with: {command}")
        if getattr(stop, "at_once", True):
            return 128 + getattr(stop, "signal", 2)
        return 3
    return 0


def _name(config: Config) -> str:
    """What a run is called: its space and its data, or its table."""
    data = config.evaluation.table or config.data.name.partition(":")[2] or config.data.name
    return f"{arguments.space(config.space).name}-{Path(data).resolve().name.partition('.')[0]}"


def _print_plan(config: Config, folder: Path) -> None:
    """The plan as comments, then all settings: a file for `--config`."""
    from epnas_dsl import experiment
    from epnas_dsl.config import dump_toml
    from epnas_dsl.space.counting import count_raw

    space, trainings = experiment.plan(config)
    what = "look-ups in the table" if config.evaluation.evaluator == "table" else "trainings"
    epochs = f" of {config.training.epochs} epochs" if what == "trainings" else ""
    say(f"# {space.name}: {space.depth} levels, {count_raw(space):,} architectures")
    say(f"# at most {trainings:,} {what}{epochs}, kept in {folder}")
    say(dump_toml(config).rstrip())


@click.command("status")
@directory
@as_json
def status_command(folder: Path, as_json: bool) -> None:
    """Show how far a run is, and its best."""
    _print_status(folder, as_json)


def _print_several(folder: Path, as_json: bool) -> None:
    """The runs of a folder, then the best of them as if it were alone."""
    from epnas_dsl import experiment

    begun = [path for path in experiment.folders(folder) if (path / "run.db").is_file()]
    found = [(path, experiment.status(path)) for path in begun]
    best = experiment.best_run(folder) if begun else None
    if as_json:
        rows = [{"folder": str(path), "state": s.state, "trials": s.trials, "test": s.test,
                 "best": _plain(s.best) if s.best else None} for path, s in found]  # fmt: skip
        document(folder=str(folder), runs=rows, best=str(best) if best else None)
        return
    lines = [
        (path.name, s.state, s.trials, percent(s.best.accuracy) if s.best else "",
         percent(s.test) if s.test is not None else "") for path, s in found
    ]  # fmt: skip
    table([("run", "state", "trials", "validation", "test"), *lines], right=(0, 2, 3, 4))
    if best:
        say("")
        _print_status(best, as_json)


def _print_status(folder: Path, as_json: bool) -> None:
    from epnas_dsl import experiment

    if experiment.is_several(folder):
        _print_several(folder, as_json)
        return
    status = experiment.status(folder)
    best, named = status.best, {"params": "parameters", "macs": "MACs"}
    if as_json:
        fields = ("state", "trials", "failed", "planned", "seconds", "test")
        facts = {name: getattr(status, name) for name in fields}
        files = [str(path) for path in status.files]
        document(folder=str(folder), **facts, best=_plain(best) if best else None, files=files)
        return
    failed = f", {status.failed} of them failed" if status.failed else ""
    rows = [("run", f"{folder}, {status.state}")]
    rows += [("trials", f"{status.trials:,} of at most {status.planned:,}{failed}")]
    rows += [("time", f"{status.seconds:,.1f} s of evaluation")]
    if best:
        rows += [("best", best.architecture), ("validation", percent(best.accuracy))]
        rows += [("test", percent(status.test))] if status.test is not None else []
        rest = {k: v for k, v in best.metrics.items() if k != "accuracy"}
        rows += [(named.get(k, k), _figure(v)) for k, v in rest.items()]
    table([*rows, *(("file", path) for path in status.files)])
    if status.state == "done":
        for words, command in status.commands[:-1]:
            note(f"{words}: {command}")
    elif status.state == "stopped":
        note(f"go on with: epnas resume {shlex.quote(str(folder))}")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4f}"


def _plain(trial: Any) -> dict[str, object]:
    return {
        "number": trial.number, "architecture": trial.architecture, "id": trial.id,
        "level": trial.level, "accuracy": trial.accuracy, "metrics": dict(trial.metrics),
    }  # fmt: skip


@click.command("top", epilog="\b\n  epnas top runs/micro-digits --pareto --cost macs")
@directory
@click.option("-n", "number", type=click.IntRange(1), help="How many (10; all of a front).")
@click.option("--pareto", is_flag=True, help="Those that no other beats in accuracy and cost.")
@click.option("--cost", default="params", help="Of a front: params (the usual), macs, latency ..")
@as_json
def top_command(folder: Path, number: int | None, pareto: bool, cost: str, as_json: bool) -> None:
    """List the best architectures of a run.

    Where ARCH is taken DIR:17 is one of them, 'DIR:best(params<2e6, macs<=1e9)' the best that
    meets conditions. Of the runs of `--runs` all count: `2:17` is trial 17 of run 2.
    """
    from epnas_dsl import experiment

    runs = {path: experiment.trials(path) for path in experiment.runs_of(folder)}
    run = {id(trial): path.name for path, trials in runs.items() for trial in trials}
    found = [trial for trials in runs.values() for trial in trials]
    if pareto:
        best = experiment.front(found, cost)[::-1][:number]
    else:
        found = [trial for trial in found if trial.metrics]
        found.sort(key=lambda trial: (-trial.accuracy, trial.number))
        first = {trial.architecture: trial for trial in reversed(found)}
        best = list(first.values())[::-1][: number or 10]
    if as_json:
        where = [{"run": run[id(t)]} if len(runs) > 1 else {} for t in best]
        document(trials=[_plain(t) | place for t, place in zip(best, where, strict=True)])
        return
    head = ("trial", "accuracy", *([cost] if pareto else []), "level", "id", "architecture")
    rows = [
        (f"{run[id(t)]}:{t.number}" if len(runs) > 1 else t.number, percent(t.accuracy),
         *([_figure(t.metrics[cost])] if pareto else []),
         t.level, t.id, t.architecture)
        for t in best
    ]  # fmt: skip
    table([head, *rows], right=range(len(head) - 2))


@click.command("report")
@directory
def report_command(folder: Path) -> None:
    """Write the report of a run: one HTML file."""
    from epnas_dsl import experiment

    say(experiment.report(folder))
