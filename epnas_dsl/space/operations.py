"""Turn the name of an operation into the layers that it is made of; one table, no tensors.

An operation is what a `.space` text names: `sep_conv_3x3`. A layer is what a tensor library has:
`conv`, `batch_norm`, `relu`. Everything below (weights, multiply-accumulates, modules, exported
code) is derived from layers, so a new operation is one function here and nothing anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from epnas_dsl.errors import ConfigError, ShapeError, Span

Kind = Literal[
    "input",
    "conv",  # in_channels out_channels kernel_h kernel_w stride pad_h pad_w dilation groups bias
    "batch_norm",  # channels
    "relu",
    "relu6",
    "sigmoid",
    "swish",
    "max_pool",  # kernel stride padding
    "avg_pool",  # kernel stride padding; the padding is not counted
    "global_avg_pool",  # (N, C, H, W) to (N, C)
    "linear",  # in_features out_features
    "dropout",  # p
    "zero",  # stride: zeros of the input's shape, every stride-th position
    "unpool",  # factor: each value in the corner of factor x factor pixels, zeros beside it
    "shift",  # the input one pixel up and left, zeros filled in below and right
    "channel_shuffle",  # groups
    "channel_slice",  # start stop
    "add",  # of all inputs
    "multiply",  # of two inputs; (N, C) is spread over (N, C, H, W)
    "concat",  # of all inputs, along the channels
    "drop_path",  # p; identity unless the network trains
    "split",  # width0, width1, ...: the channels as several values; only passes make these two
    "part",  # index: one of them
]
Setting = int | float
Settings = tuple[tuple[str, Setting], ...]
MAX_CHANNELS = 1_000_000


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of a network: a layer, what it reads, and the key of its weights.

    Attributes:
        name: dotted and unique; the path of the module in the network.
        inputs: the names of the layers that it reads, in order.
        channels: of its output.
        settings: as listed at `Kind`, in that order.
        key: where its weights live in a supernet; layers of equal key share them.
        slices: for a 1x1 convolution that reads a `concat` (with element-wise layers between):
            a key and the number of channels for each joined value. Each has its own slice of the
            weight, so that architectures that join other values share what they can.
        parts: the layers whose weights it takes, side by side, where a pass made it of several.
        span: where its operation was written.
    """

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    channels: int
    settings: Settings = ()
    key: str = ""
    slices: tuple[tuple[str, int], ...] = ()
    parts: tuple[str, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)

    def __getitem__(self, setting: str) -> Any:
        return dict(self.settings)[setting]


def reading(layers: Iterable[Layer], names: Mapping[str, str]) -> Iterator[Layer]:
    """The layers, each reading what the names stand for by the time that it is asked for."""
    for x in layers:
        for i in x.inputs:
            if i in names:
                inputs = tuple([names.get(i, i) for i in x.inputs])
                x = Layer(  # in half of the time of `replace`
                    x.name, x.kind, inputs, x.channels, x.settings, x.key, x.slices, x.parts, x.span
                )
                break
        yield x


@lru_cache(maxsize=4096, typed=True)
def _given(**settings: Setting) -> Settings:
    return tuple(settings.items())  # one object for all layers that have the same


class Trace:
    """Writes down the layers of one operation; its methods read and return layer names."""

    def __init__(
        self, name: str, channels: dict[str, int], key: str = "", span: Span | None = None
    ) -> None:
        self.name, self.key, self.span = name, key, span
        self.channels = channels  # of every layer so far, the operation's inputs included
        self.layers: list[Layer] = []
        self._used: dict[str, int] = {}

    def layer(self, kind: Kind, *inputs: str, channels: int, **settings: Setting) -> str:
        """Append a layer."""
        count = self._used[kind] = self._used.get(kind, 0) + 1
        short = kind if count == 1 else f"{kind}{count}"
        name = f"{self.name}.{short}" if self.name else short
        key = f"{self.key}/{short}"
        given = _given(**settings)
        self.layers.append(Layer(name, kind, inputs, channels, given, key, span=self.span))
        self.channels[name] = channels
        return name

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        padding: int = -1,
    ) -> str:
        """A convolution, padded so that stride 1 keeps the size where nothing else is said."""
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        return self.layer(
            "conv",
            x,
            channels=channels,
            in_channels=self.channels[x],
            out_channels=channels,
            kernel_h=height,
            kernel_w=width,
            stride=stride,
            pad_h=dilation * (height - 1) // 2 if padding < 0 else padding,
            pad_w=dilation * (width - 1) // 2 if padding < 0 else padding,
            dilation=dilation,
            groups=groups,
            bias=int(bias),
        )

    def depthwise(self, x: str, kernel: int, stride: int = 1, dilation: int = 1) -> str:
        """A convolution of every channel on its own."""
        channels = self.channels[x]
        return self.conv(x, channels, kernel, stride, dilation, groups=channels)

    def batch_norm(self, x: str) -> str:
        """Batch normalisation with scale and offset."""
        return self.layer("batch_norm", x, channels=self.channels[x])

    def same(self, kind: Kind, *inputs: str, **settings: Setting) -> str:
        """A layer that keeps the channels of its first input."""
        return self.layer(kind, *inputs, channels=self.channels[inputs[0]], **settings)

    def relu(self, x: str) -> str:
        """max(x, 0)"""
        return self.same("relu", x)

    def add(self, *inputs: str) -> str:
        """The sum of all inputs."""
        return self.same("add", *inputs)

    def concat(self, *inputs: str) -> str:
        """All inputs, one after the other along the channels."""
        return self.layer("concat", *inputs, channels=sum(self.channels[i] for i in inputs))


