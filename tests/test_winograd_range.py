"""Winograd's algorithm and large values: the error bound, and the use of im2col."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex import models, nn
from tinyalex.functional.convolution import Conv2d
from tinyalex.kernels.cpu.convolution import winograd_range
from tinyalex.kernels.cpu.convolution.winograd import Winograd
from tinyalex.kernels.geometry import ConvFunction

LAYERS = {
    "3x3": {"x": (9, 32, 13, 13), "w": (48, 32, 3, 3), "padding": 1},
    "5x5 in two groups": {"x": (5, 32, 19, 19), "w": (64, 16, 5, 5), "padding": 2, "groups": 2},
    "conv1": {"x": (2, 3, 131, 131), "w": (32, 3, 11, 11), "stride": 4, "padding": 2},
}
LARGE = {"1e38": 1e38, "infinity": np.inf, "NaN": np.nan, "1e30": 1e30, "1e4": 1e4}
MAX_ERROR = 2e-4
"""Relative to the sum of |x||w|, for ratios just in range; im2col has 4e-6."""


@pytest.fixture
def fallbacks(monkeypatch):
    """A list that grows with each use of im2col by Winograd."""
    used = []

    def counted():
        used.append(1)
        return Conv2d()

    monkeypatch.setattr(ConvFunction, "im2col", staticmethod(counted))
    return used


def make_arrays(layer, seed=0):
    rng = np.random.default_rng(seed)
    options = dict(LAYERS[layer])
    x, w = (rng.standard_normal(options.pop(key)).astype("f") for key in ("x", "w"))
    w /= np.float32(np.sqrt(w[0].size))
    dy = rng.standard_normal(F.conv2d(x, w, **options).shape).astype("f")
    return {"x": x, "w": w, "dy": dy}, options


def gradients(arrays, options, *, fast=True, dtype="float32"):
    """y, dx and dw"""
    x, w = (ta.Tensor(arrays[key].astype(dtype), requires_grad=True) for key in ("x", "w"))
    with ta.fast(fast):
        y = F.conv2d(x, w, **options)
    assert type(y.creator).__name__ == ("Winograd" if fast and dtype == "float32" else "Conv2d")
    y.backward(arrays["dy"].astype(dtype))
    return y.numpy(), x.grad, w.grad


def errors(arrays, options):
    """Of y, dx and dw, the largest relative to the sum of |x||w|."""
    exact = gradients(arrays, options, dtype="float64")
    sums = gradients({k: abs(a) for k, a in arrays.items()}, options, dtype="float64")
    results = zip(gradients(arrays, options), exact, sums, strict=True)
    return [float((abs(a - b) / s).max()) for a, b, s in results]


@pytest.mark.parametrize("value", LARGE)
@pytest.mark.parametrize("key", ["x", "dy", "w"])
@pytest.mark.parametrize("layer", LAYERS)
def test_one_large_value_gives_the_results_of_im2col(layer, key, value, fallbacks):
    arrays, options = make_arrays(layer)
    arrays["x"] = np.maximum(arrays["x"], 0)  # windows without w's large value
    array = arrays[key]
    array[1, 1, array.shape[2] // 2, array.shape[3] // 2] = LARGE[value]
    y, *grads = gradients(arrays, options)
    assert fallbacks
    right_y, *right = gradients(arrays, options, fast=False)
    for a, b in zip(grads, right, strict=True):
        np.testing.assert_array_equal(a, b)
    if key != "dy":
        np.testing.assert_array_equal(y, right_y)


@pytest.mark.parametrize("share", [1e-5, 1e-4, 1e-3])
@pytest.mark.parametrize("key", ["x", "dy"])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_few_outliers_give_the_results_of_im2col(layer, key, share, fallbacks, rng):
    arrays, options = make_arrays(layer)
    outliers = rng.random(arrays[key].shape) < share
    outliers[0, 0, 5, 5] = True
    arrays[key][outliers] *= 1e4
    results = gradients(arrays, options)
    assert len(fallbacks) == 1
    for a, b in list(zip(results, gradients(arrays, options, fast=False), strict=True))[1:]:
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("layer", LAYERS)
def test_outliers_just_in_range_have_the_stated_error(layer, fallbacks):
    arrays, options = make_arrays(layer)
    arrays["x"][0, 0, 6, 6], arrays["dy"][0, 0, 6, 6] = 100, 300
    assert max(errors(arrays, options)) < MAX_ERROR
    assert not fallbacks


@pytest.mark.parametrize("relu", [False, True])
def test_the_same_outputs_are_infinite_as_with_im2col(relu):
    arrays, options = make_arrays("3x3")
    arrays["x"][2, 3, 6, 6] = np.inf
    y, *_ = gradients(arrays, options | {"relu": relu})
    right, *_ = gradients(arrays, options | {"relu": relu}, fast=False)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(right))
    window = np.zeros((13, 13), bool)
    window[5:8, 5:8] = True
    assert np.isfinite(y[2, :, ~window]).all()


def test_large_gradients_of_zero_outputs_of_a_relu_do_not_count(fallbacks):
    arrays, options = make_arrays("3x3")
    x, w = (ta.Tensor(arrays[key], requires_grad=True) for key in ("x", "w"))
    bias = np.zeros(48, "f")
    bias[5] = -1000
    y = F.conv2d(x, w, bias, relu=True, **options)
    arrays["dy"][:, 5] = np.inf
    y.backward(arrays["dy"])
    assert np.isfinite(x.grad).all()
    assert np.isfinite(w.grad).all()
    assert not fallbacks


def test_a_second_backward_pass_may_be_in_range(fallbacks):
    arrays, options = make_arrays("3x3")
    x = ta.Tensor(arrays["x"], requires_grad=True)
    expected = ta.Tensor(arrays["x"], requires_grad=True)
    y, other = (F.conv2d(t, arrays["w"], relu=True, **options) for t in (x, expected))
    other.backward(arrays["dy"])
    large = arrays["dy"].copy()
    large[0, 0] = 1e30
    y.backward(large, retain_graph=True)
    assert fallbacks
    x.grad = None
    y.backward(arrays["dy"])
    np.testing.assert_array_equal(x.grad, expected.grad)


def test_only_the_gradients_that_are_needed_are_computed():
    arrays, options = make_arrays("3x3")
    arrays["dy"][0, 0, 0, 0] = 1e30
    for trained in ("x", "w"):
        tensors = {k: ta.Tensor(arrays[k], requires_grad=k == trained) for k in ("x", "w")}
        F.conv2d(*tensors.values(), **options).backward(arrays["dy"])
        assert [k for k, t in tensors.items() if t.grad is not None] == [trained]


@pytest.mark.parametrize("key", ["x", "dy"])
def test_the_choice_does_not_depend_on_threads_or_tiles(key, monkeypatch):
    arrays, options = make_arrays("3x3")
    arrays[key][7, 3, 2, 2] = 1e6
    expected = gradients(arrays, options)
    for workers, images in ((1, 2), (2, 2), (2, 32)):
        monkeypatch.setattr(devices.tiles, "workers", lambda count=workers: count)
        monkeypatch.setattr("tinyalex.kernels.cpu.convolution.winograd.MIN_TILE_IMAGES", images)
        monkeypatch.setattr("tinyalex.kernels.cpu.convolution.winograd.MIN_PARALLEL_MADDS", 0)
        monkeypatch.setattr(devices.tiles, "MAX_TILE_BYTES", 1)
        y, dx, _ = gradients(arrays, options)
        np.testing.assert_array_equal(dx, expected[1])
        if key == "x":
            np.testing.assert_array_equal(y, expected[0])


def test_weights_out_of_range_are_noticed_in_inference(fallbacks):
    arrays, options = make_arrays("3x3")
    x, w = np.maximum(arrays["x"], 0), arrays["w"]
    right = F.conv2d(x, w, **options)
    w[3, 3, 1, 1], before = 1e6, w[3, 3, 1, 1]
    with ta.fast(False):
        exact = F.conv2d(x, w, **options).numpy()
    for _ in range(2):
        np.testing.assert_array_equal(F.conv2d(x, w, **options).numpy(), exact)
    assert len(fallbacks) == 2
    w[3, 3, 1, 1] = before
    np.testing.assert_array_equal(F.conv2d(x, w, **options).numpy(), right.numpy())
    assert len(fallbacks) == 2


# Values that must stay on the fast path


def natural_images(n, size, rng):
    """Normalized images whose amplitudes fall with the frequency, as in photographs."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    noise = np.fft.rfft2(rng.standard_normal((n, 3, size, size)))
    images = np.fft.irfft2(noise / np.maximum(frequency, 1 / size), s=(size, size))
    return (images / images.std()).clip(-2, 2.5).astype("f")


