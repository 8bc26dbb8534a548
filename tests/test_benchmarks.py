"""The benchmarks run and write their reports. Tests do not depend on timing."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from benchmark_scripts import BENCHMARKS, run
from PIL import Image

MACHINE = {
    "cpu",
    "cores",
    "instructions",
    "numpy",
    "blas",
    "torch",
    "environment",
    "date",
    "command",
    "commit",
}
CONTENDER = {
    "seconds",
    "images_per_second",
    "gflop_per_second",
    "share_of_peak",
    "peak_memory",
    "rounds",
    "others_busy",
}


def step(*options, folder):
    return run(
        "alexnet_step.py",
        "--variant",
        "quick",
        "--batch=2",
        "--rounds=1",
        "--seconds=0",
        *options,
        folder=folder,
    )


def test_a_framework_that_is_not_installed_is_reported_and_left_out(tmp_path):
    options = (
        "--variant=alexnet",
        "--against=chainer,dezero",
        "--mode=infer",
        "--peers-python",
        tmp_path / "python",
    )
    printed, found = step(*options, folder=tmp_path)
    assert "left out: chainer not installed: there is no" in printed
    assert "`make benchmarks-peers` installs it" in found["left_out"]["chainer"]
    assert "left out: dezero has no local response normalisation" in printed
    assert list(found["results"][0]["contenders"]) == ["tinyalex"]


def test_each_layer_of_an_inference_has_its_floor(tmp_path):
    printed, found = run("one_image.py", "--variant=quick", "--seconds=0", folder=tmp_path)
    assert [layer["layer"] for layer in found["layers"]] == [
        "conv1",
        "conv2",
        "conv3",
        "fc1",
        "fc2",
    ]
    first = found["layers"][0]
    assert (first["bytes"], first["flop"]) == (4 * 32 * 76, 2 * 32 * 75 * 32 * 32)
    for layer in found["layers"]:
        rate = {"memory": found["bandwidth"], "sgemm": found["sgemm_peak"]}[layer["bound"]]
        amount = layer["bytes" if layer["bound"] == "memory" else "flop"]
        assert layer["floor"] == pytest.approx(amount / rate, rel=1e-3)
        assert layer["floor"] >= 0.999 * layer["bytes"] / found["bandwidth"]
    assert f"{1e3 * found['seconds']:.1f} ms" in printed


def test_the_report_of_a_step_has_the_machine_and_all_timings(tmp_path):
    _, found = step("--against=", "--mode=train", folder=tmp_path)
    assert found["machine"].keys() >= MACHINE
    (result,) = found["results"]
    assert (result["mode"], result["batch"], result["rounds"], result["ratios"]) == (
        "train",
        2,
        1,
        {},
    )
    ours = result["contenders"]["tinyalex"]
    assert ours.keys() >= CONTENDER
    assert ours["images_per_second"] == pytest.approx(2 / ours["seconds"], rel=1e-4)
    share = 1e9 * ours["gflop_per_second"] / found["sgemm_peak"]
    assert ours["share_of_peak"] == pytest.approx(share, rel=1e-4)
    assert ours["rounds"][0]["steps"] >= 2


def test_the_profile_has_the_forward_and_backward_pass_of_each_layer(tmp_path):
    printed, found = run(
        "profile_step.py", "--variant", "quick", "--batch=2", "--steps=1", folder=tmp_path
    )
    rows = {(row["layer"], row["pass"]): row for row in found["passes"]}
    for layer in ("conv1", "pool1", "conv2", "pool2", "conv3", "pool3", "fc1", "fc2", "loss"):
        for which in ("forward", "backward"):
            assert rows[layer, which]["seconds"] > 0, (layer, which)
    # conv1 computes the gradients of its parameters only, and its ReLU may be fused
    # with it: one operation per output.
    relu = 2 * 32 * 32 * 32
    assert rows["conv1", "backward"]["flop"] - 2 * 2 * 2_457_600 in (0, relu)
    assert rows["conv2", "backward"]["flop"] - 2 * 2 * 2 * 6_553_600 in (0, relu // 4)
    assert "FLOP/byte" in printed


def test_step_and_loader_are_timed_alone_and_together(tmp_path):
    _, found = run("input_pipeline.py", "--batch=2", "--batches=2", "--rounds=1", folder=tmp_path)
    assert list(found["seconds"]) == ["step alone", "loader alone", "both"]
    assert all(found["seconds"].values())


@pytest.mark.parametrize(
    ("flags", "chosen", "labels"),
    [
        (["avx2", "avx512f"], {}, ["tinyalex", "chainer", "chainer, SkylakeX"]),
        (["avx2"], {}, ["tinyalex", "chainer", "chainer, Haswell"]),
        ([], {}, ["tinyalex", "chainer"]),
        (["avx2"], {"OPENBLAS_CORETYPE": "Haswell"}, ["tinyalex", "chainer"]),
    ],
)
def test_an_old_blas_is_measured_as_installed_and_with_newer_kernels(
    scripts, monkeypatch, flags, chosen, labels
):
    import networks
    import turns

    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tinyalex.device.processor.flags", lambda: flags)
    monkeypatch.setattr(turns, "_unavailable", lambda *_: None)
    found, _ = turns.entrants(["chainer"], networks.describe("torchvision"), "cpu", Path("python"))
    assert [entrant.label for entrant in found] == labels


@pytest.fixture
def images(tmp_path):
    """One image for training and two for validation, one of them greyscale."""
    folder = tmp_path / "images"
    for number, (name, mode) in enumerate(
        [("train/cat", "RGB"), ("val/cat", "L"), ("val/dog", "RGB")]
    ):
        (folder / name).mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (300, 320, 3), np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / name / "1.jpg")
    return folder


def test_images_become_batches_from_files_and_from_shards(images, tmp_path):
    options = (
        "--batch=2",
        "--batches=2",
        "--rounds=2",
        "--torchvision-python",
        tmp_path / "python",
    )
    printed, found = run("file_pipeline.py", images, *options, folder=tmp_path)
    assert "left out: torchvision not installed: there is no" in printed
    assert "or use another with --torchvision-python" in found["left_out"]["torchvision"]
    assert found["images"] == 3
    assert [(r["files"], r["pipeline"]) for r in found["results"]] == [
        ("original files", "tinyalex"),
        ("shards", "tinyalex"),
    ]
    for r in found["results"]:
        assert len(r["by_round"]) == 2
        assert r["images_per_second"] == pytest.approx(np.median(r["by_round"]), rel=1e-4)


def test_batches_with_different_statistics_are_an_error(scripts, monkeypatch):
    import argparse

    import file_pipeline

    printed = iter(
        [
            {"shape": [2, 3, 224, 224], "mean": 0.1, "deviation": 1.0, "images_per_second": 1.0},
            {"shape": [2, 3, 224, 224], "mean": 110.0, "deviation": 55.0},
        ]
    )
    monkeypatch.setattr("turns.run_json", lambda label, command: next(printed))
    args = argparse.Namespace(batch=2, batches=1, rounds=1, torchvision_python="python")
    with pytest.raises(
        RuntimeError, match="torchvision, original files, does not return what tinyalex returns"
    ):
        file_pipeline.measure_round(
            args,
            list(file_pipeline.TURNS),
            dict.fromkeys(("original files", "shards"), Path()),
            0,
        )


def test_ratios_are_computed_within_a_round(scripts):
    import turns

    found = turns.ratio([2.0, 4.0, 9.0], [1.0, 4.0, 3.0])
    assert found == {"median": 2.0, "lowest": 1.0, "highest": 3.0, "pairs": [2.0, 1.0, 3.0]}


def test_operations_are_counted_for_direct_convolution(scripts):
    import networks

    network = networks.describe("paper")
    forward = 2 * sum(layer["multiply_adds"] for layer in network["layers"])
    conv1 = 2 * 55 * 55 * 96 * 3 * 11 * 11
    assert networks.flop(network, "infer") == forward
    assert networks.flop(network, "train") == 3 * forward - conv1
    assert networks.parameters(network) == 60_965_224


def test_the_layers_that_frameworks_lack_are_reported(scripts):
    import networks

    assert networks.lacks("dezero", networks.describe("torchvision")) is None
    assert (
        networks.lacks("dezero", networks.describe("paper"))
        == "has no local response normalisation, no groups in convolutions"
    )
    assert networks.lacks("chainer", networks.describe("paper")) is None
    assert (
        networks.lacks("chainer", networks.describe("quick"))
        == "has no average pooling that rounds up"
    )


def test_different_losses_before_training_are_an_error(scripts):
    import turns

    with pytest.raises(
        RuntimeError,
        match="torch NCHW does not compute the same network: its loss is 2.5, tinyalex's 2.4",
    ):
        turns.check_same_network({"tinyalex": {"loss": 2.4}, "torch NCHW": {"loss": 2.5}})


def test_layer_times_restores_the_library(scripts):
    from layer_times import LayerTimes

    from tinyalex import Function, models
    from tinyalex import functional as F
    from tinyalex.nn import Module

    before = Function.__dict__["apply"], Module.__dict__["__call__"]
    model = models.cifar("quick")
    with LayerTimes(model) as times:
        F.cross_entropy(model(np.zeros((2, 3, 32, 32), "f")), np.array([1, 2])).backward()
    assert (Function.__dict__["apply"], Module.__dict__["__call__"]) == before
    assert min(times.seconds["conv2"]) > 0
    assert "loss" in times.seconds


@pytest.mark.peers
def test_torch_is_measured_in_two_memory_formats_and_by_layer(tmp_path):
    options = ("--against=torch,onnxruntime", "--mode=train", "--layers")
    printed, found = step(*options, folder=tmp_path)
    assert "left out: onnxruntime infers only, so it has no row for training" in printed
    assert "Measured: torch 2" in printed
    (result,) = found["results"]
    assert list(result["contenders"]) == ["tinyalex", "torch NCHW", "torch channels_last"]
    losses = [c["loss_before"] for c in result["contenders"].values()]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-3)
    assert result["fastest_peer"] in result["ratios"]
    assert result["ratios"]["torch NCHW"].keys() == {"median", "lowest", "highest", "pairs"}
    assert "Against the fastest framework: train 2: " in printed
    (layers,) = found["layers"]
    assert all(
        times["conv2"][0] > 0 and times["conv2"][1] > 0 for times in layers["seconds"].values()
    )
    assert "| conv3 " in printed


@pytest.mark.peers
@pytest.mark.parametrize("variant", ["paper", "torchvision", "quick", "alexnet"])
def test_the_torch_adapter_has_the_parameters_of_tinyalex(scripts, variant):
    import networks
    from contenders.torch_ import module

    modules = [module(layer, inplace=False) for layer in networks.describe(variant)["layers"]]
    shapes = [tuple(p.shape) for m in modules for p in m.parameters()]
    assert shapes == [p.shape for p in networks.build(variant)[0].parameters()]


def test_winograd_is_compared_with_im2col_and_float64(tmp_path):
    printed, found = run("winograd_error.py", "--batch=8", "--rounds=1", folder=tmp_path)
    im2col, winograd = (row for row in found["rows"] if row["layer"] == "conv3")
    assert (im2col["algorithm"], winograd["algorithm"]) == ("im2col", "Winograd F(5x5, 3x3)")
    assert max(im2col["errors"]) < min(winograd["errors"]) < 1e-5
    assert len(found["rows"]) == 10
    assert "| conv5 | im2col " in printed


@pytest.mark.parallel
@pytest.mark.skipif(find_spec("mpi4py") is None, reason="needs pip install '.[mpi]'")
def test_several_processes_are_compared_with_one_and_with_the_cost_model(tmp_path):
    options = ("--batch=6", "--processes=2", "--rounds=1", "--seconds=0")
    printed, found = run("scaling.py", "--variant=cifar-alexnet", *options, folder=tmp_path)
    runs = {(r["scheme"], r["processes"], r["batch"]): r for r in found["runs"]}
    one, per_process = runs.pop(("data", 1, 6)), runs.pop(("data", 1, 3))
    assert list(runs) == [("data", 2, 6), ("columns", 2, 6), ("hybrid", 2, 6)]
    for r in runs.values():
        assert r["sent_bytes"] > 0
        assert r["speedup"] == pytest.approx(one["seconds"] / r["seconds"], rel=1e-3)
        assert r["weak_speedup"] == pytest.approx(
            2 * per_process["seconds"] / r["seconds"], rel=1e-3
        )
        assert r["ratio"]["median"] == pytest.approx(r["predicted"] / r["seconds"], rel=1e-3)
    assert [len(line["points"]) for line in found["curves"]] == [11, 10, 11] * 2
    assert "| hybrid " in printed


def test_the_memory_report_has_all_categories(tmp_path):
    command = [
        sys.executable,
        BENCHMARKS / "memory.py",
        "--variant=quick",
        "--batch=64",
        "--output",
        tmp_path,
        "--name=found",
    ]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    sizes = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["bytes"]
    assert sizes["parameters"] == sizes["velocities"] == 4 * 145_578
    assert sizes["images"] == 4 * 64 * 3 * 32 * 32
    assert sizes["kept by MaxPool2d"] >= 64 * 32 * 16 * 16  # a byte an output
    assert sizes["outputs that are not kept"] >= 4 * 64 * 32 * 32 * 32  # of the first layer
    assert sizes["most in use in the memory pool"] < sizes["peak of the process"]
    assert "| peak of the process" in done.stdout
