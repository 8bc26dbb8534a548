"""2-D convolution (strictly, cross-correlation) as a matrix multiplication."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.functional.arguments import (
    check_bias,
    check_groups,
    float_tensors,
    output_size,
    pair,
    with_batch,
)
from tinyalex.functional.implicit_convolution import ImplicitConv2d
from tinyalex.functional.normalization import local_response_norm, lrn_options
from tinyalex.kernels.fast_paths import switch
from tinyalex.kernels.geometry import ConvFunction, ConvShape, Norm, Pair, Shape, Window
from tinyalex.modes import is_grad_enabled
from tinyalex.tensor import Tensor


def conv2d_naive(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """In loops: each output is the dot product of a patch and a filter, plus b."""
    (n_images, c, h, w_), (o, c_group, kh, kw) = x.shape, w.shape
    padded = np.zeros((n_images, c, h + 2 * padding[0], w_ + 2 * padding[1]), x.dtype)
    padded[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w_] = x
    oh = (padded.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (padded.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n_images, o, oh, ow), x.dtype)
    for n in range(n_images):
        for f in range(o):
            first = f // (o // groups) * c_group  # the first channel of the filter's group
            for i in range(oh):
                for j in range(ow):
                    for c_ in range(c_group):
                        for u in range(kh):
                            for v in range(kw):
                                row = i * stride[0] + u * dilation[0]
                                col = j * stride[1] + v * dilation[1]
                                y[n, f, i, j] += w[f, c_, u, v] * padded[n, first + c_, row, col]
            y[n, f] += 0 if b is None else b[f]
    return y


class Conv2d(ConvFunction):
    """Convolution as one matrix multiplication per group, by im2col.

        y[n, o, i, j] = b[o] + sum over c, u, v of w[o, c, u, v] * x[n, c, row, col]
        row, col      = i*stride + u*dilation - padding, j*stride + v*dilation - padding

    x (N, C, H, W), w (O, C/G, KH, KW), b (O,) -> y (N, O, OH, OW). A tile of T images
    becomes `col` (C*KH*KW, T*OH*OW): one column per output position, the patch under
    the filter. Then, for each group,

        forward    y    = w @ col
        backward   dw  += dy @ col.T      the sum over all uses of a weight
                   dcol = w.T @ dy        col2im adds each patch to its pixels of dx

    Stores x and w; with fast paths, if one tile is the whole batch and `keep_columns`
    allows it, also the columns, which are KH*KW times as large as x. Otherwise they are
    computed again for dw. With `relu`, the result is relu(y). It is stored too, and dy
    is masked where it is <= 0.

    With `relu` and `norm`, the result is z, the response normalization of relu(y), with
    the formulas of `LocalResponseNorm`. z is computed while the result of the matrix
    multiplication is copied to y, and its gradient while dy is copied to columns: no
    separate pass over y is needed. Stores z and s too.
    """

    name = "im2col"

    def forward(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        *,
        shape: ConvShape,
        relu: bool = False,
        norm: Norm | None = None,
    ) -> Array:
        k = kernels.of(x)
        x, w, b = k.ready(x), k.ready(w), None if b is None else k.ready(b)
        y = k.activation((len(x), len(w), *shape.out), x.dtype)
        self.x, self.w, self.y, self.shape = x, w, y if relu else None, shape
        self.kept_columns: Array | None = None
        self.norm = norm
        if norm is not None:
            self.z, self.s = k.like(y), k.like(y)

        def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
            col, product = self.columns(scratch, hi - lo), self.product(scratch, hi - lo)
            k.im2col(x[lo:hi], col, *shape.window)
            is_whole = hi - lo == len(x)
            if self.needs_input_grad[1] and is_whole and switch.enabled and k.keep_columns(col):
                self.kept_columns = col
            k.matmul_in_tile(*self.by_group(as_rows(w), k.matrix(col), k.matrix(product)))
            self.from_columns(product, b, y, slice(lo, hi))

        device.for_tiles(x, self.bytes_each(), tile)
        return y if norm is None else self.z

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        x, w, window = self.x, self.w, self.shape.window
        want_dx, want_dw, want_db = self.needs_input_grad  # a first layer needs no dx
        k, xp = kernels.of(dy), device.xp(dy)
        dy = k.ready(dy)
        dx = k.activation(x.shape, dy.dtype) if want_dx else None

        def tile(lo: int, hi: int, scratch: device.Scratch) -> tuple[Array | None, Array | None]:
            dproduct = self.product(scratch, hi - lo)
            db = xp.empty(len(w), device.sum_dtype(w.dtype)) if want_db else None
            self.to_columns(dy, dproduct, db, slice(lo, hi))
            dw = None
            if want_dw:
                col = self.kept_columns
                if col is None:
                    col = self.columns(scratch, hi - lo)
                    k.im2col(x[lo:hi], col, *window)
                dw = xp.empty(w.shape, device.sum_dtype(w.dtype))
                dwg, cg, pg = self.by_group(as_rows(dw), k.matrix(col), k.matrix(dproduct))
                k.matmul_transposed(pg, cg, out=dwg)
            if dx is not None:
                dcol = self.columns(scratch, hi - lo)
                wg, cg, pg = self.by_group(as_rows(w), k.matrix(dcol), k.matrix(dproduct))
                k.matmul_in_tile(wg.swapaxes(1, 2), pg, out=cg)
                k.col2im(dcol, dx[lo:hi], *window)
            return dw, db

        dw, db = device.for_tiles(x, self.bytes_each(), tile)
        return dx, *rounded(dy.dtype, dw, db)

    def from_columns(self, product: Array, b: Array | None, y: Array, part: slice) -> None:
        """Images `part` of y, z and s from the product."""
        k = kernels.of(y)
        if self.norm is None:
            k.from_columns(product, b, y[part], self.y is not None)
        else:
            k.from_columns_lrn(product, b, y[part], self.z[part], self.s[part], *self.norm)

    def to_columns(self, dy: Array, dproduct: Array, db: Array | None, part: slice) -> None:
        """The gradients of the product and the bias from that of images `part`."""
        k, y = kernels.of(dy), None if self.y is None else self.y[part]
        if self.norm is None:
            k.to_columns(dy[part], dproduct, y, db)
        else:
            k.to_columns_lrn(dy[part], y, self.z[part], self.s[part], dproduct, db, *self.norm)

    def columns(self, scratch: device.Scratch, images: int) -> Array:
        """A tile's columns or their gradient: (C, KH, KW, T, OH, OW)."""
        x, (_, _, window, out, _) = self.x, self.shape
        rows = x.shape[1], *window.kernel
        return kernels.of(x).columns(scratch, "columns", rows, images, out, x.dtype)

    def product(self, scratch: device.Scratch, images: int) -> Array:
        """A tile's result of the matrix multiplication, or the gradient of that:
        (O, T, OH, OW)."""
        x, (_, w, _, out, _) = self.x, self.shape
        return kernels.of(x).positions(scratch, "product", w[0], images, out, x.dtype)

    def bytes_each(self) -> int:
        """Bytes of an image's columns and product."""
        (_, channels, _, _), (filters, *_), window, out, _ = self.shape
        per_position = channels * math.prod(window.kernel) + filters
        dtype = kernels.of(self.x).column_dtype(self.x.dtype)
        return per_position * math.prod(out) * dtype.itemsize

    def by_group(self, *matrices: Array) -> Iterator[Array]:
        """Each matrix (rows, columns) as a stack (G, rows / G, columns)."""
        groups = self.shape.groups
        return (m.reshape(groups, len(m) // groups, m.shape[1]) for m in matrices)


ConvFunction.im2col, ConvFunction.implicit = Conv2d, ImplicitConv2d


def rounded(dtype: np.dtype, *sums: Array | None) -> Iterator[Array | None]:
    """Sums over the tiles in `dtype`. Those of float16 have been added in float32."""
    return (None if total is None else total.astype(dtype, copy=False) for total in sums)


def as_rows(w: Array) -> Array:
    """The filters as rows: (O, C/G*KH*KW)."""
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
    norm: Mapping[str, Any] | None = None,
) -> Tensor:
    """2-D convolution (section 3.5 of the paper).

    input (N, C, H, W) or (C, H, W), weight (O, C/groups, KH, KW), bias (O,)
    -> (N, O, OH, OW), all of one floating dtype.

    stride, padding, dilation  integers, or pairs for rows and columns. padding is also
                               "valid" (none) or "same" (stride 1 only: OH, OW = H, W;
                               an odd total has the extra zero at the end)
    groups                     filters of group g read only the channels of group g: the
                               paper's two columns
    ceil_mode                  the size rule of the 2012 code: the last window may
                               extend past the edge, and reads zeros there
    relu                       the result is relu(conv2d(...)), computed in one pass
    norm                       with relu, the options of local_response_norm: the result
                               is local_response_norm(relu(conv2d(...)), **norm)

    >>> import numpy as np
    >>> x, w = np.ones((1, 3, 224, 224), "f"), np.ones((96, 3, 11, 11), "f")
    >>> conv2d(x, w, stride=4, padding=2).shape
    (1, 96, 55, 55)
    """
    x, w, b = float_tensors("conv2d", optional=("bias",), input=input, weight=weight, bias=bias)
    x, unbatched = with_batch("conv2d", x)
    _check_weight(x, w, b, groups)
    shape = conv_shape(x.shape, w.shape, stride, padding, dilation, groups, ceil_mode)
    wants_dx = x.requires_grad and is_grad_enabled()
    function = conv_algorithm(shape, x.dtype, x.device, wants_dx)
    if norm is None:
        y = function.apply(x, w, b, shape=shape, relu=relu)
    elif not relu:
        raise ValueError("conv2d: norm needs relu=True. Apply local_response_norm to the result.")
    elif function is Conv2d:
        options = lrn_options((len(x), len(w), *shape.out), **norm)
        y = Conv2d.apply(x, w, b, shape=shape, relu=True, norm=options)
    else:
        y = function.apply(x, w, b, shape=shape, relu=True)
        y = local_response_norm(y, **norm)
    return y.reshape(y.shape[1:]) if unbatched else y


def conv_algorithm(
    shape: ConvShape, dtype: np.dtype, device: str, wants_dx: bool
) -> type[ConvFunction]:
    """The Function to use: `Conv2d`, or a faster one on this device."""
    if not switch.enabled:
        return Conv2d
    return kernels.on(device).convolution_algorithm(shape, dtype, device, wants_dx) or Conv2d


def conv_shape(
    x: Shape,
    w: Shape,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    ceil_mode: bool = False,
) -> ConvShape:
    """The shapes of conv2d with an input of shape x and a weight of shape w."""
    steps = pair("conv2d", "stride", stride, 1)
    dilations = pair("conv2d", "dilation", dilation, 1)
    kernel = w[2], w[3]
    before, after = _padding(padding, kernel, steps, dilations)
    window = Window(kernel, steps, before, dilations)
    return ConvShape(x, w, window, output_size("conv2d", x[2:], window, after, ceil_mode), groups)


def _check_weight(x: Tensor, w: Tensor, b: Tensor | None, groups: int) -> None:
    if w.ndim != 4 or 0 in w.shape:
        raise ValueError(
            f"conv2d: weight has shape {w.shape}, expected (O, C/groups, KH, KW), not empty."
        )
    check_groups("conv2d", groups, len(w), f"filters of weight {w.shape}")
    channels, expected = x.shape[1], w.shape[1] * groups
    if channels != expected:
        fix = f"Give the input {expected} channels"
        if channels % groups == 0:
            fix += f", or the weight shape {(len(w), channels // groups, *w.shape[2:])}"
        raise ValueError(
            f"conv2d: input has {channels} channels, but weight {w.shape} with groups={groups} "
            f"expects {expected}.\n{fix}."
        )
    check_bias("conv2d", w, b)


def _padding(padding: Any, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    """(rows, columns) of zeros before the image, and after it."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(
                f"conv2d: padding='same' needs stride 1, got stride={stride!r}. "
                "Give the padding as integers."
            )
        total = [d * (size - 1) for d, size in zip(dilation, kernel, strict=True)]
        before = total[0] // 2, total[1] // 2
        return before, (total[0] - before[0], total[1] - before[1])
    if isinstance(padding, str):
        raise ValueError(
            f"conv2d: padding={padding!r}, expected an integer, a pair, 'same' or 'valid'."
        )
    both = pair("conv2d", "padding", padding, 0)
    return both, both
