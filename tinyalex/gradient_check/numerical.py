"""The numerical gradient, which gradcheck compares with backward().

With L = sum(u * y) for a random cotangent u, in float64 and with a step h = 1e-5, the
derivative of L along one element x is

    (L(x + h) - L(x - h)) / 2h    with an error of about h**2 + rounding of L / h

which leaves nine correct digits for a smooth function. Where the derivative itself is
discontinuous (ReLU at 0, a tie in a maximum), a step may cross the kink. The error of a
wrong backward pass does not depend on h, and is the same from the left and the right;
at a kink it is not. An element whose gradients differ is evaluated again with h/10 and
h/100, and from each side.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.modes import no_grad
from tinyalex.tensor import Tensor

EPSILON = float(np.finfo(np.float64).eps)

MAX_OUTPUT_ERROR = 16 * EPSILON
"""The rounding error of a float64 output relative to the size of the outputs."""

MAX_PERTURBATION = 0.01
"""The size of a perturbation relative to the largest element of an array."""

RIGHT, WRONG, KINK = 0, 1, 2
"""Verdicts on an element."""


@dataclass(frozen=True)
class Derivative:
    """Central, left and right difference quotients.

    rounding  a bound of the rounding error in each
    """

    central: float
    left: float
    right: float
    rounding: float

    def error(self, analytic: float) -> float:
        """The relative error of a gradient in excess of the rounding error."""
        if not np.isfinite(analytic) or not np.isfinite(self.central):
            equal = analytic == self.central or (np.isnan(analytic) and np.isnan(self.central))
            return 0.0 if equal else np.inf
        excess = max(0.0, abs(analytic - self.central) - self.rounding)
        return excess / max(abs(analytic), abs(self.central)) if excess else 0.0

    def extrapolated(self, coarser: "Derivative") -> "Derivative":
        """The limit h -> 0 for a smooth function.

        The central quotient has an error of order h**2. `coarser` has ten times this h.
        """
        return replace(self, central=self.central + (self.central - coarser.central) / 99)

    def has_kink(self, coarser: "Derivative", rtol: float) -> bool:
        """Whether left and right differ, about as much as with ten times this h."""
        gap, coarser_gap = abs(self.right - self.left), abs(coarser.right - coarser.left)
        tolerance = 4 * self.rounding + rtol * max(abs(self.left), abs(self.right))
        return gap > tolerance and gap > 0.5 * coarser_gap


def cotangent_seed(seed: int) -> list[int]:
    """A seed other than `seed`, which users may also use for their inputs.

    A cotangent equal to an input would hide that backward confuses the two.
    """
    return [seed, 1]


class NumericalGradient:
    """The numerical gradient of a function at one point, and the analytic one.

    f          a callable of tensors that returns one tensor
    arguments  its arguments; the floating ones are leaves in float64
    leaves     the inputs and parameters that get a gradient, by name
    """

    def __init__(
        self,
        f: Callable[..., Any],
        arguments: list[Any],
        leaves: dict[str, Tensor],
        h: float,
        rtol: float,
        seed: int,
    ) -> None:
        self.f, self.arguments, self.leaves = f, arguments, leaves
        self.h, self.rtol, self.seed = h, rtol, seed
        self.y = self.forward()
        self.cotangent = np.random.default_rng(cotangent_seed(seed)).standard_normal(self.y.shape)

    def call(self) -> Tensor:
        """The output, with its graph. Random numbers are the same in every call."""
        with device.same_draws():
            y = self.f(*self.arguments)
        if not isinstance(y, Tensor):
            raise TypeError(
                f"gradcheck: the function returned a {type(y).__name__}, expected one tensor. "
                "Give a function of tensors."
            )
        return y

    def forward(self) -> np.ndarray:
        """A copy of the output, which may be a view of an input."""
        with no_grad():
            return self.call().numpy().copy()

    def analytic(self) -> dict[str, np.ndarray]:
        """The gradient of each leaf from backward(); zeros if there is none."""
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
    def replaced(
        self, change: Callable[[Array], Array], others: Sequence[Tensor] = ()
    ) -> Iterator[None]:
        """A context in which `change` is applied to the array of each leaf, and of
        other tensors."""
        tensors = [*self.leaves.values(), *others]
        before = [t.data for t in tensors]
        try:
            for t in tensors:
                t.data, t.grad = change(t.data), None
            yield
        finally:
            for t, data in zip(tensors, before, strict=True):
                t.data, t.grad = data, None

    @contextmanager
    def perturbed(self, random: np.random.Generator) -> Iterator[None]:
        """A context in which all leaves are perturbed at random."""
        y = self.y

        def perturb(a: Array) -> Array:
            x = device.to_numpy(a)
            largest = MAX_PERTURBATION * (np.abs(x).max(initial=0) or 1.0)
            return device.to(x + largest * random.uniform(-1, 1, a.shape), device.of(a))

        try:
            with self.replaced(perturb):
                self.y = self.forward()
                yield
        finally:
            self.y = y

    def derivative(self, t: Tensor, direction: np.ndarray, h: float) -> Derivative:
        """The derivative of sum(u * y) with respect to leaf `t`, in a direction."""
        x = device.to_numpy(t.data)
        right, left = x + h * direction, x - h * direction
        above, below = self._forward_at(t, right), self._forward_at(t, left)
        # The steps actually taken: x + h is rounded, too.
        largest = np.abs(direction).argmax()
        h_right, h_left = (
            float(step.ravel()[largest]) / float(direction.ravel()[largest])
            for step in (right - x, x - left)
        )
        u, y = self.cotangent, self.y
        typical = np.abs(y).sum() / max(1, y.size)
        size = np.abs(u) * (np.abs(above) + np.abs(below) + typical)
        changed = above != below  # other changes may be smaller than the last digit
        rounding = MAX_OUTPUT_ERROR * float(size[changed].sum())
        rounding += EPSILON * float(np.linalg.norm(size[~changed]))
        return Derivative(
            central=float((u * (above - below)).sum()) / (h_right + h_left),
            left=float((u * (y - below)).sum()) / h_left,
            right=float((u * (above - y)).sum()) / h_right,
            rounding=rounding / (h_right + h_left),
        )

    def _forward_at(self, t: Tensor, x: np.ndarray) -> np.ndarray:
        """The output with the values `x` in the leaf `t`."""
        before = t.data
        try:
            t.data = device.to(x, device.of(before))
            return self.forward()
        finally:
            t.data = before

    def judge(
        self, t: Tensor, index: tuple[int, ...], analytic: float
    ) -> tuple[int, Derivative, float]:
        """(verdict, derivative, error) of the analytic gradient of one element."""
        direction = np.zeros(t.shape)
        direction[index] = 1
        found = self.derivative(t, direction, self.h)
        if found.error(analytic) <= self.rtol:
            return RIGHT, found, found.error(analytic)
        for h in (self.h / 10, self.h / 100):
            finer = self.derivative(t, direction, h)
            for candidate in (finer, finer.extrapolated(found)):
                if candidate.error(analytic) <= self.rtol:
                    return RIGHT, candidate, candidate.error(analytic)
            kink = finer.has_kink(found, self.rtol)
            if not kink and found.error(finer.central) <= 10 * self.rtol:
                break
            found = finer
        return KINK if kink else WRONG, found, found.error(analytic)
