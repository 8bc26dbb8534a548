"""Injected faults, found by a run, by another order or by the checked build."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from tinyalex.emulator import LaunchError, Module

pytestmark = pytest.mark.cuda

# C = A @ B in 4 x 4 tiles, without a fault.
GEMM = """
extern "C" __global__ void gemm(const float* A, const float* B, float* C, int M, int N, int K) {
  __shared__ float a[4][4];
  __shared__ float b[4][4];
  const int tx = threadIdx.x, ty = threadIdx.y, row = blockIdx.y * 4 + ty, col = blockIdx.x * 4 + tx;
  float sum = 0;
  for (int t = 0; t < K; t += 4) {
    a[ty][tx] = row < M && t + tx < K ? A[row * K + t + tx] : 0;
    b[ty][tx] = t + ty < K && col < N ? B[(t + ty) * N + col] : 0;
    __syncthreads(); // the tile is loaded
    for (int k = 0; k < 4; ++k) sum += a[ty][k] * b[k][tx];
    __syncthreads(); // the tile is used
  }
  if (row < M && col < N) C[row * N + col] = sum;
}
"""

# y[0] = the sum of x[0] ... x[63], most of it in one warp, without a fault.
SUM = """
extern "C" __global__ void sum(const float* x, float* y) {
  __shared__ float s[64];
  const int t = threadIdx.x;
  s[t] = x[t];
  __syncthreads();
  if (t >= 32) return;
  for (int half = 32; half; half /= 2) {
    const float other = t < half ? s[t + half] : 0;
    __syncwarp(); // all have read
    if (t < half) s[t] += other;
    __syncwarp(); // all have written
  }
  if (t == 0) y[0] = s[0];
}
"""


def kernel(name, parameters, body):
    return f'extern "C" __global__ void {name}({parameters}) {{\n  const int t = threadIdx.x;\n  {body}\n}}\n'


def variant(code, name, old, new):
    """The kernel under another name, with `old` replaced by `new`."""
    assert code.count(old) == 1
    return (
        code.replace(old, new)
        .replace("void gemm(", f"void {name}(")
        .replace("void sum(", f"void {name}(")
    )


@dataclass(frozen=True)
class Fault:
    """A kernel with a fault, found by wrong results of a run ("result"), by runs in
    reverse and shuffled order ("order"), or by the checked build ("check")."""

    name: str
    code: str
    arguments: Callable
    expected: object
    found_by: set
    message: str
    """A pattern of the checked build's message."""
    grid: tuple = (1,)
    block: tuple = (64,)
    shared_mem: int = 0
    harmless: bool = True
    """Whether a run without the checks cannot crash."""


def ones(n=64):
    return np.ones(n, "f")


def uninitialized(n):
    """n elements of NaN, followed by space that a fault may write to."""
    return np.full(n + 16, np.nan, "f")[:n]


A = np.random.default_rng(0).standard_normal((9, 14)).astype("f")
B = np.random.default_rng(1).standard_normal((14, 5)).astype("f")
PRODUCT = {"expected": A.astype(float) @ B, "grid": (2, 3), "block": (4, 4)}


def matrices():
    product = uninitialized(45).reshape(9, 5)
    return (A, B, product, np.int32(9), np.int32(5), np.int32(14)), product


def sums():
    total = uninitialized(1)
    return (ones(), total), total


def into(n, *values):
    """Arguments (y, *values), y with n elements."""

    def arguments():
        y = uninitialized(n)
        return (y, *map(np.int32, values)), y

    return arguments


def from_ones(n, *values, start=None):
    """Arguments (x, y, *values): x with ones, y with n elements."""

    def arguments():
        y = uninitialized(n) if start is None else np.full(n, start, "f")
        return (ones(max(n, 64)), y, *map(np.int32, values)), y

    return arguments


def zeros(n):
    def arguments():
        y = np.zeros(n, "f")
        return (y,), y

    return arguments


ALL = {"result", "order", "check"}


def gemm_fault(name, old, new, message, found_by=ALL):
    code = variant(GEMM, name, old, new)
    return Fault(name, code, matrices, found_by=found_by, message=message, **PRODUCT)


def kernel_fault(
    name, parameters, body, arguments, expected, message, found_by=frozenset({"check"}), **launch
):
    code = kernel(name, parameters, body)
    return Fault(name, code, arguments, expected, found_by, message, **launch)


