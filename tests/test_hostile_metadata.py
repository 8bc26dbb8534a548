"""Metadata of weights files from the internet: classes and preprocessing."""

import json

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import models, nn
from tinyalex.models.prediction import load_network

PREPROCESSING = {
    "size": 67, "resize": 72, "squash": False, "channels": "RGB", "white": 255.0,
    "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0],
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    with nn.init.skipped():
        return models.alexnet("paper", 2, 67)


def load_with(network, folder, **metadata):
    ta.save(folder / "w.safetensors", network.state_dict(), network.metadata() | metadata)
    return load_network(folder / "w.safetensors")


@pytest.mark.parametrize("classes", ["5", '["a"]', "[1, 2]", "[" * 10_000])
def test_classes_that_are_not_a_name_for_each_class_are_refused(network, tmp_path, classes):
    with pytest.raises(ValueError, match="expected the names of 2 classes in the metadata"):
        load_with(network, tmp_path, classes=classes)


def test_escape_codes_in_names_do_not_reach_the_terminal(network, tmp_path):
    names = json.dumps(["\x1b]0;owned\x07cat", "dog\r\n"])
    assert load_with(network, tmp_path, classes=names).classes == (
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
