"""train_imagenet.py, run in its own process."""

import csv
import importlib.util
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from made_images import class_folders, image_bytes, official_files

import tinyalex as ta
from tinyalex import data
from tinyalex.cli import imagenet_images
from tinyalex.data.preparing import Options, prepare
from tinyalex.models.prediction import load_network

SCRIPT = Path(__file__).resolve().parent.parent / "train_imagenet.py"
SMALL = ("--image-size", 67, "--resize", 72, "--batch-size", 6)


def run(*options):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, options)], capture_output=True, text=True
    )


def done(*options):
    result = run(*options)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_official_tar_files_become_shards_a_network_and_its_evaluation(tmp_path):
    source, shards, output = (
        official_files(tmp_path / "ILSVRC2012"),
        tmp_path / "shards",
        tmp_path / "out",
    )
    command = [
        sys.executable,
        "-m",
        "tinyalex",
        "prepare",
        source,
        shards,
        "--size",
        "72",
        "--per-shard",
        "5",
    ]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=SCRIPT.parent)
    out = done("--data", shards, *SMALL, "--epochs", 2, "--output", output)
    assert "12 training and 4 validation images, 3 classes, on cpu" in out
    assert len(re.findall(r"^epoch   [12]  lr 0.01  train loss ", out, re.MULTILINE)) == 2
    assert {file.name for file in output.iterdir()} == {
        *("answers.png", "curves.png", "filters.png", "log.csv", "mean.safetensors"),
        *("best.safetensors", "checkpoint.safetensors", "checkpoint.1.safetensors"),
        "model.safetensors",
    }
    assert re.search(
        r"filters.png, answers.png \(of best.safetensors, epoch [12]\)    weights", out
    )
    best, last = output / "best.safetensors", output / "model.safetensors"
    tested = done("--data", shards, "--evaluate", best, last)
    found, *scores = tested.splitlines()
    assert found == (
        f"{shards}: 3 classes (tench, kit fox, giant panda), 12 training and 4 validation images"
    )
    assert [line.split(": ")[0] for line in scores] == [
        f"{views}  {of}" for views in ("one view ", "ten views") for of in (best, last, "all 2")
    ]
    losses = [
        float(re.search(r": loss ([\d.]+), top-1 error .*, 4 images$", line)[1]) for line in scores
    ]
    with open(output / "log.csv", newline="") as file:
        assert losses[1] == pytest.approx(
            float(list(csv.DictReader(file))[-1]["valid_loss"]), abs=1e-4
        )
    assert losses[2] <= max(
        losses[:2]
    )  # the mean of two predictions is no worse than the worse of them
    # The same from the tar files, except for the second JPEG compression of shards.
    straight = done("--data", source, "--evaluate", last, "--views", 1)
    assert losses[1] == pytest.approx(float(re.search(r"loss ([\d.]+)", straight)[1]), abs=0.05)
    # Weights without their mean image, or for other classes, are refused.
    (tmp_path / "moved").mkdir()
    moved = shutil.copy(last, tmp_path / "moved")
    assert (
        "was trained with a mean image, which" in run("--data", shards, "--evaluate", moved).stderr
    )
    photos = class_folders(tmp_path / "photos", classes=("cat", "dog", "eel"))
    refused = run("--data", photos, "--evaluate", last)
    assert (
        "was trained with 3 classes (tench, kit fox, giant panda), but the images have 3 (cat, dog, eel)"
        in refused.stderr
    )
    # The metadata of the file is sufficient for `predict`.
    model = load_network(best)
    assert (model.variant, model.image_size, model.preprocessing.resize) == ("paper", 67, 72)
    assert model.classes == ("tench", "kit fox", "giant panda")
    np.testing.assert_allclose(
        model.preprocessing.mean,
        ta.load(output / "mean.safetensors")["mean"].mean(axis=(1, 2)),
        rtol=1e-5,
    )


