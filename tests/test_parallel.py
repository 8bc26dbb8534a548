"""Several devices, and several processes under mpirun."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import parallel_steps
import pytest
from made_images import class_folders, image_bytes, red_and_green

import tinyalex as ta
from tinyalex import data, models, training
from tinyalex.data.order import shuffled_files
from tinyalex.data.records import ByteRange
from tinyalex.data.shards import write_shard
from tinyalex.parallel import cost
from tinyalex.training.metrics import merge_evaluations, score

TESTS = Path(__file__).resolve().parent
CIFAR, IMAGENET = TESTS.parent / "train_cifar.py", TESTS.parent / "train_imagenet.py"
MPIRUN = Path(sys.executable).with_name("mpirun")
ONE_THREAD = {"TINYALEX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
SMALL = ("--model", "alexnet", "--batch-size", 16)
LIMIT_SECONDS = 120


def needs_mpi(test):
    without = pytest.mark.skipif(not MPIRUN.exists(), reason="needs pip install '.[mpi]'")
    return pytest.mark.parallel(without(test))


def command(ranks, program, *options):
    launcher = [MPIRUN, "-n", ranks] if ranks else []
    return list(map(str, [*launcher, sys.executable, program, *options]))


def start(ranks, program, *options, **settings):
    environment = os.environ | ONE_THREAD | settings
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(ranks, program, *options), env=environment, **pipes)


def run(ranks, program, *options, **settings):
    """(stdout, stderr) of a program with this many ranks; without mpirun for 0."""
    process = start(ranks, program, *options, **settings)
    output, errors = results(process)
    assert process.returncode == 0, errors
    return output, errors


def results(process):
    """(stdout, stderr). A run that hangs is killed, with all of its ranks."""
    try:
        return process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"{process.args} did not end: {process.communicate()}")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return red_and_green(tmp_path_factory.mktemp("images"))


def largest_difference(one, other):
    a, b = (ta.load(folder / "model.safetensors") for folder in (one, other))
    assert a.keys() == b.keys()
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)


# One process, two devices


@pytest.mark.parametrize("name", ["alexnet", "paper"])
def test_two_devices_compute_what_one_does(name):
    steps = 10 if name == "alexnet" else 2
    network, size = parallel_steps.network(name)
    reference = parallel_steps.train(training.Scheme(network, "cpu"), "float64", size, steps)
    network, size = parallel_steps.network(name)
    columns = training.Scheme(models.Columns(network, ("cpu", "cpu")), "cpu")
    found = parallel_steps.differences(
        reference, parallel_steps.train(columns, "float64", size, steps)
    )
    assert found["parameters"] < 1e-9
    assert found["velocities"] < 1e-9
    assert found["confusion"]


def test_each_device_holds_one_column():
    whole = models.alexnet("paper", 10, 67, column_lrn=True)
    parts = models.alexnet("paper", 10, 67, column_lrn=True, devices=("cpu", "cpu"))
    for column in parts.columns:
        shapes = [
            getattr(column, name).weight.shape for name in ("conv1", "conv2", "conv3", "conv4")
        ]
        assert shapes == [(48, 3, 11, 11), (128, 48, 5, 5), (192, 256, 3, 3), (192, 192, 3, 3)]
        assert [len(getattr(column, name).bias) for name in ("conv5", "fc6", "fc7", "fc8")] == [
            128,
            2048,
            2048,
            5,
        ]
    assert parts.state_shapes() == whole.state_shapes()
    assert parts.metadata() == whole.metadata()


def test_a_state_of_two_devices_opens_on_one_and_back(tmp_path):
    options = {"num_classes": 3, "image_size": 67, "column_lrn": True}
    parts = models.alexnet("paper", **options, devices=("cpu", "cpu"))
    ta.save(tmp_path / "w.safetensors", parts.state_dict(), parts.metadata())
    whole = models.alexnet("paper", **options)
    models.load_weights(whole, tmp_path / "w.safetensors")
    x = np.random.default_rng(0).standard_normal((2, 3, 67, 67)).astype("f")
    np.testing.assert_allclose(whole.eval()(x).numpy(), parts.eval()(x).numpy(), rtol=1e-5)
    for p in parts.parameters():
        p.data[...] = 0
    models.load_weights(parts, tmp_path / "w.safetensors")
    for name, array in whole.state_dict().items():
        np.testing.assert_array_equal(parts.state_dict()[name], array)


def test_networks_that_cannot_be_divided_say_why():
    with pytest.raises(ValueError, match="norm1 normalizes across the columns.*column_lrn=True"):
        models.alexnet("paper", 10, 67, devices=("cpu", "cpu"))
    with pytest.raises(ValueError, match="does not have 2 columns: no convolution has 2 groups"):
        models.alexnet("torchvision", 10, 67, devices=("cpu", "cpu"))
    with pytest.raises(ValueError, match="at least two columns, got 1"):
        models.alexnet("paper", 10, 67, column_lrn=True, devices=("cpu",))
    with pytest.raises(ValueError, match="'quick' has no columns"):
        models.cifar("quick", column_lrn=True)
    parts = models.cifar("alexnet", column_lrn=True, devices=("cpu", "cpu"))
    with pytest.raises(ValueError, match="The columns are on cpu, cpu"):
        parts.to("cpu")
    with pytest.raises(ValueError, match="fc8.bias is missing"):
        parts.load_state_dict({})


# Batches and files, divided between processes


def test_the_shards_of_a_batch_are_the_batch():
    dataset = parallel_steps.images(32)
    augment = data.Augment(np.full(3, 128), padding=4)
    whole, *parts = (
        list(data.Loader(dataset, 8, shuffle=True, transform=augment, shard=shard).epoch(3))
        for shard in [(0, 1), (0, 3), (1, 3), (2, 3)]
    )
    for batch, *shards in zip(whole, *parts, strict=True):
        for array, pieces in zip(batch, zip(*shards, strict=True), strict=True):
            np.testing.assert_array_equal(array, np.concatenate(pieces))


@pytest.mark.parametrize("batch_size", [16, 7, 2000])
def test_each_file_is_read_by_one_process_except_at_the_borders(batch_size):
    files = np.repeat(np.arange(10), [100] * 9 + [57])
    order = shuffled_files(files, batch_size, epoch=1, seed=0)
    assert sorted(order) == list(range(957))
    assert (order != shuffled_files(files, batch_size, epoch=2, seed=0)).any()
    for processes in (1, 2, 4):
        read = [set() for _ in range(processes)]
        for first in range(0, 957, batch_size):
            batch = files[order[first : first + batch_size]]
            for rank in range(processes):
                lo, hi = ta.device.section(len(batch), rank, processes)
                read[rank] |= set(batch[lo:hi])
        assert sum(map(len, read)) <= 10 + 2 * (processes - 1)


def test_each_process_reads_its_own_archives(tmp_path, monkeypatch):
    for number in range(8):
        samples = [(f"{number}-{i}", image_bytes(10 * number + i), i % 2) for i in range(6)]
        write_shard(tmp_path / f"train-{number}.tar", samples, note={})
    write_shard(tmp_path / "val-0.tar", samples, note={})
    source = data.find_images(tmp_path)
    opened = []
    read = ByteRange.read
    monkeypatch.setattr(ByteRange, "read", lambda self: opened.append(self.file) or read(self))
    by_process = []
    for shard in [(0, 2), (1, 2)]:
        dataset = data.StoredImages(source.train, source.classes, size=16, workers=1)
        loader = data.Loader(dataset, 8, shuffle=True, shard=shard, prefetch=0)
        opened.clear()
        assert sum(len(labels) for _, labels in loader.epoch(0)) == 24
        by_process.append(set(opened))
    assert [len(files) for files in by_process] == [4, 4]
    assert not set.intersection(*by_process)


def test_evaluations_of_parts_are_merged():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((50, 7)), rng.integers(0, 7, 50)
    predictions = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    parts = [score(predictions[part], labels[part]) for part in (slice(9), slice(9, 50))]
    whole, merged = score(predictions, labels), merge_evaluations(parts)
    assert merged.error == whole.error
    assert merged.loss == pytest.approx(whole.loss, rel=1e-12)
    assert merged.top5_error == pytest.approx(whole.top5_error, rel=1e-12)
    assert (merged.confusion == whole.confusion).all()


# Under mpirun


@needs_mpi
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_operations_equal_numpy_and_gradients_are_right(ranks):
    _, errors = run(ranks, TESTS / "parallel_operations.py", "cpu")
    assert errors.count(": ok") == ranks


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("scheme", ["data", "columns", "hybrid"])
def test_a_scheme_trains_as_one_process_does(ranks, scheme):
    output, _ = run(ranks, TESTS / "parallel_steps.py", scheme, "alexnet", "float64", "cpu", 10)
    found = json.loads(output)
    assert found["parameters"] < 1e-9
    assert found["velocities"] < 1e-9
    assert found["reloaded"] == 0
    assert found["loss"] < 1e-9
    assert found["counts"]
    assert found["confusion"]


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 4])
def test_data_parallelism_in_float32(ranks):
    output, _ = run(ranks, TESTS / "parallel_steps.py", "data", "alexnet", "float32", "cpu", 10)
    assert json.loads(output)["parameters"] < 1e-5


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("scheme", ["data", "columns", "hybrid"])
def test_ranks_hold_and_send_what_the_cost_model_says(ranks, scheme):
    program = TESTS / "parallel_steps.py"
    found = json.loads(run(ranks, program, scheme, "alexnet", "float32", "cpu", 5)[0])
    network, size = parallel_steps.network("alexnet")
    layers = cost.layer_shapes(network, (3, size, size))
    for rank in range(ranks):
        sent = [cost.sent_bytes(layers, scheme, ranks, images, rank) for images in (6, 6, 6, 6, 3)]
        assert found["sent"][rank] == sum(sent)
        assert found["held"][rank] == cost.parameters_held(layers, scheme, ranks, rank)


@needs_mpi
@pytest.mark.parametrize(
    ("ranks", "scheme", "network"),
    [(2, "columns", "paper"), (2, "hybrid", "torchvision"), (3, "hybrid", "caffenet")],
)
def test_other_networks_are_divided_too(ranks, scheme, network):
    output, _ = run(ranks, TESTS / "parallel_steps.py", scheme, network, "float64", "cpu", 2)
    assert json.loads(output)["parameters"] < 1e-9


@needs_mpi
def test_a_run_is_resumed_in_other_schemes(images, tmp_path):
    """Two ranks with a column each, then one process, then four ranks, two devices."""
    options = (*SMALL, "--data", images, "--schedule", "plateau", "--lr", 0.0001)
    whole, divided = tmp_path / "whole", tmp_path / "divided"
    run(0, CIFAR, *options, "--column-lrn", "--epochs", 4, "--output", whole)
    for epochs, ranks, how in (
        (1, 2, ("--parallel", "columns")),
        (2, 0, ("--column-lrn",)),
        (3, 4, ("--parallel", "hybrid", "--column-lrn")),
        (4, 0, ("--devices", "cpu,cpu")),
    ):
        until = ("--epochs", epochs, "--output", divided, "--resume", "auto")
        output, _ = run(ranks, CIFAR, *options, *how, *until)
        assert [line.split()[1] for line in output.splitlines() if line.startswith("epoch")] == [
            str(epochs)
        ]
    assert largest_difference(whole, divided) < 1e-4
    lines = [(folder / "log.csv").read_text().splitlines() for folder in (whole, divided)]
    assert len(lines[0]) == len(lines[1]) == 5


@needs_mpi
def test_imagenet_is_trained_in_every_scheme(tmp_path):
    images = class_folders(tmp_path / "images")
    options = ("--data", images, "--image-size", 67, "--resize", 72, "--batch-size", 6)
    options = (*options, "--epochs", 1, "--init", "he", "--column-lrn", "--lr", 0.001)
    run(0, IMAGENET, *options, "--output", tmp_path / "one")
    for ranks, how in (
        (0, ("--devices", "cpu,cpu")),
        (2, ("--parallel", "data")),
        (2, ("--parallel", "columns")),
        (2, ("--parallel", "hybrid")),
    ):
        folder = tmp_path / how[1]
        output, _ = run(ranks, IMAGENET, *options, *how, "--output", folder)
        assert largest_difference(tmp_path / "one", folder) < 1e-5
        assert output.count("one view ") == 1
        assert output.count("a step") == ranks
        files = sorted(file.name for file in (tmp_path / "one").iterdir())
        assert sorted(file.name for file in folder.iterdir()) == files


@needs_mpi
@pytest.mark.parametrize(
    ("sent", "to"),
    [(signal.SIGKILL, 0), (signal.SIGKILL, 1), (signal.SIGINT, None), (signal.SIGTERM, 1)],
)
def test_a_stopped_run_ends_and_is_resumed_with_fewer_ranks(images, tmp_path, sent, to):
    """SIGKILL of a rank ends the others; Ctrl-C in mpirun, or SIGTERM to one rank,
    saves a checkpoint."""
    options = ("--data", images, "--batch-size", 8, "--epochs", 6, "--output")
    in_parallel = ("--parallel", "data")
    run(2, CIFAR, *options, tmp_path / "whole", *in_parallel)
    stopped = tmp_path / "stopped"
    process = start(2, CIFAR, *options, stopped, *in_parallel)
    while not (stopped / "log.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid if to is None else descendants(process.pid)[to], sent)
    output, _ = results(process)
    assert process.returncode != 0
    assert ("Stopped, and saved" in output) == (sent != signal.SIGKILL)
    shutil.copytree(stopped, tmp_path / "alone")
    output, _ = run(2, CIFAR, *options, stopped, *in_parallel, "--resume", "auto")
    assert "epoch   1" not in output
    assert largest_difference(tmp_path / "whole", stopped) == 0
    output, _ = run(0, CIFAR, *options, tmp_path / "alone", "--resume", "auto")
    assert "epoch   1" not in output
    assert largest_difference(tmp_path / "whole", tmp_path / "alone") < 0.01


def descendants(pid):
    """The process ids of the ranks that mpirun has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    below = [descendant for child in children for descendant in descendants(child)]
    return below or [int(pid)]


