"""Pooling in NumPy. Workers partition the rows of a feature map."""

from collections.abc import Iterable

import numpy as np

from tinyalex.kernels.cpu.half_precision import in_float32
from tinyalex.kernels.cpu.layout import parallel_rows, row_blocks, to_hwnc
from tinyalex.kernels.cpu.masking import zero_where
from tinyalex.kernels.cpu.sliding_windows import offset_slices, windows_over
from tinyalex.kernels.geometry import Pair, no_offset


def max_pool(
    x: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray | None,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    relu: bool = False,
) -> None:
    """y = the maximum of each window, argmax = its first kernel offset u*KW + v.

    NaN counts as the maximum; of several NaN, argmax is the last. With `relu`, y is the
    ReLU of the maximum, and argmax is no_offset(its dtype) where that is 0.

    x (N, C, H, W), y (N, C, OH, OW); argmax like y, of an integer type that holds
    KH*KW, or None if no backward pass follows.
    """
    starts_inside = all(
        (out - 1) * step < size
        for out, step, size in zip(y.shape[2:], stride, x.shape[2:], strict=True)
    )
    separable = padding == (0, 0) and dilation == (1, 1) and starts_inside

    def run(own: slice) -> None:
        for rows in row_blocks(y, own):
            if separable:
                _separable_max(x, y, argmax, rows, kernel, stride)
            else:
                _max(x, y, argmax, rows, kernel, stride, padding, dilation)
            if argmax is not None and np.isnan(y[:, :, rows]).any():
                window = kernel, stride, padding, dilation
                for offset, seen, out in offset_slices(x, y, rows, *window):
                    argmax[:, :, rows][out][np.isnan(seen)] = offset
            if relu:
                _apply_relu(y[:, :, rows], None if argmax is None else argmax[:, :, rows])

    parallel_rows(y, x.nbytes, run)


def _apply_relu(y: np.ndarray, argmax: np.ndarray | None) -> None:
    # NumPy compares four times as fast with an array of zeros as with a scalar.
    zeros = np.zeros(y.shape[:2], y.dtype)[..., None, None]
    if argmax is not None:
        none = np.less_equal(y, zeros).astype(argmax.dtype)
        none *= no_offset(argmax.dtype)
        np.maximum(argmax, none, out=argmax)
    np.maximum(y, zeros, out=y)


