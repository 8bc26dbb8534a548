"""benchmarks/gpu.py on emulated GPUs, whose times are left out."""

import argparse
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from benchmark_scripts import BENCHMARKS
from made_cifar import PER_BATCH, make_folder

from tinyalex import emulator
from tinyalex.kernels.cuda import source_files
from tinyalex.kernels.examples import Example

pytestmark = pytest.mark.emulated

OPTIONS = argparse.Namespace(
    device="cuda", batch=2, rounds=2, seconds=0.0, contenders="tinyalex,torch eager"
)


def test_every_part_runs_and_has_no_times(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6 * PER_BATCH, 3, 32, 32), np.uint8)
    folder = make_folder(tmp_path, "binary", (images, np.arange(len(images)) % 10))
    command = [sys.executable, BENCHMARKS / "gpu.py", "--out", tmp_path / "out", "--data", folder]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "gpu.json").read_text(encoding="utf-8"))
    page = (tmp_path / "out" / "gpu.md").read_text(encoding="utf-8")
    assert page.strip() in done.stdout
    assert found["failed"] == found["left_out"] == {}
    assert found["emulated"]
    kernels = {name for file in source_files.files() for name in source_files.signatures(file)}
    assert {row["primitive"] for row in found["kernels"]} == kernels
    assert all(row["error"] <= 1 and "failed" not in row for row in found["kernels"])
    assert [row["seconds"] for row in found["ceilings"]] == [None] * 4
    rows = {(row["precision"], row["label"]): row for row in found["steps"]}
    assert len(rows) == 15
    for label in ("tinyalex", "tinyalex graph", "tinyalex graph with L2 tiles"):
        assert np.isfinite(rows["float32", label]["loss"])
        assert rows["half", label]["peak_memory"] > 0
    convolutions = [(r["layer"], r["dtype"]) for r in found["convolutions"]]
    layers = ("conv1", "conv2", "conv3")
    assert convolutions == [(layer, f"float{bits}") for layer in layers for bits in (32, 16)]
    assert {r[form] for r in found["convolutions"] for form in ("im2col", "implicit")} == {None}
    assert not any("seconds" in row or "ratio" in row for row in found["steps"])
    for label in ("torch eager", "torch.compile"):
        assert "pip install torch" in rows["tf32", label]["failed"]
        assert rows["tf32", label]["left_out"]
    assert found["cifar"]["seconds"] is None
    assert found["launches"][0]["gemms"] == 14
    assert " ms " not in page.split("## Training steps")[0]
    assert "## Convolutions" in page
    assert "An emulated GPU, small sizes: times are left out." in page


def test_parts_beyond_the_time_limit_are_left_out(scripts, monkeypatch, tmp_path):
    import gpu

    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path), "--minutes", "0"])
    assert gpu.main() == 0
    page = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert "Left out:\n\n- kernels: --minutes 0 were used up" in page
    assert "##" not in page


@pytest.fixture
def timed(monkeypatch):
    """Times of events, although the GPU is emulated."""
    monkeypatch.setattr(emulator, "is_installed", lambda: False)


