"""The power fails: what was acknowledged is on the disk, and the run ends like an unbroken one."""

import random
import shutil

import pytest
from power import WAYS, Disk, calls
from runs_of_the_shop import finish, outcome, prefix


@pytest.fixture
def bench(ram):
    """A folder for the runs and what was kept of them, and one for what is rebuilt."""
    (ram / "made").mkdir()
    return ram / "made", ram / "journal", ram / "rebuilt"


def rebuilt(disk, journal, place, draw, step=1, ways=WAYS):
    """What may be left after every so many calls; with each the last mark before it."""
    sure = -1
    for i, call in enumerate(calls(journal)):
        disk.call(*call)
        sure = call[2] if call[0] == "mark" else sure
        if i % step == 0:
            for way in ways if step == 1 else [draw.choice(ways)]:
                shutil.rmtree(place, ignore_errors=True)
                disk.rebuild(place, way, draw)
                yield sure, f"{way} after {i}: {call[:4]}"


def survives(shop, whole, folder, sure, where):
    """What was recorded is there, and the run goes on to the end of the unbroken one."""
    assert sure < 0 or (folder / "run.db").is_file(), where
    found = prefix(folder)
    assert found == whole[0][0][: len(found)], where
    assert len(found) >= sure, where
    finish(shop, folder, whole)


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_after_every_call(shop, whole, bench, step):
    made, journal, place = bench
    disk, draw = Disk(made), random.Random(9)
    assert shop(made / "run", journal=str(journal))["status"] == 0
    for sure, where in rebuilt(disk, journal, place, draw, step):
        survives(shop, whole, place / "run", sure, where)


@pytest.mark.slow
def test_while_it_resumes_from_a_failure(shop, whole, ram):
    """The power fails, and once more while what is left is gone on with."""
    draw, journal, failures = random.Random(10), ram / "journal", 0
    for i in range(20):
        (made := ram / f"made{i}").mkdir()
        disk = Disk(made)
        assert shop(made / "run", journal=str(journal))["status"] == 0
        made_calls = calls(journal)
        for call in made_calls[: draw.randrange(len(made_calls))]:
            disk.call(*call)
        disk.rebuild(again := ram / f"again{i}", draw.choice(WAYS), draw)
        before, disk = prefix(again / "run"), Disk(again)
        assert shop(again / "run", journal=str(journal))["status"] == 0
        for sure, where in rebuilt(disk, journal, place := ram / "rebuilt", draw, 13):
            survives(shop, whole, place / "run", max(sure, len(before) - 1), where)
            failures += 1
    assert failures > 100


@pytest.mark.slow
def test_the_final_training(shop, bench):
    """No epoch that was told is trained again; weights, curve and report are the same."""
    made, journal, place = bench
    disk, draw, more = Disk(made), random.Random(11), ["evaluation.final_epochs=4"]
    told = shop(made / "run", earnest=True, settings=more, journal=str(journal))
    assert told["status"] == 0, told["text"]
    whole, before = outcome(made / "run"), 0
    for sure, where in rebuilt(disk, journal, place, draw, 7):
        if sure < 2:  # the search is tested above
            continue
        told = shop(place / "run", earnest=True)
        assert told["status"] == 0, (where, told["text"])
        assert outcome(place / "run") == whole, where
        again = [int(note.split()[3]) for note in told["notes"] if "epoch" in note]
        assert all(epoch > sure - 1000 for epoch in again), (where, again)
        before += sure > 1000
    assert before > 5
