"""Passes over the layers of a network: each returns other layers that compute the same.

Parts of a network (a cell: the layers whose names begin alike) stay together, so that equal cells
still have one code. `identities` and `common`, which every network goes through, change no output
by a bit; gradients of values that several layers read may add up in another order, and a
convolution that `joined` made of several may be carried out by another kernel. In float32 that is
within 1e-5 of the largest value.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import reduce

from epnas_dsl.space.operations import Layer, reading

Program = tuple[Layer, ...]
Pass = Callable[[Program], Program]

OWN = frozenset({"input", "conv", "batch_norm", "linear", "dropout", "drop_path"})


def identities(layers: Program) -> Program:
    """What changes nothing is gone, and so is what nothing depends on.

    A sum with zeros, a dropout of nothing, the ReLU of a ReLU, a slice of everything.
    """
    made: dict[str, Layer] = {}
    same: dict[str, str] = {}  # for a layer that is gone, the one that it was
    for layer in reading(layers, same):
        made[layer.name] = layer
        if layer.kind == "add":
            kept = [i for i in layer.inputs if made[i].kind != "zero"] or [layer.inputs[0]]
            if len(kept) == 1:
                same[layer.name] = kept[0]
            if len(kept) < len(layer.inputs):
                made[layer.name] = replace(layer, inputs=tuple(kept))
        elif layer.kind in {"relu", "dropout", "channel_slice"}:
            read = made[layer.inputs[0]]
            if (
                (layer.kind == "relu" == read.kind)
                or (layer.kind == "dropout" and layer["p"] == 0)
                or (layer.kind == "channel_slice" and layer.channels == read.channels)
            ):
                same[layer.name] = layer.inputs[0]
    last = same.get(layers[-1].name, layers[-1].name)
    return _alive([made[x.name] for x in layers if x.name not in same], last)


def common(layers: Program) -> Program:
    """Layers of one part without weights that do the same to the same values are one."""
    same: dict[str, str] = {}
    first: dict[object, Layer] = {}
    kept: list[Layer] = []
    for layer in reading(layers, same):
        if layer.kind not in OWN and layer.name != layers[-1].name:
            key = (_part(layer), layer.kind, layer.inputs, layer.settings)
            if (found := first.setdefault(key, layer)) is not layer:
                same[layer.name] = found.name
                continue
        kept.append(layer)
    return tuple(kept)


EXACT: tuple[Pass, ...] = (identities, common)  # outputs are the same to the last bit


def changed(layers: Iterable[Layer], passes: Iterable[Pass] = EXACT) -> Program:
    """The layers after the passes, one after the other."""
    return reduce(lambda program, change: change(program), passes, tuple(layers))


def joined(layers: Program) -> Program:
    """Convolutions of one kind on the same value of a part are one, with their batch norms.

    Fewer and larger kernels: for devices that wait for each. A CPU gains nothing, since the
    gradients of what is shared out have to be put together again (`docs/performance.md`).
    """
    readers: defaultdict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        for i in layer.inputs:
            readers[i].append(layer)
    alike: defaultdict[object, list[list[Layer]]] = defaultdict(list)
    for layer in layers:
        if layer.kind == "conv" and layer["groups"] == 1 and not layer.slices:
            chain = _chain(layer, readers, layers[-1])
            rest = tuple(s for s in layer.settings if s[0] != "out_channels")
            kinds = tuple(x.kind for x in chain)
            alike[_part(layer), layer.inputs, rest, kinds].append(chain)
    same: dict[str, str] = {}
    places: dict[str, list[Layer]] = {}  # by the first layer that they stand for
    for chains in alike.values():
        if len(chains) > 1 and "." in chains[0][0].name:
            made, outputs = _join(chains, f"{_part(chains[0][0])}.joined{len(places) + 1}")
            same |= {c[-1].name: name for c, name in zip(chains, outputs, strict=True)}
            places[chains[0][0].name] = made
            places |= {x.name: [] for c in chains for x in c if x is not chains[0][0]}
    return tuple(reading([x for old in layers for x in places.get(old.name, [old])], same))


def folded(layers: Program) -> tuple[Program, dict[str, str]]:
    """For inference: batch norms are part of the convolutions that nothing but they reads.

    Returns:
        The layers, and for each such convolution, which has a bias now, the batch norm.
    """
    readers = Counter(i for layer in layers for i in layer.inputs)
    norms = {
        x.inputs[0]: x.name for x in layers if x.kind == "batch_norm" and readers[x.inputs[0]] == 1
    }
    same: dict[str, str] = {}
    result: list[Layer] = []
    made: dict[str, str] = {}
    for layer in reading(layers, same):
        if layer.kind == "conv" and layer.name in norms:
            made[layer.name] = norms[layer.name]
            settings = tuple((k, 1 if k == "bias" else v) for k, v in layer.settings)
            result.append(replace(layer, settings=settings, slices=()))
        elif made.get(layer.inputs[0] if layer.inputs else "") == layer.name:
            same[layer.name] = layer.inputs[0]
        else:
            result.append(layer)
    return tuple(result), made


def _join(chains: list[list[Layer]], name: str) -> tuple[list[Layer], list[str]]:
    """Equal chains as one that is shared out at its end, and the names of what comes out."""
    widths = [chain[0].channels for chain in chains]
    (value,) = chains[0][0].inputs
    made: list[Layer] = []  # with hyphens in their names, as no name of a space has
    for stage in zip(*chains, strict=True):
        kind, settings = stage[0].kind, stage[0].settings
        if kind == "conv":
            settings = tuple((k, sum(widths) if k == "out_channels" else v) for k, v in settings)
        parts = tuple(x.name for x in stage) if kind in OWN else ()
        made.append(Layer(f"{name}-{kind}", kind, (value,), sum(widths), settings, parts=parts))
        value = made[-1].name
    given = tuple((f"width{n}", width) for n, width in enumerate(widths))
    split = Layer(f"{name}-split", "split", (value,), sum(widths), given)
    outputs = [
        Layer(f"{name}-{n}", "part", (split.name,), width, (("index", n),))
        for n, width in enumerate(widths)
    ]
    return [*made, split, *outputs], [x.name for x in outputs]


def _chain(conv: Layer, readers: dict[str, list[Layer]], last: Layer) -> list[Layer]:
    """The convolution, the batch norm and the ReLU behind it, as far as no other reads between."""
    chain = [conv]
    for kind in ("batch_norm", "relu"):
        read = readers[chain[-1].name]
        if len(read) != 1 or read[0].kind != kind or read[0] is last:
            break
        chain.append(read[0])
    return chain


def _alive(layers: Sequence[Layer], output: str) -> Program:
    """The layers that the output depends on, which comes last, and the inputs."""
    wanted = {output}
    kept: list[Layer] = []
    for layer in reversed(layers):
        if layer.name in wanted or layer.kind == "input":
            wanted.update(layer.inputs)
            kept.append(layer)
    return tuple(reversed(kept))


def _part(layer: Layer) -> str:
    return layer.name.partition(".")[0]
