"""The emulator: CUDA's features, half precision, and the errors of kernels."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from tinyalex.emulator import LaunchError, Module
from tinyalex.emulator.cuda import work_queue
from tinyalex.emulator.kernels import compiling

pytestmark = pytest.mark.cuda

FEATURES = r"""
#include <cuda_fp16.h>
__constant__ float coefficients[4] = {1, 2, 3, 4};
__device__ __forceinline__ float polynomial(float x) {
  return ((coefficients[3] * x + coefficients[2]) * x + coefficients[1]) * x + coefficients[0];
}
extern "C" {
__global__ void __launch_bounds__(128) horner(const float* __restrict__ x, float* __restrict__ y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x; /* extern __shared__ float in_a_comment[]; */
  if (i < n) y[i] = polynomial(x[i]);
}
__global__ void indices_in_three_dimensions(int* y) {
  const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  y[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}
__global__ void warp(int* y) {
  const int t = threadIdx.x;
  const unsigned all = 0xffffffffu;
  int* out = y + 9 * t;
  out[0] = (int)__ballot_sync(all, t % 3 == 0);
  out[1] = __any_sync(all, t == 40);
  out[2] = __all_sync(all, t >= 32);
  out[3] = __reduce_add_sync(all, t);
  out[4] = __shfl_up_sync(all, t, 1);
  out[5] = __shfl_xor_sync(all, t, 5, 8);
  out[6] = __shfl_sync(all, t, 3);
  out[7] = __shfl_down_sync(all, t, 8);
  out[8] = __syncthreads_count(t & 1);
}
__global__ void half_a_warp(int* y) {
  const int t = threadIdx.x;
  y[t] = t < 16 ? __shfl_xor_sync(0x0000ffffu, t, 1) : -1;
}
__global__ void shuffle_after_a_branch(int* y) {
  const int t = threadIdx.x;
  int value = t;
  if (t < 16) value += __shfl_xor_sync(0x0000ffffu, value, 1);
  y[t] = __shfl_xor_sync(0xffffffffu, value, 16);
}
__global__ void histogram(const int* x, unsigned* counts, float* total, int n) {
  __shared__ unsigned bins[16];
  __shared__ float a, b;
  const int t = threadIdx.x;
  if (t < 16) bins[t] = 0;
  if (t == 0) a = b = 0;
  __syncthreads();
  for (int i = t; i < n; i += blockDim.x) {
    atomicAdd(&bins[x[i] & 15], 1u);
    atomicAdd(&a, 1.0f);
  }
  __syncthreads();
  if (t < 16) counts[t] = bins[t];
  if (t == 0) {
    total[0] = a;
    total[1] = b;
  }
}
__global__ void largest(const float* x, float* y) {
  int* bits = (int*)y;
  int old = *(volatile int*)bits, seen; // a plain read here would be a race
  do {
    seen = old;
    old = atomicCAS(bits, seen, __float_as_int(fmaxf(__int_as_float(seen), x[threadIdx.x])));
  } while (old != seen);
}
__global__ void more_atomics(int* y) {
  atomicMax(y + 0, (int)threadIdx.x);
  atomicMin(y + 1, -(int)threadIdx.x);
  atomicOr(y + 2, 1 << (threadIdx.x % 8));
  atomicSub(y + 3, 1);
}
__global__ void vectors(const float4* x, float4* y, float a, int n) {
  const int i = threadIdx.x;
  if (i < n) y[i] = make_float4(a * x[i].x, a * x[i].y, a * x[i].z, a * x[i].w);
}
__global__ void unwritten(float* y) {
  __shared__ float s[32];
  y[threadIdx.x] = s[threadIdx.x];
  s[threadIdx.x] = 1;
}
__global__ void integers(unsigned long long* y) {
  y[0] = __umul64hi(0xD2E7470EE14C6C93ull, 0xCA5A826395121157ull);
  y[1] = __umulhi(0x80000000u, 6u);
  y[2] = __popc(0xf0f0u) * 100 + __clz(1);
  y[3] = min(3, 4ll) + max(5u, 6u);
}
__global__ void bits(float* y, double* z) {
  y[0] = __uint_as_float(0x3f800000u);
  y[1] = __int_as_float(0xff800000);
  z[0] = __longlong_as_double(0x7ff0000000000000ll);
}
__global__ void add_halves(const __half* x, const __half* y, __half* sum, __half* rounded_once, int n) {
  const int i = threadIdx.x;
  if (i >= n) return;
  sum[i] = x[i] + y[i] + y[i];
  rounded_once[i] = __float2half(__half2float(x[i]) + float(y[i]) + float(y[i]));
}
__global__ void to_half(const float* x, __half* y) { y[blockIdx.x * blockDim.x + threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x]; }
__global__ void to_float(const __half* x, float* y) { y[blockIdx.x * blockDim.x + threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x]; }
__global__ void sign_of_half(const __half* x, __half* y) {
  const int i = threadIdx.x;
  y[i] = x[i] > 0 ? __half(1) : x[i] < __half(0.0f) ? __half(-1.0f) : x[i];
}
__global__ void asserts(const float* x) { assert(x[threadIdx.x] < 40); }
}
template <typename T> __global__ void scan(const T* x, T* y, int n) {
  extern __shared__ __align__(16) unsigned char raw[];
  T* s = reinterpret_cast<T*>(raw);
  const int t = threadIdx.x;
  s[t] = t < n ? x[t] : T(0);
  __syncthreads();
  for (int distance = 1; distance < blockDim.x; distance <<= 1) {
    const T other = t >= distance ? s[t - distance] : T(0);
    __syncthreads();
    s[t] += other;
    __syncthreads();
  }
  if (t < n) y[t] = s[t];
}
template <typename T> __global__ void functions(const T* x, T* y) {
  const T a = x[threadIdx.x];
  T* out = y + 8 * threadIdx.x;
  out[0] = sqrt(a); out[1] = rsqrt(a); out[2] = pow(a, T(-0.75)); out[3] = exp(-a); out[4] = log(a);
  out[5] = isnan(a) + 2 * isinf(a); out[6] = fmax(a, T(1)); out[7] = min(a, 2.0f);
}
template <typename T, int N> __global__ void filled(T* y) { y[threadIdx.x] = T(N); }
extern "C" __global__ void float_functions(const float* x, float* y) {
  const float a = x[threadIdx.x];
  float* out = y + 6 * threadIdx.x;
  out[0] = sqrtf(a); out[1] = rsqrtf(a); out[2] = powf(a, -0.75f); out[3] = expf(-a); out[4] = logf(a); out[5] = fmaxf(a, 1.0f);
}
"""

NAMES = [
    "scan<float>",
    "scan<double>",
    "functions<float>",
    "functions<double>",
    "filled<unsigned char, 7>",
]

SCALE = """#line 1 "scale.cu"
extern "C" __global__ void scale(const float* x, float* y, float a, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i];
}
"""


@pytest.fixture(scope="module", params=["plain", "checked", "ucontext"])
def module(request):
    """FEATURES in each build; "ucontext" is for processors other than x86-64."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "ucontext":
            patch.setattr(compiling, "FLAGS", (*compiling.FLAGS, "-DON_CPU_UCONTEXT"))
        yield Module(FEATURES, "features.cu", NAMES, check=request.param == "checked")


