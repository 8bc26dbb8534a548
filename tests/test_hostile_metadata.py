"""Metadata of weights files from the internet: classes, sizes and preprocessing."""

import io
import json

import numpy as np
import pytest
from PIL import Image

import tinyalex as ta
from tinyalex import models, nn
from tinyalex.data.decoding import decode
from tinyalex.models import prediction
from tinyalex.models.prediction import load_network
from tinyalex.models.weights import Weights

PREPROCESSING = {
    "size": 67, "resize": 72, "squash": False, "channels": "RGB", "white": 255.0,
    "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0],
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    with nn.init.skipped():
        return models.alexnet("paper", 2, 67)


@pytest.fixture
def load_with(network, monkeypatch):
    """load_network, for a file with this metadata (whose weights are not copied)."""

    def load(**metadata):
        weights = Weights(network.state_dict(), network.metadata() | metadata, by_name=True)
        monkeypatch.setattr(prediction, "read_weights", lambda path: weights)
        monkeypatch.setattr(prediction, "load_weights", lambda model, path: None)
        return load_network("w.safetensors")

    return load


@pytest.mark.parametrize(
    "size", ["100000", "9" * 5000, "2049", "-5", "0", "nan", "", "6.7", "\u0667\u0660"]
)
def test_an_image_size_that_no_network_has_is_refused(load_with, size):
    with pytest.raises(ValueError, match="image_size in the metadata of .* from 1 to 2048, got"):
        load_with(image_size=size)


def test_an_image_size_that_needs_more_weights_is_refused_before_they_are_allocated(
    load_with,
):
    with pytest.raises(ValueError, match=r"images of 2000 x 2000 pixels, but the largest array"):
        load_with(image_size="2000")


@pytest.mark.parametrize(
    ("shape", "message"),
    [((10**11, 0), "100000000000 classes"), ((3,), "3 classes"), ((), "at least 1, got 0")],
)
def test_more_classes_than_the_file_has_weights_for_are_refused(tmp_path, shape, message):
    ta.save(tmp_path / "w.safetensors", {"fc8.weight": np.ones(shape)}, {"variant": "paper"})
    with pytest.raises(ValueError, match=message):
        load_network(tmp_path / "w.safetensors")


def test_a_message_has_no_million_names_and_no_escape_codes(network, tmp_path):
    more = {f"\x1b[31m{i}": np.ones(0) for i in range(1000)}
    ta.save(tmp_path / "w.safetensors", network.state_dict() | more, {"variant": "\x1b" * 999})
    with pytest.raises(ValueError, match="and 950 more") as error:
        models.load_weights(network, tmp_path / "w.safetensors")
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 10_000
    with pytest.raises(ValueError, match="expected the weights of an AlexNet") as error:
        load_network(tmp_path / "w.safetensors")
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "classes", ["5", '["a"]', "[1, 2]", "[" * 10_000, "[" + "[]," * 1000 + "[]]"]
)
def test_classes_that_are_not_a_name_for_each_class_are_refused(load_with, classes):
    with pytest.raises(ValueError, match="expected the names of 2 classes in the metadata"):
        load_with(classes=classes)


def test_escape_codes_in_names_do_not_reach_the_terminal(load_with):
    names = json.dumps(["\x1b]0;owned\x07cat", "dog\r\n"])
    assert load_with(classes=names).classes == (
        "\\x1b]0;owned\\x07cat",
        "dog\\r\\n",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"white": 0},
        {"white": float("nan")},
        {"white": -1},
        {"white": [1]},
        {"resize": 60_000},
        {"size": 4096, "resize": 4096},
        {"resize": 72.5},
        {"size": "67"},
        {"mean": [0, 0]},
        {"mean": [0, 0, float("inf")]},
        {"std": [1, 1, 0]},
        {"std": 1},
        {"channels": "XYZ"},
        {"more": 1},
    ],
)
def test_a_preprocessing_with_a_wrong_value_is_refused(change):
    with pytest.raises(ValueError, match="not a preprocessing"):
        models.Preprocessing.from_text(json.dumps(PREPROCESSING | change))


def test_a_right_preprocessing_is_read():
    preprocessing = models.Preprocessing.from_text(json.dumps(PREPROCESSING))
    assert preprocessing(np.zeros((80, 80, 3), np.uint8)).shape == (1, 3, 67, 67)


def decode_array(image, side):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return decode(file.getvalue(), side)


@pytest.mark.parametrize(
    "read", [lambda image, side: models.Preprocessing(67, side)(image), decode_array]
)
def test_a_long_image_is_not_enlarged_to_billions_of_pixels(read):
    image = np.zeros((10, 1000, 3), np.uint8)
    with pytest.raises(ValueError, match=r"at most 64,000,000 pixels, got 400000 x 4000"):
        read(image, 4000)
