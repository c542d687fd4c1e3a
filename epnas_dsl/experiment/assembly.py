"""Turn settings into the parts of a search: its space, its evaluator, its searcher."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from epnas_dsl import search
from epnas_dsl.config import Config, EvaluationSettings
from epnas_dsl.errors import ConfigError, LimitError, ShapeError
from epnas_dsl.experiment.several import refuse_ray
from epnas_dsl.lang.loading import load_space, read_architecture
from epnas_dsl.lang.notations import read_nasbench201
from epnas_dsl.runs.evaluator import Evaluator, TabularEvaluator
from epnas_dsl.runs.executor import Executor, ProcessExecutor, SerialExecutor
from epnas_dsl.runs.ray_executor import RayExecutor, prepare
from epnas_dsl.runs.snapshot import Apprentice, SnapshotExecutor
from epnas_dsl.search.searcher import Predictor, Searcher
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.operations import load_operations
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.tokens import columns


def plan(config: Config) -> tuple[SearchSpace, int]:
    """The space of a search, and the largest number of trials that its runs will take."""
    space = load_space(config.space)
    return space, search.planned_trials(space, settle(config, space).search) * config.search.runs


def load_plugin(config: Config) -> None:
    """The operations of the user's own that the settings name."""
    if config.plugin:
        load_operations(config.plugin)


def settle(config: Config, space: SearchSpace) -> Config:
    """The settings with what is left open decided, and paths that hold wherever the run is moved.

    Raises:
        ConfigError: settings that do not go together (E515), or Ray is missing (E545, E546).
    """
    load_plugin(config)
    how, data = config.evaluation, config.data
    if how.evaluator == "table" and not (how.table and how.metric):
        hint = "`--table CSV --metric COLUMN`"
        raise ConfigError("a table needs its file and its metric", code="E515", hint=hint)
    evaluations, arm = config.search.evaluations, config.search.random_arm
    if evaluations and arm >= evaluations:
        message = f"search.random_arm is {arm} of {evaluations} evaluations: nothing is searched"
        raise ConfigError(message, code="E515", hint="`--set search.random_arm=0`")
    if how.latency_limit and (how.evaluator == "table" or not how.latency):
        message = "evaluation.latency_limit is for networks whose latency is measured"
        hint = "`--set evaluation.latency=1`: with how many images; a table has no networks"
        raise ConfigError(message, code="E515", hint=hint)
    if config.search.runs > 1:
        refuse_ray(how.ray)
    if config.search.seed + config.search.runs > 1 << 31:
        raise ConfigError("the seeds of the runs end above 2147483647", code="E515")
    if how.ray:
        prepare()
        if how.workers == 1:
            hint = "`--workers N`; as many as `search.kept` leave nobody waiting for the others"
            raise ConfigError("how many trials at a time on Ray?", code="E515", hint=hint)
    if how.timeout and how.evaluator == "supernet" and how.workers == 1:
        raise ConfigError(
            "shared weights are trained in this process, which cannot be ended after "
            f"evaluation.timeout = {how.timeout:g}", code="E515",
            hint="`--set evaluation.evaluator=standalone`, or `--workers N`",
        )  # fmt: skip
    table = str(Path(how.table).expanduser().absolute()) if how.table else ""
    kind, colon, path = data.name.partition(":")
    name = f"{kind}:{Path(path).expanduser().absolute()}" if colon and path else data.name
    root = str(Path(data.root).expanduser().absolute())
    workers = how.workers if config.search.runs == 1 else 1  # of each run
    chosen = msgspec.structs.replace(config.search, proposals=config.search.proposals or workers)
    if chosen.retrain == "auto":
        retrain: Any = "yes" if how.evaluator == "supernet" else "no"
        chosen = msgspec.structs.replace(chosen, retrain=retrain)
    if arm < 0:
        chosen = msgspec.structs.replace(chosen, random_arm=search.usual_arm(space, chosen))
    plugin = str(Path(config.plugin).expanduser().absolute()) if config.plugin else ""
    return msgspec.structs.replace(
        config,
        plugin=plugin,
        search=chosen,
        data=msgspec.structs.replace(data, name=name, root=root),
        evaluation=msgspec.structs.replace(how, table=table),
    )


def make_evaluator(space: SearchSpace, config: Config) -> Evaluator:
    """The evaluator of the settings, with its data; sees that they fit the space.

    Raises:
        ConfigError, DataError: they do not, or are missing or damaged.
    """
    if config.evaluation.evaluator == "table":
        return _table(space, config.evaluation)
    from epnas_dsl.nn.data import load_data
    from epnas_dsl.nn.evaluators import StandaloneEvaluator, SupernetEvaluator, layers_for
    from epnas_dsl.nn.training import prepare_device

    data = load_data(config.data, prepare_device(config.training))
    for architecture in sample(space, 8, np.random.default_rng(0), level=1):
        with contextlib.suppress(ShapeError, LimitError):  # a trial that fails, not the search
            layers_for(architecture, data, config.training)
            break
    shares = config.evaluation.evaluator == "supernet"
    kind = SupernetEvaluator if shares else StandaloneEvaluator
    return kind(data, config.training, config.search.seed, config.evaluation)


