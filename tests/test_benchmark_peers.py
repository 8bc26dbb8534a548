"""The frameworks that alexnet_step.py compares with: adapters, reasons, comparisons."""

import argparse
import importlib
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from benchmark_scripts import BENCHMARKS

PYTHON = Path(sys.executable)


@pytest.fixture
def quick(scripts):
    import networks

    return networks.describe("quick")


def left_out(network, *against, device="cpu"):
    import turns

    found, reasons = turns.entrants(list(against), network, device, PYTHON)
    assert [entrant.label for entrant in found] == ["tinyalex"]
    return reasons


def test_a_missing_module_of_an_adapter_is_named(quick, monkeypatch):
    monkeypatch.setattr(
        "turns.absent",
        lambda module, python, fix, option: (
            f"not installed; {fix}" if module in ("onnx", "torch", "jax") else None
        ),
    )
    assert left_out(quick, "openvino", "torch-compile", "jax") == {
        "openvino": "needs onnx, which is not installed; `make test-peers` installs it",
        "torch-compile": "needs torch, which is not installed; `make test-peers` installs it",
        "jax": "not installed; `make test-peers` installs it",
    }


def test_torch_compile_needs_a_compiler(quick, monkeypatch):
    monkeypatch.setattr("turns.absent", lambda *_: None)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert left_out(quick, "torch-compile") == {
        "torch-compile": "needs a C++ compiler: there is no no-such-compiler; install it, or set CXX"
    }


def test_frameworks_for_the_cpu_are_left_out_on_a_gpu(quick):
    assert left_out(quick, "onnxruntime", "openvino", "jax", device="cuda") == dict.fromkeys(
        ("onnxruntime", "openvino", "jax"),
        "is measured on the CPU only: use --device cpu, not cuda",
    )


def test_only_torch_pools_to_a_given_size(quick):
    import networks

    quick["layers"][-1] = {"kind": "adaptive_avg_pool", "seen": [64, 8, 8], "shape": [64, 3, 3]}
    for framework in ("onnxruntime", "openvino", "jax"):
        assert networks.lacks(framework, quick) == "has no adaptive pooling"
    assert networks.lacks("torch-compile", quick) is None


def test_torch_compile_has_no_times_by_layer(quick, monkeypatch):
    import turns

    monkeypatch.setattr(turns, "_unavailable", lambda *_: None)
    found, _ = turns.entrants(list(turns.FRAMEWORKS), quick, "cpu", PYTHON)
    labels = [entrant.label for entrant in found if entrant.has_layers]
    assert labels == ["tinyalex", "torch NCHW", "torch channels_last"]
    assert {e.label for e in found if not e.trains} == {"onnxruntime", "openvino"}


def test_the_headline_names_the_fastest_framework_and_where_it_is_ahead(scripts):
    import alexnet_step
    import step_report

    seconds = {"tinyalex": 2.0, "before": 0.5, "torch NCHW": 4.0, "openvino": 1.0, "jax": 8.0}
    turn = {
        label: {"seconds": [each], "peak_memory": None, "loss": 1.0, "others": None}
        for label, each in seconds.items()
    }
    one = alexnet_step.summary([turn], 1e9, "infer", 1, 100)
    turn["openvino"] = {**turn["openvino"], "seconds": [6.0]}
    many = alexnet_step.summary([turn], 1e9, "infer", 32, 100)
    assert step_report.headline({"results": [one, many]}) == (
        " Against the fastest framework: infer 1: 0.50 x, slower (openvino); "
        "infer 32: 2.00 x (torch NCHW)."
    )
    alone = alexnet_step.summary([{"tinyalex": turn["tinyalex"]}], 1e9, "infer", 1, 100)
    assert step_report.headline({"results": [alone]}) == ""


