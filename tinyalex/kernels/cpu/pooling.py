"""Pooling in NumPy. The rows of a map are shared between the cores: each then reads and writes memory of its own, in one piece."""

import numpy as np

from tinyalex.kernels.cpu.layout import for_rows, in_rows, row_blocks
from tinyalex.kernels.cpu.maxima import rows_then_columns, tap_by_tap
from tinyalex.kernels.cpu.windows import Pair, row_taps, windows_on


def max_pool(
    x: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray | None,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> None:
    """y = the largest number in each window, argmax = the tap u*KW + v that it was found at first.

    NaN counts as largest, and of several NaN the last is taken.

    x (N, C, H, W), y (N, C, OH, OW), argmax like y, of an integer type that holds KH*KW - 1, or None where nobody will ask.
    """
    begin_inside = all(
        (out - 1) * step < size
        for out, step, size in zip(y.shape[2:], stride, x.shape[2:], strict=True)
    )
    plain = padding == (0, 0) and dilation == (1, 1) and begin_inside

    def some_rows(own: slice) -> None:
        for rows in row_blocks(y, own):
            if plain:
                rows_then_columns(x, y, argmax, rows, kernel, stride)
            else:
                tap_by_tap(x, y, argmax, rows, kernel, stride, padding, dilation)
            if argmax is not None and np.isnan(y[:, :, rows]).any():
                for tap, seen, out in row_taps(x, y, rows, kernel, stride, padding, dilation):
                    argmax[:, :, rows][out][np.isnan(seen)] = tap

    for_rows(y, x.nbytes, some_rows)


def max_pool_backward(
    dy, argmax, dx, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """dx[pixel] = the sum of dy over all windows whose maximum it was: windows overlap, so a pixel can win several."""
    dy = in_rows(dy)

    def some_rows(own: slice) -> None:
        windows, border = windows_on(own, dy.shape[2], kernel, stride, padding, dilation)
        _bring_back(
            dy[:, :, windows],
            argmax[:, :, windows],
            dx[:, :, own],
            kernel,
            stride,
            border,
            dilation,
        )

    for_rows(dx, dx.nbytes, some_rows)


def _bring_back(dy, argmax, dx, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
    first = _first_visits(dy, dx, kernel, stride, padding, dilation)
    for rows in row_blocks(dy, slice(0, dy.shape[2])):
        above, winners = dy[:, :, rows], argmax[:, :, rows]
        for tap, seen, out in reversed(
            [*row_taps(dx, dy, rows, kernel, stride, padding, dilation)]
        ):
            if tap in first:
                np.multiply(above[out], winners[out] == tap, out=seen)
            else:
                seen += above[out] * (winners[out] == tap)


def _first_visits(dy, dx, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> set[int]:
    """The taps that come to each pixel first, if windows are gone through row by row and taps backwards; 0 is written where none comes.

    The last stride x stride taps of the windows cover all pixels between them once: what they bring need not be added to anything.
    """
    if (
        dilation != (1, 1)
        or not dy.shape[2]
        or any(size < step for size, step in zip(kernel, stride, strict=True))
    ):
        dx.fill(0)
        return set()
    new = [range(size - step, size) for size, step in zip(kernel, stride, strict=True)]
    for axis, (last, step, border) in enumerate(zip(new, stride, padding, strict=True), start=2):
        lines = np.moveaxis(dx, axis, 0)
        lines[: max(0, last.start - border)] = 0
        lines[(dy.shape[axis] - 1) * step - border + last.stop :] = 0
    return {u * kernel[1] + v for u in new[0] for v in new[1]}


def avg_pool(
    x: np.ndarray, y: np.ndarray, divisor: np.ndarray, kernel: Pair, stride: Pair, padding: Pair
) -> None:
    """y = the sum over each window / divisor. x (N, C, H, W), y (N, C, OH, OW), divisor (OH, OW)."""

    def some_rows(rows: slice) -> None:
        sums = y[:, :, rows]
        sums.fill(0)
        for _, seen, out in row_taps(x, y, rows, kernel, stride, padding, (1, 1)):
            sums[out] += seen
        sums /= divisor[rows]

    for_rows(y, x.nbytes, some_rows)


def avg_pool_backward(
    dy: np.ndarray, divisor: np.ndarray, dx: np.ndarray, kernel: Pair, stride: Pair, padding: Pair
) -> None:
    """dx[pixel] = the sum of dy / divisor over all windows that contain it."""
    dy = in_rows(dy)

    def some_rows(own: slice) -> None:
        windows, border = windows_on(own, dy.shape[2], kernel, stride, padding, (1, 1))
        pixels, share = dx[:, :, own], dy[:, :, windows] / divisor[windows]
        pixels.fill(0)
        for _, seen, out in row_taps(
            pixels, share, slice(0, share.shape[2]), kernel, stride, border, (1, 1)
        ):
            seen += share[out]

    for_rows(dx, dx.nbytes, some_rows)