FAULTS = [
    gemm_fault(
        "no_barrier_after_the_tile_load",
        "__syncthreads(); // the tile is loaded",
        "",
        "reads shared memory that no thread has written.*faults.cu:",
    ),
    gemm_fault(
        "no_barrier_before_the_next_load",
        "__syncthreads(); // the tile is used",
        "",
        "race on shared memory, byte .* no barrier between them .at faults.cu:.* and faults.cu:",
    ),
    gemm_fault(
        "barrier_in_a_branch",
        "__syncthreads(); // the tile is loaded",
        "if (row < M) __syncthreads();",
        "race on shared memory|deadlock, threads wait at different barriers",
    ),
    gemm_fault(
        "return_before_a_barrier",
        "float sum = 0;",
        "float sum = 0; if (row >= M || col >= N) return;",
        "threads ended before the __syncthreads at faults.cu:",
    ),
    gemm_fault(
        "edge_tile_not_filled",
        "a[ty][tx] = row < M && t + tx < K ? A[row * K + t + tx] : 0;",
        "if (row < M && t + tx < K) a[ty][tx] = A[row * K + t + tx];",
        "reads shared memory that no thread has written",
        found_by={"check"},
    ),
    kernel_fault(
        "writes_past_the_end",
        "float* y, int n",
        "if (t <= n) y[t] = t;",
        into(50, 50),
        np.arange(50),
        "writes 4 bytes out of bounds: element 50 of argument 0, which has 50",
    ),
    kernel_fault(
        "reads_past_the_end",
        "const float* x, float* y, int n",
        "if (t < n) { y[t] = x[t]; if (x[t + 1] == 7) y[t] = 1; }",
        from_ones(64, 64),
        ones(),
        "reads 4 bytes out of bounds: element 64 of argument 0, which has 64",
    ),
    kernel_fault(
        "writes_through_const",
        "const float* x, float* y",
        "y[t] = x[t]; ((float*)x)[t] = 0;",
        from_ones(64),
        ones(),
        "writes argument 0, a pointer to const",
    ),
    kernel_fault(
        "addition_that_is_not_atomic",
        "const float* x, float* y",
        "y[0] += x[t];",
        from_ones(1, start=0),
        [64],
        "race on argument 1, element 0: thread 1 of block 0 reads and thread 0 of block 0 wrote it",
    ),
    kernel_fault(
        "two_blocks_update_one_element",
        "float* y",
        "y[t] = y[t] + 1;",
        zeros(64),
        2 * ones(),
        "race on argument 0, element 0: thread 0 of block 1 reads and thread 0 of block 0 wrote it",
        grid=(2,),
    ),
    kernel_fault(
        "relies_on_the_order_of_blocks",
        "float* y",
        "const int b = blockIdx.x; if (t == 0) y[b] = b ? y[b - 1] + 1 : 0;",
        into(8),
        np.arange(8),
        "race on argument 0, element 0: thread 0 of block 1 reads and thread 0 of block 0 wrote it",
        found_by={"order", "check"},
        grid=(8,),
    ),
    kernel_fault(
        "too_little_dynamic_shared_memory",
        "float* y",
        "extern __shared__ float s[]; s[t] = 1; __syncthreads(); y[t] = s[t];",
        into(64),
        ones(),
        "dynamic shared memory of 240 bytes overrun",
        found_by=ALL,
        shared_mem=240,
    ),
    kernel_fault(
        "full_shuffle_in_a_branch",
        "float* y",
        "float v = t; if (t < 16) v += __shfl_down_sync(0xffffffffu, v, 8); __syncthreads(); y[t] = v;",
        into(32),
        np.where(np.arange(32) < 16, 2 * np.arange(32) + 8, np.arange(32)),
        "deadlock, threads wait at different barriers: thread 0 at faults.cu:.*warp",
        found_by=ALL,
        block=(32,),
    ),
    Fault(
        "warp_without_syncwarp",
        variant(SUM, "warp_without_syncwarp", "__syncwarp(); // all have written", ""),
        sums,
        [64],
        ALL,
        "race on shared memory",
    ),
    kernel_fault(
        "int_product_overflows",
        "float* y, int n",
        "const int big = n * n; y[t] = big == 7 ? 0 : 1;",
        into(64, 70000),
        ones(),
        r"faults.cu:.* signed overflow in \*",
    ),
    kernel_fault(
        "misaligned_vector_load",
        "const float* x, float* y",
        "const float4 v = *(const float4*)(x + 1); y[0] = v.x + v.y + v.z + v.w;",
        from_ones(1),
        [4],
        "misaligned access",
        block=(1,),
        harmless=False,
    ),
    kernel_fault(
        "index_out_of_a_local_array",
        "float* y, int n",
        "float a[4] = {1, 1, 1, 1}, s = 0; for (int i = 0; i <= n; ++i) s += a[i]; y[0] = s;",
        into(1, 4),
        [5],
        "index out of an array's bounds",
        block=(1,),
        harmless=False,
    ),
]

CORRECT = [
    Fault("gemm", GEMM, matrices, found_by=set(), message="", **PRODUCT),
    Fault("sum", SUM, sums, [64], set(), ""),
]


@pytest.fixture(scope="module")
def builds():
    """All kernels of this file, without checks (False) and with them (True)."""
    code = "".join(fault.code for fault in FAULTS + CORRECT)
    return {check: Module(code, "faults.cu", check=check) for check in (False, True)}


def outcome(builds, fault, *, check=False, order=0):
    """The error of a run, or None."""
    arguments, result = fault.arguments()
    try:
        builds[check].get_function(fault.name)(
            fault.grid, fault.block, arguments, shared_mem=fault.shared_mem, order=order
        )
        np.testing.assert_allclose(result, fault.expected, rtol=1e-5, atol=1e-5)
    except (LaunchError, AssertionError) as error:
        return str(error)
    return None


def found_by(builds, fault):
    found = set()
    if fault.harmless and outcome(builds, fault):
        found.add("result")
    if fault.harmless and any(outcome(builds, fault, order=order) for order in (1, 3)):
        found.add("order")
    if outcome(builds, fault, check=True):
        found.add("check")
    return found


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_an_injected_fault_is_found_by_the_expected_methods(builds, fault):
    assert found_by(builds, fault) == fault.found_by


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_the_checked_build_describes_the_fault(builds, fault):
    with pytest.raises(LaunchError, match=fault.message):
        builds[True].get_function(fault.name)(
            fault.grid, fault.block, fault.arguments()[0], shared_mem=fault.shared_mem
        )


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("correct", CORRECT, ids=[correct.name for correct in CORRECT])
def test_a_correct_kernel_passes_all_checks(builds, correct, order):
    assert outcome(builds, correct, check=True, order=order) is None
