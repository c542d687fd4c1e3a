"""What is left of a run that was made in the shop."""

import dataclasses
import os

from safetensors.numpy import load

from epnas_dsl.runs.store import Store


def content(folder):
    """The trials without their times, and the checkpoints that are kept."""
    with Store(folder) as store:
        trials = [dataclasses.replace(t, started=0.0, ended=0.0) for t in store.trials()]
    files = {p.name: p.read_bytes() for p in (folder / "checkpoints").iterdir()}
    return trials, files


def prefix(folder):
    """The trials recorded so far."""
    return content(folder)[0] if (folder / "run.db").exists() else []


def finish(shop, folder, whole):
    """Carry a run to its end, which is that of the unbroken one; what it told."""
    told = shop(folder)
    assert told["status"] == 0, told["text"]
    assert content(folder) == whole[0]
    assert sorted(os.listdir(folder)) == whole[2]
    return told


def outcome(folder):
    """Of a run in earnest: that, and what its final training came to."""
    texts = [(folder / name).read_text() for name in ("best.arch", "final/training.json")]
    weights = load((folder / "final/model.safetensors").read_bytes())
    return content(folder), texts, {name: value.tobytes() for name, value in weights.items()}
