"""Emulator launches: rejected arguments, memory reports, cached builds, the engine."""

import threading
from pathlib import Path

import numpy as np
import pytest

from tinyalex import emulator
from tinyalex.emulator import CompileError, LaunchError, Module
from tinyalex.emulator.kernels import compiling
from tinyalex.emulator.kernels.memory_reports import MemoryUse
from tinyalex.kernels import cuda

pytestmark = pytest.mark.cuda

SCALE = """#line 1 "scale.cu"
extern "C" __global__ void scale(const float* x, float* y, float a, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i];
}
"""

SUM = """
extern "C" __global__ void sum(const float* x, float* y) {
  __shared__ float s[256];
  const int t = threadIdx.x;
  s[t] = x[t];
  for (int half = 128; half; half /= 2) {
    __syncthreads();
    if (t < half) s[t] += s[t + half];
  }
  if (t == 0) y[0] = s[0];
}
"""

TYPES = """extern "C" __global__ void types(
  bool* a, signed char* b, unsigned char* c, short* d, unsigned short* e, int* f, unsigned* g, long long* h, unsigned long long* i,
  float j, double k, bool l, const void* m) {}
"""


@pytest.fixture(scope="module")
def scale():
    return Module(SCALE, "scale.cu").get_function("scale")


def poisoned(shape):
    """An array like that of cupy.empty, filled with NaN."""
    return np.full(shape, np.nan, "f")


# Rejected launches

X, Y, A, N = np.ones(4, "f"), np.zeros(4, "f"), np.float32(2), np.int32(4)

REJECTED = {
    "wrong number of arguments": ((X, Y, A), TypeError, "scale: expected 4 arguments (const float*, float*, float, int), got 3."),
    "wrong dtype": ((X.astype("f8"), Y, A, N), TypeError, "scale: argument 0 (const float*) points to float32, got an array of float64. Use astype."),
    "a number for a pointer": ((X, 0, A, N), TypeError, "scale: argument 1 (float*) is a pointer: expected an array, got type int."),
    "an array for a number": ((X, Y, X, N), TypeError, "scale: argument 2 (float) expected a number, got type ndarray."),
    "a Python float": ((X, Y, 2.0, N), TypeError, "scale: argument 2 (float) got the Python float 2.0, which CuPy passes on as float64: the kernel would read wrong bytes. Pass np.float32(...)."),
    "a Python int": ((X, Y, A, 4), TypeError, "scale: argument 3 (int) got the Python int 4, which CuPy passes on as int64: the kernel would read wrong bytes. Pass np.int32(...)."),
    "another type of number": ((X, Y, A, np.uint32(4)), TypeError, "scale: argument 3 (int) got a uint32: the kernel would read wrong bytes. Pass np.int32(...)."),
    "strides": ((np.ones((4, 2), "f").T, Y, A, N), ValueError, "scale: argument 0 (const float*): the array of shape (2, 4) and strides (4, 8) is not C-contiguous"),
    "a read-only array to write to": ((X, np.broadcast_to(X, 4), A, N), ValueError, "scale: argument 1 (float*) may be written through, but the array is read-only."),
}  # fmt: skip


@pytest.mark.parametrize("what", REJECTED)
def test_a_launch_rejects_arguments_that_cupy_would_misread(scale, what):
    args, error, message = REJECTED[what]
    with pytest.raises(error) as caught:
        scale((1,), (32,), args)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        ((0,), (32,), "scale: grid (0,) and block (32,) are an empty launch"),
        ((1,), (32, 0), "scale: grid (1,) and block (32, 0) are an empty launch"),
        ((1,), (1025,), "a block has at most 1024 threads"),
        ((1,), (1, 1, 65), "a block has at most 1024 threads, (1024, 1024, 64) per dimension"),
        ((1, 65536), (1,), "a grid has at most (2147483647, 65535, 65535) blocks per dimension"),
    ],
)
def test_a_launch_rejects_sizes_beyond_a_gpus_limits(scale, grid, block, message):
    with pytest.raises(LaunchError) as caught:
        scale(grid, block, (X, Y, A, N))
    assert message in str(caught.value)


def test_grid_and_block_must_be_tuples(scale):
    with pytest.raises(TypeError, match="must be tuples of one to three ints"):
        scale(1, 32, (X, Y, A, N))


def test_dynamic_shared_memory_has_a_limit_that_can_be_raised(scale):
    with pytest.raises(
        LaunchError,
        match="50000 bytes of dynamic shared memory, expected 0 to 49152. Use less, or raise",
    ):
        scale((1,), (32,), (X, Y, A, N), shared_mem=50000)
    scale.max_dynamic_shared_size_bytes = 64 << 10
    scale((1,), (32,), (X, Y, A, N), shared_mem=50000)


def test_a_read_only_array_may_be_read(scale):
    y = np.zeros(4, "f")
    scale((1,), (32,), (np.broadcast_to(X, 4), y, A, N))
    assert y.tolist() == [2] * 4


