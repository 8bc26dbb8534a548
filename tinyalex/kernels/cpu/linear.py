"""The bias and the ReLU of a fully connected layer in NumPy."""

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.activation import relu as apply_relu
from tinyalex.kernels.cpu.activation import relu_grad
from tinyalex.kernels.cpu.dropout import dropout
from tinyalex.kernels.cpu.half_precision import in_float32


def bias_relu(y: np.ndarray, bias: np.ndarray | None, relu: bool) -> None:
    """y (N, O) += bias (O,); with `relu`, then y = max(0, y)."""
    if bias is not None:
        y += bias
    if relu:
        apply_relu(y, y)


@in_float32("dz", "dbias")
def bias_relu_backward(
    dy: np.ndarray, y: np.ndarray, dz: np.ndarray, dbias: np.ndarray, scale: float = 1.0
) -> None:
    """dz = scale * relu_grad(dy, y); dbias = its sum over the samples.

    y (N, O): the output of the ReLU, or of the dropout with this scale that follows it.
    """
    relu_grad(dy, y, dz)
    if scale != 1:
        dz *= scale
    dbias[...] = dz.sum(axis=0, dtype=device.sum_dtype(dz.dtype))


def bias_relu_dropout(
    y: np.ndarray,
    bias: np.ndarray | None,
    keep: float,
    scale: float,
    key: tuple[int, int],
    step: np.ndarray,
    call: int,
    first: int,
) -> None:
    """y (..., O) += bias (O,), its ReLU, and dropout as by `dropout`, in place."""
    bias_relu(y, bias, relu=True)
    dropout(y, np.empty(y.shape, bool), y, keep, scale, key, step, call, first)
