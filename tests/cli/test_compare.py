from __future__ import annotations

import signal
from pathlib import Path

import pytest
from cli.small import QUICK, SMALL

SPACE = "micro(blocks=1)"
WORDS = ["--table", "t.csv", "--metric", "score", "--set", "search.evaluations=12", "--out", "c"]
FEW = ["--searchers", "epnas,random", "--seeds", "0..2", "--set", "surrogate.epochs=2"]


@pytest.fixture
def csv() -> None:
    from epnas_dsl import load_space
    from epnas_dsl.space.expansion import enumerate_level

    rows = [f'"{a}",{i % 50}' for i, a in enumerate(enumerate_level(load_space(SPACE), 1))]
    Path("t.csv").write_text("arch,score\n" + "\n".join(rows))


def test_searchers_are_compared_under_one_budget(epnas, csv) -> None:
    from epnas_dsl import experiment

    done = epnas("compare", SPACE, *WORDS, *FEW, "--json")
    assert done.status == 0
    assert done.json["schema"] == 1
    assert done.json["evaluations"] == 12
    for row in done.json["searchers"]:
        runs = [experiment.trials(Path(f"c/{row['searcher']}-{seed}")) for seed in range(3)]
        assert [len(run) for run in runs] == [12, 12, 12]
        best = [max(t.accuracy for t in run) for run in runs]
        assert list(row["best"].values()) == best
        assert row["median"] == sorted(best)[1]
        assert row["lower"] <= row["median"] <= row["upper"]
    assert [row["searcher"] for row in done.json["searchers"]] == ["epnas", "random"]
    svg, png = (Path(path) for path in done.json["pictures"])
    assert svg.read_text().count("<polygon") >= 2
    assert ">epnas, " in svg.read_text()
    assert png.read_bytes()[:4] == b"\x89PNG"
    assert "lower quartile" in done.err


def test_finished_runs_are_kept_and_stopped_ones_gone_on_with(epnas, csv, monkeypatch) -> None:
    from epnas_dsl.cli.watching import Lines

    whole = epnas("compare", SPACE, *WORDS[:-1], "whole", *FEW, "--json").json
    ended = Lines.ended

    def stop(self, trial, progress) -> None:
        ended(self, trial, progress)
        if len(list(Path("c").iterdir())) == 4 and trial.number == 5:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Lines, "ended", stop)
    stopped = epnas("compare", SPACE, *WORDS, *FEW)
    assert stopped.status == 3
    assert "the same command" in stopped.err
    monkeypatch.setattr(Lines, "ended", ended)
    before = {p: p.stat().st_mtime_ns for p in Path("c").glob("*/best.arch")}
    assert len(before) == 3
    again = epnas("compare", SPACE, *WORDS, *FEW, "--json")
    assert again.json["searchers"] == whole["searchers"]
    assert "6 trials were recorded" in again.err
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())


def test_what_does_not_go_together(epnas, csv) -> None:
    assert epnas("compare", SPACE, *WORDS, "--seeds", "0", "--searchers", "random").status == 0
    other = epnas("compare", SPACE, *WORDS, "--seeds", "0", "--searchers", "random",
                  "--set", "search.kept=3")  # fmt: skip
    assert other.status == 4
    assert "E714" in other.err
    assert "kept = 25" in other.err
    for seeds in ("", "a", "3..1", "0..99999", "-1"):
        assert epnas("compare", SPACE, *WORDS, "--seeds", seeds).status == 2
    unknown = epnas("compare", SPACE, *WORDS, "--searchers", "randon")
    assert unknown.status == 2
    assert "did you mean `random`?" in unknown.err
    several = epnas("compare", SPACE, *WORDS, "--set", "search.runs=3")
    assert (several.status, "E515" in several.err, "`--seeds 0..9`" in several.err) == (
        2,
        True,
        True,
    )


def test_a_comparison_on_images(epnas) -> None:
    sets = [word for setting in QUICK for word in ("--set", setting)]
    done = epnas("compare", SMALL, "--searchers", "random", "--seeds", "4", *sets)
    assert done.status == 0
    folder = Path("runs/compare-micro-digits")
    assert done.out.split() == [f"{folder}/compare.svg", f"{folder}/compare.png"]
    assert (folder / "random-4" / "report.html").is_file()
