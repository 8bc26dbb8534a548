"""Response normalization in NumPy: across channels, and within a map."""

from collections.abc import Iterator

import numpy as np

from tinyalex.kernels.cpu.half_precision import in_float32
from tinyalex.kernels.cpu.layout import parallel_rows, row_blocks, to_hwnc
from tinyalex.kernels.cpu.pooling import sum_shares, sum_windows
from tinyalex.kernels.cpu.sliding_windows import windows_over


@in_float32("y", "s")
def lrn(
    x: np.ndarray,
    y: np.ndarray,
    s: np.ndarray,
    size: int,
    a: float,
    beta: float,
    k: float,
    groups: int,
) -> None:
    """s = k + a * (sum of x**2 over `size` channels), y = x * s**-beta."""

    def run(own: slice) -> None:
        sums = ChannelSums(x, size, groups, before=size // 2)
        for xr, yr, sr in _channels_last(own, x, y, s):
            terms = sums.terms(xr.shape)
            np.multiply(sums.grouped(xr), sums.grouped(xr), out=terms)
            np.multiply(sums.over_windows(), a, out=sums.grouped(sr))
            sr += k
            np.divide(xr, _power(sr, beta, out=yr), out=yr)

    parallel_rows(x, x.nbytes, run)


@in_float32("dx")
def lrn_backward(
    dy: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    s: np.ndarray,
    dx: np.ndarray,
    size: int,
    a: float,
    beta: float,
    groups: int,
) -> None:
    """dx = dy * s**-beta - 2*a*beta * x * (sum of dy*y/s).

    The sum is over the channels whose window contains this one.
    """

    def run(own: slice) -> None:
        sums = ChannelSums(x, size, groups, before=(size - 1) // 2)
        for dyr, xr, yr, sr, dxr in _channels_last(own, dy, x, y, s, dx):
            terms = sums.terms(xr.shape)
            np.multiply(sums.grouped(dyr), sums.grouped(yr), out=terms)
            terms /= sums.grouped(sr)
            np.multiply(sums.over_windows(), -2 * a * beta, out=sums.grouped(dxr))
            dxr *= xr
            direct = _power(sr, beta)
            dxr += np.divide(dyr, direct, out=direct)

    parallel_rows(x, x.nbytes, run)


@in_float32("y", "s")
def spatial_norm(
    x: np.ndarray, y: np.ndarray, s: np.ndarray, size: int, a: float, beta: float, k: float
) -> None:
    """s = k + a * (sum of x**2 over size x size pixels), y = x * s**-beta."""
    before, height = size // 2, x.shape[2]

    def run(own: slice) -> None:
        for rows in row_blocks(x, own):
            first, last = max(0, rows.start - before), min(height, rows.stop + size - 1 - before)
            near, sums, yr = x[:, :, first:last], s[:, :, rows], y[:, :, rows]
            border = before - rows.start + first, before
            sum_windows(near * near, sums, (size, size), (1, 1), border)
            sums *= a
            sums += k
            np.divide(x[:, :, rows], _power(sums, beta, out=yr), out=yr)

    parallel_rows(x, x.nbytes, run)


@in_float32("dx")
def spatial_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    s: np.ndarray,
    dx: np.ndarray,
    size: int,
    a: float,
    beta: float,
) -> None:
    """dx as in `lrn_backward`, with the sum over pixels."""
    kernel, step, padding = (size, size), (1, 1), (size // 2, size // 2)
    dy = to_hwnc(dy)

    def run(own: slice) -> None:
        for part in row_blocks(dx, own):
            rows, border = windows_over(part, dy.shape[2], kernel, step, padding, step)
            share = dy[:, :, rows] * y[:, :, rows]
            share /= s[:, :, rows]
            dxr = dx[:, :, part]
            sum_shares(share, dxr, kernel, step, border)
            dxr *= x[:, :, part]
            dxr *= -2 * a * beta
            direct = _power(s[:, :, part], beta)
            dxr += np.divide(dy[:, :, part], direct, out=direct)

    parallel_rows(dx, dx.nbytes, run)


def _channels_last(own: slice, *arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Arrays (N, C, H, ...) as views (H, ..., N, C), a block of rows at a time."""
    for rows in row_blocks(arrays[0], own):
        yield tuple(np.moveaxis(a[:, :, rows], (0, 1), (-2, -1)) for a in arrays)


def _power(s: np.ndarray, beta: float, out: np.ndarray | None = None) -> np.ndarray:
    """s**beta. The paper's 0.75 as two square roots, ten times as fast as np.power."""
    if beta != 0.75:
        return np.power(s, beta, out=out)
    root = np.sqrt(s, out=out)
    root *= s
    return np.sqrt(root, out=root)


class ChannelSums:
    """Sums over windows of `size` channels, which end at the edges of a group.

    Every sum is computed from its terms: a running sum (add the next, subtract the
    last) would suffer from cancellation. With zeros between the groups, the whole array
    is shifted as one contiguous run.
    """

    def __init__(self, like: np.ndarray, size: int, groups: int, before: int) -> None:
        self.size, self.groups, self.width = size, groups, like.shape[1] // groups
        self.inner = slice(before, before + self.width)
        self.padded, self.sums, self.buffers = np.zeros((3, 0), like.dtype)

    def grouped(self, a: np.ndarray) -> np.ndarray:
        """(..., C) as (..., G, C/G)."""
        return a.reshape(*a.shape[:-1], self.groups, self.width)

    def terms(self, shape: tuple[int, ...]) -> np.ndarray:
        """The array (..., G, C/G) for the terms, between zeros. `shape` is (..., C)."""
        full = (*shape[:-1], self.groups, self.width + self.size - 1)
        if self.padded.shape != full:
            self.padded = np.zeros(full, self.padded.dtype)
            self.sums, *self.buffers = np.zeros((3, self.padded.size), self.padded.dtype)
        return self.padded[..., self.inner]

    def over_windows(self) -> np.ndarray:
        """(..., G, C/G): the sums of the terms."""
        run = self.padded.reshape(-1)
        _sliding_sums(run, self.size, self.sums[: run.size - self.size + 1], self.buffers)
        return self.sums.reshape(self.padded.shape)[..., : self.width]


def _sliding_sums(run: np.ndarray, size: int, out: np.ndarray, buffers: list[np.ndarray]) -> None:
    """out[i] = run[i] + ... + run[i + size - 1], from sums of 1, 2, 4, ... terms."""
    covered, width, doubled = 0, 1, run
    while True:
        if size & width:
            part = doubled[covered : covered + len(out)]
            np.add(out, part, out=out) if covered else np.copyto(out, part)
            covered += width
        if covered == size:
            return
        buffers = buffers[::-1]  # NumPy copies an input that overlaps the output
        count = len(doubled) - width
        doubled = np.add(doubled[:count], doubled[width:], out=buffers[0][:count])
        width *= 2
