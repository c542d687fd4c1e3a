"""The exported file: only torch, safe, readable, and the compiled network to the last bit."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from epnas_dsl.lang.loading import load_space
from epnas_dsl.nn.export import export_python
from epnas_dsl.nn.network import build_network, count_parameters
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import to_layers, to_network

SPACES = ["micro", "macro", "pnas", "darts", "nasbench201", "nasbench101", "enas_micro"]
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def some(space: str, n: int) -> list[Architecture]:
    return sample(load_space(f"{space}(channels=6)"), n, np.random.default_rng(2))


def source(architecture: Architecture) -> str:
    return export_python(to_network(architecture, (3, 8, 8)), str(architecture))


def model(text: str) -> nn.Module:
    found: dict[str, type[nn.Module]] = {}
    exec(compile(text, "exported", "exec"), found)
    return found["Model"]()


@pytest.mark.parametrize("space", SPACES)
def test_exported_and_compiled_networks_agree_to_the_bit(space: str) -> None:
    for architecture in some(space, 3):
        layers = to_layers(to_network(architecture, (3, 8, 8)))
        network = build_network(layers)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        exported = model(source(architecture))
        assert exported.state_dict().keys() == network.state_dict().keys()
        exported.load_state_dict(network.state_dict(), strict=True)
        for training in (False, True):
            first, second = network.train(training)(IMAGES), exported.train(training)(IMAGES)
            assert torch.equal(first, second)
        first.square().sum().backward()
        second.square().sum().backward()
        other = dict(exported.named_parameters())
        for name, parameter in network.named_parameters():
            gradient = other[name].grad
            assert (parameter.grad is None) == (gradient is None)
            assert gradient is None or torch.equal(parameter.grad, gradient)


@pytest.mark.parametrize("space", SPACES)
def test_the_file_imports_only_torch_and_keeps_its_lines_short(space: str) -> None:
    architecture = some(space, 1)[0]
    text = source(architecture)
    tree = ast.parse(text)
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imported <= {"torch", "torch.nn.functional"}
    assert max(map(len, text.splitlines())) <= 100
    docstring = ast.get_docstring(tree) or ""
    assert str(architecture) in " ".join(docstring.split())
    assert f"{count_parameters(model(text)):,} parameters" in docstring
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_cells_of_equal_structure_are_one_class() -> None:
    architecture = some("nasbench201", 1)[0]
    text = source(architecture)
    assert text.count("class Normal") == 1
    assert "self.cell15 = Normal(24)" in text


def test_a_text_cannot_break_out_of_the_docstring() -> None:
    graph = to_network(some("micro", 1)[0], (3, 8, 8))
    hostile = 'a """\nraise SystemExit\n""" \\" \\ \x1b[31m\u202e \r b"'
    tree = ast.parse(export_python(graph, hostile))
    assert "raise SystemExit" in (ast.get_docstring(tree) or "")
    kinds = {type(node) for node in tree.body}
    assert kinds == {ast.Expr, ast.Import, ast.ImportFrom, ast.ClassDef}


def test_the_file_runs_where_this_package_is_not(tmp_path: Path) -> None:
    architecture = some("micro", 1)[0]
    (tmp_path / "found.py").write_text(source(architecture), encoding="utf-8")
    code = (
        "import sys, torch, found; y = found.Model()(torch.zeros(2, 3, 8, 8));"
        "assert y.shape == (2, 10); assert 'epnas_dsl' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
