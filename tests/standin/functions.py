"""CuPy's functions, ufuncs, methods and operators, computed by NumPy."""

from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

import numpy as np

from standin.api import API, VERSION, Strict, binder
from standin.arrays import SCALARS, as_index, check_dtype, fresh, ndarray, unwrap, view
from standin.state import count, wait

ABOUT_ARRAYS = {
    "broadcast_shapes", "can_cast", "common_type", "iscomplexobj", "isfortran", "isrealobj", "isscalar", "issubdtype", "may_share_memory",
    "min_scalar_type", "ndim", "promote_types", "result_type", "shares_memory", "size", "typename",
}  # fmt: skip
"""Functions of shapes and dtypes: they launch nothing, and return host values."""

FROM_NUMBERS = {
    "arange", "bartlett", "blackman", "diag_indices", "eye", "full", "hamming", "hanning", "identity", "indices", "kaiser", "linspace",
    "logspace", "mask_indices", "ones", "tri", "tril_indices", "triu_indices", "zeros",
}  # fmt: skip
"""Functions that create arrays. All others need a CuPy array as an argument."""

ORDERED = {
    "asfortranarray", "astype", "copy", "flatten", "full", "full_like", "ones", "ones_like", "ravel", "require", "reshape", "zeros",
    "zeros_like",
}  # fmt: skip
"""Functions with an `order` argument. The results of all others are in C order."""

WAITS = {
    "argwhere", "array2string", "array_repr", "array_str", "in1d", "intersect1d", "isin", "save", "savetxt", "savez", "savez_compressed",
    "setdiff1d", "setxor1d", "trim_zeros", "union1d", "unique_all", "unique_counts", "unique_inverse", "unique_values",
}  # fmt: skip
"""Functions that wait for the device without a word of it in CuPy's documentation."""

AT_DTYPES = {
    "add": "iefdILQ",
    "subtract": "iI",
    "maximum": "ifdILQ",
    "minimum": "ifdILQ",
    "bitwise_and": "ilqILQ",
    "bitwise_or": "ilqILQ",
    "bitwise_xor": "ilqILQ",
}
"""What `ufunc.at` has atomic operations for, by NumPy's letters."""


class Function:
    """A function of CuPy, computed by `run` on NumPy arrays; None if NumPy lacks it."""

    def __init__(self, owner: str, name: str, run: Callable[..., Any] | None) -> None:
        known = API[owner][name]
        self.__name__ = name
        self.path = f"{owner}.{name}"
        self.run = run
        self.bind = binder(name, known.get("signature"))
        self.waits = known.get("waits", False) or name in WAITS

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.bind(*args, **kwargs)
        if self.run is None:
            raise NotImplementedError(f"{self.path}: CuPy {VERSION} has it, the stand-in does not.")
        arrays = list(device_arrays((args, kwargs)))
        if not arrays and self.__name__ not in FROM_NUMBERS | ABOUT_ARRAYS:
            unwrap((args, tuple(kwargs.values())))  # which has the better words for a NumPy array
            raise TypeError(
                f"{self.path}: expected a cupy.ndarray, got {', '.join(type(x).__name__ for x in args)}."
            )
        if self.waits and not (self.__name__ == "where" and len(args) + len(kwargs) > 1):
            wait(f"{self.path}()")
        return compute(self.__name__, self.run, arrays, args, kwargs)

    def __repr__(self) -> str:
        return f"<function {self.path} of the stand-in>"


