"""Slopes by nudging: what gradcheck compares backward() with.

In float64, with a nudge h = 1e-5 and the outputs weighted by random numbers u, the slope of L = sum(u * y) along one number x is

    (L(x + h) - L(x - h)) / 2h        off by about h**2, and by what rounding does to L, divided by h

which leaves nine digits of a smooth function's gradient. Where the slope itself jumps (ReLU at 0, a tie in a maximum) a nudge may reach
over the kink. A bug's slope stays the same as h shrinks, and is the same to the left and to the right; a kink's is not: so what differs
is measured again with h/10 and h/100, and from each side.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import no_grad
from tinyalex.tensor import Tensor

EPSILON = float(np.finfo(np.float64).eps)
ROUNDING = 16 * EPSILON
"""How far an output in float64 may be from the true one, relative to the outputs' size: a few roundings."""

RIGHT, WRONG, KINK = 0, 1, 2
"""Verdicts on an element."""


@dataclass(frozen=True)
class Slope:
    """The slope in the middle, to the left and to the right, and what rounding alone may have done to it."""

    middle: float
    left: float
    right: float
    noise: float

    def error(self, analytic: float) -> float:
        """How far a gradient is from this slope, beyond what rounding explains, relative to the larger of the two."""
        if not np.isfinite(analytic) or not np.isfinite(self.middle):
            return (
                0.0
                if analytic == self.middle or (np.isnan(analytic) and np.isnan(self.middle))
                else np.inf
            )
        off = max(0.0, abs(analytic - self.middle) - self.noise)
        return off / max(abs(analytic), abs(self.middle)) if off else 0.0

    def extrapolated(self, before: "Slope") -> "Slope":
        """To h = 0 on a smooth curve, where the middle is off by a multiple of h**2 (`before` had ten times this h)."""
        return replace(self, middle=self.middle + (self.middle - before.middle) / 99)

    def splits(self, before: "Slope", rtol: float) -> bool:
        """Whether left and right disagree as at a kink. On a smooth curve the gap shrinks with h (`before` had ten times this one)."""
        gap, gap_before = abs(self.right - self.left), abs(before.right - before.left)
        return (
            gap > 4 * self.noise + rtol * max(abs(self.left), abs(self.right))
            and gap > 0.5 * gap_before
        )


def cotangent_seed(seed: int) -> list[int]:
    """Not `seed` itself: inputs are often default_rng(0)'s first numbers, and a cotangent that equals an input hides their mixing up."""
    return [seed, 1]


