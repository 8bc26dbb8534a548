"""Random numbers that are a function of where they are used, not a state.

Philox4x64-10 (Salmon et al. 2011) turns a key and a counter into random words. The key
is (seed, name of the stream), the counter says which step, which sample and which
number it is: so a mask does not depend on the device, on how a batch was cut, or on
what was drawn before. Everybody calls these functions as `device.draw` and so on.
"""

from collections.abc import Iterable
from contextlib import contextmanager
from typing import Any

import numpy as np


class Randomness:
    """What the user and the training loop have said: everything else about a random number is where it is used."""

    def __init__(self) -> None:
        self.seed = 0
        self.step = 0
        self.calls: dict[str, int] = {}


_randomness = Randomness()


def manual_seed(seed: int) -> None:
    """Start every stream of random numbers anew from `seed` (a whole number from 0 to 2**64 - 1)."""
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise ValueError(f"manual_seed: expected a whole number from 0 to 2**64 - 1, got {seed!r}.")
    _randomness.seed = int(seed)
    _randomness.step, _randomness.calls = 0, {}


def seed() -> int:
    """The seed that all streams have started from."""
    return _randomness.seed


def set_step(step: int) -> None:
    """Say which training step comes now. Draws then depend on it, and not on how many there were before."""
    _randomness.step = step
    _randomness.calls = {
        stream: call for stream, call in _randomness.calls.items() if stream == "init"
    }  # which no step belongs to


@contextmanager
def same_draws() -> Any:
    """Put the streams back at the end to where they were at the beginning: what runs next draws the same numbers."""
    before = dict(_randomness.calls)
    try:
        yield
    finally:
        _randomness.calls = before


def key(stream: str, seed: int | None = None) -> tuple[int, int]:
    """The Philox key of a stream: the seed, and the stream's name of up to eight letters read as a number."""
    return (_randomness.seed if seed is None else seed), int.from_bytes(
        stream.encode().ljust(8)[:8]
    )


def draw(stream: str) -> tuple[int, int]:
    """(step, call) for the next draw from a stream: the second dropout layer of a step is call 1."""
    call = _randomness.calls.get(stream, 0)
    _randomness.calls[stream] = call + 1
    return _randomness.step, call


def random_words(
    key: tuple[int, int], step: int, call: int, samples: Iterable[int], count: int
) -> np.ndarray:
    """uint64 (samples, count): word i of a sample is word i % 4 of the Philox block with the counter (1 + i // 4, sample, step, call)."""
    philox = np.random.Philox(key=np.array(key, np.uint64))
    state: Any = philox.state
    rows = []
    for sample in samples:
        state["state"]["counter"] = np.array([0, sample, step, call], np.uint64)
        philox.state = state
        rows.append(philox.random_raw(count))
    return np.array(rows, np.uint64).reshape(len(rows), count)


def uniform(
    stream: str, step: int, samples: Iterable[int], count: int, *, seed: int | None = None
) -> np.ndarray:
    """float64 (samples, count) from [0, 1): the numbers that belong to each sample of a step, whichever process draws them."""
    return (random_words(key(stream, seed), step, 0, samples, count) >> np.uint64(11)) * 2.0**-53


def generator(
    stream: str, step: int, sample: int = 0, *, seed: int | None = None
) -> np.random.Generator:
    """NumPy's generator at the beginning of the numbers that belong to (seed, stream, step, sample).

    Philox4x64-10 (Salmon et al. 2011): key (seed, stream), counter (block, sample,
    step, 0), the block counting up.
    """
    words = np.array([0, sample, step, 0], np.uint64)
    return np.random.Generator(
        np.random.Philox(counter=words, key=np.array(key(stream, seed), np.uint64))
    )
