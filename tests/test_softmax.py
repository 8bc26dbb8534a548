import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.functional.softmax import softmax_naive

pytestmark = pytest.mark.anywhere


def test_they_equal_the_naive_version(dtype, rng):
    x = rng.standard_normal((4, 5)).astype(dtype)
    y, log_y = F.softmax(x, 1), F.log_softmax(x, -1)
    assert y.dtype == log_y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), softmax_naive(x), rtol=1e-5)
    np.testing.assert_allclose(log_y.numpy(), np.log(softmax_naive(x)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("f", [F.softmax, F.log_softmax])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_they_pass_gradcheck_along_any_axis(f, dim, rng):
    assert ta.gradcheck(lambda x: f(x, dim), rng.standard_normal((3, 4, 2))).ok


@pytest.mark.parametrize("f", [F.softmax, F.log_softmax])
def test_scalars_and_empty_tensors_have_a_softmax(f):
    assert f(3.0, 0).item() == (1 if f is F.softmax else 0)
    assert f(np.zeros((0, 3)), 1).shape == (0, 3)


def test_large_inputs_do_not_overflow():
    x = [[1e4, 0.0, -1e4]]
    assert F.softmax(x, 1).numpy().tolist() == [[1, 0, 0]]
    assert F.log_softmax(x, 1).numpy().tolist() == [[0, -1e4, -2e4]]


def test_an_axis_out_of_range_is_named():
    with pytest.raises(
        ValueError,
        match=r"softmax: dim=2 is out of range for a tensor of shape \(3, 4\)\. Use -2 to 1",
    ):
        F.softmax(np.zeros((3, 4)), 2)
    with pytest.raises(TypeError, match=r"log_softmax: dim must be an integer, got 'C'"):
        F.log_softmax(np.zeros((3, 4)), "C")
