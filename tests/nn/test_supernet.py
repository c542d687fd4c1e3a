"""Shared weights: who shares with whom, independent of order, never copied, exactly restored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from epnas_dsl.errors import DataError
from epnas_dsl.lang.loading import load_space, read_space
from epnas_dsl.nn.network import build_network, count_parameters
from epnas_dsl.nn.supernet import Supernet
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import network_layers, to_layers, to_network
from epnas_dsl.space.operations import Layer

SPACES = ["micro", "macro", "pnas", "darts", "nasbench201", "nasbench101", "enas_micro"]
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Program = tuple[Layer, ...]


def programs(space: str, n: int) -> list[Program]:
    found = sample(load_space(f"{space}(channels=6)"), n, np.random.default_rng(5))
    return [to_layers(to_network(a, (3, 8, 8))) for a in found]


def step(network: nn.Module) -> None:
    network.train()(IMAGES).square().mean().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
                parameter.grad = None


@pytest.mark.parametrize("space", ["micro", "macro"])
def test_the_order_of_creation_changes_nothing(space: str) -> None:
    layers = programs(space, 3)
    forwards, backwards = Supernet(seed=7), Supernet(seed=7)
    for x in layers:
        forwards.network(x)
    for x in reversed(layers):
        backwards.network(x)
    assert list(forwards.state()) == list(backwards.state())
    assert all(torch.equal(v, backwards.state()[k]) for k, v in forwards.state().items())
    other = Supernet(seed=8)
    other.network(layers[0])
    name = next(k for k in other.state() if ":conv:weight" in k)
    assert not torch.equal(other.state()[name], forwards.state()[name])


def test_bound_networks_hold_the_shared_parameters_themselves() -> None:
    layers = programs("micro", 3)
    supernet = Supernet()
    networks = [supernet.network(x) for x in layers]
    shared = {id(p) for p in supernet.parameters.values()}
    assert all(id(p) in shared for n in networks for p in n.parameters())
    first, again = supernet.network(layers[0]), networks[0]
    pairs = list(zip(first.parameters(), again.parameters(), strict=True))
    assert pairs
    assert all(a is b for a, b in pairs)
    assert networks[0].x.conv.weight is networks[1].x.conv.weight


def test_no_two_batch_norms_have_statistics_in_common() -> None:
    supernet, layers = Supernet(), programs("micro", 1)[0]
    found = [b for _ in range(2) for b in supernet.network(layers).buffers()]
    for n, buffer in enumerate(found):
        buffer.fill_(n)
    assert len(found) > 6
    assert all(bool((buffer == n).all()) for n, buffer in enumerate(found))
    assert load(save({str(n): buffer for n, buffer in enumerate(found)}))["1"].eq(1).all()


def test_statistics_belong_to_each_network() -> None:
    layers = programs("micro", 1)[0]
    supernet = Supernet()
    first, second = supernet.network(layers), supernet.network(layers)
    first(IMAGES)
    assert first.x.batch_norm.running_mean.abs().sum() > 0
    assert second.x.batch_norm.running_mean.abs().sum() == 0
    assert second.x.batch_norm.weight is first.x.batch_norm.weight


def test_networks_have_the_modules_in_common_that_hold_nothing_but_shared_weights() -> None:
    (layers,) = programs("micro", 1)
    supernet = Supernet()
    one, other = supernet.network(layers), supernet.network(layers)
    stays = (nn.Conv2d, nn.ParameterList, nn.Linear, nn.MaxPool2d, nn.AvgPool2d)
    for (path, a), (same, b) in zip(one.named_modules(), other.named_modules(), strict=True):
        assert path == same
        assert (a is b) == isinstance(a, stays)
    before = {id(p) for p in one.parameters()}
    supernet.load_state({})  # all weights are made anew, and no module holds old ones
    fresh = {id(p) for p in supernet.network(layers).parameters()}
    assert fresh == {id(p) for p in supernet.parameters.values()}
    assert fresh.isdisjoint(before)


def test_the_mode_of_one_network_is_not_that_of_another() -> None:
    """What works otherwise in training is each network's own; hooks and freezing are for all."""
    space = read_space("""
    space modes()
    network (image) {
        x = conv_3x3(image, 8)
        x = conv_3x3(x) | x
        return linear(dropout(global_avg_pool(x), 0.5), 10)
    }
    """)
    supernet = Supernet()
    first, second = (
        supernet.network(to_layers(to_network(Architecture(space, (i,)), (3, 8, 8))))
        for i in (0, 1)
    )
    assert first.x.conv is second.x.conv
    expected = first.eval()(IMAGES)
    second.train()(IMAGES)
    assert torch.equal(first(IMAGES), expected)
    second.eval()
    first.train()
    second.eval()
    assert not torch.equal(first(IMAGES), first(IMAGES))
    assert torch.equal(second(IMAGES), second(IMAGES))
    calls: list[nn.Module] = []
    first.x.conv.register_forward_hook(lambda module, *_: calls.append(module))
    first.register_forward_hook(lambda module, *_: calls.append(module))
    second(IMAGES)
    assert calls == [first.x.conv]
    alone = supernet.extract(to_layers(to_network(Architecture(space, (0,)), (3, 8, 8))), first)
    alone.requires_grad_(False).double().eval()(IMAGES.double())
    assert calls == [first.x.conv]
    assert all(p.requires_grad and p.dtype == torch.float32 for p in first.parameters())


