import dataclasses
import json
import signal

import pytest

from epnas_dsl import experiment
from epnas_dsl.config import Config, override, preset
from epnas_dsl.errors import ConfigError, DataError, RunError
from epnas_dsl.experiment.assembly import make_evaluator
from epnas_dsl.lang import load_architecture, load_space
from epnas_dsl.nn import evaluators
from epnas_dsl.runs import store
from epnas_dsl.runs.runner import Silence, Stopped
from epnas_dsl.space.expansion import enumerate_level

TINY = [
    "space=micro(blocks=2, channels=4, repeats=1)",
    "search.kept=2",
    "search.first_level_limit=1",
    "search.iterations=2",
    "training.epochs=1",
    "training.threads=1",
    "evaluation.final_epochs=2",
    "surrogate.epochs=3",
    "data.limit=200",
]
ONE_BLOCK = "micro(blocks=1)"
TABLE = """arch,valid,test
|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|,60,70
|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|,50,55
|avg_pool_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|,30,35
"""


def timeless(trials):
    return [dataclasses.replace(trial, started=0.0, ended=0.0) for trial in trials]


class Stopper(Silence):
    def __init__(self, after):
        self.after = after
        self.notes = []

    def ended(self, trial, progress):
        if trial.number == self.after:
            signal.raise_signal(signal.SIGTERM)

    def note(self, text):
        self.notes.append(text)


def test_a_search_on_images_stops_moves_and_resumes(tmp_path):
    config = override(Config(), TINY)
    whole = experiment.run(config, tmp_path / "whole")
    assert len(whole.trials) == experiment.plan(config)[1] == 8
    with pytest.raises(Stopped):
        experiment.run(config, tmp_path / "other", Stopper(4))
    assert experiment.status(tmp_path / "other").state == "stopped"
    assert "epnas resume" in experiment.report(tmp_path / "other").read_text()
    moved = (tmp_path / "other").rename(tmp_path / "moved")
    watcher = Stopper(None)
    again = experiment.resume(moved, watcher)
    assert timeless(again.trials) == timeless(whole.trials)  # to the bits of the weights
    assert again.test == whole.test
    assert watcher.notes[-1].startswith("final training, epoch 2 of 2: ")
    names = {"best.arch", "best.svg", "best.png", "report.html", "final", "config.toml", "run.db"}
    assert names <= {path.name for path in moved.iterdir()}
    assert (moved / "best.arch").read_text().strip() == again.best.architecture
    page = (moved / "report.html").read_text()
    for text in ["test accuracy", "polyline", "rank correlation", "epnas train", "parameters"]:
        assert text in page
    assert experiment.resume(moved, Stopper(None)).test == whole.test  # nothing is done again
    assert experiment.evaluate(moved / "final", config)["test"] == whole.test


NOTHING = """space nothing(classes=10)
network (image) {
    x = conv_3x3(image, 4)
    for i in 1..2 { h[i] = conv_1x1(x) }
    s := h[1..2] | x
    a = s + s
    return linear(global_avg_pool(conv_1x1(concat(unused(h)), 4) + a), classes)
}
"""


@pytest.mark.parametrize(("budget", "failed"), [("", 1), ("require params <= 5e6\n", 0)])
def test_an_architecture_without_a_network_is_a_failed_trial(tmp_path, budget, failed):
    path = tmp_path / "nothing.space"
    path.write_text(NOTHING + budget)
    words = [f"space={path}", *TINY[1:], "search.first_level_limit=10", "search.iterations=1"]
    config = override(Config(), [*words, "evaluation.final_epochs=0"])
    trials = experiment.run(config, tmp_path / "run").trials
    assert len(trials) == 3 + failed  # h1 + h1, h1 + x, x + x; h1 + h2 leaves nothing to join
    assert [t.architecture for t in trials if t.state == "failed"] == ["nothing: a = h1 + h2"][
        :failed
    ]
    assert len(experiment.resume(tmp_path / "run").trials) == len(trials)


def test_several_processes_give_the_same_trials(tmp_path):
    words = [*TINY, "search.iterations=1", "evaluation.evaluator=standalone"]
    words += ["evaluation.final_epochs=0"]
    one = experiment.run(override(Config(), words), tmp_path / "one")
    two = experiment.run(override(Config(), [*words, "evaluation.workers=2"]), tmp_path / "two")
    assert timeless(two.trials) == timeless(one.trials)
    assert (two.test, (tmp_path / "two" / "final").exists()) == (None, False)