def test_frameworks_that_only_infer_are_not_measured_in_training(quick, monkeypatch):
    import alexnet_step
    import step_report
    import turns

    def turn(entrant, path, **options):
        versions = {entrant.framework: "1.0", "numpy": "2.0"}
        timed = {"seconds": [1.0], "others": None, "peak_memory": None}
        return {"loss": 1.0, "versions": versions, "blas": [], **timed}

    monkeypatch.setattr(turns, "turn", turn)
    monkeypatch.setattr("machine.sgemm_peak", lambda device: 1e9)
    entrants = [turns.Entrant(name, name, "python") for name in ("tinyalex", "jax", "openvino")]
    args = argparse.Namespace(rounds=1, device="cpu", seconds=0)
    versions = {}
    measured = {
        mode: alexnet_step.compare(args, entrants, quick, "path", mode, 2, versions)["contenders"]
        for mode in ("train", "infer")
    }
    assert list(measured["train"]) == ["tinyalex", "jax"]
    assert list(measured["infer"]) == ["tinyalex", "jax", "openvino"]
    assert step_report.measured(versions) == "jax 1.0, openvino 1.0"


def test_a_ratio_that_is_printed_as_1_is_not_slower(scripts):
    import step_report

    assert [step_report.as_ratio(r) for r in (0.994, 0.996)] == ["0.99 x, slower", "1.00 x"]


SETTINGS = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.5}
"""Large, so that a wrong update changes the loss."""


def built(framework, network, **options):
    """A contender with the weights of contender.py and six images."""
    import contender
    import networks

    args = {"mode": "infer", "threads": 1, "device": "cpu", "channels_last": False}
    args = argparse.Namespace(**{**args, "compile": False, **options})
    network = networks.describe(network)
    found = importlib.import_module(f"contenders.{framework}_").Contender(network, args)
    rng = np.random.default_rng(0)
    for view in found.weights():
        contender.initialize(view, rng)
    images = rng.standard_normal((6, *network["image"]), dtype=np.float32)
    found.ready(images, rng.integers(0, 10, 6), SETTINGS)
    return found


@pytest.mark.peers
@pytest.mark.parametrize("framework", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("variant", ["quick", "alexnet"])
def test_an_onnx_graph_is_the_same_network(scripts, framework, variant):
    """Both pool with windows past the edge; `alexnet` has groups and LRN too."""
    theirs = built(framework, variant)
    assert theirs.loss(4) == pytest.approx(built("tinyalex", variant).loss(4), rel=1e-5)
    with pytest.raises(ValueError, match=f"contenders.{framework}_ does not train: use --mode inf"):
        theirs.train()


JAX = """
import json
from test_benchmark_peers import built
import jax
from contenders.jax_ import forward
quick = built("jax", "quick")
losses = [built("jax", "alexnet").loss(4), quick.loss(4)]
for _ in range(3):
    quick.train()
dropout, x = [{"kind": "dropout", "p": 0.25}], jax.numpy.ones((100, 100))
kept, other = (forward(dropout, [()], x, jax.random.key(seed)) for seed in (0, 1))
print(json.dumps({
    "losses": [*losses, quick.loss(4)],
    "dropped": float((kept == 0).mean()),
    "mean": float(kept.mean()),
    "equal": bool((kept == other).all()),
    "inferred": bool((forward(dropout, [()], x) == x).all()),
}))
"""


@pytest.mark.peers
def test_jax_trains_the_same_network_with_dropout_of_its_own(scripts):
    # In another process: XLA's threads make each later os.fork() a warning.
    path = os.pathsep.join([str(BENCHMARKS), str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", JAX],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    quick = built("tinyalex", "quick")
    expected = [built("tinyalex", "alexnet").loss(4), quick.loss(4)]
    for _ in range(3):
        quick.train()
    assert abs(quick.loss(4) - expected[1]) > 0.1
    assert found["losses"] == pytest.approx([*expected, quick.loss(4)], rel=1e-4)
    assert found["dropped"] == pytest.approx(0.25, abs=0.03)
    assert found["mean"] == pytest.approx(1, abs=0.03)
    assert found["inferred"]
    assert not found["equal"]


@pytest.mark.peers
def test_torch_compile_compiles_once_the_step_that_is_timed(scripts, monkeypatch):
    """With a backend that only counts: the default one needs g++ and much time."""
    import torch

    compiled = []

    def backend(graph, inputs):
        compiled.append(mode)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    mode = "infer"
    infers = built("torch", "quick", compile=True, channels_last=True)
    infers.infer()
    assert compiled == ["infer"]
    assert infers.loss(4) == pytest.approx(built("torch", "quick").loss(4), rel=1e-5)
    mode = "train"
    trains = built("torch", "quick", compile=True, mode=mode)
    for _ in range(2):
        trains.train()
        trains.loss(4)
    assert compiled == ["infer", "train"]