def network(name):
    if name != "paper":
        return models.cifar(name, 10), 32
    layers = [nn.Conv2d(3, 48, 11, stride=4, padding=2), nn.ReLU()]
    layers += [nn.LocalResponseNorm(5, alpha=1e-4, k=2.0), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(48, 64, 5, padding=2, groups=2), nn.ReLU()]
    layers += [nn.LocalResponseNorm(5, alpha=1e-4, k=2.0), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(64 * 36, 10)), 224


@pytest.mark.parametrize("name", ["quick", "alexnet", "paper"])
def test_activations_and_gradients_of_networks_are_in_range(name, fallbacks, rng):
    ta.manual_seed(0)
    net, size = network(name)
    optimizer = ta.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    n = 8 if size == 224 else 16
    labels = rng.integers(0, 10, n)
    for _ in range(2):
        loss = F.cross_entropy(net(ta.Tensor(natural_images(n, size, rng))), labels)
        net.zero_grad()
        nodes, convolutions = [loss.creator], 0
        while nodes:
            node = nodes.pop()
            convolutions += type(node) is Winograd
            nodes += [source for source in node.inputs if isinstance(source, ta.Function)]
        assert convolutions >= 2
        loss.backward()
        optimizer.step()
    assert not fallbacks


@pytest.mark.parametrize("scales", [(1, 1, 1), (1e-9, 1, 1e9), (0, 1, 0)])
def test_images_are_in_range_each_by_itself(scales, rng):
    images = rng.standard_normal((13, 13, 3, 32)) * np.reshape(scales, (3, 1))
    assert winograd_range.pixels_in_range(images.astype("f").reshape(13, 13, 96), 3)
    images[0, 0, 1, 0] = 1e4
    assert not winograd_range.pixels_in_range(images.astype("f").reshape(13, 13, 96), 3)


def test_pixels_that_are_zero_do_not_count(rng):
    images = rng.standard_normal((13, 13, 32)).astype("f")
    images[2:] = 0
    assert winograd_range.pixels_in_range(images, 1)


def test_norms_that_may_overflow_are_out_of_range(rng):
    images = rng.standard_normal((13, 13, 32)).astype("f")
    assert winograd_range.pixels_in_range(images * np.float32(1e13), 1)
    assert not winograd_range.pixels_in_range(images * np.float32(1e16), 1)
    with np.errstate(over="ignore"):
        assert not winograd_range.pixels_in_range(images * np.float32(1e30), 1)


@pytest.mark.parametrize(("m", "r", "constant"), [(5, 3, 4263), (4, 5, 7530)])
def test_the_error_constants_are_those_of_the_documentation(m, r, constant):
    assert winograd_range.error_constant(m, r) == pytest.approx(constant, abs=0.5)
