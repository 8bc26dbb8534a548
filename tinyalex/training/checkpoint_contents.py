"""What a checkpoint must contain: checked before a run takes over any of it."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from tinyalex.kernels.geometry import Shape
from tinyalex.training.progress import Epoch, Progress

ENTRIES = {"seed", "model", "best", "optimizer", "scheduler", "progress", "log", "options"}

ADDED_LATER = {"waited", "valid_top5_error", "skipped", "skipped_in_succession", "nesterov"}
"""What checkpoints of earlier versions lack, in Progress, Epoch and SGD's groups."""

ANYTHING = object


def mismatches(
    state: dict[str, Any],
    shapes: dict[str, Shape],
    arrays: dict[str, list[list[Shape]]],
    values: dict[str, Any],
    schedule: dict[str, Any] | None,
    scaler: dict[str, Any],
) -> list[str]:
    """Each value that is missing, unknown, or of another type or shape than expected.

    state     has ENTRIES
    shapes    of the network's parameters and buffers
    arrays    shapes of the optimizer's arrays, for each group
    values    the rest of the optimizer's state
    schedule  the state of the run's learning rate schedule, if it is to be checked
    scaler    the state of its loss scale; {} if it has none, as in earlier versions
    """
    log = state["log"]
    expected = {
        "seed": int,
        "model": shapes,
        "best": shapes if state["best"] else {},  # {} in the first epoch
        "optimizer": arrays | _numbers_like(values),
        "progress": _types(Progress),
        "log": [_types(Epoch)] * (len(log) if isinstance(log, list) else 0),
    }
    if schedule is not None and state["scheduler"] is not None:
        expected["scheduler"] = {name: _numbers_like(value) for name, value in schedule.items()}
        if isinstance(given := state["scheduler"], dict):  # another schedule's may have more
            state = state | {"scheduler": {k: given[k] for k in given if k in schedule}}
    state = {"scaler": {}} | state
    expected["scaler"] = _numbers_like(scaler)
    return [line for name in expected for line in _compare(name, expected[name], state[name])]


def _types(record: type) -> dict[str, Any]:
    return {field.name: field.type for field in fields(record)}


def _numbers_like(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers_like(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_numbers_like(item) for item in value]
    return {int: float, float: float, bool: bool}.get(type(value), ANYTHING)


def _compare(name: str, expected: Any, given: Any) -> Iterator[str]:
    """Yields the differences between a value and its description: a shape, bool, int
    (from 0), float (also for these), ANYTHING, or a dict or list of descriptions. An
    array of shape () may have integers: BatchNorm2d counts its batches."""
    match expected:
        case dict() if isinstance(given, dict):
            for key in expected.keys() | given.keys():
                if key not in expected:
                    yield f"{name}: {key!r:.60} is unknown"
                elif key in given:
                    yield from _compare(f"{name}: {key}", expected[key], given[key])
                elif key not in ADDED_LATER:
                    yield f"{name}: {key} is missing"
        case list() if isinstance(given, list) and len(given) == len(expected):
            for i, (one, other) in enumerate(zip(expected, given, strict=True)):
                yield from _compare(f"{name}: {i}", one, other)
        case tuple() if isinstance(given, np.ndarray) and given.dtype.kind in (
            "f" if expected else "fi"
        ):
            if given.shape != expected:
                yield f"{name} has shape {given.shape}, expected {expected}"
        case type() if expected is ANYTHING or type(given) is expected in (float, bool):
            pass
        case type() if expected is not bool and type(given) is int and 0 <= given < 2**64:
            pass
        case _:
            yield f"{name} is {_describe(given)}, expected {_describe(expected)}"


def _describe(value: Any) -> str:
    match value:
        case dict():
            return "a dict"
        case list():
            return f"a list of {len(value)}"
        case tuple():
            return "an array of floats"
        case np.ndarray():
            return f"an array of {value.dtype}"
        case type():
            return {int: "an integer of at least 0", bool: "a bool"}.get(value, "a number")
    return repr(value)[:60]
