import itertools

import numpy as np
import pytest

from tinyalex import device as devices
from tinyalex.data import shapes
from tinyalex.data.synthetic import OBJECTS


@pytest.fixture(scope="module")
def datasets():
    return shapes()


@pytest.fixture
def plane():
    """x and y of 241 x 241 points in [-1.2, 1.2]; they are 0.01 apart."""
    return np.meshgrid(*[np.linspace(-1.2, 1.2, 241, dtype=np.float32)] * 2)


# The dataset


def test_there_are_ten_thousand_training_and_two_thousand_test_images(datasets):
    train, test = datasets
    assert train.images.shape == (10_000, 3, 32, 32)
    assert test.images.shape == (2_000, 3, 32, 32)
    assert train.classes == test.classes == tuple(draw.__name__ for draw in OBJECTS)


def test_all_classes_are_equally_frequent(datasets):
    for split in datasets:
        assert len(set(np.bincount(split.labels, minlength=10))) == 1


def test_the_same_seed_draws_the_same_images():
    for one, other in zip(shapes(50, 20, seed=7), shapes(50, 20, seed=7), strict=True):
        assert np.array_equal(one.images, other.images)


def test_manual_seed_changes_no_image():
    before = shapes(20, 0)[0].images
    devices.manual_seed(5)
    assert np.array_equal(shapes(20, 0)[0].images, before)


def test_another_seed_draws_other_images():
    one, other = (shapes(20, 0, seed=seed)[0].images for seed in (0, 1))
    assert not any(map(np.array_equal, one, other))


def test_an_image_does_not_depend_on_the_number_of_images(datasets):
    for few, many in zip(shapes(33, 7), datasets, strict=True):
        assert np.array_equal(few.images, many.images[: len(few)])


def test_an_image_does_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(devices.tiles, "workers", lambda: 1)
    expected = shapes(30, 0)[0].images
    monkeypatch.setattr(devices.tiles, "workers", lambda: 4)
    assert np.array_equal(shapes(30, 0)[0].images, expected)


def test_all_images_differ(datasets):
    images = [image.tobytes() for split in datasets for image in split.images]
    assert len(set(images)) == len(images)


def test_a_dataset_may_be_empty():
    train, test = shapes(0, 0)
    assert len(train) == len(test) == 0


def test_images_use_the_whole_range_of_values_and_few_are_clipped(datasets):
    pixels = datasets[0].images[:1000]
    assert 90 < pixels.mean() < 150
    assert pixels.std() > 50
    assert np.isin(pixels, (0, 255)).mean() < 0.05


def test_a_linear_model_classifies_less_than_half_of_the_test_images(datasets):
    """Ridge regression on one-hot labels: accuracy above chance and below 50 %."""
    train, test = datasets
    x, x_test = (split.images.reshape(len(split), -1).astype(np.float32) / 64 for split in datasets)
    mean = x.mean(axis=0)
    x, x_test = x - mean, x_test - mean
    targets = np.eye(10, dtype=np.float32)[train.labels] - 0.1
    # The best ridge for the test images themselves.
    ridge = 10 * len(x) * np.eye(x.shape[1], dtype=np.float32)
    weights = np.linalg.solve(x.T @ x + ridge, x.T @ targets)
    assert 0.15 < ((x_test @ weights).argmax(axis=1) == test.labels).mean() < 0.5


@pytest.mark.parametrize(("name", "value"), [("n_train", -1), ("n_test", 2.5)])
def test_a_number_of_images_that_is_negative_or_no_integer_is_refused(name, value):
    with pytest.raises(
        ValueError,
        match=rf"shapes: expected {name} to be an integer of at least 0, got {value}\.",
    ):
        shapes(**{name: value})


@pytest.mark.parametrize("seed", [-1, 2**64, "a", None])
def test_another_seed_than_a_uint64_is_refused(seed):
    with pytest.raises(
        ValueError,
        match=r"shapes: expected seed to be an integer from 0 to 18446744073709551615, got",
    ):
        shapes(1, 1, seed=seed)


# The objects


@pytest.mark.parametrize("draw", OBJECTS)
def test_an_object_extends_from_about_minus_one_to_one(draw, plane):
    for axis in 0, 1:
        inside = plane[axis][draw(*plane) < 0]
        assert -1.12 < inside.min() < -0.5
        assert 0.4 < inside.max() < 1.12


@pytest.mark.parametrize("draw", OBJECTS)
def test_the_gradient_of_a_distance_has_norm_one_at_the_edge(draw, plane):
    distance = draw(*plane)
    norm = np.hypot(*np.gradient(distance, 0.01))[abs(distance) < 0.04]
    assert norm.max() < 1.05
    assert np.isclose(norm, 1, atol=0.01).mean() > 0.9


@pytest.mark.parametrize("draw", OBJECTS)
def test_distances_are_float32(draw, plane):
    assert draw(*plane).dtype == np.float32


def test_no_two_objects_look_the_same(plane):
    inside = {draw.__name__: draw(*plane) < 0 for draw in OBJECTS}
    for one, other in itertools.combinations(inside, 2):
        overlap = (inside[one] & inside[other]).sum() / (inside[one] | inside[other]).sum()
        assert overlap < 0.88, f"{one} and {other}"
