"""The tiles of Winograd's algorithm, and strides folded into channels.

With stride s, the s x s pixels of a square become s*s channels of one pixel, and so do
the filter's elements: conv1's 11 x 11 kernel at stride 4 is a 3 x 3 kernel at stride 1
with 48 channels.
"""

import math
from typing import NamedTuple

import numpy as np

from tinyalex.device import Scratch
from tinyalex.kernels.cpu.layout import as_hwnc
from tinyalex.kernels.geometry import ConvShape, Pair

TILE_SIZES = {3: 5, 5: 4}
"""The side m of a tile in outputs, for each kernel size r.

13 x 13 maps are 3 tiles of 5 on a side, 55 x 55 are 11; 27 x 27 are 7 tiles of 4.
"""

WIDE = {2: np.complex64, 4: np.complex128}
"""Types as large as s float32 values, to copy s pixels at once."""


class Tiling(NamedTuple):
    """The tiles of a convolution of images (N, C, H, W) with filters (O, C/G, K, K)."""

    m: int
    """The side of a tile in outputs."""
    r: int
    """Kernel size after folding."""
    stride: int
    """The stride s that is folded into channels."""
    kernel: int
    """K, which is r unless the stride is folded."""
    groups: int
    padding: int
    """In pixels of the image."""
    image: Pair
    """The size of the image after folding."""
    out: Pair

    @classmethod
    def of(cls, shape: ConvShape) -> "Tiling":
        kernel, stride, padding, _ = (pair[0] for pair in shape.window)
        r, (h, w) = -(-kernel // stride), shape.x[2:]
        image = (h, w) if stride == 1 else (shape.out[0] + r - 1, shape.out[1] + r - 1)
        return cls(TILE_SIZES[r], r, stride, kernel, shape.groups, padding, image, shape.out)

    def transposed(self) -> "Tiling":
        """The convolution that computes dx: of dy, with the mirrored filters."""
        padding = self.r - 1 - self.offset()
        return self._replace(padding=padding, stride=1, image=self.out, out=self.image)

    @property
    def size(self) -> int:
        """The side of a transformed tile in points."""
        return self.m + self.r - 1

    def tiles(self) -> Pair:
        """The number of tiles vertically and horizontally."""
        return -(-self.out[0] // self.m), -(-self.out[1] // self.m)

    def offset(self) -> int:
        """Zeros before the first pixel; a folded image includes them."""
        return self.padding if self.stride == 1 else 0

    def points(self, count: int) -> tuple[int, ...]:
        """The shape of all transformed tiles with `count` values per point."""
        return (self.size, self.size, *self.tiles(), count)

    def bytes_each(self, channels: int) -> int:
        """Bytes of the transformed tiles of one float32 image."""
        return 4 * math.prod(self.points(channels))

    def by_group(self, v: np.ndarray, n: int) -> np.ndarray:
        """A view of (A, A, rows, columns, n*C) as (A*A, G, rows*columns*n, C/G)."""
        _, _, rows, columns, count = v.shape
        shape = self.size**2, rows * columns * n, self.groups, count // (n * self.groups)
        return v.reshape(shape, copy=False).swapaxes(1, 2)

    # Filters

    def fold_filters(self, w: np.ndarray) -> np.ndarray:
        """Filters (O, C/G, K, K) as (G, O/G, C/G*s*s, r*r)."""
        o, c, k, _ = w.shape
        s, r, groups = self.stride, self.r, self.groups
        if s == 1:
            return w.reshape(groups, o // groups, c, r * r)
        square = np.zeros((o, c, r * s, r * s), w.dtype)
        square[:, :, :k, :k] = w
        folded = square.reshape(o, c, r, s, r, s).transpose(0, 1, 3, 5, 2, 4)
        return folded.reshape(groups, o // groups, c * s * s, r * r)

    def unfold_filters(self, folded: np.ndarray) -> np.ndarray:
        """The inverse: (O, C/G*s*s, r*r) as (O, C/G, K, K)."""
        s, r, k = self.stride, self.r, self.kernel
        o, c = len(folded), folded.shape[1] // s**2
        square = folded.reshape(o, c, s, s, r, r).transpose(0, 1, 4, 2, 5, 3)
        return np.ascontiguousarray(square.reshape(o, c, r * s, r * s)[:, :, :k, :k])

    # Pixels

    def fold_pixels(self, x: np.ndarray, scratch: Scratch) -> np.ndarray:
        """Images (n, C, H, W) as (H, W, n*C); with a stride as (H', W', n*C*s*s)."""
        if self.stride == 1:
            return as_hwnc(x)
        (n, c, *_), s, (h, w) = x.shape, self.stride, self.image
        folded = scratch.take("folded", (h, w, n, c, s, s), x.dtype)
        padded = scratch.take("padded", (c, h * s, w * s), x.dtype)
        padded.fill(0)
        first, (rows, cols) = self.padding, x.shape[2:]
        inside = padded[:, first : first + rows, first : first + cols]
        row = WIDE.get(s, x.dtype)
        squares, target = padded.reshape(c, h, s, w, s).view(row), folded.view(row)
        for i in range(n):
            inside[...] = x[i, :, : inside.shape[1], : inside.shape[2]]
            target[:, :, i] = squares.transpose(1, 3, 0, 2, 4)
        return folded.reshape(h, w, n * c * s * s)

    def unfold_pixels(self, folded: np.ndarray, x: np.ndarray) -> None:
        """The inverse: x (n, C, H, W), 0 for pixels that no window reads."""
        (n, c, *_), s, (h, w) = x.shape, self.stride, self.image
        whole = folded.reshape(h, w, n, c, s, s).transpose(2, 3, 0, 4, 1, 5)
        first, (rows, cols) = self.padding, x.shape[2:]
        seen = whole.reshape(n, c, h * s, w * s)[:, :, first : first + rows, first : first + cols]
        x.fill(0)
        x[:, :, : seen.shape[2], : seen.shape[3]] = seen
