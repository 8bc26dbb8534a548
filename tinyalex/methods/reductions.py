"""Methods that reduce, select or sort elements along an axis."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from tinyalex import device as devices
from tinyalex import ops
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.graph_tensor import GraphTensor
from tinyalex.methods.arithmetic import Arithmetic
from tinyalex.methods.results import constant, python_number
from tinyalex.methods.shapes import Shapes
from tinyalex.ops.reduction import axes_of, axis_of


class ValuesAndIndices(NamedTuple):
    """Elements that were selected along an axis, and their positions on it."""

    values: Any
    indices: Any


def _torchs_keywords(method: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a method with arguments `axis`, `keepdims` take `dim` and `keepdim`."""

    @functools.wraps(method)
    def renamed(self: GraphTensor, *args: Any, **options: Any) -> Any:
        for theirs, ours in (("dim", "axis"), ("keepdim", "keepdims")):
            if theirs in options:
                if ours in options:
                    raise TypeError(f"{method.__name__}: give {ours}= or {theirs}=, not both.")
                options[ours] = options.pop(theirs)
        return method(self, *args, **options)

    return renamed


class Reductions(Arithmetic, Shapes):
    """`axis` is an integer, a tuple of integers, or None for all axes."""

    @_torchs_keywords
    def sum(self, axis: Any = None, keepdims: bool = False) -> Self:
        return ops.Sum.apply(self, axis=axis, keepdims=keepdims)

    @_torchs_keywords
    def mean(self, axis: Any = None, keepdims: bool = False) -> Self:
        return ops.Mean.apply(self, axis=axis, keepdims=keepdims)

    @_torchs_keywords
    def var(
        self,
        axis: Any = None,
        unbiased: bool = True,
        keepdims: bool = False,
        *,
        correction: float | None = None,
    ) -> Self:
        """The variance: the sum of squares, divided by their count - correction.

        unbiased  whether the correction is 1, as in torch, or 0, as in numpy.var
        """
        return self._spread(ops.Var, axis, unbiased, keepdims, correction)

    @_torchs_keywords
    def std(
        self,
        axis: Any = None,
        unbiased: bool = True,
        keepdims: bool = False,
        *,
        correction: float | None = None,
    ) -> Self:
        """The square root of `var`."""
        return self._spread(ops.Std, axis, unbiased, keepdims, correction)

    def _spread(
        self, op: type[Function], axis: Any, unbiased: Any, keepdims: bool, correction: Any
    ) -> Any:
        if isinstance(axis, bool):  # torch's x.std(False)
            axis, unbiased = None, axis
        correction = int(unbiased) if correction is None else correction
        return op.apply(self, axis=axis, keepdims=keepdims, correction=correction)

    @_torchs_keywords
    def norm(self, p: Any = 2, axis: Any = None, keepdims: bool = False) -> Self:
        """(sum of |x|**p)**(1/p); the largest |x| if p is infinite."""
        p = python_number(p)
        if p in (2, "fro"):
            return ops.Norm.apply(self, axis=axis, keepdims=keepdims)
        if p == math.inf:
            return ops.Max.apply(ops.Abs.apply(self), axis=axis, keepdims=keepdims)
        if not isinstance(p, (int, float)) or p <= 0:
            raise ValueError(f"norm: p must be a positive number, infinity or 'fro', got {p!r}.")
        return ops.PNorm.apply(self, axis=axis, keepdims=keepdims, p=p)

    @_torchs_keywords
    def any(self, axis: Any = None, keepdims: bool = False) -> Self:
        axes = axes_of("any", axis, self.shape)
        return constant(self, lambda x: x.any(axis=axes, keepdims=keepdims))

    @_torchs_keywords
    def all(self, axis: Any = None, keepdims: bool = False) -> Self:
        axes = axes_of("all", axis, self.shape)
        return constant(self, lambda x: x.all(axis=axes, keepdims=keepdims))

    @_torchs_keywords
    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Self:
        """The position of the maximum: along an axis, or in the order of `flatten`."""
        return self._position(ops.Max, axis, keepdims)

    @_torchs_keywords
    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Self:
        """The position of the minimum. The arguments are those of `argmax`."""
        return self._position(ops.Min, axis, keepdims)

    def max(self, first: Any = None, second: bool = False, /, **options: Any) -> Any:
        """The maximum, of all elements or along an axis.

        x.max(), x.max(axis=(0, 1), keepdims=True)  a tensor, as in NumPy. Equal maxima
                                                    share the gradient evenly
        x.max(dim=1), x.max(1, keepdim=True)        (values, indices), as in torch
        x.max(1)                                    a tensor, which also unpacks:
                                                    values, indices = x.max(1)
        x.max(y)                                    the larger of two elements
        """
        return self._extremum(ops.Max, first, second, **options)

    def min(self, first: Any = None, second: bool = False, /, **options: Any) -> Any:
        """The minimum. The arguments are those of `max`."""
        return self._extremum(ops.Min, first, second, **options)

    def _extremum(
        self,
        op: type[ops.Max],
        first: Any,
        second: bool,
        axis: Any = None,
        keepdims: bool | None = None,
        dim: Any = None,
        keepdim: bool | None = None,
    ) -> Any:
        if isinstance(first, GraphTensor):
            return self.maximum(first) if op is ops.Max else self.minimum(first)
        axes = [a for a in (first, axis, dim) if a is not None]
        numpys, torchs = (axis, keepdims) != (None, None), (dim, keepdim) != (None, None)
        if len(axes) > 1 or (numpys and torchs):
            raise TypeError(f"{op.name}: give one of axis= and dim=, and keepdims= or keepdim=.")
        along = axes[0] if axes else None
        keep = bool(second or keepdims or keepdim)
        is_single = along is not None and not isinstance(along, (tuple, list))

        def pair() -> ValuesAndIndices:
            return self._selected(self._position(op, along, True), along, keep)

        if torchs:
            if not is_single:
                raise TypeError(f"{op.name}: dim must be an integer. For several, use axis=.")
            return pair()
        values = op.apply(self, axis=along, keepdims=keep)
        return self._unpackable(values, pair) if is_single and not numpys else values

    def _unpackable(self, values: Any, pair: Callable[[], ValuesAndIndices]) -> Any:
        """The tensor `values`, which unpacks to those of `pair`."""
        return values

    def amax(self, dim: Any = None, keepdim: bool = False) -> Self:
        """The maximum, a tensor. Equal maxima share the gradient evenly."""
        return ops.Max.apply(self, axis=dim, keepdims=keepdim)

    def amin(self, dim: Any = None, keepdim: bool = False) -> Self:
        """The minimum, a tensor. Equal minima share the gradient evenly."""
        return ops.Min.apply(self, axis=dim, keepdims=keepdim)

    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = True) -> Self:
        """The positions of the elements along an axis, in the order of `sort`."""
        axis = axis_of("argsort", "dim", dim, self.shape)
        return constant(self, lambda x: _order(x, axis, descending))

    def sort(
        self, dim: int = -1, descending: bool = False, stable: bool = True
    ) -> ValuesAndIndices:
        """The elements in order, and their positions. Equal ones keep their order."""
        return self._selected(self.argsort(dim, descending), dim, True)

    def topk(
        self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
    ) -> ValuesAndIndices:
        """The k largest (or smallest) elements in order, and their positions."""
        axis = axis_of("topk", "dim", dim, self.shape)
        if not 0 <= k <= (self.shape or (1,))[axis]:
            raise ValueError(
                f"topk: k={k} is out of range for a tensor of shape {self.shape} along dim={dim}."
            )
        order = self.argsort(dim, descending=largest)
        first = (slice(None),) * axis + (slice(k),)
        return self._selected(order[first] if self.ndim else order, dim, True)

    def cumsum(self, dim: int) -> Self:
        """The sums of all elements up to each one, along an axis."""
        return ops.CumSum.apply(self, axis=axis_of("cumsum", "dim", dim, self.shape))

    def _position(self, op: type[ops.Max], axis: Any, keepdims: bool) -> Any:
        """argmax, or argmin for ops.Min."""
        name, shape = f"arg{op.name}", self.shape
        if axis is not None:
            axis = axis_of(name, "axis", axis, shape)
        if 0 in (shape if axis is None else shape[axis : axis + 1]):
            raise ValueError(
                f"{name}: a tensor of shape {shape} has no elements along axis={axis}."
            )
        if axis is None or not shape:
            kept = (1,) * len(shape) if keepdims else ()
            return constant(self, lambda x: getattr(x.reshape(-1), name)().reshape(kept))
        return constant(self, lambda x: getattr(x, name)(axis=axis, keepdims=keepdims))

    def _selected(self, indices: Any, dim: Any, keep: bool) -> ValuesAndIndices:
        """The elements at positions along an axis, with this axis or without it."""
        values = self.gather(dim, indices)
        return ValuesAndIndices(
            values if keep else values.squeeze(dim), indices if keep else indices.squeeze(dim)
        )


def _order(x: Array, axis: int, descending: bool) -> Array:
    """argsort, in which equal elements keep their order."""
    xp = devices.xp(x)
    if x.ndim == 0:
        return xp.zeros((), xp.int64)
    if not descending:
        return xp.argsort(x, axis=axis, kind="stable")
    reverse = xp.argsort(xp.flip(x, axis), axis=axis, kind="stable")
    return xp.flip(x.shape[axis] - 1 - reverse, axis)
