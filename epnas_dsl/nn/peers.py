"""Turn several processes into one training: each takes its share of every batch.

`torchrun` starts the processes and tells each its place by environment variables. What they work
out together is what one process does with the whole batches, up to the order of sums: gradients
are averaged (DistributedDataParallel), batch norms see the statistics of the joined batch.
"""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from epnas_dsl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Peers:
    """The processes that train together.

    Attributes:
        rank: which of them this one is, from 0; the first one writes the files.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    def share(self, values: Tensor) -> Tensor:
        """This process's part of the rows of a batch; shares differ by one row at most."""
        return values if self.count == 1 else values.tensor_split(self.count)[self.rank]

    def add_up(self, values: Tensor) -> None:
        """Replace values by their sums over all processes."""
        if self.count > 1:
            dist.all_reduce(values)

    def told(self, value: Any) -> Any:
        """What the first process has; the others' values do not count."""
        if self.count == 1:
            return value
        found = [value]
        dist.broadcast_object_list(found, src=0)
        return found[0]

    def join(self, module: nn.Module) -> nn.Module:
        """The module with batch norms over joined batches, and gradients averaged in backward."""
        if self.count == 1:
            return module
        if next(module.parameters()).is_cuda:
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        else:  # where the library's does not run
            for norm in [m for m in module.modules() if type(m) is nn.BatchNorm2d]:
                norm.__class__ = JointBatchNorm2d
        return DistributedDataParallel(module)

    def refuse_empty(self, part: int, batch: int) -> None:
        """See that every process has an image of every batch of a part of so many images.

        Raises:
            ConfigError: the batches are too small for so many processes (E523).
        """
        if self.count > 1 and part // -(-part // batch) < self.count:
            raise ConfigError(
                f"{self.count} processes cannot share batches of "
                f"{part // -(-part // batch)} images", code="E523",
                hint="a larger training.batch, or fewer processes",
            )  # fmt: skip


ALONE = Peers()


def launch(torchrun: str, words: Sequence[str]) -> int:
    """Have torchrun, with these options, carry words of the command `epnas` out in processes.

    Returns:
        The exit status of the process that ended first, where torchrun's own is always 1.

    Raises:
        ConfigError: wrong options, or the machines do not find each other (E524).
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.run import parse_args, run

    try:
        run(parse_args([*shlex.split(torchrun), "-m", "epnas_dsl", *words]))
    except ChildFailedError as error:
        status = error.get_first_failure()[1].exitcode
        return status if status > 0 else 128 - status
    except (ValueError, RendezvousError) as error:
        hint = "its options, such as `--nproc-per-node 2`"
        raise ConfigError(f"torchrun cannot begin: {error}", code="E524", hint=hint) from None
    except SignalException as stop:
        return 3 if stop.sigval == signal.SIGINT else 128 + stop.sigval
    return 0


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process, where each of several on a machine has one of its own."""
    rank = os.environ.get("LOCAL_RANK")
    if rank is None or device != torch.device("cuda"):
        return device
    torch.cuda.set_device(int(rank))
    return torch.device("cuda", int(rank))


@contextmanager
def gathered(device: torch.device) -> Iterator[Peers]:
    """The processes that `torchrun` started together with this one; without it, this one alone.

    Raises:
        ConfigError: they do not find each other (E524).
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or not dist.is_available():
        yield ALONE
        return
    # Its functions have the group of this moment as default. Imported later, as DDP does, it keeps
    # the group and its threads, which abort the process now and then when the interpreter ends.
    import torch.distributed.nn.functional  # noqa: F401

    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the {count} processes of this training do not find each other: {error}",
            code="E524", hint="start them by torchrun, all at the same time",
        ) from None  # fmt: skip
    try:
        yield Peers(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()


class JointBatchNorm2d(nn.BatchNorm2d):
    """A batch norm over the batches of all processes together, on any device.

    Mean and variance are summed over the processes one after the other, so that the variance is
    the mean square of differences, as nn.BatchNorm2d has it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape; N may differ between processes."""
        if not self.training:
            return super().forward(x)
        kind, x = x.dtype, x.float() if x.dtype.itemsize < 4 else x
        count = x.new_full((1,), x.numel() // x.shape[1])
        sums = _Sum.apply(torch.cat([x.sum((0, 2, 3)), count]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = x - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        normed: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normed.to(kind)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var), self.momentum)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is summed over them too."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(_, gradient.contiguous())
