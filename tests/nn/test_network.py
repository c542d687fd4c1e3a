"""Networks from layers: equal to torch written by hand, plain, and a function of the seed alone."""

from __future__ import annotations

import copy
import pickle
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nn.small import SPACES as ALL_SPACES
from nn.small import some_of_every

from epnas_dsl.lang.loading import load_space
from epnas_dsl.nn.network import build_network, count_parameters, identifiers
from epnas_dsl.nn.operations import (
    MODULES,
    PYTHON,
    DropPath,
    gate,
    module_path,
    set_drop_path,
    weight_count,
)
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import network_layers, to_layers, to_network
from epnas_dsl.space.operations import OPERATIONS, Kind, Layer, Trace
from epnas_dsl.space.shapes import costs

SPACES = ["micro", "macro", "pnas", "darts", "nasbench201", "nasbench101", "enas_micro"]
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def layers_of(space: str, seed: int = 0, drop_path: bool = False) -> tuple[Layer, ...]:
    architecture = sample(load_space(f"{space}(channels=6)"), 1, np.random.default_rng(seed))[0]
    return to_layers(to_network(architecture, (3, 8, 8)), drop_path)


def single(operation: str, channels: int = 8, **given: float) -> tuple[Layer, ...]:
    """A network of one operation, which reads the image (twice, if it reads two values)."""
    spec = OPERATIONS[operation]
    trace = Trace("y", {"image": channels}, "key")
    settings = dict(spec.fixed)
    for name, default in spec.parameters:
        place = {"channels": channels, "stride": 1, None: 3}.get(default, default)
        settings[name] = given.get(name, place)
    spec.build(trace, *["image"] * spec.inputs, **settings)
    return (Layer("image", "input", (), channels), *trace.layers)


def test_the_table_has_every_kind_and_no_other() -> None:
    assert set(PYTHON) == set(get_args(Kind))


@pytest.mark.parametrize(
    "operation",
    sorted(o for o in OPERATIONS if o not in {"linear", "skip_connect", "identity", "shortcut"}),
)
def test_every_operation_runs_and_has_the_channels_and_weights_that_its_layers_state(
    operation: str,
) -> None:
    given = {"features": 5} | ({"start": 2, "stop": 6} if operation == "channel_slice" else {})
    for stride in (1, 2):
        if operation == "factorized_reduce" and stride == 1:
            continue
        layers = single(operation, stride=stride, **given)
        network = build_network(layers)
        y = network(torch.randn(2, 8, 8, 8))
        size = 8 // stride if "stride" in dict(OPERATIONS[operation].parameters) else 8
        size = 16 if operation == "unpool" else size
        assert y.shape[:2] == (2, layers[-1].channels)
        assert y.dim() == 2 or operation.endswith("2x2") or y.shape[2:] == (size, size)
        assert count_parameters(network) == sum(map(weight_count, layers))


def test_layers_are_torchs() -> None:
    x = torch.randn(2, 8, 5, 5)

    def run(operation: str, **given: float) -> torch.Tensor:
        result = build_network(single(operation, **given)).eval()(x)
        assert isinstance(result, torch.Tensor)
        return result

    assert torch.equal(run("max_pool_3x3", stride=2), F.max_pool2d(x, 3, 2, 1))
    mean = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    assert torch.equal(run("avg_pool_3x3"), mean)
    assert torch.equal(run("none", stride=2), torch.zeros(2, 8, 3, 3))
    assert torch.equal(run("relu6"), x.clamp(0, 6))
    assert torch.equal(run("swish"), F.silu(x))
    assert torch.equal(run("channel_slice", start=1, stop=3), x[:, 1:3])
    shuffled = x.view(2, 2, 4, 5, 5).transpose(1, 2).reshape(2, 8, 5, 5)
    assert torch.equal(run("channel_shuffle", groups=2), shuffled)
    assert torch.equal(run("multiply"), x * x)
    larger = run("unpool", factor=3)
    assert larger.shape == (2, 8, 15, 15)
    assert torch.equal(larger[:, :, ::3, ::3], x)
    assert larger.count_nonzero() == x.count_nonzero()
    assert build_network(single("raw_conv", kernel_w=5)).y.conv.kernel_size == (3, 5)
    assert torch.equal(gate(x, x[:, :, 0, 0]), x * x[:, :, :1, :1])


def test_the_shifted_half_of_a_factorized_reduction_starts_a_pixel_later() -> None:
    network = build_network(single("factorized_reduce", stride=2)).eval()
    x = torch.randn(2, 8, 6, 6)
    y = torch.relu(x)
    left, right = network.y.conv(y), network.y.conv2(y[:, :, 1:, 1:])
    assert torch.equal(network(x), network.y.batch_norm(torch.cat([left, right], 1)))


@pytest.mark.parametrize("space", SPACES)
def test_a_network_is_what_interpreting_its_layers_gives(space: str) -> None:
    layers = layers_of(space)
    network = build_network(layers).eval()
    values = {"image": IMAGES}
    for layer in layers[1:]:
        inputs = [values[i] for i in layer.inputs]
        if layer.kind in MODULES:
            values[layer.name] = network.get_submodule(layer.name)(*inputs)
        elif layer.kind == "add":
            values[layer.name] = sum(inputs[1:], inputs[0])
        elif layer.kind == "concat":
            values[layer.name] = torch.cat(inputs, 1)
        else:
            text = PYTHON[layer.kind].format("x", **dict(layer.settings))
            values[layer.name] = eval(text, {"torch": torch, "F": F, "x": inputs[0]})
    assert torch.equal(network(IMAGES), values[layers[-1].name])


