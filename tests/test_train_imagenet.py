"""train_imagenet.py as a user runs it: a program in a process of its own."""

import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from made_pictures import class_folders, official_files, picture

import tinyalex as ta
from tinyalex import data, predicting
from tinyalex.data.preparing import Options, prepare

SCRIPT = Path(__file__).resolve().parent.parent / "train_imagenet.py"
SMALL = ("--image-size", 67, "--resize", 72, "--batch-size", 6)


def run(*options):
    return subprocess.run([sys.executable, SCRIPT, *map(str, options)], capture_output=True, text=True)


def done(*options):
    result = run(*options)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_from_the_official_tars_to_shards_to_a_network_and_its_test(tmp_path):
    source, shards, output = official_files(tmp_path / "ILSVRC2012"), tmp_path / "shards", tmp_path / "out"
    command = [sys.executable, "-m", "tinyalex", "prepare", source, shards, "--size", "72", "--per-shard", "5"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=SCRIPT.parent)
    out = done("--data", shards, *SMALL, "--epochs", 2, "--output", output)
    assert "12 images to train on, 4 to validate, 3 classes, on cpu" in out
    assert len(re.findall(r"^epoch   [12]  lr 0.01  train loss ", out, re.MULTILINE)) == 2
    assert {file.name for file in output.iterdir()} == {
        *("answers.png", "curves.png", "filters.png", "log.csv", "mean.safetensors"),
        *("best.safetensors", "checkpoint.safetensors", "model.safetensors"),
    }
    best, last = output / "best.safetensors", output / "model.safetensors"
    tested = done("--data", shards, "--evaluate", best, last)
    assert [line.split(": ")[0] for line in tested.splitlines()] == [
        f"{views}  {of}" for views in ("one view ", "ten views") for of in (best, last, "all 2")
    ]
    assert all(line.endswith("top-5 error 0.00 % (standard error 0.00), 4 images") for line in tested.splitlines())
    # The same when the tars themselves are read: only JPEG's second loss lies between.
    straight = done("--data", source, "--evaluate", best, "--views", 1)
    loss = [float(re.search(r"loss ([\d.]+)", text)[1]) for text in (tested, straight)]
    assert loss[0] == pytest.approx(loss[1], abs=0.05)
    # What the file says of itself is enough for `predict`.
    model = predicting.network(best)
    assert (model.variant, model.image_size, model.preprocessing.resize) == ("paper", 67, 72)
    assert model.classes == ("tench", "kit fox", "giant panda")
    np.testing.assert_allclose(model.preprocessing.mean, ta.load(output / "mean.safetensors")["mean"].mean(axis=(1, 2)), rtol=1e-5)


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_the_same_bytes_and_broken_pictures_are_named(tmp_path):
    photos = class_folders(tmp_path / "photos")
    (photos / "train" / "cat" / "4.jpg").write_bytes(picture(4)[:200])
    options = ("--data", photos, *SMALL, "--init", "he", "--mean", "colour", "--together", 2, "--divide", 1.1, "--epochs", 2)
    whole = done(*options, "--workers", 1, "--output", tmp_path / "whole")
    assert "left out: cat/4.jpg: not a picture that can be read" in whole
    assert "1 pictures could not be read, and were left out" in whole
    command = [sys.executable, SCRIPT, *map(str, options), "--workers", "2", "--output", tmp_path / "stopped"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "stopped" / "log.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "To go on: the same command with --resume auto" in output
    done(*options, "--output", tmp_path / "stopped", "--resume", "auto")
    assert (tmp_path / "whole/model.safetensors").read_bytes() == (tmp_path / "stopped/model.safetensors").read_bytes()
    assert not (tmp_path / "whole" / "mean.safetensors").exists()
    again = run(*options, "--output", tmp_path / "whole")
    assert "holds a run already. Go on with it (--resume auto), or choose another folder (--output)" in again.stderr
    other = run(*options[:-2], "--epochs", 3, "--divide", 1, "--output", tmp_path / "whole", "--resume", "auto")
    assert "divide was 1.1, now 1.0" in other.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "no/such/place"], "there is no folder no/such/place"),
        (["--data", "PHOTOS", "--image-size", "20"], "alexnet: image_size=20 is too small"),
        (["--data", "PHOTOS", "--resize", "100"], "a square of size=224 cannot be cut from resize=100 pixels"),
        (["--data", "PHOTOS", "--device", "cuda"], "device 'cuda': "),
        (["--data", "PHOTOS", "--evaluate", "no/such/file"], "there is no file 'no/such/file'"),
        (["--data", "PHOTOS", "--variant", "vgg"], "invalid choice: 'vgg'"),
        ([], "the following arguments are required: --data"),
    ],
)
def test_bad_options_end_in_one_line_that_says_why(options, message, tmp_path):
    photos = str(class_folders(tmp_path / "photos", train=2, val=2))
    result = run(*(option.replace("PHOTOS", photos) for option in options), "--output", tmp_path / "out")
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def script(monkeypatch):
    """The script's functions, and its arguments for a command line."""
    names = runpy.run_path(str(SCRIPT))

    def arguments(*options):
        monkeypatch.setattr(sys, "argv", ["train_imagenet.py", *map(str, options)])
        return names["arguments"]()

    return names | {"arguments": arguments}


def test_the_defaults_are_the_recipe_of_2012(script):
    args = script["arguments"]("--data", "x")
    assert (args.variant, args.image_size, args.resize, args.init, args.mean) == ("paper", 224, 256, "own", "image")
    assert (args.epochs, args.batch_size, args.lr, args.weight_decay, args.schedule) == (90, 128, 0.01, 0.0005, "plateau")
    assert (args.colour_noise, args.together, args.divide) == ("own", 1, 1.0)
    assert script["arguments"]("--data", "x", "--variant", "caffe").image_size == 227
    assert script["arguments"]("--data", "x", "--image-size", 112).resize == 128


def test_colours_are_those_that_prepare_has_measured(script, tmp_path):
    photos, shards = class_folders(tmp_path / "photos"), tmp_path / "shards"
    index = prepare(photos, shards, Options(size=18, per_shard=5), progress=False)
    args = script["arguments"]("--data", shards, "--mean", "colour", "--image-size", 67)
    train = data.StoredPictures(data.find_pictures(shards).train, ("cat", "dog"), 18)
    measured = script["measure"](args, train)
    np.testing.assert_allclose(measured.mean, index["mean"], rtol=1e-6)
    np.testing.assert_allclose(measured.axes.T @ measured.axes, index["covariance"], rtol=1e-3, atol=1)
    assert measured.deviation == pytest.approx(np.sqrt(np.trace(index["covariance"]) / 3), rel=1e-4)
    args.mean, args.data = "image", photos
    images = train.in_memory().images
    np.testing.assert_allclose(script["measure"](args, train).mean, images.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_no_crop(workers, tmp_path):
    source = data.find_pictures(class_folders(tmp_path))
    augment = data.Augment([100, 100, 100], size=12, colours=data.IMAGENET_COLOURS)
    loaders = [
        data.Loader(data.StoredPictures(source.train, source.classes, 16, count), 5, shuffle=True, transform=augment)
        for count in (workers, 2)
    ]
    for (x, y), (same_x, same_y) in zip(*loaders, strict=True):
        np.testing.assert_array_equal(x, same_x)
        np.testing.assert_array_equal(y, same_y)
