"""Where multiplying in blocks is faster than NumPy's BLAS alone: known, or measured."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.cache import cache_folder
from tinyalex.device import processor
from tinyalex.kernels.cpu.matrix_blocks import (
    few_columns_column_major,
    few_columns_row_major,
    short_sums,
)


class InBlocks(NamedTuple):
    """The regimes of gemm.py, and whether they are used."""

    row_major: bool
    """Few columns, `a` is row-major."""
    column_major: bool
    """Few columns, `a` is column-major."""
    short_sums: bool
    small: bool
    """`small b` and `small out`."""


UNPACKED_KERNELS = {"SkylakeX", "Cooperlake", "SapphireRapids"}
"""OpenBLAS's kernels for AVX-512, which multiply small matrices without packing."""

MIN_GAIN = 1.05
"""The least factor by which blocks must be faster."""

ROUNDS = 4


@cache
def in_blocks() -> InBlocks:
    """The regimes to use with NumPy's BLAS.

    All with OpenBLAS's kernels for AVX-512, for which they were written, and none with
    its others. With another library, such as MKL or Accelerate, those that a
    measurement of 0.1 s finds faster, when they are first needed. `measurement_file`
    keeps the result: later processes use it, and round alike.
    """
    name, kernels = library()
    if "openblas" in name:
        return InBlocks(*[bool(kernels & UNPACKED_KERNELS)] * 4)
    file = measurement_file()
    known = _read(file)
    if known is None:
        known = _measure()
        with contextlib.suppress(OSError):  # such as a folder that is read-only
            _write(file, known)
    return known


def library() -> tuple[str, set[str | None]]:
    """NumPy's BLAS, such as "scipy-openblas" or "mkl-sdl", and its kernels if known."""
    found = device.blas_libraries()
    config = np.show_config(mode="dicts")
    name: str = config["Build Dependencies"]["blas"]["name"]
    if not any(known in name for known in ("openblas", "mkl", "accelerate")):
        # conda's NumPy is built with "blas", which stands for a library chosen later.
        name = " ".join(info["internal_api"] for info in found) or name
    return name, {info.get("architecture") for info in found}


def measurement_file() -> Path:
    """Of this library on this processor."""
    name, _ = library()
    versions = [f"{info['internal_api']} {info['version']}" for info in device.blas_libraries()]
    key = f"{name} {' '.join(versions)} {np.__version__} {processor.model()}"
    readable = "".join(c if c.isalnum() or c == "." else "-" for c in key)
    return cache_folder() / "blas" / f"{readable}.json"


def _read(file: Path) -> InBlocks | None:
    try:
        return InBlocks(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # missing, or not such a file
        return None


def _write(file: Path, found: InBlocks) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(found._asdict()), encoding="utf-8")
    os.replace(partial, file)


def _measure() -> InBlocks:
    """Of a linear layer with 32 samples: y = x @ w.T, dx = dy @ w and dw = dy.T @ x."""
    samples, inputs, outputs = 32, 4096, 2048
    x = np.ones((samples, inputs), np.float32)
    dy = np.ones((samples, outputs), np.float32)
    w = np.ones((outputs, inputs), np.float32)
    y, dx, dw = np.empty_like(dy), np.empty_like(x), np.empty_like(w)
    with device.single_threaded_blas():
        return InBlocks(
            row_major=_is_faster(few_columns_row_major, w, x.T, y.T),
            column_major=_is_faster(few_columns_column_major, w.T, dy.T, dx.T),
            short_sums=_is_faster(short_sums, dy.T, x, dw),
            small=False,
        )


def _is_faster(
    multiply: Callable[..., None], a: np.ndarray, b: np.ndarray, out: np.ndarray
) -> bool:
    """Whether `multiply` is MIN_GAIN times as fast as np.matmul, by the best rounds."""
    scratch = device.Scratch(np)
    whole, blocks = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        np.matmul(a, b, out=out)
        middle = time.perf_counter()
        multiply(a, b, out, scratch)
        whole.append(middle - start)
        blocks.append(time.perf_counter() - middle)
    return min(whole) >= MIN_GAIN * min(blocks)
