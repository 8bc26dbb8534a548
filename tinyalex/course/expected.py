"""A check of what an answer returns, when a network calls it."""

from typing import Any

import numpy as np


class WrongShapeError(ValueError):
    """What an answer returns does not fit the network."""


def expect(shape: tuple[int, ...], result: Any, answer: str, exercise: int) -> Any:
    """The result of an answer. WrongShapeError if it does not have this shape.

    answer, exercise  the name of the function, and the number of its exercise
    """
    got = f"shape {result.shape}" if hasattr(result, "shape") else f"a {type(result).__name__}"
    if np.shape(result) != shape:
        raise WrongShapeError(
            f"your {answer} (exercise {exercise}): expected shape {shape}, got {got}. "
            f"{right_elsewhere(exercise)}"
        )
    return result


def right_elsewhere(exercise: int) -> str:
    return (
        f"The answer is right in the cases of `tinyalex learn check {exercise}`, but not for this "
        "network."
    )
