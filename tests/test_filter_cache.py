"""The cache of transformed filters never returns those of other weights."""

import gc

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import optim
from tinyalex.kernels.cpu.convolution import filter_cache, winograd


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch):
    monkeypatch.setattr(filter_cache, "_entries", {})


@pytest.fixture
def transforms(monkeypatch):
    """A list with an item for each transform of filters."""
    calls = []
    original = winograd.transform_filters

    def counted(*arguments, **options):
        calls.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(winograd, "transform_filters", counted)
    return calls


def images(rng, size=15):
    return rng.standard_normal((8, 16, size, size)).astype("f")


def weights(rng):
    return ta.Tensor(rng.standard_normal((16, 16, 3, 3)).astype("f"), requires_grad=True)


def infer(x, w):
    with ta.no_grad():
        return F.conv2d(x, w).numpy()


def test_inference_transforms_the_same_filters_once(rng, transforms):
    x, w = images(rng), weights(rng)
    first = infer(x, w)
    np.testing.assert_array_equal(infer(x, w), first)
    infer(images(rng, size=20), w)
    assert len(transforms) == 1
    infer(images(rng), ta.Tensor(w.data.copy()))  # another array
    assert len(transforms) == 2


def test_a_write_during_the_transform_is_detected():
    array = np.ones(3)

    def transform(values):
        array[:] = 7  # as another thread may
        return 2 * values

    assert filter_cache.cached(array, "", transform).tolist() == [2, 2, 2]
    assert filter_cache.cached(array, "", transform).tolist() == [14, 14, 14]


def test_after_a_write_to_the_weights_the_new_values_are_used(rng, transforms):
    x, w = images(rng), weights(rng)
    infer(x, w)
    w.data[3, 2, 1, 0] += 1
    expected = F.conv2d(x, ta.Tensor(w.data.copy())).numpy()
    np.testing.assert_array_equal(infer(x, w), expected)
    w.data[0, 0, 0, 0] = np.nan
    assert np.isnan(infer(x, w)).any()


def test_entries_are_released_with_the_weights_and_by_training(rng, transforms):
    x, w = images(rng), weights(rng)
    infer(x, w)
    assert len(filter_cache._entries) == 1
    F.conv2d(x, w).sum().backward()
    assert filter_cache._entries == {}
    optim.SGD([w], lr=0.1).step()
    infer(x, w)
    assert len(filter_cache._entries) == 1
    del w
    gc.collect()
    assert filter_cache._entries == {}
    assert len(transforms) == 3
