"""Turn the name of a data set into labelled images in memory, split for training and scoring.

    load_data(settings, device) -> ImageData
      train, validation, test    Part: uint8 images, labels
      classes, preprocessing     names; channel means and deviations of the training part

Images stay uint8 on the device they are used on, or in main memory where it has no room for them;
`augmentation.Feed` makes floats of them, a batch at a time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from epnas_dsl.config import DataSettings
from epnas_dsl.errors import ConfigError, DataError, nearest
from epnas_dsl.nn.augmentation import Augmentation, Part, Preprocessing
from epnas_dsl.nn.image_folder import open_folder
from epnas_dsl.nn.splitting import Collection, Pool, divide, same_shape

TORCHVISION = {
    "cifar10": ("CIFAR10", "cifar-10-batches-py/ (from cifar-10-python.tar.gz)"),
    "cifar100": ("CIFAR100", "cifar-100-python/ (from cifar-100-python.tar.gz)"),
    "mnist": ("MNIST", "MNIST/raw/ with the four *-ubyte files, unpacked"),
    "fashionmnist": ("FashionMNIST", "FashionMNIST/raw/ with the four *-ubyte files, unpacked"),
}
NAMES = ("digits", *TORCHVISION, "imagefolder:PATH")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set, split; `augmentation` is for the training part alone."""

    name: str
    classes: tuple[str, ...]
    train: Part
    validation: Part
    test: Part
    preprocessing: Preprocessing
    augmentation: Augmentation

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width


def load_data(settings: DataSettings, device: torch.device | str = "cpu") -> ImageData:
    """Read, split and describe a data set.

    The split is stratified and depends on `settings.seed` alone. Where a set has a validation or
    test part of its own, it is kept; `validation` above 0 joins training and validation and splits
    them anew; a missing test part is a tenth, split off before. `digits` has a fixed split (see
    `digits`). `limit` counts the images of training and validation together.

    Raises:
        DataError: the data are missing, damaged, of several sizes, or too few to split.
        ConfigError: the name is unknown, or the augmentation does not fit the images.
    """
    collection = _open(settings)
    classes, found = collection.classes, divide(collection, settings)
    read = [pool.read(torch.arange(len(pool.labels))) for pool in found]
    same_shape(read)
    place = _room(read, torch.device(device))
    train, validation, test = (
        Part(x.to(place, memory_format=torch.channels_last), pool.labels.to(device))
        for x, pool in zip(read, found, strict=True)
    )
    means = Preprocessing.of(train.images)
    augmentation = _augmentation(settings, *train.images.shape[2:])
    return ImageData(settings.name, classes, train, validation, test, means, augmentation)


def _room(images: list[Tensor], device: torch.device) -> torch.device:
    """Where the images go: to the device, if half of its memory that is free is enough for them."""
    size = sum(x.nbytes for x in images)
    if device.type != "cuda" or 2 * size <= (free := torch.cuda.mem_get_info(device)[0]):
        return device
    _log.warning(
        "the images stay in main memory, since %.1f GB are too many for the %.1f GB free on %s: "
        "batches travel, and steps are not recorded", size / 1e9, free / 1e9, device,
    )  # fmt: skip
    return torch.device("cpu")


def _augmentation(settings: DataSettings, height: int, width: int) -> Augmentation:
    mirror = settings.name not in {"digits", "mnist"}
    crop = min(height, width) // 8 if settings.crop < 0 else settings.crop
    if max(crop, settings.cutout) >= min(height, width):
        raise ConfigError(
            f"data.crop = {crop} and data.cutout = {settings.cutout} leave nothing of images of "
            f"{width}x{height} pixels",
            code="E609",
            hint="both must be smaller than the image",
        )
    flip = mirror if settings.flip == "auto" else settings.flip == "yes"
    return Augmentation(crop, flip, settings.cutout)


# --- sources -----------------------------------------------------------------------------------


def _open(settings: DataSettings) -> Collection:
    kind, _, path = settings.name.partition(":")
    if kind == "imagefolder" and path:
        return open_folder(Path(path).expanduser(), settings.size)
    if settings.name == "digits":
        return digits()
    if settings.name in TORCHVISION:
        return _torchvision(settings.name, Path(settings.root).expanduser())
    raise ConfigError(
        f"there is no data set `{settings.name}`; known are {', '.join(NAMES)}",
        code="E601",
        hint=nearest(settings.name, NAMES),
    )


def digits() -> Collection:
    """The embedded handwritten digits (UCI, CC BY 4.0; see `digits/LICENCE.txt`).

    Their values 0..16 are spread over 0..255. The split is fixed: of the images sorted by digit
    (and otherwise in the published order), every fifth is for validation, the one after it for
    testing: 1,077, 360 and 360 images.
    """
    with np.load(str(files("epnas_dsl.nn") / "digits" / "digits.npz")) as archive:
        images, numbers = archive["images"], archive["labels"]
    spread = torch.from_numpy((images.astype(np.float32) * (255 / 16)).round().astype(np.uint8))
    labels = torch.from_numpy(numbers.astype(np.int64))
    place = torch.arange(len(labels)) % 5
    order = labels.argsort(stable=True)
    train, validation, test = (
        _held(spread[chosen, None], labels[chosen])
        for chosen in (order[place > 1], order[place == 0], order[place == 1])
    )
    return Collection(tuple("0123456789"), train, validation, test)


def _held(images: Tensor, labels: Tensor) -> Pool:
    """A pool of images that are in memory already."""
    return Pool(labels, lambda indices: images[indices])


def _torchvision(name: str, root: Path) -> Collection:
    from torchvision import datasets

    kind, content = TORCHVISION[name]
    try:
        sets = [getattr(datasets, kind)(str(root), train=train) for train in (True, False)]
    except (RuntimeError, ValueError, OSError, AssertionError, EOFError):
        raise DataError(
            f"the files of {name} are not in {root}, or they are damaged",
            code="E602",
            hint=f"nothing is downloaded: put there {content}, or point data.root to them",
        ) from None
    pools = []
    for found in sets:
        pixels = torch.as_tensor(found.data)
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        pools.append(_held(pixels, torch.as_tensor(found.targets)))
    return Collection(tuple(sets[0].classes), pools[0], None, pools[1])
