"""What was made of an array, for the next time that somebody asks, as long as the array is there and holds the same numbers.

Inference transforms the same filters again for each batch. Nobody says when weights change, and whoever holds an array may write into it:
so a copy is compared, number by number, which costs a fifth of the transformation. With the copy, what is remembered of 3 x 3 filters takes
6.4 times their own memory, from a first inference until they are trained, or gone.
"""

import weakref
from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np


class _Memory(NamedTuple):
    array: "weakref.ref[np.ndarray]"
    how: Hashable
    numbers: np.ndarray
    made: np.ndarray


_memories: dict[int, _Memory] = {}
"""By the id of the array; gone when that is gone."""


def remembered(
    array: np.ndarray, how: Hashable, make: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """make(array), which nobody may write into. `how` tells one way of making it from another."""
    found = _memories.get(id(array))
    if (
        found
        and found.array() is array
        and found.how == how
        and np.array_equal(found.numbers, array)
    ):
        return found.made
    key, numbers = id(array), array.copy()
    made = make(numbers)  # of the copy: another thread may be writing into the array
    _memories[key] = _Memory(
        weakref.ref(array, lambda _: _memories.pop(key, None)), how, numbers, made
    )
    return made


def forget(array: np.ndarray) -> None:
    """It is about to change, as weights do in training: give the memory back."""
    if _memories:
        _memories.pop(id(array), None)
