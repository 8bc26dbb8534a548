"""The bias and the ReLU of a fully connected layer in NumPy."""

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.activation import relu as apply_relu
from tinyalex.kernels.cpu.activation import relu_grad
from tinyalex.kernels.cpu.half_precision import in_float32


def bias_relu(y: np.ndarray, bias: np.ndarray | None, relu: bool) -> None:
    """y (N, O) += bias (O,); with `relu`, then y = max(0, y)."""
    if bias is not None:
        y += bias
    if relu:
        apply_relu(y, y)


@in_float32("dz", "dbias")
def bias_relu_backward(dy: np.ndarray, y: np.ndarray, dz: np.ndarray, dbias: np.ndarray) -> None:
    """dz = relu_grad(dy, y) with the output y (N, O) of the ReLU; dbias = its sum."""
    relu_grad(dy, y, dz)
    dbias[...] = dz.sum(axis=0, dtype=device.sum_dtype(dz.dtype))
