"""Two processes at one folder, locks left behind, folders that were moved, copied or linked."""

import os
import shutil
import socket

import pytest
from runs_of_the_shop import content, finish, prefix

from epnas_dsl.errors import RunError
from epnas_dsl.runs.store import Store


@pytest.fixture
def stopped(shop, whole, ram):
    """A run that was killed about half-way."""
    assert shop(ram / "run", mode="before", at=whole[1] - 60)["status"] == -9
    assert 0 < len(prefix(ram / "run")) < 12
    return ram / "run"


def race(shop, whole, folder):
    """Two start at once: one runs, the other names it; or comes too late, and finds it done."""
    told = sorted(shop.several(folder, times=2, seconds=0.05), key=lambda one: one["status"])
    assert [one["status"] for one in told] == [0, 4], told
    holder = f"process {told[0]['pid']} on {socket.gethostname()}"
    assert (told[1]["codes"], holder in told[1]["text"]) == (["E703"], True), told[1]
    assert content(folder) == whole[0]


def test_two_processes_start_together(shop, whole, ram):
    for i in range(5):
        race(shop, whole, ram / str(i))


@pytest.mark.slow
def test_two_processes_start_together_a_hundred_times(shop, whole, ram):
    for i in range(50):
        race(shop, whole, ram / str(i))
    for i in range(50):
        folder = ram / f"resumed{i}"
        assert shop(folder, mode="before", at=whole[1] - 90)["status"] == -9
        race(shop, whole, folder)


def test_a_lock_that_nobody_holds_any_more(shop, whole, stopped):
    (stopped / "run.lock").touch()
    (stopped / "run.lock.holder").write_text("process 1 on elsewhere\n")
    finish(shop, stopped, whole)


def test_a_name_in_the_lock_is_plain_text(stopped):
    with Store(stopped, writing=True):
        (stopped / "run.lock.holder").write_bytes(b"\x1b[2J\xff" + b"x" * 10_000)
        with pytest.raises(RunError) as error:
            Store(stopped, writing=True)
    assert error.value.diagnostics[0].code == "E703"
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("how", ["moved", "copied", "linked"])
def test_a_folder_elsewhere(shop, whole, stopped, how):
    place = stopped.parent / "else" / "where"
    place.parent.mkdir()
    match how:
        case "moved":
            stopped.rename(place)
        case "copied":
            shutil.copytree(stopped, place)
        case "linked":
            place.symlink_to(stopped, target_is_directory=True)
    finish(shop, place, whole)
    if how == "copied":
        finish(shop, stopped, whole)


def test_a_link_leads_to_the_same_lock(stopped):
    link = stopped.with_name("link")
    link.symlink_to(stopped, target_is_directory=True)
    with Store(stopped, writing=True):
        with pytest.raises(RunError, match=f"process {os.getpid()} on") as error:
            Store(link, writing=True)
        assert error.value.diagnostics[0].code == "E703"
        with Store(link) as reader:
            assert reader.trials()