def test_passes_change_nothing_in_the_order_of_the_modules() -> None:
    for space in SPACES:
        for layers in programs(space, 2):
            plain, usual = build_network(layers, passes=()), build_network(layers)
            assert [*plain.state_dict()] == [*usual.state_dict()]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("space", SPACES)
def test_bound_extracted_and_standalone_networks_agree_to_the_bit(
    space: str, channels_last: bool
) -> None:
    form = torch.channels_last if channels_last else torch.contiguous_format
    images = IMAGES.contiguous(memory_format=form)
    for layers in programs(space, 2):
        supernet = Supernet(memory_format=form)
        bound = supernet.network(layers)
        step(bound)
        extracted = supernet.extract(layers, bound)
        alone = build_network(layers, seed=9).to(memory_format=form)
        alone.load_state_dict(extracted.state_dict())
        assert not {id(p) for p in extracted.parameters()} & {id(p) for p in bound.parameters()}
        for training in (False, True):
            outputs = [n.train(training)(images) for n in (bound, extracted, alone)]
            assert torch.equal(outputs[0], outputs[1])
            assert torch.equal(outputs[1], outputs[2])
        for output in outputs:
            output.square().sum().backward()
        gradients = {k: p.grad for k, p in extracted.named_parameters()}
        own = {k: p.grad for k, p in alone.named_parameters()}
        assert all(_equal(g, own[k]) for k, g in gradients.items())
        whole = {k: p.grad for k, p in bound.named_parameters() if ".slices." not in k}
        assert all(_equal(g, gradients[k]) for k, g in whole.items())
        for path, module in bound.named_modules():
            if hasattr(module, "slices"):
                joined = torch.cat([p.grad for p in module.slices], 1)
                assert torch.equal(joined, gradients[f"{path}.weight"])


