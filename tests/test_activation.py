import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.functional.activation import relu_naive, sigmoid_naive, tanh_naive

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize(
    ("f", "naive"),
    [(F.relu, relu_naive), (F.tanh, tanh_naive), (F.sigmoid, sigmoid_naive)],
    ids=["relu", "tanh", "sigmoid"],
)
def test_it_equals_its_naive_version_and_passes_gradcheck(f, naive, dtype, rng):
    x = rng.standard_normal((3, 4, 5)).astype(dtype)
    y = f(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), naive(x), rtol=1e-5, atol=1e-7)
    assert ta.gradcheck(f, x).ok


def test_the_gradient_of_relu_is_zero_at_zero():
    x = ta.Tensor([-1.0, 0.0, 1.0], requires_grad=True)
    F.relu(x).sum().backward()
    assert x.grad.tolist() == [0, 0, 1]


def test_relu_propagates_nan():
    assert np.isnan(F.relu([np.nan]).numpy()).all()


def test_activations_of_integers_raise():
    with pytest.raises(TypeError, match="relu: input is int64, but must be floating"):
        F.relu(np.arange(3))


def test_sigmoid_does_not_overflow():
    x = ta.Tensor([-1e4, 0.0, 1e4], requires_grad=True)
    y = F.sigmoid(x)
    y.sum().backward()
    assert (y.numpy().tolist(), x.grad.tolist()) == ([0, 0.5, 1], [0, 0.25, 0])
