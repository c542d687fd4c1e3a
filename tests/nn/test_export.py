"""The exported file: only torch, safe, readable, and the compiled network to the last bit."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from nn.small import SPACES, some, some_of_every
from torch import nn

from epnas_dsl.lang.loading import load_architecture, read_space
from epnas_dsl.nn.export import PythonFile, export_python
from epnas_dsl.nn.network import build_network, count_parameters
from epnas_dsl.nn.portable import renamed
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.graph import to_layers, to_network
from epnas_dsl.space.operations import OPERATIONS
from epnas_dsl.space.passes import identities

SIZE = (3, 32, 32)
IMAGES = torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(0))
FACTS = {"mean": (0.5,) * 3, "std": (0.1,) * 3, "classes": [f"class {n}" for n in range(10)]}
RESIDUAL = """
space residual(classes=10)

def block(x, width, stride=1) {
    y = batch_norm(raw_conv(conv_3x3(x, width, stride=stride), 3, width))
    return relu(y + calibrated(x, width, stride))
}

def calibrated(x, width, stride) {
    return x if stride == 1 else batch_norm(raw_conv(x, 1, width, stride=stride))
}

def stage(x, width, repeats, stride) {
    x = block(x, width, stride=stride)
    for i in 2..repeats {
        x = block(x, width)
    }
    return x
}

def dense(x) {
    return concat(x, raw_conv(relu(batch_norm(x)), 3, 4))
}

