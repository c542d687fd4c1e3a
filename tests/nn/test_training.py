"""Training: the schedule, what a seed fixes, going on from a checkpoint, and how it fails."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from epnas_dsl.config import TrainingSettings
from epnas_dsl.errors import ConfigError, DataError
from epnas_dsl.nn.augmentation import Augmentation, Part, Preprocessing
from epnas_dsl.nn.checkpoint import before, read_checkpoint, restore_checkpoint, save_checkpoint
from epnas_dsl.nn.data import ImageData
from epnas_dsl.nn.operations import DropPath
from epnas_dsl.nn.training import (
    Epoch,
    TrainingFailed,
    evaluate,
    learning_rate,
    outline,
    prepare_device,
    recalibrate,
    train,
)

SETTINGS = TrainingSettings(epochs=4, batch=16, drop_path=0.2, label_smoothing=0.1)


def part(n: int, seed: int) -> Part:
    """Dark and bright images, easy to tell apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (n,), generator=generator)
    noise = torch.randint(0, 100, (n, 1, 6, 6), generator=generator)
    return Part((noise + 80 * labels[:, None, None, None]).to(torch.uint8), labels)


def images(n: int = 100) -> ImageData:
    train = part(n, 0)
    return ImageData(
        "shades",
        ("dark", "bright"),
        train,
        part(40, 1),
        part(40, 2),
        Preprocessing.of(train.images),
        Augmentation(1, True, 2),
    )


DATA = images()
Damage = Callable[[bytes, random.Random], bytes]


class Net(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(1, 4, 3, padding=1)
            self.norm = nn.BatchNorm2d(4)
            self.drop = DropPath()
            self.dropout = nn.Dropout(0.1)
            self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(torch.relu(self.norm(self.conv(x))))
        scores: Tensor = self.linear(self.dropout(x.mean((2, 3))))
        return scores


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def settings(**changes: object) -> TrainingSettings:
    return msgspec.structs.replace(SETTINGS, **changes)


# --- the schedule ------------------------------------------------------------------------------


def test_one_cosine_from_start_to_end() -> None:
    rates = [learning_rate(SETTINGS, 4, t) for t in (0, 1, 2, 3, 4 - 1e-9)]
    assert rates[0] == 0.05
    assert rates[2] == pytest.approx((0.05 + 0.001) / 2)
    assert rates[4] == pytest.approx(0.001)
    assert rates == sorted(rates, reverse=True)


def test_warm_restarts_double_their_length() -> None:
    s = settings(restart=2, restart_factor=2)
    assert [learning_rate(s, 14, t) for t in (0, 2, 6)] == [0.05] * 3
    assert learning_rate(s, 14, 1) == learning_rate(s, 14, 4) == learning_rate(s, 14, 10)
    assert learning_rate(s, 14, 5.999) < 0.0011


# --- one training ------------------------------------------------------------------------------


def test_it_learns_and_tells() -> None:
    told: list[Epoch] = []
    history = train(Net(), DATA, settings(drop_path=0.0), 0, on_epoch=told.append)
    assert list(history) == told
    assert [epoch.number for epoch in history] == [1, 2, 3, 4]
    assert history[0].learning_rate == 0.05
    assert history[-1].validation.accuracy > 0.9
    assert history[-1].training.loss < history[0].training.loss
    assert len(train(Net(), DATA, SETTINGS, 0, epochs=2)) == 2


def test_the_first_step_is_nesterov_sgd_with_clipping() -> None:
    s = settings(epochs=1, batch=1000, clip=0.01, label_smoothing=0.0, weight_decay=0.0)
    data = ImageData("shades", *[getattr(DATA, n) for n in ("classes", "train", "validation")],
                     DATA.test, DATA.preprocessing, Augmentation())  # fmt: skip
    net, twin = (nn.Sequential(nn.Flatten(), nn.Linear(36, 2)) for _ in range(2))
    twin.load_state_dict(net.state_dict())
    train(net, data, s, 0)
    x = (DATA.train.images / 255 - DATA.preprocessing.mean[0]) / DATA.preprocessing.std[0]
    F.cross_entropy(twin(x), DATA.train.labels).backward()
    gradients = [p.grad for p in twin.parameters() if p.grad is not None]
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    assert norm > 0.01
    for new, old, gradient in zip(net.parameters(), twin.parameters(), gradients, strict=True):
        step = 0.05 * (1 + 0.9) * gradient * (0.01 / norm)
        assert torch.allclose(new, old - step, atol=1e-6)


def test_the_seed_fixes_everything_and_the_global_state_is_left_alone() -> None:
    nets = [Net() for _ in range(3)]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = train(nets[0], DATA, SETTINGS, 5)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert train(nets[1], DATA, SETTINGS, 5) == first
    assert same(nets[0], nets[1])
    assert train(nets[2], DATA, SETTINGS, 6) != first


def test_drop_path_grows_to_its_setting() -> None:
    net = Net()
    seen: list[float] = []
    train(net, DATA, SETTINGS, 0, on_epoch=lambda _: seen.append(net.drop.p))
    assert seen == pytest.approx([0, 0.2 / 3, 0.4 / 3, 0.2])


def test_memory_formats_agree() -> None:
    lasts = [train(Net(), DATA, settings(channels_last=c), 0)[-1] for c in (True, False)]
    assert lasts[0].validation.loss == pytest.approx(lasts[1].validation.loss, rel=1e-3)


# --- scores and statistics ---------------------------------------------------------------------


class Always(nn.Module):
    """Says class 1, more or less surely."""

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        return torch.tensor([0.0, 1.0]).expand(len(x), 2)


def test_evaluate_counts_over_uneven_batches() -> None:
    module = Always()
    labels = torch.tensor([1] * 7 + [0] * 3)
    score = evaluate(
        module, Part(DATA.train.images[:10], labels), DATA.preprocessing, settings(batch=4)
    )
    assert score.accuracy == pytest.approx(0.7)
    assert score.loss == pytest.approx(math.log(1 + math.e) - 0.7)
    assert module.training  # as before


def test_recalibrated_statistics_are_those_of_the_images() -> None:
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1, momentum=0.1))
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean = torch.tensor([50.0])
    generator = torch.Generator().manual_seed(0)
    recalibrate(net, DATA, settings(calibration=100, batch=50), generator)
    assert norm.running_mean.item() == pytest.approx(0, abs=1e-5)
    assert norm.running_var is not None
    assert norm.running_var.item() == pytest.approx(1, rel=0.01)
    assert norm.momentum == 0.1
    assert net.training
    assert norm.training


