"""The primitives on the CPU, as in `kernels/cuda`. They accept any strides.

An activation is indexed (N, C, H, W) and stored as (H, W, N, C): in pooling,
normalization and ReLU, NumPy then loops over long contiguous rows of N*C values.
"""

from tinyalex.kernels.cpu.activation import relu, relu_backward
from tinyalex.kernels.cpu.adam import adam_update
from tinyalex.kernels.cpu.allocation import activation, as_activation, like, ready
from tinyalex.kernels.cpu.augmentation import augment
from tinyalex.kernels.cpu.columns import (
    col2im,
    column_dtype,
    columns,
    from_columns,
    im2col,
    keep_columns,
    matmul_in_tile,
    matmul_transposed,
    matrix,
    positions,
    to_columns,
)
from tinyalex.kernels.cpu.convolution.implicit_gemm import (
    conv2d,
    conv2d_input_grad,
    conv2d_weight_grad,
)
from tinyalex.kernels.cpu.convolution.selection import convolution_algorithm
from tinyalex.kernels.cpu.dropout import dropout, scale_kept
from tinyalex.kernels.cpu.error_function import error_function
from tinyalex.kernels.cpu.gemm import matmul, product
from tinyalex.kernels.cpu.linear import bias_relu, bias_relu_backward, bias_relu_dropout
from tinyalex.kernels.cpu.loss import (
    check_labels,
    cross_entropy,
    cross_entropy_backward,
    find_errors,
    weighted_mean,
    weighted_mean_backward,
)
from tinyalex.kernels.cpu.loss_scale import find_not_finite, update_loss_scale
from tinyalex.kernels.cpu.normalization import (
    lrn,
    lrn_backward,
    spatial_norm,
    spatial_norm_backward,
)
from tinyalex.kernels.cpu.normalized_columns import from_columns_lrn, to_columns_lrn
from tinyalex.kernels.cpu.pooling import (
    avg_pool,
    avg_pool_backward,
    max_pool,
    max_pool_backward,
)
from tinyalex.kernels.cpu.sgd import sgd_update

__all__ = [
    "activation", "adam_update", "as_activation", "augment", "avg_pool",
    "avg_pool_backward", "bias_relu", "bias_relu_backward", "bias_relu_dropout",
    "check_labels", "col2im", "column_dtype", "columns", "conv2d",
    "conv2d_input_grad", "conv2d_weight_grad", "convolution_algorithm",
    "cross_entropy", "cross_entropy_backward", "dropout", "error_function",
    "find_errors", "find_not_finite", "from_columns", "from_columns_lrn", "im2col", "keep_columns",
    "like", "lrn", "lrn_backward", "matmul", "matmul_in_tile", "matmul_transposed",
    "matrix", "max_pool", "max_pool_backward", "positions", "product", "ready",
    "relu", "relu_backward", "scale_kept", "sgd_update", "spatial_norm",
    "spatial_norm_backward", "to_columns", "to_columns_lrn", "update_loss_scale",
    "weighted_mean", "weighted_mean_backward",
]  # fmt: skip
