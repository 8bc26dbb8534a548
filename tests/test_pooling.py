import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex.functional.arguments import output_size
from tinyalex.functional.pooling import avg_pool2d_naive, max_pool2d_naive
from tinyalex.kernels.cpu import layout
from tinyalex.kernels.geometry import Window

pytestmark = pytest.mark.anywhere

# kernel, stride, padding, dilation, ceil_mode; first, the paper's overlapping windows
GEOMETRIES = [
    ((3, 3), (2, 2), (0, 0), (1, 1), False),
    ((3, 3), (2, 2), (0, 0), (1, 1), True),
    ((2, 2), (2, 2), (1, 1), (1, 1), False),
    ((3, 2), (1, 2), (1, 1), (1, 1), True),
    ((2, 2), (2, 2), (1, 1), (1, 1), True),  # the last row of windows would be padding
    ((2, 3), (2, 1), (1, 0), (2, 3), False),
]
geometries = pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)


def distinct(rng, shape, dtype=np.float64):
    """Values with large differences: a small perturbation changes no maximum."""
    return rng.permutation(np.prod(shape)).reshape(shape).astype(dtype) / 10


@geometries
def test_max_pool2d_equals_its_naive_version(geometry, dtype, rng):
    x = distinct(rng, (2, 3, 9, 8), dtype) - 50
    kernel, stride, padding, dilation, ceil_mode = geometry
    window = Window(kernel, stride, padding, dilation)
    out = output_size("max_pool2d", x.shape[2:], window, padding, ceil_mode, starts_inside=True)
    y = F.max_pool2d(x, *geometry)
    expected = max_pool2d_naive(x, window, out)
    assert y.dtype == expected.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), expected)


@geometries
def test_the_maximum_is_the_same_without_a_gradient(geometry, dtype, rng):
    x = distinct(rng, (2, 3, 9, 8), dtype)
    np.testing.assert_array_equal(
        F.max_pool2d(x, *geometry).numpy(),
        F.max_pool2d(ta.Tensor(x, requires_grad=True), *geometry).numpy(),
    )


@geometries
def test_max_pool2d_passes_gradcheck(geometry, rng):
    assert ta.gradcheck(lambda x: F.max_pool2d(x, *geometry), distinct(rng, (2, 2, 9, 8))).ok


@geometries
def test_avg_pool2d_equals_its_naive_version(geometry, dtype, rng):
    kernel, stride, padding, _, ceil_mode = geometry
    x = rng.standard_normal((2, 3, 9, 8)).astype(dtype)
    window = Window(kernel, stride, padding)
    out = output_size("avg_pool2d", x.shape[2:], window, padding, ceil_mode, starts_inside=True)
    y = F.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad=False)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), avg_pool2d_naive(x, window, out), rtol=1e-5, atol=1e-6)


@geometries
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_avg_pool2d_passes_gradcheck(geometry, count_include_pad, rng):
    kernel, stride, padding, _, ceil_mode = geometry
    f = lambda x: F.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad)  # noqa: E731
    assert ta.gradcheck(f, rng.standard_normal((2, 2, 9, 8))).ok


def test_padding_is_minus_infinity_and_not_zero():
    x = np.full((1, 1, 4, 4), -7.0)
    assert F.max_pool2d(x, 3, 2, 1).numpy().max() == -7


def test_the_maximum_of_several_windows_gets_all_their_gradients():
    x = ta.Tensor(np.zeros((1, 1, 5, 5)), requires_grad=True)
    x.data[0, 0, 2, 2] = 1  # in all four windows of 3 x 3 at stride 2
    F.max_pool2d(x, 3, 2).backward(np.array([[[[1.0, 10.0], [100.0, 1000.0]]]]))
    assert x.grad[0, 0, 2, 2] == 1111
    assert x.grad.sum() == 1111


@pytest.mark.parametrize("kernel", [(1, 255), (256, 1), (1, 256), (257, 1)])
def test_a_window_may_have_256_pixels_and_more(kernel):
    """The maximum of each is its last pixel."""
    pixels = np.arange(257.0 * 257, dtype="f").reshape(1, 1, 257, 257)
    x = ta.Tensor(pixels, requires_grad=True)
    y = F.max_pool2d(x, kernel)
    y.sum().backward()
    np.testing.assert_array_equal(pixels[devices.to_numpy(x.grad) != 0], np.sort(y.numpy(), None))


def test_the_first_of_equal_maxima_gets_the_gradient():
    x = ta.Tensor(np.zeros((1, 1, 2, 2)), requires_grad=True)
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[[1, 0], [0, 0]]]]


def test_a_window_of_minus_infinities_passes_its_gradient_to_a_pixel_of_the_image():
    x = ta.Tensor(np.full((1, 1, 3, 3), -np.inf), requires_grad=True)
    F.max_pool2d(x, 2, 2, 1).sum().backward()
    assert x.grad.sum() == 4


