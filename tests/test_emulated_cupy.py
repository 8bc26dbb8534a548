"""What the real CuPy computes on emulated GPUs, compared with NumPy."""

import ctypes
import inspect
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tinyalex import emulator

pytestmark = pytest.mark.emulated

X = np.random.default_rng(0).standard_normal((5, 7, 6)).astype("f")


@pytest.fixture
def cupy():
    import cupy

    return cupy


@pytest.fixture
def stream(cupy):
    """The current stream, which may capture."""
    with cupy.cuda.Stream(non_blocking=True) as stream:
        yield stream


def compare(cupy, function, *arrays, rtol=1e-5, atol=1e-6):
    """function(module, *arrays) with CuPy and with NumPy."""
    result = function(cupy, *(cupy.asarray(array) for array in arrays))
    expected = function(np, *arrays)
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result.get(), expected, rtol=rtol, atol=atol)


# Arrays

ARRAYS = {
    "elementwise functions": lambda p, x: p.tanh(p.log(p.exp(x))) * 2 + 1,
    "in place": lambda p, x: p.add(x, 1, out=x.copy()),
    "strides": lambda p, x: x[::2, ::-1, 1:4] + 1,
    "broadcast": lambda p, x: x + x[:1, :, :1],
    "transpose": lambda p, x: p.ascontiguousarray(x.transpose(2, 0, 1)),
    "Fortran order": lambda p, x: p.asfortranarray(x[0]) + 0,
    "astype": lambda p, x: (100 * x).astype("i2"),
    "complex": lambda p, x: p.exp(x + 1j * x),
    "sum": lambda p, x: x.sum(),
    "sum over an axis": lambda p, x: x.sum(axis=1),
    "max over two axes": lambda p, x: x.max(axis=(0, 2)),
    "argmax": lambda p, x: x.argmax(axis=1),
    "var": lambda p, x: x.var(axis=0),
    "mean of a strided array": lambda p, x: x[:, ::2].mean(axis=(0, 1), keepdims=True),
    "all": lambda p, x: (x > -9).all(axis=-1),
    "cumsum": lambda p, x: p.cumsum(x, axis=1),
    "cumprod": lambda p, x: p.cumprod(x[0, 0]),
    "where": lambda p, x: p.where(x > 0, x, 0),
    "mask": lambda p, x: x[x > 0],
    "integer indices": lambda p, x: x[p.asarray([0, 2, 4]), 1],
    "take": lambda p, x: p.take(x, p.asarray([3, 1]), axis=1),
    "nonzero": lambda p, x: p.stack(p.nonzero(x > 0)),
    "concatenate": lambda p, x: p.concatenate([x, x], 1),
    "pad": lambda p, x: p.pad(x, 1, mode="reflect"),
    "einsum": lambda p, x: p.einsum("ijk,ilk->ijl", x, x),
    "einsum over one array": lambda p, x: p.einsum("iji->j", x[:, :, :5]),
    "sinc and i0": lambda p, x: p.sinc(x) + p.i0(x.astype("d")),
    "bincount": lambda p, x: p.bincount(p.asarray([0, 2, 2, 5])),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_cupy_computes_what_numpy_computes(cupy, case):
    compare(cupy, ARRAYS[case], X)


def test_indices_assign_and_add(cupy):
    x = cupy.zeros(5, "f")
    x[cupy.asarray([1, 3])] = 2
    cupy.add.at(x, cupy.asarray([3, 3, 0]), 1)
    assert x.get().tolist() == [1, 2, 0, 4, 0]


@pytest.mark.parametrize("dtype", ["?", "b", "H", "i", "q", "e", "d", "D"])
def test_arrays_of_each_dtype_add(cupy, dtype):
    compare(cupy, lambda p, x: x[0] + x[1], (10 * X).astype(dtype), rtol=0, atol=0)


def test_half_precision_rounds_as_numpy(cupy):
    compare(cupy, lambda p, x: x * x + x / 3, X.astype("e"), rtol=0, atol=0)


def test_empty_and_zero_dimensional_arrays(cupy):
    assert cupy.empty((0, 3)).sum(axis=0).get().tolist() == [0, 0, 0]
    assert float(cupy.asarray(2.0).reshape(()) * 3) == 6


# Matrix multiplication

MATMULS = {
    "2-D": lambda p, x: x[0] @ x[1].T,
    "vector": lambda p, x: x[0] @ x[1, 2],
    "batched": lambda p, x: x @ x.transpose(0, 2, 1),
    "broadcast": lambda p, x: x[0, :3] @ x.transpose(0, 2, 1),
    "strided": lambda p, x: x[:, ::2, ::-1] @ x[:, 1:, ::2].transpose(0, 2, 1)[:, :3].repeat(2, 1),
    "dot": lambda p, x: p.dot(x[0, 0], x[0, 1]),
    "tensordot": lambda p, x: p.tensordot(x, x, axes=((0, 2), (0, 2))),
    "outer": lambda p, x: p.outer(x[0, 0], x[1, 0]),
    "no columns": lambda p, x: x[0, :, :0] @ x[1, :, :0].T,
    "out": lambda p, x: p.matmul(x[0], x[1].T, out=p.ones((7, 7), x.dtype)),
}


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D"])
@pytest.mark.parametrize("case", MATMULS)
def test_matrix_multiplication(cupy, case, dtype):
    x = X.astype(dtype)
    if x.dtype.kind == "c":
        x *= 1 + 0.5j
    compare(cupy, MATMULS[case], x)


def test_conjugate_transpose(cupy):
    from cupy import cublas

    x = X[0] * (1 + 2j)
    compare(cupy, lambda p, x: x.conj().T @ x, x.astype("F"))
    compare(cupy, lambda p, x: p.vdot(x, 1j * x), x.ravel().astype("D"))
    y = cupy.asarray(x.astype("F"))
    product = cublas.gemm("H", "N", y, y)
    np.testing.assert_allclose(product.get(), x.conj().T @ x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", ["2-D", "batched", "broadcast"])
def test_half_precision_accumulates_in_float32(cupy, case):
    compare(cupy, MATMULS[case], X.astype("e"), rtol=2e-3, atol=2e-3)
    ones = cupy.ones((1, 4096), "e")
    assert (ones @ ones.T).item() == 4096  # in float16, the sum stays at 2048


@pytest.mark.parametrize("dtype", ["i", "?"])
def test_matrix_multiplication_of_integers(cupy, dtype):
    compare(cupy, MATMULS["2-D"], (10 * X).astype(dtype))


@pytest.mark.parametrize(("value", "rounded"), [(1 + 2**-11, 1), (1 + 2**-11 + 2**-20, 1 + 2**-10)])
def test_tf32_rounds_the_inputs_to_ten_bits(cupy, value, rounded):
    linalg, x = cupy._core._routines_linalg, cupy.full((16, 16), value, "f")
    linalg.set_compute_type(np.float32, linalg.COMPUTE_TYPE_TF32)
    try:
        product = x @ x
    finally:
        linalg.set_compute_type(np.float32, linalg.COMPUTE_TYPE_DEFAULT)
    assert (product == 16 * rounded**2).all()
    np.testing.assert_allclose((x @ x).get(), 16 * value**2, rtol=1e-6)


# Kernels

REVERSE = """
template <class T> __global__ void reverse(const T* x, T* y, int n) {
  extern __shared__ char bytes[];
  T* t = reinterpret_cast<T*>(bytes);
  const int i = threadIdx.x;
  t[i] = x[i];
  __syncthreads();
  y[i] = t[n - 1 - i];
}
"""


@pytest.mark.parametrize(("type_", "dtype"), [("float", "f"), ("double", "d"), ("int", "i")])
def test_a_raw_module_with_a_template_and_dynamic_shared_memory(cupy, type_, dtype):
    module = cupy.RawModule(code=REVERSE, name_expressions=(f"reverse<{type_}>",))
    x, y = cupy.arange(64, dtype=dtype), cupy.empty(64, dtype)
    kernel = module.get_function(f"reverse<{type_}>")
    kernel((1,), (64,), (x, y, np.int32(64)), shared_mem=64 * x.itemsize)
    assert y.get().tolist() == list(range(64))[::-1]


def test_a_raw_kernel_with_atomics_over_blocks(cupy):
    count = cupy.RawKernel(
        'extern "C" __global__ void count(int* n) { atomicAdd(n, blockIdx.x + threadIdx.x); }',
        "count",
    )
    n = cupy.zeros(1, "i")
    count((3,), (40,), (n,))
    assert n.item() == 3 * sum(range(40)) + 40 * (0 + 1 + 2)


def test_an_elementwise_kernel(cupy):
    kernel = cupy.ElementwiseKernel("T x, T y, raw T z", "T w", "w = x * y + z[i % 6]", "f")
    x = cupy.asarray(X)
    expected = X * X + X[0, 0]
    np.testing.assert_allclose(kernel(x, x, x[0, 0]).get(), expected, rtol=1e-6, atol=1e-6)


def test_a_reduction_kernel(cupy):
    norm = cupy.ReductionKernel("T x", "T y", "x * x", "a + b", "y = sqrt(a)", "0", "norm")
    expected = np.sqrt((X * X).sum(axis=(0, 2)))
    np.testing.assert_allclose(norm(cupy.asarray(X), axis=(0, 2)).get(), expected, rtol=1e-5)


def test_fused_functions(cupy):
    @cupy.fuse
    def swish(x):
        return x / (1 + cupy.exp(-x))

    np.testing.assert_allclose(swish(cupy.asarray(X)).get(), X / (1 + np.exp(-X)), rtol=1e-5)


# Sorting

SORTS = {
    "sort": lambda p, x: p.sort(x),
    "sort of an axis": lambda p, x: p.sort(x, axis=0),
    "sort of all": lambda p, x: p.sort(x, axis=None),
    "argsort": lambda p, x: p.argsort(x, kind="stable"),
    "argsort of an axis": lambda p, x: p.argsort(x, axis=1, kind="stable"),
    "partition": lambda p, x: p.partition(x, 2)[..., 2],
    "unique": lambda p, x: p.unique(x),
    "unique counts": lambda p, x: p.concatenate(p.unique(x, return_counts=True, return_inverse=True)[2:]),
    "median": lambda p, x: p.median(x.astype("d"), axis=1),
    "percentile": lambda p, x: p.percentile(x.astype("d"), 30),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["b", "B", "i", "q", "e", "f", "d"])
@pytest.mark.parametrize("case", SORTS)
def test_sorting(cupy, case, dtype):
    compare(cupy, SORTS[case], (5 * np.abs(X)).astype(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", ["e", "f", "d", "F", "D"])
def test_nans_sort_to_the_end(cupy, dtype):
    x = X[0].astype(dtype)
    x[::2, 1] = np.nan
    for case in ("sort", "argsort", "sort of an axis"):
        compare(cupy, SORTS[case], x, rtol=0, atol=0)


def test_booleans_and_complex_numbers_sort(cupy):
    compare(cupy, SORTS["sort"], X > 0)
    compare(cupy, SORTS["sort"], np.round(X[0]) + 1j * X[1])


def test_lexsort_sorts_by_the_last_key_first(cupy):
    keys = np.array([[1, 5, 1, 4, 3], [9, 4, 0, 4, 0]], "f")
    compare(cupy, lambda p, x: p.lexsort(x), keys)


def test_searchsorted(cupy):
    compare(cupy, lambda p, x: p.searchsorted(p.sort(x.ravel()), p.asarray([-0.5, 0, 0.5])), X)


@pytest.mark.parametrize("k", [0, 9, 100])
def test_argpartition_although_its_warps_do_not_synchronize(cupy, k):
    compare(cupy, lambda p, x: p.sort(x[p.argpartition(x, k)[: k + 1]]), X.ravel())


# Random numbers

SIZE = 20_000

# Mean and variance by NumPy's parameters.
DISTRIBUTIONS = {
    "random": ((), 0.5, 1 / 12),
    "beta": ((2.0, 3.0), 0.4, 0.04),
    "binomial": ((10, 0.3), 3, 2.1),
    "chisquare": ((4.0,), 4, 8),
    "exponential": ((2.0,), 2, 4),
    "gamma": ((3.0, 2.0), 6, 12),
    "geometric": ((0.25,), 4, 12),
    "hypergeometric": ((20, 30, 10), 4, 10 * 0.4 * 0.6 * 40 / 49),
    "logseries": ((0.5,), 1 / np.log(2), 2 / np.log(2) - 1 / np.log(2) ** 2),
    "poisson": ((3.5,), 3.5, 3.5),
    "standard_normal": ((), 0, 1),
    "uniform": ((-1.0, 3.0), 1, 16 / 12),
}
LEGACY_ONLY = {
    "gumbel": ((0.0, 1.0), 0.5772, np.pi**2 / 6),
    "laplace": ((0.0, 1.0), 0, 2),
    "logistic": ((0.0, 1.0), 0, np.pi**2 / 3),
    "normal": ((1.0, 2.0), 1, 4),
    "lognormal": ((0.0, 0.5), np.exp(0.125), (np.exp(0.25) - 1) * np.exp(0.25)),
}


def has_moments(x, mean, variance):
    """Whether the sample's moments are within five standard errors, about."""
    x = x.get().astype("d")
    error = 5 * np.sqrt(variance / x.size)
    return abs(x.mean() - mean) < error and abs(x.var() / variance - 1) < 0.15


@pytest.mark.parametrize("generator", ["XORWOW", "Philox4x3210", "MRG32k3a"])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_generators_draw_distributions(cupy, name, generator):
    parameters, mean, variance = DISTRIBUTIONS[name]
    random = cupy.random.Generator(getattr(cupy.random, generator)(7))
    assert has_moments(getattr(random, name)(*parameters, size=SIZE), mean, variance)


@pytest.mark.parametrize("name", [*DISTRIBUTIONS, *LEGACY_ONLY])
def test_legacy_functions_draw_distributions(cupy, name):
    parameters, mean, variance = (DISTRIBUTIONS | LEGACY_ONLY)[name]
    cupy.random.seed(7)
    assert has_moments(getattr(cupy.random, name)(*parameters, size=SIZE), mean, variance)


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_uniform_numbers_are_in_their_interval(cupy, dtype):
    for random in (cupy.random.default_rng(1), cupy.random):
        x = random.random(SIZE, dtype=dtype)
        assert x.dtype == dtype
        assert 0 <= x.min() < 0.01 < 0.99 < x.max() <= 1


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_normal_numbers_have_their_dtype(cupy, dtype):
    for random in (cupy.random.default_rng(1), cupy.random):
        x = random.standard_normal(SIZE, dtype=dtype)
        assert x.dtype == dtype
        assert has_moments(x, 0, 1)


@pytest.mark.parametrize("high", [7, 2**31 + 5, 2**40])
def test_integers_are_in_their_range(cupy, high):
    for x in (
        cupy.random.default_rng(1).integers(3, high, SIZE),
        cupy.random.randint(3, high, SIZE, dtype="q"),
    ):
        assert 3 <= x.min() <= 3 + high / 100
        assert high - 1 - high / 100 <= x.max() <= high - 1


def test_permutations(cupy):
    x = cupy.arange(50)
    cupy.random.shuffle(x)
    for numbers in (x, cupy.random.permutation(50), cupy.random.choice(50, 50, replace=False)):
        assert numbers.tolist() != list(range(50)) == sorted(numbers.tolist())


@pytest.mark.parametrize("generator", ["XORWOW", "Philox4x3210", "MRG32k3a"])
def test_a_seed_repeats_the_numbers(cupy, generator):
    def numbers(seed):
        random = cupy.random.Generator(getattr(cupy.random, generator)(seed))
        return [random.random(5).tolist(), random.standard_normal(5).tolist()]

    assert numbers(3) == numbers(3) != numbers(4)


def test_a_legacy_seed_repeats_the_numbers(cupy):
    def numbers(seed):
        cupy.random.seed(seed)
        return [cupy.random.rand(5).tolist(), cupy.random.randint(0, 99, 5).tolist()]

    assert numbers(3) == numbers(3) != numbers(4)
    cupy.random.seed(3)
    assert cupy.random.rand(5).tolist() != cupy.random.rand(5).tolist()


def test_parameters_of_distributions_are_arrays(cupy):
    random = cupy.random.default_rng(2)
    means = cupy.asarray([[1.0], [10.0], [100.0]])
    x = random.poisson(means, size=(3, SIZE)).get()
    np.testing.assert_allclose(x.mean(axis=1), [1, 10, 100], rtol=0.05)
    x = random.binomial(10, cupy.asarray([0.1, 0.5, 0.9]), size=(SIZE, 3)).get()
    np.testing.assert_allclose(x.mean(axis=0), [1, 5, 9], rtol=0.05)


# Streams, devices, memory


def test_streams_events_and_pinned_memory(cupy):
    import cupyx

    stream, event = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Event()
    pinned = cupyx.empty_pinned(3, "f")
    pinned[:] = 1, 2, 3
    with stream:
        x = cupy.empty(3, "f")
        x.set(pinned, stream=stream)
        y = x * 2
        event.record(stream)
    cupy.cuda.get_current_stream().wait_event(event)
    result = (y + 1).get(out=cupyx.empty_pinned(3, "f"))
    assert result.tolist() == [3, 5, 7]
    assert stream.done
    assert event.done


def test_each_thread_has_its_current_device(cupy):
    def work():
        with cupy.cuda.Device(1):
            barrier.wait()
            return cupy.arange(5).device.id

    barrier = threading.Barrier(2)
    with ThreadPoolExecutor() as pool:
        other = pool.submit(work)
        barrier.wait()
        assert cupy.arange(5).device.id == 0
        assert other.result() == 1


def test_threads_launch_at_the_same_time(cupy):
    def work(n):
        return [int(cupy.arange(n).sum()) for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(10, 14)))
    assert results == [[n * (n - 1) // 2] * 20 for n in range(10, 14)]


def test_callbacks_run_in_the_streams_turn(cupy):
    called, stream = [], cupy.cuda.Stream()
    stream.launch_host_func(called.append, "host function")
    stream.add_callback(lambda stream, error, data: called.append(data), "callback")
    stream.synchronize()
    assert called == ["host function", "callback"]


def test_events_measure_time(cupy):
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    cupy.ones((200, 200)) @ cupy.ones((200, 200))
    end.record()
    end.synchronize()
    assert 0 < cupy.cuda.get_elapsed_time(start, end) < 60_000


def test_arrays_are_copied_between_two_devices(cupy):
    with cupy.cuda.Device(1):
        x = cupy.asarray(X) * 2
    y = cupy.asarray(x)
    assert (x.device.id, y.device.id) == (1, 0)
    y[:] = 0
    np.testing.assert_array_equal(x.get(), 2 * X)


def test_peer_copies_of_raw_memory(cupy):
    runtime = cupy.cuda.runtime
    x, y = cupy.arange(4), cupy.empty(4, int)
    with cupy.cuda.Device(1):
        there = cupy.empty(4, int)
    runtime.memcpyPeer(there.data.ptr, 1, x.data.ptr, 0, 32)
    runtime.memcpyPeerAsync(y.data.ptr, 0, there.data.ptr, 1, 32, cupy.cuda.Stream.null.ptr)
    assert y.tolist() == [0, 1, 2, 3]


def test_a_kernel_reads_a_peers_memory_once_access_is_enabled(cupy):
    runtime = cupy.cuda.runtime
    with cupy.cuda.Device(1):
        there = cupy.arange(4, dtype="i")
        cupy.cuda.Device().synchronize()
    here = cupy.empty(4, "i")
    copy = cupy.RawKernel(
        'extern "C" __global__ void copy(const int* x, int* y) { y[threadIdx.x] = x[threadIdx.x]; }', "copy"
    )  # fmt: skip
    assert runtime.deviceCanAccessPeer(0, 1)
    runtime.deviceEnablePeerAccess(1)
    try:
        copy((1,), (4,), (there, here))
    finally:
        runtime.deviceDisablePeerAccess(1)
    assert here.tolist() == [0, 1, 2, 3]


def test_the_memory_pool_reuses_memory(cupy):
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        x = cupy.empty(1000, "f")
        address = x.data.ptr
        del x
        assert cupy.empty(1000, "f").data.ptr == address
    assert pool.total_bytes() == 4096


def test_stream_ordered_allocation(cupy):
    pool = cupy.cuda.MemoryAsyncPool()
    with cupy.cuda.using_allocator(pool.malloc):
        x = cupy.asarray(X)
        y = x + 1
        np.testing.assert_array_equal(y.get(), X + 1)
        assert pool.used_bytes() >= 2 * X.nbytes
        del x, y
    cupy.cuda.Device().synchronize()
    assert pool.used_bytes() == 0


def test_managed_memory(cupy):
    with cupy.cuda.using_allocator(cupy.cuda.malloc_managed):
        x = cupy.arange(5) * 2
    assert x.tolist() == [0, 2, 4, 6, 8]


def test_memory_has_a_limit(cupy):
    with pytest.raises(
        cupy.cuda.memory.OutOfMemoryError, match="allocating 1,099,511,627,776 bytes"
    ):
        cupy.empty(1 << 40, "u1")
    free, total = cupy.cuda.Device().mem_info
    assert total == 8 << 30
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        x = cupy.empty(1 << 20, "u1")
        assert free - cupy.cuda.Device().mem_info[0] == x.nbytes


def test_new_memory_is_nan(cupy):
    with cupy.cuda.using_allocator(None):
        assert cupy.isnan(cupy.empty(100, "f")).all()


PROPERTIES = {
    "asyncEngineCount": "AsyncEngineCount",
    "canMapHostMemory": "CanMapHostMemory",
    "clockRate": "ClockRate",
    "concurrentKernels": "ConcurrentKernels",
    "cooperativeLaunch": "CooperativeLaunch",
    "integrated": "Integrated",
    "ECCEnabled": "EccEnabled",
    "l2CacheSize": "L2CacheSize",
    "managedMemory": "ManagedMemory",
    "maxBlocksPerMultiProcessor": "MaxBlocksPerMultiprocessor",
    "maxThreadsPerBlock": "MaxThreadsPerBlock",
    "maxThreadsPerMultiProcessor": "MaxThreadsPerMultiProcessor",
    "memPitch": "MaxPitch",
    "memoryBusWidth": "GlobalMemoryBusWidth",
    "memoryClockRate": "MemoryClockRate",
    "multiProcessorCount": "MultiProcessorCount",
    "pageableMemoryAccess": "PageableMemoryAccess",
    "pciBusID": "PciBusId",
    "pciDeviceID": "PciDeviceId",
    "regsPerBlock": "MaxRegistersPerBlock",
    "regsPerMultiprocessor": "MaxRegistersPerMultiprocessor",
    "reservedSharedMemPerBlock": "ReservedSharedMemoryPerBlock",
    "sharedMemPerBlock": "MaxSharedMemoryPerBlock",
    "sharedMemPerBlockOptin": "MaxSharedMemoryPerBlockOptin",
    "sharedMemPerMultiprocessor": "MaxSharedMemoryPerMultiprocessor",
    "singleToDoublePrecisionPerfRatio": "SingleToDoublePrecisionPerfRatio",
    "streamPrioritiesSupported": "StreamPrioritiesSupported",
    "textureAlignment": "TextureAlignment",
    "totalConstMem": "TotalConstantMemory",
    "unifiedAddressing": "UnifiedAddressing",
    "warpSize": "WarpSize",
}


@pytest.mark.parametrize("device", [0, 1])
def test_properties_equal_attributes(cupy, device):
    properties = cupy.cuda.runtime.getDeviceProperties(device)
    attributes = cupy.cuda.Device(device).attributes
    known = {name: value for name, value in PROPERTIES.items() if name in properties}
    assert {name: properties[name] for name in known} == {
        name: attributes[attribute] for name, attribute in known.items()
    }
    for kind, sizes in (("Block", "maxThreadsDim"), ("Grid", "maxGridSize")):
        assert properties[sizes] == tuple(attributes[f"Max{kind}Dim{axis}"] for axis in "XYZ")


def test_properties_are_those_of_the_settings(cupy):
    device, properties = cupy.cuda.Device(1), cupy.cuda.runtime.getDeviceProperties(1)
    assert cupy.cuda.runtime.getDeviceCount() == 2
    assert device.compute_capability == "90"
    assert properties["name"] == b"emulated GPU (tinyalex)"
    assert properties["totalGlobalMem"] == device.mem_info[1]
    assert device.pci_bus_id == f"0000:{properties['pciBusID']:02x}:00.0"


def test_the_properties_are_laid_out_as_in_cudas_header():
    from tinyalex.emulator import nvrtc
    from tinyalex.emulator.cuda.runtime.devices import Properties

    folders = [Path(option[2:]) for option in nvrtc.include_options()]
    header = next(
        folder / "driver_types.h" for folder in folders if (folder / "driver_types.h").exists()
    )
    body = re.search(r"cudaDeviceProp\n\{(.*?)\n\};", header.read_text(), re.S)[1]
    members = [member.split("[")[0] for member in re.findall(r"(\w+(?:\[\d+\])*);", body)]
    ours = [name for name, _ in Properties._fields_]
    before, after = ours.index("maxTexture1D"), ours.index("surfaceAlignment")
    assert members[: before + 1] == ours[: before + 1]  # then textures and surfaces
    assert members[members.index("surfaceAlignment") :][: len(ours) - after] == ours[after:]


# Graphs


def test_a_graph_replays_kernels_and_copies(cupy, stream):
    x, y, z = cupy.zeros(3), cupy.empty(3), cupy.empty(3)
    stream.begin_capture()
    x += 1
    cupy.multiply(x, 2, out=y)
    z.data.copy_from_device_async(y.data, y.nbytes, stream)
    assert stream.is_capturing()
    graph = stream.end_capture()
    assert not stream.is_capturing()
    assert x.tolist() == [0, 0, 0]  # nothing has run
    for _ in range(3):
        graph.launch(stream)
    assert [x[0].item(), y[0].item(), z[0].item()] == [3, 6, 6]


def test_a_graph_copies_from_and_to_pinned_memory(cupy, stream):
    import cupyx

    source, target, x = cupyx.empty_pinned(2, "f"), cupyx.empty_pinned(2, "f"), cupy.empty(2, "f")
    stream.begin_capture()
    # CuPy refuses these copies in a capture: they are called directly.
    copy, kinds = cupy.cuda.runtime.memcpyAsync, cupy.cuda.runtime
    copy(x.data.ptr, source.ctypes.data, 8, kinds.memcpyHostToDevice, stream.ptr)
    cupy.add(x, 1, out=x)
    copy(target.ctypes.data, x.data.ptr, 8, kinds.memcpyDeviceToHost, stream.ptr)
    graph = stream.end_capture()
    for value in (1, 5):
        source[:] = value
        graph.launch(stream)
        stream.synchronize()
        assert target.tolist() == [value + 1] * 2


def test_a_graph_keeps_the_values_of_its_capture(cupy, stream):
    add = cupy.RawKernel('extern "C" __global__ void add(float* x, float a) { x[0] += a; }', "add")
    x, a = cupy.zeros(1, "f"), np.array(2, "f")
    stream.begin_capture()
    add((1,), (1,), (x, a[()]))
    graph = stream.end_capture()
    a += 100
    graph.launch(stream)
    graph.launch(stream)
    assert x.item() == 4


def test_a_graph_forks_and_joins_two_streams(cupy, stream):
    side, fork, join = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Event(), cupy.cuda.Event()
    x, y, z = cupy.ones(3), cupy.empty(3), cupy.empty(3)
    stream.begin_capture()
    fork.record(stream)
    side.wait_event(fork)
    with side:
        cupy.multiply(x, 2, out=y)
        join.record(side)
    cupy.multiply(x, 3, out=z)
    stream.wait_event(join)
    z += y
    assert side.is_capturing()
    graph = stream.end_capture()
    assert not side.is_capturing()
    x += 1
    graph.launch(stream)
    assert z.tolist() == [10, 10, 10]


def test_a_graph_is_drawn(cupy, stream):
    x = cupy.zeros(3)
    stream.begin_capture()
    x += 1
    x.data.copy_from_device_async(x.data, 8, stream)
    drawing = stream.end_capture().debug_dot_str()
    assert re.findall('label="(.*?)"', drawing) == [
        "cupy_add__float64_float_float64",
        "copy on a GPU",
    ]


def test_a_graph_replays_a_gemm(cupy, stream):
    # CuPy refuses cuBLAS in a capture: it is called directly.
    cublas = ctypes.CDLL(f"libcublas.so.{cupy.cuda.runtime.runtimeGetVersion() // 1000}")
    x, y = cupy.asarray(X[0, :6]), cupy.zeros((6, 6), "f")
    handle, one, zero = ctypes.c_void_p(cupy.cuda.device.get_cublas_handle()), ctypes.c_float(1), ctypes.c_float(0)  # fmt: skip
    cublas.cublasSetStream_v2(handle, ctypes.c_void_p(stream.ptr))
    address = [ctypes.c_void_p(array.data.ptr) for array in (x, y)]
    stream.begin_capture()
    status = cublas.cublasSgemm_v2(
        handle, 0, 0, 6, 6, 6, ctypes.byref(one), address[0], 6, address[0], 6,
        ctypes.byref(zero), address[1], 6,
    )  # fmt: skip
    graph = stream.end_capture()
    one.value = zero.value = 100  # they are read at the call
    assert status == 0
    assert not y.any()
    x *= 2
    graph.launch(stream)
    np.testing.assert_allclose(y.get(), 4 * X[0, :6] @ X[0, :6], rtol=1e-5, atol=1e-6)


def test_cupy_refuses_matrix_multiplication_in_a_capture(cupy, stream):
    x = cupy.ones((4, 4), "f")
    stream.begin_capture()
    with pytest.raises(NotImplementedError, match="cuBLAS"):
        x @ x
    stream.end_capture()


def test_synchronizing_in_a_capture_is_an_error(cupy, stream):
    stream.begin_capture()
    assert not stream.done
    with pytest.raises(
        cupy.cuda.runtime.CUDARuntimeError, match="waits for a stream that captures"
    ):
        stream.synchronize()
    stream.end_capture()


def test_the_default_stream_cannot_capture(cupy):
    with pytest.raises(RuntimeError, match="cannot capture on the default"):
        cupy.cuda.Stream.null.begin_capture()
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="default stream cannot capture"):
        cupy.cuda.runtime.streamBeginCapture(0)


def test_the_default_stream_of_a_thread_cannot_capture_here(cupy):
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="not emulated"):
        cupy.cuda.Stream.ptds.begin_capture()


def test_work_in_the_default_stream_while_a_blocking_stream_captures_is_an_error(cupy):
    blocking, x = cupy.cuda.Stream(), cupy.ones(3)
    blocking.begin_capture()
    try:
        with pytest.raises(
            cupy.cuda.driver.CUDADriverError, match="while a blocking stream captures"
        ):
            x += 1
    finally:
        blocking.end_capture()
    x += 1
    assert x.tolist() == [2, 2, 2]


# Statistics


def test_launches_are_counted_by_name(cupy):
    x = cupy.ones(5, "f")
    with emulator.counting() as counts:
        x *= x
        x *= x
        cupy.exp(x)
    assert counts.launches == {
        "cupy_multiply__float32_float32_float32": 2,
        "cupy_exp__float32_float32": 1,
    }


def test_a_graph_is_counted_at_each_launch(cupy, stream):
    x = cupy.ones(5, "f")
    stream.begin_capture()
    with emulator.counting() as captured:
        x *= x
    graph = stream.end_capture()
    with emulator.counting() as replayed:
        graph.launch(stream)
        graph.launch(stream)
    assert captured.launches == {}
    assert replayed.launches == {"cupy_multiply__float32_float32_float32": 2}


def test_bytes_are_counted_in_each_direction(cupy):
    with emulator.counting() as counts:
        x = cupy.asarray(np.ones(100, "f"))
        cupy.empty(100, "f").data.copy_from_device(x.data, 400)
        x.get()
        with cupy.cuda.Device(1):
            cupy.asarray(x)
    assert counts.copied_bytes == {
        "to the GPU": 400,
        "on a GPU": 400,
        "to the host": 400,
        "between GPUs": 400,
    }


def test_synchronisations_are_counted_by_the_line_that_waits(cupy):
    x, line = cupy.ones(5, "f"), inspect.currentframe().f_lineno
    with emulator.counting() as counts:
        cupy.cuda.Stream.null.synchronize()  # line + 2
        float(x.sum())  # line + 3
        x.sum()
        cupy.cuda.Device().synchronize()  # line + 5
    names, numbers = zip(*(place.split(":") for place in counts.synchronizations), strict=True)
    assert {name.split("/")[-1] for name in names} == {"test_emulated_cupy.py"}
    assert [int(number) - line for number in numbers] == [2, 3, 5]


def test_gemms_are_counted(cupy):
    x = cupy.ones((3, 4, 4), "f")
    with emulator.counting() as counts:
        x[0] @ x[1]  # one
        x @ x  # three in one call
    assert counts.gemms == 2


def test_the_peak_of_memory_includes_what_the_pool_keeps(cupy):
    pool = cupy.cuda.MemoryPool()
    with emulator.counting() as counts, cupy.cuda.using_allocator(pool.malloc):
        cupy.empty(256 << 20, "u1")
        cupy.empty(128 << 20, "u1")
    assert counts.peak_bytes["cuda:0"] >= 256 << 20
    assert pool.total_bytes() >= 256 << 20


def test_compiled_modules_are_counted_once(cupy):
    code = 'extern "C" __global__ void f(int* x) { x[0] = 1; }'
    with emulator.counting() as counts:
        for _ in range(2):
            cupy.RawKernel(code, "f")((1,), (1,), (cupy.empty(1, "i"),))
    assert counts.compiled <= 1


def test_the_report_ranks_kernels_and_lines():
    counts = emulator.Statistics(gemms=3, compiled=1)
    counts.launches.update({f"kernel_{i:02}": 2000 - i for i in range(14)})
    counts.copied_bytes["to the GPU"] = 1234
    counts.synchronizations["train.py:12"] = 5
    counts.peak_bytes["cuda:0"] = 512
    lines = counts.report().splitlines()
    assert lines[:2] == ["launches          27,909 of 14 kernels", "  2,000  kernel_00"]
    assert lines[12:] == [
        "  1,989  kernel_11",
        "  3,975  of 2 others",
        "GEMMs             3",
        "copies            1,234 bytes to the GPU",
        "synchronisations  5",
        "  5  train.py:12",
        "peak memory       512 bytes on cuda:0",
        "modules compiled  1",
    ]


def test_each_device_is_waited_for(cupy):
    for device in (0, 1):
        with cupy.cuda.Device(device):
            cupy.ones(3) + 1  # compiles the kernels
    with emulator.counting() as counts:
        for device in (0, 1):
            with cupy.cuda.Device(device):
                cupy.ones(3)
        for _ in range(2):  # the second time, no work is left
            for device in (0, 1):
                cupy.cuda.Device(device).synchronize()
    assert counts.synchronizations.total() == 2


def test_factors_of_a_gemm_may_be_on_the_device(cupy):
    from cupy import cublas

    a = cupy.asarray(np.arange(4, dtype="f").reshape(2, 2), order="F")
    result = cublas.gemm("N", "N", a, a, alpha=cupy.asarray(2, "f"), beta=cupy.asarray(0, "f"))
    np.testing.assert_array_equal(result.get(), 2 * a.get() @ a.get())
