"""train_cifar.py as a user runs it: a program in a process of its own."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).resolve().parent.parent / "train_cifar.py"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """train/ and test/ with two classes of small images: red and green noise."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for half, count in (("train", 40), ("test", 10)):
        for channel, name in enumerate(("red", "green")):
            (root / half / name).mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 120, (32, 32, 3)).astype("u1")
                image[..., channel] += 100
                Image.fromarray(image).save(root / half / name / f"{i}.png")
    return root


def run(*options, **kwargs):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, options)], capture_output=True, text=True, **kwargs
    )


def test_it_trains_and_leaves_what_it_promises(pictures, tmp_path):
    result = run("--data", pictures, "--epochs", 3, "--batch-size", 8, "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1].startswith("test error ")
    assert float(lines[-1].split()[2]) < 20
    assert sum(line.startswith("epoch ") for line in lines) == 3
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "best.safetensors",
        "checkpoint.safetensors",
        "confusion.png",
        "curves.png",
        "filters.png",
        "log.csv",
        "model.safetensors",
        "preprocessing.safetensors",
    ]


def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(pictures, tmp_path):
    options = ["--data", pictures, "--model", "alexnet", "--epochs", 2, "--batch-size", 8]
    whole = run(*options, "--output", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, SCRIPT, *map(str, options), "--output", tmp_path / "stopped"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "stopped" / "log.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "To go on: the same command with --resume auto" in output
    resumed = run(*options, "--output", tmp_path / "stopped", "--resume", "auto")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.splitlines()[-1] == whole.stdout.splitlines()[-1]
    assert (tmp_path / "whole/model.safetensors").read_bytes() == (
        tmp_path / "stopped/model.safetensors"
    ).read_bytes()


def test_a_finished_run_is_not_overwritten(pictures, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"precious")
    result = run("--data", pictures, "--output", tmp_path)
    assert result.returncode == 1
    assert (
        "holds a run already. Go on with it (--resume auto), or choose another folder (--output)"
        in result.stderr
    )
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "no/such/place"], "no/such/place"),
        (
            ["--data", "shapes", "--subset", "5"],
            "5 training images are too few: one in ten is set aside for validation",
        ),
        (["--data", "shapes", "--device", "cuda"], "device 'cuda': "),
        (["--data", "shapes", "--epochs", "0"], "expected a whole number from 1 on, got '0'"),
        (["--data", "shapes", "--resume", "no/such/file"], "there is no file 'no/such/file'"),
    ],
)
def test_bad_options_end_in_one_line_that_says_why(options, message, tmp_path):
    result = run(*options, "--output", tmp_path / "out")
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_refused_resume_leaves_the_run_as_it_was(pictures, tmp_path):
    options = ["--data", pictures, "--epochs", 1, "--batch-size", 8, "--output", tmp_path]
    assert run(*options).returncode == 0
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    result = run(*options, "--subset", 40, "--resume", "auto")
    assert "subset was None, now 40" in result.stderr
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before