def test_nan_is_the_maximum_of_its_windows():
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 1, 2] = np.nan
    y = F.max_pool2d(x, 3, 1).numpy()
    assert np.isnan(y).all()


def test_an_average_divides_by_the_window_its_pixels_or_the_override():
    x = np.ones((1, 1, 4, 4))
    assert F.avg_pool2d(x, 2, 2, 1)[0, 0, 0, 0].item() == 0.25
    assert F.avg_pool2d(x, 2, 2, 1, count_include_pad=False)[0, 0, 0, 0].item() == 1
    assert F.avg_pool2d(x, 2, divisor_override=2).numpy().tolist() == [[[[2, 2], [2, 2]]]]


def test_large_windows_pass_the_gradient_to_their_maximum(rng):
    x = ta.Tensor(distinct(rng, (1, 1, 20, 20)), requires_grad=True)
    F.max_pool2d(x, 20).sum().backward()
    assert x.grad.ravel()[x.data.argmax()] == 1


def test_the_output_of_a_single_image_has_no_batch_dimension(rng):
    x = rng.standard_normal((3, 8, 8))
    assert (F.max_pool2d(x, 2).shape, F.avg_pool2d(x, 2).shape) == ((3, 4, 4), (3, 4, 4))


@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d], ids=["max", "avg"])
def test_pooling_names_arguments_that_do_not_match(pool):
    x, name = np.zeros((1, 1, 4, 4)), pool.__name__
    with pytest.raises(
        ValueError, match=rf"{name}: padding \(2, 2\) is more than half of kernel_size \(3, 3\)"
    ):
        pool(x, 3, 1, 2)
    with pytest.raises(
        ValueError, match=f"{name}: a window of 5 x 5 pixels does not fit into an image of 4 x 4"
    ):
        pool(x, 5)
    with pytest.raises(ValueError, match=f"{name}: kernel_size must be at least 1"):
        pool(x, 0)
    with pytest.raises(TypeError, match=f"{name}: input is int64, but must be floating"):
        pool(x.astype(int), 2)


@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
def test_one_element_tuples_are_accepted_as_in_torch(pool, rng):
    x = rng.standard_normal((1, 2, 6, 6))
    np.testing.assert_array_equal(pool(x, (2,), (), (1,)).numpy(), pool(x, 2, 2, 1).numpy())


def test_a_divisor_of_zero_raises():
    with pytest.raises(ValueError, match="divisor_override must not be 0"):
        F.avg_pool2d(np.zeros((1, 1, 4, 4)), 2, divisor_override=0)


def test_fused_relu_equals_a_separate_relu(device, rng):
    x, dy = (rng.standard_normal(shape).astype("f") for shape in ((3, 4, 9, 8), (3, 4, 4, 3)))
    x -= 1.5  # so that some windows have no positive pixel
    results = []
    for f in (lambda t: F.max_pool2d(t, 3, 2, relu=True), lambda t: F.relu(F.max_pool2d(t, 3, 2))):
        t = ta.Tensor(x, requires_grad=True, device=device)
        y = f(t)
        y.backward(devices.to(dy, device))
        results.append((y.numpy(), devices.to_numpy(t.grad)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (results[0][0] == 0).any()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("relu", [False, True])
def test_only_the_maximum_gets_a_gradient_that_is_not_finite(value, relu, device):
    x = ta.Tensor(np.array([[[[1.0, -1, 2], [-2, -3, 0]]]], "f"), requires_grad=True, device=device)
    y = F.max_pool2d(x, 2, 1, relu=relu)
    y.backward(np.full(y.shape, value, "f"))
    expected = np.zeros(x.shape, "f")
    expected[0, 0, 0, [0, 2]] = value
    np.testing.assert_array_equal(devices.to_numpy(x.grad), expected)


WITH_GAPS = [((1, 1), (3, 2), (0, 0), (1, 1), False), ((2, 2), (3, 3), (1, 1), (1, 1), True)]
"""Windows that do not cover all pixels."""


@pytest.mark.parametrize("geometry", [*GEOMETRIES, *WITH_GAPS], ids=str)
def test_the_number_of_threads_does_not_change_the_result(geometry, rng, monkeypatch):
    kernel, stride, padding, _, ceil_mode = geometry
    monkeypatch.setattr(layout, "MIN_PARALLEL_BYTES", 0)
    for layer in (
        lambda x: F.max_pool2d(x, *geometry, relu=True),
        lambda x: F.avg_pool2d(x, kernel, stride, padding, ceil_mode),
        lambda x: F.local_response_norm(x, 3),
    ):
        x, results = ta.Tensor(distinct(rng, (5, 4, 11, 8)) - 50, requires_grad=True), []
        for workers in (1, 2, 3, 8):
            monkeypatch.setattr(devices.tiles, "workers", lambda workers=workers: workers)
            x.grad = None
            y = layer(x)
            y.backward(distinct(np.random.default_rng(1), y.shape))
            results.append((y.numpy(), devices.to_numpy(x.grad)))
        for other in results[1:]:
            for one, two in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(one, two)
