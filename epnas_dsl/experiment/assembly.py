"""Turn settings into the parts of a search: its space, its evaluator, its searcher."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from epnas_dsl.config import Config
from epnas_dsl.errors import ConfigError, LimitError, ShapeError
from epnas_dsl.lang.loading import load_space
from epnas_dsl.lang.matching import match_architecture
from epnas_dsl.lang.notations import read_nasbench201
from epnas_dsl.lang.parser import parse_architecture
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.operations import load_operations
from epnas_dsl.space.search_space import SearchSpace

if TYPE_CHECKING:
    from epnas_dsl.runs.evaluator import Evaluator
    from epnas_dsl.search.searcher import Searcher


def plan(config: Config) -> tuple[SearchSpace, int]:
    """The space of a search, and the largest number of trials that it will take."""
    from epnas_dsl.search import planned_trials

    space = load_space(config.space)
    return space, planned_trials(space, settle(config).search)


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
    if how.evaluator == "supernet" and how.timeout:
        raise ConfigError(
            "shared weights are trained in this process, which cannot be ended after "
            f"evaluation.timeout = {how.timeout:g}", code="E515",
            hint="`--set evaluation.evaluator=standalone`",
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
    for architecture in sample(space, 8, np.random.default_rng(0), level=1):
        with contextlib.suppress(ShapeError, LimitError):  # a trial that fails, not the search
            layers_for(architecture, data, config.training)
            break
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
