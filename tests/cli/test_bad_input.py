"""Every mistake gives a code, its place, a hint where there is one, and the right exit status."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from cli.small import ARCH, SMALL

MISTAKES = [
    # command lines
    ("chek micro.space", 2, "E530", "did you mean `check`?"),
    ("count", 2, "E530", "Missing argument 'SPACE'"),
    ("count micro --leve 1", 2, "E530", "--level"),
    ("count micro --level x", 2, "E530", "'x' is not a valid integer"),
    ("count micro --level 9", 2, "E533", "from 1 to 5"),
    ("count micro --level 0", 2, "E533", "from 1 to 5"),
    ("count micro --unique --unordered", 2, "E530", "not both"),
    ("count macro(layers=24) --unique", 2, "E910", "--level"),
    ("sample micro -n -1", 2, "E530", "-1"),
    ("explain E51", 2, "E507", "did you mean"),
    ("summary ARCH --image 3x32", 2, "E532", "3x32x32"),
    ("summary ARCH --image 0x32x32", 2, "E532", "3x32x32"),
    ("compile ARCH -o net.pth", 2, "E534", ".py"),
    ("compile ARCH -o no/net.py", 2, "E505", "No such file"),
    ("draw micro -o x.gif", 2, "E801", ".svg"),
    ("draw micro", 2, "E530", "'-o'"),
    ("draw micro --network -o x.svg", 2, "E530", "architectures"),
    ("draw micro --body cell -o x.svg", 2, "E804", "normal"),
    ("init 1x", 2, "E508", "letters"),
    ("init cell", 2, "E508", "keywords"),
    ("convert x --from dart --to epnas", 2, "E530", "did you mean `darts`?"),
    ("convert x --from x --to epnas", 2, "E530", "nasbench201"),
    ("convert x --to epnas", 2, "E530", "--from"),
    ("neighbours ARCH -n -1", 2, "E530", "-1"),
    ("diff ARCH", 2, "E530", "'B'"),
    ("diff ARCH ARCH --body cell", 2, "E804", "normal"),
    ("diff ARCH ARCH -o x.gif", 2, "E801", ".svg"),
    # spaces and architectures
    ("count mcro", 2, "E501", "did you mean `micro`?"),
    ("count no.space", 2, "E503", "No such file"),
    ("show ARCH", 2, "E501", "is an architecture, not a space"),
    ("count micro(blocks=1):", 2, "E501", "`epnas summary`, `draw`"),
    ("sample some.arch", 2, "E501", "`some.arch` is an architecture"),
    ("check DIR:best", 2, "E501", "`DIR:best` is an architecture"),
    ("search ARCH", 2, "E501", "what stands before the colon"),
    ("compare ARCH", 2, "E501", "is an architecture, not a space"),
    ("summary micro", 1, "E308", "`micro` is a space, not an architecture"),
    ("train micro(blocks=2)", 1, "E308", "`epnas sample 'micro(blocks=2)'`"),
    ("diff ARCH micro", 1, "E308", "`micro:` is the only one"),
    ("check no.space", 2, "E503", "No such file"),
    ("count micro(bloks=2)", 1, "error E", "blocks"),
    ("count micro(blocks=)", 1, "error E", "^"),
    ("count micro(blocks=1000000000)", 1, "error E9", ""),
    ("summary", 2, "E530", "ARCH"),
    ("summary nothing", 1, "E308", "begins with the name of its space"),
    ("summary one.space", 1, "E308", "`epnas sample one.space` prints architectures of it"),
    ("summary in/one.space", 1, "E308", "`in/one.space:` is the only one"),
    ("summary no.arch", 1, "E308", "begins with the name of its space"),
    ("summary ARCH=", 1, "error E", "^"),
    ("convert |none~0| --from nasbench201 --to epnas", 1, "E309", "|op~0|"),
    ("convert x --from darts --to epnas", 1, "<text>:1:1: error E309", "Genotype(normal"),
    ("convert nosuch.txt --from darts --to epnas", 1, "E309", "there is no file `nosuch.txt`"),
    ("count budgeted_resnet --unique", 2, "E910", "smaller parameters leave fewer"),
    ("convert ARCH --from epnas --to nasbench201", 1, "E312", "nasbench201"),
    ("convert ARCH --from epnas --to nni", 1, "E315", "no word"),
    ("diff ARCH nothing", 1, "E308", "begins with the name of its space"),
    ("neighbours nothing", 1, "E308", "begins with the name of its space"),
    # settings and data
    ("search micro --dry-run --set search.kep=3", 2, "E512", "did you mean `search.kept`?"),
    ("search micro --dry-run --set controller=3", 2, "E513", "it has `controller.hidden`, "),
    ("search micro --dry-run --set controller.bogus=1", 2, "E512", "there is controller.hidden, "),
    ("search micro --dry-run --set controller.hiden=1", 2, "E512", "mean `controller.hidden`?"),
    ("search micro --dry-run --set search.kept=0", 2, "E513", "--set:1:1"),
    ("search micro --dry-run --set search.kept", 2, "E514", ""),
    ("search micro --dry-run --preset fats", 2, "E530", "'paper', 'fast'"),
    ("search micro --dry-run --searcher epnass", 2, "E513", "did you mean `epnas`?"),
    ("search micro --dry-run --config no.toml", 2, "E510", "No such file"),
    ("search micro --table t.csv", 2, "E530", "--metric"),
    ("search micro --table no.csv --metric x", 1, "E650", "No such file"),
    ("search micro --table t.csv --metric x", 1, "t.csv:1:1: error E651", "it has arch, score"),
    ("search micro --table t.csv --metric score", 1, "E650", "no rows"),
    ("search micro --data cifar11", 2, "E601", "did you mean `cifar10`?"),
    ("search micro --data cifar10", 1, "E602", "nothing is downloaded"),
    ("search micro --data imagefolder:no", 1, "error E60", ""),
    ("search micro(classes=7) --data digits", 2, "E610", "classes=10"),
    ("train ARCH --data digits --set training.device=abacus", 2, "error E", "cuda"),
    ("evaluate no.safetensors", 1, "E620", ""),
    # runs
    ("status no", 4, "E702", "epnas search SPACE"),
    ("resume .", 4, "E702", "epnas search SPACE"),
    ("top no", 4, "E702", ""),
    ("report no", 4, "E702", ""),
    ("summary no:best", 4, "E702", ""),
    ("search micro --out full --set search.evaluations=1", 4, "E701", "--out"),
]


@pytest.mark.parametrize(
    ("words", "status", "code", "hint"), MISTAKES, ids=[m[0] for m in MISTAKES]
)
def test_a_mistake(epnas, words, status, code, hint) -> None:
    Path("full").mkdir()
    Path("full/precious").write_text("x")
    Path("t.csv").write_text("arch,score\n")
    done = epnas(*(word.replace("ARCH", ARCH) for word in words.split()))
    assert (done.status, done.out) == (status, "")
    assert code in done.err
    assert hint in done.err
    assert "Traceback" not in done.err
    assert not Path("runs").exists() or not list(Path("runs").glob("*/run.db"))


def test_standard_input_without_an_architecture(epnas, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    done = epnas("summary", "-")
    assert (done.status, "E308" in done.err) == (1, True)


def test_a_run_is_no_architecture(epnas, finished) -> None:
    for words in (["summary"], ["compile", "-o", "x.py"], ["train"]):
        done = epnas(words[0], finished, *words[1:])
        assert (done.status, f"its best is `{finished}:best`" in done.err) == (1, True)


def test_no_such_trial(epnas, finished) -> None:
    done = epnas("summary", f"{finished}:99")
    assert (done.status, "E711" in done.err) == (4, True)


def test_a_taken_run_folder_is_left_alone(epnas, finished) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in finished.iterdir()}
    assert epnas("search", SMALL, "--out", finished).status == 4
    assert epnas("train", ARCH, "--out", finished).status == 4
    after = {p.name: p.stat().st_mtime_ns for p in finished.iterdir()}
    assert {n: after[n] for n in before if not n.startswith("run.lock")} == {
        n: t for n, t in before.items() if not n.startswith("run.lock")
    }


def test_a_locked_run(epnas, finished, tmp_path) -> None:
    import shutil

    from epnas_dsl.runs.store import Store

    copy = shutil.copytree(finished, tmp_path / "copy")
    with Store(copy, writing=True):
        done = epnas("resume", copy)
        assert (done.status, "E703" in done.err) == (4, True)
        assert epnas("status", copy, "--json").json["state"] == "running"


def test_a_damaged_run(epnas, finished, tmp_path) -> None:
    import shutil

    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "run.db").write_bytes(b"not a database" * 100)
    done = epnas("top", copy)
    assert (done.status, "error E70" in done.err) == (4, True)


def test_a_bug_is_told_in_one_line(epnas, monkeypatch) -> None:
    from epnas_dsl.space import counting

    def bug(*_):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(counting, "count_raw", bug)
    done = epnas("count", "micro")
    assert done.status == 70
    assert "ZeroDivisionError: oops" in done.err
    assert "Traceback" not in done.err
    with pytest.raises(ZeroDivisionError):
        epnas("--debug", "count", "micro")


WIDE = """space wide()
require macs <= 1e6
network (image) {
    x = conv_3x3(image, 8|64)
    return linear(global_avg_pool(x), 10)
}
"""
NARROW = "wide: x = conv_3x3(image, channels=8)"
MODULE = (
    "ModelSpec(matrix=[[0,1,1,1,1],[0,0,1,1,1],[0,0,0,1,1],[0,0,0,0,1],[0,0,0,0,0]], ops=['input',"
    "'conv3x3-bn-relu','conv3x3-bn-relu','conv3x3-bn-relu','output'])"
)


@pytest.mark.parametrize(
    "words",
    ["summary", "neighbours", "draw -o a.svg", "compile -o a.py", "diff OTHER",
     "convert --from epnas --to json"],
)  # fmt: skip
def test_what_misses_a_requirement_is_refused(epnas, words: str) -> None:
    Path("wide.space").write_text(WIDE)
    command, *rest = words.replace("OTHER", NARROW.replace(" ", "")).split()
    done = epnas(command, NARROW.replace("8", "64"), *rest)
    assert (done.status, done.out) == (1, "")
    place = "wide.space:2:1: error E316"
    assert f"{place}: not an architecture of wide: macs = 1,770,112\n" in done.err
    assert epnas(command, NARROW, *rest).status == 0


@pytest.mark.parametrize(
    ("line", "measured"),
    [
        (["summary", "resnet(layers=20):"], "depth = 34"),
        (["convert", MODULE, "--from", "nasbench101", "--to", "epnas"], "edges = 10"),
    ],
)
def test_requirements_hold_of_parameters_and_other_notations(epnas, line, measured) -> None:
    done = epnas(*line)
    assert done.status == 1
    assert "E316" in done.err
    assert measured in done.err
