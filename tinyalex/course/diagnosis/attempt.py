"""What a learner's function returned, as explanations use it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tinyalex.course.diagnosis.comparison import close


@dataclass(frozen=True)
class Trial:
    """One call: its inputs, and the right and the learner's results, by name.

    Results that are neither numbers nor arrays of numbers are left out.
    """

    inputs: dict[str, Any]
    right: dict[str, np.ndarray]
    got: dict[str, np.ndarray]

    def is_right(self, result: str) -> bool:
        return result in self.got and equal(self.got[result], self.right[result])


@dataclass(frozen=True)
class Attempt:
    """The learner's calls, and `result`, the name of the first result that is wrong.

    trials  the calls that returned a value of this result, the failing case first
    source  the learner's code
    call    calls the learner's function with other inputs
    """

    result: str
    trials: list[Trial]
    source: str
    call: Callable[[dict[str, Any]], Trial | None]


class Explanation(Protocol):
    """A check.py may list some, which are asked in turn."""

    def explain(self, attempt: Attempt) -> str | None:
        """What is wrong, if the results show it beyond doubt."""


def equal(value: Any, right: np.ndarray) -> bool:
    value = np.asarray(value)
    return value.shape == right.shape and bool(close(value, right).all())
