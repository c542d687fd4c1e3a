"""Turn the trials of a run into those worth a choice: the Pareto front, the best of the small."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence

from epnas_dsl.errors import ConfigError, RunError, nearest
from epnas_dsl.runs.trial import Trial, best

_SIGNS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_PART = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


def front(trials: Sequence[Trial], cost: str = "params") -> list[Trial]:
    """The trials that no other beats: none is at least as accurate and as cheap, and better in one.

    Of equals the earliest stands for all. From the cheapest on, both cost and accuracy rise.

    Args:
        trials: all of a run; those that failed, or lack the cost, do not count.
        cost: the metric that should be small.

    Raises:
        ConfigError: no trial has such a metric (E536).
    """
    complete = [trial for trial in trials if trial.state == "complete"]
    _check_known(cost, complete)
    known = [trial for trial in complete if cost in trial.metrics]
    found: list[Trial] = []
    for trial in sorted(known, key=lambda t: (t.metrics[cost], -t.accuracy, t.number)):
        if not found or trial.accuracy > found[-1].accuracy:
            found.append(trial)
    return found


def best_where(trials: Sequence[Trial], conditions: str) -> Trial:
    """The best of the trials that meet conditions on their metrics: `params<2e6, macs<=1e8`.

    Raises:
        ConfigError: a condition is written otherwise, or names no metric of the run (E536).
        RunError: no trial meets them all (E715).
    """
    left = [trial for trial in trials if trial.state == "complete"]
    for part in conditions.split(","):
        written = _PART.fullmatch(part)
        if not written:
            raise ConfigError(
                f"`{part.strip()}` is no condition", code="E536",
                hint="a metric, `<`, `<=`, `>` or `>=`, a number: `best(params<2e6)`",
            )  # fmt: skip
        name, sign, number = written.groups()
        _check_known(name, trials)
        met = [
            t for t in left if name in t.metrics and _SIGNS[sign](t.metrics[name], float(number))
        ]
        if not met:
            values = [t.metrics[name] for t in left if name in t.metrics]
            there = f"{min(values):.6g} to {max(values):.6g}" if values else "nothing"
            raise RunError(
                f"no trial has `{part.strip()}`", code="E715", hint=f"`{name}` is {there} here"
            )
        left = met
    found = best(left)
    assert found
    return found


def _check_known(name: str, trials: Sequence[Trial]) -> None:
    names = dict.fromkeys(name for trial in trials for name in trial.metrics)
    if name not in names:
        raise ConfigError(
            f"the trials have no `{name}`", code="E536",
            hint=nearest(name, names) or f"they have {', '.join(names) or 'no figures yet'}",
        )  # fmt: skip
