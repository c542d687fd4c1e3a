"""Turn a search space into shared weights: a parameter for each sharing key, made on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from epnas_dsl.errors import DataError
from epnas_dsl.nn.network import compile
from epnas_dsl.nn.operations import WEIGHTED, Pattern, build_module, initial, own_buffers
from epnas_dsl.space.operations import Layer
from epnas_dsl.space.passes import EXACT, Pass

KEPT = frozenset({"conv", "linear", "max_pool", "avg_pool"})  # kinds whose modules do not change


class Supernet:
    """The weights that the networks of a search share (section 3.3).

    A parameter is found by the layer's key, its kind and its shape. What it starts from depends on
    the seed and that alone, so the order in which networks are made changes nothing. Parameters
    are made in the memory format and on the device where they stay: a network that is bound to
    them holds no copy, and converting it to another device would part it from the others.
    Convolutions, fully connected layers and pools are shared as modules, of batch norms the scales
    and offsets. Batch norms, dropout and drop-path are each network's own, so `train()` or `eval()`
    of one changes no result of another. Other changes of a shared module or parameter (a hook, also
    by `apply`, `.to()`, `requires_grad_()`) reach all that have it; first `extract` the network.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        memory_format: torch.memory_format = torch.contiguous_format,
        device: torch.device | str = "cpu",
    ) -> None:
        self.seed = seed
        self.memory_format = memory_format
        self.device = torch.device(device)
        self.parameters: dict[str, nn.Parameter] = {}
        self._makers: dict[object, Callable[[], nn.Module]] = {}

    def network(self, layers: Sequence[Layer], passes: Iterable[Pass] = EXACT) -> nn.Module:
        """A network bound to the shared parameters, with fresh batch-norm statistics.

        Args:
            passes: as for `compile`; with the usual ones it agrees to the last bit with `extract`
                and a network of its own, and but for the order in which gradients add up with the
                exported file.
        """
        norms: list[nn.Module] = []
        network = compile(layers, partial(self._module, norms), passes)
        own_buffers(norms)
        return network

    def extract(self, layers: Sequence[Layer], network: nn.Module | None = None) -> nn.Module:
        """The network with a copy of its weights for itself.

        Args:
            network: one bound to the same layers, whose batch-norm statistics are copied.
        """

        def copied(layer: Layer, name: str, shape: tuple[int, ...]) -> nn.Parameter:
            shared = self._shared(layer, name, shape)
            joined = torch.cat(shared, 1) if isinstance(shared, tuple) else shared
            return nn.Parameter(joined.detach().clone(memory_format=torch.preserve_format))

        result = compile(layers, lambda layer: build_module(layer, copied, self.device))
        statistics = dict(network.named_buffers()) if network else {}
        for name, buffer in result.named_buffers():
            if name in statistics:
                buffer.copy_(statistics[name])
        return result

    def state(self, network: nn.Module | None = None) -> dict[str, Tensor]:
        """A contiguous copy of every parameter on the CPU, for a checkpoint.

        Args:
            network: bound to shared parameters; only these are copied.
        """
        bound = None if network is None else {id(p) for p in network.parameters()}
        return {
            name: p.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, p in sorted(self.parameters.items())
            if bound is None or id(p) in bound
        }

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Set each parameter that some of the states hold to the mean of its values there.

        That is the old value and the mean change of those that trained it, wherever they began
        from the same weights. The order of the states is that of the sum, and counts in its last
        bit.
        """
        for name in sorted({name for state in states for name in state}):
            self._set(name, torch.stack([x[name] for x in states if name in x]).mean(0))

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a `state`: parameters that it lacks are made anew when they are used.

        Raises:
            DataError: a tensor does not have the shape that its name states, or is not finite.
        """
        for name, tensor in state.items():
            shape = "x".join(map(str, tensor.shape))
            if name.rpartition(":")[2] != shape or not tensor.is_floating_point():
                raise DataError(
                    f"the weights `{name}` are a {tensor.dtype} tensor of shape {shape}",
                    code="E660",
                    hint="the checkpoint is not one of shared weights",
                )
            if not bool(torch.isfinite(tensor).all()):
                raise DataError(f"the weights `{name}` are not all finite", code="E660")
        self.parameters = {n: p for n, p in self.parameters.items() if n in state}
        self._makers = {}
        for name, tensor in state.items():
            self._set(name, tensor)

    def is_finite(self) -> bool:
        """Whether no shared weight is infinite or not a number."""
        return all(bool(torch.isfinite(p).all()) for p in self.parameters.values())

    def _module(self, norms: list[nn.Module], layer: Layer) -> nn.Module:
        """A layer's module; networks have those in common that hold nothing but shared weights.

        Those that need statistics of their own are added to `norms`.
        """
        name = layer.key if layer.kind in WEIGHTED else ""
        key = name, layer.kind, layer.channels, layer.settings, layer.slices
        make = self._makers.get(key)
        if make is None:
            module = build_module(layer, self._shared, self.device)
            make = (lambda: module) if layer.kind in KEPT else Pattern(module).made
            self._makers[key] = make
        module = make()
        if layer.kind == "batch_norm":
            norms.append(module)
        return module

    def _shared(
        self, layer: Layer, name: str, shape: tuple[int, ...]
    ) -> nn.Parameter | tuple[nn.Parameter, ...]:
        if layer.slices and name == "weight":
            return tuple(
                self._parameter(layer, f"{layer.key}:{label}", name, (shape[0], width, *shape[2:]))
                for label, width in layer.slices
            )
        return self._parameter(layer, layer.key, name, shape)

    def _parameter(self, layer: Layer, key: str, name: str, shape: tuple[int, ...]) -> nn.Parameter:
        full = f"{key}:{layer.kind}:{name}:{'x'.join(map(str, shape))}"
        found = self.parameters.get(full)
        if found is None:
            found = self._add(full, initial(layer, name, shape, self.seed, full))
        return found

    @torch.no_grad()
    def _set(self, name: str, values: Tensor) -> None:
        if name in self.parameters:
            self.parameters[name].copy_(values)
        else:
            self._add(name, values)

    def _add(self, name: str, values: Tensor) -> nn.Parameter:
        values = values.to(self.device, torch.float32, copy=True)
        if values.dim() == 4:
            values = values.contiguous(memory_format=self.memory_format)
        self.parameters[name] = parameter = nn.Parameter(values)
        return parameter