@pytest.fixture(scope="module")
def rows():
    """The rows of two contenders, both tinyalex; steps become longer and longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import gpu_steps
        import gpu_timing
        import networks

        patch.setattr(emulator, "is_installed", lambda: False)
        clock = itertools.count(1)
        patch.setattr(
            gpu_timing, "seconds_between", lambda events: [next(clock) for _ in events[1:]]
        )
        build = gpu_steps.build
        patch.setattr(gpu_steps, "build", lambda label, *rest: build("tinyalex", *rest))
        return gpu_steps.compare(networks.describe("quick"), "float32", OPTIONS)


def test_contenders_alternate_and_have_ratios_within_a_round(rows):
    ours, theirs = rows
    in_turn = [row["rounds"][i] for i in (0, 1) for row in rows]
    assert np.diff(in_turn).tolist() == [3, 3, 3]  # of three steps each
    assert ours["loss"] == theirs["loss"]
    pairs = np.divide(theirs["rounds"], ours["rounds"])
    np.testing.assert_allclose(theirs["ratio"]["pairs"], pairs)
    assert "ratio" not in ours
    assert ours["seconds"]["shortest"] <= ours["seconds"]["median"] <= ours["seconds"]["longest"]


def test_the_page_has_what_was_measured_and_the_reasons_of_the_rest(rows, timed, scripts, tmp_path):
    import gpu
    import gpu_checks
    import gpu_page
    import gpu_steps
    import machine
    import networks

    ceilings = gpu_checks.ceilings("cuda", smoke=True, seconds=60)
    ceilings.append({"ceiling": "GEMM broken", "failed": "a reason"})
    steps = [{"variant": "quick", "batch": 2, "precision": "float32", **row} for row in rows]
    steps.append({**steps[-1], "precision": "half", "failed": "another reason", "seconds": None})
    found = {
        "card": gpu.card("cuda"),
        "machine": machine.describe(),
        "emulated": False,
        "failed": {"cifar": "no images"},
        "left_out": {},
        "ceilings": ceilings,
        "steps": steps,
    }
    taken = gpu_steps.layers(networks.describe("quick"), OPTIONS)
    assert min(taken["conv2"]) > 0
    assert taken["update"][1] > 0
    found["layers"] = [gpu.by_layer(found, "quick", 2, taken)]
    row = {"variant": "quick", "batch": 2, "layer": "conv1", "dtype": "float32"}
    found["convolutions"] = [row | {"im2col": 0.002, "implicit": 0.001}]
    page = gpu_page.write(found, tmp_path)
    for name in ("gpu-steps.png", "gpu-layers-quick.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert f"({name})" in page
    assert "- cifar: no images" in page
    assert "- quick 2 half torch eager: another reason" in page
    assert "| GEMM broken" in page
    assert "GB/s" in page
    assert "| conv2 " in page
    assert "| float32 |      2.000 |             1.000 |  2.00 |" in page
    del ceilings[0]["seconds"]
    with pytest.raises(RuntimeError, match="no shares of the ceilings: copy not measured"):
        gpu.by_layer(found, "quick", 2, taken)


def test_a_contender_that_fails_leaves_the_others(scripts, monkeypatch, timed):
    import gpu_steps
    import networks

    build = gpu_steps.build

    def fail(label, *rest):
        if label != "tinyalex":
            raise MemoryError("none left")
        return build(label, *rest)

    monkeypatch.setattr(gpu_steps, "build", fail)
    ours, theirs = gpu_steps.compare(networks.describe("quick"), "float32", OPTIONS)
    assert "seconds" in ours
    assert theirs.pop("failed") == "MemoryError: none left"
    assert theirs == {"label": "torch eager", "left_out": False}


def test_a_graph_that_trains_otherwise_is_no_measurement(scripts, monkeypatch, timed):
    """For example one whose work does not update the weights."""
    import gpu_steps
    import networks

    def rows():
        options = argparse.Namespace(**vars(OPTIONS) | {"contenders": "tinyalex,tinyalex graph"})
        return gpu_steps.compare(networks.describe("quick"), "half", options)

    assert all("seconds" in row for row in rows())
    build = gpu_steps.build

    def build_without_updates(label, *rest):
        built = build(label, *rest)
        if label == gpu_steps.GRAPH:
            built.optimizer.param_groups[0]["lr"] = 0.0
        return built

    monkeypatch.setattr(gpu_steps, "build", build_without_updates)
    ours, graph = rows()
    assert "seconds" in ours
    assert "trains otherwise" in graph["failed"]
    assert "seconds" not in graph


def test_another_loss_is_no_measurement(scripts):
    import gpu_steps

    rows = {
        "tinyalex": {"label": "tinyalex", "loss": 2.0, "rounds": [[1.0]]},
        "torch eager": {"label": "torch eager", "loss": float("nan"), "rounds": [[1.0]]},
    }
    gpu_steps.compare_losses(rows, rows, "float32")
    gpu_steps.summarize(rows)
    assert rows["tinyalex"]["seconds"]["median"] == 1.0
    assert "computes another network" in rows["torch eager"]["failed"]
    assert "seconds" not in rows["torch eager"]


def test_a_wrong_kernel_differs_from_numpy(scripts, monkeypatch):
    import gpu_checks

    x = np.linspace(-1, 1, 7, dtype="f")
    example = Example("relu", "", (x, np.full(7, np.nan, "f")), (1,))
    assert gpu_checks.excess(example, "cuda", 1e-5) == 0
    relu = gpu_checks.cuda.relu
    monkeypatch.setattr(gpu_checks.cuda, "relu", lambda x, y: relu(1.01 * x, y))
    assert gpu_checks.excess(example, "cuda", 1e-5) == pytest.approx(500, rel=1e-3)
    monkeypatch.setattr(gpu_checks.cuda, "relu", lambda x, y: None)
    assert gpu_checks.excess(example, "cuda", 1e-5) == np.inf


def test_a_kernel_that_fails_is_reported_with_the_reason(scripts, monkeypatch):
    import gpu
    import gpu_checks
    import gpu_page

    def fail(x, y):
        raise ValueError("no such kernel")

    x = np.linspace(-1, 1, 7, dtype="f")
    example = Example("relu", "seven", (x, np.full(7, np.nan, "f")), (1,))
    monkeypatch.setattr(gpu_checks, "examples", lambda dtype: [example])
    monkeypatch.setattr(gpu_checks.cuda, "relu", fail)
    rows = gpu_checks.kernels("cuda", smoke=True, seconds=60)
    table = gpu_page.kernel_table({"kernels": rows})
    assert "- | **seven: ValueError: no such kernel** |" in table
    assert gpu.has_failed({"failed": {}, "kernels": rows})


def test_kernels_and_ceilings_stop_at_the_time_limit(scripts):
    import gpu
    import gpu_checks

    rows = gpu_checks.kernels("cuda", smoke=True, seconds=-1)
    rows += gpu_checks.ceilings("cuda", smoke=True, seconds=-1)
    assert all("TimeoutError: --minutes were used up" in row["failed"] for row in rows)
    assert not gpu.has_failed({"failed": {}, "kernels": rows})


def test_a_wrong_value_or_a_failed_part_fails_the_benchmark(scripts, monkeypatch, tmp_path):
    import gpu
    import gpu_checks

    def main(part):
        monkeypatch.setattr(gpu, "parts", lambda args: [("kernels", part)])
        monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path)])
        return gpu.main()

    x = np.linspace(-1, 1, 7, dtype="f")
    examples = [Example("relu", label, (x, np.full(7, np.nan, "f")), (1,)) for label in "ab"]
    monkeypatch.setattr(gpu_checks, "examples", lambda dtype: examples)

    def kernels(found, seconds):
        found["kernels"] = gpu_checks.kernels("cuda", False, seconds)

    assert main(kernels) == 0
    assert "within tolerance" in (tmp_path / "gpu.md").read_text(encoding="utf-8")
    monkeypatch.setattr(gpu_checks.cuda, "relu", lambda x, y: None)
    assert main(kernels) == 1
    assert "**a: differs**" in (tmp_path / "gpu.md").read_text(encoding="utf-8")

    def fails(found, seconds):
        raise RuntimeError("no memory")

    def is_late(found, seconds):
        raise TimeoutError("too late")

    assert (main(fails), main(is_late)) == (1, 0)
    assert "- kernels: too late" in (tmp_path / "gpu.md").read_text(encoding="utf-8")
