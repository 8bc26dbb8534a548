"""Updates of lists of arrays by the CUDA kernels, on the emulator."""

import numpy as np
import pytest

from tinyalex import emulator
from tinyalex.kernels import cuda
from tinyalex.kernels.cuda import launching
from tinyalex.kernels.cuda.launching import launch

pytestmark = pytest.mark.cuda


@pytest.fixture(autouse=True)
def _on_the_emulator():
    with emulator.running(check=True):
        yield


def ones(*shapes, dtype="f"):
    return [np.ones(shape, dtype) for shape in shapes]


def rates(count):
    """lr 0.5, no momentum, decay or nesterov."""
    return np.array([[0.5, 0, 0, 0]] * count, "f")


def test_arrays_that_are_not_contiguous_are_updated():
    """Velocities are -0.5, weights 0.5."""
    shapes = [(3, 2)] * 33
    weights, velocities, grads = ([a.T for a in ones(*shapes)] for _ in range(3))
    cuda.sgd_update(weights, velocities, grads, rates(33))
    assert {a.strides for a in weights} == {(4, 8)}
    np.testing.assert_array_equal(weights, 0.5)
    np.testing.assert_array_equal(velocities, -0.5)
    np.testing.assert_array_equal(grads, 1)


def test_the_means_and_squares_of_adam_may_have_any_strides():
    weights, means, squares, grads = ([a.T for a in ones((3, 2))] for _ in range(4))
    # lr, a1, a2, eps, l2, decay, c1, c2
    cuda.adam_update(
        weights, means, squares, [2 * grads[0]], np.array([[1, 0.5, 0.5, 0, 0, 0, 1, 1]], "f")
    )
    np.testing.assert_array_equal(means[0], 1.5)
    np.testing.assert_array_equal(squares[0], 2.5)
    np.testing.assert_allclose(weights[0], 1 - 1.5 / 2.5**0.5, rtol=1e-6)


def test_a_gradient_of_another_shape_is_named_and_nothing_updated():
    weights, velocities, grads = (ones(*[(5,)] * 40) for _ in range(3))
    grads[35] = np.ones(3, "f")
    message = r"sgd_update: grads\[35\] has shape \(3,\), but weights\[35\] \(5,\). Give"
    with pytest.raises(ValueError, match=message):
        cuda.sgd_update(weights, velocities, grads, rates(40))
    np.testing.assert_array_equal(weights, 1)


def test_an_array_of_another_dtype_is_named_and_nothing_updated():
    weights, velocities, grads = (ones(*[(5,)] * 40) for _ in range(3))
    grads[35] = np.ones(5)
    with pytest.raises(TypeError, match=r"sgd_update: grads\[35\] must be float32, got float64"):
        cuda.sgd_update(weights, velocities, grads, rates(40))
    np.testing.assert_array_equal(weights, 1)


def test_lists_of_other_lengths_are_named():
    weights, velocities, grads = (ones((5,), (3,)) for _ in range(3))
    with pytest.raises(ValueError, match="options has 1 rows for 2 weights. Give one row"):
        cuda.sgd_update(weights, velocities, grads, rates(1))
    with pytest.raises(ValueError, match="grads has 1 arrays, but weights 2"):
        cuda.sgd_update(weights, velocities, grads[:1], rates(2))
    with pytest.raises(ValueError, match="velocities has 0 arrays, but weights 2"):
        cuda.sgd_update(weights, [], grads, rates(2))


def test_what_is_no_list_of_arrays_is_named():
    state = np.ones(3, "f")
    with pytest.raises(TypeError, match=r"find_not_finite: grads\[1\] must be an array, got a N"):
        cuda.find_not_finite([*ones((2,)), None], state)
    with pytest.raises(TypeError, match="grads must be a list of arrays, got a ndarray"):
        cuda.find_not_finite(np.ones((2, 2), "f"), state)
    cuda.find_not_finite([], state)


@pytest.mark.parametrize("count", [0, 33])
def test_a_launch_has_up_to_32_arrays(count):
    with pytest.raises(ValueError, match=f"grads has {count or 'no'} arrays, expected 1 to 32"):
        launch("loss_scale.cu", "find_not_finite", 1, ones(*[1] * count), np.ones(3, "f"), 1)


def test_more_elements_than_an_int_can_count_are_several_launches(monkeypatch):
    monkeypatch.setattr(launching, "MAX_ELEMENTS", 80)
    with pytest.raises(
        ValueError, match="grads has 90 elements together, expected up to 80. Use a"
    ):
        launch("loss_scale.cu", "find_not_finite", 90, ones(40, 50), np.ones(3, "f"), 90)
    weights, velocities, grads = (ones(40, 40, 0, 50, 80) for _ in range(3))
    cuda.sgd_update(weights, velocities, grads, rates(5))
    np.testing.assert_array_equal(np.concatenate(weights), 0.5)
