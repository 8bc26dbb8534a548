"""Counter-based random numbers, without a generator state.

Philox4x64-10 (Salmon et al. 2011) maps a key and a counter to random words. The key is
(seed, stream), the counter (block, sample, training step, call): a dropout mask depends
neither on the device, nor on the tiles of the batch, nor on draws in earlier steps.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinyalex.device.arrays import Array, canonical, to, write


class _State(threading.local):
    """A thread's streams: two threads can train at once, each with the results that it
    has when it is the only one."""

    main_seed = 0
    """The seed of the main thread, with which other threads begin."""

    def __init__(self) -> None:
        self.restart(_State.main_seed)
        self.step_arrays: dict[str, tuple[Any, int]] = {}

    def restart(self, seed: int) -> None:
        self.seed, self.step, self.first_sample = seed, 0, 0
        self.calls: dict[str, int] = {}  # the number of draws per stream in this step


_state = _State()


def manual_seed(seed: int) -> None:
    """Restart all random streams from `seed`, an integer from 0 to 2**64 - 1.

    Each thread has its own streams. Without a call of this function, a thread begins
    with the seed of the main thread.
    """
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise ValueError(f"manual_seed: expected an integer from 0 to 2**64 - 1, got {seed!r}.")
    _state.restart(int(seed))
    if threading.current_thread() is threading.main_thread():
        _State.main_seed = int(seed)


def seed() -> int:
    return _state.seed


def step() -> int:
    """The training step."""
    return _state.step


def step_array(name: str) -> Array:
    """The training step in the memory of the device `name`: uint64 (1,).

    A thread has one such array for each device. This function writes the step to it if
    that has changed, in the current stream.
    """
    name = canonical(name)
    if name not in _state.step_arrays:
        _state.step_arrays[name] = to(np.zeros(1, np.uint64), name), 0
    array, written = _state.step_arrays[name]
    if written != _state.step:
        write(array, np.array([_state.step], np.uint64))
        _state.step_arrays[name] = array, _state.step
    return array


def first_sample() -> int:
    """The index of the current batch's first sample in the whole batch of the step."""
    return _state.first_sample


def set_step(step: int, first_sample: int = 0) -> None:
    """Set the training step. Draws depend on it, but not on draws in earlier steps.

    first_sample  if the whole batch is processed in parts, perhaps by several
                  processes: the index of this part's first sample
    """
    _state.step, _state.first_sample = step, first_sample
    # Initial values belong to no step: their stream continues.
    _state.calls = {stream: n for stream, n in _state.calls.items() if stream == "init"}


@contextmanager
def same_draws() -> Iterator[None]:
    """A context that restores the streams at its end: its draws can be repeated."""
    before = dict(_state.calls)
    try:
        yield
    finally:
        _state.calls = before


def key(stream: str, seed: int | None = None) -> tuple[int, int]:
    """A stream's Philox key: the seed, and the name, of at most eight bytes."""
    name = stream.encode()
    if len(name) > 8:
        raise ValueError(f"random stream: expected a name of at most eight bytes, got {stream!r}.")
    word = int.from_bytes(name.ljust(8))
    return _state.seed if seed is None else seed, word


def draw(stream: str) -> tuple[int, int]:
    """(step, call) of the next draw: the second dropout layer in a step has call 1."""
    call = _state.calls.get(stream, 0)
    _state.calls[stream] = call + 1
    return _state.step, call


def random_words(
    key: tuple[int, int], step: int, call: int, samples: Iterable[int], count: int
) -> np.ndarray:
    """uint64 (samples, count).

    Word i of a sample is word i % 4 of the block (1 + i // 4, sample, step, call).
    """
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
    """float64 (samples, count) in [0, 1): random numbers for each sample in a step."""
    return (random_words(key(stream, seed), step, 0, samples, count) >> np.uint64(11)) * 2.0**-53


def generator(
    stream: str, step: int, sample: int = 0, *, seed: int | None = None
) -> np.random.Generator:
    """A NumPy generator that depends only on (seed, stream, step, sample)."""
    words = np.array([0, sample, step, 0], np.uint64)
    philox_key = np.array(key(stream, seed), np.uint64)
    return np.random.Generator(np.random.Philox(counter=words, key=philox_key))
