import math
from functools import partial

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn
from tinyalex.functional.activation import relu_naive, sigmoid_naive, tanh_naive
from tinyalex.functional.gelu import gelu_naive
from tinyalex.functional.leaky_relu import leaky_relu_naive

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize(
    ("f", "naive"),
    [
        (F.relu, relu_naive),
        (F.tanh, tanh_naive),
        (F.sigmoid, sigmoid_naive),
        (F.leaky_relu, partial(leaky_relu_naive, a=0.01)),
        (nn.LeakyReLU(-0.5), partial(leaky_relu_naive, a=-0.5)),
        (F.gelu, gelu_naive),
        (nn.GELU("tanh"), partial(gelu_naive, approximate="tanh")),
    ],
    ids=["relu", "tanh", "sigmoid", "leaky_relu", "negative", "gelu", "gelu by tanh"],
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


def test_leaky_relu_has_the_gradient_of_negative_values_at_zero():
    x = ta.Tensor([-1.0, 0.0, 1.0], requires_grad=True)
    F.leaky_relu(x, 0.25).sum().backward()
    assert x.grad.tolist() == [0.25, 0.25, 1]


def test_gelu_is_x_for_large_values_and_zero_for_small_ones(dtype):
    x = ta.Tensor(np.array([-50, -1e-30, 0, 1e-30, 50], dtype), requires_grad=True)
    y = F.gelu(x)
    y.sum().backward()
    assert y.numpy().tolist()[::2] == [0, 0, 50]
    np.testing.assert_allclose(ta.Tensor(x.grad).numpy(), [0, 0.5, 0.5, 0.5, 1])


def test_the_tanh_approximation_of_gelu_is_within_a_thousandth():
    x = np.linspace(-5, 5, 1001)
    exact = [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x]
    difference = abs(F.gelu(x, "tanh").numpy() - exact).max()
    assert 1e-5 < difference < 1e-3


def test_an_unknown_approximation_of_gelu_is_named():
    with pytest.raises(ValueError, match="approximate must be 'none' or 'tanh', got 'erf'"):
        F.gelu([1.0], "erf")


def test_the_modules_of_softmax_have_an_axis(rng):
    x = rng.standard_normal((3, 4))
    np.testing.assert_array_equal(nn.LogSoftmax(1)(x).numpy(), F.log_softmax(x, 1).numpy())
    np.testing.assert_array_equal(nn.Softmax(dim=0)(x).numpy(), F.softmax(x, 0).numpy())
