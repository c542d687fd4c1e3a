"""Data sets that are gone, half there or broken: told before a run begins, and when it goes on."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs_of_the_shop import content

from epnas_dsl.cli import main

SPACE = "micro(blocks=2, channels=4, repeats=1, classes=2)"
SETS = ["search.kept=1", "search.iterations=1", "search.first_level_limit=1", "training.epochs=1"]
SETS += ["evaluation.final_epochs=0", "training.threads=1", "surrogate.epochs=1"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path):
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(20):
            pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i:02}.png")
    return tmp_path / "photos"


def search(capsys, space=SPACE, data="imagefolder:photos", *more):
    sets = [word for setting in (*SETS, *more) for word in ("--set", setting)]
    status = main(["search", space, "--data", data, "--out", "run", *sets])
    return status, capsys.readouterr().err


def cifar(root: Path, names):
    """The folder of CIFAR-10 with files of some names, which are not whole."""
    place = root / "cifar-10-batches-py"
    place.mkdir(parents=True)
    for name in names:
        (place / name).write_bytes(b"\x80\x04half")


BATCHES = ["batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6))]


@pytest.mark.parametrize("names", [[], BATCHES[:4], BATCHES], ids=["none", "half", "broken"])
def test_files_of_a_data_set(tmp_path, capsys, names):
    cifar(tmp_path / "data", names)
    status, err = search(capsys, SPACE, "cifar10", f"data.root={tmp_path / 'data'}")
    assert (status, "E602" in err, "nothing is downloaded" in err) == (1, True, True)
    assert not Path("run").exists()


BROKEN = {
    "gone": (lambda p: shutil.rmtree(p), 1, "E603"),
    "half there": (lambda p: shutil.rmtree(p / "dog"), 1, "E603"),
    "one broken image": (lambda p: (p / "cat" / "07.png").write_bytes(b"\x89PNG"), 1, "E604"),
    "one of another size": (lambda p: Image.new("RGB", (9, 9)).save(p / "cat/07.png"), 1, "E605"),
    "another class": (lambda p: shutil.copytree(p / "cat", p / "cow"), 2, "E610"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_folder(photos, capsys, how):
    spoil, expected, code = BROKEN[how]
    spoil(photos)
    status, err = search(capsys)
    assert (status, code in err) == (expected, True), err
    assert not Path("run").exists()


def test_data_that_went_away_between_stop_and_resume(photos, capsys):
    assert search(capsys, SPACE, "imagefolder:photos", "search.evaluations=2")[0] == 0
    before = content(Path("run"))
    photos.rename("elsewhere")
    assert main(["resume", "run"]) == 1
    assert "E603" in capsys.readouterr().err
    Path("elsewhere").rename("photos")
    assert main(["resume", "run"]) == 0
    assert content(Path("run")) == before