@pytest.fixture(params=[0, 1, 4], ids=["forward", "reverse", "shuffled"])
def order(request):
    return request.param


def poisoned(shape, dtype="f4"):
    """An array like that of cupy.empty, filled with NaN or -1."""
    array = np.empty(shape, dtype)
    array.view(np.uint8)[...] = 0xFF
    return array


# CUDA


def test_constants_and_device_functions_work(module, order):
    x, y = np.linspace(-1, 1, 200, dtype="f"), poisoned(200)
    module.get_function("horner")((2,), (128,), (x, y, np.int32(200)), order=order)
    np.testing.assert_allclose(y, 1 + 2 * x + 3 * x**2 + 4 * x**3, rtol=1e-5, atol=1e-6)


def test_indices_have_three_dimensions(module, order):
    y = poisoned(24 * 30, "i4")
    module.get_function("indices_in_three_dimensions")((2, 3, 4), (5, 3, 2), (y,), order=order)
    np.testing.assert_array_equal(y.reshape(24, 30), np.arange(24)[:, None] * 1000 + np.arange(30))


def test_warps_vote_and_shuffle(module, order):
    y = poisoned((64, 9), "i4")
    module.get_function("warp")((1,), (64,), (y,), order=order)
    t = np.arange(64)
    lane, warp = t % 32, t // 32
    ballots = [sum(1 << lane for lane in range(32) if (32 * w + lane) % 3 == 0) for w in (0, 1)]
    expected = {
        0: np.array(ballots, "u4").view("i4")[warp],
        1: warp == 1,
        2: warp == 1,
        3: np.array([t[:32].sum(), t[32:].sum()])[warp],
        4: np.where(lane, t - 1, t),
        5: t ^ 5,
        6: warp * 32 + 3,
        7: np.where(lane < 24, t + 8, t),
        8: np.full(64, 32),
    }
    np.testing.assert_array_equal(y, np.stack(list(expected.values()), axis=1))


def test_half_a_warp_may_shuffle(module, order):
    y = poisoned(32, "i4")
    module.get_function("half_a_warp")((1,), (32,), (y,), order=order)
    np.testing.assert_array_equal(y, np.where(np.arange(32) < 16, np.arange(32) ^ 1, -1))


