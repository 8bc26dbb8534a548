"""torch's functions of tensors. Most of them are methods too: ta.exp(x) is x.exp()."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tinyalex import ops
from tinyalex.creation import tensor
from tinyalex.functional.joining import cat
from tinyalex.methods.reductions import ValuesAndIndices
from tinyalex.tensor import Tensor, wrap

METHODS = (
    *("abs", "add", "all", "allclose", "amax", "amin", "any", "argmax", "argmin", "argsort"),
    *("bmm", "ceil", "chunk", "clamp", "clip", "clone", "cos", "cumsum", "div", "dot", "eq"),
    *("equal", "exp", "flip", "floor", "gather", "ge", "gt", "index_select", "isclose", "isfinite"),
    *("isinf", "isnan", "le", "log", "log1p", "logical_and", "logical_not", "logical_or", "lt"),
    *("masked_fill", "matmul", "maximum", "mean", "minimum", "mm", "mul", "mv", "ne", "neg"),
    *("norm", "numel", "permute", "pow", "remainder", "reshape", "round", "rsqrt", "sign", "sin"),
    *("sort", "split", "sqrt", "square", "squeeze", "std", "sub", "sum", "swapaxes", "t", "tanh"),
    *("topk", "unbind", "unsqueeze", "var"),
)


def of_methods() -> dict[str, Callable[..., Any]]:
    """The functions for METHODS, by name. The first argument may be an array."""

    def function(name: str) -> Callable[..., Any]:
        @functools.wraps(getattr(Tensor, name))
        def call(input: Any, *args: Any, **options: Any) -> Any:
            return getattr(wrap(input), name)(*args, **options)

        call.__name__ = name
        return call

    return {name: function(name) for name in METHODS}


def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The maximum; along an axis (values, indices); of two tensors, their `maximum`."""
    return _extremum(wrap(input).max, dim, keepdim)


def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The minimum; along an axis (values, indices); of two tensors, their `minimum`."""
    return _extremum(wrap(input).min, dim, keepdim)


def _extremum(method: Callable[..., Any], dim: Any, keepdim: bool) -> Tensor | ValuesAndIndices:
    if dim is None or isinstance(dim, Tensor):
        return method(dim)
    return method(dim=dim, keepdim=keepdim)


def transpose(input: Any, dim0: int, dim1: int) -> Tensor:
    """With two axes exchanged. (The method `transpose` lists all axes, as in NumPy.)"""
    return wrap(input).swapaxes(dim0, dim1)


def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Tensors of one shape, along a new axis.

    >>> stack([[1.0, 2.0], [3.0, 4.0]], 1).numpy().tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    parts = [wrap(t) for t in tensors]
    for i, part in enumerate(parts):
        if part.shape != parts[0].shape:
            raise ValueError(
                f"stack: tensor {i} has shape {part.shape}, but tensor 0 has {parts[0].shape}. "
                "All shapes must be equal; `cat` joins tensors along an axis that they have."
            )
    return cat([part.unsqueeze(dim) for part in parts], dim)


def where(condition: Any, input: Any, other: Any) -> Tensor:
    """`input` where the condition is True, else `other`: tensors, arrays or numbers.

    >>> where([True, False], [1.0, 2.0], 0.0).numpy().tolist()
    [1.0, 0.0]
    """
    mask = wrap(condition)
    x, y = _as_operand(input, other, mask), _as_operand(other, input, mask)
    if isinstance(input, float) or isinstance(other, float):
        x, y = (t if t.dtype.kind == "f" else t.float() for t in (x, y))
    return ops.Where.apply(mask.bool(), x, y)


def _as_operand(x: Any, other: Any, mask: Tensor) -> Tensor:
    """`x` as a tensor. A Python number has the dtype of `other` if that can hold it,
    else, or if `other` is a number too, the dtype of `ta.tensor`."""
    if not isinstance(x, (int, float)):
        return wrap(x)
    dtype = None if isinstance(other, (int, float)) else wrap(other).dtype
    fits = dtype is not None and (isinstance(x, int) or dtype.kind == "f")
    return tensor(x, dtype if fits else None, mask.device)


def is_tensor(obj: object) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)