Build = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Operation:
    """What the language knows of an operation.

    Attributes:
        parameters: names and defaults in the order of the arguments; None has to be given, `WIDTH`
            is the number of channels where the operation stands, `ENTRY` the stride there.
        fixed: arguments that its name has already settled (`conv_3x3` is `conv` of kernel 3).
        family: for drawing: convolution, pooling, identity, zero, head or other.
        calibrates: what it makes of a cell's input still counts as a cell's input.
    """

    name: str
    build: Build = field(compare=False)
    parameters: tuple[tuple[str, Setting | str | None], ...]
    family: str = "other"
    fixed: Settings = ()
    calibrates: bool = False
    inputs: int = 1

    @property
    def has_weights(self) -> bool:
        """Whether two of these on the same value are two different things."""
        return self.family in {"convolution", "head"}


WIDTH, ENTRY = "channels", "stride"
OPERATIONS: dict[str, Operation] = {}
_LOADED: set[Path] = set()  # plug-ins


def add_operation(spec: Operation) -> None:
    """Make an operation known to the language.

    Raises:
        ValueError: there is one of this name already.
    """
    if spec.name in OPERATIONS:
        raise ValueError(f"the operation {spec.name} exists already")
    OPERATIONS[spec.name] = spec


def load_operations(path: str | Path) -> None:
    """Run a Python file that adds operations of the user's own with `operation`; once.

    Raises:
        ConfigError: it cannot be read, or fails (E516).
    """
    import runpy

    place = Path(path).expanduser().absolute()
    if place in _LOADED:
        return
    try:
        runpy.run_path(str(place))
    except Exception as error:
        raise ConfigError(
            f"the plug-in {path} fails: {type(error).__name__}: {error}", code="E516",
            hint="a plug-in is a Python file that uses `epnas_dsl.space.operations.operation`",
        ) from error  # fmt: skip
    _LOADED.add(place)


def operation(
    name: str,
    family: str,
    sizes: Sequence[int] = (),
    calibrates: bool = False,
    inputs: int = 1,
    **parameters: Setting | str | None,
) -> Callable[[Build], Build]:
    """Register the function below as an operation; with `sizes` also as `name_3x3` and so on."""

    def register(build: Build) -> Build:
        known = tuple(parameters.items())
        spec = Operation(name, build, known, family, (), calibrates, inputs)
        add_operation(spec)
        rest = tuple((n, v) for n, v in known if n != "kernel")
        for k in sizes:
            add_operation(
                replace(spec, name=f"{name}_{k}x{k}", parameters=rest, fixed=(("kernel", k),))
            )
        return build

    return register


# --- convolutions ------------------------------------------------------------------------------


@operation(
    "conv", "convolution", (1, 3, 5, 7), kernel=None, channels=WIDTH, stride=ENTRY, groups=1,
    dilation=1,
)  # fmt: skip
def _conv(t: Trace, x: str, **s: int) -> str:
    """Convolution, batch norm, ReLU: the convolution of EPNAS, section 3."""
    y = t.conv(x, s["channels"], s["kernel"], s["stride"], s["dilation"], s["groups"])
    return t.relu(t.batch_norm(y))


@operation("dw_conv", "convolution", (3, 5, 7), kernel=None, channels=WIDTH, stride=ENTRY)
def _dw_conv(t: Trace, x: str, kernel: int, channels: int, stride: int) -> str:
    """Depthwise-separable convolution, batch norm, ReLU: EPNAS, section 3."""
    y = t.conv(t.depthwise(x, kernel, stride), channels, 1)
    return t.relu(t.batch_norm(y))


