import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize("size", [1, 3, (2, 5), (None, 2), (7, 9), 6], ids=str)
def test_each_output_is_the_mean_of_its_window_and_gradcheck_passes(size, dtype, rng):
    x = rng.standard_normal((2, 3, 6, 5)).astype(dtype)
    y = F.adaptive_avg_pool2d(x, size)
    assert y.dtype == dtype
    rows, cols = y.shape[2:]
    for i in range(rows):
        for j in range(cols):
            window = x[
                :,
                :,
                6 * i // rows : -(-6 * (i + 1) // rows),
                5 * j // cols : -(-5 * (j + 1) // cols),
            ]
            np.testing.assert_allclose(
                y.numpy()[:, :, i, j], window.mean(axis=(2, 3)), rtol=1e-5, atol=1e-6
            )
    assert ta.gradcheck(lambda t: F.adaptive_avg_pool2d(t, size), x[:1]).ok


def test_the_output_of_a_single_image_has_no_batch_dimension(rng):
    assert F.adaptive_avg_pool2d(rng.standard_normal((3, 8, 8)), 6).shape == (3, 6, 6)


def test_errors_name_the_sizes():
    with pytest.raises(ValueError, match=r"output_size must be at least 0, got \(-1, 2\)"):
        F.adaptive_avg_pool2d(np.zeros((1, 1, 4, 4)), (-1, 2))
    with pytest.raises(TypeError, match="output_size must be an integer or a pair"):
        F.adaptive_avg_pool2d(np.zeros((1, 1, 4, 4)), (1, 2, 3))
    with pytest.raises(TypeError, match=r"output_size must be an integer or a pair, got \(2,\)"):
        F.adaptive_avg_pool2d(np.zeros((1, 1, 4, 4)), (2,))
    with pytest.raises(ValueError, match=r"input has shape \(1, 1, 0, 4\); only N may be 0"):
        F.adaptive_avg_pool2d(np.zeros((1, 1, 0, 4)), 1)