def test_calibration_is_a_setting() -> None:
    lasts = [train(Net(), DATA, settings(calibration=c), 0, epochs=1)[0] for c in (0, 8)]
    assert lasts[0].training == lasts[1].training
    assert lasts[0].validation.loss > lasts[1].validation.loss


# --- checkpoints -------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


def interrupted(path: Path, after: int) -> None:
    """A training that ended after so many epochs."""

    def stop(epoch: Epoch) -> None:
        if epoch.number == after:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(Net(), DATA, SETTINGS, 3, checkpoint=path, on_epoch=stop)


@pytest.mark.parametrize("after", [1, 3])
def test_an_interrupted_training_ends_as_it_would_have(tmp_path: Path, after: int) -> None:
    whole = Net()
    history = train(whole, DATA, SETTINGS, 3)
    path = tmp_path / "training.ckpt"
    interrupted(path, after)
    resumed = Net(seed=9)
    told: list[Epoch] = []
    assert train(resumed, DATA, SETTINGS, 3, checkpoint=path, on_epoch=told.append) == history
    assert same(whole, resumed)
    assert tuple(told) == history[after:]
    again = Net(seed=8)
    assert train(again, DATA, SETTINGS, 3, checkpoint=path) == history  # nothing left to do
    assert same(whole, again)
    assert {p.name for p in tmp_path.iterdir()} == {"training.ckpt", "training.ckpt.before"}


def test_momenta_come_back_in_the_memory_format_of_their_parameters(tmp_path: Path) -> None:
    """Fused kernels go through memory in order: another format would pair the wrong numbers."""

    def conv(form: torch.memory_format) -> nn.Module:
        torch.manual_seed(0)
        return nn.Conv2d(4, 4, 3).to(memory_format=form)

    path, found = tmp_path / "training.ckpt", []
    for form in (torch.contiguous_format, torch.channels_last):
        module = conv(torch.contiguous_format)
        optimizer = torch.optim.SGD(module.parameters(), 0.1, 0.9, fused=True)
        module(torch.ones(1, 4, 9, 9)).square().sum().backward()
        optimizer.step()
        save_checkpoint(path, "", module, optimizer, [])
        again = conv(form)
        optimizer = torch.optim.SGD(again.parameters(), 0.1, 0.9, fused=True)
        restore_checkpoint(read_checkpoint(path, ""), again, optimizer)
        again(torch.ones(1, 4, 9, 9)).square().sum().backward()
        optimizer.step()
        found.append(again.weight.detach())
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


