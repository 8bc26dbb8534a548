"""Values of every kernel compared with NumPy, and the ceilings of a card."""

import time
from typing import Any

import failures
import gpu_timing
import numpy as np
import precision

from tinyalex import device
from tinyalex.kernels import cpu, cuda
from tinyalex.kernels.examples import Example, examples, on_arrays

TOLERANCE = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-12}
"""Relative, and absolute, of each dtype: as in tests/test_kernels.py."""

COPIED_BYTES = 1 << 30
GEMM_SIZE = 8192
"""Rows of the square matrices: 1.1 TFLOP, 0.8 GB in float32."""

SMOKE_COPIED_BYTES, SMOKE_GEMM_SIZE = 1 << 16, 64

CALLS = 20


def kernels(name: str, smoke: bool, seconds: float) -> list[dict[str, Any]]:
    """For each primitive: {"primitive", "dtype", "examples", "error"}.

    error    the largest of all outputs, as a multiple of the tolerance; None if an
             example could not be run. If it is None or above 1, the row also has
             "failed", and further examples of the primitive are not run
    smoke    only one example of each, in float32
    seconds  examples that begin later are left out
    """
    deadline = time.monotonic() + seconds
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for dtype in ("float32",) if smoke else TOLERANCE:
        for example in examples(dtype):
            key = example.primitive, dtype
            if smoke and key in rows:
                continue
            row = {"primitive": key[0], "dtype": dtype, "examples": 0, "error": 0.0}
            row = rows.setdefault(key, row)
            if "failed" in row:
                continue
            try:
                check_time(deadline)
                error = excess(example, name, TOLERANCE[dtype])
            except Exception as reason:  # of the compiler, of the GPU
                row |= {"error": None, **failures.row_of(reason)}
                row["failed"] = f"{example.label}: {row['failed']}"
                continue
            row["examples"] += 1
            row["error"] = max(row["error"], error)
            if error > 1:
                row["failed"] = f"{example.label}: differs"
    return list(rows.values())


def check_time(deadline: float) -> None:
    """Raises TimeoutError after the deadline, in seconds of time.monotonic()."""
    if time.monotonic() > deadline:
        raise TimeoutError("--minutes were used up")


def excess(example: Example, name: str, tolerance: float) -> float:
    """The largest difference between the kernel and NumPy in float64, as a multiple of
    tolerance * (1 + |NumPy's|). Infinite for NaN or infinity in one of them only."""
    expected = example.in_double().copies()
    with np.errstate(all="ignore"):
        getattr(cpu, example.primitive)(*expected)
    given = [on_arrays(lambda x: device.to(x, name), x) for x in example.copies()]
    with device.on(name):
        getattr(cuda, example.primitive)(*given)
    ratios = [
        _excess(device.to_numpy(mine), theirs, tolerance)
        for i in example.written
        for mine, theirs in zip(_arrays(given[i]), _arrays(expected[i]), strict=True)
    ]
    return max(ratios)


def _arrays(argument: Any) -> list[Any]:
    return argument if isinstance(argument, list) else [argument]


def _excess(mine: np.ndarray, theirs: np.ndarray, tolerance: float) -> float:
    mine, theirs = mine.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(all="ignore"):
        ratio = np.abs(mine - theirs) / (tolerance * (1 + np.abs(theirs)))
    same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
    ratio = np.where(same, 0.0, np.where(np.isfinite(ratio), ratio, np.inf))
    return float(ratio.max(initial=0.0))


def ceilings(name: str, smoke: bool, seconds: float) -> list[dict[str, Any]]:
    """{"ceiling", "unit", "count", "seconds"} of a copy and of square matrix
    multiplications, or {"ceiling", "failed", "left_out"}. count / seconds["median"] is
    the rate.

    seconds  ceilings that begin later are left out
    """
    deadline = time.monotonic() + seconds
    size = SMOKE_GEMM_SIZE if smoke else GEMM_SIZE
    rows = [_row("copy", deadline, lambda: _copy(SMOKE_COPIED_BYTES if smoke else COPIED_BYTES))]
    for kind in precision.PRECISIONS:
        rows.append(_row(f"GEMM {kind}", deadline, lambda kind=kind: _gemm(kind, size)))
    precision.switch("float32")
    return rows


def _row(ceiling: str, deadline: float, measure: Any) -> dict[str, Any]:
    import cupy

    try:
        check_time(deadline)
        return {"ceiling": ceiling, **measure()}
    except Exception as error:  # of the driver, of memory, of cuBLAS
        return {"ceiling": ceiling, **failures.row_of(error)}
    finally:
        cupy.get_default_memory_pool().free_all_blocks()


def _copy(size: int) -> dict[str, Any]:
    import cupy

    source, target = cupy.zeros(size // 4, "f"), cupy.empty(size // 4, "f")
    seconds = _timed(lambda: cupy.copyto(target, source))
    return {"unit": "B", "count": 2 * size, "seconds": seconds}


def _gemm(kind: str, size: int) -> dict[str, Any]:
    import cupy

    # A multiplication of float16 arrays needs no autocast.
    precision.switch("float32" if kind == "half" else kind)
    random = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    a = cupy.asarray(random).astype("e" if kind == "half" else "f")
    c = cupy.empty_like(a)
    return {
        "unit": "FLOP",
        "count": 2 * size**3,
        "seconds": _timed(lambda: cupy.matmul(a, a, out=c)),
    }


def _timed(work: Any) -> dict[str, float] | None:
    gpu_timing.warm_up(work, 0)
    return gpu_timing.spread(gpu_timing.times(work, CALLS))
