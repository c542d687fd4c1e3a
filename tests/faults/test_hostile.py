"""Files made to do harm: refused by a code, or shown as plain text; nothing of theirs is run."""

import gzip
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import sqlite3
import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from epnas_dsl.cli import main
from epnas_dsl.config import Config, override
from epnas_dsl.lang.loading import load_space
from epnas_dsl.nn.checkpoint import SEAL
from epnas_dsl.runs import database
from epnas_dsl.runs.store import create
from epnas_dsl.runs.trial import Trial
from epnas_dsl.space.expansion import sample

SMALL = "micro(blocks=2, channels=4, repeats=1)"
ARCHITECTURE = str(sample(load_space(SMALL), 1, np.random.default_rng(0))[0])
QUICK = ["--set", "training.epochs=2", "--set", "data.limit=60", "--set", "training.threads=1"]
ESCAPE = "\x1b[31m<script>alert(1)</script>"


class Bomb:
    """Unpickling it makes the canary."""

    def __reduce__(self):
        return os.system, ("touch canary",)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "canary").exists()


def command(capsys, *words):
    status = main(list(map(str, words)))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "\x1b" not in out + err
    return status, out, err


# --- checkpoints of trainings -----------------------------------------------------------------


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A training that was interrupted after its first epoch; the content of its checkpoint."""
    from epnas_dsl import experiment
    from epnas_dsl.lang.loading import load_architecture

    folder = tmp_path_factory.mktemp("training") / "t"

    def interrupt(epoch):
        raise KeyboardInterrupt

    config = override(Config(), QUICK[1::2])
    with pytest.raises(KeyboardInterrupt):
        experiment.train(load_architecture(ARCHITECTURE), config, folder, interrupt)
    data = (folder / "training.ckpt").read_bytes()
    return folder, torch.load(io.BytesIO(data[SEAL:]), weights_only=True)


def sealed(data):
    """What does harm has a good seal, so that it is not told by that."""
    return hashlib.sha256(data).digest() + data


def as_torch(content):
    data = io.BytesIO()
    torch.save(content, data)
    return data.getvalue()


def packed(data):
    """The same archive with its parts compressed, and a part of 200 MB of nothing."""
    found, old = io.BytesIO(), zipfile.ZipFile(io.BytesIO(data))
    with old, zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
        new.writestr("archive/data/more", bytes(200_000_000))
    return found.getvalue()


def with_names(data):
    found = io.BytesIO(data)
    with zipfile.ZipFile(found, "a") as archive:
        archive.writestr("../../canary", "here")
    return found.getvalue()


def changed(content, **parts):
    return as_torch({**content, **parts})


def expanded(content):
    name = next(n for n, v in content["module"].items() if v.dim() == 4)
    wide = torch.zeros(1).expand(10**6, 10**6)
    return changed(content, module={**content["module"], name: wide})


def expanded_momentum(content):
    state = {n: {"momentum_buffer": torch.zeros(1).expand(10**12)} for n in range(3)}
    return changed(content, optimizer={**content["optimizer"], "state": state})


CHECKPOINTS = {
    "pickle": lambda c: pickle.dumps(Bomb()),
    "pickle in torch": lambda c: as_torch(Bomb()),
    "pickle inside": lambda c: changed(c, history=[Bomb()]),
    "old torch": lambda c: old_torch(Bomb()),
    "packed": lambda c: packed(as_torch(c)),
    "expanded": expanded,
    "expanded momentum": expanded_momentum,
    "not a dictionary": lambda c: as_torch([1, 2]),
    "module is a number": lambda c: changed(c, module=7),
    "epochs of nothing": lambda c: changed(c, history=[{}]),
    "epochs of text": lambda c: changed(c, history=["x" * 100]),
    "state is a list": lambda c: changed(c, optimizer={"state": [1], "param_groups": []}),
}


def old_torch(content):
    data = io.BytesIO()
    torch.save(content, data, _use_new_zipfile_serialization=False)
    return data.getvalue()


@pytest.mark.parametrize("how", CHECKPOINTS)
def test_a_checkpoint(training, tmp_path, capsys, how):
    folder = shutil.copytree(training[0], tmp_path / "t")
    (folder / "training.ckpt").write_bytes(sealed(CHECKPOINTS[how](training[1])))
    status, _, err = command(capsys, "train", ARCHITECTURE, "--out", folder, *QUICK)
    assert (status, "E630" in err) == (1, True), err


def test_paths_in_a_checkpoint_lead_nowhere(training, tmp_path, capsys):
    folder = shutil.copytree(training[0], tmp_path / "in" / "it" / "t")
    path = folder / "training.ckpt"
    path.write_bytes(sealed(with_names(path.read_bytes()[SEAL:])))
    assert command(capsys, "train", ARCHITECTURE, "--out", folder, *QUICK)[0] in (0, 1)
    assert not list(tmp_path.rglob("canary"))


# --- weights ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A trained network: its weights and its facts."""
    folder = tmp_path_factory.mktemp("trained") / "t"
    assert main(["train", ARCHITECTURE, "--out", str(folder), *QUICK]) == 0
    data = (folder / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return load(data), json.loads(data[8 : 8 + size])["__metadata__"]


def rewritten(weights, **facts):
    state, metadata = weights
    found = {**json.loads(metadata["facts"]), **facts}
    return save(state, {**metadata, "facts": json.dumps(found)})


def deep(weights):
    return save(weights[0], {**weights[1], "facts": "[" * 100_000})


def flipped(weights):
    data = bytearray(rewritten(weights))
    data[-1000] ^= 4
    return bytes(data)


LAUGHS = "space laughs()\n" + "".join(
    f"fn f{i}(x) {{ return f{i - 1}(f{i - 1}(f{i - 1}(f{i - 1}(x)))) }}\n" for i in range(1, 40)
)
WEIGHTS = {
    "pickle": lambda w: pickle.dumps(Bomb()),
    "torch": lambda w: as_torch(Bomb()),
    "huge header": lambda w: struct.pack("<Q", 2**63) + b"{}",
    "header beyond the end": lambda w: struct.pack("<Q", 90_000_000) + b"{" * 1000,
    "deep facts": deep,
    "flipped bit": flipped,
    "huge image": lambda w: rewritten(w, image=[10**9, 8, 8]),
    "wide image": lambda w: rewritten(w, image=[10**6, 8, 8]),
    "wide network": lambda w: rewritten(w, parameters={"blocks": 2, "channels": 50_000}),
    "negative image": lambda w: rewritten(w, image=[1, -8, 8]),
    "no space": lambda w: rewritten(w, space=None),
    "laughs": lambda w: rewritten(w, space=LAUGHS),
    "names as parameters": lambda w: rewritten(w, parameters={"__class__": 1, ESCAPE: 2}),
    "text as parameter": lambda w: rewritten(w, parameters={"blocks": "__import__('os')"}),
    "another architecture": lambda w: rewritten(w, architecture=ESCAPE),
    "means of text": lambda w: rewritten(w, mean=[ESCAPE]),
}


@pytest.mark.parametrize("how", WEIGHTS)
def test_weights(weights, tmp_path, capsys, how):
    path = tmp_path / "model.safetensors"
    path.write_bytes(WEIGHTS[how](weights))
    status, _, err = command(capsys, "evaluate", path)
    assert status in (1, 2), err
    assert re.search(r"error E\d\d\d", err), err


def test_names_of_classes_are_plain_text(weights, tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    path.write_bytes(rewritten(weights, classes=[ESCAPE] * 10))
    status, _, err = command(capsys, "evaluate", path)
    assert status == 0, err


# --- run folders ------------------------------------------------------------------------------


def trial(number=0, **rest):
    about = {"number": number, "architecture": ARCHITECTURE, "id": "1", "key": "k", "level": 2}
    return Trial(**{**about, "metrics": {"accuracy": 0.5}, **rest})


@pytest.fixture
def folder(tmp_path):
    space = load_space(SMALL)
    config = override(Config(), [f"space={SMALL}"])
    with create(tmp_path / "run", config, space.source, space.changed, space.digest) as store:
        store.append(trial())
    return tmp_path / "run"


def execute(folder, *statements):
    connection = sqlite3.connect(folder / "run.db")
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def forge(folder, **values):
    """Change a recorded trial, its seal too."""
    row = {**{c: getattr(trial(), c) for c in database._COLUMNS}, **values}
    cells = [json.dumps(v) if isinstance(v, dict) else v for v in row.values()]
    execute(folder, "DELETE FROM trials")
    connection = sqlite3.connect(folder / "run.db")
    with connection:
        marks = ", ".join("?" * len(cells))
        seal = database._seal(cells)
        connection.execute(f"INSERT INTO trials VALUES ({marks}, ?)", [*cells, seal])
    connection.close()


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
RUNS = {
    "endless view": lambda f: execute(f, "DROP TABLE trials", f"CREATE VIEW trials AS {ENDLESS}"),
    "trigger": lambda f: execute(
        f, "CREATE TRIGGER t BEFORE INSERT ON trials BEGIN DELETE FROM trials; END"
    ),
    "other columns": lambda f: execute(f, "DROP TABLE trials", "CREATE TABLE trials (number)"),
    "path as checkpoint": lambda f: forge(f, checkpoint="../../../etc/passwd", digest="0"),
    "metrics are a list": lambda f: forge(f, metrics="[1, 2]"),
    "deep metrics": lambda f: forge(f, metrics="[" * 100_000),
    "another state": lambda f: forge(f, state="<script>"),
    "facts of text": lambda f: execute(f, "UPDATE facts SET value = '\"x\"' WHERE name = 'files'"),
    "other files": lambda f: execute(
        f, "UPDATE facts SET value = '{\"../../etc/passwd\": \"x\"}' WHERE name = 'files'"
    ),
    "parameters of text": lambda f: execute(
        f, "UPDATE facts SET value = '{\"blocks\": \"x\"}' WHERE name = 'parameters'"
    ),
}


@pytest.mark.parametrize("how", RUNS)
def test_a_run_folder(folder, capsys, how):
    RUNS[how](folder)
    for words in (["status"], ["top"], ["report"], ["resume"]):
        status, _, err = command(capsys, *words, folder)
        assert (status, "E704" in err) == (4, True), (words, err)


def test_what_lies_beside_checkpoints_is_left_alone(folder, tmp_path):
    from epnas_dsl.runs.store import Store

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious.txt").write_text("x")
    shutil.rmtree(folder / "checkpoints")
    (folder / "checkpoints").symlink_to(mine, target_is_directory=True)
    Store(folder, writing=True).close()
    assert (mine / "precious.txt").exists()


@pytest.mark.parametrize("place", ["inside", "relative"])
def test_a_plugin_that_a_run_brings_along_is_not_run(tmp_path, capsys, place):
    target, space = tmp_path / "run", load_space(SMALL)
    plugin = target / "evil.py" if place == "inside" else "run/evil.py"
    config = override(Config(), [f"space={SMALL}", f"plugin={plugin}"])
    create(target, config, space.source, space.changed, space.digest).close()
    (target / "evil.py").write_text("open('canary', 'w')")
    for word in ("status", "resume"):
        status, _, err = command(capsys, word, target)
        assert (status, "E716" in err) == (4, True), err


def test_texts_of_a_run_are_plain_text(folder, capsys):
    forge(folder, state="failed", metrics={}, message=ESCAPE)
    assert command(capsys, "status", folder)[0] == 0
    assert command(capsys, "report", folder)[0] == 0
    page = (folder / "report.html").read_text()
    assert "<script>alert" not in page
    assert "\x1b" not in page


# --- spaces, tables, images -------------------------------------------------------------------

SPACES = {
    "laughs": LAUGHS,
    "names of escapes": f"space {ESCAPE}()\n",
    "deep": "space a()\nnetwork (image) { return " + "(" * 100_000,
    "many": "space a()\n" + "op := conv_3x3\n" * 5_000,
    "power": "space a(x=9)\nnetwork (image) { return linear(image, x^x^x^x^x^x^x) }\n",
    "wide": "space a()\nnetwork (image) { x = conv_3x3(image, 10^9)\nreturn linear(x, 10) }\n",
}


@pytest.mark.parametrize("how", SPACES)
def test_a_space(tmp_path, capsys, how):
    path = tmp_path / f"\x1b[31m{how}.space"
    path.write_text(SPACES[how])
    status, _, err = command(capsys, "check", path)
    assert (status, "error E" in err) == (1, True), err


def test_a_table_that_unpacks_without_end(tmp_path, capsys, monkeypatch):
    from epnas_dsl.runs import evaluator

    monkeypatch.setattr(evaluator, "MAX_BYTES", 1 << 20)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"arch,x\n" + bytes(1 << 24)))
    words = ["search", SMALL, "--table", "t.csv.gz", "--metric", "x"]
    status, _, err = command(capsys, *words)
    assert (status, "larger than 1 MiB" in err) == (1, True), err


def test_an_image_that_unpacks_without_end(tmp_path, capsys):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            Image.new("L", (8, 8)).save(tmp_path / "photos" / name / f"{i}.png")
    Image.new("1", (14_000, 14_000)).save(tmp_path / "photos" / "cat" / "0.png")
    words = ["search", SMALL.replace(")", ", classes=2)"), "--data", "imagefolder:photos"]
    status, _, err = command(capsys, *words)
    assert (status, "E604" in err) == (1, True), err
