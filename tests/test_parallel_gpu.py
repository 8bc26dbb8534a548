"""Several emulated GPUs: two in one process, or one for each of several processes."""

import json

import numpy as np
import parallel_steps
import pytest
from made_images import class_folders, red_and_green
from ranks import CIFAR, IMAGENET, SMALL, TESTS, largest_difference, results, run, start

from tinyalex import device, emulator, models, optim, training
from tinyalex import functional as F
from tinyalex.parallel import cost

pytestmark = pytest.mark.emulated

GPUS = "cuda:0", "cuda:1"
BATCH, CLASSES = 6, 4


def parts_and_batch(image_size=67):
    parts = models.alexnet("paper", CLASSES, image_size, column_lrn=True, devices=GPUS)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, 3, image_size, image_size)).astype("f")
    return parts, device.to(x, "cuda"), device.to(rng.integers(0, CLASSES, BATCH), "cuda")


def test_two_gpus_compute_what_one_cpu_does():
    results = []
    for gpus in (None, GPUS):
        network, size = parallel_steps.network("alexnet")
        model, name = (network, "cpu") if gpus is None else (models.Columns(network, gpus), "cuda")
        results.append(parallel_steps.train(training.Scheme(model, name), "float64", size, 4))
    found = parallel_steps.differences(*results)
    assert found["parameters"] < 1e-9
    assert found["velocities"] < 1e-9
    assert found["confusion"]


def test_a_step_copies_the_bytes_of_the_paper_and_never_waits_for_a_gpu():
    """Where the columns meet, each sends its half, and the gradient of the other's."""
    parts, x, y = parts_and_batch()
    optimizer = optim.SGD(optim.paper_groups(parts, 0.01), lr=0.01, momentum=0.9)

    def step():
        optimizer.zero_grad()
        F.cross_entropy(parts(x), y).backward()
        optimizer.step()

    step()  # compiles kernels, allocates memory, activates peer access
    with emulator.counting() as counts:
        step()
    # conv3 reads pool2; fc6, fc7 and fc8 read pool5, fc6 and fc7.
    features = 256 * 3 * 3 + 256 + 4096 + 4096
    exchanged = 2 * features + 2 * CLASSES // 2  # of the logits, one half, from one GPU
    images = 3 * 67 * 67
    assert counts.copied_bytes["between GPUs"] == 4 * BATCH * (exchanged + images)
    assert counts.copied_bytes["to the host"] == 0
    assert counts.copied_bytes["to the GPU"] == 0
    assert counts.synchronizations.total() == 0
    layers = cost.layer_shapes(models.alexnet("paper", CLASSES, 67, column_lrn=True))
    by_process = sum(cost.sent_bytes(layers, "columns", 2, BATCH, rank) for rank in (0, 1))
    assert 4 * BATCH * exchanged == by_process


def test_each_gpu_holds_half_of_the_parameters_their_velocities_and_gradients():
    before = [device.memory(name)["used"] for name in GPUS]
    parts, x, y = parts_and_batch()
    optimizer = optim.SGD(optim.paper_groups(parts, 0.01), lr=0.01, momentum=0.9)
    F.cross_entropy(parts(x), y).backward()
    optimizer.step()
    for name, column, at_first in zip(GPUS, parts.columns, before, strict=True):
        sizes = [-(-4 * p.size // 512) * 512 for p in column.parameters()]  # of CuPy's blocks
        batch = (x.nbytes + y.nbytes + 1024) * (name == GPUS[0])
        options_and_class_weights = 1024
        used = device.memory(name)["used"] - at_first
        assert 0 <= used - 3 * sum(sizes) <= batch + options_and_class_weights


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("lazy", [0, 1])
def test_operations_over_nccl_equal_numpy_and_gradients_are_right(ranks, lazy):
    settings = {"TINYALEX_EMULATOR_DEVICES": str(ranks), "TINYALEX_EMULATOR_LAZY": str(lazy)}
    _, errors = run(ranks, TESTS / "parallel_operations.py", "cuda", **settings)
    assert errors.count(": ok") == ranks
    assert f"on cuda:{ranks - 1}" in errors


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("scheme", ["data", "columns", "hybrid"])
def test_a_scheme_over_nccl_trains_as_one_gpu_does(ranks, scheme):
    program, settings = TESTS / "parallel_steps.py", {"TINYALEX_EMULATOR_DEVICES": str(ranks)}
    output, _ = run(ranks, program, scheme, "alexnet", "float64", "cuda", 4, **settings)
    found = json.loads(output)
    assert found["parameters"] < 1e-9
    assert found["velocities"] < 1e-9
    assert found["reloaded"] == 0
    assert found["counts"]
    assert found["confusion"]


def test_the_scripts_train_on_two_gpus(tmp_path):
    images = red_and_green(tmp_path / "noise", train=20, test=4)
    small = (*SMALL, "--data", images, "--epochs", 1, "--lr", 0.001, "--column-lrn")
    run(0, CIFAR, *small, "--device", "cpu", "--output", tmp_path / "cpu")
    for ranks, how in (
        (0, ("--devices", ",".join(GPUS))),
        (2, ("--device", "cuda", "--parallel", "data")),
        (2, ("--device", "cuda", "--parallel", "hybrid")),
    ):
        output, _ = run(ranks, CIFAR, *small, *how, "--output", tmp_path / how[-1])
        assert "cuda" in output
        assert largest_difference(tmp_path / "cpu", tmp_path / how[-1]) < 1e-4
    images = class_folders(tmp_path / "images", train=6, val=2)
    small = ("--data", images, "--image-size", 67, "--resize", 72, "--batch-size", 6, "--epochs", 1)
    output, _ = run(0, IMAGENET, *small, "--devices", ",".join(GPUS), "--output", tmp_path / "i")
    assert "on cuda:0 and cuda:1" in output


def test_more_processes_than_gpus_are_refused(tmp_path):
    settings = {"TINYALEX_EMULATOR_DEVICES": "1"}
    options = (*SMALL, "--device", "cuda", "--parallel", "data", "--output", tmp_path)
    process = start(2, CIFAR, *options, **settings)
    _, errors = results(process)
    assert process.returncode != 0
    assert errors.count("expected a GPU for each process, got 1 for 2 processes") == 1
