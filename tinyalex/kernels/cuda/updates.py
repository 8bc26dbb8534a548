"""The primitives that update lists of arrays: parameters, and the loss scale.

A launch has up to ARRAYS arrays of each list. All arrays are checked before the first
launch: an error changes none.
"""

from collections.abc import Callable, Iterator
from typing import Any

from tinyalex.device import Array
from tinyalex.kernels.cuda import launching, source_files
from tinyalex.kernels.cuda.launching import launch


def sgd_update(
    weights: list[Array],
    velocities: list[Array],
    grads: list[Array],
    options: Array,
    scaling: Array | None = None,
) -> None:
    _check_rows("sgd_update", weights, options)
    is_scaled = scaling is not None
    pointer = options if scaling is None else scaling.astype(options.dtype, copy=False)
    _launch(
        "sgd.cu", "sgd_update", [weights, velocities, grads],
        lambda part, n: (options[part], pointer, n, is_scaled),
    )  # fmt: skip


def adam_update(
    weights: list[Array],
    means: list[Array],
    squares: list[Array],
    grads: list[Array],
    options: Array,
) -> None:
    _check_rows("adam_update", weights, options)
    _launch(
        "adam.cu", "adam_update", [weights, means, squares, grads],
        lambda part, n: (options[part], n),
    )  # fmt: skip


def find_not_finite(grads: list[Array], state: Array) -> None:
    _launch("loss_scale.cu", "find_not_finite", [grads], lambda part, n: (state, n))


def update_loss_scale(state: Array, growth: float, backoff: float, interval: int) -> None:
    launch("loss_scale.cu", "update_loss_scale", 1, state, growth, backoff, interval)


def _check_rows(name: str, weights: list[Array], options: Array) -> None:
    if len(options) != len(weights):
        raise ValueError(
            f"{name}: options has {len(options)} rows for {len(weights)} weights. Give one row "
            "for each."
        )


def _launch(
    file: str,
    name: str,
    lists: list[list[Array]],
    others: Callable[[slice, int], tuple[Any, ...]],
) -> None:
    """Launch a kernel on `lists`, its first parameters, in parts.

    others  (the indices of a part, its number of elements) -> the other arguments

    Arrays may have any strides: the kernel gets C-contiguous copies of them. Those of
    lists that it writes are copied back.
    """
    parameters = source_files.signatures(file)[name].parameters[: len(lists)]
    contiguous = launching.ready_lists(file, name, lists)
    _check_shapes(name, [parameter.name for parameter in parameters], contiguous)
    for part in _parts(contiguous[0]):
        arrays = [each[part] for each in contiguous]
        n = sum(a.size for a in arrays[0])
        launch(file, name, n, *arrays, *others(part, n))
    for parameter, given, passed in zip(parameters, lists, contiguous, strict=True):
        for a, copy in zip(given, passed, strict=True):
            if copy is not a and not parameter.is_const:
                a[...] = copy


def _check_shapes(name: str, names: list[str], lists: list[list[Array]]) -> None:
    for other, arrays in zip(names[1:], lists[1:], strict=True):
        if len(arrays) != len(lists[0]):
            raise ValueError(
                f"{name}: {other} has {len(arrays)} arrays, but {names[0]} {len(lists[0])}."
            )
        for i, (a, first) in enumerate(zip(arrays, lists[0], strict=True)):
            if a.shape != first.shape:
                raise ValueError(
                    f"{name}: {other}[{i}] has shape {a.shape}, but {names[0]}[{i}] "
                    f"{first.shape}. Give both the same shape."
                )


def _parts(arrays: list[Array]) -> Iterator[slice]:
    """The indices of each launch: up to ARRAYS arrays, up to MAX_ELEMENTS elements."""
    start = elements = 0
    for i, a in enumerate(arrays):
        is_full = i - start == source_files.ARRAYS or elements + a.size > launching.MAX_ELEMENTS
        if is_full and i > start:
            yield slice(start, i)
            start, elements = i, 0
        elements += a.size
    if arrays:
        yield slice(start, len(arrays))