def test_shared_weights_trained_by_several_processes(tmp_path):
    words = [*TINY, "evaluation.final_epochs=0", "search.kept=3", "search.iterations=1"]
    words += ["search.first_level_limit=1", "evaluation.workers=2"]
    whole = experiment.run(override(Config(), words), tmp_path / "whole")
    assert [t.checkpoint for t in whole.trials] == [
        f"{i:06d}.ckpt"
        for i in (1, 1, 2, 4, 4, 5)  # two steps of three: two and one
    ]
    with pytest.raises(Stopped):
        experiment.run(override(Config(), words), tmp_path / "other", Stopper(3))
    assert len(experiment.trials(tmp_path / "other")) == 5
    again = experiment.resume(tmp_path / "other")
    assert timeless(again.trials) == timeless(whole.trials)  # to the bits of the weights


def test_a_table_is_read_once_until_it_changes(tmp_path):
    space = load_space("nasbench201")
    words = ["space=nasbench201", "evaluation.evaluator=table", "evaluation.metric=valid"]
    config = override(Config(), [*words, f"evaluation.table={tmp_path / 't.csv'}"])
    (tmp_path / "t.csv").write_text(TABLE)
    first = make_evaluator(space, config)
    assert make_evaluator(load_space("nasbench201"), config) is first
    assert make_evaluator(space, override(config, ["evaluation.metric=test"])) is not first
    (tmp_path / "t.csv").write_text(TABLE.replace("60", "6.5"))
    assert make_evaluator(space, config).evaluate(best_of_table(space), 0)["valid"] == 6.5


def test_the_keys_of_a_table_are_no_part_of_a_lease(tmp_path):
    row = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,5"
    (tmp_path / "t.csv").write_text(f"arch,valid\n{row}\n")
    words = ["evaluation.evaluator=table", "evaluation.metric=valid", "evaluation.timeout=5"]
    config = override(Config(), [*words, f"evaluation.table={tmp_path / 't.csv'}"])
    assert "alike" in vars(make_evaluator(load_space("nasbench201"), config))


def best_of_table(space):
    return next(a for a in enumerate_level(space, 1) if "conv_3x3" in a.text)


def test_the_fast_preset_searches_and_is_resumed(tmp_path):
    config = override(preset(Config(), "fast"), [*TINY, "search.kept=2", "search.iterations=4"])
    whole = experiment.run(config, tmp_path / "whole")
    with pytest.raises(Stopped):
        experiment.run(config, tmp_path / "other", Stopper(6))
    assert timeless(experiment.resume(tmp_path / "other").trials) == timeless(whole.trials)