@pytest.mark.slow
@pytest.mark.fuzz
def test_a_stopped_and_resumed_run_ends_with_the_same_bytes_and_names_unreadable_images(tmp_path):
    photos = class_folders(tmp_path / "photos")
    (photos / "train" / "cat" / "4.jpg").write_bytes(image_bytes(4)[:200])
    options = (
        "--data",
        photos,
        *SMALL,
        "--init",
        "he",
        "--mean",
        "colour",
        "--together",
        2,
        "--divide",
        1.1,
        "--epochs",
        2,
    )
    reference = done(*options, "--workers", 1, "--output", tmp_path / "reference")
    assert "left out: train/cat/4.jpg: not a readable image" in reference
    assert "1 images could not be read, and were left out" in reference
    command = [
        sys.executable,
        SCRIPT,
        *map(str, options),
        "--workers",
        "2",
        "--output",
        tmp_path / "stopped",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "stopped" / "log.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert f"train_imagenet.py --resume auto --output {tmp_path / 'stopped'}\n" in output
    done("--output", tmp_path / "stopped", "--resume", "auto")  # without other options
    assert (tmp_path / "reference/model.safetensors").read_bytes() == (
        tmp_path / "stopped/model.safetensors"
    ).read_bytes()
    assert not (tmp_path / "reference" / "mean.safetensors").exists()
    again = run(*options, "--output", tmp_path / "reference")
    assert (
        "already contains a run. Resume it (--resume auto), or choose another folder (--output)"
        in again.stderr
    )
    other = run(
        *options[:-2],
        "--epochs",
        3,
        "--divide",
        1,
        "--output",
        tmp_path / "reference",
        "--resume",
        "auto",
    )
    assert "divide was 1.1, now 1.0" in other.stderr
    (photos / "train" / "cat" / "new.jpg").write_bytes(image_bytes(99))
    more = run(*options[:-2], "--epochs", 3, "--output", tmp_path / "reference", "--resume", "auto")
    assert "is from a run with other options: pictures was" in more.stderr
    (photos / "val" / "cat" / "0.jpg").write_bytes(b"not an image")
    tested = done(
        "--data", photos, "--evaluate", tmp_path / "reference" / "best.safetensors", "--views", 1
    )
    assert "3 images\nleft out: val/cat/0.jpg: not a readable image" in tested


@pytest.mark.fuzz
def test_class_folders_are_split_in_the_same_way_when_a_run_is_resumed(tmp_path):
    photos = tmp_path / "photos"
    class_folders(tmp_path / "x", train=20, val=0).joinpath("train").rename(photos)
    for file in photos.glob("cat/*"):
        file.rename(file.with_name(f"\udce9{file.name}"))  # not UTF-8
    output = tmp_path / "out"
    options = ("--data", photos, *SMALL, "--init", "he", "--mean", "colour", "--output", output)
    out = done(*options, "--epochs", 1, "--val-fraction", 0.3)
    assert f"{photos}: 2 classes (cat, dog), 14 training and 6 validation images (0.3 of" in out
    held_out = (output / "validation.txt").read_bytes()
    assert b"cat/\xe9" in held_out
    assert len(held_out.splitlines()) == 6
    resumed = done("--resume", "auto", "--output", output, "--epochs", 2)
    assert "14 training and 6 validation images (0.3 of each class)" in resumed
    assert f"Resuming {output}/checkpoint.safetensors at epoch 2, step 3\n" in resumed
    assert (output / "validation.txt").read_bytes() == held_out
    refused = run("--resume", "auto", "--output", output, "--val-fraction", 0.2)
    assert "val_fraction was 0.3, now 0.2" in refused.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "no/such/place"], "there is no folder no/such/place"),
        (["--data", "PHOTOS", "--image-size", "20"], "alexnet: image_size=20 is too small"),
        (["--data", "PHOTOS", "--image-size", "4000"], "--image-size: expected at most 2048"),
        (
            ["--data", "PHOTOS", "--resize", "100"],
            "a square of size=224 cannot be cropped from resize=100 pixels",
        ),
        (["--data", "PHOTOS", "--device", "cuda"], "device 'cuda': "),
        (
            ["--data", "PHOTOS", "--lr", "-1"],
            "argument --lr: expected a positive finite number, got '-1'",
        ),
        (
            ["--data", "PHOTOS", "--lr", "inf"],
            "argument --lr: expected a positive finite number, got 'inf'",
        ),
        (
            ["--data", "PHOTOS", "--divide", "inf"],
            "argument --divide: expected a positive finite number, got 'inf'",
        ),
        (["--data", "PHOTOS", "--classes", "3"], "there are 2 classes, not 3"),
        (["--data", "PHOTOS", "--evaluate", "no/such/file"], "there is no file 'no/such/file'"),
        (["--data", "PHOTOS", "--variant", "vgg"], "invalid choice: 'vgg'"),
        ([], "the following arguments are required: --data"),
        (["--resume", "auto"], "/out contains no run to resume. Give its folder (--output), or"),
        (["--data", "PHOTOS", "--evaluate", "PHOTOS"], "photos is not a file. Give a file of"),
        (["--data", "PHOTOS", "--weights", "no.pth"], "no file 'no.pth'. Check --weights"),
        (["--data", "PHOTOS", "--val-fraction", "0.2"], "has validation images of its own"),
        (
            ["--data", "PHOTOS", "--val-fraction", "1"],
            "argument --val-fraction: expected a number between 0 and 1, got '1'",
        ),
        (["--data", "PHOTOS/val/cat/0.jpg"], "0.jpg is a file, and not a tar archive"),
    ],
)
def test_invalid_options_are_refused_without_a_traceback(options, message, tmp_path):
    photos = str(class_folders(tmp_path / "photos", train=2, val=2))
    result = run(
        *(option.replace("PHOTOS", photos) for option in options), "--output", tmp_path / "out"
    )
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def script(monkeypatch):
    """The script as a module, with `parsed`: the arguments of a command line."""
    spec = importlib.util.spec_from_file_location("train_imagenet", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def parsed(*options):
        monkeypatch.setattr(sys, "argv", ["train_imagenet.py", *map(str, options)])
        return module.arguments()

    module.parsed = parsed
    return module


def test_the_defaults_are_the_recipe_of_2012(script):
    args = script.parsed("--data", "x")
    assert (args.variant, args.image_size, args.resize, args.init, args.mean) == (
        "paper",
        224,
        256,
        "own",
        "image",
    )
    assert (args.epochs, args.batch_size, args.lr, args.weight_decay, args.schedule) == (
        90,
        128,
        0.01,
        0.0005,
        "plateau",
    )
    assert (args.colour_noise, args.together, args.divide) == ("own", 1, 1.0)
    assert script.parsed("--data", "x", "--variant", "caffe").image_size == 227
    assert script.parsed("--data", "x", "--image-size", 112).resize == 128


def test_colours_are_those_that_prepare_measured(script, tmp_path):
    photos, shards = class_folders(tmp_path / "photos"), tmp_path / "shards"
    index = prepare(photos, shards, Options(size=18, per_shard=5), progress=False)
    args = script.parsed("--data", shards, "--mean", "colour", "--image-size", 67)
    train = data.StoredImages(data.find_images(shards).train, ("cat", "dog"), 18)
    measured = imagenet_images.measure(args, data.find_images(shards), train)
    np.testing.assert_allclose(measured.mean, index["mean"], rtol=1e-6)
    np.testing.assert_allclose(
        measured.axes.T @ measured.axes, index["covariance"], rtol=1e-3, atol=1
    )
    assert measured.deviation == pytest.approx(np.sqrt(np.trace(index["covariance"]) / 3), rel=1e-4)
    args.mean = "image"
    images = train.in_memory().images
    for images_of in (train, train.in_memory()):
        measured = imagenet_images.measure(args, data.find_images(photos), images_of)
        np.testing.assert_allclose(measured.mean, images.mean(axis=0), rtol=1e-5)


def test_many_images_are_not_kept_in_memory(tmp_path, monkeypatch):
    source = data.find_images(class_folders(tmp_path))
    splits = [data.StoredImages(split, source.classes, 16) for split in (source.train, source.val)]
    assert [type(split) for split in imagenet_images.load_if_small(splits)] == [
        data.Dataset,
        data.Dataset,
    ]
    monkeypatch.setattr(imagenet_images, "MAX_IN_MEMORY_BYTES", 3 * 16 * 16 * 15)
    assert imagenet_images.load_if_small(splits) == splits


@pytest.mark.parametrize("workers", [1, 3])
def test_crops_do_not_depend_on_the_number_of_workers(workers, tmp_path):
    source = data.find_images(class_folders(tmp_path))
    augment = data.Augment([100, 100, 100], size=12, colours=data.IMAGENET_COLOURS)
    loaders = [
        data.Loader(
            data.StoredImages(source.train, source.classes, 16, count),
            5,
            shuffle=True,
            transform=augment,
        )
        for count in (workers, 2)
    ]
    for (x, y), (same_x, same_y) in zip(*loaders, strict=True):
        np.testing.assert_array_equal(x, same_x)
        np.testing.assert_array_equal(y, same_y)
