"""The selection of a convolution algorithm on the CPU."""

import numpy as np

from tinyalex import device
from tinyalex.kernels.cpu.convolution.rowwise import RowWise
from tinyalex.kernels.cpu.convolution.winograd import Winograd
from tinyalex.kernels.cpu.convolution.winograd_tiling import TILE_SIZES
from tinyalex.kernels.geometry import ConvFunction, ConvShape

MIN_TILES, MIN_CHANNELS = 48, 16
MAX_ROWWISE_CHANNELS = 8


def convolution_algorithm(
    shape: ConvShape, dtype: np.dtype, name: str, wants_dx: bool
) -> type[ConvFunction] | None:
    """The algorithm for a convolution on the device `name`; None for im2col, which is
    `functional.Conv2d`.

    The first algorithm whose conditions all hold is used:

    | algorithm | condition                         | reason                        |
    |-----------|-----------------------------------|-------------------------------|
    | im2col    | not float32                       | float64 is for accuracy; the  |
    |           |                                   | others round differently      |
    | Winograd  | square, not dilated,              | rows and columns have the     |
    |           | padding < kernel                  | same tiles                    |
    |           | ceil(kernel / stride) is 3 or 5   | their rounding error is known |
    |           | MIN_TILES tiles in the batch      | or transforming the filters   |
    |           |                                   | costs more than it saves      |
    |           | MIN_CHANNELS channels and filters | or transforming the tiles     |
    |           | per group, after folding strides  | does                          |
    | row-wise  | no dx: a first layer, inference   | gradients of rows overlap     |
    |           | at most MAX_ROWWISE_CHANNELS      | or im2col's copy is cheap     |
    |           | one group, rows not dilated,      | windows use consecutive rows  |
    |           | not 1 x 1                         |                               |
    |           | C * KW * stride < 2 * O           | the strips are below 2 * y    |
    |           | two rows of output per worker     | workers partition the rows    |
    | im2col    | all others                        |                               |

    Winograd falls back to im2col for values for which it is inaccurate
    (winograd_range.py).
    """
    if dtype != np.float32:
        return None
    (n, channels, _, _), (filters, group_channels, _, _) = shape.x, shape.w
    kernel, stride, padding, dilation = shape.window
    square = all(rows == cols for rows, cols in (kernel, stride, padding))
    r = -(-kernel[0] // stride[0])
    if square and dilation == (1, 1) and padding[0] < kernel[0] and r in TILE_SIZES:
        m = TILE_SIZES[r]
        tiles = n * -(-shape.out[0] // m) * -(-shape.out[1] // m)
        depth = min(group_channels * stride[0] ** 2, filters // shape.groups)
        if tiles >= MIN_TILES and depth >= MIN_CHANNELS:
            return Winograd
    plain = shape.groups == 1 and dilation[0] == 1 and kernel != (1, 1)
    small = channels <= MAX_ROWWISE_CHANNELS and channels * kernel[1] * stride[0] < 2 * filters
    if not wants_dx and plain and small and shape.out[0] >= 2 * device.workers():
        return RowWise
    return None