def _equal(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    return a is b if a is None or b is None else torch.equal(a, b)


def test_joined_values_keep_their_slice_of_the_weight_whatever_else_is_joined() -> None:
    supernet = Supernet()

    def conv(*joined: str) -> nn.Module:
        image = Layer("image", "input", (), 3)
        cat = Layer("h", "concat", ("image",) * len(joined), 3 * len(joined))
        settings = {
            "in_channels": 3 * len(joined), "out_channels": 4, "kernel_h": 1, "kernel_w": 1,
            "stride": 1, "pad_h": 0, "pad_w": 0, "dilation": 1, "groups": 1, "bias": 0,
        }  # fmt: skip
        slices = tuple((name, 3) for name in joined)
        last = Layer("y.conv", "conv", ("h",), 4, tuple(settings.items()), "y/conv", slices)
        return supernet.network((image, cat, last)).y.conv

    first, second = conv("a", "b"), conv("b", "c")
    assert first.slices[1] is second.slices[0]
    assert first.slices[0] is not second.slices[1]
    assert len(supernet.parameters) == 3


def test_channels_last_is_how_the_parameters_are_made_not_how_they_are_copied() -> None:
    layers = programs("micro", 1)[0]
    supernet = Supernet(memory_format=torch.channels_last)
    network = supernet.network(layers)
    assert network.x.conv.weight.is_contiguous(memory_format=torch.channels_last)
    before = dict(network.named_parameters())
    network.to(memory_format=torch.channels_last)
    assert all(before[k] is p for k, p in network.named_parameters())
    contiguous = Supernet()
    contiguous.network(layers)
    assert all(torch.equal(v, contiguous.state()[k]) for k, v in supernet.state().items())


def test_a_checkpoint_brings_back_exactly_what_there_was() -> None:
    layers = programs("micro", 3)
    supernet = Supernet(seed=3, memory_format=torch.channels_last)
    step(supernet.network(layers[0]))
    saved = load(save(supernet.state()))
    step(supernet.network(layers[1]))
    after = supernet.state()

    fresh = Supernet(seed=3, memory_format=torch.channels_last)
    fresh.load_state(saved)
    step(fresh.network(layers[1]))
    assert all(torch.equal(v, fresh.state()[k]) for k, v in after.items())

    supernet.load_state(saved)  # back in place: what came later starts anew
    assert supernet.state().keys() == saved.keys()
    step(supernet.network(layers[1]))
    assert all(torch.equal(v, supernet.state()[k]) for k, v in after.items())


def test_a_foreign_checkpoint_is_refused_and_changes_nothing() -> None:
    supernet = Supernet()
    supernet.network(programs("micro", 1)[0])
    before = supernet.state()
    name = next(iter(before))
    for wrong in ({name: torch.zeros(1, 2)}, {name: before[name].long()}, {"x": torch.ones(3)}):
        with pytest.raises(DataError) as raised:
            supernet.load_state(wrong)
        assert raised.value.diagnostics[0].code == "E660"
    assert all(torch.equal(v, supernet.state()[k]) for k, v in before.items())


def test_weights_that_are_not_numbers_are_noticed() -> None:
    supernet = Supernet()
    network = supernet.network(programs("micro", 1)[0])
    assert supernet.is_finite()
    with torch.no_grad():
        network.x.conv.weight[0, 0, 0, 0] = float("nan")
    assert not supernet.is_finite()


def test_a_merge_is_the_mean_of_those_that_trained_a_weight() -> None:
    layers = programs("micro", 2)
    owner, whole = Supernet(3), Supernet(3)
    states = []
    for i, architecture in enumerate(layers):
        worker = Supernet(3)
        network = worker.network(architecture)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1.0 + i)
        states.append(worker.state(network))
        whole.network(architecture)
    before = whole.state()
    both = states[0].keys() & states[1].keys()
    assert both
    assert states[0].keys() != states[1].keys()
    owner.merge(states)
    merged = owner.state()
    assert merged.keys() == before.keys()
    for name, value in merged.items():
        change = 1.5 if name in both else 1.0 if name in states[0] else 2.0
        torch.testing.assert_close(value, before[name] + change)
    known = dict(owner.parameters)
    owner.merge(states[:1])
    assert all(owner.parameters[name] is parameter for name, parameter in known.items())


def test_two_strided_copies_of_one_value_have_weights_of_their_own() -> None:
    space = read_space("""space t cell red/2 (p) { a = p + p + skip_connect(p) return a }
        network (image) { x = stack(conv_3x3(image, 8), [red])
        return linear(global_avg_pool(x), 10) }""")
    layers = network_layers(Architecture(space, ()), (3, 32, 32))
    supernet = Supernet()
    bound, own = supernet.network(layers), supernet.extract(layers)
    assert count_parameters(bound) == count_parameters(own)


@pytest.mark.parametrize("space", ["nasbench101", "nats_size"])
def test_networks_of_other_widths_have_norms_of_their_own(space: str) -> None:
    supernet = Supernet()
    for architecture in sample(load_space(space), 4, np.random.default_rng(0)):
        layers = network_layers(architecture, (3, 8, 8))
        network = supernet.network(layers).eval()
        images = torch.randn(2, 3, 8, 8)
        assert torch.equal(network(images), supernet.extract(layers).eval()(images))
