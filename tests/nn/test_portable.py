"""Files for other programs: read back, right for any number of images, refused if they differ."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
from typing import Any

import pytest
import torch
from nn.small import SPACES, some

from epnas_dsl.errors import EpnasError
from epnas_dsl.lang.loading import load_architecture
from epnas_dsl.nn import portable
from epnas_dsl.nn.folding import fold_batch_norms
from epnas_dsl.nn.network import build_network
from epnas_dsl.nn.portable import EXPORTS, TOLERANCE, Original, to_onnx, to_pt2, to_python
from epnas_dsl.space.graph import network_layers

IMAGE = (3, 32, 32)
TINY = "micro(blocks=2, channels=4, repeats=1): h1 = avg_pool_3x3(prev2) + dw_conv_5x5(prev1)"


def original(name: str) -> Original:
    architecture = load_architecture(TINY) if name == "tiny" else some(name, 1)[0]
    layers = network_layers(architecture, IMAGE)
    network = build_network(layers).eval()
    facts = {"architecture": str(architecture), "image": IMAGE}
    return Original(architecture, IMAGE, layers, network, facts)


def assert_onnx(first: Original) -> None:
    import onnxruntime

    (content,) = to_onnx(first).values()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["image"]
    assert session.get_inputs()[0].shape == ["batch", *IMAGE]
    assert [o.name for o in session.get_outputs()] == ["scores"]
    facts = session.get_modelmeta().custom_metadata_map
    assert facts == {"architecture": str(first.architecture), "image": json.dumps(IMAGE)}
    images = torch.randn(5, *IMAGE)
    scores = torch.from_numpy(session.run(None, {"image": images.numpy()})[0])
    expected = first.network(images).detach()
    assert float((scores - expected).abs().max() / expected.abs().max()) <= TOLERANCE


def assert_pt2(first: Original) -> None:
    (content,) = to_pt2(first).values()
    facts: dict[str, Any] = {"epnas.json": ""}
    program = torch.export.load(io.BytesIO(content), extra_files=facts)
    assert json.loads(facts["epnas.json"])["architecture"] == str(first.architecture)
    for count in (1, 7):
        images = torch.randn(count, *IMAGE)
        folded = fold_batch_norms(first.network, first.layers)
        assert torch.equal(program.module()(images), folded(images))


@pytest.mark.parametrize("space", ["tiny", "nats_size"])
def test_files_for_others_run_with_any_number_of_images(space: str) -> None:
    assert_pt2(original(space))
    assert_onnx(original(space))


@pytest.mark.exhaustive
@pytest.mark.parametrize("space", SPACES)
def test_every_space_has_all_exports(space: str) -> None:
    first = original(space)
    assert_pt2(first)
    assert_onnx(first)
    assert list(to_python(first)) == [".py"]


@pytest.mark.parametrize("suffix", sorted(EXPORTS))
def test_a_file_that_computes_something_else_is_refused(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = original("tiny")
    if suffix == ".py":
        right = portable.export_python

        def wrong(*given: Any) -> Any:
            file = right(*given)
            return dataclasses.replace(file, text=file.text.replace("torch.relu", "torch.tanh"))

        monkeypatch.setattr(portable, "export_python", wrong)
    else:

        class Drifting(torch.nn.Sequential):
            """Not the same twice."""

            def forward(self, images: torch.Tensor) -> torch.Tensor:
                scores: torch.Tensor = super().forward(images)
                return scores if torch.compiler.is_compiling() else scores * 1.00001

        right_fold = portable.fold_batch_norms
        if suffix == ".onnx":  # whose own rounding is larger than that
            wrong_fold = lambda *given: torch.nn.Sequential(right_fold(*given), torch.nn.Softplus())  # noqa: E731
        else:
            wrong_fold = lambda *given: Drifting(right_fold(*given)).eval()  # noqa: E731
        monkeypatch.setattr(portable, "fold_batch_norms", wrong_fold)
    with pytest.raises(EpnasError, match="E661"):
        EXPORTS[suffix](first)


def test_what_onnx_needs_and_how_large_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    first = original("tiny")
    monkeypatch.setattr(portable, "MAX_ONNX", 100)
    with pytest.raises(EpnasError, match="E662"):
        to_onnx(first)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EpnasError, match=r"E535[\s\S]*pip install 'epnas-dsl\[onnx\]'"):
        to_onnx(first)
