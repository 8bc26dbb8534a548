"""normalize and one_hot."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.functional.unit_vectors import normalize_naive

pytestmark = pytest.mark.anywhere


def test_normalize_equals_its_naive_version_and_passes_gradcheck(dtype, rng):
    x = rng.standard_normal((4, 6)).astype(dtype)
    y = F.normalize(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), normalize_naive(x), rtol=1e-5)
    for dim in (0, -1):
        assert ta.gradcheck(lambda x, dim=dim: F.normalize(x, dim=dim), x.astype("f8")).ok


def test_vectors_shorter_than_eps_are_divided_by_eps():
    x = ta.Tensor([[0.0, 0.0], [0.25, 0.0]], requires_grad=True)
    y = F.normalize(x, eps=0.5)
    y.sum().backward()
    assert (y.numpy().tolist(), x.grad.tolist()) == ([[0, 0], [0.5, 0]], [[2, 2], [2, 2]])


def test_one_hot_has_a_1_at_each_index():
    y = F.one_hot(np.array([[1, 0], [2, 2]]), 4)
    assert (y.shape, y.dtype) == ((2, 2, 4), np.int64)
    np.testing.assert_array_equal(y.numpy(), np.eye(4, dtype=int)[[[1, 0], [2, 2]]])
    assert F.one_hot([0, 3]).shape == (2, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.normalize([[1.0]], p=1.0), "normalize: expected p=2, the Euclidean length, got 1.0"),
        (lambda: F.one_hot([0.5]), "one_hot: expected integers, got float64"),
        (lambda: F.one_hot([0, 3], 3), "one_hot: expected class indices from 0 to 2, got 0 to 3"),
        (lambda: F.one_hot([-1, 3]), "one_hot: expected class indices from 0 to 3, got -1 to 3"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
