"""gradcheck: is a backward pass the derivative of its forward pass?

Every number is nudged (tinyalex/probing.py has how, and what a kink is), and where the slopes differ the whole gradients are compared
to say what kind of mistake it looks like (tinyalex/hints.py).
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.function import Function
from tinyalex.gradient_check.hints import Case, Hint, diagnose
from tinyalex.gradient_check.numerical import KINK, WRONG, Probe, cotangent_seed
from tinyalex.tensor import Tensor

DIRECTIONS = 4
"""Random directions in which `fast` checks each input as a whole."""

MOVES = 3
"""How often all inputs are moved a little, where some lie on a kink, before gradcheck gives up."""


class GradcheckError(AssertionError):
    """A gradient is wrong, or could not be judged. The text is the report."""


@dataclass
class Row:
    """What was found about one input or parameter, and the element where the two slopes are furthest apart.

    checked  how many elements, or directions where `fast` was enough
    wrong    how many of these have a wrong gradient
    kinks    how many lay on a kink wherever they were moved, so that nothing is known
    moved    how many could be judged only after all inputs were moved a little
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    wrong: int = 0
    kinks: int = 0
    moved: int = 0
    fast: bool = False
    index: tuple[int, ...] = ()
    analytic: float = 0.0
    numeric: float = 0.0
    rank: tuple[bool, float] = (False, -1.0)
    hint: Hint | None = None

    @property
    def ok(self) -> bool:
        return not (self.wrong or self.kinks)

    @property
    def error(self) -> float:
        """The relative error of the worst element."""
        return max(0.0, self.rank[1])

    @property
    def ratio(self) -> float:
        """backward's slope, divided by the one measured."""
        return (
            self.analytic / self.numeric
            if self.numeric
            else 1.0
            if self.analytic == self.numeric
            else np.inf
        )

    def note(
        self, bad: bool, error: float, index: tuple[int, ...], analytic: float, numeric: float
    ) -> None:
        """Keep what is worst: a bad element before a good one, then the larger error."""
        if (bad, error) > self.rank:
            self.rank, self.index, self.analytic, self.numeric = (
                (bad, error),
                index,
                analytic,
                numeric,
            )

    def __str__(self) -> str:
        shape = " x ".join(map(str, self.shape)) or "one number"
        right = f"{self.checked - self.wrong - self.kinks} of {self.checked}{' directions' if self.fast else ''}"
        where = "" if self.fast or not self.checked else str(list(self.index))
        verdict = "WRONG" if self.wrong else "KINK" if self.kinks else "ok"
        return COLUMNS.format(
            self.name,
            shape,
            right,
            where,
            f"{self.analytic:.6g}",
            f"{self.numeric:.6g}",
            f"{self.ratio:.5g}",
            verdict,
        )


COLUMNS = "  {:<20} {:<14} {:<16} {:<14} {:>12} {:>12} {:>10}  {}"
HEADER = COLUMNS.format(
    "", "shape", "right", "worst at", "backward", "measured", "ratio", ""
).rstrip()