def test_lanes_shuffle_together_after_only_some_of_them_did(module, order):
    y = poisoned(32, "i4")
    module.get_function("shuffle_after_a_branch")((1,), (32,), (y,), order=order)
    t = np.arange(32)
    np.testing.assert_array_equal(y, np.where(t < 16, t + (t ^ 1), t)[t ^ 16])


def test_threads_share_memory_and_add_atomically(module, order, rng):
    x = rng.integers(0, 99, 1000).astype("i4")
    counts, total = poisoned(16, "u4"), poisoned(2)
    module.get_function("histogram")((1,), (64,), (x, counts, total, np.int32(1000)), order=order)
    np.testing.assert_array_equal(counts, np.bincount(x & 15, minlength=16))
    assert total.tolist() == [1000, 0]


def test_compare_and_swap_finds_a_maximum(module, order, rng):
    x, y = rng.random(64, dtype="f"), np.zeros(1, "f")
    module.get_function("largest")((1,), (64,), (x, y), order=order)
    assert y[0] == x.max()


def test_other_atomics_combine_all_threads(module, order):
    y = np.zeros(4, "i4")
    module.get_function("more_atomics")((2,), (64,), (y,), order=order)
    assert y.tolist() == [63, -63, 255, -128]


@pytest.mark.parametrize(("name", "dtype"), [("scan<float>", "f4"), ("scan<double>", "f8")])
def test_dynamic_shared_memory_has_the_size_given_at_launch(module, order, rng, name, dtype):
    x, y = rng.random(100).astype(dtype), poisoned(100, dtype)
    kernel = module.get_function(name)
    kernel((1,), (128,), (x, y, np.int32(100)), shared_mem=128 * x.itemsize, order=order)
    np.testing.assert_allclose(y, np.cumsum(x), rtol=1e-5)
    assert kernel.waits == 128 * (1 + 2 * 7)


def test_vector_types_load_and_store(module):
    x, y = np.arange(64, dtype="f"), poisoned(64)
    module.get_function("vectors")((1,), (32,), (x, y, np.float32(2), np.int32(16)))
    np.testing.assert_array_equal(y, 2 * x)


def test_templates_take_types_and_values(module):
    y = poisoned(8, "u1")
    module.get_function("filled<unsigned char, 7>")((1,), (8,), (y,))
    assert y.tolist() == [7] * 8


def test_integer_functions_equal_those_of_python(module):
    y = poisoned(4, "u8")
    module.get_function("integers")((1,), (1,), (y,))
    assert y.tolist() == [(0xD2E7470EE14C6C93 * 0xCA5A826395121157) >> 64, 3, 831, 9]


def test_bits_are_reinterpreted_as_floats(module):
    y, z = poisoned(2), poisoned(1, "f8")
    module.get_function("bits")((1,), (1,), (y, z))
    assert (y.tolist(), z.tolist()) == ([1, -np.inf], [np.inf])


@pytest.mark.parametrize(
    ("name", "dtype"), [("functions<float>", "f4"), ("functions<double>", "f8")]
)
def test_mathematical_functions_of_both_types_equal_numpys(module, name, dtype):
    x = np.array([0.25, 1, 3, np.inf, np.nan], dtype)
    y = poisoned((5, 8), dtype)
    module.get_function(name)((1,), (5,), (x, y))
    kind = np.isnan(x) + 2 * np.isinf(x)
    expected = np.stack(
        [x**0.5, x**-0.5, x**-0.75, np.exp(-x), np.log(x), kind, np.fmax(x, 1), np.fmin(x, 2)],
        axis=1,
    )
    np.testing.assert_allclose(y, expected, rtol=1e-6 if dtype == "f4" else 1e-14)


def test_mathematical_functions_for_floats_equal_numpys(module):
    x = np.array([0.25, 1, 3], "f")
    y = poisoned((3, 6))
    module.get_function("float_functions")((1,), (3,), (x, y))
    np.testing.assert_allclose(
        y,
        np.stack([x**0.5, x**-0.5, x**-0.75, np.exp(-x), np.log(x), np.fmax(x, 1)], axis=1),
        rtol=1e-6,
    )


# Half precision


def test_every_half_converts_to_float_as_in_numpy(module):
    x = np.arange(65536, dtype="u2").view("f2")
    y = poisoned(65536)
    module.get_function("to_float")((64,), (1024,), (x, y))
    np.testing.assert_array_equal(y, x.astype("f4"))


