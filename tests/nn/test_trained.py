"""Files of trained weights: what they carry, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from epnas_dsl.errors import DataError
from epnas_dsl.nn.augmentation import Preprocessing, normalise
from epnas_dsl.nn.trained import TrainedModel, read_trained, restore, save_trained

FACTS: dict[str, Any] = {
    "architecture": "micro: h1 = …",
    "image": [1, 8, 8],
    "classes": ["<b>", "2"],
    "mean": [0.3],
}


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 2))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_trained(tmp_path / "model.safetensors", network(), FACTS)
    return tmp_path / "model.safetensors"


def test_weights_and_facts_come_back(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    one = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    other = network()
    one(torch.randn(4, 1, 8, 8))  # moves the statistics
    save_trained(path, one, FACTS)
    state, facts = read_trained(path)
    restore(other, state, path)
    assert facts == FACTS
    assert other.state_dict().keys() == one.state_dict().keys()
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    with safe_open(path, "pt") as file:  # any reader of safetensors sees the facts
        assert json.loads(file.metadata()["facts"])["architecture"] == "micro: h1 = …"


def test_a_model_takes_raw_images() -> None:
    inner = network().eval()
    preprocessing = Preprocessing((0.3,), (0.2,))
    model = TrainedModel(inner, preprocessing, ["no", "yes"], "micro: ...")
    images = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    wanted = inner(normalise(images, *preprocessing.tensors()))
    assert torch.equal(model(images), wanted)
    assert not model.training
    assert all(name.startswith("network.") for name in model.state_dict())


def test_a_crash_while_writing_leaves_the_old_file(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def crash(path: Path, data: bytes) -> None:
        path.write_text("half")
        raise OSError("no room")

    monkeypatch.setattr(Path, "write_bytes", crash)
    with pytest.raises(OSError, match="no room"):
        save_trained(saved, network(), {})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def long_header(path: Path) -> None:
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


def text(path: Path) -> None:
    path.write_text("PK not weights at all")


@pytest.mark.parametrize("damage", [cut, empty, long_header, text, Path.unlink])
def test_damaged_files(saved: Path, damage: Callable[[Path], None]) -> None:
    damage(saved)
    with pytest.raises(DataError, match=r"E620: the weights .*model\.safetensors cannot be read"):
        read_trained(saved)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"format": "epnas-1"},
        {"format": "epnas-1", "facts": "{"},
        {"format": "epnas-1", "facts": "7"},
    ],
)
def test_weights_of_unknown_origin(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"x": torch.zeros(2)}, path, metadata)
    with pytest.raises(DataError, match="E621"):
        read_trained(path)


def test_weights_that_do_not_fit(saved: Path) -> None:
    state, _ = read_trained(saved)
    with pytest.raises(DataError, match=r"E622: .* do not fit"):
        restore(nn.Linear(2, 2), state, saved)
    state["3.bias"][0] = float("nan")
    with pytest.raises(DataError, match=r"E622: .* not all finite"):
        restore(network(), state, saved)
