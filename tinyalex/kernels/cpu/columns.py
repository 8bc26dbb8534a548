"""im2col and col2im in NumPy: the patches that windows see as columns, and columns back to where they were taken from."""

import numpy as np

from tinyalex.kernels.cpu.windows import Pair


def im2col(
    x: np.ndarray, col: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """col[c, u, v, n, i, j] = x[n, c, i*stride + u*dilation - padding, j*stride + v*dilation - padding], 0 outside of x.

    x (N, C, H, W), col (C, KH, KW, N, OH, OW).
    """
    seen, image = _all_that_windows_see(x, kernel, col.shape[4:], stride, padding, dilation)
    image[...] = x.swapaxes(0, 1)[:, :, : image.shape[2], : image.shape[3]]
    col[...] = _windows(seen, kernel, col.shape[4:], stride, dilation)


def col2im(
    col: np.ndarray, x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """The adjoint of `im2col`: x[n, c, h, w] = the sum of all col[c, u, v, n, i, j] that im2col copies that pixel to."""
    seen, image = _all_that_windows_see(x, kernel, col.shape[4:], stride, padding, dilation)
    rows, cols = ((size - 1) * step + 1 for size, step in zip(col.shape[4:], stride, strict=True))
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            top, left = u * dilation[0], v * dilation[1]
            seen[:, :, top : top + rows : stride[0], left : left + cols : stride[1]] += col[:, u, v]
    if image.shape[2:] != x.shape[2:]:
        x.fill(0)  # where no window reaches
    x[:, :, : image.shape[2], : image.shape[3]] = image.swapaxes(0, 1)


def _all_that_windows_see(
    x: np.ndarray, kernel: Pair, out: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[np.ndarray, np.ndarray]:
    """Zeros (C, N, rows, cols) from the first window's first tap to the last one's last, and in them the place of the image.

    The images lie last, (C, rows, cols, N), so that a shifted view is a few long runs.
    """
    n, c, h, w = x.shape
    rows, cols = (
        (positions - 1) * step + (size - 1) * apart + 1
        for positions, step, size, apart in zip(out, stride, kernel, dilation, strict=True)
    )
    seen = np.moveaxis(np.zeros((c, rows, cols, n), x.dtype), -1, 1)
    return seen, seen[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w]


def _windows(seen: np.ndarray, kernel: Pair, out: Pair, stride: Pair, dilation: Pair) -> np.ndarray:
    """seen (C, N, rows, cols) as (C, KH, KW, N, OH, OW), in the same memory."""
    c, n, h, w = seen.strides
    steps = (c, h * dilation[0], w * dilation[1], n, h * stride[0], w * stride[1])
    return np.lib.stride_tricks.as_strided(
        seen, (seen.shape[0], *kernel, seen.shape[1], *out), steps
    )
