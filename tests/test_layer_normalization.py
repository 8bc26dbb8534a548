"""Layer normalization."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn
from tinyalex.functional.layer_normalization import layer_norm_naive

pytestmark = pytest.mark.anywhere


def test_layer_norm_equals_its_naive_version(dtype, rng):
    x = (5 + 3 * rng.standard_normal((4, 7))).astype(dtype)
    w, b = rng.standard_normal((2, 7)).astype(dtype)
    y = F.layer_norm(x, 7, w, b)
    assert y.dtype == dtype
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    expected = layer_norm_naive(x.astype("f8"), w, b, 1e-5)
    np.testing.assert_allclose(y.numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(4,), (3, 4)], ids=str)
def test_layer_norm_passes_gradcheck(shape, rng):
    x, (w, b) = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, *shape))
    assert ta.gradcheck(lambda x, w, b: F.layer_norm(x, shape, w, b), [x, w, b]).ok
    assert ta.gradcheck(lambda x: F.layer_norm(x, shape), x).ok


def test_the_layer_has_a_weight_and_a_bias_unless_they_are_left_out(rng):
    x = rng.standard_normal((2, 3, 4)).astype("f")
    np.testing.assert_array_equal(nn.LayerNorm(4)(x).numpy(), F.layer_norm(x, 4).numpy())
    assert [p.shape for p in nn.LayerNorm([3, 4]).parameters()] == [(3, 4), (3, 4)]
    assert [name for name, _ in nn.LayerNorm(4, bias=False).named_parameters()] == ["weight"]
    assert list(nn.LayerNorm(4, elementwise_affine=False).parameters()) == []


def test_invalid_arguments_are_named():
    x = np.ones((2, 3), "f")
    with pytest.raises(ValueError, match=r"normalized_shape=2 must be the last sizes of input"):
        F.layer_norm(x, 2)
    with pytest.raises(ValueError, match=r"bias has shape \(2,\), expected \(3,\)"):
        F.layer_norm(x, 3, bias=np.ones(2, "f"))
