"""Row-wise convolution equals im2col, in both dtypes and with any window."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex.functional.convolution import Conv2d, conv_shape
from tinyalex.kernels.cpu import blas_choice, gemm
from tinyalex.kernels.cpu.convolution.rowwise import RowWise


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 2, 1), (2, 1, (1, 2)), (3, 0, 1)])
@pytest.mark.parametrize("unpacked", [True, False])
def test_outputs_and_gradients_equal_those_of_im2col(
    dtype, relu, stride, padding, dilation, unpacked, rng, monkeypatch
):
    monkeypatch.setattr(devices, "workers", lambda: 2)
    choice = blas_choice.InBlocks(*[unpacked] * 4)
    monkeypatch.setattr(blas_choice, "in_blocks", lambda: choice)
    monkeypatch.setattr(gemm, "MAX_UNPACKED_MADDS", 65 * 24 * 70)
    shapes = (6, 3, 40, 21), (24, 3, 5, 4), (24,)
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    shape = conv_shape(x.shape, w.shape, stride, padding, dilation)
    dy = rng.standard_normal((6, 24, *shape.out)).astype(dtype)

    def run(function, order="C"):
        weight, bias = (ta.Tensor(a, requires_grad=True) for a in (w, b))
        y = function.apply(x, weight, bias, shape=shape, relu=relu)
        y.backward(np.asarray(dy, order=order))
        return y.numpy(), weight.grad, bias.grad

    rtol, atol = (1e-3, 1e-4) if dtype == "float32" else (1e-9, 1e-10)
    expected = run(Conv2d)
    for order in "CF":
        for result, right in zip(run(RowWise, order), expected, strict=True):
            np.testing.assert_allclose(result, right, rtol=rtol, atol=atol)
