"""Turn a network into the content of a file that runs without this program, once it is checked.

Every file is read back and compared with the network before anyone gets it: a Python file to the
bit, in evaluation and in training. `torch.export` and ONNX are for inference: batch norms are
folded, which keeps the scores within `TOLERANCE` of the largest. What `torch.export` wrote then
agrees to the bit, ONNX, which other code carries out, within `TOLERANCE`, both also with another
number of images.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from epnas_dsl.errors import ConfigError, DataError, LimitError
from epnas_dsl.nn.export import PythonFile, export_python
from epnas_dsl.nn.folding import fold_batch_norms
from epnas_dsl.nn.network import count_parameters
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.operations import Layer

OPSET = 18
TOLERANCE = 1e-4
MAX_ONNX = 500_000_000  # parameters; a file holds 2 GiB


@dataclass(frozen=True, slots=True)
class Original:
    """What is exported.

    Attributes:
        architecture: of the network.
        image: channels, height and width.
        layers: of the network.
        network: in evaluation mode, on the CPU.
        facts: what travels with it as metadata: its text and images, and if it was trained `mean`,
            `std` and `classes`.
    """

    architecture: Architecture
    image: tuple[int, int, int]
    layers: Sequence[Layer]
    network: nn.Module
    facts: dict[str, Any]

    def images(self, count: int) -> Tensor:
        """Random images [count, channels, height, width], always the same."""
        return torch.randn(count, *self.image, generator=torch.Generator().manual_seed(count))


def to_python(original: Original) -> dict[str, bytes]:
    """The `.py` file, and where the network was trained its weights as a `.pt` file beside it.

    Raises:
        DataError: it does not compute what the network does (E661).
    """
    trained = original.facts if "classes" in original.facts else {}
    file = export_python(original.architecture, original.image, trained)
    network, images = copy.deepcopy(original.network), original.images(3)
    namespace: dict[str, Any] = {"__name__": "exported"}
    try:
        state = renamed(original.network.state_dict(), file)
        exec(compile(file.text, "<exported>", "exec"), namespace)
        module: nn.Module = namespace["Model"]()
        module.load_state_dict(state)
        outputs = [[_run(m.train(t), images) for m in (module, network)] for t in (False, True)]
    except Exception as error:  # whatever a file that is wrong can raise
        raise _differs(".py") from error
    for found, expected in outputs:
        _compare(found, expected, 0, ".py")
    if not trained:
        return {".py": file.text.encode()}
    weights = io.BytesIO()
    torch.save(state, weights)
    return {".py": file.text.encode(), ".pt": weights.getvalue()}


def renamed(state: dict[str, Tensor], file: PythonFile) -> dict[str, Tensor]:
    """The weights of a compiled network as the `Model` of an exported file calls them."""
    parts = ((name.rpartition("."), tensor) for name, tensor in state.items())
    return {f"{file.paths[module]}.{leaf}": tensor for (module, _, leaf), tensor in parts}


def to_pt2(original: Original) -> dict[str, bytes]:
    """A `torch.export` archive, for any number of images; its facts are in `epnas.json`.

    Raises:
        DataError: it does not compute what the network does (E661).
    """
    content, network = io.BytesIO(), _folded(original, ".pt2")
    with torch.no_grad(), _exporter():
        program = torch.export.export(
            network, (original.images(3),), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
        torch.export.save(program, content, extra_files={"epnas.json": json.dumps(original.facts)})
        loaded = torch.export.load(io.BytesIO(content.getvalue())).module()
    _check(original, lambda images: loaded(images), network, 0, ".pt2")
    return {".pt2": content.getvalue()}


def to_onnx(original: Original) -> dict[str, bytes]:
    """An ONNX model from `image` to `scores`, for any number of images, facts as its metadata.

    Raises:
        ConfigError: the packages that it takes are not installed (E535).
        LimitError: the network is too large for the format (E662).
        DataError: it does not compute what the network does (E661).
    """
    missing = [n for n in ("onnx", "onnxscript", "onnxruntime") if not importlib.util.find_spec(n)]
    if missing:
        raise ConfigError(
            f".onnx needs {', '.join(missing)}", code="E535", hint="pip install 'epnas-dsl[onnx]'"
        )
    if (count := count_parameters(original.network)) > MAX_ONNX:
        raise LimitError(
            f"{count:,} parameters do not fit into an ONNX file of 2 GiB", code="E662",
            hint="a .pt2 file has no such limit",
        )  # fmt: skip
    import onnx
    import onnxruntime

    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    network = _folded(original, ".onnx")
    with _exporter():
        program = torch.onnx.export(
            network, (original.images(3),), dynamo=True, verbose=False,
            opset_version=OPSET, dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["image"], output_names=["scores"],
        )  # fmt: skip
    assert program
    model = program.model_proto
    facts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in original.facts.items()}
    onnx.helper.set_model_props(model, facts)
    content: bytes = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["scores"], {"image": images.numpy()})[0])

    _check(original, run, network, TOLERANCE, ".onnx")
    return {".onnx": content}


@contextmanager
def _exporter() -> Iterator[None]:
    """Some versions of torch warn of their own old parts whenever they export."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _folded(original: Original, suffix: str) -> nn.Module:
    network = fold_batch_norms(original.network, original.layers)
    _check(original, network, original.network, TOLERANCE, suffix)
    return network


def _check(
    original: Original, run: Callable[[Tensor], Tensor], network: nn.Module, tolerance: float,
    suffix: str,
) -> None:  # fmt: skip
    for count in (3, 1, 8):
        images = original.images(count)
        with torch.no_grad():
            _compare(run(images), network(images), tolerance, suffix)


def _run(module: nn.Module, images: Tensor) -> Tensor:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)  # dropout
        scores: Tensor = module(images)
    return scores


def _compare(found: Tensor, expected: Tensor, tolerance: float, suffix: str) -> None:
    """Refuse what differs by more than the tolerance, in units of the largest score."""
    same = found.shape == expected.shape
    if same and not torch.equal(found.nan_to_num(), expected.nan_to_num()):
        same = float((found - expected).abs().max() / expected.abs().max()) <= tolerance
    if not same:
        raise _differs(suffix)


def _differs(suffix: str) -> DataError:
    return DataError(
        f"the {suffix} file would not compute what the network does", code="E661",
        hint="a mistake in the exporter: please report the architecture",
    )  # fmt: skip


EXPORTS = {".py": to_python, ".pt2": to_pt2, ".onnx": to_onnx}
