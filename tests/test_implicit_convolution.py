"""ImplicitConv2d on any device, and its selection on a GPU."""

import os

import numpy as np
import pytest
from test_convolution import geometries, random_layer

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import nn
from tinyalex.functional.convolution import Conv2d, conv2d_naive, conv_algorithm, conv_shape
from tinyalex.functional.implicit_convolution import ImplicitConv2d
from tinyalex.kernels.cuda import selection

pytestmark = pytest.mark.anywhere

TOLERANCE = {"float16": 4e-3, "float32": 1e-5, "float64": 1e-12}


def convolve(algorithm, x, w, b=None, *, relu=False, **window):
    shape = conv_shape(np.shape(x), np.shape(w), **window)
    return algorithm.apply(x, w, b, shape=shape, relu=relu)


def results(algorithm, arrays, dy, **options):
    """y, dx, dw and, with a bias, db."""
    tensors = [ta.Tensor(a, requires_grad=True) for a in arrays]
    y = convolve(algorithm, *tensors, **options)
    y.backward(ta.Tensor(dy).data)
    assert y.creator.__class__ is algorithm
    return [devices.to_numpy(a) for a in (y.data, *(t.grad for t in tensors))]


@geometries
def test_it_equals_the_naive_version(geometry, dtype, rng):
    x, w, b = random_layer(rng, geometry["groups"], dtype)
    pairs = {
        name: v if isinstance(v, tuple) else (v, v)
        for name, v in geometry.items()
        if name != "groups"
    }
    y = convolve(ImplicitConv2d, *map(ta.Tensor, (x, w, b)), **geometry)
    assert y.dtype == dtype
    np.testing.assert_allclose(
        y.numpy(), conv2d_naive(x, w, b, **pairs, groups=geometry["groups"]), rtol=1e-4, atol=1e-5
    )


