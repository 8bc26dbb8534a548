import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex.functional.linear import linear_naive

pytestmark = pytest.mark.anywhere


def test_it_equals_its_naive_version(dtype, rng):
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((3, 5), (4, 5), (4,)))
    y = F.linear(x, w, b)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), linear_naive(x, w, b), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(F.linear(x, w).numpy(), linear_naive(x, w), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 5)], ids=str)
def test_any_leading_axes_pass_gradcheck(shape, rng):
    assert ta.gradcheck(
        F.linear, [rng.standard_normal(shape), rng.standard_normal((4, 5)), rng.standard_normal(4)]
    ).ok


@pytest.mark.parametrize("bias", [True, False])
def test_with_relu_it_equals_both_layers(bias, dtype, rng):
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in ((2, 7, 5), (4, 5), (4,))]
    arrays[0][0, 0, 0] = np.nan
    dy = rng.standard_normal((2, 7, 4)).astype(dtype)
    results = []
    for f in (lambda *a: F.linear(*a, relu=True), lambda *a: F.relu(F.linear(*a))):
        leaves = [ta.Tensor(a, requires_grad=True) for a in (arrays if bias else arrays[:2])]
        y = f(*leaves)
        y.backward(ta.Tensor(dy).data)
        results.append([y, *(ta.Tensor(leaf.grad) for leaf in leaves)])
    for one, other in zip(*results, strict=True):
        tolerance = 1e-3 if dtype == "float16" else 1e-6  # db is added in another order
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 5)], ids=str)
def test_with_relu_it_passes_gradcheck(shape, rng):
    arrays = rng.standard_normal(shape), rng.standard_normal((4, 5)), rng.standard_normal(4)
    assert ta.gradcheck(lambda *a: F.linear(*a, relu=True), arrays).ok


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 7, 5), (0, 5)], ids=str)
def test_with_dropout_it_equals_the_three_layers(shape, bias, dtype, rng):
    arrays = [rng.standard_normal(size).astype(dtype) for size in (shape, (9, 5), (9,))]
    dy = rng.standard_normal((*shape[:-1], 9)).astype(dtype)
    results = []
    for f in (
        lambda *a: F.linear(*a, relu=True, dropout=0.4),
        lambda *a: F.dropout(F.relu(F.linear(*a)), 0.4),
    ):
        devices.set_step(3, first_sample=2)
        leaves = [ta.Tensor(a, requires_grad=True) for a in (arrays if bias else arrays[:2])]
        y = f(*leaves)
        y.backward(ta.Tensor(dy).data)
        results.append([y, *(ta.Tensor(leaf.grad) for leaf in leaves)])
    for one, other in zip(*results, strict=True):
        tolerance = 1e-2 if dtype == "float16" else 1e-6  # rounded at other times
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_with_dropout_it_passes_gradcheck(p, rng):
    arrays = rng.standard_normal((3, 5)), rng.standard_normal((4, 5)), rng.standard_normal(4)
    assert ta.gradcheck(lambda *a: F.linear(*a, relu=True, dropout=p), arrays).ok


def test_it_names_a_dropout_that_it_cannot_apply():
    x, w = np.zeros((2, 3)), np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"dropout=0\.5 needs relu=True\. Apply dropout to the"):
        F.linear(x, w, dropout=0.5)
    with pytest.raises(ValueError, match=r"linear: dropout must be a probability from 0 to 1, got"):
        F.linear(x, w, relu=True, dropout=1.5)


def test_it_names_shapes_that_do_not_match():
    with pytest.raises(
        ValueError, match=r"input has shape \(2, 3\), but weight \(4, 5\) expects 5 features"
    ):
        F.linear(np.zeros((2, 3)), np.zeros((4, 5)))
    with pytest.raises(
        ValueError, match=r"bias has shape \(5,\), but weight \(4, 3\) has 4 outputs"
    ):
        F.linear(np.zeros((2, 3)), np.zeros((4, 3)), np.zeros(5))
    with pytest.raises(ValueError, match=r"weight has shape \(3,\), expected \(out, in\)"):
        F.linear(np.zeros((2, 3)), np.zeros(3))


@pytest.mark.parametrize(
    ("dims", "shape"),
    [((), (24,)), ((1,), (2, 12)), ((0, 1), (6, 4)), ((-2, -1), (2, 12))],
    ids=str,
)
def test_flatten_merges_axes(dims, shape):
    assert F.flatten(np.zeros((2, 3, 4)), *dims).shape == shape


def test_flatten_names_axes_out_of_range():
    with pytest.raises(
        ValueError,
        match=r"flatten: start_dim=3 is out of range for a tensor of shape \(2, 3\)\. Use -2 to 1",
    ):
        F.flatten(np.zeros((2, 3)), 3)
    with pytest.raises(ValueError, match="start_dim=1 is after end_dim=0"):
        F.flatten(np.zeros((2, 3)), 1, 0)


def test_images_that_became_float64_are_explained():
    layer = ta.nn.Linear(3, 2)
    with pytest.raises(
        TypeError, match=r"integers / 255 are float64; x\.float\(\) / 255 is float32"
    ):
        layer(ta.tensor([[1, 2, 3]]) / 255)
    assert layer(ta.tensor([[1, 2, 3]]).float() / 255).dtype == np.float32