@pytest.mark.parametrize("searcher", ["epnas", "random"])
def test_a_search_of_a_table(tmp_path, monkeypatch, searcher):
    (tmp_path / "t.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    words = ["space=nasbench201", "evaluation.evaluator=table", "evaluation.table=t.csv"]
    words += ["evaluation.metric=valid", f"search.searcher={searcher}", "search.evaluations=4"]
    config = override(Config(), words)
    if searcher == "random":  # hardly anything is in this table
        with pytest.raises(RunError, match="none of the 4 trials"):
            experiment.run(config, tmp_path / "run")
    else:
        found = experiment.run(config, tmp_path / "run")
        assert found.best.metrics == {"accuracy": 0.6, "valid": 60, "test": 70}
        assert found.best.architecture == "nasbench201: h1 = nor_conv_3x3(h0)"
        monkeypatch.chdir("/")
        assert timeless(experiment.resume(tmp_path / "run").trials) == timeless(found.trials)
        assert experiment.image_of(tmp_path / "run") == (3, 32, 32)  # not those of the digits


@pytest.mark.parametrize(
    ("words", "error", "part"),
    [
        (["evaluation.evaluator=table"], ConfigError, "needs its file"),
        (["evaluation.latency_limit=5"], ConfigError, "whose latency is measured"),
        (["space=macroo"], ConfigError, "no space `macroo`"),
        (["space=micro(classes=7)"], ConfigError, "7 classes"),
        (["data.name=cifar10", "data.root=/nowhere"], DataError, "not in /nowhere"),
    ],
)
def test_no_folder_is_made_for_wrong_settings(tmp_path, words, error, part):
    with pytest.raises(error, match=part):
        experiment.run(override(Config(), words), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_search_under_a_limit_of_the_latency(tmp_path, monkeypatch):
    measured = [9.0] * 6 + [1.0, 2.0, 9.0, 1.0]  # more of the slow than failures that end a run
    monkeypatch.setattr(evaluators, "latency", lambda *_: measured.pop(0))
    words = [*TINY, "search.searcher=random", "search.evaluations=10", "evaluation.final_epochs=0"]
    words += ["evaluation.latency=1", "evaluation.latency_limit=2"]
    trials = experiment.run(override(Config(), words), tmp_path / "run").trials
    states = ["infeasible"] * 6 + ["complete"] * 2 + ["infeasible", "complete"]
    assert [t.state for t in trials] == states
    assert [t.metrics.get("latency") for t in trials if t.metrics] == [1, 2, 1]
    assert "E642: a batch of 1 takes 9 ms" in trials[0].message
    assert experiment.recorded(tmp_path / "run", "best(latency<2)")
    monkeypatch.setattr(evaluators, "latency", lambda *_: 9.0)
    with pytest.raises(RunError, match="none of the 10 trials succeeded"):
        experiment.run(override(Config(), words), tmp_path / "none")


def test_a_taken_folder(tmp_path):
    (tmp_path / "mine").write_text("")
    with pytest.raises(RunError, match="not empty"):
        experiment.run(override(Config(), TINY), tmp_path)


def test_a_random_arm_is_part_of_a_run(tmp_path):
    words = [*TINY, "search.evaluations=6", "search.random_arm=2", "evaluation.final_epochs=0"]
    config = override(Config(), words)
    with pytest.raises(Stopped):
        experiment.run(config, tmp_path / "run", Stopper(3))
    trials = experiment.resume(tmp_path / "run").trials
    assert [t.notes.get("random", 0) for t in trials] == [0, 0, 1, 0, 0, 1]
    assert [t.level for t in trials if t.notes.get("random")] == [2, 2]
    assert experiment.status(tmp_path / "run").planned == 6
    assert "too few trials to tell" in (tmp_path / "run" / "report.html").read_text()
    with pytest.raises(ConfigError, match="random_arm is 6 of 6"):
        experiment.run(override(config, ["search.random_arm=6"]), tmp_path / "other")


@pytest.fixture
def fifty(tmp_path):
    """The settings of a search of 50 trials on a table of all that there is."""
    rows = [f'"{a}",{i % 50}' for i, a in enumerate(enumerate_level(load_space(ONE_BLOCK), 1))]
    (tmp_path / "t.csv").write_text("arch,score\n" + "\n".join(rows))
    words = [f"space={ONE_BLOCK}", "evaluation.evaluator=table", "evaluation.metric=score"]
    words += [f"evaluation.table={tmp_path / 't.csv'}", "search.searcher=evolution"]
    return override(Config(), [*words, "search.evaluations=50"])


def test_a_search_of_fifty_trials_has_a_random_arm_by_itself(tmp_path, fifty):
    trials = experiment.run(fifty, tmp_path / "run").trials
    assert [t.number for t in trials if t.notes.get("random")] == [9, 19, 29, 39, 49]
    assert "95 % interval" in (tmp_path / "run" / "report.html").read_text()
    assert experiment.run_config(tmp_path / "run").search.random_arm == 5
    assert experiment.plan(fifty)[1] == 50
    for words in (["search.random_arm=0"], ["search.searcher=random"], ["search.evaluations=49"]):
        alone = experiment.run(override(fifty, words), tmp_path / words[0]).trials
        assert not any(t.notes.get("random") for t in alone)
    runs = experiment.planned_runs(fifty, ["evolution"], [0], tmp_path)
    assert [c.search.random_arm for c, _ in runs] == [0]  # the budget is the searcher's own
    runs = experiment.planned_runs(
        override(fifty, ["search.random_arm=7"]), ["pnas"], [0], tmp_path
    )
    assert [c.search.random_arm for c, _ in runs] == [7]


def test_a_run_of_a_version_without_random_arms_goes_on_without(tmp_path, fifty, monkeypatch):
    dump = store.dump_toml
    monkeypatch.setattr(store, "dump_toml", lambda c: dump(c).replace("random_arm = 5\n", ""))
    with pytest.raises(Stopped):
        experiment.run(fifty, tmp_path / "run", Stopper(30))
    assert "random_arm" not in (tmp_path / "run" / "config.toml").read_text()
    trials = experiment.resume(tmp_path / "run").trials
    assert len(trials) == experiment.status(tmp_path / "run").planned == 50
    assert not any(t.notes.get("random") for t in trials)


def test_a_training_with_joined_convolutions_is_used_as_any_other(tmp_path):
    cell = "h1 = conv_3x3(prev1) + conv_3x3(prev1); h2 = conv_3x3(prev1) + max_pool_3x3(prev2)"
    architecture = load_architecture(f"micro(blocks=2, channels=4, repeats=1): {cell}")
    found = []
    for joined in ("false", "true"):
        config = override(Config(), [*TINY, f"training.joined={joined}"])
        trained = experiment.train(architecture, config, tmp_path / joined)
        assert experiment.evaluate(tmp_path / joined, config) == pytest.approx(trained.accuracy)
        found.append(json.loads((tmp_path / joined / "training.json").read_text()))
    plain, other = (run["epochs"][-1]["training_loss"] for run in found)
    assert other == pytest.approx(plain, rel=1e-4)
