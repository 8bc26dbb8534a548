"""The training scripts under mpirun: results, interruption, resuming, errors."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from made_images import class_folders, red_and_green
from ranks import CIFAR, IMAGENET, SMALL, largest_difference, needs_mpi, results, run, start

import tinyalex as ta
from tinyalex import models
from tinyalex.installation import pip_install
from tinyalex.training.output_folder import locked


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return red_and_green(tmp_path_factory.mktemp("images"))


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
    assert process.returncode != 0
    assert shown in errors


def test_without_mpi4py_the_option_says_what_to_install(tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no MPI here')")
    process = start(0, CIFAR, *SMALL, "--parallel", "data", PYTHONPATH=str(tmp_path))
    _, errors = process.communicate()
    assert process.returncode == 1
    assert f"Install both: {pip_install('mpi')}" in errors


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
        assert process.returncode != 0  # 1, or 9 if mpirun had to kill a rank
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
    assert divided.splitlines()[:3] == alone.splitlines()[:3]
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
    assert process.returncode != 0
    assert errors.count("training has diverged") == 1


@needs_mpi
def test_all_ranks_resume_from_the_same_intact_checkpoint(images, tmp_path):
    """The newest is damaged, but only rank 1 finds that out; then all are damaged."""
    options = ("--data", images, "--batch-size", 8, "--epochs", 2, "--resume", "auto")
    options = (*options, "--parallel", "data", "--output", tmp_path / "run")
    run(2, CIFAR, *options)
    before = ta.load(tmp_path / "run" / "model.safetensors")
    program = tmp_path / "program.py"
    program.write_text(f"""if True:
        import sys
        sys.path.insert(0, {str(CIFAR.parent)!r})
        import train_cifar
        from tinyalex import parallel, serialization
        from tinyalex.cli import training_scripts

        load = serialization.load

        def load_on_a_bad_disk(path):
            state = load(path)
            if str(path).endswith("checkpoint.safetensors") and parallel.connect().rank == 1:
                raise serialization.DamagedFileError(f"{{path}} is damaged")
            return state

        serialization.load = load_on_a_bad_disk
        training_scripts.run(train_cifar.main)
    """)
    output, _ = run(2, program, *options)
    assert re.search(
        r"Resuming .*checkpoint\.1\.safetensors at epoch 2, step 9$", output, re.MULTILINE
    ), output
    assert "epoch   2" in output
    after = ta.load(tmp_path / "run" / "model.safetensors")
    assert all((after[name] == before[name]).all() for name in before)
    for file in (tmp_path / "run").glob("checkpoint*"):
        file.write_bytes(b"")
    process = start(2, CIFAR, *options)
    _, errors = results(process)
    assert process.returncode != 0
    assert errors.count("no checkpoint is intact") == 1


@needs_mpi
def test_only_rank_0_locks_the_folder(images, tmp_path):
    options = (*SMALL, "--data", images, "--output", tmp_path, "--parallel", "data")
    with locked(tmp_path):
        process = start(2, CIFAR, *options)
        _, errors = results(process)
    assert process.returncode != 0
    assert errors.count(f"is in use by process {os.getpid()} on") == 1


@needs_mpi
def test_different_checkpoints_of_the_ranks_are_refused(images, tmp_path):
    program = tmp_path / "resume.py"
    program.write_text(f"""if True:
        import argparse, sys
        from types import SimpleNamespace
        from tinyalex import parallel, models
        from tinyalex.cli import resuming, training_scripts

        def main():
            world = parallel.connect("cpu")
            scheme = parallel.distribute(models.cifar("quick"), "data", world)
            progress = SimpleNamespace(step=100 * world.rank)
            checkpoint = training_scripts.Path({str(tmp_path)!r}) / "none"
            trainer = SimpleNamespace(
                scheme=scheme, progress=progress, checkpoint=checkpoint, output="runs"
            )
            resuming.resume(trainer, "auto")

        training_scripts.run(main)
    """)
    process = start(2, program)
    _, errors = results(process)
    assert process.returncode != 0
    assert errors.count("of the steps [0, 100]") == 1
