"""Convolution without im2col's matrix, for GPUs."""

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.kernels.geometry import ConvFunction, ConvShape
from tinyalex.ops.broadcasting import sum_over


class ImplicitConv2d(ConvFunction):
    """Convolution as a matrix multiplication whose columns are gathered, not stored.

        y[n, o, i, j] = b[o] + sum over c, u, v of w[o, c, u, v] * x[n, c, row, col]
        row, col      = i*stride + u*dilation - padding, j*stride + v*dilation - padding
        dw[o, c, u, v]     = sum over n, i, j of dy[n, o, i, j] * x[n, c, row, col]
        dx[n, c, row, col] = sum over o, u, v of w[o, c, u, v] * dy[n, o, i, j]

    Arguments and results as `Conv2d`: x (N, C, H, W), w (O, C/G, KH, KW), b (O,) ->
    y (N, O, OH, OW). On a GPU, each sum is a tiled matrix multiplication, in whose
    tiles a block copies the patches from the image to shared memory
    (kernels/cuda/implicit_gemm.cu). It needs no memory for columns, which are KH*KW
    times as large as x. With a stride, most terms of dx are products with 0, which
    im2col's matrix multiplication does not have. Infinite weights spread to all of dx:
    their product with 0 is NaN.

    Stores x and w and, with `relu`, y.
    """

    name = "implicit GEMM"

    def forward(
        self, x: Array, w: Array, b: Array | None, *, shape: ConvShape, relu: bool = False
    ) -> Array:
        k = kernels.of(x)
        x, w, b = k.ready(x), k.ready(w), None if b is None else k.ready(b)
        y = k.activation((len(x), len(w), *shape.out), x.dtype)
        self.x, self.w, self.y, self.shape = x, w, y if relu else None, shape
        k.conv2d(x, w, b, y, *shape.window[1:], shape.groups, relu)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (_, *steps), groups = self.shape.window, self.shape.groups
        want_dx, want_dw, want_db = self.needs_input_grad
        k, xp = kernels.of(dy), device.xp(dy)
        dy = dz = k.ready(dy)
        if self.y is not None:
            dz = k.like(dy)
            k.relu_backward(dy, self.y, dz)
        dx = dw = None
        if want_dx:
            dx = k.activation(self.x.shape, dy.dtype)
            k.conv2d_input_grad(dz, self.w, dx, *steps, groups)
        if want_dw:
            dw = xp.empty(self.w.shape, self.w.dtype)
            k.conv2d_weight_grad(self.x, dz, dw, *steps, groups)
        return dx, dw, sum_over(dz, (0, 2, 3)) if want_db else None
