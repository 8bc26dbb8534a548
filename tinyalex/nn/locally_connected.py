"""The locally connected layer as a Module."""

import math
from typing import Any

import numpy as np

from tinyalex import functional as F
from tinyalex.functional.arguments import at_least_one, pair
from tinyalex.functional.locally_connected import local_window
from tinyalex.kernels.geometry import Shape
from tinyalex.nn import init
from tinyalex.nn.module import Module
from tinyalex.nn.parameter import Parameter
from tinyalex.tensor import Tensor


class LocallyConnected2d(Module):
    """`functional.locally_connected2d`, for images of `input_size`: H or (H, W).

    weight (OH, OW, out_channels, in_channels, KH, KW), bias (OH, OW, out_channels).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        bias: bool = True,
        *,
        input_size: Any,
    ) -> None:
        op = "LocallyConnected2d"
        at_least_one(op, "in_channels", in_channels)
        at_least_one(op, "out_channels", out_channels)
        self.stride, self.padding = stride, padding
        self.input_size = pair(op, "input_size", input_size, 1)
        kernel = pair(op, "kernel_size", kernel_size, 1)
        _, out = local_window(op, self.input_size, kernel, stride, padding)
        shape = *out, out_channels, in_channels, *kernel
        self.weight = Parameter(np.empty(shape, np.float32))
        self.bias = Parameter(np.empty(shape[:3], np.float32)) if bias else None
        init.torch_default_(self.weight, self.bias)

    def forward(self, x: Any) -> Tensor:
        return F.locally_connected2d(x, self.weight, self.bias, self.stride, self.padding)

    def multiply_adds(self, output_shape: Shape) -> int:
        return math.prod(output_shape) * math.prod(self.weight.shape[3:])

    def extra_repr(self) -> str:
        _, _, out, channels, kh, kw = self.weight.shape
        return (
            f"{channels}, {out}, {kh}x{kw}, stride={self.stride}, padding={self.padding}, "
            f"input_size={self.input_size}"
        )