def _max(
    x: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray | None,
    rows: slice,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> None:
    """max_pool for some rows, with any window: KH * KW comparisons per output."""
    best, window = y[:, :, rows], (kernel, stride, padding, dilation)
    best.fill(-np.inf)
    for _, seen, out in offset_slices(x, y, rows, *window):
        np.maximum(best[out], seen, out=best[out])
    if argmax is not None:
        zero = argmax.dtype.type(0)
        slices = offset_slices(x, y, rows, *window)
        candidates = ((offset, zero, seen, out) for offset, seen, out in slices)
        _first_match(argmax[:, :, rows], candidates, best)


def _separable_max(
    x: np.ndarray, y: np.ndarray, argmax: np.ndarray | None, rows: slice, kernel: Pair, stride: Pair
) -> None:
    """max_pool for some rows, from column maxima: KH + KW comparisons per output.

    Windows must start inside the image; they may extend past its end.
    """
    best, top = y[:, :, rows], rows.start * stride[0]
    height, width = (best.shape[2] - 1) * stride[0] + 1, (best.shape[3] - 1) * stride[1] + 1
    seen = [x[:, :, top + u : top + u + height : stride[0]] for u in range(kernel[0])]
    tall = _running_max([(row, (..., slice(row.shape[2]), slice(None))) for row in seen], None)
    steps = [slice(v, v + width, stride[1]) for v in range(kernel[1])]
    columns = [(tall[..., step], (..., slice(len(range(x.shape[3])[step])))) for step in steps]
    _running_max(columns, best)
    if argmax is None:
        return
    # The first row that holds a column's maximum: the number of rows above that do not.
    other = np.not_equal(seen[0], tall)
    first_row = other.astype(argmax.dtype)
    for row in seen[1:-1]:
        here = slice(None), slice(None), slice(row.shape[2])
        other[here] &= np.not_equal(row, tall[here])
        first_row[here] += other[here].view(np.uint8)
    if kernel[0] > 1:  # otherwise all are 0, and kernel[1] may not fit the dtype
        first_row *= kernel[1]
    candidates = (
        (v, first_row[..., steps[v]], column, out) for v, (column, out) in enumerate(columns)
    )
    _first_match(argmax[:, :, rows], candidates, best)


def _running_max(parts: list[tuple[np.ndarray, tuple]], out: np.ndarray | None) -> np.ndarray:
    """The elementwise maximum of (part, index) pairs: a part covers out[index].

    The first part covers all of `out`.
    """
    first, rest = parts[0][0], parts[1:]
    if rest and rest[0][0].shape == first.shape:
        out = np.maximum(first, rest.pop(0)[0], out=out)
    elif out is None:
        out = first.copy("K")
    else:
        np.copyto(out, first)
    for part, index in rest:
        np.maximum(out[index], part, out=out[index])
    return out


def _first_match(argmax: np.ndarray, candidates: Iterable[tuple], best: np.ndarray) -> None:
    """argmax[out] = the smallest offset + base of candidates with seen == best[out].

    A candidate is (offset, base, seen, out).
    """
    largest = np.iinfo(argmax.dtype).max
    argmax.fill(largest)
    for offset, base, seen, out in candidates:
        # Set all bits where the candidate does not match: the first match is then a
        # minimum, and no masked store is needed.
        found = np.not_equal(seen, best[out])
        found = found.view(argmax.dtype) if argmax.itemsize == 1 else found.astype(argmax.dtype)
        found *= largest
        found |= base + argmax.dtype.type(offset) if offset else base
        np.minimum(argmax[out], found, out=argmax[out])


@in_float32("dx")
def max_pool_backward(
    dy: np.ndarray,
    argmax: np.ndarray,
    dx: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> None:
    """dx[pixel] = the sum of dy over all windows whose maximum is the pixel."""
    dy = to_hwnc(dy)

    def run(own: slice) -> None:
        rows, border = windows_over(own, dy.shape[2], kernel, stride, padding, dilation)
        window = kernel, stride, border, dilation
        _scatter(dy[:, :, rows], argmax[:, :, rows], dx[:, :, own], *window)

    parallel_rows(dx, dx.nbytes, run)


def _scatter(
    dy: np.ndarray,
    argmax: np.ndarray,
    dx: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> None:
    window = kernel, stride, padding, dilation
    first = _first_visits(dy, dx, *window)
    for rows in row_blocks(dy, slice(0, dy.shape[2])):
        upstream, winners = dy[:, :, rows], argmax[:, :, rows]
        finite = np.isfinite(upstream.sum())
        for offset, seen, out in reversed([*offset_slices(dx, dy, rows, *window)]):
            part = seen if offset in first else np.empty_like(seen)
            if finite:  # a multiplication is faster, but infinity * 0 is NaN
                np.multiply(upstream[out], winners[out] == offset, out=part)
            else:
                zero_where(winners[out] != offset, upstream[out], part)
            if part is not seen:
                seen += part


def _first_visits(
    dy: np.ndarray, dx: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> set[int]:
    """The offsets that visit a pixel first, by rows and in descending order of offsets.

    Together, the last stride x stride offsets of all windows cover each pixel at most
    once: their gradients are written, not added. Other pixels are set to 0.
    """
    overlap = all(size >= step for size, step in zip(kernel, stride, strict=True))
    if dilation != (1, 1) or not dy.shape[2] or not overlap:
        dx.fill(0)
        return set()
    new = [range(size - step, size) for size, step in zip(kernel, stride, strict=True)]
    for axis, (last, step, border) in enumerate(zip(new, stride, padding, strict=True), start=2):
        lines = np.moveaxis(dx, axis, 0)
        lines[: max(0, last.start - border)] = 0
        lines[(dy.shape[axis] - 1) * step - border + last.stop :] = 0
    return {u * kernel[1] + v for u in new[0] for v in new[1]}


@in_float32("y")
def avg_pool(
    x: np.ndarray, y: np.ndarray, divisor: np.ndarray, kernel: Pair, stride: Pair, padding: Pair
) -> None:
    """y (N, C, OH, OW) = the sum of x over each window / divisor (OH, OW)."""

    def run(own: slice) -> None:
        for rows in row_blocks(y, own):
            sums = y[:, :, rows]
            # Starting at a later row is the same as shifting the image up.
            border = padding[0] - rows.start * stride[0], padding[1]
            sum_windows(x, sums, kernel, stride, border)
            sums /= divisor[rows]

    parallel_rows(y, x.nbytes, run)


def sum_windows(x: np.ndarray, sums: np.ndarray, kernel: Pair, stride: Pair, border: Pair) -> None:
    """sums (N, C, OH, OW) = the sum of x over each window, with this padding."""
    sums.fill(0)
    every = slice(0, sums.shape[2])
    for _, seen, out in offset_slices(x, sums, every, kernel, stride, border, (1, 1)):
        sums[out] += seen


@in_float32("dx")
def avg_pool_backward(
    dy: np.ndarray, divisor: np.ndarray, dx: np.ndarray, kernel: Pair, stride: Pair, padding: Pair
) -> None:
    """dx[pixel] = the sum of dy / divisor over all windows that contain the pixel."""
    dy = to_hwnc(dy)

    def run(own: slice) -> None:
        for part in row_blocks(dx, own):
            rows, border = windows_over(part, dy.shape[2], kernel, stride, padding, (1, 1))
            share = dy[:, :, rows] / divisor[rows]
            sum_shares(share, dx[:, :, part], kernel, stride, border)

    parallel_rows(dx, dx.nbytes, run)


def sum_shares(share: np.ndarray, dx: np.ndarray, kernel: Pair, stride: Pair, border: Pair) -> None:
    """The adjoint of `sum_windows`: dx[pixel] = the sum of the shares (N, C, OH, OW) of
    all windows that contain the pixel."""
    dx.fill(0)
    every = slice(0, share.shape[2])
    for _, seen, out in offset_slices(dx, share, every, kernel, stride, border, (1, 1)):
        seen += share[out]
