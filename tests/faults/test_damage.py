"""Bits that flip, files that are cut short or gone: a code, or the very same run; never another."""

import dataclasses
import os
import random
import re
import shutil

import pytest
from runs_of_the_shop import finish, prefix

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
@pytest.mark.parametrize("name", ["config.toml", "search.space"])
def test_another_file_that_is_damaged(healthy, stopped, name, how):
    path = stopped / name
    before = path.read_bytes()
    how(path, random.Random(4))
    with pytest.raises(RunError) as error:
        Store(stopped, writing=True)
    assert error.value.diagnostics[0].code == "E704"
    path.write_bytes(before)
    assert not open_(stopped, healthy)


@pytest.mark.parametrize("name", ["config.toml", "search.space", "run.db"])
def test_a_file_that_is_gone(shop, whole, stopped, name):
    path = stopped / name
    kept = path.rename(stopped.parent / "kept")
    with pytest.raises(RunError) as error:
        Store(stopped, writing=True)
    assert error.value.diagnostics[0].code == ("E702" if name == "run.db" else "E704")
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


def gone(path, draw):
    path.unlink()


@pytest.mark.parametrize("how", [flip, cut, hole, gone])
def test_the_last_checkpoint_damaged_in_25_places(shop, whole, healthy, ram, how):
    """Its trial is trained again from the weights before, and the end is that of the whole run."""
    draw = random.Random(6)
    for i in range(25):
        folder = shutil.copytree(healthy, ram / str(i))
        how(max((folder / "checkpoints").iterdir()), draw)
        told = finish(shop, folder, whole)
        assert "going back to the one before it" in told["notes"][0]
        assert re.fullmatch(r"training trial \d+ once more, for the weights that were lost",
                            told["notes"][1])  # fmt: skip
        shutil.rmtree(folder)


@pytest.mark.parametrize("how", [flip, cut, hole, gone])
def test_the_first_checkpoint_of_all(shop, whole, ram, how):
    """Nothing earlier exists, so its trial is trained again from new weights."""
    folder, n = ram / "run", 40
    while len(prefix(folder)) != 2:  # the first trial fails
        shutil.rmtree(folder, ignore_errors=True)
        shop(folder, mode="before", at=(n := n + 1))
    how(folder / "checkpoints/000001.ckpt", random.Random(7))
    assert finish(shop, folder, whole)["notes"][0].endswith("going back to the one before it")


def test_both_checkpoints(shop, stopped):
    for path in (stopped / "checkpoints").iterdir():
        flip(path, random.Random(8))
    told, before = shop(stopped), prefix(stopped)
    assert (told["status"], told["codes"]) == (4, ["E709"])
    assert prefix(stopped) == before != []


def test_weights_that_come_back_with_other_last_bits(shop, whole, healthy, ram):
    """As on a GPU: the trial stays as it is recorded, and its checkpoint counts as written now."""
    before = prefix(healthy)
    for n in range(1, 60):  # kills on the way leave it to be done once more
        folder = shutil.copytree(healthy, ram / str(n))
        max((folder / "checkpoints").iterdir()).unlink()
        told = shop(folder, noise=True, mode="before", at=n)
        after = prefix(folder)
        assert told["status"] == -9
        if after != before:
            break
        told = shop(folder)
        assert (told["status"], len(told["notes"])) == (0, 2)
    changed = {t.number: t for t in after if t not in before}
    assert 0 < len(changed) < 3
    for trial in before:
        found = changed.get(trial.number, trial)
        assert dataclasses.replace(found, digest="") == dataclasses.replace(trial, digest="")
    with Store(folder) as store:
        assert store.checkpoint(store.trials()[-1]).is_file()
    told = shop(folder)
    assert (told["status"], told["notes"], len(prefix(folder))) == (0, [], len(whole[0][0]))
