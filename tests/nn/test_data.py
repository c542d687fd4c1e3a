"""Data sets: what is embedded, what lies in folders, how it is split, altered and refused."""

from __future__ import annotations

import re
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from epnas_dsl.config import DataSettings
from epnas_dsl.errors import DataError, EpnasError
from epnas_dsl.nn import splitting
from epnas_dsl.nn.augmentation import Augmentation, Feed, Part, Preprocessing
from epnas_dsl.nn.data import ImageData, _room, load_data
from epnas_dsl.nn.splitting import stratified

PLAIN = Preprocessing((0.0,), (1.0,))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def load(name: str = "digits", **settings: object) -> ImageData:
    return load_data(DataSettings(name=str(name), **settings))  # type: ignore[arg-type]


def parts(data: ImageData) -> tuple[Part, Part, Part]:
    return data.train, data.validation, data.test


def batches(
    part: Part,
    preprocessing: Preprocessing,
    size: int,
    generator: torch.Generator | None = None,
    augmentation: Augmentation | None = None,
    channels_last: bool = True,
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """All images once, altered by a generator."""
    feed = Feed.of(part, preprocessing, augmentation, channels_last)
    return [feed.make(*pick) for pick in feed.picks(size, generator)]


def pictures(part: Part) -> set[bytes]:
    return {image.numpy().tobytes() for image in part.images}


def counts(part: Part) -> list[int]:
    return part.labels.bincount().tolist()


def folder(root: Path, n: int = 20, size: tuple[int, int] = (6, 5), kind: str = "png") -> Path:
    """Two classes of n images; each image is unlike all others, its class is in the red channel."""
    random = np.random.default_rng(len(str(root)))
    for number, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for i in range(n):
            pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
            pixels[:, :, 0] = 200 * number
            Image.fromarray(pixels).save(root / name / f"{i:03d}.{kind}", quality=95)
    return root


# --- digits ------------------------------------------------------------------------------------


def test_digits_are_the_published_images_in_a_fixed_split() -> None:
    data = load()
    assert [len(part) for part in parts(data)] == [1077, 360, 360]
    together = torch.cat([part.labels for part in parts(data)])
    assert together.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert all(max(counts(p)) - min(counts(p)) <= 7 for p in parts(data))
    assert data.shape == (1, 8, 8)
    assert data.classes == tuple("0123456789")
    values = torch.cat([part.images for part in parts(data)]).unique()
    assert values.tolist() == [round(v * 255 / 16) for v in range(17)]
    first = data.validation.images[0, 0]  # the first zero of the file
    assert (first * (16 / 255)).round().int()[1].tolist() == [0, 0, 13, 15, 10, 15, 5, 0]


def test_the_digits_of_the_parts_are_different_ones() -> None:
    train, validation, test = map(pictures, parts(load()))
    assert len(train) == 1077
    assert not (train & validation)
    assert not (train & test)
    assert not validation & test


def test_limit_and_validation_of_digits() -> None:
    small = load(limit=100)
    assert [len(part) for part in parts(small)] == [75, 25, 360]
    assert max(counts(small.train)) - min(counts(small.train)) <= 1
    assert pictures(small.train) <= pictures(load().train)
    anew = load(validation=500)
    assert [len(part) for part in parts(anew)] == [937, 500, 360]
    assert pictures(anew.test) == pictures(load().test)
    assert not pictures(anew.train) & pictures(anew.validation)


def test_preprocessing_is_of_the_training_part() -> None:
    data = load()
    pixels = data.train.images.double() / 255
    assert data.preprocessing.mean == pytest.approx([pixels.mean().item()])
    assert data.preprocessing.std == pytest.approx([pixels.std(correction=0).item()])
    images = torch.cat([x for x, _ in batches(data.train, data.preprocessing, 500)])
    assert abs(images.mean()) < 1e-5
    assert abs(images.std() - 1) < 1e-3


# --- splits ------------------------------------------------------------------------------------


def test_stratified_draws_exactly_and_by_share() -> None:
    labels = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)[torch.randperm(1000)]
    drawn = stratified(labels, 100, generator())
    assert labels[drawn].bincount().tolist() == [60, 30, 10]
    assert torch.equal(drawn, stratified(labels, 100, generator()))
    assert not torch.equal(drawn, stratified(labels, 100, generator(1)))
    assert [int(stratified(labels, n, generator()).sum()) for n in (0, 1, 7, 1000)] == [
        0, 1, 7, 1000,
    ]  # fmt: skip