def make_executor(space: SearchSpace, config: Config, evaluator: Evaluator | None) -> Executor:
    """What carries the trials out, as the settings say: here, or in several processes.

    Args:
        evaluator: one that is made already; only a single process has use for it.
    """
    how, shares = config.evaluation, config.evaluation.evaluator == "supernet"
    if how.workers == 1 and not how.ray and not how.timeout:
        return SerialExecutor(partial(make_evaluator, space, config), evaluator)
    factory: Any = partial(make_worker, space, config)
    factory = partial(Apprentice, factory) if shares else factory
    training = msgspec.structs.replace(config.training, device="cpu")  # the owner trains nothing
    owner: Any = partial(make_evaluator, space, msgspec.structs.replace(config, training=training))
    if how.ray:
        cpus, gpus = config.training.threads or 1, config.training.device != "cpu"
        cluster = RayExecutor(factory, how.ray, how.workers, cpus, gpus, how.timeout)
        return SnapshotExecutor(owner, cluster, cluster.share) if shares else cluster
    pool = ProcessExecutor(factory, how.workers, how.timeout)
    return SnapshotExecutor(owner, pool) if shares else pool


def make_worker(space: SearchSpace, config: Config) -> Evaluator:
    """The evaluator of a process that is one of several: here, or on some machine of a cluster.

    On a cluster Ray tells a worker its GPU, and its cores are those of `training.threads`; here
    both follow from the number in the process' name.
    """
    load_plugin(config)
    if config.evaluation.ray:
        training = msgspec.structs.replace(config.training, threads=config.training.threads or 1)
        return make_evaluator(space, msgspec.structs.replace(config, training=training))
    number = re.findall(r"\d+", multiprocessing.current_process().name)
    slot = int(number[-1]) - 1 if number else 0
    return make_evaluator(space, placed(config, slot, config.evaluation.workers))


def placed(config: Config, slot: int, workers: int) -> Config:
    """The settings with the part of this machine that one of several processes gets."""
    if config.evaluation.evaluator == "table":
        return config
    from epnas_dsl.nn.places import place_worker

    training = place_worker(config.training, slot, workers)
    return msgspec.structs.replace(config, training=training)


def make_searcher(space: SearchSpace, config: Config) -> Searcher:
    """The searcher of the settings."""
    if config.search.random_arm > 0:
        alone = msgspec.structs.replace(config, search=search.without_arm(config.search))
        return search.RandomArm(space, config.search, make_searcher(space, alone))
    settings = config.search
    match settings.searcher:
        case "epnas":
            return search.EpnasSearcher(space, settings, make_surrogate(space, config, 1))
        case "pnas":
            return search.PnasSearcher(space, settings, make_surrogate(space, config, 5))
        case "random":
            return search.RandomSearcher(space, settings)
        case "evolution":
            return search.EvolutionSearcher(space, settings)
        case "local_search":
            return search.LocalSearcher(space, settings)
        case "q_learning":
            return search.QLearningSearcher(space, settings)
        case "reinforce":
            from epnas_dsl.nn.controller import LstmController
            from epnas_dsl.nn.training import prepare_device

            prepare_device(config.training)
            controller = LstmController(space, config.controller, settings.seed)
            return search.ReinforceSearcher(space, settings, controller, config.controller)


def make_surrogate(space: SearchSpace, config: Config, usual: int) -> Predictor:
    """The surrogate of the settings; the seed of the first of several is the search's."""
    from epnas_dsl.nn.predictor import LstmPredictor
    from epnas_dsl.nn.training import prepare_device

    prepare_device(config.training)
    sizes, seed, how = columns(space), config.search.seed, config.surrogate
    alone = msgspec.structs.replace(how, epochs=-(-how.epochs // how.writings))
    found: list[Predictor] = [
        LstmPredictor(sizes, alone, seed + i) for i in range(config.search.ensemble or usual)
    ]
    if len(found) == how.writings == 1:
        return found[0]
    return search.Ensemble(found, space, how.writings)


_tables: dict[tuple[object, ...], TabularEvaluator] = {}  # the last one, for a comparison


def _table(space: SearchSpace, how: EvaluationSettings) -> Evaluator:
    """The table of the settings, read anew if it is another one, or has changed."""
    stamp: tuple[int, ...] = ()
    with contextlib.suppress(OSError):  # of which reading it tells more
        found = Path(how.table).stat()
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
    name = (space.digest, how.table, how.metric, how.report, *stamp)
    if name not in _tables:
        _tables.clear()
        read = partial(_read_row, space=space)
        _tables[name] = TabularEvaluator(how.table, how.metric, how.report, read)
    if how.timeout:  # which a trial is not to spend on what all need
        _ = _tables[name].alike
    return _tables[name]


def _read_row(text: str, space: SearchSpace) -> Architecture:
    """An architecture from a table, in the notation of NAS-Bench-201 or in our own."""
    if text.startswith("|"):
        return read_nasbench201(text, space)
    return read_architecture(text, space)