class Method(Function):
    """A function that is an attribute of an array."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)


class ufunc(Strict):  # noqa: N801, CuPy's name
    """A function that works element by element."""

    _known_as = "cupy.ufunc"

    def __init__(self, name: str, run: Callable[..., Any] | None) -> None:
        known = API["cupy"][name]
        self.__name__ = self.name = f"cupy_{name}"
        self.nin, self.nout, self.nargs = known["nin"], known["nout"], known["nin"] + known["nout"]
        self._short = name
        self._run = run
        self._has_at = known["at"]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        path = f"cupy.{self._short}"
        if wrong := sorted(kwargs.keys() - {"out", "dtype", "casting"}):
            raise TypeError(
                f"Wrong arguments for {path}: {', '.join(wrong)}. CuPy's ufuncs take out, dtype and casting."
            )
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(
                f"{path}: expected {self.nin} arguments, or {self.nargs} with outputs, got {len(args)}."
            )
        for x in args[: self.nin]:
            if not isinstance(x, (ndarray, *SCALARS)):
                raise TypeError(
                    f"Unsupported type {type(x)}: {path} expects arrays of CuPy's and numbers."
                )
        if self._run is None:
            raise NotImplementedError(f"{path}: CuPy {VERSION} has it, the stand-in does not.")
        if len(args) > self.nin:
            args, kwargs["out"] = args[: self.nin], args[self.nin :]
        return compute(self._short, self._run, list(device_arrays((args, kwargs))), args, kwargs)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        """a[indices] = self(a[indices], b), once for each occurrence of an index."""
        path = f"cupy.{self._short}.at"
        if not self._has_at:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        if not isinstance(a, ndarray):
            raise TypeError(f"{path}: expected a cupy.ndarray, got {type(a).__name__}.")
        if not isinstance(b, (ndarray, *SCALARS)):
            raise TypeError(
                f"Unsupported type {type(b)}: {path} expects an array of CuPy's or a number."
            )
        index, picks = as_index(indices)
        if picks and a.dtype.char not in AT_DTYPES[self._short]:
            supported = dict.fromkeys(np.dtype(letter).name for letter in AT_DTYPES[self._short])
            raise TypeError(
                f"{path} only supports {', '.join(supported)} as data type, got {a.dtype}."
            )
        count("launch")
        with np.errstate(all="ignore"):
            self._run.at(unwrap(a), index, np.asarray(unwrap(b)).astype(a.dtype))

    def reduce(
        self,
        array: ndarray,
        axis: Any = 0,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
    ) -> ndarray:
        method = {"add": "sum", "multiply": "prod"}.get(self._short)
        if method is None:
            raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")
        return getattr(array, method)(axis, dtype, out, keepdims)

    def accumulate(
        self, array: ndarray, axis: Any = 0, dtype: Any = None, out: Any = None
    ) -> ndarray:
        method = {"add": "cumsum", "multiply": "cumprod"}.get(self._short)
        if method is None:
            raise NotImplementedError(f"`{self.name}.accumulate` is not supported yet")
        return getattr(array, method)(axis, dtype, out)

    def __repr__(self) -> str:
        return f"<ufunc '{self.name}'>"


def device_arrays(x: Any) -> Iterator[ndarray]:
    """The device arrays in some arguments, also in lists of them."""
    if isinstance(x, ndarray):
        yield x
    elif type(x) in (list, tuple):
        for part in x:
            yield from device_arrays(part)
    elif type(x) is dict:
        yield from device_arrays(list(x.values()))


def compute(
    name: str,
    run: Callable[..., Any],
    arrays: list[ndarray],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Compute with NumPy, and wrap the result for the device."""
    options = {key: unwrap(value) for key, value in kwargs.items()}
    if options.get("dtype") is not None:
        check_dtype(options["dtype"])
    with np.errstate(all="ignore"):
        result = run(*unwrap(args), **options)
    if name in ABOUT_ARRAYS:
        return result
    if result is None or options.get("out") is not None:
        count("launch")
    return wrap(name, result, arrays)


def wrap(name: str, result: Any, arrays: list[ndarray]) -> Any:
    """One of `arrays`, a view of one, or new memory, which counts as a launch."""
    if isinstance(result, (list, tuple)):
        parts = [wrap(name, part, arrays) for part in result]
        return parts if isinstance(result, list) else tuple(parts)
    if not isinstance(result, (np.ndarray, *SCALARS)):
        return result
    if isinstance(result, np.ndarray):
        for x in arrays:
            if result is x._array:
                return x
            if np.may_share_memory(result, x._array):
                return view(result, x)
        if name not in ORDERED:
            result = np.asarray(result, order="C")
    count("launch")
    return fresh(result)


