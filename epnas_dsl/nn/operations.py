"""Turn one layer into the Python that carries it out; one table, for networks and exported files.

A text that begins with a class name makes a module, every other text is an expression on the
layer's inputs. Bound networks are built from these texts and exported files are written with
them, so that the two cannot differ.
"""

from __future__ import annotations

import hashlib
import keyword
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary

from epnas_dsl.space.operations import Kind, Layer, Settings

P = ParamSpec("P")
Table = Mapping[Kind, str]
PYTHON: Table = {
    "input": "image",
    "conv": "{conv}({in_channels}, {out_channels}, {kernel}{options})",
    "batch_norm": "nn.BatchNorm2d({channels})",
    "relu": "torch.relu({0})",
    "relu6": "F.relu6({0})",
    "sigmoid": "torch.sigmoid({0})",
    "swish": "F.silu({0})",
    "max_pool": "nn.MaxPool2d({kernel}, {stride}, {padding})",
    "avg_pool": "nn.AvgPool2d({kernel}, {stride}, {padding}, count_include_pad=False)",
    "global_avg_pool": "{0}.mean((2, 3))",
    "linear": "nn.Linear({in_features}, {out_features})",
    "dropout": "nn.Dropout({p})",
    "zero": "torch.zeros_like({0}[:, :, ::{stride}, ::{stride}])",
    "unpool": (
        "F.pad({0}[:, :, :, None, :, None], (0, {factor} - 1, 0, 0, 0, {factor} - 1))"
        ".flatten(4).flatten(2, 3)"
    ),
    "shift": "F.pad({0}, (-1, 1, -1, 1))",
    "channel_shuffle": "F.channel_shuffle({0}, {groups})",
    "channel_slice": "{0}[:, {start}:{stop}]",
    "add": "{sum}",
    "multiply": "gate({0}, {1})",
    "concat": "torch.cat([{all}], 1)",
    "drop_path": "DropPath({p})",
    "split": "{0}.split([{widths}], 1)",
    "part": "{0}[{index}]",
}
PICTURES: Table = {  # as above; gradients come in the memory format of the values, too
    "global_avg_pool": "mean_of_pixels({0})",
    "channel_slice": "channels_of({0}, {start}, {stop})",
}
IN_PLACE: Table = {"relu": "torch.relu_({0})"}  # of a ReLU6 PyTorch would copy what it overwrites
MODULES = frozenset(k for k, text in PYTHON.items() if text.startswith(("nn.", "{conv}", "Drop")))
WEIGHTED = frozenset({"conv", "batch_norm", "linear"})
RESERVED = frozenset(
    {*dir(nn.Module()), *keyword.kwlist, *keyword.softkwlist, "torch", "nn", "F", "gate", "self"}
    | {"joint_norm", "every", "mean_of_pixels", "channels_of"}
)


def gate(x: Tensor, weight: Tensor) -> Tensor:
    """x * weight; a weight of shape (N, C) is spread over (N, C, H, W)."""
    return x * weight.reshape(*weight.shape, *[1] * (x.dim() - weight.dim()))


def joint_norm(x: Tensor, *norms: nn.BatchNorm2d) -> Tensor:
    """Batch norms of channels that lie side by side, as one: (N, C, H, W) to the same.

    The statistics of each stay its own; all are in the same mode and of the same settings.
    """
    first, training = norms[0], norms[0].training
    columns = zip(*((n.running_mean, n.running_var, n.weight, n.bias) for n in norms), strict=True)
    mean, var, weight, bias = (torch.cat(column) for column in columns)
    momentum = first.momentum
    if training:
        for norm in norms:
            norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        if momentum is None:  # a plain mean over all batches
            momentum = 1 / float(first.num_batches_tracked)  # type: ignore[arg-type]
    y = F.batch_norm(x, mean, var, weight, bias, training, momentum or 0.0, first.eps)
    if training:
        widths = [norm.num_features for norm in norms]
        for norm, m, v in zip(norms, mean.split(widths), var.split(widths), strict=True):
            norm.running_mean.copy_(m)  # type: ignore[union-attr]
            norm.running_var.copy_(v)  # type: ignore[union-attr]
    return y


def _opaque(function: Callable[Concatenate[Tensor, P], Tensor]) -> Callable[..., Tensor]:
    """Let torch.fx see a call of the function, not what is inside; that depends on formats."""

    @wraps(function)
    def call(x: Tensor, *rest: P.args, **named: P.kwargs) -> Tensor:
        if has_torch_function_unary(x):
            traced: Tensor = handle_torch_function(call, (x,), x, *rest, **named)
            return traced
        return function(x, *rest, **named)

    return call


@_opaque
def every(x: Tensor, stride: int) -> Tensor:
    """Every stride-th pixel: (N, C, H, W) to (N, C, H / stride, W / stride).

    The gradient comes in the memory format of x. That of a plain slice of a channels_last value
    is contiguous, and what works on both formats at once takes ten times as long on a CPU.
    """
    if not x.is_contiguous(memory_format=torch.channels_last):
        return x[:, :, ::stride, ::stride]
    return x.permute(0, 2, 3, 1)[:, ::stride, ::stride].permute(0, 3, 1, 2)