ADD = """
struct Terms { const float* of[3]; int size[3]; };
struct Sums { float* of[3]; int size[3]; };

// sums[i] += terms[i], for all arrays of a list.
extern "C" __global__ void add(Terms terms, Sums sums, int extra) {
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < sums.size[i] + extra; ++j) sums.of[i][j] += terms.of[i][j];
}
"""
LIST = np.dtype([("of", "u8", 3), ("size", "i4", 3)], align=True)


def array_list(*arrays):
    struct = np.zeros((), LIST)
    for i, x in enumerate(arrays):
        struct["of"][i], struct["size"][i] = x.ctypes.data, x.size
    return struct[()]


@pytest.mark.parametrize("check", [False, True])
def test_lists_of_arrays_are_passed_by_value(check):
    terms, sums = [np.full(n, n, "f") for n in (2, 5)], [np.ones(n, "f") for n in (2, 5)]
    kernel = Module(ADD, "add.cu", check=check).get_function("add")
    kernel((1,), (1,), (array_list(*terms), array_list(*sums), np.int32(0)))
    assert [x.tolist() for x in sums] == [[3, 3], [6] * 5]


def test_an_access_beyond_an_array_of_a_list_is_found():
    x, y = np.ones(4, "f"), np.ones(4, "f")
    add = Module(ADD, "add.cu", check=True).get_function("add")
    message = r"reads 4 bytes out of bounds: element 4 of argument [01], which has 4 .*add.cu:8"
    with pytest.raises(LaunchError, match=message):
        add((1,), (1,), (array_list(x), array_list(y), np.int32(1)))
    assert y.tolist() == [1, 1, 1, 1]


def test_a_list_of_arrays_is_of_a_given_dtype():
    add = Module(ADD, "add.cu").get_function("add")
    assert "a list of const float32 arrays" in str(add.parameters[0])
    x = np.ones(4, "f")
    for wrong in (x, np.zeros((), [("of", "u8", 4), ("size", "i4", 4)])[()]):
        with pytest.raises(
            TypeError, match=r"add: argument 0 \(a list of const float32 arrays\): exp"
        ):
            add((1,), (1,), (wrong, array_list(x), np.int32(0)))


def test_messages_name_all_types():
    with pytest.raises(TypeError) as caught:
        Module(TYPES, "types.cu").get_function("types")((1,), (1,), ())
    names = "bool*, signed char*, unsigned char*, short*, unsigned short*, int*, unsigned int*, long long*, unsigned long long*, float, double, bool, const void*"
    assert f"({names})" in str(caught.value)


class OnDevice:
    """An array of another library."""

    def __init__(self, array):
        self.array = array


