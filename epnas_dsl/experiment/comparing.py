"""Turn several searchers and seeds into runs under one budget, and these into one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from epnas_dsl.config import Config, dump_toml, override
from epnas_dsl.errors import ConfigError, RunError
from epnas_dsl.experiment.assembly import plan, settle
from epnas_dsl.experiment.records import space_of, trials
from epnas_dsl.experiment.searching import resume, run
from epnas_dsl.lang.loading import load_space
from epnas_dsl.runs.runner import Watcher
from epnas_dsl.runs.store import Store


@dataclass(frozen=True, slots=True)
class Arm:
    """What one searcher came to: its best validation accuracy by seed, and the quartiles."""

    searcher: str
    best: dict[int, float]
    lower: float
    median: float
    upper: float


def planned_runs(
    config: Config, searchers: Sequence[str], seeds: Sequence[int], out: Path
) -> list[tuple[Config, Path]]:
    """The settings and the folder of each run, seed by seed: so all searchers advance alike.

    Without `search.evaluations` the budget is what `config` would take by itself.

    Raises:
        ConfigError: there is no searcher of that name, or `search.runs` is set (E515).
    """
    if config.search.runs > 1:
        hint = "`--seeds 0..9` makes ten runs of each searcher"
        raise ConfigError("a comparison does not take `search.runs`", code="E515", hint=hint)
    found = []
    if config.search.random_arm < 0:  # the budget counts what the searcher itself asks for
        config = override(config, ["search.random_arm=0"])
    budget = f"search.evaluations={config.search.evaluations or plan(config)[1]}"
    for seed in seeds:
        for name in searchers:
            words = [f"search.searcher={name}", f"search.seed={seed}", budget]
            found.append((override(config, words), out / f"{name}-{seed}"))
    return found


def carry_out(config: Config, folder: Path, watcher: Watcher | None = None) -> None:
    """Begin a run, go on with it where it stopped, or leave it where it is finished.

    Raises:
        RunError: the folder holds another run (E714); or as `run`.
    """
    if not (folder / "run.db").is_file():
        run(config, folder, watcher)
        return
    _check_same(config, folder)
    if not (folder / "best.arch").is_file():
        resume(folder, watcher)


def _check_same(config: Config, folder: Path) -> None:
    with Store(folder) as store:
        space = load_space(config.space)
        wanted = set(dump_toml(settle(config, space)).splitlines())
        others = [line for line in dump_toml(store.config).splitlines() if line not in wanted]
        if not others and space_of(store).digest != space.digest:
            others = ["another space"]
    if others:
        raise RunError(
            f"`{folder}` holds a run of other settings: {'; '.join(others)}", code="E714",
            hint="name another folder by --out, or remove that one",
        )  # fmt: skip


def compared(searchers: Sequence[str], seeds: Sequence[int], out: Path, title: str) -> list[Arm]:
    """Put finished runs together; draws `compare.svg` and `compare.png` in their folder."""
    from epnas_dsl.runs.comparison import picture, quartiles
    from epnas_dsl.space.drawing import render

    runs = {name: [trials(out / f"{name}-{seed}") for seed in seeds] for name in searchers}
    evaluations = max(len(found) for several in runs.values() for found in several)
    curves = {name: quartiles(several, evaluations) for name, several in runs.items()}
    drawing = picture(curves, title, len(seeds))
    for suffix in ("svg", "png"):
        render(drawing, out / f"compare.{suffix}")
    return [
        Arm(
            name,
            {s: max(t.accuracy for t in r) for s, r in zip(seeds, several, strict=True)},
            *(float(value) for value in curves[name][:, -1]),
        )
        for name, several in runs.items()
    ]
