"""Matrix multiplication by cuBLAS: layouts, dtypes, streams."""

import ctypes

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import emulator, kernels
from tinyalex.device import cublas, to_numpy

pytestmark = pytest.mark.gpu


def empty(device, shape, dtype):
    return ta.Tensor(np.full(shape, np.nan, dtype), device=device).data


@pytest.mark.parametrize("function", ["matmul", "matmul_in_tile", "product"])
def test_partial_sums_of_float16_are_float32(device, function):
    """In float16, 2048 + 1 is 2048."""
    stack = (2,) if function == "matmul_in_tile" else ()
    a = np.broadcast_to(np.array([2048, 1, 1, 0], "e"), (*stack, 3, 4))
    a, b = (ta.Tensor(x, device=device).data for x in (a, np.ones((*stack, 4, 2), "e")))
    out = empty(device, (*stack, 3, 2), "e")
    k = kernels.of(a)
    with devices.on(device):
        out = k.product(a, b) if function == "product" else getattr(k, function)(a, b, out) or out
    assert (to_numpy(out) == 2050).all()


LAYOUTS = {
    "C": lambda x: x,
    "transposed": lambda x: devices.xp(x).ascontiguousarray(x.T).T,
    "rows": lambda x: devices.xp(x).concatenate([x, x])[: len(x)],
    "strided": lambda x: devices.xp(x).repeat(x, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("second", LAYOUTS)
@pytest.mark.parametrize("first", LAYOUTS)
def test_layouts_of_the_operands(device, rng, first, second):
    for m, k, n in ((3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1), (1, 7, 1)):
        a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
        out = empty(device, (m, n), a.dtype)
        with devices.on(device):
            cublas.multiply(
                LAYOUTS[first](devices.to(a, device)), LAYOUTS[second](devices.to(b, device)), out
            )
        np.testing.assert_allclose(to_numpy(out), a @ b, rtol=1e-12)


STACKS = {
    "C": lambda x: x,
    "transposed": lambda x: devices.xp(x).ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2),
    "parts of matrices": lambda x: devices.xp(x).concatenate([x, x], axis=1)[:, : x.shape[1]],
    "strided": lambda x: devices.xp(x).repeat(x, 2, axis=2)[..., ::2],
    "reversed": lambda x: devices.xp(x).ascontiguousarray(x[::-1])[::-1],
}


@pytest.mark.parametrize("second", STACKS)
@pytest.mark.parametrize("first", STACKS)
def test_stacks_of_matrices_are_one_product(device, rng, first, second):
    a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 4, 5))
    out = empty(device, (2, 3, 5), a.dtype)
    with devices.on(device):
        a_, b_ = STACKS[first](devices.to(a, device)), STACKS[second](devices.to(b, device))
        with emulator.counting() as counts:
            cublas.multiply(a_, b_, out)
    np.testing.assert_allclose(to_numpy(out), a @ b, rtol=1e-12)
    assert counts.gemms == 1 or not emulator.is_installed()


@pytest.mark.parametrize(
    ("dtype", "out_dtype", "rtol"),
    [("float16", "float16", 2**-11), ("float16", "float32", 1e-6), ("float32", "float32", 1e-6)],
)
def test_half_precision_is_added_in_float32(device, dtype, out_dtype, rtol):
    """2048 + 1 is not a number of float16."""
    a, b = np.ones((2, 4095), dtype), np.ones((4095, 3), dtype)
    out = empty(device, (2, 3), out_dtype)
    with devices.on(device):
        cublas.multiply(devices.to(a, device), devices.to(b, device), out)
    np.testing.assert_allclose(to_numpy(out), np.full((2, 3), 4095.0), rtol=rtol)


def test_a_sum_of_no_terms_is_zero(device):
    out = empty(device, (2, 3), "f")
    with devices.on(device):
        cublas.multiply(empty(device, (2, 0), "f"), empty(device, (0, 3), "f"), out)
    assert not to_numpy(out).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x: x[:2], ValueError, r"got \(2, 3\) @ \(3, 3\) = \(3, 3\)"),
        (lambda x: x[:, :2], ValueError, r"got \(3, 2\) @ \(3, 3\) = \(3, 3\)"),
        (lambda x: x[None], ValueError, r"got \(1, 3, 3\) @ \(3, 3\) = \(3, 3\)"),
        (lambda x: x[0], ValueError, r"got \(3,\) @ \(3, 3\) = \(3, 3\)"),
        (lambda x: x.astype("d"), TypeError, "one dtype, .*got float64 @ float32 = float32"),
        (to_numpy, ValueError, "arrays on the current GPU, cuda.*, got cpu @ cuda"),
    ],
    ids=["rows", "columns", "stacks", "1-d", "dtype", "NumPy"],
)
def test_operands_that_do_not_match_are_refused(device, change, error, message):
    x = empty(device, (3, 3), "f")
    with devices.on(device), pytest.raises(error, match=message):
        cublas.multiply(change(x), x, x)


def test_integers_are_refused(device):
    x = empty(device, (3, 3), "f").astype("i")
    with devices.on(device), pytest.raises(TypeError, match="float16, float32 or float64, got int"):
        cublas.multiply(x, x, x)


def test_an_output_that_is_not_contiguous_is_refused(device):
    x = empty(device, (3, 3), "f")
    with pytest.raises(ValueError, match="out must be C-contiguous"):
        cublas.multiply(x, x, x.T)


def test_an_error_of_cublas_is_raised(device):
    sizes, one = (-1, 1, 1), ctypes.byref(ctypes.c_float(1))
    with devices.on(device), pytest.raises(RuntimeError, match="cublasGemmEx: .* status 7"):
        cublas._call(
            "cublasGemmEx", cublas._handle(), 0, 0, *sizes, one, None, 0, 1, None, 0, 1,
            one, None, 0, 1, cublas.COMPUTE_32F, cublas.DEFAULT_ALGORITHM,
        )  # fmt: skip


def test_a_product_is_computed_in_the_current_stream(device):
    import cupy

    with devices.on(device):
        x, out = cupy.ones((3, 3), "f"), cupy.zeros((3, 3), "f")
        stream = cupy.cuda.Stream(non_blocking=True)
        stream.wait_event(cupy.cuda.get_current_stream().record())
        with stream:
            cublas.multiply(x, x, out)
            out *= 2
        cupy.cuda.get_current_stream().wait_event(stream.record())
        cublas.multiply(out, x, x)
    assert to_numpy(x).tolist() == [[18.0] * 3] * 3
