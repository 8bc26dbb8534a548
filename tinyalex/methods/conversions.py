"""Devices, dtypes, and conversions to Python and NumPy."""

import builtins
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from tinyalex import device as devices
from tinyalex import ops
from tinyalex.graph_tensor import GraphTensor
from tinyalex.methods.results import constant


def _is_dtype(name: str) -> bool:
    try:
        np.dtype(name)
    except TypeError:
        return False
    return True


def _in_dtype(dtype: Any) -> Callable[[Any], Any]:
    def method(self: "Conversions") -> Any:
        return self.to(dtype=dtype)

    return method


class Conversions(GraphTensor):
    device: devices.Device

    @property
    def is_cuda(self) -> builtins.bool:
        return devices.of(self.data) != "cpu"

    def to(
        self,
        *target: Any,
        device: str | None = None,
        dtype: Any = None,
        non_blocking: Any = False,
        copy: Any = False,
    ) -> Self:
        """The tensor on a device, in a dtype, or with those of another tensor.

        It is the tensor itself if nothing changes, unless `copy` is True. Gradients are
        moved and converted back. `non_blocking` has no effect.
        """
        for given in target:
            if isinstance(given, Conversions):
                device, dtype = given.device, given.dtype
            elif given is None or (isinstance(given, str) and not _is_dtype(given)):
                device = devices.check(given)  # type: ignore[arg-type]  # raises ValueError
            else:
                dtype = given
        if device is None and dtype is None:
            raise TypeError("to: expected a device, a dtype or a tensor, as in x.to('cuda').")
        result = self
        if device is not None and (name := devices.check(device)) != self.device:
            result = ops.Move.apply(result, device=name)
        if dtype is not None and np.dtype(dtype) != self.dtype:
            result = result.astype(dtype)
        return result.clone() if copy and result is self else result

    def cpu(self) -> Self:
        return self.to("cpu")

    def cuda(self, device: Any = None, non_blocking: Any = False) -> Self:
        """The tensor on a GPU: `device` is its number or name, by default the first."""
        return self.to(f"cuda:{device}" if isinstance(device, builtins.int) else device or "cuda")

    def astype(self, dtype: Any) -> Self:
        """The tensor in another dtype. Gradients pass between floating dtypes only."""
        dtype = np.dtype(dtype).newbyteorder("=")
        if dtype.kind == "f":
            return ops.Cast.apply(self, dtype=dtype)
        return constant(self, lambda x: x.astype(dtype))

    type = to
    half, float, double = map(_in_dtype, (np.float16, np.float32, np.float64))
    int, long, bool = map(_in_dtype, (np.int32, np.int64, np.bool_))

    def clone(self) -> Self:
        """A copy, through which gradients pass."""
        return ops.Cast.apply(self, dtype=self.dtype)

    def tolist(self) -> Any:
        """The elements as Python numbers, in nested lists."""
        return self.data.tolist()

    def numpy(self) -> np.ndarray:
        """The data as a C-contiguous NumPy array, which may share memory with it."""
        return devices.to_numpy(self.data)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.numpy(), dtype, copy=copy)

    def item(self) -> Any:
        """The only element, as a Python number. Raises ValueError if there are more."""
        if self.data.size != 1:
            raise ValueError(
                f"item(): expected one element, got a tensor of shape {self.shape}. "
                "Reduce it first, or use .numpy()."
            )
        return self.data.item()

    def __bool__(self) -> builtins.bool:
        return builtins.bool(self.data)

    def __float__(self) -> builtins.float:
        return builtins.float(self.item())

    def __int__(self) -> builtins.int:
        return builtins.int(self.item())

    def __index__(self) -> builtins.int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"expected integers as indices, got a tensor of {self.dtype}.")
        return builtins.int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item() if spec and self.data.size == 1 else str(self), spec)