@_opaque
def mean_of_pixels(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C); the gradient as that of `every`."""
    if not x.is_contiguous(memory_format=torch.channels_last):
        return x.mean((2, 3))
    return x.permute(0, 2, 3, 1).flatten(1, 2).mean(1)


@_opaque
def channels_of(x: Tensor, start: int, stop: int) -> Tensor:
    """Some of the channels; the gradient as that of `every`."""
    if not x.is_contiguous(memory_format=torch.channels_last):
        return x[:, start:stop]
    return x.permute(0, 2, 3, 1)[..., start:stop].permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """Drops the whole value of an image with probability p in training: Larsson et al. 2017.

    Attributes:
        p: a number, or a tensor () on the device that changes without a change of the program.
    """

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        self.p: float | Tensor = p

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to the same shape; what is kept grows by 1 / (1 - p)."""
        if not self.training or (isinstance(self.p, float) and self.p == 0):
            return x
        kept = x.new_empty((x.shape[0], *[1] * (x.dim() - 1))).bernoulli_(1 - self.p)
        return x * (kept / (1 - self.p))


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution that drops the pixels between its strides before it reads them.

    It computes what nn.Conv2d does. That one writes past its memory on CPUs when it learns in
    channels_last format with a stride and fewer channels than fit a register (oneDNN issue 6035).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out_channels, H / stride, W / stride)."""
        x = x[:, :, :: self.stride[0], :: self.stride[1]]
        return F.conv2d(x, self.weight, self.bias, groups=self.groups)


class StridedConv2d(PointwiseConv2d):
    """The same, and the gradient comes in the memory format of x."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out_channels, H / stride, W / stride)."""
        return F.conv2d(every(x, self.stride[0]), self.weight, self.bias, groups=self.groups)


class SlicedConv2d(nn.Conv2d):
    """A 1x1 convolution whose weight is joined from one slice for each value that it reads."""

    slices: nn.ParameterList

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The slices, joined."""
        return torch.cat([*self.slices], 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out_channels, H / stride, W / stride)."""
        if self.stride != (1, 1):
            x = every(x, self.stride[0])
        return F.conv2d(x, self.weight, self.bias)


def settings_text(layer: Layer) -> dict[str, str]:
    """The settings as they are written; a batch norm's channels too."""
    if layer.kind == "batch_norm":
        return {"channels": str(layer.channels)}
    return {name: repr(v) for name, v in layer.settings}


def write(
    kind: Kind, inputs: Sequence[str], settings: Mapping[str, str], table: Table = PYTHON
) -> str:
    """The Python of a layer.

    Args:
        inputs: what stands for its inputs; not needed for a module.
        settings: what stands for its settings: numbers or names.
        table: `PYTHON`, or another one for some kinds.
    """
    values = dict(settings)
    if kind == "conv":
        values |= _conv_options(values)
    text = table.get(kind) or PYTHON[kind]
    both = {"sum": " + ".join(inputs), "all": ", ".join(inputs)}
    return text.format(*inputs, **both, widths=", ".join(values.values()), **values)


def write_joined(layer: Layer, value: str, parts: Sequence[str]) -> str:
    """The Python of a layer that carries out several modules, given theirs."""
    if layer.kind == "batch_norm":
        return f"joint_norm({value}, {', '.join(parts)})"
    s = dict(layer.settings)
    weight, bias = (
        f"torch.cat([{', '.join(f'{part}.{name}' for part in parts)}])"
        for name in ("weight", "bias")
    )
    if s["stride"] > 1 == s["kernel_h"] == s["kernel_w"]:
        value, s["stride"] = f"every({value}, {s['stride']})", 1
    rest = f"{s['stride']}, ({s['pad_h']}, {s['pad_w']}), {s['dilation']}"
    return f"F.conv2d({value}, {weight}, {bias if s['bias'] else None}, {rest})"


def _conv_options(values: Mapping[str, str]) -> dict[str, str]:
    def pair(height: str, width: str) -> str:
        return height if height == width else f"({height}, {width})"

    options = {
        "stride": (values["stride"], "1"),
        "padding": (pair(values["pad_h"], values["pad_w"]), "0"),
        "dilation": (values["dilation"], "1"),
        "groups": (values["groups"], "1"),
        "bias": ({"0": "False", "1": "True"}.get(values["bias"], values["bias"]), "True"),
    }
    text = "".join(
        f", {name}={given}" for name, (given, usual) in options.items() if given != usual
    )
    kernel = pair(values["kernel_h"], values["kernel_w"])
    strided = kernel == "1" and values["stride"] != "1"
    conv = "PointwiseConv2d" if strided else "nn.Conv2d"
    return {"conv": conv, "kernel": kernel, "options": text}


@lru_cache(maxsize=8192)
def module_path(name: str) -> str:
    """The dotted path of a layer's module: names that a module cannot have get an underscore."""
    return ".".join(f"{p}_" if p.rstrip("_") in RESERVED else p for p in name.split("."))


