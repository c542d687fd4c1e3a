"""Disks that are full, broken or read-only, from the n-th call on: a code, and nothing is lost."""

import errno

import pytest
from runs_of_the_shop import finish, prefix

CODES = {
    errno.ENOSPC: {"E706"},
    errno.EDQUOT: {"E706"},
    errno.EIO: {"E704", "E706"},
    errno.EROFS: {"E707"},
}
VAGUE = {"E704", "E707"}  # SQLite tells "cannot open" and "input/output error" without a reason


def refused(shop, folder, whole, mode, at, number):
    """Have a call refused; the run says so, or did without. Whether it said so."""
    told = shop(folder, mode=mode, at=at, errno=number)
    where = f"{mode} {at} {errno.errorcode[number]}: {told['text']}"
    assert told["status"] in (0, 4), where
    assert set(told["codes"]) <= CODES[number] | (VAGUE if mode == "once" else set()), where
    after = prefix(folder)
    assert after == whole[0][0][: len(after)], where
    finish(shop, folder, whole)
    return told["status"] == 4


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
def test_from_every_ninth_call_on(shop, whole, ram, number):
    for n in range(1, whole[1] + 1, 9):
        refused(shop, ram / str(n), whole, "ever", n, number)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["once", "ever"])
@pytest.mark.parametrize("number", CODES, ids=lambda n: errno.errorcode[n])
def test_at_every_fifth_call(shop, whole, ram, mode, number):
    step = 5 if number in (errno.ENOSPC, errno.EIO) else 12
    told = [refused(shop, ram / str(n), whole, mode, n, number) for n in range(1, whole[1], step)]
    assert sum(told) > 0.5 * len(told)


def test_a_folder_that_may_only_be_read(shop, whole, ram):
    folder = ram / "run"
    assert shop(folder, mode="before", at=whole[1] - 30)["status"] == -9
    before = prefix(folder)
    told = shop(folder, mode="ever", at=1, errno=errno.EROFS)
    assert (told["status"], told["codes"]) == (4, ["E707"])
    assert prefix(folder) == before != []
    finish(shop, folder, whole)
