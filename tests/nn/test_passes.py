"""Passes: each on its own keeps outputs, gradients and statistics, and does what it is for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from epnas_dsl.lang.loading import read_space
from epnas_dsl.nn.folding import fold_batch_norms
from epnas_dsl.nn.network import overwriting
from epnas_dsl.nn.operations import set_drop_path
from epnas_dsl.nn.supernet import Supernet
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import network_layers, to_layers, to_network
from epnas_dsl.space.operations import Layer
from epnas_dsl.space.passes import EXACT, Pass, Program, changed, common, folded, identities, joined
from epnas_dsl.space.shapes import training_memory
from tests.nn.small import SPACES, small_space

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
PASSES: dict[str, tuple[Pass, ...]] = {
    "identities": (identities,),
    "common": (common,),
    "joined": (joined,),
    "all": (identities, common, joined),
}


def programs(space: str, n: int, seed: int = 5, drop_path: bool = False) -> list[Program]:
    found = sample(small_space(space), n, np.random.default_rng(seed))
    return [to_layers(to_network(a, (3, 32, 32)), drop_path) for a in found]


def trained(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Outputs in training and evaluation, and gradients, after two steps' worth of statistics."""
    torch.manual_seed(0)
    network.train()(images)
    output = network(images)
    weight = torch.linspace(-1, 1, output.shape[1])
    (output * weight).sum().backward()
    gradients = {k: p.grad for k, p in network.named_parameters() if p.grad is not None}
    return output.detach(), network.eval()(images).detach(), gradients


def compare(layers: Program, passes: tuple[Pass, ...], exact: bool, last: bool) -> None:
    form = torch.channels_last if last else torch.contiguous_format
    images = IMAGES.double().contiguous(memory_format=form)
    plain, made = (Supernet(3).network(layers, p).double() for p in ((), passes))
    for network in (plain, made):
        network.to(memory_format=form)
        set_drop_path(network, 0.0)
    assert list(plain.state_dict()) == list(made.state_dict())
    ours, theirs = trained(made, images), trained(plain, images)
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        assert torch.equal(a, b) if exact else torch.allclose(a, b, rtol=1e-9, atol=1e-9)
    assert ours[2].keys() <= theirs[2].keys()
    top = max(float(g.abs().max()) for g in theirs[2].values())
    for name, gradient in theirs[2].items():
        found = ours[2].get(name, torch.zeros_like(gradient))  # dead code gets none
        torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-10 * top)
    live = {name for layer in changed(layers, passes) for name in (layer.name, *layer.parts)}
    for name, value in plain.named_buffers():
        if name.rpartition(".")[0] in live:
            torch.testing.assert_close(made.get_buffer(name), value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("space", SPACES)
def test_each_pass_keeps_outputs_gradients_and_statistics(space: str, name: str) -> None:
    (layers,) = programs(space, 1)
    last = (SPACES.index(space) + [*PASSES].index(name)) % 2 == 0
    compare(layers, PASSES[name], name in ("identities", "common"), last)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["micro", "macro", "darts", "nasbench201", "enas_micro", "pnas"]),
    st.integers(0, 10_000), st.sampled_from(sorted(PASSES)), st.booleans(),
)  # fmt: skip
def test_passes_keep_random_architectures(space: str, seed: int, name: str, last: bool) -> None:
    (layers,) = programs(space, 1, seed)
    compare(layers, PASSES[name], name in ("identities", "common"), last)


# --- what they are there for -------------------------------------------------------------------


def layers_of(body: str) -> Program:
    """The layers of the only architecture of a space with one cell, 8 channels wide."""
    space = read_space(
        "space one cell c (p) { " + body + " } network (image) { x = stack(conv_1x1(image, 8), [c])"
        " return linear(global_avg_pool(x), 10) }"
    )
    (architecture,) = sample(space, 1, np.random.default_rng(0))
    return network_layers(architecture, (3, 16, 16))


def counted(layers: Program) -> Counter[str]:
    return Counter(layer.kind for layer in layers)


def test_what_changes_nothing_is_gone() -> None:
    layers = layers_of("return relu(relu(p)) + none(conv_3x3(p)) + none(p)")
    before, after = counted(layers), counted(identities(layers))
    assert (before["zero"], before["relu"], before["conv"], before["add"]) == (2, 4, 2, 1)
    assert after == Counter(["input", "conv", "batch_norm", "relu", "global_avg_pool", "linear"])


def test_the_same_is_computed_once_in_a_cell() -> None:
    layers = layers_of("return conv_1x1(relu(p) + max_pool_3x3(p)) + max_pool_3x3(p) + relu(p)")
    before, after = counted(layers), counted(common(layers))
    assert before - after == Counter(max_pool=1, relu=1)
    assert common(common(layers)) == common(layers)


def test_what_several_read_since_it_is_computed_once_is_not_overwritten() -> None:
    for other, overwritten in (("max_pool_3x3", 0), ("relu", 1)):
        layers = layers_of(f"q = conv_3x3(p); return relu(p + q) + {other}(p + q)")
        assert counted(layers)["add"] - counted(changed(layers))["add"] == 1
        found = [x for x in overwriting(changed(layers)) if x.startswith("cell1.output")]
        assert len(found) == overwritten
        compare(layers, EXACT, exact=True, last=True)


