from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from cli.small import QUICK, SMALL

from epnas_dsl.cli import main

SETS = [word for setting in QUICK for word in ("--set", setting)]


def test_a_search_ends_with_the_best_and_what_to_type_next(epnas, finished) -> None:
    done = epnas("status", finished)
    assert done.status == 0
    assert f"{finished}, done" in done.out
    assert "best        micro(blocks=2, channels=4, repeats=1): h1 = " in done.out
    for name in ("validation", "test", "parameters", "best.svg", "best.png", "report.html"):
        assert name in done.out
    assert "epnas compile" in done.err
    facts = epnas("status", finished, "--json").json
    assert facts["state"] == "done"
    assert facts["trials"] == 3
    assert 0 <= facts["test"] <= 1


def test_top_names_trials_that_other_commands_take(epnas, finished) -> None:
    trials = epnas("top", finished, "-n", "2", "--json").json["trials"]
    assert [t["accuracy"] for t in trials] == sorted((t["accuracy"] for t in trials), reverse=True)
    best = epnas("summary", f"{finished}:best", "--json").json["architecture"]
    assert best == trials[0]["architecture"]
    number = trials[1]["number"]
    other = epnas("summary", f"{finished}:{number}", "--json").json["architecture"]
    assert other == trials[1]["architecture"]
    assert epnas("draw", f"{finished}:best", "-o", "best.svg").status == 0
    assert "best.svg" in {path.name for path in Path().iterdir()}
    assert epnas("evaluate", finished, "--data", "digits", "--json").status == 0
    table = epnas("top", finished).out.splitlines()
    assert table[0].split() == ["trial", "accuracy", "level", "id", "architecture"]


def test_the_front_is_listed_and_chosen_from(epnas, finished) -> None:
    front = epnas("top", finished, "--pareto", "--json").json["trials"]
    costs = [trial["metrics"]["params"] for trial in front]
    assert costs == sorted(set(costs), reverse=True)
    smallest = front[-1]
    word = f"{finished}:best(params<={costs[-1]:.0f})"
    assert epnas("summary", word, "--json").json["architecture"] == smallest["architecture"]
    assert epnas("top", finished, "--pareto", "--cost", "macs").out.split()[2] == "macs"
    none = epnas("summary", f"{finished}:best(params<1)")
    assert (none.status, "E715" in none.err) == (4, True)
    for wrong in ("best(params)", "best(weight<1)", "best()"):
        done = epnas("summary", f"{finished}:{wrong}")
        assert (done.status, "E536" in done.err) == (2, True)
    assert epnas("top", finished, "--pareto", "--cost", "latency").status == 2
    assert "Accuracy against macs" in (finished / "report.html").read_text()


def test_every_json_is_one_document_with_its_schema(epnas, finished) -> None:
    for words in (
        ["check", "micro"], ["show", "micro"], ["summary", f"{finished}:best"], ["doctor"],
        ["status", finished], ["top", finished], ["resume", finished],
        ["evaluate", finished, "--data", "digits"],
    ):  # fmt: skip
        done = epnas(*words, "--json")
        assert (done.status, done.json["schema"]) == (0, 1), words


def test_the_best_is_trained_and_exported(epnas, finished) -> None:
    best = f"{finished}:best"
    trained = epnas("train", best, "--out", "t", "--json", "--set", "training.epochs=1")
    assert trained.status == 0
    assert trained.json["architecture"] == Path(finished, "best.arch").read_text().strip()
    assert len(trained.json["curve"]) == 1
    assert epnas("evaluate", "t", "--json").json["accuracy"].keys() == {"validation", "test"}
    assert epnas("compile", best, "-o", "m.py", "--weights", "t").out == ""
    imports = {line for line in Path("m.py").read_text().splitlines() if "import" in line.split()}
    assert imports
    assert all(re.search(r" (torch|pathlib)\b", line) for line in imports)
    assert Path("m.pt").is_file()


def test_report_and_resume_of_a_finished_run(epnas, finished, tmp_path) -> None:
    copy = shutil.copytree(finished, tmp_path / "moved")
    assert epnas("report", copy).out == f"{copy}/report.html\n"
    before = epnas("top", copy).out
    assert epnas("resume", copy).status == 0
    assert epnas("top", copy).out == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe\x00", b'{"accuracy": 3}'])
@pytest.mark.parametrize("name", ["training.json", "best.arch"])
def test_a_final_training_that_is_not_whole_is_done_again(
    epnas, finished, tmp_path, name: str, content: bytes
) -> None:
    whole = json.loads((finished / "final" / "training.json").read_text("utf-8"))
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    (run / "final" / name).write_bytes(content)
    assert "test " not in epnas("status", run).out
    assert epnas("report", run).status == 0
    assert epnas("resume", run).status == 0
    assert json.loads((run / "final" / "training.json").read_text("utf-8")) == whole


def test_a_dry_run_prints_a_file_for_config(epnas) -> None:
    done = epnas("search", SMALL, "--dry-run", *SETS)
    assert done.status == 0
    assert "# at most 3 trainings of 1 epochs, kept in runs/micro-digits" in done.out
    assert tomllib.loads(done.out)["search"]["kept"] == 2
    Path("mine.toml").write_text(done.out)
    again = epnas("search", SMALL, "--dry-run", "--config", "mine.toml")
    assert again.out == done.out
    assert not Path("runs").exists()