network (image) {
    x = conv_3x3(image, 8)
    x = stage(x, 8, repeats=3, stride=1)
    x = stage(x, 16, repeats=1, stride=2)
    x = stage(x, 32, repeats=2, stride=2)
    for i in 1..4 {
        x = dense(x)
    }
    x = mbconv(x, expand=3, channels=48, stride=2)
    for i in 1..2 {
        x = mbconv(x, expand=3)
    }
    return linear(dropout(global_avg_pool(x), 0.2), classes)
}
"""


def model(text: str) -> nn.Module:
    found: dict[str, type[nn.Module]] = {"__name__": "exported"}  # type: ignore[dict-item]
    exec(compile(text, "exported", "exec"), found)
    return found["Model"]()


def residual() -> Architecture:
    return load_architecture("residual:", read_space(RESIDUAL))


def assert_agree(architecture: Architecture, file: PythonFile) -> None:
    """Outputs agree in both modes, gradients too where what is equal is computed as often."""
    layers = to_layers(to_network(architecture, SIZE))
    usual, network = build_network(layers), build_network(layers, passes=(identities,))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    exported = model(file.text)
    usual.load_state_dict(network.state_dict())
    state = renamed(network.state_dict(), file)
    assert exported.state_dict().keys() == state.keys()
    exported.load_state_dict(state)
    for training in (False, True):
        outputs = []
        for module in (usual, network, exported):
            torch.manual_seed(0)
            outputs.append(module.train(training)(IMAGES))
        first, *others = outputs
        assert all(torch.equal(first, other) for other in others)
    for output in others:
        output.square().sum().backward()
    gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    found = {n: p.grad for n, p in exported.named_parameters() if p.grad is not None}
    expected = renamed(gradients, file)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[n], g) for n, g in expected.items())


@pytest.mark.parametrize("space", SPACES)
def test_exported_and_compiled_networks_agree_to_the_bit(space: str) -> None:
    for architecture in some(space, 1):
        assert_agree(architecture, export_python(architecture, SIZE))


@pytest.mark.exhaustive
@pytest.mark.parametrize("space", SPACES)
def test_fifty_of_every_space_agree_to_the_bit(space: str) -> None:
    for architecture in some(space, 50, seed=3):
        assert_agree(architecture, export_python(architecture, SIZE))


def test_functions_rows_and_conditions_agree_to_the_bit() -> None:
    assert_agree(residual(), export_python(residual(), SIZE))


def test_functions_come_out_as_classes_with_the_names_of_the_space(
    golden: Callable[[str, str], None],
) -> None:
    golden("exported/residual.py", export_python(residual(), SIZE).text)


@pytest.mark.parametrize("space", ["micro", "darts"])
def test_cells_come_out_as_one_class_each_and_one_loop(
    space: str, golden: Callable[[str, str], None]
) -> None:
    golden(f"exported/{space}.py", export_python(some(space, 1)[0], SIZE).text)


def test_like_cells_are_written_as_a_loop() -> None:
    text = export_python(some("nasbench201", 1)[0], SIZE).text
    assert text.count("class Normal(") == 1
    assert "self.normals1 = nn.Sequential(*(Normal(4) for _ in range(5)))" in text


@pytest.mark.parametrize("space", SPACES)
def test_the_file_tells_what_it_is_and_imports_only_torch(space: str) -> None:
    (architecture,) = some(space, 1)
    text = export_python(architecture, SIZE).text
    tree = ast.parse(text)
    imported = {a.name for x in ast.walk(tree) if isinstance(x, ast.Import) for a in x.names}
    imported |= {str(x.module) for x in ast.walk(tree) if isinstance(x, ast.ImportFrom)}
    assert imported <= {"torch", "torch.nn.functional"}
    docstring = ast.get_docstring(tree) or ""
    assert str(architecture) in " ".join(docstring.split())
    assert f"{count_parameters(model(text)):,} parameters" in docstring


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_classes_of_operations_say_what_they_do(name: str) -> None:
    about = (inspect.getdoc(OPERATIONS[name].build) or "").splitlines()[0]
    assert re.search(r"[.:)]", about)
    assert "partial" not in about


def test_the_files_are_laid_out_and_linted_as_ruff_would_have_them(tmp_path: Path) -> None:
    for n, architecture in enumerate(some_of_every(4, seed=5)):
        text = export_python(architecture, SIZE).text
        (tmp_path / f"found{n}.py").write_text(text, encoding="utf-8")
        assert all(len(line) <= 100 for line in text.splitlines())
    (tmp_path / "residual.py").write_text(export_python(residual(), SIZE, FACTS).text, "utf-8")
    options = ["--isolated", "--no-cache", "--line-length", "100", str(tmp_path)]
    rules = ["--select", "E,F,W,I,UP,B,C4,PIE,SIM,RET,RUF"]
    for words in (["format", "--diff", *options], ["check", *rules, *options]):
        ruff = [sys.executable, "-m", "ruff", *words]
        done = subprocess.run(ruff, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_names_of_classes_cannot_break_out() -> None:
    hostile = ['a """\nraise SystemExit\n""" \\" \\ \x1b[31m\u202e \r b"', "it's", "", 'say "x"']
    text = export_python(some("micro", 1)[0], SIZE, {**FACTS, "classes": hostile}).text
    tree = ast.parse(text)
    given = {x.targets[0].id: x.value for x in tree.body if isinstance(x, ast.Assign)}  # type: ignore[attr-defined]
    assert list(ast.literal_eval(given["CLASSES"])) == hostile
    assert ast.literal_eval(given["MEAN"]) == (0.5, 0.5, 0.5)


def test_names_that_python_and_torch_need_are_left_to_them() -> None:
    text = """
    space model(classes=10)
    def nn(torch, self, range, i) {
        Tensor = conv_3x3(torch, self)
        for half in 2..range { Tensor = conv_3x3(Tensor) }
        return channel_slice(channel_shuffle(Tensor, i), 0, self // 2)
    }
    def gate(x) { return conv_1x1(nn(x, 8, 2, 4), 8) + nn(x, 16, 3, 2) }
    cell class, train/2 (forward, type) { return raw_conv(forward, 3) + nn(type, 2*channels, 2, 2) }
    network (F) {
        load = gate(F)
        load = stack(load, [class*2, train])
        return linear(global_avg_pool(nn(load, 8, 2, 2)), classes)
    }
    """
    architecture = load_architecture("model:", read_space(text))
    assert_agree(architecture, export_python(architecture, SIZE))


def test_sizes_in_names_of_classes_stay_apart() -> None:
    cell = "{ h1 = conv_1x3_3x1(input0) + sep_conv_3x3(input0) }"
    text = f"nasnet(repeats=1): normal {cell} reduction {cell}"
    classes = re.findall(r"^class (\w+)", export_python(load_architecture(text), SIZE).text, re.M)
    assert {"Conv1x3_3x1", "SepConv3x3"} <= {*classes}


def test_the_file_runs_where_this_package_is_not(tmp_path: Path) -> None:
    text = export_python(some("micro", 1)[0], SIZE).text
    (tmp_path / "found.py").write_text(text, encoding="utf-8")
    code = (
        "import sys; sys.modules['epnas_dsl'] = None\n"
        "import torch, found; y = found.Model()(torch.zeros(2, 3, 8, 8))\n"
        "assert y.shape == (2, 10)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
