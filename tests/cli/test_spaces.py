from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from epnas_dsl.lang import load_architecture

ARCH = "micro: h1 = conv_3x3(prev1) + skip_connect(prev2); h2 = max_pool_3x3(h1) + conv_3x3(h1)"


def test_a_starter_checks_counts_draws_and_is_laid_out(epnas) -> None:
    assert epnas("init", "mine").status == 0
    assert "space mine(" in Path("mine.space").read_text()
    checked = epnas("check", "mine.space")
    assert (checked.status, checked.out) == (0, "")
    assert checked.err == "mine.space: ok, 2 levels, 22,500 architectures\n"
    assert epnas("count", "mine.space(blocks=1)").out == "100\n"
    assert epnas("format", "--check", "mine.space").status == 0
    assert epnas("draw", "mine.space", "-o", "mine.svg").status == 0
    assert "<svg" in Path("mine.svg").read_text()


def test_a_space_that_leaves_nothing_to_choose(epnas) -> None:
    space = "resnet_cifar(layers=8,channels=4)"
    assert epnas("count", space, "--unique").out == "1\n"
    text = epnas("sample", space).out
    assert text == "resnet_cifar(layers=8, channels=4):\n"
    shown = epnas("show", space)
    assert (shown.status, "decision" in shown.out) == (0, False)
    assert epnas("draw", space, "-o", "space.dot").status == 0
    assert "dashed" not in Path("space.dot").read_text()
    assert epnas("draw", text, "-o", "network.dot").status == 0
    summary = epnas("summary", text, "--json").json
    assert summary["depth"] == 8
    assert epnas("compile", text, "-o", "network.py").status == 0
    trained = epnas("train", text, "--data", "digits", "--set", "training.epochs=1",
                    "--set", "data.limit=100", "--out", "trained")  # fmt: skip
    assert trained.status == 0
    missing = epnas("summary", "resnet_cifar")
    assert missing.status == 1
    assert "where nothing is chosen, `resnet_cifar:` is the only one" in missing.err
    assert epnas("sample", "resnet_cifar(layers=9)").status == 2  # no whole number of blocks


def test_init_never_writes_over_a_file(epnas) -> None:
    Path("mine.space").write_text("precious")
    done = epnas("init", "mine")
    assert done.status == 2
    assert "E506" in done.err
    assert Path("mine.space").read_text() == "precious"


def test_check_tells_everything_about_every_file(epnas) -> None:
    Path("a.space").write_text("space a()\nop := conv_3x\nnetwork (image) { return opp(image) }\n")
    Path("b.space").write_text("space b(\n")
    done = epnas("check", "a.space", "b.space")
    assert done.status == 1
    assert done.out == ""
    assert "a.space:2:7: error" in done.err
    assert "b.space:" in done.err
    assert "\na.space: " in done.err
    assert done.err.endswith("\nb.space: 1 error, 0 warnings\n")
    found = epnas("check", "a.space", "b.space", "--json").json
    assert found["schema"] == 1
    assert [file["ok"] for file in found["files"]] == [False, False]
    assert found["files"][0]["findings"][0]["line"] == 2


def test_format_keeps_comments_and_shows_what_would_change(epnas) -> None:
    epnas("init", "mine")
    text = Path("mine.space").read_text()
    Path("mine.space").write_text(
        text.replace("x = conv_3x3(image, channels)", "x=conv_3x3(image,channels)")
    )
    Path("mine.space").chmod(0o640)
    shown = epnas("format", "--check", "mine.space")
    assert shown.status == 1
    assert "+    x = conv_3x3(image, channels)" in shown.out
    assert epnas("format", "mine.space").status == 0
    assert Path("mine.space").read_text() == text
    assert Path("mine.space").stat().st_mode & 0o777 == 0o640
    Path("mine.arch").write_text("micro: h1 = conv_3x3(prev1) + conv_3x3(prev1)")
    refused = epnas("format", "mine.arch")
    assert refused.status == 2
    assert "E501" in refused.err
    assert "epnas convert FILE" in refused.err


def test_show(epnas) -> None:
    done = epnas("show", "micro(blocks=2)")
    assert done.status == 0
    assert "normal.h2.2        3  prev2 | prev1 | h1" in done.out
    assert done.out.endswith("  all  86,436     24,255\n")
    facts = epnas("show", "micro(blocks=2)", "--json").json
    assert (facts["raw"], facts["unordered"]) == (86436, 24255)
    assert facts["parameters"]["blocks"] == 2
    assert facts["decisions"][1]["options"] == ["prev2", "prev1"]


