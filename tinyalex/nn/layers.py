"""The layers: Modules with the parameters and options of a function in `functional`."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyalex import functional as F
from tinyalex.functional.arguments import at_least_one, pair
from tinyalex.functional.convolution import conv_algorithm, conv_shape
from tinyalex.kernels.geometry import Shape
from tinyalex.nn import init
from tinyalex.nn.module import Module
from tinyalex.nn.parameter import Parameter
from tinyalex.tensor import Tensor


class Conv2d(Module):
    """`functional.conv2d`, weight (out_channels, in_channels/groups, KH, KW), bias
    (out_channels,)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        ceil_mode: bool = False,
    ) -> None:
        counts = {"in_channels": in_channels, "out_channels": out_channels, "groups": groups}
        for name, count in counts.items():
            at_least_one("Conv2d", name, count)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: groups={groups} does not divide {in_channels} input and {out_channels} "
                "output channels. Use a divisor of both."
            )
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.groups, self.ceil_mode = groups, ceil_mode
        kernel = pair("Conv2d", "kernel_size", kernel_size, 1)
        shape = out_channels, in_channels // groups, *kernel
        self.weight = Parameter(np.empty(shape, np.float32))
        self.bias = Parameter(np.empty(out_channels, np.float32)) if bias else None
        init.torch_default_(self.weight, self.bias)

    def forward(
        self, x: Any, *, relu: bool = False, norm: Mapping[str, Any] | None = None
    ) -> Tensor:
        window = self.stride, self.padding, self.dilation, self.groups
        options: dict[str, Any] = {"ceil_mode": self.ceil_mode, "relu": relu, "norm": norm}
        return F.conv2d(x, self.weight, self.bias, *window, **options)

    @property
    def in_channels(self) -> int:
        return self.weight.shape[1] * self.groups

    @property
    def out_channels(self) -> int:
        return self.weight.shape[0]

    @property
    def kernel_size(self) -> tuple[int, ...]:
        return self.weight.shape[2:]

    def algorithm(self, input_shape: Shape, dtype: np.dtype, device: str, wants_dx: bool) -> str:
        window = self.stride, self.padding, self.dilation, self.groups
        shape = conv_shape(input_shape, self.weight.shape, *window, self.ceil_mode)
        return conv_algorithm(shape, dtype, device, wants_dx).describe(shape)

    def multiply_adds(self, output_shape: Shape) -> int:
        return math.prod(output_shape) * math.prod(self.weight.shape[1:])

    def extra_repr(self) -> str:
        out, per_group, kh, kw = self.weight.shape
        return (
            f"{per_group * self.groups}, {out}, {kh}x{kw}, stride={self.stride}, "
            f"padding={self.padding}, groups={self.groups}"
        )


class Linear(Module):
    """`functional.linear`, weight (out_features, in_features), bias (out_features,)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        at_least_one("Linear", "in_features", in_features)
        at_least_one("Linear", "out_features", out_features)
        self.weight = Parameter(np.empty((out_features, in_features), np.float32))
        self.bias = Parameter(np.empty(out_features, np.float32)) if bias else None
        init.torch_default_(self.weight, self.bias)

    def forward(self, x: Any, *, relu: bool = False, dropout: float = 0.0) -> Tensor:
        return F.linear(x, self.weight, self.bias, relu=relu, dropout=dropout)

    @property
    def in_features(self) -> int:
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        return self.weight.shape[0]

    def multiply_adds(self, output_shape: Shape) -> int:
        return math.prod(output_shape) * self.weight.shape[1]

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"


class MaxPool2d(Module):
    """`functional.max_pool2d`. The paper uses 3 x 3 with stride 2 (section 3.4)."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        if return_indices:
            raise ValueError("MaxPool2d: return_indices=True is not supported. Leave it out.")
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x: Any, *, relu: bool = False) -> Tensor:
        window = self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        return F.max_pool2d(x, *window, relu=relu)

    def extra_repr(self) -> str:
        return _pooling_repr(self)


def _pooling_repr(layer: "MaxPool2d | AvgPool2d") -> str:
    return (
        f"{layer.kernel_size}, stride={layer.stride}, padding={layer.padding}, "
        f"ceil_mode={layer.ceil_mode}"
    )


class AvgPool2d(Module):
    """`functional.avg_pool2d`."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: Any) -> Tensor:
        window = self.kernel_size, self.stride, self.padding, self.ceil_mode
        return F.avg_pool2d(x, *window, self.count_include_pad, self.divisor_override)

    def extra_repr(self) -> str:
        return _pooling_repr(self)


class AdaptiveAvgPool2d(Module):
    """`functional.adaptive_avg_pool2d`."""

    def __init__(self, output_size: Any) -> None:
        self.output_size = output_size

    def forward(self, x: Any) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"{self.output_size}"


class ZeroPad2d(Module):
    """`functional.pad` with zeros: a width, or (left, right, top, bottom)."""

    def __init__(self, padding: Any) -> None:
        widths = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * 4
        if len(widths) != 4 or not all(isinstance(n, (int, np.integer)) for n in widths):
            raise TypeError(
                "ZeroPad2d: padding must be an integer or four, (left, right, top, bottom), got "
                f"{padding!r}."
            )
        self.padding = tuple(map(int, widths))

    def forward(self, x: Any) -> Tensor:
        return F.pad(x, self.padding)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class Dropout(Module):
    """`functional.dropout`, in training only. The paper uses p=0.5 (section 4.2)."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        self.p, self.inplace = p, inplace

    def forward(self, x: Any) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout2d(Dropout):
    """`functional.dropout2d`, in training only: whole channels."""

    def forward(self, x: Any) -> Tensor:
        return F.dropout2d(x, self.p, self.training)


class Flatten(Module):
    """`functional.flatten`, by default of all axes except the batch."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Tensor:
        return F.flatten(x, self.start_dim, self.end_dim)
