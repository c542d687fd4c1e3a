import math
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest

from epnas_dsl.config import Config, override
from epnas_dsl.runs.charts import ticks
from epnas_dsl.runs.report import against_chance, duration, fits, rank_correlation, render
from epnas_dsl.runs.trial import Trial

EVIL = '<script>alert("&")</script>'


def made(count, failed=()):
    generator = np.random.default_rng(0)
    return [
        Trial(
            number=i,
            architecture=f"micro: h1 = {EVIL}{i}",
            id=f"{i:08x}",
            key="k",
            level=i % 3 + 1,
            state="failed" if i in failed else "complete",
            metrics={} if i in failed else {"accuracy": float(generator.uniform(0.5, 0.9))},
            notes={"iteration": 1 + 2 * i // count, "predicted": float(generator.uniform())},
            message=EVIL if i in failed else "",
            started=1.7e9,
            ended=1.7e9 + 2,
        )
        for i in range(count)
    ]


class Checker(HTMLParser):
    """Every tag is closed, nothing is fetched, nothing runs."""

    def __init__(self):
        super().__init__()
        self.open, self.kinds = [], set()

    def handle_starttag(self, tag, attributes):
        self.kinds.add(tag)
        for name, value in attributes:
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href"}:
                assert value.startswith("data:image/svg+xml;base64,")
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.kinds.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(html):
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert "script" not in checker.kinds
    assert not re.search(r"https?://(?!www\.w3\.org)|url\(|@import", html)
    return checker.kinds


def test_a_whole_report():
    html = render(
        made(40, failed={3}),
        override(Config(), [f"space={EVIL}", "search.kept=7"]),
        facts={"test accuracy": "97 %", EVIL: EVIL},
        drawing=f"<svg>{EVIL}</svg>",
        curves={"training": [0.5, 0.7], EVIL: [0.6]},
        commands=[("train it", f"epnas train {EVIL}")],
    )
    assert {"svg", "circle", "polyline", "img", "table"} <= check(html)
    assert html.count("<circle") == 39 + 39 + 3
    for text in ["97 %", "40 (1 failed)", "80 s", "1 failed trials", "The 15 best", "level 3"]:
        assert text in html
    assert re.search(r"kept</td><td>7<", html)


@pytest.mark.parametrize(("count", "failed"), [(0, ()), (1, ()), (1, {0}), (2, {1})])
def test_hardly_any_trials(count, failed):
    check(render(made(count, failed), Config()))


def test_equal_accuracies_and_control_characters():
    trials = [Trial(number=i, architecture="a\x1b[1m\u202e", id="", key="", level=1,
                    metrics={"accuracy": 1.0}) for i in range(3)]  # fmt: skip
    html = render(trials, Config())
    check(html)
    assert "\x1b" not in re.sub(r"<title>.*?</title>", "", html, flags=re.DOTALL)


def test_two_thousand_trials_take_no_time():
    started = time.process_time()
    render(made(2000), Config())
    assert time.process_time() - started < 3


def test_fits():
    found = fits(made(30, failed={0}))
    assert [(f.level, f.count) for f in found] == [(1, 9), (2, 10), (3, 10)]
    assert all(-1 <= f.rank_correlation <= 1 and 0 < f.error < 1 for f in found)


def test_calibration_is_by_level():
    first = fits(made(30))[0]
    here = [t for t in made(30) if t.level == 1]
    assert first.predicted == pytest.approx(np.mean([t.notes["predicted"] for t in here]))
    assert first.measured == pytest.approx(np.mean([t.accuracy for t in here]))
    assert "mean measured" in render(made(30), Config())


def arms(ours, theirs, shift, level=2):
    generator = np.random.default_rng(1)
    values = [*generator.normal(0.7 + shift, 0.05, ours), *generator.normal(0.7, 0.05, theirs)]
    low = [Trial(number=0, architecture="a", id="", key="", level=1, metrics={"accuracy": 0.1})]
    return low + [
        Trial(number=i, architecture="a", id="", key="", level=level, metrics={"accuracy": v},
              notes={"iteration": 1} | ({"random": 1} if i > ours else {}))
        for i, v in enumerate(values, 1)
    ]  # fmt: skip


def test_the_search_against_its_random_arm():
    assert against_chance(made(30)) is None
    assert "search.random_arm=10" in render(made(30), Config())
    assert "against chance" not in render(made(30), override(Config(), ["search.searcher=random"]))
    trials = arms(40, 30, 0.05)
    found = against_chance(trials)
    a = np.array([t.accuracy for t in trials[1:41]])
    b = np.array([t.accuracy for t in trials[41:]])
    spread = 1.96 * math.sqrt(a.var() / 40 + b.var() / 30)  # what the bootstrap comes near
    assert (found.searched, found.random) == (40, 30)
    assert found.mean == pytest.approx(a.mean() - b.mean())
    assert found.low == pytest.approx(found.mean - spread, abs=0.003)
    assert found.high == pytest.approx(found.mean + spread, abs=0.003)
    assert found == against_chance(trials)
    assert found.verdict in render(trials, Config())
    assert "beat" in found.verdict
    assert "worse" in against_chance(arms(40, 30, -0.05)).verdict
    assert "does not tell" in against_chance(arms(20, 20, 0.0)).verdict
    assert "too few" in against_chance(arms(40, 4, 0.1)).verdict
    check(render(arms(40, 4, 0.1), Config()))


@pytest.mark.slow
def test_the_interval_covers_what_is_true():
    """Of 200 experiments without a difference about one in twenty is told apart."""
    generator = np.random.default_rng(7)
    wrong = 0
    for _ in range(200):
        trials = [
            Trial(number=i, architecture="a", id="", key="", level=1,
                  metrics={"accuracy": float(v)}, notes={"random": float(i % 2)})
            for i, v in enumerate(generator.uniform(0.4, 0.9, 50))
        ]  # fmt: skip
        found = against_chance(trials)
        wrong += not found.low <= 0 <= found.high
    assert 3 <= wrong <= 20


def test_rank_correlation():
    a = np.array([1.0, 2, 3, 4, 5])
    assert rank_correlation(a, a**3) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a, np.array([1.0, 1, 2, 2, 2])) == pytest.approx(math.sqrt(0.75))
    assert math.isnan(rank_correlation(a, np.ones(5)))
    assert math.isnan(rank_correlation(a[:2], a[:2]))


def test_ticks_are_round():
    assert ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert ticks(0, 3, least=1) == [0, 1, 2, 3]
    assert ticks(0.913, 0.987) == pytest.approx([0.92, 0.94, 0.96, 0.98])


def test_durations():
    assert [duration(s) for s in (0.5, 99, 600, 9000)] == ["0.5 s", "99 s", "10 min", "2 h 30 min"]
