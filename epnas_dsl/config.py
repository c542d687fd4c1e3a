"""Turn TOML and `section.key=value` texts into frozen settings; the defaults are the paper's."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from epnas_dsl.errors import ConfigError, Diagnostic, Source, Span, nearest

Count = Annotated[int, Meta(ge=1, le=10**9)]
Whole = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[float, Meta(gt=0)]
Rate = Annotated[float, Meta(gt=0, le=1000)]
Units = Annotated[int, Meta(ge=1, le=16_384)]
Share = Annotated[float, Meta(ge=0, le=1)]


class SearchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How architectures are chosen (section 4).

    Attributes:
        searcher: `epnas`; `pnas`, which takes the best K where `epnas` draws; or, over the
            architectures of full length, `random`, `evolution`, `local_search`, `q_learning`,
            `reinforce`.
        kept: K, the architectures kept and trained at each step.
        iterations: how often the levels are gone through.
        later: what iterations after the first do: `grow` starts again from level 1, `refine`
            overwrites one row of the kept full-length architectures, level by level, `revise`
            at each step any one row of the K best full-length ones.
        first_level_limit: the first step trains every architecture of level 1 if these are not
            more than so many; otherwise K drawn uniformly.
        retrain: whether an architecture that was trained before is trained again when it is drawn
            again; `auto` means `yes` where weights are shared, else `no`.
        repeated: which accuracy counts for an architecture that was trained several times
            (`epnas`, `pnas`).
        temperature_start: T0 of the schedule.
        temperature_end: T1 of the schedule.
        temperature_decay: sigma of the schedule, in steps.
        ensemble: surrogates whose mean `epnas` and `pnas` go by, each fitted to all but one part
            of the data; 0 means as in the papers, 1 for `epnas` and 5 for `pnas`.
        population: architectures alive in `evolution` (the paper's 100 are for 20,000 trials).
        sampled: of these, how many are drawn to find a parent.
        climb: `local_search` moves to the `best` of all neighbours, or to the `first` better one.
        rate: learning rate of `q_learning`.
        replays: trials that `q_learning` learns from again after each trial.
        proposals: architectures of full length proposed at once, before anything is learned from
            them; 0 means as many as there are workers.
        evaluations: stop after so many trials; 0 means no such end (searchers without levels then
            take as many as `epnas` would).
        random_arm: so many trials are uniform random architectures of full length, spread over
            the run, which the report compares the search with; they are among the `evaluations`,
            or added to the trials of the iterations. -1 means a tenth of the trials where that
            makes five, and none for `random`.
        seed: of every random choice of the run.
        runs: independent searches, with the seeds `seed`, `seed + 1`, ..; the best of all counts.
    """

    searcher: Literal[
        "epnas", "pnas", "random", "evolution", "local_search", "q_learning", "reinforce"
    ] = "epnas"
    kept: Count = 25
    iterations: Count = 3
    later: Literal["grow", "refine", "revise"] = "grow"
    first_level_limit: Count = 256
    retrain: Literal["auto", "yes", "no"] = "auto"
    repeated: Literal["max", "mean", "last"] = "max"
    temperature_start: Positive = 10.0
    temperature_end: Positive = 1.0
    temperature_decay: Positive = 4.0
    ensemble: Annotated[int, Meta(ge=0, le=1000)] = 0
    population: Count = 20
    sampled: Count = 5
    climb: Literal["best", "first"] = "best"
    rate: Annotated[float, Meta(gt=0, le=1)] = 0.01
    replays: Count = 100
    proposals: Whole = 0
    evaluations: Whole = 0
    random_arm: Annotated[int, Meta(ge=-1, le=2**31 - 1)] = -1
    seed: Whole = 0
    runs: Annotated[int, Meta(ge=1, le=1024)] = 1


class SurrogateSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The LSTM that predicts an architecture's accuracy from its tokens (section 4).

    Attributes:
        features: width of the linear decoder of a row's symbols.
        hidden: units of the LSTM.
        initial: linear weights start uniform in [-initial, initial].
        loss: `l1` (the paper's), `mse`, or `rank`: the order of pairs counts and the values do not
            (scores are no accuracies then).
        learning_rate: of Adam.
        epochs: passes over all stored points at each fit.
        steps: batches at each fit, however many points there are; 0 means as many as the epochs.
        batch: points in a batch.
        writings: each point is given in so many ways to write the same architecture (the epochs
            are divided by that many); 1 is the paper's.
    """

    features: Units = 100
    hidden: Units = 100
    initial: Rate = 1.0
    loss: Literal["l1", "mse", "rank"] = "l1"
    learning_rate: Rate = 3e-3
    epochs: Count = 50
    steps: Whole = 0
    batch: Count = 64
    writings: Annotated[int, Meta(ge=1, le=1000)] = 1


class ControllerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The LSTM of `reinforce`, which writes architectures symbol by symbol (ENAS, sections 2, 3).

    Attributes:
        hidden: units of the LSTM, and width of the symbols that it reads.
        layers: of the LSTM (Zoph, Le 2017 have 2 of 35 units, section 4.1).
        initial: all weights start uniform in [-initial, initial].
        learning_rate: of Adam (Zoph, Le 2017: 0.0006).
        temperature: the logits are divided by it, then
        tanh: they are bent into [-tanh, tanh], so that no choice ever becomes certain; 0 leaves
            them as they are.
        entropy: weight of the entropy of an architecture's choices beside its reward.
        baseline: share of the old value in the moving average that rewards are compared with
            (Zoph, Vasudevan, Shlens, Le 2018, appendix A.1).
        power: the reward is the accuracy to this power (Zoph, Le 2017: 3, section 4.1).
    """

    hidden: Units = 100
    layers: Annotated[int, Meta(ge=1, le=100)] = 1
    initial: Rate = 0.1
    learning_rate: Rate = 0.00035
    temperature: Annotated[float, Meta(ge=1e-3, le=1e6)] = 5.0
    tanh: Annotated[float, Meta(ge=0, le=1000)] = 2.5
    entropy: Annotated[float, Meta(ge=0, le=1000)] = 1e-4
    baseline: Annotated[float, Meta(ge=0, lt=1)] = 0.95
    power: Positive = 1.0


class TrainingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How one network is trained: Nesterov SGD, cosine with warm restarts (section 4).

    Attributes:
        epochs: passes over the training images.
        batch: images in a batch.
        learning_rate: at the start of each cosine.
        learning_rate_end: at the end of each cosine.
        restart: epochs of the first cosine; 0 means as many as `epochs`.
        restart_factor: each cosine is so many times as long as the one before.
        momentum: of Nesterov SGD.
        weight_decay: of every parameter.
        clip: largest norm of the gradient; 0 means no clipping.
        label_smoothing: of the cross entropy.
        drop_path: probability that an operation's output is dropped in training, at the end.
        calibration: training batches over which batch-norm statistics are measured anew before
            each validation; 0 keeps the running averages, which lag behind in short trainings.
        channels_last: memory format of images and weights.
        threads: of torch on the CPU; 0 means as many as torch chooses.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        precision: of convolutions and products; `auto` means `bfloat16` (by autocast; weights stay
            float32) on GPUs made for it, else `float32`.
        cuda_graphs: record a step once and replay it; `auto` and `yes` do so on a GPU, and where
            that fails the steps are launched one by one and the log says why (on a processor with
            `yes` only).
        joined: carry convolutions of one value out as one, where a single process trains.
        compile: run the steps of a final training (`epnas train`, the end of a search) through
            `torch.compile`; the short trainings of a search never are.
    """

    epochs: Count = 3
    batch: Count = 128
    learning_rate: Rate = 0.05
    learning_rate_end: Annotated[float, Meta(ge=0)] = 0.001
    restart: Whole = 0
    restart_factor: Count = 2
    momentum: Share = 0.9
    weight_decay: Annotated[float, Meta(ge=0)] = 1e-4
    clip: Annotated[float, Meta(ge=0)] = 5.0
    label_smoothing: Share = 0.0
    drop_path: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    calibration: Whole = 8
    channels_last: bool = True
    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    cuda_graphs: Literal["auto", "yes", "no"] = "auto"
    joined: bool = False
    compile: bool = False


class DataSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which images, and what is done to them in training.

    Attributes:
        name: `digits`, `cifar10`, `cifar100`, `mnist`, `fashionmnist` or `imagefolder:PATH`.
        root: folder of torchvision's data sets.
        validation: images held back from the training part for validation; 0 means a tenth
            (digits has a fixed split of its own).
        limit: use at most so many training images (validation included); 0 means all.
        size: resize images of a folder to this many pixels; 0 keeps them.
        crop: pixels of padding for random crops; -1 means an eighth of the size.
        flip: mirror images at random; `auto` does so except for digits and letters.
        cutout: side in pixels of a square blanked out at random; 0 means none.
        seed: of the split.
    """

    name: str = "digits"
    root: str = "data"
    validation: Whole = 0
    limit: Whole = 0
    size: Whole = 0
    crop: Annotated[int, Meta(ge=-1, le=512)] = -1
    flip: Literal["auto", "yes", "no"] = "auto"
    cutout: Whole = 0
    seed: Whole = 0


class EvaluationSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How an architecture is measured.

    Attributes:
        evaluator: `supernet` (shared weights), `standalone` (from scratch), `table` (looked up).
        table: the CSV file of measured accuracies; has a column `arch`.
        metric: the column of the table that guides the search.
        report: further columns of the table to keep with each trial; empty means all numeric ones.
        workers: processes that evaluate side by side, each with its part of the cores and a GPU
            of its own if there are as many. With shared weights they train so many architectures
            from the same weights, and what they trained is averaged: a deviation from the paper.
        ray: a Ray cluster whose machines carry the trials out, `workers` at a time: `HOST:PORT`,
            or `auto` for the one that this machine belongs to; empty means this machine.
        timeout: seconds for one evaluation by a process of its own, after which it is tried once
            more and then has failed; 0 means no end. Not where one process trains shared weights.
        latency: with how many images the time of a forward pass of each network is measured where
            it is trained, as the metric `latency` in milliseconds; 0 means not at all.
        latency_limit: a network that takes more milliseconds is infeasible, and is not trained; 0
            means no limit.
        final_epochs: after the search the best architecture is trained from scratch for so many
            epochs and tested; 0 means not at all. A table is not followed by training.
    """

    evaluator: Literal["supernet", "standalone", "table"] = "supernet"
    table: str = ""
    metric: str = ""
    report: tuple[str, ...] = ()
    workers: Annotated[int, Meta(ge=1, le=1024)] = 1
    ray: str = ""
    timeout: Annotated[float, Meta(ge=0)] = 0
    latency: Annotated[int, Meta(ge=0, le=65_536)] = 0
    latency_limit: Annotated[float, Meta(ge=0)] = 0
    final_epochs: Whole = 20


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a run.

    Attributes:
        space: a built-in name or a path, with parameters if wanted: `micro(blocks=3)`.
        plugin: a Python file with operations of the user's own.
    """

    space: str = "micro"
    plugin: str = ""
    search: SearchSettings = SearchSettings()
    surrogate: SurrogateSettings = SurrogateSettings()
    controller: ControllerSettings = ControllerSettings()
    training: TrainingSettings = TrainingSettings()
    data: DataSettings = DataSettings()
    evaluation: EvaluationSettings = EvaluationSettings()


FAST = {
    "search.kept": 5, "search.first_level_limit": 25, "search.later": "revise",
    "search.temperature_start": 0.1, "search.temperature_end": 0.02,
    "surrogate.loss": "rank", "surrogate.initial": 0.3, "surrogate.writings": 8,
    "surrogate.steps": 40, "surrogate.batch": 128,
}  # fmt: skip


def preset(config: Config, name: Literal["paper", "fast"]) -> Config:
    """The settings with those that `fast` names, or with the paper's in their place.

    `fast` is for budgets of some hundred trials; what it sets was chosen by measurement on
    NAS-Bench-201 (docs/searching.md).
    """
    values, usual = msgspec.to_builtins(config), msgspec.to_builtins(Config())
    for setting, value in FAST.items():
        section, _, key = setting.partition(".")
        values[section][key] = value if name == "fast" else usual[section][key]
    if name == "paper":
        values["search"]["random_arm"] = 0  # it has none
    return msgspec.convert(values, Config)


def load_config(path: str | Path) -> Config:
    """The settings in a TOML file.

    Raises:
        ConfigError: with `file:line:column`, if the file cannot be read (E510), is no TOML (E511),
            or holds settings that are unknown (E512) or wrong (E513); all of these at once.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"cannot read the settings `{path}`: {reason}", code="E510") from None
    source = Source(str(path), text)
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _syntax_error(str(error), source) from None
    return _build(values, lambda name: _span_in_toml(source, name))


def override(config: Config, assignments: Iterable[str]) -> Config:
    """The settings with some replaced by texts of the form `section.key=value`.

    A value is written as in TOML; the quotes of a text and the brackets of a list may be left out.

    Raises:
        ConfigError: if a text has no `=` (E514), or as for a file.
    """
    values = msgspec.to_builtins(config)
    spans: dict[str, Span] = {}
    for assignment in assignments:
        source = Source("--set", assignment)
        name, equals, text = (part.strip() for part in assignment.partition("="))
        whole = spans[name] = Span(source, 0, len(assignment))
        if not equals or not name:
            raise ConfigError("expected `section.key=value`", code="E514", span=whole)
        section, _, key = name.rpartition(".")
        target = values.get(section) if section else values
        if isinstance(values.get(name), dict):
            message = f"`{name}` is a section of settings, not one value"
            hint = "it has " + ", ".join(f"`{name}.{key}`" for key in values[name])
            raise ConfigError(message, code="E513", span=whole, hint=hint)
        if not isinstance(target, dict):
            known = [n for n in _names(Config) if n.endswith(f".{key}") or n == key]
            hint = f"did you mean `{known[0]}`?" if known else nearest(name, _names(Config))
            raise ConfigError(f"unknown setting `{name}`", code="E512", span=whole, hint=hint)
        target[key] = _read_value(text, target.get(key))
    return _build(values, spans.get)


def dump_toml(config: Config) -> str:
    """The settings as TOML; `load_config` reads them back."""
    values = msgspec.to_builtins(config)
    lines = [f"{k} = {_toml(v)}" for k, v in values.items() if not isinstance(v, dict)]
    for section, settings in values.items():
        if isinstance(settings, dict):
            lines += ["", f"[{section}]", *(f"{k} = {_toml(v)}" for k, v in settings.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A text, number, truth value or list of these; TOML writes them as JSON does."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read_value(text: str, current: Any) -> Any:
    """The value that a text on the command line stands for, given the one that it replaces."""
    if isinstance(current, str) and text[:1] not in {'"', "'"}:
        return text
    if isinstance(current, list | tuple) and not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _build(values: dict[str, Any], place: Callable[[str], Span | None]) -> Config:
    """The settings made of plain values, or every mistake in them with its place."""
    mistakes = list(_mistakes(values, Config, "", place))
    if mistakes:
        error = ConfigError("wrong settings")
        error.diagnostics = tuple(mistakes)
        raise error
    return msgspec.convert(values, Config)


def _mistakes(
    values: dict[str, Any], kind: type[Struct], prefix: str, place: Callable[[str], Span | None]
) -> Iterator[Diagnostic]:
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in values.items():
        name = prefix + key
        if key not in fields:
            everywhere = [n for n in _names(Config) if n.endswith(f".{key}")]
            if prefix:
                near = nearest(key, fields).replace("`", f"`{prefix}", 1)
                hint = near or f"there is {', '.join(prefix + field for field in fields)}"
            else:
                sections = [n.partition(".")[0] for n in _names(Config)]
                hint = nearest(name, [*_names(Config), *sections])
            hint = f"did you mean `{everywhere[0]}`?" if everywhere else hint
            yield Diagnostic("E512", f"unknown setting `{name}`", place(name), hint)
        elif isinstance(fields[key], type) and issubclass(fields[key], Struct):
            if isinstance(value, dict):
                yield from _mistakes(value, fields[key], f"{name}.", place)
            else:
                message = f"`{name}` is a section of settings, not one value"
                yield Diagnostic("E513", message, place(name), f"write `[{name}]` above them")
        elif expected := _expectation(value, fields[key]):
            choices = get_args(fields[key]) if get_origin(fields[key]) is Literal else ()
            message = f"`{name}` is {_shown(value)}; expected {expected}"
            yield Diagnostic("E513", message, place(name), nearest(str(value), choices))


def _expectation(value: Any, kind: Any) -> str:
    """What a setting must be, in words; empty if the value is that."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if get_origin(kind) is Literal:
            return "one of " + ", ".join(f"`{choice}`" for choice in get_args(kind))
        words = {"int": "a whole number", "float": "a number", "str": "a text in quotes"}
        words |= {"bool": "`true` or `false`", "array": "a list"}
        text = re.sub(r", got .*| - at .*", "", str(error)).removeprefix("Expected ")
        return re.sub(r"`(\w+)`", lambda m: words.get(m[1], m[0]), text)
    return ""


def _shown(value: Any) -> str:
    plain = isinstance(value, float)
    text = str(value) if plain else json.dumps(value, default=str, ensure_ascii=False)
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`"


def _names(kind: type[Struct], prefix: str = "") -> list[str]:
    """The dotted names of all settings."""
    names = []
    for field in msgspec.structs.fields(kind):
        inner = isinstance(field.type, type) and issubclass(field.type, Struct)
        name = prefix + field.name
        names += _names(field.type, f"{name}.") if inner else [name]
    return names


def _span_in_toml(source: Source, name: str) -> Span | None:
    """Where a TOML text sets a name, or opens a section; None if written in an unusual way."""
    section, _, key = name.rpartition(".")
    current = ""
    for number, start in enumerate(source.line_starts, 1):
        line = source.line(number)
        header = re.match(r"\s*\[\s*([\w.-]+)\s*\]", line)
        current = header[1] if header else current
        found = header if header and current == name else None
        if not header and (match := re.match(r"""\s*["']?([\w.-]+)["']?\s*=.*""", line)):
            written = f"{current}.{match[1]}" if current else match[1]
            found = match if written == name or (current, match[1]) == (section, key) else None
        if found:
            return Span(source, start + found.start(1), start + len(line.rstrip()))
    return None


def _syntax_error(message: str, source: Source) -> ConfigError:
    match = re.search(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    end = len(source.text)
    offset = end
    if match and match[1]:
        offset = min(source.line_starts[int(match[1]) - 1] + int(match[2]) - 1, end)
    text = message[: match.start()] if match else message
    span = Span(source, offset, min(offset + 1, end))
    return ConfigError(f"this is not TOML: {text}", code="E511", span=span)