def test_a_preset_gives_way_to_set_and_goes_before_a_file(epnas) -> None:
    Path("mine.toml").write_text("[search]\nkept = 9\nseed = 4\n")
    words = ["search", SMALL, "--dry-run", "--config", "mine.toml", "--preset"]
    fast = tomllib.loads(epnas(*words, "fast", "--set", "surrogate.steps=3").out)
    paper = tomllib.loads(epnas(*words, "paper").out)
    assert [(d["search"]["kept"], d["search"]["seed"]) for d in (fast, paper)] == [(5, 4), (25, 4)]
    assert (fast["surrogate"]["steps"], fast["surrogate"]["loss"]) == (3, "rank")


def test_each_search_has_a_folder_of_its_own(epnas) -> None:
    Path("runs/micro-digits").mkdir(parents=True)
    Path("runs/micro-digits-2").mkdir()
    assert "runs/micro-digits-3" in epnas("search", SMALL, "--dry-run").out


def test_a_table_is_searched_without_training(epnas) -> None:
    from epnas_dsl import load_space
    from epnas_dsl.space.expansion import enumerate_level

    space = load_space("micro(blocks=1)")
    rows = [f'"{a}",{i % 50}' for i, a in enumerate(enumerate_level(space, 1))]
    Path("t.csv").write_text("arch,score\n" + "\n".join(rows))
    words = ["--table", "t.csv", "--metric", "score", "--searcher", "random"]
    sets = ["--set", "search.evaluations=20", "--set", "search.seed=1"]
    done = epnas("search", "micro(blocks=1)", *words, *sets, "--json")
    assert done.status == 0
    assert done.json["folder"] == "runs/micro-t"
    assert done.json["trials"] == 20
    assert 0.3 < done.json["best"]["accuracy"] < 0.5


def test_a_stopped_run_says_how_to_go_on(epnas, monkeypatch) -> None:
    from epnas_dsl import experiment
    from epnas_dsl.runs.runner import Stopped

    def stop(at_once: bool):
        def run(*_):
            raise Stopped(15, at_once)

        return run

    Path("a b").mkdir()
    Path("a b/run.db").touch()
    for at_once, status in ((False, 3), (True, 143)):
        monkeypatch.setattr(experiment, "run", stop(at_once))
        done = epnas("search", SMALL, "--out", "a b")
        assert done.status == status
        assert "epnas resume 'a b'" in done.err


def test_progress_in_a_terminal_ends_cleanly(monkeypatch, capsys) -> None:
    from epnas_dsl.cli import watching
    from epnas_dsl.runs.trial import Trial
    from epnas_dsl.search.searcher import Progress

    progress = Progress(1, 1, 1, 2, 0, 2, "temperature 10")
    trial = Trial(
        number=0, architecture="[red]x", id="0", key="", level=1, metrics={"accuracy": 0.5}
    )
    failed = Trial(
        number=1, architecture="y", id="1", key="", level=1, state="failed", message="no"
    )
    with watching.Live() as watch:
        watch.resumed([], progress)
        watch.began(0, object(), progress)
        watch.ended(trial, progress)
        watch.ended(failed, progress)
    err = capsys.readouterr().err
    assert "[red]x" in err
    assert "trial 1 failed: no" in err


def test_the_help_of_every_command_is_what_the_list_says() -> None:
    import click

    from epnas_dsl.cli import COMMANDS, epnas

    for name, (_, about) in COMMANDS.items():
        command = epnas.get_command(click.Context(epnas), name)
        assert command.get_short_help_str(100) == about
        assert main([name, "--help"]) == 0


def test_a_search_in_pieces_is_the_whole_search(epnas, finished) -> None:
    statuses = [epnas("search", SMALL, *SETS, "--out", "r", "--minutes", "0.0001").status]
    while statuses[-1] == 3 and len(statuses) < 9:
        done = epnas("resume", "r", "--minutes", "0.0001")
        statuses.append(done.status)
        assert done.status == 0 or "stopped; go on with: epnas resume r" in done.err
    assert statuses == [3, 3, 3, 0]
    assert Path("r/best.arch").read_text() == (finished / "best.arch").read_text()
    again = json.loads(Path("r/final/training.json").read_text())
    assert again == json.loads((finished / "final" / "training.json").read_text())


def test_final_trainings_stop_after_an_epoch_and_go_on(epnas) -> None:
    sets = [*SETS, "--set", "evaluation.final_epochs=2", "--set", "search.evaluations=1"]
    assert epnas("search", SMALL, *sets, "--out", "r", "--minutes", "0.0001").status == 3
    stopped = epnas("resume", "r", "--minutes", "0.0001")
    assert stopped.status == 3
    assert "final training, epoch 1 of 2" in stopped.err
    done = epnas("resume", "r", "--minutes", "0.0001")
    assert done.status == 0
    assert "epoch 1 of 2" not in done.err
    train = ["train", "r:best", "--out", "t", "--set", "training.epochs=2", "--minutes", "0.0001"]
    assert [epnas(*train).status for _ in range(2)] == [3, 0]
    assert epnas("search", SMALL, "--minutes", "0").status == 2
