from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cli.small import ARCH

import epnas_dsl

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
    import torch

    images = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    state = torch.load("net.pt", weights_only=True)
    found: dict[str, object] = {}
    exec(Path("net.py").read_text(), found)
    exported = found["Model"]()  # type: ignore[operator]
    exported.load_state_dict(state)
    exported.eval()
    normalised = (images.float() / 255 - model.mean) / model.std
    assert torch.equal(exported(normalised), model(images))


def test_train_goes_into_a_folder_of_its_own(epnas) -> None:
    first = epnas("train", ARCH, "--json", *TRAIN).json["weights"]
    second = epnas("train", ARCH, "--json", *TRAIN).json["weights"]
    assert second == first.replace("/model", "-2/model")


def test_weights_tell_when_they_do_not_fit(epnas, tmp_path) -> None:
    epnas("train", ARCH, "--out", "t", *TRAIN)
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
