"""Turn the layers of a network into sizes and costs, before anything is built."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from epnas_dsl.errors import LimitError, ShapeError
from epnas_dsl.space.operations import Kind, Layer, Settings

Size = tuple[int, int]
MAX_PARAMS = 2_000_000_000
MAX_ACTIVATIONS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Costs:
    """What a network costs.

    Attributes:
        params: trainable numbers.
        macs: multiply-accumulates of convolutions and fully connected layers for one image.
        depth: convolutions and fully connected layers on the longest way through.
        activations: numbers that all layers' outputs hold for one image.
    """

    params: int
    macs: int
    depth: int
    activations: int


def sizes(layers: Iterable[Layer], image: tuple[int, int, int]) -> dict[str, Size]:
    """Height and width of each layer's output, (1, 1) for vectors.

    Raises:
        ShapeError: an image shrinks to nothing, or values of different sizes meet.
    """
    found: dict[str, Size] = {}
    for layer in layers:
        read = [found[i] for i in layer.inputs]
        spread = layer.kind == "multiply" and (1, 1) in read[1:]  # a gate for each channel
        if layer.kind in {"add", "concat", "multiply"} and len(set(read)) > 1 and not spread:
            shown = " and ".join(f"{h}x{w}" for h, w in dict.fromkeys(read))
            raise ShapeError(f"`{layer.name}` joins values of {shown} pixels", code="E408",
                             span=layer.span)  # fmt: skip
        size = image[1:] if layer.kind == "input" else _size(layer.kind, layer.settings, read[0])
        if min(size) < 1:
            raise ShapeError(
                f"nothing is left of an image of {image[1]}x{image[2]} at `{layer.name}`",
                code="E409", span=layer.span, hint="larger images, or fewer strides",
            )  # fmt: skip
        found[layer.name] = size
    return found


@lru_cache(maxsize=4096)
def _size(kind: Kind, settings: Settings, size: Size) -> Size:
    s = dict(settings)
    match kind:
        case "conv":
            kernel = (s["kernel_h"], s["kernel_w"])
            padding = (s["pad_h"], s["pad_w"])
            return _windows(size, kernel, padding, s["dilation"], s["stride"])
        case "max_pool" | "avg_pool":
            kernel, padding = (s["kernel"],) * 2, (s["padding"],) * 2
            return _windows(size, kernel, padding, 1, s["stride"])
        case "zero":
            return _windows(size, (1, 1), (0, 0), 1, s["stride"])
        case "unpool":
            return size[0] * int(s["factor"]), size[1] * int(s["factor"])
        case "global_avg_pool" | "linear":
            return (1, 1)
    return size


def _windows(
    size: Size, kernel: tuple[float, float], padding: tuple[float, float], dilation: float,
    stride: float,
) -> Size:  # fmt: skip
    height, width = (
        int((n + 2 * p - dilation * (k - 1) - 1) // stride + 1)
        for n, k, p in zip(size, kernel, padding, strict=True)
    )
    return height, width


def costs(layers: Iterable[Layer], image: tuple[int, int, int]) -> Costs:
    """What a network costs for images (channels, height, width).

    Raises:
        ShapeError: sizes do not fit.
        LimitError: more than two billion parameters or activations.
    """
    layers = tuple(layers)
    size = sizes(layers, image)
    params = macs = activations = 0
    depth: dict[str, int] = {}
    for layer in layers:
        height, width = size[layer.name]
        numbers, per_position = weights(layer)
        params += numbers
        macs += per_position * height * width
        if layer.kind not in {"input", "drop_path"}:
            activations += layer.channels * height * width
        deepest = max((depth[i] for i in layer.inputs), default=0)
        depth[layer.name] = deepest + (layer.kind in {"conv", "linear"})
        if params > MAX_PARAMS or activations > MAX_ACTIVATIONS:
            raise LimitError(
                f"more than {MAX_PARAMS:,} parameters or activations for one image", code="E917",
                span=layer.span, hint="fewer channels, fewer cells or smaller images",
            )  # fmt: skip
    return Costs(params, macs, depth[layers[-1].name], activations)


def weights(layer: Layer) -> tuple[int, int]:
    """Trainable numbers, and multiply-accumulates for each position of the output."""
    return _weights(layer.kind, layer.settings, layer.channels)


@lru_cache(maxsize=4096)
def _weights(kind: Kind, settings: Settings, channels: int) -> tuple[int, int]:
    s = dict(settings)
    match kind:
        case "conv":
            inputs = int(s["in_channels"] // s["groups"])
            weights = channels * inputs * int(s["kernel_h"] * s["kernel_w"])
            return weights + channels * int(s["bias"]), weights
        case "linear":
            weights = int(s["in_features"]) * channels
            return weights + channels, weights
        case "batch_norm":
            return 2 * channels, 0
    return 0, 0


READS_AGAIN = frozenset({"conv", "batch_norm", "linear", "max_pool", "avg_pool", "swish", "relu6"})
NOTES = {"max_pool": 8, "dropout": 4}  # bytes for each number of the output
WRITES = {"relu", "sigmoid"}  # whose gradient needs the output, not the input


def training_memory(layers: Iterable[Layer], image: tuple[int, int, int]) -> int:
    """Bytes that one image of a batch keeps from the forward to the backward pass, in float32.

    Every value that some gradient needs counts once, and so do the places of maxima and what a
    dropout multiplied by; the images, and a batch norm's two numbers for each channel, do not. What
    is alive only for a moment comes on top of it: about the largest value, twice.

    Raises:
        ShapeError: sizes do not fit.
    """
    layers = tuple(layers)
    size = sizes(layers, image)
    where: dict[str, str] = {}  # for each value the one in whose memory it lies
    numbers: dict[str, int] = {}
    kept: set[str] = set()
    learned: set[str] = set()  # the values that a gradient comes to: neither images nor zeros
    notes = 0
    for layer in layers:
        height, width = size[layer.name]
        if weights(layer)[0] or (layer.kind != "zero" and learned.intersection(layer.inputs)):
            learned.add(layer.name)
        views = layer.kind in {"channel_slice", "drop_path"} or (
            layer.kind == "add" and len(layer.inputs) == 1
        )
        where[layer.name] = where[layer.inputs[0]] if views else layer.name
        numbers[layer.name] = layer.channels * height * width
        if layer.name not in learned:
            continue
        if layer.kind in READS_AGAIN:
            kept.update(where[i] for i in layer.inputs)
        if layer.kind == "multiply":  # each is needed for the gradient of the other
            pairs = zip(layer.inputs, reversed(layer.inputs), strict=True)
            kept.update(where[i] for i, other in pairs if other in learned)
        if layer.kind in WRITES:
            kept.add(layer.name)
        notes += NOTES.get(layer.kind, 0) * numbers[layer.name]
    return notes + 4 * sum(numbers[x] for x in kept - {layers[0].name})