@needs_mpi
@pytest.mark.parametrize(
    ("error", "shown"),
    [("ValueError", "fails.py: no such thing"), ("KeyError", "in main\n    raise KeyError")],
)
def test_an_error_of_one_rank_ends_all(tmp_path, error, shown):
    program = tmp_path / "fails.py"
    program.write_text(f"""if True:
        from tinyalex import parallel
        from tinyalex.cli import training_scripts

        def main():
            world = parallel.connect("cpu")
            if world.rank == 1:
                raise {error}("no such thing")
            world.gather_objects(0)

        training_scripts.run(main)
    """)
    process = start(2, program)
    _, errors = results(process)
    assert process.returncode == 1
    assert shown in errors


def test_without_mpi4py_the_option_says_what_to_install(tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no MPI here')")
    process = start(0, CIFAR, *SMALL, "--parallel", "data", PYTHONPATH=str(tmp_path))
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "Install both: pip install '.[mpi]'" in errors


@needs_mpi
def test_wrong_options_are_refused(tmp_path):
    for ranks, options, message in (
        (0, ("--devices", "cpu,cpu", "--parallel", "data"), "Leave out --devices or --parallel"),
        (3, ("--parallel", "columns"), "expected an even number of processes"),
        (2, ("--parallel", "columns", "--model", "quick"), "--model quick has no columns"),
        (2, ("--parallel", "data", "--device", "cuda:1"), "Each process takes a GPU of its own"),
    ):
        process = start(ranks, CIFAR, *SMALL, *options, "--output", tmp_path / "none")
        _, errors = results(process)
        assert process.returncode == 1
        assert errors.count(message) == 1, errors


@needs_mpi
def test_an_evaluation_is_divided(tmp_path):
    images = class_folders(tmp_path / "images", val=7)
    network = models.alexnet("paper", 2, 67)
    network.classes = ("cat", "dog")
    ta.save(tmp_path / "w.safetensors", network.state_dict(), network.metadata())
    options = ("--data", images, "--evaluate", tmp_path / "w.safetensors")
    alone, _ = run(0, IMAGENET, *options)
    divided, _ = run(2, IMAGENET, *options, "--parallel", "data")
    assert divided.splitlines()[:2] == alone.splitlines()[:2]
    assert "7 images" in divided


@needs_mpi
def test_a_rank_may_have_no_images(tmp_path):
    """Two images for validation, and three ranks: as with one process."""
    images = class_folders(tmp_path / "images", train=7, val=2)
    options = ("--data", images, "--image-size", 67, "--resize", 72, "--batch-size", 7)
    options = (*options, "--epochs", 1, "--lr", 0.0001, "--output")
    alone, _ = run(0, IMAGENET, *options, tmp_path / "alone")
    divided, _ = run(3, IMAGENET, *options, tmp_path / "divided", "--parallel", "data")
    last = [
        [
            line.split(": ", 1)[1]
            for line in output.splitlines()
            if "views " in line or "view " in line
        ]
        for output in (alone, divided)
    ]
    assert last[0] == last[1]


@needs_mpi
def test_divergence_is_reported_once(images, tmp_path):
    options = (*SMALL, "--data", images, "--epochs", 1, "--output", tmp_path / "out")
    process = start(2, CIFAR, *options, "--lr", "1e30", "--parallel", "data")
    _, errors = results(process)
    assert process.returncode == 1
    assert errors.count("training has diverged") == 1


@needs_mpi
def test_different_checkpoints_of_the_ranks_are_refused(images, tmp_path):
    program = tmp_path / "resume.py"
    program.write_text(f"""if True:
        import argparse, sys
        from types import SimpleNamespace
        from tinyalex import parallel, models
        from tinyalex.cli import training_scripts

        def main():
            world = parallel.connect("cpu")
            scheme = parallel.distribute(models.cifar("quick"), "data", world)
            progress = SimpleNamespace(step=100 * world.rank)
            checkpoint = training_scripts.Path({str(tmp_path)!r}) / "none"
            trainer = SimpleNamespace(
                scheme=scheme, progress=progress, checkpoint=checkpoint, output="runs"
            )
            training_scripts.resume(trainer, "auto")

        training_scripts.run(main)
    """)
    process = start(2, program)
    _, errors = results(process)
    assert process.returncode == 1
    assert errors.count("of the steps [0, 100]") == 1


@needs_mpi
def test_every_gradient_may_have_a_bucket_of_its_own(tmp_path):
    program = tmp_path / "buckets.py"
    program.write_text("""if True:
        import sys
        from tinyalex.parallel import buckets
        buckets.BUCKET_BYTES = 0
        import parallel_steps
        parallel_steps.training_scripts.run(parallel_steps.main)
    """)
    options = ("data", "torchvision", "float32", "cpu", 2)
    output, _ = run(2, program, *options, PYTHONPATH=str(TESTS))
    assert json.loads(output)["parameters"] < 1e-5


@needs_mpi
@pytest.mark.parametrize("scheme", ["columns", "hybrid"])
def test_a_network_of_one_class_is_divided(tmp_path, scheme):
    """Only one rank has a unit of the last layer."""
    program = tmp_path / "one_class.py"
    program.write_text(f"""if True:
        from tinyalex import models, parallel
        from tinyalex.cli import training_scripts

        def main():
            world = parallel.connect("cpu")
            network = models.cifar("alexnet", 1, column_lrn=True)
            scheme = parallel.distribute(network, {scheme!r}, world)
            state = scheme.model.state_dict()
            assert not state or (state["fc8.weight"] == network.fc8.weight.numpy()).all()
            return 0

        training_scripts.run(main)
    """)
    run(2, program)


def test_a_loader_of_whole_batches_is_refused(tmp_path):
    loader = data.Loader(parallel_steps.images(32), 6, shard=(0, 2))
    model = models.cifar("quick", 5)
    optimizer = ta.optim.SGD(model.parameters(), lr=0.1)
    options = {"epochs": 1, "output": tmp_path, "metadata": {}}
    with pytest.raises(ValueError, match=r"expected loaders with shard=\(0, 1\).*got \(0, 2\)"):
        training.Trainer(model, optimizer, None, loader, loader, **options)
