import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex import nn
from tinyalex.functional.dropout import dropout_naive

pytestmark = pytest.mark.anywhere


def test_it_equals_its_naive_version(dtype, rng):
    x = rng.standard_normal((6, 5)).astype(dtype)
    y = F.dropout(x, 0.3)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), dropout_naive(x, y.numpy() != 0, 0.3), rtol=1e-6)


@pytest.mark.parametrize("p", [0.2, 0.5, 1.0])
def test_it_passes_gradcheck_with_a_fixed_mask(p, rng):
    assert ta.gradcheck(lambda x: F.dropout(x, p), rng.standard_normal((4, 3, 2))).ok


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_it_keeps_the_expectation_and_drops_a_fraction_p(p):
    y = F.dropout(np.ones((500, 200)), p).numpy()
    assert abs((y == 0).mean() - p) < 0.01
    assert abs(y.mean() - 1) < 0.03


def test_it_is_the_identity_in_evaluation():
    x = ta.Tensor(np.ones(5))
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x
    layer = nn.Dropout(0.5).eval()
    assert layer(x) is x


def test_p_1_returns_zeros_and_no_nan():
    assert F.dropout(np.ones(5), 1.0).numpy().tolist() == [0] * 5


def test_each_call_and_each_sample_has_its_own_mask():
    x = np.ones((2, 64))
    one, two = F.dropout(x).numpy(), F.dropout(x).numpy()
    assert (one != two).any()
    assert (one[0] != one[1]).any()


def test_a_mask_depends_only_on_the_seed_the_step_and_the_index():
    x = np.ones((4, 33))
    devices.set_step(7)
    first = F.dropout(x).numpy()
    F.dropout(x)
    devices.set_step(7)
    again = F.dropout(x[:2]).numpy()
    np.testing.assert_array_equal(first[:2], again)
    ta.manual_seed(1)
    devices.set_step(7)
    assert (F.dropout(x).numpy() != first).any()


def test_an_empty_batch_stays_empty():
    assert F.dropout(np.zeros((0, 3)), 0.5).shape == (0, 3)


def test_a_scalar_can_be_dropped():
    assert F.dropout(3.0, 0.5).item() in (0, 6)


def test_a_p_that_is_not_a_probability_raises():
    with pytest.raises(ValueError, match=r"p must be a probability from 0 to 1, got 1\.5"):
        F.dropout(np.ones(2), 1.5)


def test_dropout2d_drops_whole_channels(dtype):
    x = ta.Tensor(np.full((8, 16, 3, 2), 2, dtype), requires_grad=True)
    y = F.dropout2d(x, 0.25)
    y.backward(np.ones(y.shape, dtype))
    factors = y.numpy()[:, :, 0, 0] / 2
    assert (y.dtype, sorted(set(factors.ravel().tolist()))) == (dtype, [0, dtype.type(1 / 0.75)])
    for array in (y.numpy() / 2, ta.Tensor(x.grad).numpy()):
        np.testing.assert_array_equal(array, np.broadcast_to(factors[:, :, None, None], x.shape))


def test_dropout2d_returns_its_input_in_evaluation_and_refuses_other_shapes():
    x = ta.Tensor(np.ones((2, 3, 4, 4)))
    assert nn.Dropout2d(0.5).eval()(x) is x
    with pytest.raises(ValueError, match=r"dropout2d: input has shape \(2, 3\), expected"):
        F.dropout2d(np.ones((2, 3)))


@pytest.mark.parametrize("training", [True, False])
def test_the_p_of_dropout2d_must_be_a_probability(training):
    for p in (-0.5, 1.5):
        with pytest.raises(ValueError, match=f"dropout2d: p must be a probability .* got {p}"):
            F.dropout2d(np.ones((1, 1, 2, 2)), p, training)