def test_the_seed_chooses_the_split(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos")
    first, same, other = (load(f"imagefolder:{root}", seed=s) for s in (0, 0, 1))
    assert torch.equal(first.train.images, same.train.images)
    assert pictures(first.test) != pictures(other.test)
    train, validation, test = map(pictures, parts(first))
    assert (len(train), len(validation), len(test)) == (32, 4, 4)
    assert len(train | validation | test) == 40


@pytest.mark.parametrize("settings", [{"limit": 2}, {"validation": 36}, {"validation": 10**6}])
def test_too_few_images(tmp_path: Path, settings: dict[str, int]) -> None:
    root = folder(tmp_path / "photos")
    with pytest.raises(DataError, match="E607: too few images"):
        load(f"imagefolder:{root}", **settings)


# --- folders -----------------------------------------------------------------------------------


def test_a_folder_with_parts_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    folder(root / "train", 20, kind="jpg")
    folder(root / "val", 4)
    folder(root / "test", 3)
    (root / "train" / "cat" / "deeper").mkdir()
    (root / "train" / "cat" / "000.jpg").rename(root / "train" / "cat" / "deeper" / "000.JPG")
    (root / "train" / "cat" / "notes.txt").write_text("passed over")
    data = load(f"imagefolder:{root}")
    assert [counts(part) for part in parts(data)] == [[20, 20], [4, 4], [3, 3]]
    assert data.shape == (3, 6, 5)
    assert data.classes == ("cat", "dog")
    red = data.train.images[:, 0].float().mean((1, 2))
    assert torch.equal(red > 100, data.train.labels == 1)
    exact = np.asarray(Image.open(root / "val" / "cat" / "002.png"))
    assert np.array_equal(data.validation.images[2].permute(1, 2, 0), exact)
    joined = load(f"imagefolder:{root}", validation=12)
    assert [counts(part) for part in parts(joined)] == [[18, 18], [6, 6], [3, 3]]
    assert len(pictures(joined.train) | pictures(joined.validation)) == 48
    assert len(load(f"imagefolder:{root}", limit=12).validation) == 2


def test_images_of_other_kinds_and_sizes(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos")
    Image.new("L", (30, 20), 77).save(root / "cat" / "grey.png")
    Image.new("P", (9, 9)).save(root / "cat" / "palette.png")
    Image.new("RGBA", (8, 8), (1, 2, 3, 4)).save(root / "cat" / "glass.webp", lossless=True)
    with pytest.raises(DataError, match=r"E605: .*\.(png|webp) has \d+x\d+ pixels, .* has \d+x"):
        load(f"imagefolder:{root}")
    data = load(f"imagefolder:{root}", size=4)
    assert data.shape == (3, 4, 4)
    grey = torch.full((3, 4, 4), 77, dtype=torch.uint8)
    assert any(torch.equal(image, grey) for part in parts(data) for image in part.images)


def test_large_files_are_decoded_in_threads(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", 5, (100, 100))
    data = load(f"imagefolder:{root}")
    assert [len(part) for part in parts(data)] == [8, 1, 1]
    red = data.train.images[:, 0].float().mean((1, 2))
    assert torch.equal(red > 100, data.train.labels == 1)


def spoil(root: Path, how: str) -> None:
    match how:
        case "absent":
            root.rename(root.with_name("elsewhere"))
        case "one class":
            for path in (root / "train" / "cat").iterdir():
                path.unlink()
            (root / "train" / "cat").rmdir()
        case "empty class":
            for path in (root / "train" / "dog").iterdir():
                path.rename(path.with_suffix(".txt"))
        case "other class":
            (root / "test" / "dog").rename(root / "test" / "dogs")
        case "cut short":
            path = root / "train" / "cat" / "003.png"
            path.write_bytes(path.read_bytes()[:60])
        case "not an image":
            (root / "train" / "cat" / "003.png").write_text("hello")
        case "nothing":
            (root / "train" / "cat" / "003.png").write_bytes(b"")
        case "deep colours":
            pixels = np.zeros((6, 5), dtype=np.uint16)
            Image.fromarray(pixels).save(root / "train" / "cat" / "003.png")
        case "test size":
            for path in (root / "test").rglob("*.png"):
                Image.new("RGB", (7, 7)).save(path)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("absent", "E603: there is no folder .*photos\n.*hint: expected are PATH/train/<class>"),
        ("one class", "E603: .*train holds 1 folders of images"),
        ("empty class", r"E603: .*dog holds no image\n.*\.jpg, \.jpeg, \.png, \.webp"),
        ("other class", "E606: the classes of .*test are not .*`dog`.*\n.*did you mean `dogs`"),
        ("cut short", r"E604: .*003\.png cannot be read as an image: \w"),
        ("not an image", r"E604: .*003\.png cannot be read as an image: cannot identify"),
        ("nothing", r"E604: .*003\.png cannot be read"),
        ("deep colours", r"E604: .*003\.png cannot be read as an image: more than 8 bits"),
        ("test size", "E605: the parts .*: 5x6, 3 channels and 7x7, 3 channels"),
    ],
)
def test_bad_folders(tmp_path: Path, how: str, message: str) -> None:
    root = tmp_path / "photos"
    folder(root / "train", 5)
    folder(root / "test", 2)
    spoil(root, how)
    with pytest.raises(DataError) as found:
        load(f"imagefolder:{root}")
    assert re.search(message, str(found.value)), str(found.value)


def test_images_beyond_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "MEMORY", 1000)
    with pytest.raises(DataError, match="E608: 32 images would take"):
        load(f"imagefolder:{folder(tmp_path / 'photos')}")