@dataclass
class Report:
    """`ok`; the `rows`; `worst`, the row that is furthest off; `problems` that no number shows; `advice`, what to do next.

    str() is all of it, to be read.
    """

    name: str
    settings: str
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    advice: str = ""

    @property
    def ok(self) -> bool:
        return not self.problems and all(row.ok for row in self.rows)

    @property
    def worst(self) -> Row | None:
        return max(self.rows, key=lambda row: row.rank, default=None)

    def __str__(self) -> str:
        table = [HEADER, *map(str, self.rows)] if self.rows else []
        hints = [f"{row.name}: {row.hint.text}" for row in self.rows if row.hint]
        moved = sum(row.moved for row in self.rows)
        notes = (
            [f"{moved} elements lay on a kink, and were checked with all inputs moved a little."]
            if moved
            else []
        )
        return "\n".join(
            filter(
                None,
                [
                    f"gradcheck {self.name}: {self._verdict()}",
                    *table,
                    *self.problems,
                    *hints,
                    *notes,
                    self.advice,
                ],
            )
        )

    def _verdict(self) -> str:
        if wrong := [row.name for row in self.rows if row.wrong]:
            verdict = f"the gradient of {' and of '.join(wrong)} is WRONG"
        elif self.problems:
            verdict = "NOT GOOD, though no gradient is wrong" if self.rows else "CANNOT BE CHECKED"
        else:
            verdict = (
                "every gradient is right"
                if self.ok
                else "UNDECIDED, since some elements lie on kinks"
            )
        return f"{verdict}   ({self.settings})"


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
    """Compare backward() with finite differences, for every element of every floating input, and of every parameter of a Module.

    f       a callable of tensors that returns one tensor (`MyLayer.apply`, a function, a lambda), or a Module
    inputs  its arguments (or the only one): arrays or tensors; integers and other things are passed on as they are
    h       the nudge, up and down; all is computed in float64
    rtol    how far the two slopes may be apart, relative to the larger one; what rounding can do to them comes on top
    seed    of the random numbers that weight the outputs: a plain sum of all outputs hides mistakes that cancel
    fast    check a few random directions, in a few forward passes, and single elements only of an input that fails

    Returns a Report. Raises GradcheckError, whose text is the report, unless all is right or `raise_exception` is false. Dropout masks
    are held still; parameters, gradients and inputs are left as they were. The report also says if forward or backward changes an array
    it was given, if two forward passes differ, and if inputs that are not contiguous, or float32, are handled wrongly.

    >>> import tinyalex as ta
    >>> gradcheck(lambda x, y: x * y, [np.ones(3), np.arange(3.0)]).ok
    True
    """
    f = f.apply if isinstance(f, type) and issubclass(f, Function) else f  # type: ignore[assignment]
    arguments = [_double(x) for x in (inputs if isinstance(inputs, (tuple, list)) else [inputs])]
    report = Report(_name(f), f"float64, h={h:g}, rtol={rtol:g}, seed={seed}")
    with _double_parameters(f) as parameters:
        named = dict(zip(_input_names(f, len(arguments)), arguments, strict=True))
        named |= {f"parameter {name}": p for name, p in parameters.items()}
        leaves = {name: t for name, t in named.items() if isinstance(t, Tensor) and t.requires_grad}
        if not leaves:
            raise ValueError(
                "gradcheck: none of the inputs is floating, and f has no parameters: there is no gradient to check."
            )
        probe = Probe(f, arguments, leaves, h, rtol, seed)
        report.problems = probe.altered()
        if probe.repeats():
            report.rows = _rows(probe, fast)
            layer = isinstance(getattr(f, "__self__", None), type) or hasattr(f, "named_parameters")
            report.problems += filter(None, [probe.minds_gaps(), probe.loses_float32(strict=layer)])
        elif not report.problems:  # who writes into its inputs repeats nothing either
            report.problems.append(
                "Two forward passes with the same inputs differ, so that differences mean nothing. Random numbers must come from "
                "tinyalex (functional.dropout, device.generator), which gradcheck holds still, and forward must keep no state."
            )
    worst = report.worst
    if worst is not None and worst.wrong:
        report.advice = (
            f"Next: for {worst.name}, backward should give {worst.numeric:.6g} at {list(worst.index)}, where grad_output is "
            f"np.random.default_rng({cotangent_seed(seed)}).standard_normal({probe.y.shape})."
        )
    if raise_exception and not report.ok:
        raise GradcheckError(str(report))
    return report


def _rows(probe: Probe, fast: bool) -> list[Row]:
    gradients = probe.gradients()
    rows, measured, verdicts = [], {}, {}
    for name, t in probe.leaves.items():
        row = _directions(probe, name, t, gradients[name]) if fast else None
        if row is None or not row.ok:
            row, measured[name], verdicts[name] = _elements(probe, name, t, gradients[name])
            if row.kinks:
                _move_off_kinks(probe, row, t, verdicts[name] == KINK)
        rows.append(row)
    for row in rows:
        if row.wrong and (verdicts[row.name] == WRONG).any():
            row.hint = _hint(
                probe, row.name, gradients[row.name], measured, verdicts[row.name] == WRONG
            )
    return rows


