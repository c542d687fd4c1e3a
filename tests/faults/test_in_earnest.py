"""A search with networks, killed and refused the disk: shared weights, final training, report."""

import errno

import pytest
from runs_of_the_shop import content, outcome

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def earnest(shop, memory):
    folder = memory / "earnest"
    told = shop(folder, earnest=True)
    assert told["status"] == 0, told["text"]
    return outcome(folder), told["calls"]


@pytest.mark.parametrize("part", [0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98])
@pytest.mark.parametrize("mode", ["half", "ever"])
def test_it_ends_as_if_unbroken(shop, earnest, ram, part, mode):
    at = round(part * earnest[1])
    told = shop(ram / "run", earnest=True, mode=mode, at=at, errno=errno.ENOSPC)
    if mode == "half":
        assert told["status"] == -9
    else:
        assert (told["status"], told["codes"]) in [(4, ["E706"]), (2, ["E802"])], told
    finish(shop, earnest, ram / "run")


def finish(shop, earnest, folder):
    told = shop(folder, earnest=True)
    assert told["status"] == 0, told["text"]
    assert outcome(folder) == earnest[0]
    left = {path.name for path in (folder / "final").iterdir()}
    assert left == {"best.arch", "training.json", "model.safetensors"}


def test_the_last_shared_weights_are_trained_again(shop, ram):
    more = ["search.kept=2"]
    whole = shop(ram / "whole", earnest=True, settings=more)
    trials = len(content(ram / "whole")[0])
    seen = set()
    for n in range(whole["calls"] // 2, whole["calls"] - 40, 7):
        folder = ram / str(n)
        shop(folder, earnest=True, settings=more, mode="before", at=n)
        recorded = content(folder)[0]
        if recorded and len(recorded) not in seen | {trials}:
            seen.add(len(recorded))
            last = folder / "checkpoints" / recorded[-1].checkpoint
            last.write_bytes(last.read_bytes()[:-1] + b"?")
            assert shop(folder, earnest=True)["status"] == 0
            assert outcome(folder) == outcome(ram / "whole")
    assert len(seen) > 1


def test_of_a_search_that_is_done_they_are_not_missed(shop, earnest, ram):
    folder = ram / "run"
    assert shop(folder, earnest=True, mode="half", at=round(0.8 * earnest[1]))["status"] == -9
    max((folder / "checkpoints").iterdir()).unlink()
    assert shop(folder, earnest=True)["status"] == 0
    assert outcome(folder)[1:] == earnest[0][1:]
