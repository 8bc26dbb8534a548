import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.functional.normalization import local_response_norm_naive, spatial_response_norm_naive

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize("alpha", [1.0, 1e-4])
@pytest.mark.parametrize(
    ("size", "groups", "beta", "k"),
    [(5, 1, 0.75, 2.0), (5, 2, 0.75, 2.0), (4, 1, 0.5, 1.0), (1, 4, 1.0, 1.0), (11, 1, 0.75, 1.0)],
)
class TestEachSetting:
    def test_it_equals_its_naive_version_in_both_alpha_modes(
        self, alpha, size, groups, beta, k, dtype, rng
    ):
        x = rng.standard_normal((2, 8, 3, 2)).astype(dtype)
        for mode, a in (("sum", alpha), ("mean", alpha / size)):
            y = F.local_response_norm(x, size, alpha, beta, k, alpha_mode=mode, groups=groups)
            assert y.dtype == dtype
            np.testing.assert_allclose(
                y.numpy(), local_response_norm_naive(x, size, a, beta, k, groups), rtol=1e-5
            )

    @pytest.mark.parametrize("scale", [1.0, 30.0])
    def test_it_passes_gradcheck(self, alpha, size, groups, beta, k, scale, rng):
        def f(x):
            return F.local_response_norm(x, size, alpha, beta, k, alpha_mode="sum", groups=groups)

        assert ta.gradcheck(f, scale * rng.standard_normal((2, 8, 3, 2))).ok


def test_the_defaults_are_those_of_torch_and_of_the_2012_code(rng):
    x = 100 * rng.standard_normal((2, 8, 6, 4))
    np.testing.assert_allclose(
        F.local_response_norm(x, 5).numpy(), local_response_norm_naive(x, 5, 1e-4 / 5, 0.75, 1.0)
    )
    np.testing.assert_allclose(
        F.spatial_response_norm(x, 5).numpy(),
        spatial_response_norm_naive(x, 5, 1e-3 / 25, 0.75, 1.0),
    )


def test_windows_do_not_cross_groups(rng):
    x = rng.standard_normal((2, 8, 3, 3))
    halves = [F.local_response_norm(part, 5, 1.0).numpy() for part in (x[:, :4], x[:, 4:])]
    np.testing.assert_allclose(
        F.local_response_norm(x, 5, 1.0, groups=2).numpy(), np.concatenate(halves, 1)
    )


def test_raising_one_channel_lowers_its_neighbours():
    x = np.ones((1, 5, 1))
    raised = x.copy()
    raised[0, 2] = 3
    before, after = (F.local_response_norm(v, 3, 1.0).numpy()[0, :, 0] for v in (x, raised))
    assert (after < before).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("shape", [(2, 6, 4), (2, 6, 2, 3), (2, 6, 2, 1, 2)], ids=str)
def test_any_number_of_axes_may_follow_the_channels(shape, rng):
    x = rng.standard_normal(shape)
    np.testing.assert_allclose(
        F.local_response_norm(x, 3, 1.0).numpy(), local_response_norm_naive(x, 3, 1 / 3, 0.75, 1.0)
    )


def test_it_names_arguments_that_do_not_match():
    x = np.zeros((1, 6, 4, 4))
    with pytest.raises(ValueError, match="groups=4 does not divide the 6 channels"):
        F.local_response_norm(x, 5, groups=4)
    with pytest.raises(ValueError, match="alpha_mode must be 'mean' .* or 'sum' .* got 'max'"):
        F.local_response_norm(x, 5, alpha_mode="max")
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        F.local_response_norm(x, 0)
    with pytest.raises(ValueError, match=r"input has shape \(6, 4\), expected \(N, C, ...\)"):
        F.local_response_norm(x[0, :, :, 0], 5)


@pytest.mark.parametrize("size", [5, 3, 2, 1])
def test_the_spatial_norm_equals_its_naive_version_and_passes_gradcheck(size, dtype, rng):
    x = rng.standard_normal((2, 3, 6, 4)).astype(dtype)
    for mode, a in (("sum", 1.0), ("mean", 1.0 / size**2)):
        y = F.spatial_response_norm(x, size, 1.0, k=2.0, alpha_mode=mode)
        assert y.dtype == dtype
        np.testing.assert_allclose(
            y.numpy(), spatial_response_norm_naive(x, size, a, 0.75, 2.0), rtol=1e-5
        )
    assert ta.gradcheck(lambda t: F.spatial_response_norm(t, size, 1.0), x[:1]).ok


def test_the_spatial_norm_accepts_a_single_image(rng):
    x = rng.standard_normal((1, 3, 6, 4))
    np.testing.assert_array_equal(
        F.spatial_response_norm(x[0], 3).numpy(), F.spatial_response_norm(x, 3).numpy()[0]
    )
    with pytest.raises(ValueError, match="spatial_response_norm: size must be at least 1, got 0"):
        F.spatial_response_norm(x, 0)
