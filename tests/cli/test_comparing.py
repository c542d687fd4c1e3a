from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from epnas_dsl.lang import load_architecture
from epnas_dsl.lang.notations import NOTATIONS

FIRST = "micro: h1 = conv_3x3(prev1) + skip_connect(prev2); h2 = max_pool_3x3(h1) + conv_3x3(h1)"
SECOND = FIRST.replace("max_pool_3x3(h1)", "avg_pool_3x3(prev2)")
EDGES = "|none~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"


def test_convert_there_and_back(epnas) -> None:
    ours = epnas("convert", EDGES, "--from", "nasbench201", "--to", "epnas").out.strip()
    assert ours.startswith("nasbench201: ")
    assert epnas("convert", ours, "--from", "epnas", "--to", "nasbench201").out == f"{EDGES}\n"
    nni = epnas("convert", ours, "--from", "epnas", "--to", "nni").out
    assert json.loads(nni)["cell/2_3"] == "conv_1x1"


def test_convert_reads_files_and_standard_input(epnas, monkeypatch) -> None:
    darts = epnas("convert", FIRST, "--from", "epnas", "--to", "darts").out
    words = ("--from", "darts", "--to", "epnas", "--space", "micro")
    Path("cell.txt").write_text(darts)
    text = f"{load_architecture(FIRST)}\n"
    assert epnas("convert", "cell.txt", *words).out == text
    monkeypatch.setattr("sys.stdin", io.StringIO(darts))
    assert epnas("convert", "-", *words).out == text
    found = epnas("convert", "cell.txt", *words, "--json").json
    assert (found["schema"], found["notation"], found["text"]) == (1, "epnas", text.strip())
    Path("bad.txt").write_text(darts.replace("normal_concat=[3]", "normal_concat=[2]"))
    bad = epnas("convert", "bad.txt", *words)
    assert (bad.status, bad.out) == (1, "")
    assert "bad.txt:1:" in bad.err
    assert "error E313" in bad.err


def test_convert_takes_a_trial_and_gives_json(epnas, finished) -> None:
    text = epnas("convert", f"{finished}:best", "--from", "epnas", "--to", "json").out
    Path("best.json").write_text(text)
    back = epnas("convert", "best.json", "--from", "json", "--to", "epnas")
    assert (back.status, back.out.strip()) == (0, json.loads(text)["text"])


def test_help_lists_every_notation_with_an_example(epnas) -> None:
    shown = epnas("convert", "--help").out
    assert all(name in shown for name in NOTATIONS)
    for command in ("convert", "diff", "neighbours"):
        assert re.search(rf"\n +epnas {command} ", epnas(command, "--help").out)


def test_diff_tells_block_by_block(epnas) -> None:
    done = epnas("diff", FIRST, SECOND, "-o", "diff.svg")
    assert done.status == 0
    assert done.out == (
        "normal\n"
        "  =  h1  skip_connect(prev2) + conv_3x3(prev1)\n"
        "  ~  h2  conv_3x3(h1) + max_pool_3x3(h1)\n"
        "         conv_3x3(h1) + avg_pool_3x3(prev2)\n"
        "1 same, 1 changed, 0 only in A, 0 only in B\n"
    )
    assert "<svg" in Path("diff.svg").read_text()
    found = epnas("diff", FIRST, SECOND, "--json").json
    assert (found["schema"], found["equal"]) == (1, False)
    assert [b["status"] for b in found["blocks"]] == ["same", "changed"]
    assert found["blocks"][1]["b_text"] == "conv_3x3(h1) + avg_pool_3x3(prev2)"


def test_diff_says_what_texts_do_not_tell(epnas) -> None:
    out = epnas("diff", "resnet(layers=34):", "resnet(layers=50):").out
    assert out.count("written alike; what it calls differs") == 4


def test_diff_knows_what_is_equal(epnas) -> None:
    turned = (
        "micro: h1 = skip_connect(prev2) + conv_3x3(prev1); h2 = conv_3x3(h1) + max_pool_3x3(h1)"
    )
    assert "the two are equal" in epnas("diff", FIRST, turned).out
    assert epnas("diff", FIRST, turned, "--json").json["equal"] is True


def test_neighbours_one_a_line(epnas) -> None:
    done = epnas("neighbours", FIRST)
    lines = done.out.splitlines()
    assert done.err == f"{len(lines)} neighbours; 30 ways to make one decision otherwise\n"
    assert len({load_architecture(line).key for line in lines}) == len(lines) == 30
    some = epnas("neighbours", FIRST, "-n", "5", "--seed", "3").out
    assert some == epnas("neighbours", FIRST, "-n", "5", "--seed", "3").out
    assert some != epnas("neighbours", FIRST, "-n", "5", "--seed", "4").out
    assert set(some.splitlines()) < set(lines)
    found = epnas("neighbours", FIRST, "-n", "5", "--seed", "3", "--json").json
    assert [n["architecture"] for n in found["neighbours"]] == some.splitlines()
    assert found["changes"] == 30


def test_neighbours_with_all_texts(epnas) -> None:
    """Two changes give the same pool twice: one computation, two texts."""
    cell = "nasbench201: h1 = skip_connect(h0); h2 = avg_pool_3x3(h0) + none(h1)"
    fewer = epnas("neighbours", cell).out.splitlines()
    more = epnas("neighbours", cell, "--all-texts").out.splitlines()
    assert set(fewer) < set(more)
    assert len(more) == 12


@pytest.mark.parametrize("number", ["0", "1000"])
def test_neighbours_stop_where_there_are_no_more(epnas, number) -> None:
    lines = epnas("neighbours", FIRST, "-n", number).out.splitlines()
    assert len(lines) <= min(30, int(number))


def test_neighbours_name_the_path_where_the_name_would_not_find_it(epnas) -> None:
    """As samples do, so that they can be handed on."""
    Path("s").mkdir()
    Path("s/other.space").write_text(
        "space mine(k=1)\nnetwork (image) { x = conv_3x3(image, 4*k|8*k|12*k)\n"
        "return linear(global_avg_pool(x), 2) }"
    )
    text = epnas("sample", "s/other.space(k=2)").out.strip()
    found = epnas("neighbours", text).out.splitlines()
    assert len(found) == 2
    for line in found:
        assert line.startswith("s/other.space(k=2): x = ")
        assert text in epnas("neighbours", line).out.splitlines()
    plain = epnas("neighbours", text, "--json").json
    assert [n["architecture"] for n in plain["neighbours"]] == found
    assert plain["architecture"] == text
    Path("s/one.arch").write_text(text.replace("s/other", "other"))
    assert epnas("neighbours", "s/one.arch").out.splitlines() == found