def test_show_sharing(epnas) -> None:
    rows = epnas("show", "macro(layers=2)", "--sharing", "--json").json["sharing"]
    users = {row["weights"]: row["operations"] for row in rows}
    assert users["network/h2/op1/conv_5x5"] == ["h2.op1(h1)"]
    micro = epnas("show", "micro(blocks=1, repeats=1)", "--sharing").out
    assert "share by cell, block, slot, op\n" in micro
    row = r"normal\|reduction/h1/op1/\*  +5  conv_3x3, .*, dw_conv_5x5  h1\.op1 of prev1 \| prev2\n"
    assert re.search(row, micro)


def test_sharing_is_complete_and_names_slices(epnas) -> None:
    """Each of the 4 operations with weights, in each slot of the 8 cells, whatever it reads.

    A skip has weights where it steps, which is on the inputs of the 2 reductions.
    """
    found = epnas("show", "micro", "--sharing", "--json").json
    assert found["share_by"] == ["cell", "block", "slot", "op"]
    rows = [r for r in found["sharing"] if re.search(r"/h\d/op\d/", r["weights"])]
    skips = [r for r in rows if r["operation"] == "skip_connect"]
    assert len(rows) - len(skips) == 5 * 2 * 4
    assert {(r["places"], len(r["operations"])) for r in skips} == {(2, 2)}
    assert len(skips) == 5 * 2
    assert not any("pool" in r["operation"] for r in found["sharing"])
    for row in (r for r in rows if r not in skips):
        block = int(row["weights"].split("/")[1][1:])
        assert row["places"] == 8
        assert len(row["operations"]) == 2 + block - 1
    macro = epnas("show", "macro", "--sharing").out
    assert re.search(r"network/h3/op0/\* +1  conv_1x1 +h3 of h1 \| h2 \| h3\.op1\n", macro)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["micro"], 146_435_169_081_600),
        (["micro", "--unordered", "--level", "1"], 105),
        (["macro"], 160_618_186_625_454_535_808_756_219_904),
    ],
)
def test_count_is_a_number_and_nothing_else(epnas, words, count) -> None:
    done = epnas("count", *words)
    assert (done.status, done.out, done.err) == (0, f"{count}\n", "")
    assert epnas("count", *words, "--json").json["count"] == count


def test_count_says_how_it_knows(epnas) -> None:
    done = epnas("count", "micro", "--unique")
    assert (done.status, done.out) == (0, "846216425796\n")
    assert "normal has 5 interchangeable statements" in done.err
    assert "enumeration" in epnas("count", "nasbench201", "--level", "1", "--unique").err


def test_count_says_what_it_leaves_out(epnas) -> None:
    epnas("init", "mine")
    with Path("mine.space").open("a") as file:
        file.write("\nrequire edges <= 5\n")
    for kind in ([], ["--unordered"]):
        assert "requirements" in epnas("count", "mine.space", *kind).err
    assert "requirements" not in epnas("count", "mine.space", "--unique").err


def test_samples_are_the_same_for_the_same_seed(epnas) -> None:
    first = epnas("sample", "micro", "-n", "150", "--seed", "7").out
    assert first == epnas("sample", "micro", "-n", "150", "--seed", "7").out
    assert first != epnas("sample", "micro", "-n", "150", "--seed", "8").out
    assert len(first.splitlines()) == 150
    assert epnas("sample", "micro", "--level", "1").out.count("h") >= 1
    assert epnas("sample", "micro", "-n", "0").out == ""


def test_draw_an_architecture_a_network_a_difference(epnas, monkeypatch) -> None:
    Path("a.arch").write_text(ARCH + "\n")
    assert epnas("draw", "a.arch", "-o", "cell.dot").status == 0
    assert epnas("draw", ARCH, "--network", "-o", "network.dot").status == 0
    assert epnas("draw", ARCH, "--diff", "a.arch", "-o", "diff.dot").status == 0
    for words in (["draw", "{}", "--diff", "{}"], ["diff", "{}", "{}"]):  # from A to B
        two = iter((ARCH, "micro: h1 = conv_3x3(prev1) + conv_5x5(prev1)"))
        words = [next(two) if x == "{}" else x for x in words]
        assert epnas(*words, "-o", "turned.dot").status == 0
        assert f'about="{load_architecture(ARCH)} becomes' in Path("turned.dot").read_text()
    Path("turned.dot").unlink()
    assert epnas("draw", ARCH, "--space", "--dark", "-o", "path.dot").status == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(ARCH))
    assert epnas("draw", "-", "-o", "input.dot").status == 0
    assert Path("input.dot").read_text() == Path("cell.dot").read_text()
    assert {p.name for p in Path().glob("*.dot")} == {
        "cell.dot", "network.dot", "diff.dot", "input.dot", "path.dot",
    }  # fmt: skip