def test_images_beyond_the_memory_of_a_gpu_stay_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    images, gpu = [torch.zeros(1000, dtype=torch.uint8)] * 3, torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (6000, 10**9))
    assert _room(images, gpu) == gpu
    assert _room(images, torch.device("cpu")) == torch.device("cpu")
    assert not caplog.records
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (5999, 10**9))
    assert _room(images, gpu) == torch.device("cpu")
    assert "the images stay in main memory" in caplog.text


@pytest.mark.slow
def test_cifar_as_a_folder(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    with tarfile.open(shared_data("cifar10-jpeg.tar.gz")) as archive:
        archive.extractall(tmp_path, (m for m in archive if "00" in m.name), filter="data")
    root = next(tmp_path.rglob("train")).parent
    data = load(f"imagefolder:{root}", limit=1000)
    assert [counts(part) for part in parts(data)][:2] == [[90] * 10, [10] * 10]
    assert data.shape == (3, 32, 32)
    assert data.preprocessing.mean == pytest.approx((0.491, 0.482, 0.447), abs=0.03)


# --- torchvision's sets ------------------------------------------------------------------------


def write_idx(path: Path, values: np.ndarray) -> None:
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(head + values.tobytes())


def write_mnist(raw: Path) -> None:
    raw.mkdir(parents=True)
    for name, n in (("train", 60), ("t10k", 20)):
        labels = np.arange(n, dtype=np.uint8) % 10
        write_idx(raw / f"{name}-labels-idx1-ubyte", labels)
        images = np.repeat(labels, 28 * 28).reshape(n, 28, 28)
        write_idx(raw / f"{name}-images-idx3-ubyte", images)


@pytest.mark.parametrize(("name", "place"), [("mnist", "MNIST"), ("fashionmnist", "FashionMNIST")])
def test_mnist_from_files(tmp_path: Path, name: str, place: str) -> None:
    write_mnist(tmp_path / place / "raw")
    data = load(name, root=str(tmp_path))
    assert [len(part) for part in parts(data)] == [54, 6, 20]
    assert data.shape == (1, 28, 28)
    assert torch.equal(data.test.images[:, 0, 5, 5].long(), data.test.labels)
    assert data.augmentation == Augmentation(crop=3, flip=name == "fashionmnist", cutout=0)
    (tmp_path / place / "raw" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    with pytest.raises(DataError, match=f"E602: the files of {name} are not in"):
        load(name, root=str(tmp_path))


class FakeCifar:
    classes = ("frog", "ship")

    def __init__(self, root: str, train: bool) -> None:
        n = 40 if train else 10
        self.targets = [i % 2 for i in range(n)]
        self.data = np.zeros((n, 32, 32, 3), dtype=np.uint8)
        self.data[:, 0, 1, 2] = 9


def test_cifar_from_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR10", FakeCifar)
    data = load("cifar10")
    assert [len(part) for part in parts(data)] == [36, 4, 10]
    assert data.shape == (3, 32, 32)
    assert data.train.images[:, 2, 0, 1].unique().tolist() == [9]
    assert data.augmentation == Augmentation(crop=4, flip=True, cutout=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "cifar10"}, "E602: the files of cifar10 are not in .*\n.*cifar-10-batches-py/"),
        ({"name": "cifar100"}, "E602: .*\n.*nothing is downloaded: put there cifar-100-python/"),
        ({"name": "mnist"}, "E602: .*\n.*MNIST/raw/ with the four"),
        ({"name": "cifar"}, "E601: there is no data set `cifar`; known are digits.*\n.*`cifar10`"),
        ({"name": "imagefolder:"}, "E601"),
        ({"crop": 8}, "E609: data.crop = 8 and .* leave nothing of images of 8x8"),
        ({"cutout": 9}, "E609"),
    ],
)
def test_wrong_settings(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(EpnasError) as found:
        load_data(DataSettings(**{"root": str(tmp_path), **settings}))  # type: ignore[arg-type]
    assert re.search(message, str(found.value)), str(found.value)


# --- augmentation ------------------------------------------------------------------------------


def test_crops_are_uniform_and_half_are_mirrored() -> None:
    n, crop = 20_000, 2
    images = torch.zeros(n, 1, 5, 5, dtype=torch.uint8)
    images[:, 0, 2, 2], images[:, 0, 2, 3] = 100, 200  # the middle, and what is right of it
    plan = Augmentation(crop, flip=True)
    found = plan.shift(images, plan.draw(n, (5, 5), generator()))
    middle = (found == 100).flatten(1).float().argmax(1)
    inside = (found == 100).flatten(1).any(1)
    assert inside.all()  # two pixels at most
    share = middle.bincount(minlength=25).float() / n
    assert (share - 1 / 25).abs().max() < 0.006
    right = torch.zeros(n, 1, 5, 5, dtype=torch.bool)
    right[:, :, :, 1:] = found[:, :, :, :-1] == 100
    left = torch.zeros_like(right)
    left[:, :, :, :-1] = found[:, :, :, 1:] == 100
    straight, mirrored = ((found == 200) & side for side in (right, left))
    assert abs(straight.sum() - mirrored.sum()) < 600
    assert set(found.unique().tolist()) == {0, 100, 200}


def test_a_batch_is_cropped_as_one_image_would_be() -> None:
    images = torch.randint(0, 256, (30, 3, 6, 7), dtype=torch.uint8, generator=generator())
    plan = Augmentation(2, flip=True, cutout=3)
    draws = plan.draw(30, (6, 7), generator(1))
    shifted = plan.shift(images, draws)
    blanked = plan.blank(shifted.float() + 1, draws)
    for i, (row, column, mirror, y, x) in enumerate(draws.tolist()):
        padded = torch.nn.functional.pad(images[i], (2, 2, 2, 2))
        want = padded[:, row : row + 6, column : column + 7]
        want = want.flip(2) if mirror else want
        assert torch.equal(shifted[i], want)
        want = want.float() + 1
        want[:, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 0
        assert torch.equal(blanked[i], want)


@pytest.mark.parametrize("side", [1, 2, 4])
def test_cutout_has_its_size(side: int) -> None:
    images = torch.full((500, 1, 8, 8), 255, dtype=torch.uint8)
    part = Part(images, torch.zeros(500, dtype=torch.int64))
    plan = Augmentation(cutout=side)
    ((found, _),) = batches(part, PLAIN, 500, generator=generator(), augmentation=plan)
    holes = (found == 0).sum((1, 2, 3))
    assert holes.max() == side**2
    assert holes.min() >= (side - side // 2) ** 2
    assert (found == 0).float().mean((0, 1)).gt(0).all()  # everywhere


def test_batches_take_every_image_once() -> None:
    labels = torch.arange(107)
    images = labels.to(torch.uint8)[:, None, None, None].expand(-1, 2, 4, 4).contiguous()
    part = Part(images, labels)
    steady = Preprocessing((0.0, 0.5), (1.0, 0.25))
    found = list(batches(part, steady, 25, generator=generator(), augmentation=Augmentation()))
    assert [len(y) for _, y in found] == [22, 22, 21, 21, 21]
    together = torch.cat([y for _, y in found])
    assert together.sort().values.equal(labels)
    assert not together.equal(labels)
    for x, y in found:
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert torch.allclose(x[:, 0, 0, 0], y / 255)
        assert torch.allclose(x[:, 1, 3, 3], (y / 255 - 0.5) / 0.25)
    ordered = torch.cat([y for _, y in batches(part, steady, 25)])
    assert ordered.equal(labels)
    other = batches(part, steady, 25, channels_last=False)
    assert all(x.is_contiguous() for x, _ in other)