def _directions(probe: Probe, name: str, t: Tensor, gradient: np.ndarray) -> Row:
    """A few random directions, each moving all elements at once."""
    row, random = Row(name, t.shape, DIRECTIONS, fast=True), np.random.default_rng(0)
    for _ in range(DIRECTIONS if t.size else 0):
        direction = random.standard_normal(t.shape)
        slope, analytic = probe.slope(t, direction, probe.h), float((gradient * direction).sum())
        error = slope.error(analytic)
        row.wrong += error > probe.rtol
        row.note(error > probe.rtol, error, (), analytic, slope.middle)
    return row


def _elements(
    probe: Probe, name: str, t: Tensor, gradient: np.ndarray
) -> tuple[Row, np.ndarray, np.ndarray]:
    """(row, measured slopes, verdicts) of each element."""
    row, measured, verdicts = Row(name, t.shape, t.size), np.zeros(t.shape), np.zeros(t.shape, int)
    for index in np.ndindex(t.shape):
        verdicts[index], slope, error = probe.judge(t, index, float(gradient[index]))
        measured[index] = slope.middle
        row.note(bool(verdicts[index]), error, index, float(gradient[index]), slope.middle)
    row.wrong, row.kinks = int((verdicts == WRONG).sum()), int((verdicts == KINK).sum())
    return row, measured, verdicts


def _move_off_kinks(probe: Probe, row: Row, t: Tensor, on_kink: np.ndarray) -> None:
    """Judge the elements that lay on kinks again, near to where they were."""
    left = [tuple(map(int, index)) for index in np.argwhere(on_kink)]
    random = np.random.default_rng(0)
    row.rank = (bool(row.wrong), -1.0)
    for _ in range(MOVES):
        with probe.moved(random):
            gradient = probe.gradients()[row.name]
            undecided = []
            for index in left:
                verdict, slope, error = probe.judge(t, index, float(gradient[index]))
                if verdict == KINK:
                    undecided.append(index)
                    continue
                row.moved += 1
                row.wrong += verdict == WRONG
                row.note(verdict == WRONG, error, index, float(gradient[index]), slope.middle)
        left = undecided
    row.kinks = len(left)
    if left:
        row.hint = Hint(
            "kink",
            f"{len(left)} elements lie on a kink, the first at {list(left[0])}: the slope to the left is another than to the right, also "
            f"after all inputs were moved a little, {MOVES} times. Is forward a step or a rounding? If not, give inputs that lie away "
            "from where its slope jumps.",
        )


def _hint(
    probe: Probe,
    name: str,
    gradient: np.ndarray,
    measured: dict[str, np.ndarray],
    wrong: np.ndarray,
) -> Hint:
    """What the mistake looks like, other inputs of the same shape being measured too: gradients may be exchanged."""
    for other, t in probe.leaves.items():
        if other not in measured and t.shape == gradient.shape:
            measured[other] = _elements(probe, other, t, np.zeros(t.shape))[1]
    shapes = {other: t.shape for other, t in probe.leaves.items()} | {"the output": probe.y.shape}
    others = {other: slopes for other, slopes in measured.items() if other != name}
    return diagnose(Case(gradient, measured[name], wrong, others, shapes, probe.cotangent))


def _name(f: Any) -> str:
    owner = getattr(f, "__self__", None)
    return owner.__name__ if isinstance(owner, type) else getattr(f, "__name__", type(f).__name__)


def _input_names(f: Any, count: int) -> list[str]:
    """What forward (or the function itself) calls its inputs: "input x"; or "input 0" where it has no names for them."""
    owner = getattr(f, "__self__", f)
    try:
        parameters = list(inspect.signature(getattr(owner, "forward", f)).parameters.values())
    except (TypeError, ValueError):  # some built-in callables have none
        parameters = []
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
    return [f"input {names[i] if len(names) >= count else i}" for i in range(count)]


def _double(x: Any) -> Any:
    """A floating array, tensor, list or number as a float64 leaf of its own; anything else as it is."""
    x = Tensor(x) if isinstance(x, (list, float)) else x
    array = x.data if isinstance(x, Tensor) else x
    if not device.is_array(array) or array.dtype.kind != "f":
        return x
    return Tensor(
        array.astype(np.float64),
        requires_grad=True,
        device=x.device if isinstance(x, Tensor) else None,
    )


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
