import itertools
import re

import numpy as np
import pytest

from epnas_dsl.config import Config
from epnas_dsl.errors import ConfigError, RunError
from epnas_dsl.runs.charts import short
from epnas_dsl.runs.report import render
from epnas_dsl.runs.selection import best_where, front
from epnas_dsl.runs.trial import Trial


def made(*pairs):
    return [
        Trial(number=i, architecture=f"a{i}", id="", key="", level=1,
              state="complete" if accuracy is not None else "failed",
              metrics={} if accuracy is None else {"accuracy": accuracy, "params": params})
        for i, (accuracy, params) in enumerate(pairs)
    ]  # fmt: skip


def beats(a, b):
    better = a.accuracy >= b.accuracy and a.metrics["params"] <= b.metrics["params"]
    return better and (a.accuracy, a.metrics["params"]) != (b.accuracy, b.metrics["params"])


def test_the_front_is_what_no_other_beats():
    generator = np.random.default_rng(0)
    for count in (1, 2, 5, 30, 100):
        values = zip(generator.integers(0, 9, count), generator.integers(1, 9, count), strict=True)
        trials = made(*((float(a) / 10, float(p)) for a, p in values), (None, 0))
        complete = trials[:-1]
        free = [t for t in complete if not any(beats(o, t) for o in complete)]
        found = front(trials)
        assert {(t.accuracy, t.metrics["params"]) for t in found} == {
            (t.accuracy, t.metrics["params"]) for t in free
        }
        for a, b in itertools.pairwise(found):
            assert a.accuracy < b.accuracy
            assert a.metrics["params"] < b.metrics["params"]


def test_of_equals_the_earliest():
    assert [t.number for t in front(made((0.5, 2), (0.5, 2), (0.4, 2), (0.4, 1)))] == [3, 0]


TRIALS = made((0.9, 5e6), (0.8, 2e6), (0.7, 1e6), (None, 0))


@pytest.mark.parametrize(
    ("condition", "number"),
    [("params<2e6", 2), ("params <= 2e6", 1), ("params>0", 0), ("params<2.5e6, accuracy<.75", 2)],
)
def test_the_best_under_a_condition(condition, number):
    assert best_where(TRIALS, condition).number == number


@pytest.mark.parametrize(
    ("condition", "error", "text"),
    [
        ("params<1e6", RunError, "1e[+]06 to 5e[+]06"),
        ("params<2e6, accuracy>0.8", RunError, "E715"),
        ("parms<1e6", ConfigError, "did you mean `params`"),
        ("params", ConfigError, "E536"),
        ("params<", ConfigError, "E536"),
        ("params=5", ConfigError, "E536"),
        ("params<nan", ConfigError, "E536"),
        ("", ConfigError, "E536"),
        ("params<1e6)(", ConfigError, "E536"),
    ],
)
def test_conditions_that_do_not_hold(condition, error, text):
    with pytest.raises(error) as caught:
        best_where(TRIALS, condition)
    assert re.search(text, str(caught.value))


def test_no_trials_and_no_such_cost():
    with pytest.raises(ConfigError, match="no figures yet"):
        front([])
    with pytest.raises(ConfigError, match="they have accuracy, params"):
        front(TRIALS, "latency")


def test_the_report_draws_the_front():
    page = render(TRIALS, Config())
    assert "Accuracy against params" in page
    assert "Accuracy against macs" not in page
    assert page.count('class="best"') == 2
    assert [short(v) for v in (12, 1500, 2.5e6, 3e9)] == ["12", "1.5k", "2.5M", "3G"]
    render(made((0.5, 0)), Config())
