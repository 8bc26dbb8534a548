"""Predictions with the weights of CIFAR networks: one file has all that they need."""

import numpy as np
import pytest
from PIL import Image

import tinyalex as ta
from tinyalex import cli, data, models
from tinyalex.functional import softmax
from tinyalex.models import cifar_weights
from tinyalex.models.prediction import load_classifier, load_network, predict

NAMES = ("ant", "bee", "cow")


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def saved(tmp_path, rng):
    """(model, mean, a function that saves it with changed metadata)."""
    model = models.cifar("quick", 3)
    mean = rng.uniform(50, 200, (3, 32, 32)).astype("f")

    def save(name="quick", **changed):
        entries = cifar_weights.metadata(name, NAMES, mean, 1 / 60) | changed
        entries = {key: text for key, text in entries.items() if text is not None}
        ta.save(tmp_path / "w.safetensors", model.state_dict(), entries)
        return tmp_path / "w.safetensors"

    return model, mean, save


def file_of(image, path, size=(32, 32)):
    Image.fromarray(image.transpose(1, 2, 0)).resize(size).save(path)
    return path


def test_a_prediction_is_that_of_the_test(saved, images, tmp_path):
    model, mean, save = saved
    loaded, options = load_classifier(save())
    assert options["names"] == NAMES
    logits = model.eval()(data.Normalize(mean, 1 / 60)(images))
    for image, expected in zip(images, softmax(logits, 1).numpy(), strict=True):
        prediction = predict(loaded, file_of(image, tmp_path / "a.png"), **options)
        np.testing.assert_allclose(
            [dict(prediction.classes)[n] for n in NAMES], expected, rtol=1e-5
        )
        np.testing.assert_array_equal(prediction.image, image.transpose(1, 2, 0))


def test_a_crop_and_ten_views_are_those_of_training(images, tmp_path, rng):
    model, mean = models.cifar("13pct", 3, lrn=True), rng.uniform(50, 200, (3, 32, 32)).astype("f")
    entries = cifar_weights.metadata("13pct", NAMES, mean, 1.0, 24, lrn="1")
    ta.save(tmp_path / "w.safetensors", model.state_dict(), entries)
    loaded, options = load_classifier(tmp_path / "w.safetensors")
    assert str(loaded) == str(model)  # with LRN, which is no default
    file, preprocess = file_of(images[0], tmp_path / "a.png"), options["preprocess"]
    centre, views = data.Normalize(mean, 1.0, 24), data.TenViews(mean, 1.0, size=24)
    np.testing.assert_array_equal(preprocess(file), centre(images[:1]))
    np.testing.assert_array_equal(preprocess.views(file), views(images[:1])[0])
    predicted = dict(predict(loaded, file, views=10, **options).classes)
    expected = softmax(model.eval()(views(images[:1])[0]), 1).numpy().mean(axis=0)
    np.testing.assert_allclose([predicted[name] for name in NAMES], expected, rtol=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (301, 200), (10, 90)])
def test_the_command_takes_images_of_any_size(saved, images, tmp_path, capsys, size):
    _, _, save = saved
    file = file_of(images[0], tmp_path / "a.png", size)
    assert cli.main(["predict", str(file), "--weights", str(save())]) == 0
    assert sorted(line.split()[0] for line in capsys.readouterr().out.splitlines()[1:4]) == list(
        NAMES
    )


def test_columns_are_an_option_of_the_network(tmp_path):
    model = models.cifar("alexnet", 2, column_lrn=True)
    mean = np.zeros((3, 32, 32), "f")
    entries = cifar_weights.metadata("alexnet", ("a", "b"), mean, 1.0, column_lrn="1")
    ta.save(tmp_path / "w", model.state_dict(), entries)
    loaded, _ = load_classifier(tmp_path / "w")
    assert loaded.norm1.groups == 2


def test_files_without_a_mean_image_need_that_of_the_run(saved, images, tmp_path):
    _, mean, save = saved
    old = save(classes=None, mean=None, scale=None, image_size=None)
    with pytest.raises(ValueError, match="does not contain the preprocessing .*\n.*train again"):
        load_classifier(old)
    ta.save(tmp_path / "preprocessing.safetensors", {"mean": mean, "scale": np.float32(1 / 60)})
    loaded, options = load_classifier(old)
    file = file_of(images[0], tmp_path / "a.png")
    assert predict(loaded, file, **options).classes[0][0].startswith("class ")
    np.testing.assert_array_equal(options["preprocess"].mean, mean)


@pytest.mark.parametrize(
    "changed",
    [
        {"mean": "%"},
        {"mean": ""},
        {"mean": "AAAA" * 8},
        {"mean": "AAAA" * 10**6},
        {"scale": "nan"},
        {"scale": "0"},
        {"scale": None},
        {"image_size": "33"},
        {"image_size": "-1"},
        {"image_size": "9" * 5000},
        {"image_size": "x"},
    ],
)
def test_wrong_metadata_are_refused(saved, changed):
    _, _, save = saved
    with pytest.raises(ValueError, match="does not contain the preprocessing of its training"):
        load_classifier(save(**changed))


def test_other_networks_options_and_names_are_refused(saved):
    _, _, save = saved
    with pytest.raises(ValueError, match="of 'cifar-vgg'; expected one of cifar-quick, cifar-al"):
        load_classifier(save("vgg"))
    with pytest.raises(ValueError, match="are of 'cifar-quick'. Omit the variant and the image"):
        load_classifier(save(), "paper")
    with pytest.raises(ValueError, match="expected the names of 3 classes in the metadata"):
        load_classifier(save(classes="[1]"))
    with pytest.raises(ValueError, match="does not have the last layer of cifar-alexnet"):
        load_classifier(save("alexnet"))
    with pytest.raises(ValueError, match="expected the weights of an AlexNet"):
        load_network(save())
