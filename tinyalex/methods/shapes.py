"""Shapes and indices."""

import math
import operator
import warnings
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from tinyalex import device as devices
from tinyalex import ops
from tinyalex.graph_tensor import GraphTensor
from tinyalex.modes import is_grad_enabled
from tinyalex.ops.indexing import index_for
from tinyalex.ops.reduction import axis_of


class Size(int):
    """The number of elements, as in NumPy: x.size. As in torch, x.size() is the shape,
    and x.size(0) its first entry."""

    shape: tuple[int, ...]

    def __new__(cls, shape: tuple[int, ...]) -> "Size":
        size = super().__new__(cls, math.prod(shape))
        size.shape = shape
        return size

    def __getnewargs__(self) -> tuple[tuple[int, ...]]:  # type: ignore[override]
        return (self.shape,)

    def __call__(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[axis_of("size", "dim", dim, self.shape)]


class Shapes(GraphTensor):
    @property
    def size(self) -> Size:
        return Size(self.shape)

    def dim(self) -> int:
        """The number of axes: `ndim`."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements: `size`."""
        return self.data.size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def reshape(self, *shape: Any) -> Self:
        """The same elements, in C order: `reshape(2, 3)` or `reshape((2, -1))`."""
        return ops.Reshape.apply(self, shape=_integers(shape))

    view = reshape

    def view_as(self, other: Any) -> Self:
        """`reshape` to the shape of another tensor."""
        return self.reshape(other.shape)

    def unsqueeze(self, dim: int) -> Self:
        """With a new axis of size 1, which has the number `dim` in the result."""
        if not -self.ndim - 1 <= operator.index(dim) <= self.ndim:
            raise ValueError(
                f"unsqueeze: dim={dim} is out of range for a tensor of shape {self.shape}. Use "
                f"{-self.ndim - 1} to {self.ndim}."
            )
        axis = dim % (self.ndim + 1)
        return self.reshape(*self.shape[:axis], 1, *self.shape[axis:])

    def squeeze(self, dim: Any = None) -> Self:
        """Without the axes of size 1, or without those in `dim` that have size 1."""
        several = dim if isinstance(dim, (tuple, list)) else (dim,)
        chosen = [
            axis
            for d in (range(self.ndim) if dim is None else several)
            if (axis := axis_of("squeeze", "dim", d, self.shape)) < self.ndim
        ]
        return self.reshape([n for i, n in enumerate(self.shape) if n != 1 or i not in chosen])

    def transpose(self, *axes: Any, dim0: int | None = None, dim1: int | None = None) -> Self:
        """Axis i of the result is axis axes[i] of this tensor; reversed by default.

        `transpose(1, 2)` of three or more axes, `transpose(-2, -1)` and
        `transpose(dim0=0, dim1=1)` exchange two axes, as in torch. `transpose(0, 1)` of
        a matrix keeps their order, as in NumPy: use `x.T` or `x.t()`.
        """
        if dim0 is not None or dim1 is not None:
            if axes or dim0 is None or dim1 is None:
                raise TypeError("transpose: give both dim0 and dim1, and nothing else.")
            return self.swapaxes(dim0, dim1)
        order = _integers(axes) if axes else None
        if order is not None and len(axes) == 2 and (self.ndim > 2 or min(order) < 0):
            return self.swapaxes(*order)
        if axes == (0, 1) and self.ndim == 2:
            warnings.warn(
                "transpose: x.transpose(0, 1) keeps the order of the axes, as in NumPy. To "
                "exchange them, use x.T. If the order is meant, use x.transpose((0, 1)).",
                stacklevel=2,
            )
        return ops.Transpose.apply(self, axes=order)

    def swapaxes(self, dim0: int, dim1: int) -> Self:
        """With two axes exchanged."""
        first = axis_of("swapaxes", "dim0", dim0, self.shape)
        second = axis_of("swapaxes", "dim1", dim1, self.shape)
        order = list(range(self.ndim))
        if order:
            order[first], order[second] = second, first
        return ops.Transpose.apply(self, axes=tuple(order))

    def permute(self, *dims: Any) -> Self:
        """Axis i of the result is axis dims[i] of this tensor."""
        return ops.Transpose.apply(self, axes=_integers(dims))

    def t(self) -> Self:
        """The transpose of a matrix; a vector stays as it is."""
        if self.ndim > 2:
            raise ValueError(
                f"t: expected at most two axes, got shape {self.shape}. Use permute, or "
                "swapaxes(-1, -2)."
            )
        return ops.Transpose.apply(self, axes=None)

    @property
    def T(self) -> Self:  # noqa: N802 - NumPy's name
        return ops.Transpose.apply(self, axes=None)

    def expand(self, *sizes: Any) -> Self:
        """Repeated along new axes, and along those of size 1; -1 keeps a size."""
        shape = _integers(sizes)
        added = len(shape) - self.ndim
        kept = [
            self.shape[i - added] if size == -1 and i >= added else size
            for i, size in enumerate(shape)
        ]
        return ops.Expand.apply(self, shape=tuple(kept))

    def expand_as(self, other: Any) -> Self:
        """`expand` to the shape of another tensor."""
        return self.expand(other.shape)

    def repeat(self, *sizes: Any) -> Self:
        """The tensor sizes[i] times in a row along axis i, as in numpy.tile."""
        times = _integers(sizes)
        added = len(times) - self.ndim
        if added < 0:
            raise ValueError(
                f"repeat: expected a number for each axis of shape {self.shape}, got {times}."
            )
        if min(times, default=0) < 0:
            raise ValueError(f"repeat: numbers must be at least 0, got {times}.")
        shape = (1,) * added + self.shape
        single = self.reshape([n for size in shape for n in (1, size)])
        tiled = single.expand([n for pair in zip(times, shape, strict=True) for n in pair])
        return tiled.reshape([n * size for n, size in zip(times, shape, strict=True)])

    def flip(self, *axes: Any, dims: Any = ()) -> Self:
        """In reverse order along axes: flip(0, 1) or flip(dims=(0, 1))."""
        dims = _integers(axes or (dims,))
        reversed = {axis_of("flip", "dims", d, self.shape) for d in dims}
        index = tuple(slice(None, None, -1 if i in reversed else 1) for i in range(self.ndim))
        return ops.Index.apply(self, index=index)

    def split(self, split_size: Any, dim: int = 0) -> tuple[Self, ...]:
        """Consecutive parts along an axis, of one size or of the sizes in a list."""
        axis = axis_of("split", "dim", dim, self.shape)
        if self.ndim == 0:
            raise ValueError("split: a tensor of shape () has no axis to split.")
        total = self.shape[axis]
        if isinstance(split_size, (list, tuple)):
            sizes = list(split_size)
            if min(sizes, default=0) < 0:
                raise ValueError(f"split: sizes must be at least 0, got {sizes}.")
        elif split_size < 1:
            raise ValueError(f"split: split_size must be at least 1, got {split_size}.")
        else:
            sizes = [min(split_size, total - i) for i in range(0, max(total, 1), split_size)]
        if sum(sizes) != total:
            raise ValueError(f"split: the sizes {sizes} do not add up to {total} along dim={dim}.")
        ends = np.cumsum(sizes).tolist()
        before = (slice(None),) * axis
        return tuple(
            ops.Index.apply(self, index=(*before, slice(end - size, end)))
            for size, end in zip(sizes, ends, strict=True)
        )

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Self, ...]:
        """At most `chunks` consecutive parts of one size along an axis; the last may be
        smaller."""
        if chunks < 1:
            raise ValueError(f"chunk: chunks must be at least 1, got {chunks}.")
        total = self.shape[axis_of("chunk", "dim", dim, self.shape)]
        return self.split(max(1, -(-total // chunks)), dim)

    def unbind(self, dim: int = 0) -> tuple[Self, ...]:
        """The slices along an axis, without it."""
        if self.shape[axis_of("unbind", "dim", dim, self.shape)] == 0:
            return ()
        return tuple(part.squeeze(dim) for part in self.split(1, dim))

    def contiguous(self) -> Self:
        """The tensor itself: how elements are stored is not visible."""
        return self

    def gather(self, dim: int, index: Any) -> Self:
        """y[i, j] = x[index[i, j], j] for dim=0, x[i, index[i, j]] for dim=1.

        index  integers, of as many axes as x; along the others, at most as large
        """
        if self.ndim == 0:
            return self.reshape(1).gather(dim, index)
        positions = index.data if isinstance(index, GraphTensor) else devices.asarray(index)
        axis = axis_of("gather", "dim", dim, self.shape)
        if positions.ndim == 0 and self.ndim == 1:
            return self[positions]
        limits = [*self.shape]
        if positions.ndim == self.ndim:
            limits[axis] = positions.shape[axis]
        if positions.ndim != self.ndim or any(map(operator.gt, positions.shape, limits)):
            raise ValueError(
                f"gather: an index of shape {positions.shape} does not match a tensor of shape "
                f"{self.shape} along dim={dim}. Give it as many axes, and no larger sizes."
            )
        xp = devices.xp(positions)
        grids: list[Any] = list(xp.ix_(*(xp.arange(n) for n in positions.shape)))
        grids[axis] = positions
        return ops.Index.apply(self, index=tuple(grids))

    def index_select(self, dim: int, index: Any) -> Self:
        """The slices at these positions along an axis."""
        axis = axis_of("index_select", "dim", dim, self.shape)
        return (
            self[(slice(None),) * axis + (index,)] if self.ndim else self.reshape(1)[index].view(())
        )

    def __getitem__(self, index: Any) -> Any:
        return ops.Index.apply(self, index=_without_tensors(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        """Change elements of a tensor without a gradient, or of a leaf in no_grad."""
        if self.requires_grad and (self.creator is not None or is_grad_enabled()):
            raise RuntimeError(
                "x[index] = value: x needs a gradient, which assignments do not pass on. Use "
                "ta.where(mask, value, x), or assign within ta.no_grad()."
            )
        if isinstance(value, GraphTensor) and value.requires_grad and is_grad_enabled():
            raise RuntimeError(
                "x[index] = value: value needs a gradient, which assignments do not pass on. Use "
                "ta.where, ta.stack or ta.cat, or assign value.detach()."
            )
        array = value.data if isinstance(value, GraphTensor) else value
        if devices.is_array(array):
            array = devices.to(array, devices.of(self.data))
        with devices.on_device_of(self.data):
            self.data[index_for(self.data, _without_tensors(index))] = array
        self.version += 1


def _integers(arguments: tuple) -> tuple[int, ...]:
    """The integers of f(2, 3) or f((2, 3))."""
    if len(arguments) == 1 and isinstance(arguments[0], (tuple, list)):
        (arguments,) = arguments
    return tuple(map(operator.index, arguments))


def _without_tensors(index: Any) -> Any:
    if isinstance(index, GraphTensor):
        return index.data
    return tuple(map(_without_tensors, index)) if isinstance(index, tuple) else index