def test_checkpoints_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "training.ckpt"
    interrupted(path, 1)
    with pytest.raises(DataError, match=r"E631: the checkpoint .* with other settings"):
        train(Net(), DATA, SETTINGS, 4, checkpoint=path)
    with pytest.raises(DataError, match="E631"):
        train(Net(), images(90), SETTINGS, 3, checkpoint=path)
    with pytest.raises(DataError, match="E631"):
        train(nn.Linear(1, 1), DATA, SETTINGS, 3, checkpoint=path)
    content = path.read_bytes()
    for damaged in (b"", b"hello", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"E630: the checkpoint .* is damaged"):
            train(Net(), DATA, SETTINGS, 3, checkpoint=path)


def key() -> str:
    """What tells the interrupted training from others."""
    return repr((SETTINGS, 3, 4, DATA.name, DATA.shape, len(DATA.train), outline(Net())))


def flipped(data: bytes, draw: random.Random) -> bytes:
    found = bytearray(data)
    found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    return bytes(found)


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


@pytest.mark.parametrize("damaged", [flipped, cut])
def test_a_checkpoint_damaged_in_50_places_costs_one_epoch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: Damage
) -> None:
    path, draw = tmp_path / "training.ckpt", random.Random(5)
    interrupted(path, 3)
    files = {file: file.read_bytes() for file in tmp_path.iterdir()}
    for _ in range(50):
        path.write_bytes(damaged(files[path], draw))
        content = read_checkpoint(path, key())
        assert len(content["history"]) == 2
        assert "is damaged: going back to that of epoch 2" in caplog.messages[-1]
    assert len(caplog.messages) == 50
    path.write_bytes(damaged(files[path], draw))
    whole, resumed = Net(), Net(seed=9)
    history = train(whole, DATA, SETTINGS, 3)
    assert train(resumed, DATA, SETTINGS, 3, checkpoint=path) == history
    assert same(whole, resumed)
    for file, content in files.items():  # with both of them damaged there is no way back
        file.write_bytes(damaged(content, draw))
    with pytest.raises(DataError, match=r"E630: the checkpoint .*before is damaged"):
        read_checkpoint(path, key())


def test_a_crash_between_two_checkpoints_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "training.ckpt"
    interrupted(path, 2)
    path.rename(before(path))
    told: list[Epoch] = []
    assert len(train(Net(), DATA, SETTINGS, 3, checkpoint=path, on_epoch=told.append)) == 4
    assert (len(told), caplog.messages) == (2, [])


# --- failures ----------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite() -> None:
    net = Net()
    nn.init.constant_(net.linear.weight, math.nan)
    with pytest.raises(TrainingFailed, match="E640: the loss is not finite after epoch 1"):
        train(net, DATA, SETTINGS, 0)


class Greedy(Net):
    def forward(self, x: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("no room")


def test_memory_that_does_not_suffice() -> None:
    with pytest.raises(TrainingFailed, match="E641"):
        train(Greedy(), DATA, SETTINGS, 0)


@pytest.mark.parametrize("name", ["cuda:99", "nonsense", "cpu:7:7"])
def test_no_such_device(name: str) -> None:
    with pytest.raises(ConfigError, match="E520: there is no device"):
        prepare_device(settings(device=name))


def test_the_device_and_the_threads() -> None:
    assert prepare_device(settings(device="cpu", threads=2)).type == "cpu"
    assert torch.get_num_threads() == 2
    assert prepare_device(settings()).type in {"cpu", "cuda"}
    torch.set_num_threads(1)  # what a session shares may be made before the next test resets them


@pytest.mark.gpu
def test_training_on_a_gpu_sees_the_same_images() -> None:
    device = prepare_device(settings(device="cuda"))
    moved = [Part(p.images.to(device), p.labels.to(device)) for p in (DATA.train, DATA.validation)]
    data = ImageData("shades", DATA.classes, *moved, DATA.test, DATA.preprocessing,
                     DATA.augmentation)  # fmt: skip
    s = settings(drop_path=0.0)
    nets = [Net(), Net().to(device)]
    for net in nets:
        net.dropout.p = 0.0
    here, there = (train(n, d, s, 0)[-1] for n, d in zip(nets, (DATA, data), strict=True))
    assert there.validation.loss == pytest.approx(here.validation.loss, rel=0.02)