def test_explain(epnas) -> None:
    done = epnas("explain", "e512")
    assert done.out.startswith("E512 Unknown setting\n\n")
    assert "E512  Unknown setting" in epnas("explain").out


def test_names_are_printed_as_plain_text(epnas) -> None:
    Path("x.space").write_text("space x()\nop := [red]\x1b[31m\nnetwork (image) { return image }\n")
    done = epnas("check", "x.space")
    assert done.status == 1
    assert "\x1b" not in done.err
    assert "[red]" in done.err
    assert "\\u001b" in json.dumps(epnas("check", "x.space", "--json").json) or done.err


SLIM = """space first()
network (image) {
    x = conv_3x3(image, 4|8)
    return linear(global_avg_pool(x), 2)
}
"""


def test_a_text_is_read_back_whatever_its_file_is_called(epnas, monkeypatch) -> None:
    Path("s").mkdir()
    Path("s/other.space").write_text(SLIM)
    assert epnas("sample", "s/other.space").out.startswith("s/other.space: x = ")
    text = epnas("sample", "s/other.space").out.strip().replace("s/other.space", "first")
    assert "W008" in epnas("check", "s/other.space").err
    for command in (["summary"], ["draw", "-o", "a.svg"]):
        refused = epnas(*command, text)
        assert "E501" in refused.err
        assert "the path of its file, also in front of a text's colon" in refused.err
        for head in ("s/other.space", "s/other.space()"):
            assert epnas(*command, text.replace("first", head)).status == 0
    monkeypatch.chdir("s")
    assert "hint: it is in other.space; give this path" in epnas("summary", text).err
    assert "hint: it is in other.space; give this path" in epnas("count", "first").err
    assert epnas("summary", text.replace("first", "other.space")).status == 0
    Path("other.space").rename("first.space")
    assert "W008" not in epnas("check", "first.space").err
    assert epnas("count", "first").out == "2\n"
    assert "did you mean `first`?" in epnas("count", "frst").err


def test_samples_name_the_path_where_the_name_would_not_find_it(epnas, monkeypatch) -> None:
    """So that they can be handed on as they are, from where they were printed."""
    space = SLIM.replace("first()", "first(k=1)").replace("4|8", "4*k|8*k")
    for file in ("s/first.space", "s/a [b].space"):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text(space)
    text = epnas("sample", "s/first(k=2)").out
    assert text.startswith("s/first.space(k=2): x = conv_3x3(image, channels=")
    assert epnas("summary", text.strip()).status == 0
    assert epnas("sample", str(Path("s/first.space").resolve())).out.startswith("/")
    assert epnas("sample", "s/a [b].space").out.startswith("first: ")
    monkeypatch.chdir("s")
    for word in ("first", "first.space", "./first.space", str(Path("first.space").resolve())):
        assert epnas("sample", word).out.startswith("first: ")


def test_a_name_means_one_space(epnas) -> None:
    assert not epnas("count", "micro").err
    Path("micro.space").write_text(SLIM.replace("first", "micro"))
    done = epnas("sample", "micro")
    assert done.err == "this `micro` is that of a file, not the built-in one\n"
    again = epnas("summary", done.out.strip())
    assert again.status == 0
    assert again.err == done.err
    assert epnas("count", "micro").out == "2\n"


@pytest.mark.parametrize("words", ["count", "count --unique", "sample", "draw -o a.svg", "show"])
def test_what_cannot_be_built_is_told(epnas, words: str) -> None:
    text = """space odd()
    network (image) {
        x = conv_3x3(image, 8, stride=1|2)
        y = conv_5x5(image, 8, stride=1|2)
        return linear(global_avg_pool(x + y), 10)
    }
    """
    Path("odd.space").write_text(text)
    command, *rest = words.split()
    done = epnas(command, "odd.space", *rest)
    assert done.status == 0
    assert "some architectures of odd cannot be built: E401, " in done.err
    assert "`epnas check odd.space` shows where" in done.err
    assert "cannot be built" not in epnas(command, "nasbench201", *rest).err
