"""tinyalex.course.lesson: options, claims, figures and images of the lessons."""

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyalex import data, device
from tinyalex.course import lesson, patients

REAL_DATA = os.environ.get("TINYALEX_DATA")  # before the fixture below removes it


@pytest.fixture(autouse=True)
def without_real_images(monkeypatch, tmp_path):
    monkeypatch.delenv("TINYALEX_DATA", raising=False)
    monkeypatch.setenv("TINYALEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def real_images():
    if REAL_DATA is None:
        pytest.skip("no real images: set TINYALEX_DATA to a folder with cifar-10-batches-py in it")
    return Path(REAL_DATA)


def test_options_are_read_from_the_command_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["01_gradient.py", "--full", "--seed", "3"])
    args = lesson.options("What is it?")
    assert (args.full, args.device, args.seed) == (True, "cpu", 3)
    assert device.seed() == 3


def test_the_command_line_of_a_notebook_kernel_is_ignored(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    args = lesson.options("What is it?")
    assert (args.full, args.device, args.seed) == (False, "cpu", 0)


def test_an_unknown_device_ends_the_lesson_with_the_reason(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["01_gradient.py", "--device", "tpu"])
    with pytest.raises(SystemExit):
        lesson.options("What is it?")
    assert "expected 'auto', 'cpu', 'cuda' or 'cuda:1', got 'tpu'" in capsys.readouterr().err


def test_a_true_claim_is_printed_and_a_false_one_raises(capsys):
    lesson.claim("two is two", np.bool_(True))
    assert capsys.readouterr().out == "✓ two is two\n"
    with pytest.raises(AssertionError, match="this claim does not hold: two is three"):
        lesson.claim("two is three", np.bool_(False))


def test_a_skipped_claim_is_printed_with_the_reason(capsys):
    lesson.skip("textures are fine", "shapes have no texture")
    expected = "– not checked: textures are fine (shapes have no texture)\n"
    assert capsys.readouterr().out == expected


def test_an_ascii_console_gets_ascii_marks(monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", console)
    lesson.claim("two is two", True)
    lesson.skip("two is three", "false")
    console.flush()
    expected = b"ok two is two -- not checked: two is three (false)"
    assert console.buffer.getvalue().split() == expected.split()


def test_a_figure_is_written_to_the_file_of_its_name(tmp_path, capsys):
    figure = lesson.figure(4, 2)
    lesson.axes(figure, 1, 2, 1, title="a curve", xlabel="x").plot([1, 2, 3])
    lesson.image_axes(figure, 1, 2, 2, title="an image", pixels=np.zeros((3, 4, 4)))
    lesson.show(figure, "99_test")
    assert capsys.readouterr().out == "figure: runs/lessons/99_test.png\n"
    with Image.open(tmp_path / "runs" / "lessons" / "99_test.png") as written:
        assert written.size == (600, 300)


def test_without_real_images_synthetic_ones_are_used_and_a_download_command_is_printed(capsys):
    train, test, source = lesson.images(20, 10)
    assert (len(train), len(test), source) == (20, 10, lesson.SHAPES)
    assert lesson.GET_CIFAR10 in capsys.readouterr().out
    pixels, source = lesson.photos(2, size=40)
    assert (pixels.shape, pixels.dtype, source) == ((2, 3, 40, 40), np.uint8, lesson.SHAPES)
    assert lesson.GET_PHOTOS in capsys.readouterr().out


def test_cifar_10_is_found_in_the_data_folder(monkeypatch, real_images):
    monkeypatch.setenv("TINYALEX_DATA", str(real_images))
    train, test, source = lesson.images(20, 10)
    assert (len(train), len(test), source) == (20, 10, lesson.CIFAR10)
    assert train.classes == data.cifar10(real_images)[0].classes


def test_cifar_10_is_found_in_the_download_cache(monkeypatch, tmp_path, real_images):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "cifar-10-batches-py").symlink_to(real_images / "cifar-10-batches-py")
    assert lesson.images(5).source == lesson.CIFAR10


def test_the_seed_selects_the_images(monkeypatch, real_images):
    monkeypatch.setenv("TINYALEX_DATA", str(real_images))
    selected = []
    for seed in (1, 1, 2):
        device.manual_seed(seed)
        selected.append(lesson.images(5).train.images)
    assert (selected[0] == selected[1]).all()
    assert (selected[0] != selected[2]).any()


def test_photographs_are_centre_crops_from_any_published_folder(monkeypatch, tmp_path):
    for name in ("imagenette2-160/train/n01440764", "imagenet-sample-images"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (50 + i, 80), (200, i, 0)).save(tmp_path / name / f"{i}.jpg")
        monkeypatch.setenv("TINYALEX_DATA", str(tmp_path))
        pixels, source = lesson.photos(3, size=30)
        assert (pixels.shape, source) == ((3, 3, 30, 30), lesson.PHOTOS)
        assert abs(pixels[:, 0].astype(int) - 200).max() < 4


# The trainings of lesson 16


@pytest.mark.parametrize("fault", patients.PATIENTS.values(), ids=lambda fault: fault.__name__)
def test_a_faulty_training_differs_in_one_method_and_says_why(fault):
    changed = [name for name in vars(fault) if not name.startswith("__")]
    assert len(changed) == 1
    assert changed[0] in vars(patients.Healthy)
    assert fault.__doc__


@pytest.mark.parametrize("training", [patients.Healthy, *patients.PATIENTS.values()])
def test_a_training_of_lesson_16_computes_a_step(training):
    train = data.shapes(16, 0)[0]
    trained = training(train.images)
    network = trained.network()
    pixels = trained.transform()(train.images)
    loss = trained.loss(network(pixels), trained.labels(train.labels, 0))
    loss.backward()
    assert np.isfinite(loss.item())
    assert (network.conv1.weight.grad is None) == (training is patients.E)