def test_floats_convert_to_half_as_in_numpy(module, rng):
    # All halves, the midpoints between two of them, their neighbours, and overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        halves = np.arange(0x7C01, dtype="u2").view("f2").astype("f4")
        midpoints = np.append((halves[:-2] + halves[1:-1]) / 2, np.float32(65520))
        midpoints = midpoints[np.isfinite(midpoints)]
        x = np.concatenate(
            [
                halves,
                midpoints,
                np.nextafter(midpoints, np.float32(0)),
                np.nextafter(midpoints, np.float32(np.inf)),
                [1e9, np.nan],
            ]
        )
        x = np.resize(np.concatenate([x, -x]).astype("f4"), 1024 * 256)
        expected = x.astype("f2")
    y = poisoned(x.size, "f2")
    module.get_function("to_half")((256,), (1024,), (x, y))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y), np.signbit(expected))


def test_half_arithmetic_rounds_after_each_operation(module, rng):
    x, y = rng.standard_normal((2, 100)).astype("f2")
    total, rounded_once = poisoned(100, "f2"), poisoned(100, "f2")
    module.get_function("add_halves")((1,), (128,), (x, y, total, rounded_once, np.int32(100)))
    np.testing.assert_array_equal(total, x + y + y)
    np.testing.assert_array_equal(
        rounded_once, (x.astype("f") + y.astype("f") + y.astype("f")).astype("f2")
    )
    assert (total != rounded_once).any()


def test_halves_compare_with_numbers_and_with_halves(module):
    x, y = np.array([-2, -0.0, 0, 6e-8, 2, np.nan], "f2"), poisoned(6, "f2")
    module.get_function("sign_of_half")((1,), (6,), (x, y))
    np.testing.assert_array_equal(y, [-1, 0, 0, 1, 1, np.nan])


# Errors


def test_shared_memory_is_reset_before_every_block():
    y = np.zeros(64, "f")
    Module(FEATURES, "features.cu", NAMES).get_function("unwritten")((2,), (32,), (y[:32],))
    assert np.isnan(y[:32]).all()


def test_a_failed_assertion_names_its_thread(module):
    with pytest.raises(
        LaunchError,
        match=r"asserts: block \(0,0,0\): thread \(41,0,0\) at features.cu:\d+: assertion failed: x\[threadIdx.x\] < 40",
    ):
        module.get_function("asserts")((1,), (64,), (np.arange(64, dtype="f") - 1,))


def test_a_kernel_runs_again_after_an_error(module):
    x = np.arange(64, dtype="f")
    with pytest.raises(LaunchError, match="overrun"):
        module.get_function("scan<float>")(
            (1,), (64,), (x, poisoned(64), np.int32(64)), shared_mem=4
        )
    y = poisoned(64)
    module.get_function("scan<float>")((1,), (64,), (x, y, np.int32(64)), shared_mem=256)
    np.testing.assert_array_equal(y, np.cumsum(x))


def test_messages_name_lines_of_the_original_files():
    code = """#line 1 "sums.cu"
#line 41 "sums.cuh"
static __device__ void add(float* y, float x) {
  y[0] += x;
}
#line 2 "sums.cu"
extern "C" __global__ void sum(const float* x, float* y) { add(y, x[threadIdx.x]); }
"""
    kernel = Module(code, "sums.cu", check=True).get_function("sum")
    with pytest.raises(
        LaunchError, match=r"race on argument 1, element 0.*\(at sums.cuh:42 and sums.cuh:42\)\.$"
    ):
        kernel((1,), (32,), (np.ones(32, "f"), np.zeros(1, "f")))


def test_overlapping_arguments_also_overlap_in_a_checked_launch():
    kernel = Module(SCALE, "scale.cu", check=True).get_function("scale")
    x = np.arange(32, dtype="f")
    kernel((1,), (32,), (x, x[:], np.float32(2), np.int32(32)))
    np.testing.assert_array_equal(x, 2 * np.arange(32))
    kernel((1,), (32,), (x[16:], x[:16], np.float32(0.5), np.int32(16)))
    np.testing.assert_array_equal(x, [*range(16, 32), *range(32, 64, 2)])
    with pytest.raises(LaunchError, match="race on argument"):
        kernel((1,), (32,), (x[1:], x[:-1], np.float32(2), np.int32(31)))


def test_a_failed_checked_launch_leaves_arrays_unchanged():
    kernel = Module(SCALE, "scale.cu", check=True).get_function("scale")
    y = np.zeros(8, "f")
    with pytest.raises(
        LaunchError, match="reads 4 bytes out of bounds: element 4 of argument 0, which has 4"
    ):
        kernel((1,), (8,), (np.ones(4, "f"), y, np.float32(2), np.int32(8)))
    assert not y.any()


def test_no_garbage_is_collected_within_a_task(monkeypatch):
    """It could destroy a stream, which waits for tasks that depend on this one."""
    monkeypatch.setattr(work_queue, "settings", replace(work_queue.settings, lazy=True))
    seen = []
    work_queue.add(work_queue.Task(lambda: seen.append(gc.isenabled()), 0, 0))
    assert seen == []
    work_queue.wait()
    assert (seen, gc.isenabled()) == ([False], True)
