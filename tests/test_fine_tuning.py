"""train_imagenet.py --weights: training that begins with trained weights."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_images import class_folders

import tinyalex as ta
from tinyalex import data, models, nn, optim
from tinyalex.cli import fine_tuning
from tinyalex.cli import imagenet_evaluation as evaluation

SCRIPT = Path(__file__).resolve().parent.parent / "train_imagenet.py"
SIZE = 67


def network(classes, variant="paper"):
    """A small network with random weights, and the names of its classes."""
    with nn.init.skipped():
        model = models.alexnet(variant, len(classes), SIZE)
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.data = rng.standard_normal(p.shape, np.float32) * 0.01
    model.classes = classes
    model.preprocessing = models.Preprocessing(SIZE, 72, mean=(120, 110, 100), std=(60, 50, 40))
    return model


def options(**given):
    defaults = dict.fromkeys(
        ("weights", "freeze", "head_lr", "variant", "image_size", "resize", "lr", "column_lrn")
    )
    return argparse.Namespace(**defaults | given)


def test_the_last_layer_is_replaced_for_other_classes_only(capsys):
    trained = network(("cat", "dog"))
    assert fine_tuning.replace_last_layer(trained, ("cat", "dog")) is trained
    for classes in (("cat", "cow"), ("a", "b", "c")):
        tuned = fine_tuning.replace_last_layer(trained, classes)
        assert tuned.fc8.weight.shape == (len(classes), 4096)
        assert not np.array_equal(tuned.fc8.weight.numpy()[:2], trained.fc8.weight.numpy())
        for name, p in trained.named_parameters():
            if not name.startswith("fc8."):
                np.testing.assert_array_equal(dict(tuned.named_parameters())[name].numpy(), p.data)
    assert "a new last layer, for 3 classes instead of 2 (fc8.weight, fc8.bias)" in (
        capsys.readouterr().out
    )


def test_options_are_those_of_the_weights(tmp_path):
    model, file = network(("cat", "dog"), "single"), tmp_path / "single.safetensors"
    ta.save(file, model.state_dict(), model.metadata())
    args = options(weights=str(file))
    fine_tuning.read(args)
    assert (args.variant, args.image_size, args.resize, args.mean) == ("single", 67, 72, "colour")
    assert (args.lr, args.head_lr) == (0.001, 0.01)
    args = options(weights=str(file), lr=0.1, head_lr=0.2, resize=72)
    fine_tuning.read(args)
    assert (args.lr, args.head_lr) == (0.1, 0.2)
    with pytest.raises(ValueError, match=r"--resize 80: .* was trained with 72\. Leave the option"):
        fine_tuning.read(options(weights=str(file), resize=80))


@pytest.mark.parametrize(
    ("given", "flag"), [({"freeze": "features"}, "--freeze"), ({"head_lr": 0.1}, "--head-lr")]
)
def test_options_of_fine_tuning_need_weights(given, flag):
    with pytest.raises(ValueError, match=f"{flag} needs --weights FILE"):
        fine_tuning.read(options(**given))


def test_the_last_layer_has_its_own_rate():
    model = network(("cat", "dog"))
    names = {id(p): name for name, p in model.named_parameters()}
    rates = {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in fine_tuning.groups(model, 0.001, 0.03, 0.5)
        for p in group["params"]
    }
    assert rates.keys() == set(names.values())
    assert (rates["fc7.weight"], rates["fc7.bias"]) == ((0.001, 0.5), (0.002, 0.0))
    assert rates["fc8.weight"] == (pytest.approx(0.03), 0.5)
    assert rates["fc8.bias"] == (pytest.approx(0.06), 0.0)


def test_frozen_layers_get_neither_gradients_nor_updates():
    model = network(("cat", "dog"))

    class OneProcess:
        world, has_columns = None, False

    fine_tuning.freeze(model, OneProcess)
    before = {name: p.numpy().copy() for name, p in model.named_parameters()}
    optimizer = optim.SGD(fine_tuning.groups(model, 0.1, 0.1, 0.1), lr=0.1)
    x = np.random.default_rng(1).standard_normal((2, 3, SIZE, SIZE), np.float32)
    model.eval()(x).sum().backward()
    optimizer.step()
    for name, p in model.named_parameters():
        is_frozen = name.startswith("conv")
        assert (p.grad is None) == is_frozen
        assert np.array_equal(p.numpy(), before[name]) == is_frozen

    class Columns(OneProcess):
        has_columns = True

    with pytest.raises(ValueError, match="--freeze: train in one process and on one device"):
        fine_tuning.freeze(model, Columns)


def test_pixels_are_scaled_as_in_testing():
    model = network(("cat", "dog"), "caffe")
    model.preprocessing = models.Preprocessing(
        67, 72, channels="BGR", mean=(120, 110, 100), std=(60, 50, 40)
    )
    mean = model.preprocessing.in_bytes()[0]
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 67, 67), np.uint8)
    augment = evaluation.Scaled(
        data.Augment(mean, padding=0, flip=False, size=67), model.preprocessing
    )
    test = evaluation.Views(model.preprocessing, mean, ten=False)
    np.testing.assert_allclose(augment(images, epoch=0, first=0), test(images), rtol=1e-6)


@pytest.mark.fuzz
def test_a_run_is_fine_tuned_evaluated_and_resumed(tmp_path):
    def done(*arguments):
        command = [sys.executable, SCRIPT, *map(str, arguments), "--output", tmp_path / "tuned"]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    model, file = network(("cat", "dog")), tmp_path / "trained.safetensors"
    ta.save(file, model.state_dict(), model.metadata())
    photos = class_folders(tmp_path / "photos", 12, 6, ("cow", "hen", "pig"))
    start = ("--data", photos, "--weights", file, "--freeze", "features", "--batch-size", 6)
    text = done(*start, "--epochs", 1)
    assert "a new last layer, for 3 classes instead of 2" in text
    assert "one view   " in text
    tuned = models.read_weights(tmp_path / "tuned" / "model.safetensors").arrays
    for name, p in model.named_parameters():
        assert np.array_equal(tuned[name], p.numpy()) == name.startswith("conv")
    assert "Resuming" in done("--resume", "auto", "--epochs", 2)
