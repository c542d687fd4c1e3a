"""Networks of the literature come out of `.space` files: torchvision's weights give its outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from epnas_dsl.lang import load_space, read_space
from epnas_dsl.nn.export import export_python
from epnas_dsl.nn.network import build_network
from epnas_dsl.nn.operations import PointwiseConv2d
from epnas_dsl.nn.portable import renamed
from epnas_dsl.nn.supernet import Supernet
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import network_layers, to_layers, to_network
from epnas_dsl.space.operations import Layer
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.shapes import costs

IMAGENET = (3, 224, 224)
SHUFFLENET = """
space shufflenet_v2(classes=1000)

def stage(x, width, repeats) {
    x = shuffle_block(x, 3, width, stride=2)
    for i in 2..repeats { x = shuffle_block(x, 3, width) }
    return x
}

network (image) {
    x = max_pool_3x3(conv_3x3(image, 24, stride=2), stride=2)
    x = stage(stage(stage(x, 116, 4), 232, 8), 464, 4)
    return linear(global_avg_pool(conv_1x1(x, 1024)), classes)
}
"""


def only(space: SearchSpace) -> Architecture:
    """The one architecture of a space that leaves nothing to choose."""
    return Architecture(space, ())


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy parameters and statistics by their position."""
    theirs, ours = source.state_dict(), target.state_dict()
    assert [x.shape for x in theirs.values()] == [x.shape for x in ours.values()]
    target.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))


def outputs(network: nn.Module, images: Tensor) -> list[Tensor]:
    """In training, which moves the statistics, and then in evaluation."""
    torch.manual_seed(0)  # dropout
    with torch.no_grad():
        return [network.train(training)(images) for training in (True, False)]


def assert_equal(layers: tuple[Layer, ...], theirs: nn.Module) -> None:
    """The same outputs, to the bit.

    A convolution that reads every second pixel only adds in another order in float32 when it is
    handed those pixels alone, as ours is; so theirs are, too.
    """
    for module in theirs.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) != module.stride:
            module.__class__ = PointwiseConv2d
    ours = build_network(layers)
    copy_weights(theirs, ours)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for expected, found in zip(outputs(theirs, images), outputs(ours, images), strict=True):
        assert expected.std() > 0
        assert torch.equal(expected, found)


@pytest.mark.parametrize(
    ("space", "name"),
    [
        ("resnet", "resnet18"),
        ("resnet(layers=34)", "resnet34"),
        ("resnet(layers=50)", "resnet50"),
        pytest.param("resnet(layers=101)", "resnet101", marks=pytest.mark.slow),
        ("densenet", "densenet121"),
        pytest.param("densenet(layers=169)", "densenet169", marks=pytest.mark.slow),
        pytest.param("densenet(layers=201)", "densenet201", marks=pytest.mark.slow),
        ("mobilenet_v2", "mobilenet_v2"),
        (SHUFFLENET, "shufflenet_v2_x1_0"),
    ],
    ids=lambda x: "" if "\n" in x else x,
)
def test_torchvision(space: str, name: str) -> None:
    read = read_space(space) if "\n" in space else load_space(space)
    layers = network_layers(only(read), IMAGENET)
    published = next(iter(torchvision.models.get_model_weights(name))).meta
    spent = costs(layers, IMAGENET)
    assert spent.params == published["num_params"]
    assert round(spent.macs / 1e9, 3) == pytest.approx(published["_ops"], abs=1e-3)
    assert_equal(layers, torchvision.models.get_model(name, weights=None))


@pytest.mark.parametrize(
    "space",
    [
        "budgeted_resnet(repeats=2)",
        "conv_fabric(layers=3,channels=4)",
        "densenet_cifar(layers=22,growth=4)",
        "mobilenet_v2",
        "nas(layers=4)",
        "nats_size",
        "ofa",
        "proxylessnas",
        "qnas(layers=3)",
        "resnet_cifar(layers=20)",
        "smash(operations=2)",
        "spos",
        "spos_channels",
    ],
)
def test_network_supernet_and_exported_file_agree(space: str) -> None:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for architecture in sample(load_space(space), 2, np.random.default_rng(3)):
        graph = to_network(architecture)
        layers = to_layers(graph)
        supernet = Supernet()
        networks = [supernet.extract(layers), build_network(layers)]
        found: dict[str, type[nn.Module]] = {}
        file = export_python(architecture, (3, 32, 32))
        exec(compile(file.text, "exported", "exec"), found)
        networks.append(found["Model"]())
        state = networks[0].state_dict()
        networks[1].load_state_dict(state)
        networks[2].load_state_dict(renamed(state, file))
        first, *others = [outputs(network, images) for network in networks]
        assert all(map(torch.equal, first * 2, others[0] + others[1]))


def test_torchvision_as_it_is_in_float64() -> None:
    theirs = torchvision.models.resnet18(weights=None).double()
    ours = build_network(network_layers(only(load_space("resnet")), IMAGENET)).double()
    copy_weights(theirs, ours)
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    for expected, found in zip(outputs(theirs, images), outputs(ours, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
