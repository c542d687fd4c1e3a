from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cli.small import ARCH

import epnas_dsl
from epnas_dsl.lang.loading import load_architecture
from epnas_dsl.space.graph import network_layers

TRAIN = ["--set", "training.epochs=1", "--set", "data.limit=200"]


def test_summary_adds_up(epnas) -> None:
    done = epnas("summary", ARCH, "--image", "1x8x8", "--json")
    facts = done.json
    assert done.status == 0
    assert facts["params"] == sum(node["params"] for node in facts["nodes"])
    assert facts["macs"] == sum(node["macs"] for node in facts["nodes"])
    text = epnas("summary", ARCH, "--image", "1x8x8").out
    assert f"parameters   {facts['params']:,}\n" in text
    assert "cell1.h1.op2" in text


def test_compile_writes_a_file_that_runs_alone(epnas) -> None:
    assert epnas("compile", ARCH, "-o", "net.py", "--image", "1x8x8").status == 0
    code = "import torch, net, sys; print(net.Model()(torch.zeros(2, 1, 8, 8)).shape)"
    code += "; assert 'epnas_dsl' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "torch.Size([2, 10])\n"


def test_train_evaluate_load_compile(epnas) -> None:
    done = epnas("train", ARCH, "--data", "digits", "--out", "t", "--json", *TRAIN)
    assert done.status == 0
    accuracy = done.json["accuracy"]
    measured = epnas("evaluate", "t", "--data", "digits", "--json", "--set", "data.limit=200")
    assert measured.json["accuracy"] == accuracy
    assert "test accuracy" in epnas("evaluate", "t/model.safetensors", "--data", "digits").out
    model = epnas_dsl.load_model("t/model.safetensors")
    assert len(model.classes) == 10
    assert epnas("compile", ARCH, "-o", "net.py", "--weights", "t").status == 0
    code = (
        "import sys; sys.modules['epnas_dsl'] = None\n"
        "import torch, net\n"
        "images = torch.load('images.pt')\n"
        "torch.save((net.load()(net.normalise(images)), net.CLASSES), 'scores.pt')"
    )
    import torch

    images = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    torch.save(images, "images.pt")
    subprocess.run([sys.executable, "-c", code], check=True)
    scores, classes = torch.load("scores.pt")
    assert torch.equal(scores, model(images))
    assert classes == model.classes


def test_compile_takes_weights_along(epnas, finished) -> None:
    import onnxruntime
    import torch

    from epnas_dsl.nn.folding import fold_batch_norms

    model = epnas_dsl.load_model(finished)
    images = torch.rand(2, 1, 8, 8)
    expected = model.network(images)
    for suffix, weights in ((".onnx", f"{finished}:best"), (".pt2", finished)):
        done = epnas("compile", f"{finished}:best", "-o", f"net{suffix}", "--weights", weights)
        assert (done.status, done.err) == (0, f"wrote net{suffix}\n")
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == list(model.classes)
    assert json.loads(facts["mean"]) == list(model.preprocessing.mean)
    scores = torch.from_numpy(session.run(None, {"image": images.numpy()})[0])
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)
    architecture = load_architecture(model.architecture)
    folded = fold_batch_norms(model.network, network_layers(architecture, (1, 8, 8)))
    assert torch.equal(torch.export.load("net.pt2").module()(images), folded(images))


def test_compile_says_which_exports_there_are_and_that_weights_are_random(epnas) -> None:
    done = epnas("compile", ARCH, "-o", "net.tflite")
    assert (done.status, "E534" in done.err) == (2, True)
    assert ".py, .pt2, .onnx" in done.err
    done = epnas("compile", ARCH, "-o", "net.pt2", "--image", "1x8x8")
    assert "random" in done.err
    assert Path("net.pt2").is_file()


def test_train_removes_what_a_killed_one_left_and_nothing_else(epnas) -> None:
    Path("t").mkdir()
    for name in ("model.safetensors.77.partial", "training.ckpt.5.partial", "mine.partial"):
        Path("t", name).write_bytes(b"half")
    assert epnas("train", ARCH, "--out", "t", *TRAIN).status == 0
    left = {path.name for path in Path("t").iterdir()}
    assert left == {"model.safetensors", "best.arch", "training.json", "mine.partial"}


def test_train_goes_into_a_folder_of_its_own(epnas) -> None:
    first = epnas("train", ARCH, "--json", *TRAIN).json["weights"]
    second = epnas("train", ARCH, "--json", *TRAIN).json["weights"]
    assert second == first.replace("/model", "-2/model")


def test_weights_tell_when_they_do_not_fit(epnas, tmp_path) -> None:
    epnas("train", ARCH, "--out", "t", *TRAIN)
    before = Path("t/model.safetensors").read_bytes()
    again = epnas("train", ARCH, "--out", "t", *TRAIN)
    assert (again.status, "holds a finished training" in again.err) == (4, True)
    assert Path("t/model.safetensors").read_bytes() == before
    other = epnas("compile", ARCH.replace("conv_3x3", "conv_5x5"), "-o", "x.py", "--weights", "t")
    assert (other.status, "E624" in other.err) == (1, True)
    file = Path("t/model.safetensors")
    file.write_bytes(file.read_bytes()[:-40])
    cut = epnas("evaluate", "t")
    assert (cut.status, "E620" in cut.err) == (1, True)
    from safetensors.torch import save_file
    from torch import zeros

    save_file({"x": zeros(2)}, "plain.safetensors")
    plain = epnas("evaluate", "plain.safetensors")
    assert (plain.status, "E621" in plain.err) == (1, True)


def test_doctor(epnas) -> None:
    facts = epnas("doctor", "--json").json
    assert facts["ok"] is True
    assert facts["facts"]["torch"]
    assert "device" in epnas("doctor").out
