"""The maxima of sliding windows in NumPy, and which tap of its window each was found at first."""

from collections.abc import Iterator

import numpy as np

from tinyalex.kernels.cpu.windows import Pair, row_taps


def rows_then_columns(x, y, argmax, rows: slice, kernel: Pair, stride: Pair) -> None:
    """For some rows of y, whose windows begin in the image, and may hang over its end: KH + KW comparisons a window, not KH * KW."""
    best, top = y[:, :, rows], rows.start * stride[0]
    seen = [
        x[:, :, top + u : top + u + (best.shape[2] - 1) * stride[0] + 1 : stride[0]]
        for u in range(kernel[0])
    ]
    tall = _largest([(row, (..., slice(0, row.shape[2]), slice(None))) for row in seen], None)
    steps = [slice(v, v + (best.shape[3] - 1) * stride[1] + 1, stride[1]) for v in range(kernel[1])]
    columns = [(tall[..., step], (..., slice(0, len(range(x.shape[3])[step])))) for step in steps]
    _largest(columns, best)
    if argmax is None:
        return
    # Each column's first row that holds its maximum is how many rows, from the top, do not.
    other = np.not_equal(seen[0], tall)
    highest = other.astype(argmax.dtype)
    for row in seen[1:-1]:
        here = (slice(None), slice(None), slice(0, row.shape[2]))
        other[here] &= np.not_equal(row, tall[here])
        highest[here] += other[here].view(np.uint8)
    if kernel[0] > 1:  # else they are 0, and the product may be more than their type holds
        highest *= kernel[1]
    candidates = (
        (v, highest[..., steps[v]], column, out) for v, (column, out) in enumerate(columns)
    )
    _first(argmax[:, :, rows], candidates, best)


def _largest(parts: list[tuple[np.ndarray, tuple]], out: np.ndarray | None) -> np.ndarray:
    """The largest number at each place: parts[0] has one for every place, each other (part, where) for out[where] only."""
    first, rest = parts[0][0], parts[1:]
    if rest and rest[0][0].shape == first.shape:
        out = np.maximum(first, rest.pop(0)[0], out=out)
    elif out is None:
        out = first.copy("K")
    else:
        np.copyto(out, first)
    for part, where in rest:
        np.maximum(out[where], part, out=out[where])
    return out


def tap_by_tap(
    x, y, argmax, rows: slice, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """For some rows of y, whatever their windows."""
    best = y[:, :, rows]
    best.fill(-np.inf)
    for _, seen, out in row_taps(x, y, rows, kernel, stride, padding, dilation):
        np.maximum(best[out], seen, out=best[out])
    if argmax is not None:
        seen_by_tap = row_taps(x, y, rows, kernel, stride, padding, dilation)
        _first(
            argmax[:, :, rows],
            ((tap, argmax.dtype.type(0), seen, out) for tap, seen, out in seen_by_tap),
            best,
        )


def _first(where: np.ndarray, candidates: Iterator[tuple], best: np.ndarray) -> None:
    """where[out] = the smallest tap + offset among the candidates (tap, offset, seen, out) that see the best number of their window."""
    nothing = np.iinfo(where.dtype).max
    where.fill(nothing)
    for tap, offset, seen, out in candidates:
        # All bits set where the candidate is not it, so that "the first that is" is a minimum, and needs no masked store.
        found = np.not_equal(seen, best[out])
        found = found.view(where.dtype) if where.itemsize == 1 else found.astype(where.dtype)
        found *= nothing
        found |= offset + where.dtype.type(tap) if tap else offset
        np.minimum(where[out], found, out=where[out])