class Probe:
    """One function at one point: its gradients by backward(), and its slopes by nudging.

    f          a callable of tensors that returns one tensor
    arguments  what it is called with; its floating ones are leaves in float64
    leaves     the tensors to be nudged (inputs and parameters), by name
    """

    def __init__(
        self,
        f: Any,
        arguments: list[Any],
        leaves: dict[str, Tensor],
        h: float,
        rtol: float,
        seed: int,
    ) -> None:
        self.f, self.arguments, self.leaves, self.h, self.rtol = f, arguments, leaves, h, rtol
        self.y = self.forward()
        self.cotangent = np.random.default_rng(cotangent_seed(seed)).standard_normal(self.y.shape)

    def call(self) -> Tensor:
        """The output, with its graph. Random numbers are the same in every call."""
        with device.same_draws():
            y = self.f(*self.arguments)
        if not isinstance(y, Tensor):
            raise TypeError(
                f"gradcheck: the function returned a {type(y).__name__}, expected one tensor. Give a function of tensors."
            )
        return y

    def forward(self) -> np.ndarray:
        """The output as an array of its own: it may be a view of what is nudged next."""
        with no_grad():
            return self.call().numpy().copy()

    def gradients(self) -> dict[str, np.ndarray]:
        """What backward() gives for each leaf; zeros where it gives nothing."""
        for t in self.leaves.values():
            t.grad = None
        y = self.call()
        if y.requires_grad:
            y.backward(device.to(self.cotangent.copy(), y.device))
        return {
            name: np.zeros(t.shape) if t.grad is None else device.to_numpy(t.grad).copy()
            for name, t in self.leaves.items()
        }

    @contextmanager
    def replaced(self, change: Callable[[Array], Array]) -> Iterator[None]:
        """Within it, each leaf holds change(its array)."""
        before = {name: t.data for name, t in self.leaves.items()}
        try:
            for t in self.leaves.values():
                t.data, t.grad = change(t.data), None
            yield
        finally:
            for name, t in self.leaves.items():
                t.data, t.grad = before[name], None

    @contextmanager
    def moved(self, random: np.random.Generator) -> Iterator[None]:
        """Within it, every leaf is somewhere near, by up to a hundredth of its largest number."""
        y = self.y

        def near(a: Array) -> Array:
            here = device.to_numpy(a)
            return device.to(
                here + 0.01 * (np.abs(here).max(initial=0) or 1.0) * random.uniform(-1, 1, a.shape),
                device.of(a),
            )

        try:
            with self.replaced(near):
                self.y = self.forward()
                yield
        finally:
            self.y = y

    def slope(self, t: Tensor, direction: np.ndarray, h: float) -> Slope:
        """The slope of sum(u * output) as the leaf `t` moves along `direction`."""
        there, here = t.data, device.to_numpy(t.data)
        up, down = here + h * direction, here - h * direction
        try:
            t.data = device.to(up, device.of(there))
            above = self.forward()
            t.data = device.to(down, device.of(there))
            below = self.forward()
        finally:
            t.data = there
        # The steps that were really taken: x + h is rounded too.
        largest = np.abs(direction).argmax()
        to_the_right, to_the_left = (
            float(step.ravel()[largest]) / float(direction.ravel()[largest])
            for step in (up - here, here - down)
        )
        u, y = self.cotangent, self.y
        typical = np.abs(y).sum() / max(1, y.size)
        size = np.abs(u) * (np.abs(above) + np.abs(below) + typical)
        moved = above != below  # what did not may have moved by less than its last digit
        noise = ROUNDING * float(size[moved].sum()) + EPSILON * float(np.linalg.norm(size[~moved]))
        width = to_the_right + to_the_left
        return Slope(
            middle=float((u * (above - below)).sum()) / width,
            left=float((u * (y - below)).sum()) / to_the_left,
            right=float((u * (above - y)).sum()) / to_the_right,
            noise=noise / width,
        )

    def judge(self, t: Tensor, index: tuple[int, ...], analytic: float) -> tuple[int, Slope, float]:
        """(verdict, slope, error) for backward's gradient of one element."""
        direction = np.zeros(t.shape)
        direction[index] = 1
        slope = self.slope(t, direction, self.h)
        if slope.error(analytic) <= self.rtol:
            return RIGHT, slope, slope.error(analytic)
        for h in (self.h / 10, self.h / 100):
            finer = self.slope(t, direction, h)
            for candidate in (finer, finer.extrapolated(slope)):
                if candidate.error(analytic) <= self.rtol:
                    return RIGHT, candidate, candidate.error(analytic)
            kink = finer.splits(slope, self.rtol)
            if not kink and slope.error(finer.middle) <= 10 * self.rtol:
                break
            slope = finer
        return KINK if kink else WRONG, slope, slope.error(analytic)

    # What no number shows

    def altered(self) -> list[str]:
        """Which arrays a forward or a backward pass changes that it was only given to read."""
        found: list[str] = []
        before = {name: device.to_numpy(t.data).copy() for name, t in self.leaves.items()}

        def look(pass_: str) -> None:
            for name, t in self.leaves.items():
                if not np.array_equal(device.to_numpy(t.data), before[name], equal_nan=True):
                    found.append(
                        f"{pass_} changes {name} in place. Work on a copy, or write into a new array."
                    )
                    t.data[...] = device.to(before[name], t.device)

        y = self.call()
        look("forward")
        cotangent = device.to(self.cotangent.copy(), y.device)
        if y.requires_grad:
            y.backward(cotangent)
            look("backward")
            if not np.array_equal(device.to_numpy(cotangent), self.cotangent):
                found.append(
                    "backward changes grad_output in place. Other operations may hold the same array: work on a copy."
                )
        return found

    def repeats(self) -> bool:
        """Whether a second forward pass gives the same numbers."""
        return np.array_equal(self.y, self.forward(), equal_nan=True)

    def minds_gaps(self) -> str | None:
        """What goes wrong where inputs are not contiguous in memory, if anything."""
        expected = [self.y, *self.gradients().values()]
        names = ["the output", *(f"the gradient of {name}" for name in self.leaves)]
        with self.replaced(_with_gaps):
            try:
                got = [self.forward(), *self.gradients().values()]
            except (ValueError, TypeError, AttributeError) as error:
                return f"With inputs that are not contiguous in memory it fails: {error} Start with np.ascontiguousarray, or use indices."
        for name, right, other in zip(names, expected, got, strict=True):
            if not np.allclose(other, right, rtol=1e-7, atol=1e-9, equal_nan=True):
                return f"With inputs that are not contiguous in memory, {name} is another one. Is an array taken apart by its memory?"
        return None

    def loses_float32(self, strict: bool) -> str | None:
        """What turns float32 into something else, if anything. Unless `strict`, the function may bring float64 arrays of its own."""
        with self.replaced(
            lambda a: device.to(device.to_numpy(a).astype(np.float32), device.of(a))
        ):
            try:
                y = self.call()
            except (ValueError, TypeError):
                return None  # it does bring some, and layers do not mix dtypes
            if strict and y.dtype != np.float32:
                return f"With float32 inputs the output is {y.dtype}: np.sqrt(2) makes it so, float(np.sqrt(2)) does not."
            try:
                if y.requires_grad:
                    y.backward(device.to(np.ones(y.shape, y.dtype), y.device))
            except ValueError as error:
                return f"With float32 inputs: {error}"
        return None


def _with_gaps(a: Array) -> Array:
    """The same numbers, every other one of a larger array."""
    if a.ndim == 0:
        return a
    with device.on_device_of(a):
        wide = device.xp(a).zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
        wide[..., ::2] = a
        return wide[..., ::2]