@geometries
@pytest.mark.parametrize("relu", [False, True])
def test_it_passes_gradcheck(geometry, relu, rng):
    arrays = random_layer(rng, geometry["groups"], images=1)
    assert ta.gradcheck(
        lambda *a: convolve(ImplicitConv2d, *a, relu=relu, **geometry), arrays, fast=True
    ).ok


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [True, False])
def test_it_equals_im2col_on_many_tiles_of_each_group(dtype, bias, rng):
    """A tile has 64 rows and 256 columns; a group here 66 filters and channels, 338
    positions, and 396 weights in a filter."""
    shapes = (2, 132, 14, 15), (132, 66, 2, 3), (132,)
    arrays = [(rng.standard_normal(s) / 8).astype(dtype) for s in shapes[: 2 + bias]]
    dy = (rng.standard_normal((2, 132, 13, 13)) / 8).astype(dtype)
    options = {"groups": 2, "relu": True}
    got = results(ImplicitConv2d, arrays, dy, **options)
    expected = results(
        Conv2d, [a.astype("float64") for a in arrays], dy.astype("float64"), **options
    )
    tolerance = TOLERANCE[dtype]
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_the_same_arguments_give_the_same_bits(rng):
    arrays = random_layer(rng, 2, np.float32, images=9)
    dy = rng.standard_normal((9, 4, 7, 9)).astype("f")
    first, second = (results(ImplicitConv2d, arrays, dy, groups=2) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_images_give_no_outputs_and_zero_gradients(rng):
    arrays = random_layer(rng, 2, images=0)
    y, dx, dw, db = results(ImplicitConv2d, arrays, np.empty((0, 4, 7, 9)), groups=2)
    assert (y.shape, dx.shape) == ((0, 4, 7, 9), arrays[0].shape)
    assert not dw.any()
    assert not db.any()


def test_only_the_gradients_that_are_needed_are_computed(rng):
    arrays = random_layer(rng, 1)
    for needed in range(3):
        tensors = (ta.Tensor(a, requires_grad=i == needed) for i, a in enumerate(arrays))
        y = convolve(ImplicitConv2d, *tensors)
        gradients = y.creator.backward(y.data)
        assert [i for i, g in enumerate(gradients) if g is not None] == [needed]


# Selection


SHAPE = conv_shape((2, 4, 9, 8), (6, 4, 3, 3), padding=1)


@pytest.fixture
def set_to(monkeypatch):
    monkeypatch.setattr(selection, "_measured", {})
    return lambda setting: monkeypatch.setattr(selection, "setting", setting)


def selected(device="cuda", dtype="float32"):
    return conv_algorithm(SHAPE, np.dtype(dtype), device, True)


def test_im2col_is_the_default_on_a_gpu(set_to):
    assert selection.setting == os.environ.get("TINYALEX_GPU_CONVOLUTION", "im2col")
    set_to("im2col")
    assert selected() is Conv2d


def test_implicit_selects_it_on_gpus_unless_fast_paths_are_off(set_to):
    set_to("implicit")
    assert selected() is selected("cuda:1", "float16") is ImplicitConv2d
    assert selected("cpu") is Conv2d
    with ta.fast(False):
        assert selected() is Conv2d
    net = nn.Sequential(nn.Conv2d(3, 8, 3))
    assert "implicit GEMM" in net.summary((3, 16, 16), batch_size=8, device="cuda")


@pytest.mark.parametrize("faster", [Conv2d, ImplicitConv2d])
def test_fastest_measures_each_shape_dtype_and_device_once(set_to, monkeypatch, faster):
    measured = []

    def milliseconds(algorithm, *key):
        measured.append((algorithm, *key))
        return 1.0 if algorithm is faster else 2.0

    monkeypatch.setattr(selection, "milliseconds", milliseconds)
    monkeypatch.setattr(selection, "_is_capturing", lambda name: False)
    monkeypatch.setattr(devices, "why_no_cuda", lambda: None)
    allowed = [False]
    monkeypatch.setattr(selection.cublas, "may_use_tf32", lambda: allowed[0])
    set_to("fastest")
    keys = [("cuda", "float32"), ("cuda", "float64"), ("cuda:1", "float32")]
    for _ in range(2):
        assert all(selected(*key) is faster for key in keys)
    assert measured == [
        (algorithm, SHAPE, np.dtype(dtype), name, True)
        for name, dtype in keys
        for algorithm in (Conv2d, ImplicitConv2d)
    ]
    allowed[0] = True  # TF32 makes im2col faster
    assert selected(*keys[0]) is faster
    assert len(measured) == 2 * len(keys) + 2


def test_fastest_is_im2col_where_memory_is_too_small_to_measure(set_to, monkeypatch):
    def milliseconds(algorithm, *key):
        raise MemoryError("Out of memory allocating 9 bytes.")

    monkeypatch.setattr(selection, "milliseconds", milliseconds)
    monkeypatch.setattr(selection, "_is_capturing", lambda name: False)
    monkeypatch.setattr(devices, "why_no_cuda", lambda: None)
    monkeypatch.setattr(selection.cublas, "may_use_tf32", lambda: False)
    set_to("fastest")
    message = "cuda has too little free memory to measure .* Out of memory allocating 9 bytes. im2"
    with pytest.warns(UserWarning, match=message):
        assert selected() is Conv2d
    assert selected() is Conv2d  # without a warning


def test_fastest_is_im2col_without_a_gpu(set_to, monkeypatch):
    monkeypatch.setattr(devices, "why_no_cuda", lambda: "no GPU")
    set_to("fastest")
    assert selected() is Conv2d


@pytest.mark.parametrize("value", ["im2col", "implicit", "fastest", "", "winograd"])
def test_the_environment_variable_is_the_setting_of_a_process(monkeypatch, recwarn, value):
    monkeypatch.setenv("TINYALEX_GPU_CONVOLUTION", value)
    is_setting = value in selection.SETTINGS
    assert selection._from_environment() == (value if is_setting else "im2col")
    expected = "TINYALEX_GPU_CONVOLUTION: expected one of im2col, implicit, fastest, got 'winograd'"
    assert [str(w.message).startswith(expected) for w in recwarn] == [True] * (value == "winograd")