@operation("nor_conv", "convolution", (1, 3, 5, 7), kernel=None, channels=WIDTH, stride=ENTRY)
def _nor_conv(t: Trace, x: str, kernel: int, channels: int, stride: int) -> str:
    """ReLU, convolution, batch norm: NAS-Bench-201, section 2.1."""
    return t.batch_norm(t.conv(t.relu(x), channels, kernel, stride))


@operation("sep_conv", "convolution", (3, 5, 7), kernel=None, channels=WIDTH, stride=ENTRY)
def _sep_conv(t: Trace, x: str, kernel: int, channels: int, stride: int) -> str:
    """(ReLU, depthwise, 1x1, batch norm) twice: NASNet, appendix A.4; DARTS, section 3.1.1."""
    y = t.depthwise(t.relu(x), kernel, stride)
    y = t.batch_norm(t.conv(y, channels, 1))
    y = t.depthwise(t.relu(y), kernel)
    return t.batch_norm(t.conv(y, channels, 1))


@operation("dil_conv", "convolution", (3, 5), kernel=None, channels=WIDTH, stride=ENTRY)
def _dil_conv(t: Trace, x: str, kernel: int, channels: int, stride: int) -> str:
    """ReLU, depthwise of dilation 2, 1x1, batch norm: DARTS, section 3.1.1."""
    y = t.depthwise(t.relu(x), kernel, stride, dilation=2)
    return t.batch_norm(t.conv(y, channels, 1))


def _lines(t: Trace, x: str, length: int, channels: int, stride: int) -> str:
    """ReLU, 1xn with the stride, batch norm, ReLU, nx1, batch norm: NASNet, section 3."""
    y = t.batch_norm(t.conv(t.relu(x), channels, (1, length), stride))
    return t.batch_norm(t.conv(t.relu(y), channels, (length, 1)))


for _n in (3, 7):
    _where = (WIDTH, WIDTH), (ENTRY, ENTRY)
    _fixed = (("length", _n),)
    add_operation(Operation(f"conv_1x{_n}_{_n}x1", _lines, _where, "convolution", _fixed))


@operation("mbconv", "convolution", kernel=3, expand=6, channels=WIDTH, stride=ENTRY)
def _mbconv(t: Trace, x: str, kernel: int, expand: int, channels: int, stride: int) -> str:
    """The inverted residual: MobileNetV2, section 3.3."""
    y = x
    if expand != 1:
        y = t.same("relu6", t.batch_norm(t.conv(x, t.channels[x] * expand, 1)))
    y = t.same("relu6", t.batch_norm(t.depthwise(y, kernel, stride)))
    y = t.batch_norm(t.conv(y, channels, 1))
    return t.add(x, y) if stride == 1 and t.channels[x] == channels else y


@operation("shortcut", "convolution", channels=WIDTH, stride=ENTRY)
def _shortcut(t: Trace, x: str, channels: int, stride: int) -> str:
    """The value itself where its shape stays, else 1x1, batch norm: ResNet, section 3.3, B."""
    if stride == 1 and channels == t.channels[x]:
        return x
    return t.batch_norm(t.conv(x, channels, 1, stride))


@operation("calibrate", "convolution", calibrates=True, channels=WIDTH, stride=ENTRY, always=1)
def _calibrate(t: Trace, x: str, channels: int, stride: int, always: int) -> str:
    """ReLU, 1x1, batch norm; across a reduction the factorized one: DARTS, section 3.1.1.

    With always=0 a value that fits as it is stays as it is: NASNet, appendix A.4.
    """
    if not always and stride == 1 and channels == t.channels[x]:
        return x
    if stride != 1:
        return _factorized_reduce(t, x, channels, stride)
    return _nor_conv(t, x, 1, channels, 1)


@operation("project", "convolution", calibrates=True, channels=WIDTH, stride=ENTRY)
def _project(t: Trace, x: str, channels: int, stride: int) -> str:
    """1x1, batch norm, ReLU, of a cell's input as it came: NAS-Bench-101, section 2.2."""
    return t.relu(t.batch_norm(t.conv(x, channels, 1, stride)))


