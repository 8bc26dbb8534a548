"""train_cifar.py, run in its own process."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_images import red_and_green

from tinyalex import models, nn, serialization
from tinyalex.training.history import CHECKPOINT
from tinyalex.training.output_folder import LOCK, locked

SCRIPT = Path(__file__).resolve().parent.parent / "train_cifar.py"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return red_and_green(tmp_path_factory.mktemp("images"))


def run(*options, **kwargs):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, options)], capture_output=True, text=True, **kwargs
    )


def test_a_run_learns_and_writes_all_its_files(images, tmp_path):
    result = run("--data", images, "--stages", "2,1", "--batch-size", 8, "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-3].startswith("test error ")
    assert float(lines[-3].split()[2]) < 20
    weights = f"{tmp_path}/best.safetensors"
    assert lines[-2] == f"next: tinyalex predict photo.jpg --weights {weights}"
    assert f"train_cifar.py --resume auto --output {tmp_path} --epochs 6 " in lines[-1]
    assert "no better than guessing" not in result.stdout
    # The weights are all that a prediction needs.
    image = next((images / "test" / "green").iterdir())
    command = [sys.executable, "-m", "tinyalex", "predict", image, "--weights", weights]
    predicted = subprocess.run(command, capture_output=True, text=True).stdout
    assert predicted.splitlines()[1].split()[0] == "green"
    rates = [line.split()[3] for line in lines if line.startswith("epoch ")]
    assert rates == ["0.01", "0.01", "0.001"]
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "best.safetensors",
        "checkpoint.1.safetensors",
        "checkpoint.safetensors",
        "confusion.png",
        "curves.png",
        "filters.png",
        "log.csv",
        "model.safetensors",
    ]


@pytest.mark.fuzz
def test_a_stopped_and_resumed_run_ends_with_the_same_bytes(images, tmp_path):
    options = ["--data", images, "--model", "alexnet", "--epochs", 2, "--batch-size", 8]
    reference = run(*options, "--output", tmp_path / "reference")
    assert reference.returncode == 0, reference.stderr
    command = [sys.executable, SCRIPT, *map(str, options), "--output", tmp_path / "stopped"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "stopped" / "log.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert f"train_cifar.py --resume auto --output {tmp_path / 'stopped'}\n" in output
    resumed = run("--output", tmp_path / "stopped", "--resume", "auto")  # no other options
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(
        r"^Resuming .*/checkpoint.safetensors at epoch \d, step \d+$", resumed.stdout, re.M
    )
    assert resumed.stdout.splitlines()[-3] == reference.stdout.splitlines()[-3]
    assert (tmp_path / "reference/model.safetensors").read_bytes() == (
        tmp_path / "stopped/model.safetensors"
    ).read_bytes()


def test_a_recipe_with_crops_trains_on_all_images_and_tests_ten_views(images, tmp_path):
    options = ["--model", "13pct", "--lrn", "--no-validation", "--epochs", 1, "--batch-size", 16]
    result = run("--data", images, *options, "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    total = sum(1 for _ in (images / "train").glob("*/*"))
    assert f"{total} training, 0 validation and " in result.stdout
    assert " % (centre crop; below, ten views)" in result.stdout
    assert result.stdout.splitlines()[-3].startswith("test error ")
    best, last = (tmp_path / f"{name}.safetensors" for name in ("best", "model"))
    assert best.read_bytes() == last.read_bytes()
    stored = serialization.load_metadata(best)
    assert (stored["variant"], stored["lrn"], stored["image_size"]) == ("cifar-13pct", "1", "24")
    result = run("--data", images, *options, "--no-lrn", "--output", tmp_path, "--resume", "auto")
    assert "lrn was True, now False" in result.stderr


def test_a_finished_run_is_not_overwritten(images, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"precious")
    result = run("--data", images, "--output", tmp_path)
    assert result.returncode == 1
    assert (
        "already contains a run. Resume it (--resume auto), or choose another folder (--output)"
        in result.stderr
    )
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "no/such/place"], "no/such/place"),
        (
            ["--data", "shapes", "--subset", "5"],
            "5 training images are too few: one in ten is held out for validation",
        ),
        (["--data", "shapes", "--device", "cuda"], "device 'cuda': "),
        (["--data", "shapes", "--epochs", "0"], "expected an integer of at least 1, got '0'"),
        (["--output", ""], "argument --output: expected a path, got nothing"),
        (
            ["--weight-decay", "inf"],
            "argument --weight-decay: expected a finite number of at least 0, got 'inf'",
        ),
        (
            ["--model", "13pct", "--augment", "flip"],
            "--model 13pct is trained with crops of 24 x 24 pixels. Use --augment crop+flip, or",
        ),
        (["--data", "shapes", "--no-validation", "--patience", "3"], "need a validation error"),
        (["--data", "shapes", "--lrn"], "'quick' does not have the option lrn"),
        (["--stages", "3,0"], "argument --stages: expected an integer of at least 1, got '0'"),
        (["--lr", "0"], "argument --lr: expected a positive finite number, got '0'"),
        (["--lr", "-0.01"], "argument --lr: expected a positive finite number, got '-0.01'"),
        (["--lr", "nan"], "argument --lr: expected a positive finite number, got 'nan'"),
        (["--data", "shapes", "--resume", "no/such/file"], "there is no file 'no/such/file'"),
    ],
)
def test_invalid_options_are_refused_without_a_traceback(options, message, tmp_path):
    result = run(*options, "--output", tmp_path / "out")
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_two_runs_in_a_folder_and_changed_images_are_refused(images, tmp_path):
    data = shutil.copytree(images, tmp_path / "data")
    options = ["--data", data, "--epochs", 1, "--batch-size", 8, "--output", tmp_path / "run"]
    with locked(tmp_path / "run"):
        result = run(*options)
        assert result.returncode == 1
        assert f"run is in use by process {os.getpid()} on " in result.stderr
        assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
    assert run(*options, "--keep-checkpoints", 1, "--checkpoint-every", 1e-9).returncode == 0
    assert [path.name for path in (tmp_path / "run").glob("checkpoint*")] == [CHECKPOINT]
    one, other = list((data / "train").glob("*/*"))[:2]
    shutil.copy(one, other)
    result = run(*options, "--resume", "auto")
    assert result.returncode == 1
    assert "pictures: a hash of the data set, whose images have changed" in result.stderr


@pytest.mark.fuzz
def test_each_model_has_an_output_folder_of_its_own(images, tmp_path):
    """The commands of the README, one after the other; then both are resumed."""
    options = ["--data", images, "--epochs", "1", "--batch-size", "8"]
    for more in ([], ["--model", "alexnet"]):
        assert run(*options, *more, cwd=tmp_path).returncode == 0
    assert sorted(f.name for f in (tmp_path / "runs").iterdir()) == ["cifar-alexnet", "cifar-quick"]
    longer = run("--resume", "auto", "--epochs", 2, cwd=tmp_path)
    assert "Resuming runs/cifar-quick/checkpoint.safetensors at epoch 2, step 9\n" in longer.stdout
    assert "epoch   2  lr 0.01 " in longer.stdout
    path = "runs/cifar-alexnet/checkpoint.safetensors"
    done = run("--resume", path, cwd=tmp_path)
    assert f"{path} is from the end of epoch 1. To train longer, give more --epochs." in done.stdout
    refused = run("--resume", path, "--lr", 0.5, cwd=tmp_path)
    assert "lr was 0.01, now 0.5" in refused.stderr


def test_the_help_states_the_size_of_a_checkpoint():
    """Weights, the best ones, and velocities."""
    with nn.init.skipped():
        size = 3 * sum(p.data.nbytes for p in models.alexnet("paper").parameters())
    assert f"AlexNet's have {size / 1e6:.0f} MB each" in " ".join(run("--help").stdout.split())


def test_a_refused_resume_does_not_change_the_run(images, tmp_path):
    options = ["--data", images, "--epochs", 1, "--batch-size", 8, "--output", tmp_path]
    assert run(*options).returncode == 0
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    result = run(*options, "--subset", 40, "--resume", "auto")
    assert "subset was None, now 40" in result.stderr
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before
