"""Bits that flip, files that are cut short or gone: a code, or the very same run; never another."""

import os
import random
import shutil

import pytest
from runs_of_the_shop import finish

from epnas_dsl.errors import RunError
from epnas_dsl.runs.store import Store


@pytest.fixture(scope="module")
def healthy(shop, whole, memory):
    """A run that was stopped after six trials, closed as it should be."""
    folder = memory / "healthy"
    assert shop(folder, mode="before", at=whole[1] - 60)["status"] == -9
    Store(folder, writing=True).close()
    assert [p.name for p in folder.glob("run.db*")] == ["run.db"]
    return folder


@pytest.fixture
def stopped(healthy, ram):
    return shutil.copytree(healthy, ram / "run")


def flip(path, draw):
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def cut(path, draw):
    os.truncate(path, draw.randrange(path.stat().st_size))


def hole(path, draw):
    data = bytearray(path.read_bytes())
    start = draw.randrange(len(data))
    data[start : start + 512] = draw.randbytes(len(data[start : start + 512]))
    path.write_bytes(data)


def open_(folder, healthy):
    """Open a damaged run both ways: it is refused, or nothing is missing. Whether refused."""
    refused = []
    for writing in (False, True):
        try:
            with Store(folder, writing=writing) as store, Store(healthy) as twin:
                assert store.trials() == twin.trials()
                assert (store.config, store.space_text) == (twin.config, twin.space_text)
            refused.append(False)
        except RunError as error:
            refused.append(error.diagnostics[0].code)
    assert set(refused) <= {False, "E702", "E704", "E705", "E709"}
    return bool(refused[0])


@pytest.mark.parametrize(
    "how", [flip, *(pytest.param(how, marks=pytest.mark.slow) for how in (cut, hole))]
)
def test_a_store_damaged_in_100_places(healthy, ram, how):
    draw = random.Random(3)
    refused = 0
    for i in range(100):
        folder = shutil.copytree(healthy, ram / str(i))
        how(folder / "run.db", draw)
        refused += open_(folder, healthy)
        shutil.rmtree(folder)
    assert refused > (20 if how is flip else 40)  # a page of the store is mostly empty


@pytest.mark.parametrize("how", [flip, cut, hole])
@pytest.mark.parametrize("name", ["config.toml", "search.space", "checkpoint"])
def test_another_file_that_is_damaged(healthy, stopped, name, how):
    last = max((stopped / "checkpoints").iterdir())
    path = last if name == "checkpoint" else stopped / name
    before = path.read_bytes()
    how(path, random.Random(4))
    with pytest.raises(RunError) as error:
        Store(stopped, writing=True)
    assert error.value.diagnostics[0].code == ("E709" if name == "checkpoint" else "E704")
    path.write_bytes(before)
    assert not open_(stopped, healthy)


@pytest.mark.parametrize("name", ["config.toml", "search.space", "checkpoint", "run.db"])
def test_a_file_that_is_gone(shop, whole, stopped, name):
    last = max((stopped / "checkpoints").iterdir())
    path = last if name == "checkpoint" else stopped / name
    kept = path.rename(stopped.parent / "kept")
    with pytest.raises(RunError) as error:
        Store(stopped, writing=True)
    codes = {"checkpoint": "E709", "run.db": "E702"}
    assert error.value.diagnostics[0].code == codes.get(name, "E704")
    kept.rename(path)
    finish(shop, stopped, whole)


def test_changes_are_listed(stopped):
    path = stopped / "config.toml"
    path.write_text(path.read_text().replace("kept = 25", "kept = 26").replace("seed", "\x1bseed"))
    with pytest.raises(RunError) as error:
        Store(stopped)
    text = str(error.value)
    assert "\n  -kept = 25\n  +kept = 26\n" in text
    assert "\x1b" not in text


def test_a_long_change_is_cut_short(stopped):
    path = stopped / "search.space"
    path.write_text("a line\n" * 50_000)
    with pytest.raises(RunError, match=r"more\n") as error:
        Store(stopped)
    assert len(str(error.value).splitlines()) < 30
