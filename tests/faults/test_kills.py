"""kill -9 anywhere: no trial is lost, none is done twice, the end is that of an unbroken run."""

import random

import pytest
from runs_of_the_shop import finish, prefix

HOW = ("before", "half", "after")


def killed(shop, folder, whole, **order):
    """Have a run killed; what it recorded is the beginning of the whole. Whether it was killed."""
    before = prefix(folder)
    told = shop(folder, **order)
    assert told["status"] in (0, -9), told["text"]
    after = prefix(folder)
    assert after[: len(before)] == before
    assert after == whole[0][0][: len(after)]
    return told["status"] == -9


def test_at_every_fifth_boundary(shop, whole, ram):
    for n in range(1, whole[1] + 1, 5):
        folder = ram / str(n)
        assert killed(shop, folder, whole, mode=HOW[n % 3], at=n)
        finish(shop, folder, whole)


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
def test_at_every_boundary(shop, whole, ram, how):
    for n in range(1, whole[1] + 1):
        folder = ram / str(n)
        assert killed(shop, folder, whole, mode=how, at=n)
        finish(shop, folder, whole)


@pytest.mark.slow
def test_again_while_it_resumes_and_resumes_from_that(shop, whole, ram):
    draw = random.Random(1)
    kills = 0
    for i in range(150):
        folder = ram / str(i)
        for most in (whole[1], 40, 25):
            kills += killed(shop, folder, whole, mode=draw.choice(HOW), at=draw.randint(1, most))
        finish(shop, folder, whole)
    assert kills > 400


@pytest.mark.slow
def test_at_random_moments(shop, whole, ram):
    draw = random.Random(2)
    kills = runs = 0
    while kills < 200 and runs < 2000:
        folder = ram / str(runs := runs + 1)
        while killed(shop, folder, whole, seconds=0.003, kill=draw.uniform(0, 0.06)):
            kills += 1
        finish(shop, folder, whole)
    assert kills >= 200, runs  # how many runs that takes is a matter of the machine's speed