# The tables, and what an array has of them

UFUNCS = {
    name: ufunc(name, getattr(np, name, None))
    for name, known in API["cupy"].items()
    if known["kind"] == "ufunc"
}

FUNCTIONS = {
    owner: {
        name: Function(owner, name, getattr(numpy, name, None))
        for name, known in API[owner].items()
        if known["kind"] == "function"
    }
    for owner, numpy in (("cupy", np), ("cupy.linalg", np.linalg))
}

OPERATORS = {
    "add": UFUNCS["add"],
    "sub": UFUNCS["subtract"],
    "mul": UFUNCS["multiply"],
    "matmul": FUNCTIONS["cupy"]["matmul"],
    "truediv": UFUNCS["true_divide"],
    "floordiv": UFUNCS["floor_divide"],
    "mod": UFUNCS["remainder"],
    "divmod": UFUNCS["divmod"],
    "pow": UFUNCS["power"],
    "and": UFUNCS["bitwise_and"],
    "or": UFUNCS["bitwise_or"],
    "xor": UFUNCS["bitwise_xor"],
    "lshift": UFUNCS["left_shift"],
    "rshift": UFUNCS["right_shift"],
}

COMPARISONS = {
    "lt": UFUNCS["less"],
    "le": UFUNCS["less_equal"],
    "gt": UFUNCS["greater"],
    "ge": UFUNCS["greater_equal"],
    "eq": UFUNCS["equal"],
    "ne": UFUNCS["not_equal"],
}

SIGNS = {
    "neg": UFUNCS["negative"],
    "pos": UFUNCS["positive"],
    "abs": UFUNCS["absolute"],
    "invert": UFUNCS["invert"],
}


def operator(
    function: Callable[..., Any], *, swapped: bool = False, in_place: bool = False
) -> Callable[..., Any]:
    def operate(self: ndarray, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            raise TypeError(f"Unsupported type {np.ndarray}: expected a cupy.ndarray or a number.")
        if not isinstance(other, (ndarray, *SCALARS)):
            return NotImplemented
        operands = (other, self) if swapped else (self, other)
        return function(*operands, out=self) if in_place else function(*operands)

    return operate


def sign(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: function(self)


def from_numpy_ufunc(self: ndarray, called: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """What np.float32(2) * x and numpy.sqrt(x) come to."""
    if any(isinstance(x, np.ndarray) for x in inputs):
        raise TypeError(
            f"Unsupported type {np.ndarray}: numpy.{called.__name__} with arrays of both NumPy and CuPy."
        )
    if method == "__call__" and not kwargs and any(isinstance(x, np.generic) for x in inputs):
        return (
            OPERATORS["matmul"](*inputs)
            if called is np.matmul
            else UFUNCS[called.__name__](*inputs)
        )
    raise TypeError(
        f"numpy.{called.__name__} was given a CuPy array. CuPy takes it; the stand-in wants cupy.{called.__name__}."
    )


def complete(cls: type[ndarray]) -> None:
    """Add the operators and methods of CuPy's arrays from the tables above."""
    known = API["cupy.ndarray"]
    for name, function in OPERATORS.items():
        setattr(cls, f"__{name}__", operator(function))
        setattr(cls, f"__r{name}__", operator(function, swapped=True))
        if f"__i{name}__" in known:
            setattr(cls, f"__i{name}__", operator(function, in_place=True))
    for name, function in COMPARISONS.items():
        setattr(cls, f"__{name}__", operator(function))
    for name, function in SIGNS.items():
        setattr(cls, f"__{name}__", sign(function))
    cls.__array_ufunc__ = from_numpy_ufunc
    for name, entry in known.items():
        if entry["kind"] == "function" and not name.startswith("_") and name not in vars(cls):
            setattr(
                cls,
                name,
                Method(
                    "cupy.ndarray", name, getattr(np.ndarray, name, None) or getattr(np, name, None)
                ),
            )


complete(ndarray)
