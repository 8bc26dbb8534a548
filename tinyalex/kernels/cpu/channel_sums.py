"""Sums over neighbouring channels in NumPy, as local response normalisation needs them."""

import numpy as np


class ChannelSums:
    """Sums over the `size` channels around each, which end at the edges of each group of channels.

    Every sum is made anew: a running one (add the next, subtract the last) would cancel. Zeros between the groups let the whole array
    be shifted as one run of numbers, edges included; what is summed across them falls on the zeros' own places.
    """

    def __init__(self, like: np.ndarray, size: int, groups: int, before: int) -> None:
        self.size, self.groups, self.width = size, groups, like.shape[1] // groups
        self.own = slice(before, before + self.width)
        self.padded = np.zeros(0, like.dtype)

    def grouped(self, a: np.ndarray) -> np.ndarray:
        """(..., C) as (..., G, C/G)."""
        return a.reshape(*a.shape[:-1], self.groups, self.width)

    def terms(self, shape: tuple[int, ...]) -> np.ndarray:
        """Where the numbers (..., G, C/G) to be summed are to be written, between zeros."""
        full = (*shape[:-1], self.groups, self.width + self.size - 1)
        if self.padded.shape != full:
            self.padded = np.zeros(full, self.padded.dtype)
            self.sums, *self.several = np.zeros((3, self.padded.size), self.padded.dtype)
        return self.padded[..., self.own]

    def of_windows(self) -> np.ndarray:
        """(..., G, C/G): the sums of what was written there."""
        run = self.padded.reshape(-1)
        _sliding_sums(run, self.size, self.sums[: run.size - self.size + 1], self.several)
        return self.sums.reshape(self.padded.shape)[..., : self.width]


def _sliding_sums(run: np.ndarray, size: int, out: np.ndarray, several: list[np.ndarray]) -> None:
    """out[i] = run[i] + ... + run[i + size - 1], from sums over 1, 2, 4, ... numbers: three additions make a sum of five."""
    covered, width, doubled = 0, 1, run
    while True:
        if size & width:
            part = doubled[covered : covered + len(out)]
            np.add(out, part, out=out) if covered else np.copyto(out, part)
            covered += width
        if covered == size:
            return
        several = several[::-1]  # NumPy copies what it reads where it would overlap what it writes
        doubled = np.add(
            doubled[: len(doubled) - width], doubled[width:], out=several[0][: len(doubled) - width]
        )
        width *= 2
