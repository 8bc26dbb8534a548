"""2-D convolution (strictly: cross-correlation, as everywhere in the field) as a matrix product."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.functional.arguments import Pair, Window, float_tensors, output_size, pair, with_batch
from tinyalex.tensor import Tensor


def conv2d_naive(
    x: np.ndarray,
    w: np.ndarray,
    b: Any = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
):
    """The definition in loops: each output is one patch times one filter. For reading, and for the test that holds `conv2d` to it."""
    (n_images, c, h, w_), (o, c_group, kh, kw) = x.shape, w.shape
    padded = np.zeros((n_images, c, h + 2 * padding[0], w_ + 2 * padding[1]), x.dtype)
    padded[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w_] = x
    oh = (padded.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (padded.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n_images, o, oh, ow), x.dtype)
    for n in range(n_images):
        for f in range(o):
            first = f // (o // groups) * c_group  # the channels of the filter's own group
            for i in range(oh):
                for j in range(ow):
                    for c_ in range(c_group):
                        for u in range(kh):
                            for v in range(kw):
                                pixel = padded[
                                    n,
                                    first + c_,
                                    i * stride[0] + u * dilation[0],
                                    j * stride[1] + v * dilation[1],
                                ]
                                y[n, f, i, j] += w[f, c_, u, v] * pixel
            y[n, f] += 0 if b is None else b[f]
    return y


class Conv2d(Function):
    """Convolution as one matrix product a group.

        y[n, o, i, j] = b[o] + sum over c, u, v of w[o, c, u, v] * x[n, c, i*stride + u*dilation - padding, j*stride + v*dilation - padding]

    x (N, C, H, W), w (O, C/G, KH, KW), b (O,) -> y (N, O, OH, OW). A tile of T images becomes `col` (C*KH*KW, T*OH*OW): one column an
    output position, holding the patch it looks at. Then, group by group,

        forward    y    = w @ col
        backward   dw  += dy @ col.T      every use of a weight, added up
                   dcol = w.T @ dy        and col2im adds each patch back to where it was taken from

    Keeps x and w for backward, not the columns: they are KH*KW times as large as x, and cheap to make again. Where a device has a faster
    way for the shapes (on the CPU kernels/winograd.py, and kernels/whole_rows.py for images), that is taken, and keeps what it needs.
    With `relu`, y is max(0, what is above), and dy counts where y is positive (or NaN).
    """

    def forward(
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        *,
        window: Window,
        out: Pair,
        groups: int,
        relu: bool = False,
    ) -> Array:
        k = kernels.of(x)
        x, w, b = k.ready(x), k.ready(w), b if b is None else k.ready(b)
        y = k.activation((len(x), len(w), *out), x.dtype)
        self.w, self.shape, self.y = w, x.shape, y if relu else None
        self.fast = k.fast_conv(x, w, window, out, groups, want_dx=self.needs_input_grad[0])
        if self.fast is not None:
            self.kept = self.fast.forward(x, w, b, y, relu, keep=any(self.needs_input_grad[1:]))
            return y
        self.x, self.window, self.out, self.groups = x, window, out, groups

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            col, product = self.workspace(scratch, hi - lo)
            k.im2col(x[lo:hi], col, *window)
            for wg, cg, pg in self.by_group(rows(w), k.matrix(col), k.matrix(product)):
                k.matmul(wg, cg, out=pg)
            k.from_columns(product, b, y[lo:hi], relu)

        device.for_tiles(x, self.bytes_each(), tile)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        w = self.w
        want_dx, want_dw, *want_db = (
            self.needs_input_grad
        )  # conv1: nobody asks for the image's gradient
        k = kernels.of(dy)
        dy = k.ready(dy)
        dx = k.activation(self.shape, dy.dtype) if want_dx else None
        if self.fast is not None:
            dw, db = self.fast.backward(dy, w, self.kept, self.y, dx, want_dw or any(want_db))
            return (dx, dw if want_dw else None, db if any(want_db) else None)[
                : len(self.needs_input_grad)
            ]
        x, y, window = self.x, self.y, self.window

        def tile(lo: int, hi: int, scratch: device.Scratch) -> tuple[Array | None, Array | None]:
            col, dproduct = self.workspace(scratch, hi - lo)
            k.to_columns(dy[lo:hi], dproduct, None if y is None else y[lo:hi])
            dw = db = None
            if want_dw:
                # Turned round, dw.T = col @ dy.T: what BLAS is twice as fast on where there are few filters.
                dw = device.xp(w).empty(
                    (self.groups, math.prod(w.shape[1:]), len(w) // self.groups), w.dtype
                )
                k.im2col(x[lo:hi], col, *window)
                for dwg, cg, pg in self.by_group(dw, k.matrix(col), k.matrix(dproduct)):
                    k.matmul(cg, pg.T, out=dwg[0])
            if any(want_db):
                positions = k.matrix(dproduct)
                db = positions @ device.xp(dy).ones(positions.shape[1], dy.dtype)
            if dx is not None:
                for wg, cg, pg in self.by_group(rows(w), k.matrix(col), k.matrix(dproduct)):
                    k.matmul(wg.T, pg, out=cg)
                k.col2im(col, dx[lo:hi], *window)
            return dw, db

        dw, db = device.for_tiles(x, self.bytes_each(), tile)
        return (dx, dw if dw is None else dw.swapaxes(1, 2).reshape(w.shape), db)[
            : len(self.needs_input_grad)
        ]

    def workspace(self, scratch: device.Scratch, images: int) -> tuple[Array, Array]:
        """Room for a tile's columns (C, KH, KW, T, OH, OW) and for the product's result (O, T, OH, OW)."""
        k = kernels.of(self.x)
        col = k.columns(
            scratch,
            "columns",
            (self.x.shape[1], *self.window.kernel),
            images,
            self.out,
            self.x.dtype,
        )
        return col, k.positions(scratch, "product", len(self.w), images, self.out, self.x.dtype)

    def bytes_each(self) -> int:
        return (
            (self.x.shape[1] * math.prod(self.window.kernel) + len(self.w))
            * math.prod(self.out)
            * self.x.itemsize
        )

    def by_group(self, *matrices: Array) -> Iterator[tuple[Array, ...]]:
        """The matrices cut into `groups` bands of rows: band g of each, for every g."""
        for g in range(self.groups):
            yield tuple(
                m[g * len(m) // self.groups : (g + 1) * len(m) // self.groups] for m in matrices
            )


def rows(w: Array) -> Array:
    """One filter a row: (O, C/G*KH*KW)."""
    return w.reshape(len(w), -1)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    ceil_mode: bool = False,
    relu: bool = False,
) -> Tensor:
    """2-D convolution, section 3.5 of the paper.

    input (N, C, H, W) or (C, H, W), weight (O, C/groups, KH, KW), bias (O,) -> (N, O, OH, OW), all of one floating dtype.
    stride, padding, dilation: numbers, or pairs for rows and columns. padding is also "valid" (none) or "same" (stride 1 only:
    OH, OW = H, W; an odd pixel goes to the end).
    groups: group g of the outputs sees group g of the channels alone: the paper's two columns.
    ceil_mode: the size rule of the 2012 code: a last window that hangs over the edge counts, and reads zeros there.
    relu: max(0, the result), made while it is in the cache: what `relu(conv2d(...))` gives.

    >>> import numpy as np
    >>> conv2d(np.ones((1, 3, 224, 224), "f"), np.ones((96, 3, 11, 11), "f"), stride=4, padding=2).shape
    (1, 96, 55, 55)
    """
    x, w, b = float_tensors("conv2d", optional="bias", input=input, weight=weight, bias=bias)
    x, unbatched = with_batch("conv2d", x, 4, "N, C, H, W")
    _check_weight(x, w, b, groups)
    kernel = w.shape[2:]
    steps, dilations = pair("conv2d", "stride", stride, 1), pair("conv2d", "dilation", dilation, 1)
    before, after = _padding(padding, kernel, steps, dilations)
    window = Window(kernel, steps, before, dilations)
    out = output_size("conv2d", x.shape[2:], window, after, ceil_mode)
    y = Conv2d.apply(
        x, w, *(() if b is None else (b,)), window=window, out=out, groups=groups, relu=relu
    )
    return y.reshape(y.shape[1:]) if unbatched else y


def _check_weight(x: Tensor, w: Tensor, b: Tensor | None, groups: int) -> None:
    if w.ndim != 4 or 0 in w.shape:
        raise ValueError(
            f"conv2d: weight has shape {w.shape}, expected (O, C/groups, KH, KW) without a size of 0."
        )
    if not isinstance(groups, (int, np.integer)) or groups < 1 or len(w) % groups:
        raise ValueError(
            f"conv2d: groups={groups!r} does not divide the {len(w)} filters of weight {w.shape}. Use a divisor of both channel counts."
        )
    channels, expected = x.shape[1], w.shape[1] * groups
    if channels != expected:
        fix = f"Give the input {expected} channels"
        if channels % groups == 0:
            fix += f", or the weight shape {(len(w), channels // groups, *w.shape[2:])}"
        raise ValueError(
            f"conv2d: input has {channels} channels, but weight {w.shape} with groups={groups} expects {expected}.\n{fix}."
        )
    if b is not None and b.shape != (len(w),):
        raise ValueError(
            f"conv2d: bias has shape {b.shape}, but weight {w.shape} has {len(w)} filters. Give it the shape ({len(w)},)."
        )


def _padding(padding: Any, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    """Rows and columns of zeros before the image, and after it."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(
                f"conv2d: padding='same' needs stride 1, got stride={stride!r}. Give the padding in numbers."
            )
        total = [d * (size - 1) for d, size in zip(dilation, kernel, strict=True)]
        return (total[0] // 2, total[1] // 2), (total[0] - total[0] // 2, total[1] - total[1] // 2)
    if isinstance(padding, str):
        raise ValueError(
            f"conv2d: padding={padding!r}, expected a number, a pair, 'same' or 'valid'."
        )
    both = pair("conv2d", "padding", padding, 0)
    return both, both