def test_the_seed_and_the_path_decide_the_weights_and_the_global_state_is_left_alone() -> None:
    layers = layers_of("micro")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = build_network(layers, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(4)
    again, other = build_network(layers, seed=1), build_network(layers, seed=2)
    pairs = zip(first.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.x.conv.weight, other.x.conv.weight)


def test_a_network_is_plain_enough_for_fx_export_deepcopy_and_pickle() -> None:
    network = build_network(layers_of("micro", seed=2)).eval()
    expected = network(IMAGES)
    assert torch.equal(torch.fx.symbolic_trace(network)(IMAGES), expected)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(twin(IMAGES), expected)
        assert type(twin) is type(network)
        assert not {*map(id, twin.parameters())} & {*map(id, network.parameters())}
        assert list(twin.state_dict()) == list(network.state_dict())
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(network, (IMAGES,), dynamic_shapes=({0: batch},))
    assert torch.equal(program.module()(IMAGES), expected)
    assert program.module()(IMAGES[:3]).shape == (3, 10)


@pytest.mark.slow
def test_torch_compile_takes_a_network_in_one_graph() -> None:
    network = build_network(layers_of("micro", seed=2)).eval()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(IMAGES), network(IMAGES), atol=1e-5)


def test_no_forward_branches_or_loops_and_equal_cells_share_one() -> None:
    network = build_network(layers_of("micro"))
    codes = [m.code for m in network.modules() if hasattr(m, "code")]
    assert codes[0].startswith("def forward(self, image):\n")
    assert not any(word in code for code in codes for word in (" if ", " for ", "while"))
    assert type(network.cell4) is type(network.cell5)


def test_channels_last_changes_nothing_but_rounding() -> None:
    network = build_network(layers_of("darts")).eval()
    expected = network(IMAGES)
    network.to(memory_format=torch.channels_last)
    x = IMAGES.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(x), expected, rtol=1e-3, atol=1e-3)


def test_drop_path_drops_whole_images_in_training_only() -> None:
    layers = layers_of("micro", drop_path=True)
    network = build_network(layers)
    kept = build_network(layers_of("micro"))
    assert network.state_dict().keys() == kept.state_dict().keys()
    assert torch.equal(network.eval()(IMAGES), kept.eval()(IMAGES))
    drop = DropPath()
    x = torch.ones(1000, 2, 3, 3)
    assert drop(x) is x
    set_drop_path(drop, 0.25)
    per_image = drop(x).flatten(1)
    assert per_image.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(per_image.amin(1), per_image.amax(1))
    assert 0.7 < (per_image[:, 0] > 0).float().mean() < 0.8
    assert drop.eval()(x) is x


def test_names_that_python_or_torch_need_for_themselves_are_still_good_names() -> None:
    assert module_path("cell1.type.conv") == "cell1.type_.conv"
    assert module_path("type_.lambda") == "type__.lambda_"
    names = identifiers({n: n for n in ("self", "a.b", "a_b", "class")})
    assert len(set(names.values())) == 4
    assert all(n.isidentifier() for n in names.values())
    layers = [Layer("image", "input", (), 3)]
    trace = Trace("half.forward", {"image": 3})
    trace.conv("image", 4, 3)
    network = build_network([*layers, *trace.layers])
    assert network(IMAGES).shape == (4, 4, 8, 8)


def test_parts_that_interleave_or_leak_are_written_into_the_network_itself() -> None:
    def relu(name: str, *inputs: str) -> Layer:
        return Layer(name, "add" if len(inputs) > 1 else "relu", inputs, 3)

    interleaved = [relu("a.x", "image"), relu("b.x", "a.x"), relu("a.y", "b.x")]
    leaking = [relu("c.x", "a.y"), relu("c.y", "c.x"), relu("d", "c.x", "c.y")]
    layers = [Layer("image", "input", (), 3), *interleaved, *leaking]
    assert torch.equal(build_network(layers)(IMAGES), 2 * IMAGES.relu())


def test_a_strided_1x1_convolution_learns_in_channels_last_what_it_does_in_contiguous_format() -> (
    None
):
    layers = single("conv_1x1", channels=4, stride=2)
    gradients = []
    for form in (torch.contiguous_format, torch.channels_last):
        network = build_network(layers).to(memory_format=form)
        x = IMAGES.repeat(1, 2, 1, 1)[:, :4].contiguous(memory_format=form)
        for _ in range(20):  # heap damage shows late
            network.zero_grad()
            network(x).square().sum().backward()
        gradients.append(network.y.conv.weight.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
    plain = F.conv2d(x, network.y.conv.weight, stride=2)
    torch.testing.assert_close(network.y.conv(x), plain, rtol=1e-5, atol=1e-5)


def assert_whole(architecture: Architecture, image: tuple[int, int, int]) -> None:
    """It compiles, runs, learns, and has the parameters that are told beforehand."""
    layers = network_layers(architecture, image)
    network = build_network(layers)
    images = torch.randn(2, *image)
    scores = network(images)
    assert scores.shape == (2, layers[-1].channels)
    scores.logsumexp(1).sum().backward()
    cost = costs(layers, image)
    assert count_parameters(network) == cost.params == sum(map(weight_count, layers))
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert len(gradients) > 0
    assert all(bool(g.isfinite().all()) for g in gradients)


def test_random_architectures_of_every_space_run_learn_and_count() -> None:
    for architecture in some_of_every(2, seed=1):
        assert_whole(architecture, (3, 32, 32))


@pytest.mark.exhaustive
def test_a_thousand_random_architectures_run_learn_and_count() -> None:
    found = list(some_of_every(-(-1000 // len(ALL_SPACES)), seed=7))
    assert len(found) >= 1000
    for architecture in found:
        assert_whole(architecture, (3, 32, 32))
