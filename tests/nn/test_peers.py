"""Several processes that train together do what one does with their batches joined."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from nn.joined_training import ARCHITECTURE
from torch import nn
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from epnas_dsl.errors import ConfigError
from epnas_dsl.nn.peers import ALONE, JointBatchNorm2d, Peers, gathered, launch, local_device

TOGETHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
WORKER = str(Path(__file__).with_name("joined_training.py"))


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], text=True, capture_output=True, timeout=240)


def curve(done: subprocess.CompletedProcess[str]) -> list[float]:
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    epochs = json.loads(line)
    return [epoch[part]["loss"] for epoch in epochs for part in ("training", "validation")]


# --- shares --------------------------------------------------------------------------------------


def test_shares_are_the_whole_in_order() -> None:
    batch = torch.arange(101)
    shares = [Peers(rank, 3).share(batch) for rank in range(3)]
    assert torch.equal(torch.cat(shares), batch)
    assert [len(share) for share in shares] == [34, 34, 33]
    assert ALONE.share(batch) is batch


def test_batches_too_small_to_share() -> None:
    Peers(0, 4).refuse_empty(8, 4)
    Peers(0, 1).refuse_empty(1, 1)
    for images, batch in ((99, 3), (9, 4)):
        with pytest.raises(ConfigError, match="E523: 4 processes cannot share batches of 3 "):
            Peers(0, 4).refuse_empty(images, batch)


def test_without_torchrun_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with gathered(torch.device("cpu")) as peers:
        assert peers == ALONE
    net = nn.Linear(1, 1)
    assert ALONE.join(net) is net
    assert local_device(torch.device("cpu")) == torch.device("cpu")


def test_processes_that_do_not_find_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("MASTER_ADDR", "MASTER_PORT", "RANK"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(ConfigError, match=r"E524: the 2 processes .* do not find each other"),
        gathered(torch.device("cpu")),
    ):
        raise AssertionError


@pytest.mark.parametrize(
    ("ended", "status"),
    [(3, 3), (-signal.SIGKILL, 137), (signal.SIGINT, 3), (signal.SIGTERM, 143), (None, 0)],
)
def test_the_status_of_a_launch(
    ended: int | signal.Signals | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(given: Namespace) -> None:
        assert (given.nproc_per_node, given.module, given.training_script) == (
            "2",
            True,
            "epnas_dsl",
        )
        assert given.training_script_args == ["train", "a b: c"]
        if isinstance(ended, signal.Signals):
            raise SignalException("", ended)
        if ended is not None:
            raise ChildFailedError("", {0: ProcessFailure(0, 1, ended, "")})

    monkeypatch.setattr("torch.distributed.run.run", run)
    assert launch("--nproc-per-node 2", ["train", "a b: c"]) == status


@pytest.mark.parametrize("options", ["'", "--nproc-per-node x"])
def test_options_that_torchrun_does_not_take(options: str) -> None:
    with pytest.raises(ConfigError, match="E524: torchrun cannot begin"):
        launch(options, [])


# --- batch norm over joined batches --------------------------------------------------------------


@pytest.fixture
def group() -> Iterator[None]:
    """A group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_joint_batch_norm_of_one_process_is_batch_norm(group: None) -> None:
    plain, joint = (nn.BatchNorm2d(3).double() for _ in range(2))
    joint.__class__ = JointBatchNorm2d
    images = 5 + 2 * torch.randn(4, 3, 5, 6, dtype=torch.float64)
    weights = torch.randn_like(images)
    found = []
    for norm in (plain, joint):
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([1.0, 2.0, -1.0]))
        x = images.clone().requires_grad_()
        (norm(x) * weights).sum().backward()
        norm(images.flip(0) ** 2)
        training = [x.grad, *(p.grad for p in norm.parameters()), *norm.buffers()]
        found.append([*training, norm.eval()(images)])
    assert not any(buffer.requires_grad for buffer in joint.buffers())
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert joint.train()(images.bfloat16()).dtype == torch.bfloat16


# --- trainings -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_have_the_curve_of_one(tmp_path: Path) -> None:
    alone = curve(python(WORKER, str(tmp_path / "alone.ckpt")))
    assert len(alone) == 6
    assert alone[-2] < alone[0]
    trained = python(*TOGETHER, WORKER, str(tmp_path / "together.ckpt"))
    together = curve(trained)
    assert together == pytest.approx(alone, abs=1e-4)
    assert trained.stderr.count("left: []") == 2  # else their threads abort them now and then
    path = str(tmp_path / "stopped.ckpt")
    stopped = python(*TOGETHER, WORKER, path, "stop")
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert Path(path).is_file()
    assert curve(python(*TOGETHER, WORKER, path)) == together
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_torchrun_trains_an_architecture(tmp_path: Path) -> None:
    words = ["-m", "epnas_dsl", "train", ARCHITECTURE, "--data", "digits", "--out", str(tmp_path)]
    words += ["--set", "training.epochs=2", "--set", "training.device=cpu", "--json"]
    done = python(*TOGETHER, *words)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert len(facts["curve"]) == 2
    assert done.stderr.count("the weights go to") == done.stderr.count("epoch 1/2") == 1
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.safetensors", "best.arch", "training.json",
    }  # fmt: skip
    evaluated = python("-m", "epnas_dsl", "evaluate", str(tmp_path), "--json")
    assert json.loads(evaluated.stdout)["accuracy"] == pytest.approx(facts["accuracy"], abs=0.01)
    damaged = tmp_path / "training.ckpt"
    damaged.write_bytes(b"hello")
    failed = python(*TOGETHER, *words)
    assert failed.returncode == 1
    assert failed.stderr.count("E630") == 1  # the first one says it, and all of them end


@pytest.mark.slow
def test_with_an_option_it_ends_with_the_status_of_its_processes(tmp_path: Path) -> None:
    words = ["-m", "epnas_dsl", "train", ARCHITECTURE, "--data", "digits", "--out", str(tmp_path)]
    words += ["--set", "training.epochs=2", "--set", "training.device=cpu", "--json"]
    words += ["--torchrun", "--standalone --nproc-per-node 2"]
    stopped = python(*words, "--minutes", "0.0001")
    assert stopped.returncode == 3, stopped.stderr
    assert stopped.stderr.count("stopped; the same command") == 1
    assert "Traceback" not in stopped.stderr
    done = python(*words)
    assert done.returncode == 0, done.stderr
    assert "epoch 1/2" not in done.stderr
    assert len(json.loads(done.stdout)["curve"]) == 2
    again = python(*words)
    assert (again.returncode, "E701" in again.stderr) == (4, True)


@pytest.mark.slow
def test_when_its_time_is_over_all_processes_end_together(tmp_path: Path) -> None:
    words = ["-m", "epnas_dsl", "train", ARCHITECTURE, "--data", "digits", "--out", str(tmp_path)]
    words += ["--set", "training.epochs=2", "--set", "training.device=cpu", "--json"]
    stopped = python(*TOGETHER, *words, "--minutes", "0.0001")
    assert stopped.returncode == 1  # as torchrun has it, whatever its processes end with
    assert stopped.stderr.count("stopped; the same command") == 1
    assert "a bug in epnas" not in stopped.stderr
    done = python(*TOGETHER, *words)
    assert done.returncode == 0, done.stderr
    assert "epoch 1/2" not in done.stderr
    assert len(json.loads(done.stdout)["curve"]) == 2