def test_launches_from_several_threads_do_not_interfere():
    kernel = Module(SUM, "sum.cu").get_function("sum")
    results = [np.zeros(20, "f") for _ in range(4)]

    def launch(y):
        for i in range(20):
            kernel((1,), (256,), (np.ones(256, "f"), y[i : i + 1]))

    threads = [threading.Thread(target=launch, args=(y,)) for y in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(results, np.full((4, 20), 256))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads Linux's /proc")
def test_libraries_share_the_stacks_of_waiting_threads():
    source = """
    extern "C" __global__ void reverse%d(const int* x, int* y) {
      __shared__ int all[1024];
      all[threadIdx.x] = x[threadIdx.x];
      __syncthreads();
      y[threadIdx.x] = all[1023 - threadIdx.x];
    }
    """
    x, mappings = np.arange(1024, dtype=np.int32), []
    for i in range(3):
        y = np.empty_like(x)
        Module(source % i, "reverse.cu").get_function(f"reverse{i}")((1,), (1024,), (x, y))
        np.testing.assert_array_equal(y, x[::-1])
        mappings.append(len(Path("/proc/self/maps").read_text().splitlines()))
    assert mappings[2] - mappings[0] < 100


# The memory report

TRANSPOSE = """#line 1 "transpose.cu"
extern "C" __global__ void transpose(const float* x, float* y) {
  y[threadIdx.x * 32 + threadIdx.y] = x[threadIdx.y * 32 + threadIdx.x];
}
extern "C" __global__ void transpose_in_tiles(const float* x, float* y) {
  __shared__ float tile[32][32];
  tile[threadIdx.y][threadIdx.x] = x[threadIdx.y * 32 + threadIdx.x];
  __syncthreads();
  y[threadIdx.y * 32 + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
}
"""


@pytest.fixture(scope="module")
def transposes():
    return Module(TRANSPOSE, "transpose.cu", stats=True)


def test_the_memory_report_shows_uncoalesced_stores(transposes):
    kernel, y = transposes.get_function("transpose"), poisoned((32, 32))
    kernel((1,), (32, 32), (np.ones((32, 32), "f"), y))
    assert kernel.memory_report() == [
        MemoryUse("transpose.cu:2", "global", "load", requests=32, cost=4.0, ideal=4.0),
        MemoryUse("transpose.cu:2", "global", "store", requests=32, cost=32.0, ideal=4.0),
    ]


def test_the_memory_report_shows_bank_conflicts(transposes):
    kernel, y = transposes.get_function("transpose_in_tiles"), poisoned((32, 32))
    x = np.arange(1024, dtype="f").reshape(32, 32)
    kernel((1,), (32, 32), (x, y))
    np.testing.assert_array_equal(y, x.T)
    assert kernel.memory_report() == [
        MemoryUse("transpose.cu:6", "global", "load", requests=32, cost=4.0, ideal=4.0),
        MemoryUse("transpose.cu:6", "shared", "store", requests=32, cost=1.0, ideal=1.0),
        MemoryUse("transpose.cu:8", "global", "store", requests=32, cost=4.0, ideal=4.0),
        MemoryUse("transpose.cu:8", "shared", "load", requests=32, cost=32.0, ideal=1.0),
    ]


def test_the_memory_report_of_a_kernel_survives_the_launch_of_another(transposes):
    x, y = np.ones((32, 32), "f"), poisoned((32, 32))
    for name in ("transpose", "transpose_in_tiles"):
        transposes.get_function(name)((1,), (32, 32), (x, y))
    assert len(transposes.get_function("transpose").memory_report()) == 2


def test_a_memory_report_needs_a_counted_launch(scale):
    with pytest.raises(ValueError, match="counted in a Module"):
        scale.memory_report()
    kernel = Module(TRANSPOSE, "transpose.cu", stats=True).get_function("transpose")
    with pytest.raises(ValueError, match="nothing to report before the kernel has run"):
        kernel.memory_report()


# Builds


def test_a_cached_build_needs_no_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYALEX_CACHE", str(tmp_path))
    Module(SCALE, "scale.cu")
    assert [path.suffix for path in (tmp_path / "emulator").iterdir()] == [".so"]
    monkeypatch.setattr(
        compiling.subprocess, "run", lambda *args, **options: pytest.fail("compiled again")
    )
    Module(SCALE, "scale.cu").get_function("scale")((1,), (32,), (X, np.zeros(4, "f"), A, N))


def test_builds_are_cached_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("TINYALEX_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiling.build_folder() == tmp_path / "tinyalex" / "emulator"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert compiling.build_folder() == tmp_path / ".cache" / "tinyalex" / "emulator"


def test_without_a_compiler_the_message_states_how_to_install_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYALEX_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        CompileError,
        match="scale.cu: .* no 'no-such-compiler' on this machine.\nInstall it: `apt install g\\+\\+`",
    ):
        Module(SCALE, "scale.cu")


def test_a_compile_error_shows_the_line_and_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYALEX_CACHE", str(tmp_path))
    code = '#line 1 "wrong.cu"\n// a comment\nextern "C" __global__ void f(int* x) { x[0] = undeclared; }\n'
    with pytest.raises(
        CompileError, match="wrong.cu: g\\+\\+ cannot compile it.\n(.*\n)*wrong.cu:2:.*undeclared"
    ):
        Module(code, "wrong.cu")
    assert list((tmp_path / "emulator").iterdir()) == []


def test_inline_ptx_does_not_compile():
    with pytest.raises(CompileError):
        Module(
            'extern "C" __global__ void f(unsigned* x) { asm volatile("mov.u32 %0, %laneid;" : "=r"(x[0])); }',
            "ptx.cu",
        )


def test_cooperative_groups_do_not_compile():
    with pytest.raises(CompileError, match=r"cooperative_groups.h"):
        Module(
            '#include <cooperative_groups.h>\nextern "C" __global__ void f(int* x) { x[0] = 1; }',
            "groups.cu",
        )


def test_an_unknown_template_is_rejected_before_compiling():
    with pytest.raises(
        CompileError,
        match=r"scale.cu: expected a kernel for the name 'scaled<float>'; the templates are none.",
    ):
        Module(SCALE, "scale.cu", ["scaled<float>"])


def test_get_function_lists_the_kernels_that_were_built():
    with pytest.raises(KeyError, match="scale.cu has no kernel 'scan<float>', only scale"):
        Module(SCALE, "scale.cu").get_function("scan<float>")


# In place of CuPy


@pytest.mark.parametrize("order", [0, 1, 4])
def test_gpu_primitives_take_numpy_arrays_while_the_emulator_runs(order):
    x, y = np.array([-1, 0, 2], "f"), poisoned(3)
    with emulator.running(order=order):
        cuda.relu(x, y)
    assert y.tolist() == [0, 0, 2]


def test_running_yields_kernels_with_memory_reports():
    x, y = np.ones(64, "f"), poisoned(64)
    with emulator.running(stats=True) as kernels:
        cuda.relu(x, y)
    report = kernels["relu<float>"].memory_report()
    assert {(use.access, use.requests, use.cost) for use in report} == {
        ("load", 2, 4.0),
        ("store", 2, 4.0),
    }


def test_running_restores_the_previous_engine_after_an_error():
    from tinyalex.kernels.cuda import launching

    before = launching._load
    with pytest.raises(KeyError), emulator.running():
        raise KeyError
    assert launching._load is before