# --- modules -------------------------------------------------------------------------------------

Weights = Callable[[Layer, str, tuple[int, ...]], "nn.Parameter | tuple[nn.Parameter, ...]"]
"""From a layer, "weight" or "bias" and its shape to the tensor, or to its slices along dim 1."""


def build_module(layer: Layer, weights: Weights, device: torch.device) -> nn.Module:
    """The module of a layer around the given weights, with batch-norm statistics of its own.

    Copies a cached pattern: constructing a module draws numbers only to throw them away.
    """
    pattern = _pattern(layer.kind, layer.channels, layer.settings, device)
    module = pattern.made()
    own_buffers([module])
    for name, shape in pattern.parameters:
        given = weights(layer, name, shape)
        if isinstance(given, tuple):
            module.__class__ = SlicedConv2d
            del module._parameters[name]
            module._modules["slices"] = nn.ParameterList(given)
        else:
            module._parameters[name] = given
    return module


class Pattern:
    """A module after which others are made, in less time than their constructors take.

    They share its parameters and buffers until they are given others.

    Attributes:
        parameters: the shapes of those that it has.
    """

    def __init__(self, module: nn.Module) -> None:
        self.parameters = [
            (n, tuple(p.shape)) for n, p in module._parameters.items() if p is not None
        ]
        own = vars(module)
        self._class = type(module)
        self._plain = {k: v for k, v in own.items() if not isinstance(v, dict)}
        self._empty = [(k, type(v)) for k, v in own.items() if isinstance(v, dict) and not v]
        self._full = [(k, v) for k, v in own.items() if isinstance(v, dict) and v]

    def made(self, of: type[nn.Module] | None = None) -> nn.Module:
        """A module of the same settings, and of the same class or that given."""
        module: nn.Module = object.__new__(of or self._class)
        state = module.__dict__
        state.update(self._plain)
        for name, kind in self._empty:
            state[name] = kind()
        for name, values in self._full:
            state[name] = values.copy()
        return module


def own_buffers(modules: Sequence[nn.Module]) -> None:
    """Give modules that have the same buffers copies of their own.

    Those of a name lie side by side: one copy of hundreds takes less time than hundreds of copies.
    """
    for name in modules[0]._buffers if modules else ():
        found = [b for module in modules if (b := module._buffers[name]) is not None]
        if found[0].dim():
            copies = torch.cat(found).unsafe_split_with_sizes([b.numel() for b in found])
        else:
            copies = torch.stack(found).unbind()
        for module, copy in zip(modules, copies, strict=True):
            module._buffers[name] = copy


@lru_cache(maxsize=4096)
def _pattern(kind: Kind, channels: int, settings: Settings, device: torch.device) -> Pattern:
    text = write(kind, (), settings_text(Layer("", kind, (), channels, settings)))
    with torch.device("meta"):
        module: nn.Module = eval(text, CONSTRUCTORS)  # a text of `write`
    if isinstance(module, nn.BatchNorm2d):
        for name, buffer in module.named_buffers():
            setattr(module, name, torch.empty_like(buffer, device=device))
        module.reset_running_stats()
    return Pattern(module)


def weight_count(layer: Layer) -> int:
    """How many numbers a layer learns."""
    if layer.kind not in WEIGHTED:
        return 0
    pattern = _pattern(layer.kind, layer.channels, layer.settings, torch.device("cpu"))
    return sum(math.prod(shape) for _, shape in pattern.parameters)


def initial(layer: Layer, name: str, shape: Sequence[int], seed: int, key: str) -> Tensor:
    """The values that a parameter starts from: a function of (seed, key), whatever came before.

    Convolutions: normal of variance 2 / fan-out (He et al. 2015, equation 14, as in ResNet). The
    fan-out does not depend on what is read, so a slice starts alike whatever it is joined with.
    Linear layers: uniform within 1 / sqrt(in_features). Scales 1, offsets and biases 0.
    """
    if layer.kind == "batch_norm" or name == "bias":
        return torch.full(tuple(shape), float(name == "weight"))
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    values = torch.empty(tuple(shape))
    if layer.kind == "linear":
        bound = 1 / math.sqrt(layer["in_features"])
        return values.uniform_(-bound, bound, generator=generator)
    fan_out = shape[0] * shape[2] * shape[3] / layer["groups"]
    return values.normal_(0, math.sqrt(2 / fan_out), generator=generator)


def set_drop_path(module: nn.Module, p: float | Tensor) -> None:
    """Set the probability of every drop-path layer of a network."""
    for part in module.modules():
        if isinstance(part, DropPath):
            part.p = p


EXPRESSIONS = {  # what expressions may name
    "torch": torch, "F": F, "gate": gate, "joint_norm": joint_norm, "every": every,
    "mean_of_pixels": mean_of_pixels, "channels_of": channels_of,
}  # fmt: skip
CONSTRUCTORS = {"nn": nn, "DropPath": DropPath, "PointwiseConv2d": StridedConv2d}
