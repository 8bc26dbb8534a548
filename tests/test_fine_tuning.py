"""train_imagenet.py --weights: training that begins with trained weights."""

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_images import class_folders
from toy_run import toy

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
    names = "weights freeze head_lr variant image_size resize lr column_lrn init mean resume"
    return argparse.Namespace(**dict.fromkeys(names.split()) | given)


def saved(path, model):
    ta.save(path, model.state_dict(), model.metadata())
    return str(path)


class OneProcess:
    world, has_columns = None, False


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
    out = capsys.readouterr().out
    assert "a new last layer, for 2 classes instead of 2 others (fc8.weight, fc8.bias)" in out
    assert "a new last layer, for 3 classes instead of 2 (fc8.weight, fc8.bias)" in out


def test_classes_without_names_are_imagenets_or_unknown():
    names = models.class_names()
    trained = network(names)
    trained.classes = None
    assert fine_tuning.replace_last_layer(trained, names) is trained
    others = tuple(f"plant {i}" for i in range(len(names)))
    assert fine_tuning.replace_last_layer(trained, others) is not trained
    unknown = network(("cat", "dog"))
    unknown.classes = None
    assert fine_tuning.replace_last_layer(unknown, ("cat", "dog")) is not unknown


def test_options_are_those_of_the_weights(tmp_path):
    file = saved(tmp_path / "single.safetensors", network(("cat", "dog"), "single"))
    args = options(weights=file)
    fine_tuning.read(args)
    assert (args.variant, args.image_size, args.resize, args.mean) == ("single", 67, 72, "colour")
    assert (args.lr, args.column_lrn) == (0.001, None)
    args = options(weights=file, lr=0.1, resize=72, mean="colour")
    fine_tuning.read(args)
    assert args.lr == 0.1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"resize": 80}, r"--resize 80: .* was trained with 72\. Leave the option out\.$"),
        ({"mean": "image"}, r"--mean image: .* was trained with colour\. Leave the option out"),
        ({"column_lrn": True}, r"--column-lrn: .* was trained without it\. Leave the option out"),
        ({"init": "own"}, r"--init is for new networks\. Leave out --init or --weights"),
        ({"resize": 80, "resume": "auto"}, "or give the weights that the run began with"),
    ],
)
def test_options_that_contradict_the_weights_are_refused(given, message, tmp_path):
    file = saved(tmp_path / "w.safetensors", network(("cat", "dog")))
    with pytest.raises(ValueError, match=message):
        fine_tuning.read(options(weights=file, **given))


def test_weights_that_are_no_file_are_refused_with_the_name_of_the_option(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"there is no file 'no\.pth'\. Check --weights"):
        fine_tuning.read(options(weights="no.pth"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torchvision").mkdir()
    for weights in (".", "torchvision"):  # a folder that has the name of a download
        with pytest.raises(ValueError, match=f"^--weights {weights} is not a file"):
            fine_tuning.read(options(weights=weights))


@pytest.mark.parametrize(
    ("classes", "given", "rate"),
    [(("cat", "dog"), None, 0.02), (("cat", "cow"), None, 0.2), (("cat", "cow"), 0.7, 0.7)],
)
def test_a_new_last_layer_has_a_higher_rate(classes, given, rate, tmp_path):
    file = saved(tmp_path / "w.safetensors", network(("cat", "dog")))
    args = options(weights=file, lr=0.02, head_lr=given)
    args.pretrained = fine_tuning.read(args)
    fine_tuning.start(args, classes, OneProcess)
    assert args.head_lr == pytest.approx(rate)


def test_a_resumed_run_has_the_preprocessing_of_its_first_weights(tmp_path):
    """The path of the weights may change, but not what they determine."""

    def trainer(file):
        args = options(weights=str(file))
        args.pretrained = fine_tuning.read(args)
        return toy(tmp_path / "run", epochs=1, options=fine_tuning.of_weights(args))

    model, file = network(("cat", "dog")), tmp_path / "w.safetensors"
    saved(file, model)
    trainer(file).fit()
    moved = trainer(file.rename(tmp_path / "moved.safetensors"))
    moved.resume(moved.checkpoint)
    model.preprocessing = dataclasses.replace(model.preprocessing, mean=(1.0, 2.0, 3.0))
    saved(file, model)
    changed = trainer(file)
    with pytest.raises(ValueError, match=r"options: preprocessing of --weights was '.*', now '"):
        changed.resume(changed.checkpoint)


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


@pytest.mark.parametrize("variant", models.VARIANTS)
def test_all_linear_layers_remain_trainable(variant):
    with nn.init.skipped():
        model = models.alexnet(variant, 2, SIZE)
    fine_tuning.freeze(model, OneProcess)
    for layer in model.modules():
        if not list(layer.children()):
            expected = isinstance(layer, nn.Linear)
            assert all(p.requires_grad == expected for p in layer.parameters()), layer


def test_frozen_layers_get_neither_gradients_nor_updates():
    model = network(("cat", "dog"))

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

    with pytest.raises(
        ValueError, match="--freeze needs one process and one device. Leave out --freeze"
    ):
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
    saved(file, model)
    photos = class_folders(tmp_path / "photos", 12, 6, ("cow", "hen", "pig"))
    start = ("--data", photos, "--weights", file, "--freeze", "features", "--batch-size", 6)
    text = done(*start, "--epochs", 1)
    assert "a new last layer, for 3 classes instead of 2" in text
    assert "one view   " in text
    tuned = models.read_weights(tmp_path / "tuned" / "model.safetensors").arrays
    for name, p in model.named_parameters():
        assert np.array_equal(tuned[name], p.numpy()) == name.startswith("conv")
    moved = file.rename(tmp_path / "moved.safetensors")
    assert "Resuming" in done("--resume", "auto", "--epochs", 2, "--weights", moved)
