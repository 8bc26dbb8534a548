"""What a learner's function returned, as explanations use it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tinyalex.course.comparison import close


@dataclass(frozen=True)
class Trial:
    """One call: its inputs, and the right and the learner's value of one result."""

    inputs: dict[str, Any]
    right: np.ndarray
    got: np.ndarray

    @property
    def is_right(self) -> bool:
        return equal(self.got, self.right)


@dataclass(frozen=True)
class Attempt:
    """The learner's calls, and `result`, the name of the first result that is wrong.

    trials  one for each call that returned numbers, the failing case first
    source  the learner's code
    """

    result: str
    trials: list[Trial]
    source: str
    call: Callable[[dict[str, Any]], Trial | None]
    """Call the learner's function with other inputs."""


class Explanation(Protocol):
    """A check.py may list some, which are asked in turn."""

    def explain(self, attempt: Attempt) -> str | None:
        """What is wrong, if the results show it beyond doubt."""


def equal(value: Any, right: np.ndarray) -> bool:
    value = np.asarray(value)
    return value.shape == right.shape and bool(close(value, right).all())