@operation("factorized_reduce", "convolution", channels=WIDTH, stride=2)
def _factorized_reduce(t: Trace, x: str, channels: int, stride: int) -> str:
    """ReLU, two 1x1 of stride 2 a pixel apart, joined, batch norm: NASNet, appendix A.4."""
    if stride != 2:
        raise ShapeError(f"only a stride of 2 can be factorized, not {stride}", code="E404")
    if channels % 2:
        raise ShapeError(f"a factorized reduction makes two halves; {channels} channels have none",
                         code="E404")  # fmt: skip
    x = t.relu(x)
    left, right = t.conv(x, channels // 2, 1, 2), t.conv(t.same("shift", x), channels // 2, 1, 2)
    return t.batch_norm(t.concat(left, right))


# --- without weights ---------------------------------------------------------------------------


@operation("max_pool", "pooling", (2, 3, 5, 7), kernel=None, stride=ENTRY, padding=-1)
def _max_pool(t: Trace, x: str, kernel: int, stride: int, padding: int) -> str:
    """The largest value of each window."""
    padding = kernel // 2 if padding < 0 else padding
    return t.same("max_pool", x, kernel=kernel, stride=stride, padding=padding)


@operation("avg_pool", "pooling", (2, 3, 5, 7), kernel=None, stride=ENTRY, padding=-1)
def _avg_pool(t: Trace, x: str, kernel: int, stride: int, padding: int) -> str:
    """The mean of each window; the padding is not counted."""
    padding = kernel // 2 if padding < 0 else padding
    return t.same("avg_pool", x, kernel=kernel, stride=stride, padding=padding)


@operation("skip_connect", "identity", stride=ENTRY)
def _skip_connect(t: Trace, x: str, stride: int) -> str:
    """The value itself; across a stride the factorized reduction: DARTS, section 3.1.1."""
    return x if stride == 1 else _factorized_reduce(t, x, t.channels[x], stride)


@operation("identity", "identity", stride=ENTRY)
def _identity(t: Trace, x: str, stride: int) -> str:
    """The value itself; across a stride ReLU, 1x1, batch norm: PNAS, section 3."""
    return x if stride == 1 else _nor_conv(t, x, 1, t.channels[x], stride)


@operation("none", "zero", stride=ENTRY)
def _none(t: Trace, x: str, stride: int) -> str:
    """Zeros."""
    return t.same("zero", x, stride=stride)


# --- single layers -----------------------------------------------------------------------------


@operation(
    "raw_conv", "convolution", kernel=None, channels=WIDTH, stride=ENTRY, groups=1, dilation=1,
    bias=0, kernel_w=0, padding=-1,
)  # fmt: skip
def _raw_conv(t: Trace, x: str, **s: int) -> str:
    """A convolution and nothing else; `kernel_w` makes its window as wide (else it is square).

    It is padded so that stride 1 keeps the size, or on each side by `padding`.
    """
    kernel, rest = (s["kernel"], s["kernel_w"] or s["kernel"]), (bool(s["bias"]), s["padding"])
    return t.conv(x, s["channels"], kernel, s["stride"], s["dilation"], s["groups"], *rest)


@operation("batch_norm", "convolution")
def _batch_norm(t: Trace, x: str) -> str:
    """Batch normalisation with scale and offset."""
    return t.batch_norm(x)


@operation("relu", "activation")
def _relu(t: Trace, x: str) -> str:
    """max(x, 0)"""
    return t.relu(x)


@operation("relu6", "activation")
def _relu6(t: Trace, x: str) -> str:
    """min(max(x, 0), 6)"""
    return t.same("relu6", x)


@operation("swish", "activation")
def _swish(t: Trace, x: str) -> str:
    """x * sigmoid(x)"""
    return t.same("swish", x)


@operation("dropout", "activation", p=0.5)
def _dropout(t: Trace, x: str, p: float) -> str:
    """Zeroes each value with probability p while the network trains."""
    return t.same("dropout", x, p=p)


@operation("squeeze_excite", "convolution", reduction=4)
def _squeeze_excite(t: Trace, x: str, reduction: int) -> str:
    """Channels weighted by a gate of their own means: Hu et al. 2018, section 3."""
    channels = t.channels[x]
    hidden = max(1, channels // reduction)
    y = t.same("global_avg_pool", x)
    y = t.layer("linear", y, channels=hidden, in_features=channels, out_features=hidden)
    y = t.relu(y)
    y = t.layer("linear", y, channels=channels, in_features=hidden, out_features=channels)
    return t.same("multiply", x, t.same("sigmoid", y))


@operation("shuffle_block", "convolution", kernel=3, channels=WIDTH, stride=ENTRY, middle=0, keep=0)
def _shuffle_block(
    t: Trace, x: str, kernel: int, channels: int, stride: int, middle: int, keep: int
) -> str:
    """Half of the channels pass by an inverted residual: ShuffleNetV2, section 3, figure 3.

    `keep` channels pass by (half of them by default); where the block steps down they are made of
    all that it reads. `middle` is the width inside (half of the channels by default).
    """
    middle, keep = middle or channels // 2, keep or channels // 2
    passing, y = _split(t, x, kernel, stride, keep, channels)
    y = t.relu(t.batch_norm(t.conv(y, middle, 1)))
    y = t.batch_norm(t.depthwise(y, kernel, stride))
    y = t.relu(t.batch_norm(t.conv(y, channels - keep, 1)))
    return _channel_shuffle(t, t.concat(passing, y), 2)


@operation("shuffle_xception", "convolution", channels=WIDTH, stride=ENTRY, middle=0, keep=0)
def _shuffle_xception(t: Trace, x: str, channels: int, stride: int, middle: int, keep: int) -> str:
    """`shuffle_block` with three depthwise-separable convolutions: SPOS, section 4."""
    middle, keep = middle or channels // 2, keep or channels // 2
    passing, y = _split(t, x, 3, stride, keep, channels)
    for width, step in ((middle, stride), (middle, 1), (channels - keep, 1)):
        y = t.batch_norm(t.depthwise(y, 3, step))
        y = t.relu(t.batch_norm(t.conv(y, width, 1)))
    return _channel_shuffle(t, t.concat(passing, y), 2)


def _split(t: Trace, x: str, kernel: int, stride: int, keep: int, channels: int) -> tuple[str, str]:
    """What passes by a shuffle block, and what goes in."""
    if not 0 < keep < channels:
        raise ShapeError(f"{keep} of {channels} channels cannot pass by", code="E404")
    if stride == 1:
        return _channel_slice(t, x, 0, keep), _channel_slice(t, x, keep, t.channels[x])
    passing = t.batch_norm(t.depthwise(x, kernel, stride))
    return t.relu(t.batch_norm(t.conv(passing, keep, 1))), x


@operation("channel_shuffle", "identity", groups=2)
def _channel_shuffle(t: Trace, x: str, groups: int) -> str:
    """Channels dealt out over the groups: ShuffleNet, section 3.1."""
    if t.channels[x] % groups:
        raise ShapeError(f"{t.channels[x]} channels do not fall into {groups} groups", code="E404")
    return t.same("channel_shuffle", x, groups=groups)


@operation("channel_slice", "identity", start=None, stop=None)
def _channel_slice(t: Trace, x: str, start: int, stop: int) -> str:
    """The channels from start (from 0) up to, not including, stop."""
    if not 0 <= start < stop <= t.channels[x]:
        raise ShapeError(f"there are no channels {start} up to {stop} in a value that has "
                         f"{t.channels[x]}", code="E404")  # fmt: skip
    return t.layer("channel_slice", x, channels=stop - start, start=start, stop=stop)


@operation("unpool", "pooling", factor=2)
def _unpool(t: Trace, x: str, factor: int) -> str:
    """Larger by zeros, for a convolution to fill in: Convolutional Neural Fabrics, section 3."""
    return t.same("unpool", x, factor=factor)


@operation("global_avg_pool", "head")
def _global_avg_pool(t: Trace, x: str) -> str:
    """The mean of each channel: (N, C, H, W) to (N, C)."""
    return t.same("global_avg_pool", x)


@operation("linear", "head", features=None)
def _linear(t: Trace, x: str, features: int) -> str:
    """A fully connected layer with bias."""
    return t.layer("linear", x, channels=features, in_features=t.channels[x], out_features=features)


@operation("multiply", "activation", inputs=2)
def _multiply(t: Trace, x: str, gate: str) -> str:
    """The product of two values; a vector is spread over an image."""
    return t.same("multiply", x, gate)


@lru_cache(maxsize=4096)
def check_setting(name: str, key: str, value: Setting) -> None:
    """Refuse an argument of an operation, a cell or a stack that is out of range.

    Raises:
        ShapeError: it is.
    """
    optional = key in {"bias", "p", "always", "start", "kernel_w", "middle", "keep"}
    least = -1 if key == "padding" else 0 if optional else 1
    wide = key in {"channels", "features", "stop", "start", "middle", "keep"}
    most = MAX_CHANNELS if wide else {"bias": 1, "p": 1, "always": 1}.get(key, 1024)
    whole = float(value).is_integer()
    shown = f"{int(value):,}" if whole and abs(value) < 1e15 else f"{value:.6g}"
    if key != "p" and not whole:
        raise ShapeError(f"`{key}` of `{name}` is {shown}, not a whole number", code="E406")
    if not least <= value <= most:
        raise ShapeError(
            f"`{key}` of `{name}` is {shown}; it lies between {least} and {most:,}", code="E406"
        )
