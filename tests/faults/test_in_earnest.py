"""A search with networks, killed and refused the disk: shared weights, final training, report."""

import errno

import pytest
from runs_of_the_shop import content
from safetensors.numpy import load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def earnest(shop, memory):
    folder = memory / "earnest"
    told = shop(folder, earnest=True)
    assert told["status"] == 0, told["text"]
    return outcome(folder), told["calls"]


def outcome(folder):
    texts = [(folder / name).read_text() for name in ("best.arch", "final/training.json")]
    weights = load((folder / "final/model.safetensors").read_bytes())
    return content(folder), texts, {name: value.tobytes() for name, value in weights.items()}


@pytest.mark.parametrize("part", [0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98])
@pytest.mark.parametrize("mode", ["half", "ever"])
def test_it_ends_as_if_unbroken(shop, earnest, ram, part, mode):
    at = round(part * earnest[1])
    told = shop(ram / "run", earnest=True, mode=mode, at=at, errno=errno.ENOSPC)
    if mode == "half":
        assert told["status"] == -9
    else:
        assert (told["status"], told["codes"]) in [(4, ["E706"]), (2, ["E802"])], told
    told = shop(ram / "run", earnest=True)
    assert told["status"] == 0, told["text"]
    assert outcome(ram / "run") == earnest[0]
    left = {path.name for path in (ram / "run" / "final").iterdir()}
    assert left == {"best.arch", "training.json", "model.safetensors"}
