"""Turn the labels of a data set into its training, validation and test parts, before it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from epnas_dsl.config import DataSettings
from epnas_dsl.errors import DataError

MEMORY = 16 * 2**30  # bytes that the images of one part may take


@dataclass(frozen=True, eq=False)
class Pool:
    """Images that are known by their labels and not yet read.

    Attributes:
        labels: int64 [n].
        read: from indices into `labels` to uint8 [k, channels, height, width].
    """

    labels: Tensor
    read: Callable[[Tensor], Tensor]

    def choose(self, indices: Tensor) -> Pool:
        """The pool of only these images."""
        return Pool(self.labels[indices], lambda chosen: self.read(indices[chosen]))


@dataclass(frozen=True, eq=False)
class Collection:
    """A data set as it is found: the parts that it has, before anything is read."""

    classes: tuple[str, ...]
    train: Pool
    validation: Pool | None = None
    test: Pool | None = None


def stratified(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw images so that every class gives its share.

    Args:
        labels: int64 [n].
        count: how many to draw, at most n.
        generator: on the CPU.

    Returns:
        bool [n]: which images were drawn, exactly `count` of them.
    """
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = labels.bincount()
    starts = sizes.cumsum(0) - sizes
    owner = labels[by_class]
    rank = torch.arange(len(labels)) - starts[owner]
    turn = torch.empty(len(labels), dtype=torch.float64)
    turn[by_class] = (rank.double() + 0.5) / sizes[owner]
    drawn = torch.zeros(len(labels), dtype=torch.bool)
    drawn[shuffled[turn[shuffled].argsort(stable=True)[:count]]] = True
    return drawn


def divide(found: Collection, settings: DataSettings) -> tuple[Pool, Pool, Pool]:
    """Make training, validation and test parts, within `limit`; only labels are looked at.

    Raises:
        DataError: there are too few images.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    train, validation, test = found.train, found.validation, found.test
    if test is None:
        test, train = _split(train, _tenth(train), generator)
    if validation is not None and settings.validation:
        train, validation = _join(train, validation), None
    if settings.limit and validation is not None:
        total = len(train.labels) + len(validation.labels)
        held = round(min(settings.limit, total) * len(validation.labels) / total)
        validation = _limited(validation, max(1, held), generator)
        train = _limited(train, settings.limit - max(1, held), generator)
    elif settings.limit:
        train = _limited(train, settings.limit, generator)
    if validation is None:
        validation, train = _split(train, settings.validation or _tenth(train), generator)
    for pool in (train, validation, test):
        if len(pool.labels) < (2 if pool is train else 1):
            raise DataError(
                "too few images: two are needed for training, one for validation, one for testing",
                code="E607",
                hint="data.limit and data.validation say how many are used",
            )
    return train, validation, test


def _tenth(pool: Pool) -> int:
    return max(1, round(len(pool.labels) / 10))


def _limited(pool: Pool, count: int, generator: torch.Generator) -> Pool:
    return pool if count >= len(pool.labels) else _split(pool, count, generator)[0]


def _split(pool: Pool, count: int, generator: torch.Generator) -> tuple[Pool, Pool]:
    drawn = stratified(pool.labels, max(count, 0), generator)
    return pool.choose(drawn.nonzero()[:, 0]), pool.choose((~drawn).nonzero()[:, 0])


def _join(first: Pool, second: Pool) -> Pool:
    """Both pools as one; reads each image from where it is."""
    size = len(first.labels)

    def read(indices: Tensor) -> Tensor:
        early = indices < size
        halves = [(first, indices[early]), (second, indices[~early] - size)]
        found = [pool.read(chosen) for pool, chosen in halves if len(chosen)]
        same_shape(found)
        order = torch.cat([early.nonzero()[:, 0], (~early).nonzero()[:, 0]])
        return torch.cat(found)[order.argsort()]

    return Pool(torch.cat([first.labels, second.labels]), read)


def same_shape(parts: Iterable[Tensor]) -> None:
    """Refuse parts [n, channels, height, width] whose images differ in shape.

    Raises:
        DataError: they do.
    """
    sizes = sorted({f"{p.shape[3]}x{p.shape[2]}, {p.shape[1]} channels" for p in parts})
    if len(sizes) > 1:
        raise DataError(
            f"the parts of the data differ in the size of their images: {' and '.join(sizes)}",
            code="E605",
            hint="data.size makes all images square and equal",
        )


def within_memory(count: int, shape: tuple[int, ...]) -> None:
    """Refuse images that would not fit, before anything is allocated.

    Raises:
        DataError: they would take more than `MEMORY`.
    """
    size = count * prod(shape)
    if size > MEMORY:
        raise DataError(
            f"{count:,} images would take {size / 2**30:.1f} GiB, more than {MEMORY / 2**30:.0f}",
            code="E608",
            hint="data.limit takes fewer of them, data.size makes them smaller",
        )
