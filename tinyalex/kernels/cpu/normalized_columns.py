"""The end of a convolution whose ReLU and normalization follow, in NumPy."""

import numpy as np

from tinyalex.kernels.cpu.columns import from_columns, to_columns
from tinyalex.kernels.cpu.normalization import lrn, lrn_backward


def from_columns_lrn(
    product: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    z: np.ndarray,
    s: np.ndarray,
    size: int,
    a: float,
    beta: float,
    k: float,
    groups: int,
) -> None:
    """y as of `from_columns` with ReLU; z its response normalization, s as in `lrn`."""
    from_columns(product, bias, y, relu=True)
    lrn(y, z, s, size, a, beta, k, groups)


def to_columns_lrn(
    dz: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    s: np.ndarray,
    product: np.ndarray,
    sums: np.ndarray | None,
    size: int,
    a: float,
    beta: float,
    k: float,
    groups: int,
) -> None:
    """`to_columns` of the gradient of y, which `lrn_backward` computes from dz.

    k is not used: s includes it.
    """
    dy = np.empty_like(y)
    lrn_backward(dz, y, z, s, dy, size, a, beta, groups)
    to_columns(dy, product, y, sums)
