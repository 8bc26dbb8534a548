"""gradcheck: tests whether a backward pass is the gradient of its forward pass.

Each element is compared with the numerical gradient (numerical.py explains it, and
kinks). Where they differ, the whole gradients are compared to identify the kind of
mistake (hints.py).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tinyalex import device
from tinyalex.function import Function
from tinyalex.gradient_check import contract
from tinyalex.gradient_check.case import Case
from tinyalex.gradient_check.hints import Hint, diagnose
from tinyalex.gradient_check.numerical import KINK, WRONG, NumericalGradient, cotangent_seed
from tinyalex.gradient_check.operations import find_wrong_operations, is_single
from tinyalex.gradient_check.report import GradcheckError, Report, Row
from tinyalex.gradient_check.signature import function_name, input_names, owner
from tinyalex.tensor import Tensor

DIRECTIONS = 4
"""Random directions in which `fast` checks each input."""

PERTURBATIONS = 3
"""Perturbations of all inputs, to move elements off a kink."""


@runtime_checkable
class HasParameters(Protocol):
    """A Module. The package `nn` is imported after this one."""

    def named_parameters(self) -> Iterable[tuple[str, Tensor]]: ...

    def named_buffers(self) -> Iterable[tuple[str, Tensor]]: ...


def gradcheck(
    f: Callable[..., Tensor],
    inputs: Sequence[Any] | Any,
    *,
    h: float = 1e-5,
    rtol: float = 1e-5,
    seed: int = 0,
    fast: bool = False,
    raise_exception: bool = True,
) -> Report:
    """Compare backward() with finite differences, for each element of each floating
    input, and of each parameter of a Module.

    f       a callable of tensors that returns one tensor (`MyLayer.apply`, a function,
            a lambda), or a Module
    inputs  its arguments (or the only one): arrays or tensors; integers and other
            objects are passed on unchanged
    h       the step of the central difference; everything is computed in float64
    rtol    the largest relative difference of the two gradients, in addition to
            rounding errors
    seed    of the random cotangent: with a plain sum of all outputs, some mistakes
            cancel
    fast    check random directions, which takes fewer forward passes, and elements
            only of inputs that fail

    Returns a Report. Raises GradcheckError, whose text is the report, if it is not ok,
    unless `raise_exception` is false. Dropout masks are constant; parameters, buffers,
    gradients and inputs are restored. The report also states if forward or backward
    changes an array in place, if two forward passes differ, and if non-contiguous or
    float32 inputs cause errors. If a gradient of a network is wrong, each of its
    operations is checked in isolation, and those whose own backward pass is wrong are
    named.

    >>> import tinyalex as ta
    >>> gradcheck(lambda x, y: x * y, [np.ones(3), np.arange(3.0)]).ok
    True
    """
    f = f.apply if isinstance(f, type) and issubclass(f, Function) else f  # type: ignore[assignment]
    arguments = [_double(x) for x in (inputs if isinstance(inputs, (tuple, list)) else [inputs])]
    report = Report(function_name(f), f"float64, h={h:g}, rtol={rtol:g}, seed={seed}")
    with _in_double(f) as (parameters, constants):
        named = dict(zip(input_names(f, len(arguments)), arguments, strict=True))
        named |= {f"parameter {name}": p for name, p in parameters.items()}
        leaves = {name: t for name, t in named.items() if isinstance(t, Tensor) and t.requires_grad}
        if not leaves:
            raise ValueError(
                "gradcheck: none of the inputs is floating, and f has no parameters. There is no "
                "gradient to check: give a floating input."
            )
        numerical = NumericalGradient(f, arguments, leaves, h, rtol, seed)
        report.problems = contract.in_place_changes(numerical)
        if problem := contract.nondeterminism(numerical):
            report.problems = report.problems or [problem]  # an in-place change causes it, too
        else:
            report.rows = _rows(numerical, fast)
            is_layer = owner(f) is not None or isinstance(f, HasParameters)
            found = (
                contract.order_dependence(numerical),
                contract.dtype_change(numerical, constants, is_layer),
            )
            report.problems += filter(None, found)
            if any(row.wrong for row in report.rows):
                report.operations = find_wrong_operations(numerical, lambda n: _rows(n, fast=True))
    worst = report.worst
    if worst is not None and worst.wrong:
        report.advice = (
            f"Next: for {worst.name}, backward should return {worst.numeric:.6g} at "
            f"{list(worst.index)}, where grad_output is "
            f"np.random.default_rng({cotangent_seed(seed)}).standard_normal({numerical.y.shape})."
        )
    if raise_exception and not report.ok:
        raise GradcheckError(str(report))
    return report


def _rows(numerical: NumericalGradient, fast: bool) -> list[Row]:
    gradients = numerical.analytic()
    rows, numeric, wrong = [], {}, {}
    for name, t in numerical.leaves.items():
        row = _check_directions(numerical, name, gradients[name]) if fast else None
        if row is None or not row.ok:
            row, numeric[name], verdicts = _check_elements(numerical, name, gradients[name])
            wrong[name] = verdicts == WRONG
            if row.kinks:
                _check_perturbed(numerical, row, t, verdicts == KINK)
        rows.append(row)
    for row in rows:
        if row.wrong and wrong[row.name].any():
            row.hint = _hint(numerical, row.name, gradients[row.name], numeric, wrong[row.name])
    return rows


def _check_directions(numerical: NumericalGradient, name: str, gradient: np.ndarray) -> Row:
    """The result for one leaf, from derivatives in random directions."""
    t, random = numerical.leaves[name], np.random.default_rng(0)
    row = Row(name, t.shape, DIRECTIONS, fast=True)
    for _ in range(DIRECTIONS if t.size else 0):
        direction = random.standard_normal(t.shape)
        found = numerical.derivative(t, direction, numerical.h)
        analytic = float((gradient * direction).sum())
        error = found.error(analytic)
        row.wrong += error > numerical.rtol
        row.record(error > numerical.rtol, error, (), analytic, found.central)
    return row


def _check_elements(
    numerical: NumericalGradient, name: str, gradient: np.ndarray
) -> tuple[Row, np.ndarray, np.ndarray]:
    """(row, numerical gradient, verdicts) of each element of one leaf."""
    t = numerical.leaves[name]
    row, numeric, verdicts = Row(name, t.shape, t.size), np.zeros(t.shape), np.zeros(t.shape, int)
    for index in np.ndindex(t.shape):
        analytic = float(gradient[index])
        verdicts[index], found, error = numerical.judge(t, index, analytic)
        numeric[index] = found.central
        row.record(bool(verdicts[index] == WRONG), error, index, analytic, found.central)
    row.wrong, row.kinks = int((verdicts == WRONG).sum()), int((verdicts == KINK).sum())
    return row, numeric, verdicts


def _check_perturbed(
    numerical: NumericalGradient, row: Row, t: Tensor, on_kink: np.ndarray
) -> None:
    """Check the elements on kinks again, with perturbed inputs."""
    undecided = [tuple(map(int, index)) for index in np.argwhere(on_kink)]
    random = np.random.default_rng(0)
    if not row.wrong:
        row.rank = False, -1.0  # the largest error is that of a kink
    for _ in range(PERTURBATIONS):
        with numerical.perturbed(random):
            gradient = numerical.analytic()[row.name]
            indices, undecided = undecided, []
            for index in indices:
                analytic = float(gradient[index])
                verdict, found, error = numerical.judge(t, index, analytic)
                if verdict == KINK:
                    undecided.append(index)
                    continue
                row.moved += 1
                row.wrong += verdict == WRONG
                row.record(verdict == WRONG, error, index, analytic, found.central)
    row.kinks = len(undecided)
    if undecided:
        row.hint = Hint(
            "kink",
            f"{len(undecided)} elements are on a kink, the first at {list(undecided[0])}: the "
            "left and right derivatives differ, also after "
            f"{PERTURBATIONS} small random perturbations of all inputs. Is forward a step function "
            "or a rounding? If not, give inputs at which it is differentiable.",
        )


def _hint(
    numerical: NumericalGradient,
    name: str,
    gradient: np.ndarray,
    numeric: dict[str, np.ndarray],
    wrong: np.ndarray,
) -> Hint:
    """The kind of mistake. Inputs of the same shape may be exchanged."""
    for other, t in numerical.leaves.items():
        if other not in numeric and t.shape == gradient.shape:
            numeric[other] = _check_elements(numerical, other, np.zeros(t.shape))[1]
    y, leaves = numerical.y, numerical.leaves
    single = is_single(numerical)  # of a network, forward passes take long
    shapes = {other: t.shape for other, t in leaves.items()} | {"the output": y.shape}
    others = {other: array for other, array in numeric.items() if other != name}
    values = {other: device.to_numpy(t.data) for other, t in leaves.items()}

    def matches(other: str, array: np.ndarray) -> bool:
        return single and _is_gradient_with(numerical, name, gradient, other, array)

    return diagnose(
        Case(
            gradient, numeric[name], wrong, others, shapes, numerical.cotangent,
            x=values.pop(name), y=y, inputs=values, matches=matches,
        )
    )  # fmt: skip


def _is_gradient_with(
    numerical: NumericalGradient, name: str, gradient: np.ndarray, other: str, array: np.ndarray
) -> bool:
    """Whether a gradient would be right with `array` in place of another input.

    forward may reject it, such as a factor that is not triangular.
    """
    t, random = numerical.leaves[other], np.random.default_rng(0)
    before, y = t.data, numerical.y
    try:
        t.data = device.to(np.ascontiguousarray(array), t.device)
        numerical.y = numerical.forward()
        for _ in range(DIRECTIONS):
            direction = random.standard_normal(gradient.shape)
            found = numerical.derivative(numerical.leaves[name], direction, numerical.h)
            if found.error(float((gradient * direction).sum())) > numerical.rtol:
                return False
        return True
    except Exception:
        return False
    finally:
        t.data, numerical.y = before, y


def _double(x: Any) -> Any:
    """A float64 leaf with the values of `x`, if it is floating; else `x` itself."""
    x = Tensor(x) if isinstance(x, (list, float)) else x
    array, where = (x.data, x.device) if isinstance(x, Tensor) else (x, None)
    if not device.is_array(array) or array.dtype.kind != "f":
        return x
    with device.on_device_of(array):
        return Tensor(array.astype(np.float64), requires_grad=True, device=where)


@contextmanager
def _in_double(f: Any) -> Iterator[tuple[dict[str, Tensor], list[Tensor]]]:
    """A context in which the floating parameters and buffers of a Module are float64:
    the parameters by name, and the floating tensors without a gradient."""
    is_module = isinstance(f, HasParameters)
    parameters = dict(f.named_parameters()) if is_module else {}
    tensors = [*parameters.values(), *(b for _, b in f.named_buffers())] if is_module else []
    before = [(t.data, t.grad, t.version) for t in tensors]
    try:
        for t in tensors:
            with device.on_device_of(t.data):
                t.data = t.data.astype(np.float64 if t.dtype.kind == "f" else t.dtype)
        yield parameters, [t for t in tensors if t.dtype.kind == "f" and not t.requires_grad]
    finally:
        for t, (data, grad, version) in zip(tensors, before, strict=True):
            t.data, t.grad = data, grad
            t.version = version  # graphs that existed before remain valid
