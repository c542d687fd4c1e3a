"""Turn uint8 images in memory into normalised, randomly altered float batches, all at once.

All random numbers of a pass are drawn before it, on the CPU, so a pass is the same on every device
and nothing in it waits for the host: what was drawn is sent to the device in one piece, and images
are picked, altered and normalised there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Part:
    """Images and labels of one part.

    Attributes:
        images: uint8 [n, channels, height, width], `channels_last`, on the device or the host.
        labels: int64 [n], numbers of classes, on the device.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What is done to every image: (pixels / 255 - mean) / std, channel by channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, images: Tensor) -> Preprocessing:
        """The means and deviations of uint8 images [n, channels, height, width]."""
        values = torch.arange(256, dtype=torch.float64) / 255
        mean, std = [], []
        for channel in images.unbind(1):
            share = channel.flatten().bincount(minlength=256).cpu().double() / channel.numel()
            centre = float((share * values).sum())
            mean.append(centre)
            std.append(max(float((share * (values - centre) ** 2).sum()) ** 0.5, 1 / 255))
        return cls(tuple(mean), tuple(std))

    def tensors(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Mean and deviation as float32 [channels, 1, 1], for `normalise`."""
        mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (self.mean, self.std))
        return mean, std


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 images [n, channels, height, width] as float32, in the same order in memory."""
    return images.float().div_(255).sub_(mean).div_(std)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How training images are altered at random.

    Attributes:
        crop: pixels of value 0 added on every side before a crop of the old size; the padding is
            thus black before it is normalised, as is usual.
        flip: mirror an image, left to right, with probability one half.
        cutout: side of a square that is blanked with the mean colour (0 after normalisation); its
            centre is uniform over the image, so part of it may lie outside: DeVries and Taylor
            2017, section 3.2. Of an even side, the centre is right and below the middle.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Random numbers for so many images of (height, width).

        Returns:
            int64 [count, 5]: crop row, crop column, whether to mirror, cutout row and column.
        """
        ends = (2 * self.crop + 1, 2 * self.crop + 1, 2 if self.flip else 1, *size)
        return torch.stack([torch.randint(n, (count,), generator=generator) for n in ends], dim=1)

    def shift(self, images: Tensor, draws: Tensor) -> Tensor:
        """Crop and mirror images of any type [n, channels, height, width]."""
        if not (self.crop or self.flip):
            return images
        count, _, height, width = images.shape
        rows = draws[:, 0, None] + torch.arange(height, device=images.device)
        across = torch.arange(width, device=images.device)
        mirrored = draws[:, 2, None] == 1
        columns = draws[:, 1, None] + torch.where(mirrored, width - 1 - across, across)
        padded = F.pad(images, (self.crop,) * 4).permute(0, 2, 3, 1)
        image = torch.arange(count, device=images.device)[:, None, None]
        return padded[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    def blank(self, images: Tensor, draws: Tensor) -> Tensor:
        """Cut a square out of float images, in place."""
        if not self.cutout:
            return images
        rows, columns = (
            _within(draws[:, 3 + axis], images.shape[2 + axis], self.cutout) for axis in (0, 1)
        )
        return images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def _within(centre: Tensor, size: int, side: int) -> Tensor:
    """bool [n, size]: which places along an axis a square of this centre [n] covers."""
    offset = torch.arange(size, device=centre.device) - centre[:, None] + side // 2
    return (offset >= 0) & (offset < side)


Pick = tuple[Tensor, Tensor]
"""Which images are in a batch, int64 [k], and what was drawn for them, int64 [k, 5]."""


@dataclass(frozen=True, eq=False)
class Feed:
    """Makes batches of a part on the device of its labels.

    Attributes:
        part: n images with their labels.
        mean, std: as by `Preprocessing.tensors`, on the device.
        augmentation: what is done with the numbers drawn for a batch.
        channels_last: the order in memory of what comes out.
    """

    part: Part
    mean: Tensor
    std: Tensor
    augmentation: Augmentation
    channels_last: bool = True

    @classmethod
    def of(
        cls,
        part: Part,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None = None,
        channels_last: bool = True,
    ) -> Feed:
        """A feed on the device of the part; unaltered images without an augmentation."""
        mean, std = (send(v, part.labels.device) for v in preprocessing.tensors())
        return cls(part, mean, std, augmentation or Augmentation(), channels_last)

    def picks(self, size: int, generator: torch.Generator | None = None) -> list[Pick]:
        """All images once, in batches of at most `size` that are as equal as can be.

        Args:
            size: the most images in a batch.
            generator: on the CPU; shuffles and augments. None: in order, unaltered.
        """
        images, count = self.part.images, len(self.part)
        order = torch.arange(count)
        draws = torch.zeros(count, 5, dtype=torch.int64)
        if generator:
            order = torch.randperm(count, generator=generator)
            draws = self.augmentation.draw(count, (images.shape[2], images.shape[3]), generator)
        sent = send(order, images.device), send(draws, self.part.labels.device)
        return list(zip(*(v.tensor_split(ceil(count / size)) for v in sent), strict=True))

    def make(self, chosen: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """The batch of a pick: float32 [k, channels, height, width] and int64 [k]."""
        memory = torch.channels_last if self.channels_last else torch.contiguous_format
        device = self.part.labels.device
        shifted = self.augmentation.shift(send(self.part.images[chosen], device), draws)
        images = self.augmentation.blank(normalise(shifted, self.mean, self.std), draws)
        return images.contiguous(memory_format=memory), self.part.labels[send(chosen, device)]


def send(values: Tensor, device: torch.device) -> Tensor:
    """Values on a device, which nobody waits for: from the CPU by pinned memory to a GPU."""
    if values.is_cuda or device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