def test_convolutions_of_one_value_are_one() -> None:
    layers = layers_of("return conv_3x3(p) + conv_3x3(p) + conv_5x5(p) + conv_3x3(relu(p))")
    before, after = counted(layers), counted(joined(layers))
    assert before - after == Counter(conv=1, batch_norm=1, relu=1)
    assert after - before == Counter(split=1, part=2)
    (wide,) = (x for x in joined(layers) if x.kind == "conv" and x.parts)
    assert wide.channels == 16
    code = Supernet().network(layers, (joined,)).get_submodule("cell1").code
    assert "joint_norm" in str(code)


def test_a_value_of_the_name_that_a_joined_convolution_had_stays_itself() -> None:
    body = "joined1_conv = p + dw_conv_5x5(p); return conv_3x3(p) + conv_3x3(p) + joined1_conv"
    layers = layers_of(body)
    names = [x.name for x in joined(layers)]
    assert len(set(names)) == len(names)
    compare(layers, (joined,), exact=False, last=True)


def test_weights_that_are_joined_stay_shared() -> None:
    layers = layers_of("return conv_3x3(p) + conv_3x3(p)")
    supernet = Supernet()
    plain, wide = supernet.network(layers), supernet.network(layers, (joined,))
    assert [id(p) for p in plain.parameters()] == [id(p) for p in wide.parameters()]


def test_a_relu_overwrites_only_what_nothing_else_needs() -> None:
    image = Layer("image", "input", (), 4)
    bn = Layer("bn", "batch_norm", ("image",), 4)
    alias = Layer("alias", "add", ("image",), 4)
    both = Layer("both", "add", ("bn", "alias"), 4)

    def over(*more: Layer) -> set[str]:
        return overwriting((image, bn, alias, both, *more))

    def relu(read: str, name: str = "r") -> Layer:
        return Layer(name, "relu", (read,), 4)

    assert over(relu("both")) == {"r"}
    assert over(relu("bn")) == over(relu("alias")) == over(relu("image")) == set()
    assert over(relu("both"), relu("r", "r2")) == {"r"}
    assert over(relu("both"), relu("both", "r2")) == set()


# --- inference ---------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
def test_folded_batch_norms_keep_the_scores(space: str) -> None:
    (layers,) = programs(space, 1)
    supernet = Supernet(3)
    bound = supernet.network(layers)
    bound.train()(IMAGES)  # statistics that are not 0 and 1
    with torch.no_grad():
        for name, parameter in supernet.parameters.items():
            if ":batch_norm:" in name:
                parameter.add_(torch.linspace(-0.5, 0.5, parameter.numel()))
    for network in (bound, supernet.extract(layers, bound)):
        fast = fold_batch_norms(network.eval(), layers)
        with torch.no_grad():
            scores, other = network(IMAGES), fast(IMAGES)
        assert float((other - scores).abs().max()) <= 1e-4 * float(scores.abs().max())
    kinds = counted(folded(layers)[0])
    assert kinds["batch_norm"] == counted(layers)["batch_norm"] - len(folded(layers)[1])


def test_only_a_batch_norm_that_reads_a_convolution_alone_is_folded() -> None:
    assert "batch_norm" not in counted(folded(layers_of("return conv_3x3(p) + dw_conv_5x5(p)"))[0])


# --- memory ------------------------------------------------------------------------------------


def kept_bytes(network: nn.Module, count: int) -> int:
    """What autograd holds after a forward pass of so many images, each piece of memory once."""
    images = torch.randn(count, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    held: list[Tensor] = []

    def pack(value: Tensor) -> Tensor:
        held.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        output = network(images)
    assert output.requires_grad
    parts = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in held}
    parts.pop(images.untyped_storage().data_ptr(), None)
    return sum(parts.values())


BODIES = {  # no gradient comes to zeros, nor to images
    "pooled zeros": "z = none(p); return max_pool_3x3(z) + avg_pool_3x3(relu(z)) + relu(p)",
    "a product with zeros": "y = conv_3x3(p) + conv_3x3(p); return multiply(none(p), y) + relu(p)",
    "a product of zeros": "z = none(p); return multiply(z, relu(z)) + relu(p)",
    "a square": "y = conv_3x3(p) + conv_3x3(p); return multiply(y, y) + multiply(p, y)",
    "a gate of zeros": "y = conv_3x3(p) + p; return multiply(y, global_avg_pool(none(p)))",
}


@pytest.mark.parametrize("space", [*SPACES, *BODIES])
def test_the_memory_of_a_training_step_is_what_autograd_keeps(space: str) -> None:
    if space in BODIES:
        layers = layers_of(BODIES[space])
    else:
        (layers,) = programs(space, 1)
    network = Supernet(memory_format=torch.channels_last).network(layers)
    measured = (kept_bytes(network, 5) - kept_bytes(network, 3)) / 2
    assert measured == training_memory(changed(layers), (3, 32, 32))
