"""The traffic of a convolution as im2col and a matrix product, and as implicit GEMM.

Counted from shapes, each array once per kernel that reads or writes it. x (N, C, H, W),
w (O, C/G, KH, KW), y (N, O, OH, OW); col has C*KH*KW elements per position, KH*KW times
those of x at stride 1; dx, dw, dy are as large as x, w, y.

              im2col and GEMM                                implicit GEMM
    forward   x, 2 col, w, 3 y                               tiles(O/G) x, w, y
    dw        x, 2 col, 3 dy, dw                             tiles(O/G) x,
                                                             tiles(C/G*KH*KW) dy, dw
    dx        w, dy, 2 col, dx (dy is laid out for dw)       tiles(C/G) dy, w, dx

Implicit GEMM gathers a tile of columns from x where the matrix product needs it. Each
of the tiles(n) = ceil(n / TILE) tiles of the other operand reads x again; the
overlapping patches of one tile are assumed to be in the cache, and so is w.
"""

import math
from dataclasses import dataclass
from typing import Any

TILE = 64
"""Rows and columns of the result that a block computes."""

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Pass:
    """One pass of a convolution in both forms: "forward", "dw" or "dx".

    im2col  (bytes, FLOP) of each of its kernels; the matrix products of all groups are
            one entry
    implicit_bytes  of its one kernel, which has the FLOP of the matrix product
    """

    layer: str
    which: str
    im2col: tuple[tuple[int, int], ...]
    implicit_bytes: int
    flop: int

    @property
    def im2col_bytes(self) -> int:
        return sum(size for size, _ in self.im2col)

    def seconds(self, bandwidth: float, flops: float) -> tuple[float, float]:
        """On these ceilings, with im2col and with implicit GEMM. The kernels of im2col
        run one after another."""
        im2col = sum(max(size / bandwidth, flop / flops) for size, flop in self.im2col)
        return im2col, max(self.implicit_bytes / bandwidth, self.flop / flops)


def passes(network: dict[str, Any], batch: int) -> list[Pass]:
    """Of each convolution, in order. The first has no dx: images need no gradient."""
    found: list[Pass] = []
    for layer in network["layers"]:
        if layer["kind"] == "conv":
            found += _of_layer(layer, batch, wants_dx=bool(found))
    return found


def _of_layer(layer: dict[str, Any], batch: int, wants_dx: bool) -> list[Pass]:
    window, groups = layer["kernel"] ** 2, layer["groups"]
    filters, channels = layer["out"] // groups, layer["in"] // groups
    positions = math.prod(layer["shape"][1:])
    x, y, col, w = (
        FLOAT_BYTES * size
        for size in (
            batch * math.prod(layer["seen"]),
            batch * math.prod(layer["shape"]),
            batch * layer["in"] * window * positions,
            layer["out"] * channels * window,
        )
    )
    flop = 2 * batch * layer["multiply_adds"]
    make, product, lay_out = (x + col, 0), (col + w + y, flop), (2 * y, 0)
    rows = [
        ("forward", (make, product, lay_out), _tiles(filters) * x + w + y),
        (
            "dw",
            (lay_out, make, product),
            _tiles(filters) * x + _tiles(channels * window) * y + w,
        ),
    ]
    if wants_dx:
        rows.append(("dx", (product, (col + x, 0)), _tiles(channels) * y + w + x))
    return [Pass(layer["name"], which, form, size, flop) for which, form, size in rows]


def _tiles(n: int) -> int:
    return -(-n // TILE)
