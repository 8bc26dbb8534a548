"""The report of gradcheck."""

from dataclasses import dataclass, field

import numpy as np

from tinyalex.gradient_check.hints import GUESSES, Hint

COLUMNS = "  {:<20} {:<14} {:<16} {:<14} {:>12} {:>12} {:>10}  {}"
TITLES = "", "shape", "right", "worst at", "backward", "numerical", "ratio", ""


class GradcheckError(AssertionError):
    """A gradient is wrong, or could not be checked. The text is the report."""


@dataclass
class Row:
    """The result for one input or parameter, and the element with the largest error.

    checked  the number of elements, or of directions if `fast` was sufficient
    wrong    the number with a wrong gradient
    kinks    the number on a kink even after perturbations, which were not checked
    moved    the number that could be checked only after perturbations
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
        """The analytic gradient divided by the numerical one."""
        if self.numeric:
            return self.analytic / self.numeric
        return 1.0 if self.analytic == self.numeric else np.inf

    def record(
        self, wrong: bool, error: float, index: tuple[int, ...], analytic: float, numeric: float
    ) -> None:
        """Store the worst element: wrong ones rank first, then larger errors."""
        if (wrong, error) > self.rank:
            self.rank = wrong, error
            self.index, self.analytic, self.numeric = index, analytic, numeric

    def __str__(self) -> str:
        right = f"{self.checked - self.wrong - self.kinks} of {self.checked}"
        return COLUMNS.format(
            self.name,
            " x ".join(map(str, self.shape)) or "scalar",
            f"{right} directions" if self.fast else right,
            "" if self.fast or not self.checked else str(list(self.index)),
            f"{self.analytic:.6g}",
            f"{self.numeric:.6g}",
            f"{self.ratio:.5g}",
            "WRONG" if self.wrong else "KINK" if self.kinks else "ok",
        )


@dataclass
class Report:
    """The result of gradcheck: a Row for each input and parameter; str() is a table.

    problems    violations of the contract besides wrong gradients
    operations  which operations of a network are wrong, if a gradient is
    worst       the row with the largest error
    """

    name: str
    settings: str
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    advice: str = ""

    @property
    def ok(self) -> bool:
        return not self.problems and all(row.ok for row in self.rows)

    @property
    def worst(self) -> Row | None:
        return max(self.rows, key=lambda row: row.rank, default=None)

    def __str__(self) -> str:
        lines = [f"gradcheck {self.name}: {self._verdict()}   ({self.settings})"]
        if self.rows:
            lines += [COLUMNS.format(*TITLES).rstrip(), *map(str, self.rows)]
        lines += self.problems
        hints = [(row.name, row.hint) for row in self.rows if row.hint]
        if self.operations:  # they say more than a guess on the whole network
            hints = [(name, hint) for name, hint in hints if hint.kind not in GUESSES]
        lines += [*(f"{name}: {hint.text}" for name, hint in hints), *self.operations]
        if moved := sum(row.moved for row in self.rows):
            lines.append(
                f"{moved} elements were on a kink, and were checked after a small random "
                "perturbation of all inputs."
            )
        return "\n".join([*lines, self.advice] if self.advice else lines)

    def _verdict(self) -> str:
        if wrong := [row.name for row in self.rows if row.wrong]:
            return f"the gradient of {' and of '.join(wrong)} is WRONG"
        if self.problems:
            return "FAILED, though no gradient is wrong" if self.rows else "CANNOT BE CHECKED"
        if self.ok:
            return "every gradient is right"
        return "UNDECIDED: some elements are on kinks"
