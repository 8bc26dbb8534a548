"""Weights rounded to few levels, for small files.

    w[f, i] = scale[f] * q[f, i],  q an integer from -m to m

f is a filter: of a convolution, of one position of a locally connected layer, or a row
of a linear layer. With L = 2*m + 1 levels, as many integers as possible are the digits
of a number with base L that fits into 64 bits: 8 for L = 255, 20 for L = 9.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

QUANTIZED = "quantized"
"""The metadata entry: JSON of {name: [L, *shape of the weight]}."""

MAX_LEVELS = 255

SCALES = np.linspace(0.25, 1, 31)
"""Candidates for a filter's scale, relative to the least one that clips no value."""

Arrays = dict[str, np.ndarray]


def quantize(
    state: Mapping[str, np.ndarray], levels: Mapping[str, int]
) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the metadata entry of a weights file, for `models.read_weights`.

    levels  L by the name of the weight: odd, from 3 to 255. Other arrays become float16

    Raises ValueError for other levels, KeyError for a name that is not in the state.
    """
    arrays = {name: a.astype(np.float16) for name, a in state.items() if name not in levels}
    for name, count in levels.items():
        if count % 2 == 0 or not 3 <= count <= MAX_LEVELS:
            raise ValueError(
                f"quantize: expected an odd number of levels from 3 to {MAX_LEVELS} for {name}, "
                f"got {count}."
            )
        rows = state[name].reshape(-1, _filter_size(state[name].shape))
        q, scale = _rounded(rows, count // 2)
        arrays[name] = _packed(q.reshape(-1) + count // 2, count)
        arrays[f"{name}.scale"] = scale
    entries = {name: [int(count), *state[name].shape] for name, count in levels.items()}
    return arrays, {QUANTIZED: json.dumps(entries)}


def dequantize(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Arrays:
    """The float32 weights of a file with the entry QUANTIZED; other arrays unchanged.

    Raises ValueError if the entry does not match the arrays.
    """
    found = dict(arrays)
    for name, entry in _entries(metadata[QUANTIZED]).items():
        words, scale = found.get(name), found.pop(f"{name}.scale", None)
        if words is None or scale is None or not _match(entry, words, scale):
            raise ValueError(
                f"the metadata entry {QUANTIZED!r} has {entry!r:.80} for {name[:80]!r}, but the "
                "file has no arrays that match it"
            )
        count, *shape = entry
        q = _unpacked(words, count)[: math.prod(shape)].astype(np.float32) - count // 2
        found[name] = (q.reshape(len(scale), -1) * scale[:, None]).reshape(shape)
    return found


def _entries(text: str) -> dict[str, Any]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, dict):
        raise ValueError(f"expected the metadata entry {QUANTIZED!r} to be a dict, got {text:.80}")
    return entries


def _match(entry: Any, words: np.ndarray, scale: np.ndarray) -> bool:
    """Whether these are an entry's arrays. Their sizes bound that of the result."""
    if not isinstance(entry, list) or not 3 <= len(entry) <= 7:
        return False
    if not all(type(n) is int and 0 < n < 2**31 for n in entry):
        return False
    count, size = entry[0], math.prod(entry[1:])
    return (
        (words.dtype, words.ndim) == (np.uint64, 1)
        and (scale.dtype, scale.ndim) == (np.float32, 1)
        and count % 2 == 1
        and 3 <= count <= MAX_LEVELS
        and len(words) == -(-size // _per_word(count))
        and 0 < len(scale) <= size
        and size % len(scale) == 0
    )


def _filter_size(shape: tuple[int, ...]) -> int:
    """Elements of a filter: nn.LocallyConnected2d's weights have two more axes."""
    return math.prod(shape[3:] if len(shape) == 6 else shape[1:])


def _rounded(rows: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """(q, scale) with the least squared error of each row among SCALES."""
    largest = np.maximum(abs(rows).max(axis=1), np.finfo(np.float32).tiny) / m
    best_q, best_scale = np.zeros(rows.shape, np.int16), np.ones(len(rows), np.float32)
    least = np.full(len(rows), np.inf)
    for candidate in SCALES:
        scale = (candidate * largest).astype(np.float32)
        q = np.clip(np.rint(rows / scale[:, None]), -m, m)
        error = ((q * scale[:, None] - rows) ** 2).sum(axis=1, dtype=np.float64)
        better = error < least
        least[better], best_scale[better] = error[better], scale[better]
        best_q[better] = q[better]
    return best_q, best_scale


def _per_word(count: int) -> int:
    """The digits with base `count` of a number of 64 bits."""
    digits = 1
    while count ** (digits + 1) <= 2**64:
        digits += 1
    return digits


def _packed(digits: np.ndarray, count: int) -> np.ndarray:
    per_word = _per_word(count)
    padded = np.zeros((-(-digits.size // per_word), per_word), np.uint64)
    padded.reshape(-1)[: digits.size] = digits
    powers = np.array([count**i for i in range(per_word)], np.uint64)
    return (padded * powers).sum(axis=1, dtype=np.uint64)


def _unpacked(words: np.ndarray, count: int) -> np.ndarray:
    digits = np.empty((len(words), _per_word(count)), np.uint8)
    rest = words
    for i in range(digits.shape[1]):
        rest, digits[:, i] = np.divmod(rest, np.uint64(count))
    return digits.reshape(-1)
