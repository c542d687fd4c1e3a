"""Turn a folder of JPEG, PNG or WebP files into labelled images of one size.

    PATH/train/<class>/*     and, if there, PATH/val/<class>/* and PATH/test/<class>/*
    PATH/<class>/*           where there is no folder `train`

Files of a class may lie in folders of their own; other files are passed over.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from epnas_dsl.errors import DataError, nearest
from epnas_dsl.nn.splitting import Collection, Pool, within_memory

FORMATS = ("JPEG", "PNG", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
VALIDATION = ("val", "valid", "validation")
SMALL = 16 * 2**10  # bytes; decoding smaller files in threads costs more than it gains


def open_folder(root: Path, size: int = 0) -> Collection:
    """Find the images of a folder; they are decoded when they are read.

    Args:
        root: the folder, laid out as above.
        size: cut out the middle square and scale it to this many pixels; 0 keeps the images.

    Raises:
        DataError: the folder is missing, empty, or its parts have different classes.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}", code="E603", hint=_LAYOUT)
    train = root / "train"
    if not train.is_dir():
        classes = _classes(root)
        return Collection(classes, _pool(root, classes, size))
    classes = _classes(train)
    validation = next((root / name for name in VALIDATION if (root / name).is_dir()), None)
    test = root / "test"
    return Collection(
        classes,
        _pool(train, classes, size),
        _pool(validation, classes, size) if validation else None,
        _pool(test, classes, size) if test.is_dir() else None,
    )


_LAYOUT = "expected are PATH/train/<class>/* (and val, test), or PATH/<class>/*"


def _classes(folder: Path) -> tuple[str, ...]:
    """The names of the folders inside, in order."""
    with os.scandir(folder) as entries:
        found = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    if len(found) < 2:
        raise DataError(
            f"{folder} holds {len(found)} folders of images; there must be one for each class, "
            "and at least two",
            code="E603",
            hint=_LAYOUT,
        )
    return tuple(found)


def _pool(folder: Path, classes: tuple[str, ...], size: int) -> Pool:
    here = _classes(folder)
    if here != classes:
        odd = sorted(set(here) ^ set(classes))[0]
        raise DataError(
            f"the classes of {folder} are not those of training: `{odd}` is in only one of them",
            code="E606",
            hint=nearest(odd, classes if odd in here else here),
        )
    paths: list[str] = []
    labels: list[int] = []
    for number, name in enumerate(classes):
        found = _images(folder / name)
        if not found:
            raise DataError(
                f"{folder / name} holds no image",
                code="E603",
                hint=f"files that end in {', '.join(SUFFIXES)} are looked for",
            )
        paths += found
        labels += [number] * len(found)
    return Pool(torch.tensor(labels), lambda indices: _read(paths, indices, size))


def _images(folder: Path) -> list[str]:
    return sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES)
    )


def _read(paths: list[str], indices: Tensor, size: int) -> Tensor:
    """Decode the chosen files to uint8 [k, 3, height, width], `channels_last` in memory."""
    chosen = [paths[i] for i in indices.tolist()]
    first = _decode(chosen[0], size)
    within_memory(len(chosen), tuple(first.shape))
    images = torch.empty(
        (len(chosen), *first.shape), dtype=torch.uint8, memory_format=torch.channels_last
    )

    def place(number: int) -> None:
        image = _decode(chosen[number], size)
        if image.shape != first.shape:
            raise DataError(
                f"{chosen[number]} has {_pixels(image)} pixels, {chosen[0]} has {_pixels(first)}",
                code="E605",
                hint="data.size makes all images square and equal",
            )
        images[number] = image

    if os.path.getsize(chosen[0]) < SMALL:
        for number in range(len(chosen)):
            place(number)
        return images
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(place, range(len(chosen))))
    return images


def _pixels(image: Tensor) -> str:
    return f"{image.shape[2]}x{image.shape[1]}"


def _decode(path: str, size: int) -> Tensor:
    """uint8 [3, height, width]; grey images get three equal channels, transparency is dropped."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError("more than 8 bits a channel")
            plain = image.convert("RGBA") if image.mode == "P" else image
            colour = plain.convert("RGB")
    except Exception as error:  # the decoders raise a dozen kinds for damaged files
        reason = f"{error}".replace(repr(path), "").splitlines()[0].strip()
        raise DataError(
            f"{path} cannot be read as an image: {reason or type(error).__name__}",
            code="E604",
            hint="remove or replace the file",
        ) from None
    if size:
        colour = ImageOps.fit(colour, (size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(colour)).permute(2, 0, 1)
