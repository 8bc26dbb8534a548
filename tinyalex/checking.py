"""gradcheck: is a backward pass the derivative of its forward pass? Asked of the forward pass, by nudging each number."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import no_grad
from tinyalex.tensor import Tensor

NOISE = 16 * np.finfo(np.float64).eps
"""How far, relative to its size, an output of a forward pass in float64 may be from the true one: a few roundings."""


class GradcheckError(AssertionError):
    """A gradient is wrong. The text is the table of `gradcheck`."""


@dataclass
class Row:
    """What was found about the gradient of one input or parameter, at its worst element."""

    name: str
    shape: tuple[int, ...]
    elements: int
    wrong: int
    index: tuple[int, ...]
    analytic: float
    numeric: float
    error: float

    @property
    def ok(self) -> bool:
        return self.wrong == 0

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "one number"
        right = f"{self.elements - self.wrong} of {self.elements}"
        where = "[" + ", ".join(map(str, self.index)) + "]"
        verdict = "ok" if self.ok else "WRONG"
        return COLUMNS.format(
            self.name, shape, right, where, f"{self.analytic:.5g}", f"{self.numeric:.5g}", f"{self.error:.1e}", verdict
        )


COLUMNS = "{:<20} {:<12} {:<14} {:<14} {:>12} {:>12} {:>9}  {}"
HEADER = COLUMNS.format("", "shape", "right", "worst at", "backward", "difference", "error", "").rstrip()


@dataclass
class Report:
    """`ok`, the `rows`, and `worst`, the row with the largest error; str() is the table."""

    name: str
    rows: list[Row]

    @property
    def ok(self) -> bool:
        return all(row.ok for row in self.rows)

    @property
    def worst(self) -> Row:
        return max(self.rows, key=lambda row: (row.wrong > 0, row.error))

    def __str__(self) -> str:
        verdict = "every gradient is right" if self.ok else f"the gradient of {self.worst.name} is WRONG"
        return f"gradcheck {self.name}: {verdict}\n{HEADER}\n" + "\n".join(map(str, self.rows))


def gradcheck(
    f: Callable[..., Tensor],
    inputs: Sequence[Any] | Any,
    *,
    h: float = 1e-5,
    rtol: float = 1e-5,
    seed: int = 0,
    raise_exception: bool = True,
) -> Report:
    """Compare backward() with finite differences, for every element of every floating input, and of every parameter of a Module.

    f       a callable of tensors that returns one tensor, or a Module
    inputs  its arguments (or the only one): arrays or tensors; integers are passed on as they are
    h       the nudge, up and down; all is computed in float64
    rtol    how far the two slopes may be apart, relative to the larger one
    seed    of the cotangent: the output's elements are weighted by random numbers, since a sum of all of them hides mistakes that
            cancel

    Returns a Report. Raises GradcheckError, whose text is the report, where a gradient is wrong and `raise_exception` is true.

    >>> import tinyalex as ta
    >>> gradcheck(lambda x, y: x * y, [np.ones(3), np.arange(3.0)]).ok
    True
    """
    inputs = inputs if isinstance(inputs, (tuple, list)) else [inputs]
    arguments = [_double(x) for x in inputs]
    names = [f"input {i}" for i in range(len(arguments))]
    with _double_parameters(f) as parameters:
        leaves = dict(zip(names, arguments, strict=True)) | {f"parameter {name}": p for name, p in parameters.items()}
        leaves = {name: t for name, t in leaves.items() if isinstance(t, Tensor) and t.requires_grad}
        for t in leaves.values():
            t.grad = None
        with device.same_draws():
            y = f(*arguments)
        cotangent = np.random.default_rng(seed).standard_normal(y.shape)
        y.backward(device.asarray(cotangent))

        def output() -> np.ndarray:
            with no_grad(), device.same_draws():
                return f(*arguments).numpy().copy()  # it may be a view of what is nudged

        rows = [_check(name, t, output, cotangent, h, rtol) for name, t in leaves.items()]
    report = Report(getattr(f, "__name__", type(f).__name__), rows)
    if raise_exception and not report.ok:
        raise GradcheckError(str(report))
    return report


def _check(name: str, leaf: Tensor, output: Callable[[], np.ndarray], cotangent: np.ndarray, h: float, rtol: float) -> Row:
    analytic = np.zeros(leaf.shape) if leaf.grad is None else device.to_numpy(leaf.grad)
    numeric, floor = np.zeros(leaf.shape), np.zeros(leaf.shape)
    for index in np.ndindex(leaf.shape):
        numeric[index], floor[index] = _slope(leaf.data, index, output, cotangent, h)
    off = np.maximum(0, np.abs(analytic - numeric) - floor)
    size = np.maximum(np.abs(analytic), np.abs(numeric))
    error = np.divide(off, size, out=np.zeros(leaf.shape), where=off > 0)
    error[~np.isfinite(analytic)] = np.inf
    worst = tuple(int(i) for i in np.unravel_index(error.argmax(), leaf.shape)) if leaf.size else ()
    at = (float(analytic[worst]), float(numeric[worst]), float(error[worst])) if leaf.size else (0.0, 0.0, 0.0)
    return Row(name, leaf.shape, leaf.size, int((error > rtol).sum()), worst, *at)


def _slope(
    x: Array, index: tuple[int, ...], output: Callable[[], np.ndarray], cotangent: np.ndarray, h: float
) -> tuple[float, float]:
    """The slope of sum(cotangent * output) along one element of x, and what rounding alone may have done to it."""
    here = x[index].copy()
    try:
        x[index] = here + h
        up, above = x[index].copy(), output()
        x[index] = here - h
        down, below = x[index].copy(), output()
    finally:
        x[index] = here
    width = float(up - down)
    moved = above != below
    noise = NOISE * np.sum(np.abs(cotangent) * (np.abs(above) + np.abs(below)), where=moved)
    return float(np.sum(cotangent * (above - below))) / width, float(noise) / width


def _double(x: Any) -> Any:
    """A floating array or tensor as a float64 leaf of its own; anything else as it is."""
    array = x.data if isinstance(x, Tensor) else x
    if not device.is_array(array):
        array = Tensor(array).data if isinstance(array, (list, float)) else array
    if not device.is_array(array) or array.dtype.kind != "f":
        return x
    return Tensor(array.astype(np.float64), requires_grad=True)


@contextmanager
def _double_parameters(f: Any) -> Iterator[dict[str, Any]]:
    """A Module's parameters by name, in float64 for the time being."""
    parameters = dict(f.named_parameters()) if hasattr(f, "named_parameters") else {}
    before = {name: (p.data, p.grad) for name, p in parameters.items()}
    try:
        for p in parameters.values():
            p.data = p.data.astype(np.float64)
        yield parameters
    finally:
        for name, p in parameters.items():
            p.data, p.grad = before[name]
