"""Errors on emulated GPUs name their cause: in launches, memory, kernels, settings."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyalex import emulator
from tinyalex.emulator import LimitError, Settings
from tinyalex.emulator.kernels import limits
from tinyalex.installation import pip_install

pytestmark = pytest.mark.emulated

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def cupy():
    import cupy

    return cupy


@pytest.fixture
def kernel(cupy):
    """kernel(rest): the kernel f, from the rest of its source."""
    return lambda rest: cupy.RawKernel(f'extern "C" __global__ {rest}', "f")


def python(program, *, stdin="", **settings):
    """Run a program in another process with other settings of the emulator."""
    variables = {f"TINYALEX_EMULATOR_{name.upper()}": str(x) for name, x in settings.items()}
    return subprocess.run(
        [sys.executable, "-c", program],
        input=stdin,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )


COLLECTOR = """
import importlib.util, json, sys
importlib.util.find_spec("cupy")  # as programs do that ask whether CuPy is installed
import cupy, cupyx
import numpy as np
one = (1,)
def kernel(rest, **options):
    return cupy.RawKernel('extern "C" __global__ ' + rest, "f", **options)
results = {}
for name, code in json.load(sys.stdin).items():
    names = dict(globals())
    try:
        exec(code, names)
        results[name] = f"no error: {names.get('result')}"
    except Exception as error:
        results[name] = f"{type(error).__name__}: {error}"
json.dump(results, sys.stdout)
"""


def outcomes(snippets, **settings):
    """By name, the error of each snippet of code, all run in one process."""
    codes = {name: code for name, (code, _) in snippets.items()}
    result = python(COLLECTOR, stdin=json.dumps(codes), **settings)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


# Launches

COPY = "void f(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }"
BOUNDED = "void __launch_bounds__(64) f(float* x) { x[0] = 1; }"
SHARED = "void f(float* x) { extern __shared__ float s[]; s[0] = 1; x[0] = s[0]; }"
STATIC = "void f(float* x) { __shared__ float a[1000]; extern __shared__ float s[]; a[0] = s[0] = 1; x[0] = a[0]; }"  # fmt: skip


def test_a_kernel_runs_on_the_device_where_it_was_loaded(cupy, kernel):
    loaded = kernel("void f() {}").kernel
    message = "f was loaded on GPU 0, but is launched on GPU 1"
    with cupy.cuda.Device(1), pytest.raises(cupy.cuda.driver.CUDADriverError, match=message):
        loaded((1,), (1,), ())


def test_a_pointer_to_memory_of_the_host_is_an_illegal_address(cupy, kernel):
    host = np.ones(4, "f")
    message = f"ILLEGAL_ADDRESS: f: argument 0: {host.ctypes.data:#x} is not memory of a GPU"
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match=message):
        kernel(COPY)((1,), (4,), (np.uint64(host.ctypes.data), cupy.empty(4, "f")))


def test_pinned_memory_is_no_illegal_address(cupy, kernel):
    import cupyx

    pinned, y = cupyx.empty_pinned(4, "f"), cupy.empty(4, "f")
    pinned[:] = 5
    kernel(COPY)((1,), (4,), (np.uint64(pinned.ctypes.data), y))
    assert y.tolist() == [5] * 4


def test_an_array_of_another_device_needs_peer_access():
    # In a process of its own: CuPy enables peer access when it copies between devices.
    code = f"x = cupy.ones(4, 'f')\nwith cupy.cuda.Device(1): kernel({COPY!r})(one, (4,), (x, x))"
    message = "f: argument 0 is on GPU 0, but GPU 1 accesses it, and peer access is not enabled"
    assert message in outcomes({"launch": (code, message)})["launch"]


@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        ((1,), (1025,), "a block has at most 1024 threads"),
        ((1,), (1, 1, 65), "(1024, 1024, 64) per dimension"),
        ((1, 65536), (1,), "a grid has at most (2147483647, 65535, 65535) blocks"),
    ],
)
def test_grids_and_blocks_have_limits(cupy, kernel, grid, block, message):
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match=re.escape(message)):
        kernel("void f() {}")(grid, block, ())


def test_a_block_beyond_the_launch_bounds_is_refused(cupy, kernel):
    x = cupy.zeros(1, "f")
    kernel(BOUNDED)((1,), (64,), (x,))
    message = (
        r"LAUNCH_OUT_OF_RESOURCES: f: .* 65 threads exceeds the kernel's __launch_bounds__\(64\)"
    )
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match=message):
        kernel(BOUNDED)((1,), (65,), (x,))


def test_launch_bounds_depend_on_template_parameters(cupy):
    code = "template <int n> __global__ void __launch_bounds__(32 * n) f(float* x) { x[0] = n; }"
    module = cupy.RawModule(code=code, name_expressions=("f<1>", "f<2>"))
    x = cupy.zeros(1, "f")
    module.get_function("f<2>")((1,), (64,), (x,))
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match=r"f<1>: .*__launch_bounds__\(32\)"):
        module.get_function("f<1>")((1,), (64,), (x,))


def test_dynamic_shared_memory_beyond_48_kib_needs_a_raised_limit(cupy, kernel):
    f, x = kernel(SHARED), cupy.empty(1, "f")
    message = "49153 bytes of dynamic shared memory, expected 0 to 49152. Use less, or raise max_dynamic_shared_size_bytes first"
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match=message):
        f((1,), (1,), (x,), shared_mem=49153)
    f.max_dynamic_shared_size_bytes = 49153
    f((1,), (1,), (x,), shared_mem=49153)
    assert x.item() == 1


def test_static_and_dynamic_shared_memory_share_the_limit(cupy, kernel):
    f, x = kernel(STATIC), cupy.empty(1, "f")
    f((1,), (1,), (x,), shared_mem=49152 - 4000)
    message = "f: .*4000 bytes of static and 45156 of dynamic shared memory exceed the 49152"
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match=message):
        f((1,), (1,), (x,), shared_mem=49152 - 3996)


# Kibibytes of shared memory that a block can request.
MAX_SHARED = {"7.5": 64, "8.0": 163, "8.6": 99, "8.9": 99, "9.0": 227, "10.0": 227, "12.0": 99}


@pytest.mark.parametrize("capability", MAX_SHARED)
def test_the_largest_shared_memory_depends_on_the_compute_capability(capability):
    most = MAX_SHARED[capability] << 10

    def launch(size):
        found = limits.CAPABILITIES[capability]
        return limits.checked_launch("f", (1,) * 3, (1,) * 3, size, size, found, order=0)

    assert launch(most).shared_bytes == most
    message = f"at most {most} on a GPU of compute capability {capability}"
    with pytest.raises(LimitError, match=message):
        launch(most + 1)


@pytest.mark.parametrize("capability", ["7.5", "12.0"])
def test_the_limit_is_raised_up_to_that_of_the_compute_capability(capability):
    most = MAX_SHARED[capability] << 10
    raise_it = f"f = kernel({SHARED!r}); f.max_dynamic_shared_size_bytes = {most}"
    snippets = {
        "capability": ("result = cupy.cuda.Device().compute_capability", ""),
        "attribute": ("result = cupy.cuda.Device().attributes['MaxSharedMemoryPerBlockOptin']", ""),
        "launch": (f"{raise_it}; f(one, one, (cupy.empty(1, 'f'),), shared_mem={most})", ""),
        "more": (raise_it + " + 1", ""),
    }
    results = outcomes(snippets, capability=capability)
    assert results["capability"] == f"no error: {capability.replace('.', '')}"
    assert results["attribute"] == f"no error: {most}"
    assert results["launch"] == "no error: None"
    assert f"at most {most} on a GPU of compute capability {capability}" in results["more"]


def test_a_failed_assertion_names_its_line(cupy, kernel):
    message = (
        r"LAUNCH_FAILED: f: block \(1,0,0\): thread \(2,0,0\) at .*: assertion failed: x\[0\] == 5"
    )
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match=message):
        kernel("void f(int* x) { if (blockIdx.x == 1 && threadIdx.x == 2) assert(x[0] == 5); }")(
            (2,), (4,), (cupy.zeros(1, "i"),)
        )


# Copies and handles


def stream_of_device_1():
    import cupy

    with cupy.cuda.Device(1):
        return cupy.cuda.runtime.streamCreate()


MISUSES = {
    "a copy with the wrong direction": (
        lambda runtime, x: runtime.memcpy(x, x, 16, runtime.memcpyHostToDevice),
        "copy of 16 bytes: the source is expected on the host, but is on a GPU",
    ),
    "a copy beyond the end": (
        lambda runtime, x: runtime.memcpy(x, x + 8, 1 << 40, runtime.memcpyDeviceToDevice),
        "cudaErrorIllegalAddress: copy: 1099511627776 bytes at byte",
    ),
    "a memset beyond the end": (
        lambda runtime, x: runtime.memset(x, 0, 1 << 40),
        "cudaErrorIllegalAddress: memset",
    ),
    "memory that was not allocated": (
        lambda runtime, x: runtime.free(12345),
        "expected the address of an allocation to free, got 0x3039",
    ),
    "a device that does not exist": (
        lambda runtime, x: runtime.setDevice(7),
        "cudaErrorInvalidDevice: expected a GPU from 0 to 1, got 7",
    ),
    "a stream that does not exist": (
        lambda runtime, x: runtime.streamSynchronize(12345),
        "cudaErrorInvalidResourceHandle: 0x3039 is not a Stream",
    ),
    "peer access enabled twice": (
        lambda runtime, x: [runtime.deviceEnablePeerAccess(1) for _ in range(2)],
        "cudaErrorPeerAccessAlreadyEnabled",
    ),
    "an event recorded in a stream of another device": (
        lambda runtime, x: runtime.eventRecord(runtime.eventCreate(), stream_of_device_1()),
        "cudaErrorInvalidResourceHandle: an event of GPU 0 cannot be recorded in a stream of GPU 1",
    ),
    "the time between events without timing": (
        lambda runtime, x: runtime.eventElapsedTime(*[runtime.eventCreateWithFlags(2)] * 2),
        "an event was created with disable_timing=True",
    ),
    "events that were not recorded": (
        lambda runtime, x: runtime.eventElapsedTime(runtime.eventCreate(), runtime.eventCreate()),
        "the events have not both been reached. Record them",
    ),
    "too much memory": (
        lambda runtime, x: runtime.malloc(1 << 50),
        "cudaErrorMemoryAllocation: 1,125,899,906,842,624 bytes on GPU 0, where",
    ),
}


@pytest.mark.parametrize("case", MISUSES)
def test_misuse_of_the_runtime(cupy, case):
    call, message = MISUSES[case]
    x, runtime = cupy.zeros(4), cupy.cuda.runtime
    try:
        with pytest.raises(runtime.CUDARuntimeError, match=re.escape(message)):
            call(runtime, x.data.ptr)
    finally:
        if case.startswith("peer"):
            runtime.deviceDisablePeerAccess(1)


def test_a_cublas_handle_belongs_to_a_device(cupy, capfd):
    from cupy_backends.cuda.libs import cublas

    handle = cupy.cuda.device.get_cublas_handle()
    with cupy.cuda.Device(1):
        x = cupy.ones(1).data.ptr
        with pytest.raises(cublas.CUBLASError, match="INTERNAL_ERROR"):
            cublas.ddot(handle, 1, x, 1, x, 1, x)
    assert "belongs to GPU 0, but GPU 1 is current" in capfd.readouterr().err


# Kernels that do not compile

SOURCES = {
    "an undeclared name": (
        'extern "C" __global__ void f(float* x) { x[0] = undeclared; }',
        ":1:.*error: .undeclared. was not declared",
    ),
    "inline PTX": (
        'extern "C" __global__ void f(unsigned* x) { asm volatile("mov.u32 %0, %laneid;" : "=r"(x[0])); }',
        "cannot compile",
    ),
    "a missing header": (
        '#include "no_such_header.h"\nextern "C" __global__ void f() {}',
        "no_such_header.h",
    ),
}


@pytest.mark.parametrize("case", SOURCES)
def test_a_kernel_that_does_not_compile_shows_the_compilers_message(cupy, case):
    code, message = SOURCES[case]
    with pytest.raises(cupy.cuda.compiler.CompileException, match=message):
        cupy.RawKernel(code, "f").compile()


def test_a_kernel_that_is_not_in_the_source(cupy):
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="no kernel 'g', only f"):
        cupy.RawKernel('extern "C" __global__ void f() {}', "g").compile()
    module = cupy.RawModule(
        code="template <int n> __global__ void f() {}", name_expressions=("g<2>",)
    )
    with pytest.raises(
        cupy.cuda.compiler.CompileException, match=r"for the name 'g<2>'; the templates are \['f'\]"
    ):
        module.get_function("g<2>")


# What is not emulated

NOT_EMULATED = {
    "cusolverDnCreate is not emulated": "cupy.linalg.solve(cupy.eye(2), cupy.ones(2))",
    "cufftCreate is not emulated": "cupy.fft.fft(cupy.ones(4))",
    "cusparseCreateDnMat is not emulated": "import cupyx.scipy.sparse as sparse; sparse.csr_matrix(cupy.eye(2)) @ cupy.ones(2)",
    "cublasDtrsm_v2 is not emulated": "import cupyx.scipy.linalg as linalg; linalg.solve_triangular(cupy.eye(2), cupy.ones(2))",
    "cuModuleGetGlobal_v2 is not emulated": "cupy.RawModule(code='__constant__ float a[4];').get_global('a')",
    "cuLaunchCooperativeKernel is not emulated": "kernel('void f() {}', enable_cooperative_groups=True)(one, one, ())",
    "cuModuleLoad is not emulated": "cupy.RawModule(path='kernel.cubin').get_function('f')",
    "cudaIpcGetMemHandle is not emulated": "cupy.cuda.runtime.ipcGetMemHandle(cupy.ones(1).data.ptr)",
    "quasi-random generators are not emulated": "from cupy_backends.cuda.libs import curand; curand.createGenerator(200)",
    "CUB is not emulated": "cupy._core.set_routine_accelerators(['cub']); cupy.arange(9).cumsum()",
}  # fmt: skip


@pytest.fixture(scope="module")
def not_emulated():
    result = python(COLLECTOR, stdin=json.dumps(NOT_EMULATED))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), result.stderr


@pytest.mark.parametrize("message", NOT_EMULATED)
def test_a_function_that_is_not_emulated_is_named(not_emulated, message):
    errors, stderr = not_emulated
    assert "no error" not in errors[message]
    assert message in errors[message] or message in stderr


# Without the memory pool

UNPOOLED = {
    "writes after the first array": (
        "x = cupy.zeros(100, 'f'); kernel('void f(float* x) { x[110] = 1; }')(one, one, (x,))",
        "f: wrote outside the 400 bytes of argument 0",
    ),
    "writes after an array": (
        "kernel('void f(char* x) { x[threadIdx.x] = 1; }')(one, (513,), (cupy.zeros(512, 'b'),))",
        "LAUNCH_FAILED: f: wrote outside the 512 bytes of argument 0",
    ),
    "writes before an array": (
        "kernel('void f(int* x) { x[-1] = 1; }')(one, one, (cupy.zeros(4, 'i'),))",
        "f: wrote outside the 16 bytes of argument 0",
    ),
    "reads after an array, as a view says": (
        "x = cupy.zeros(128, 'f'); cupy.lib.stride_tricks.as_strided(x, (129,), (4,)).copy()",
        "ILLEGAL_ADDRESS: cupy_copy__float32_float32: argument 0: 513 bytes at byte 0 of an allocation of 512",
    ),
    "reads before an array, as a view says": (
        "x = cupy.zeros(128, 'f'); y = cupy.ndarray((8,), 'f', x.data, strides=(-4,)); y + 1",
        "is not memory of a GPU",
    ),
    "uses an array that was freed": (
        "x = cupy.zeros(128, 'f'); p = np.uint64(x.data.ptr); del x\n"
        "kernel('void f(float* x) { x[0] = 1; }')(one, one, (p,))",
        "ILLEGAL_ADDRESS: f: argument 0: 0x[0-9a-f]+ is not memory of a GPU",
    ),
    "stays in its array": (
        "kernel('void f(int* x) { x[127] = 1; }')(one, one, (cupy.zeros(128, 'i'),))",
        "no error",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def unpooled():
    return outcomes(UNPOOLED, pool=0)


@pytest.mark.parametrize("case", UNPOOLED)
def test_without_the_pool_a_kernel_that(unpooled, case):
    assert re.search(UNPOOLED[case][1], unpooled[case])


# In the checked build

X, N = "cupy.zeros(128, 'i')", "cupy.zeros(1, 'i')"
CHECKED = {
    "reads out of bounds": (
        f"kernel('void f(int* x) {{ x[0] = x[128]; }}')(one, one, ({X},))",
        r"f: .*out of bounds",
    ),
    "reads before its array": (
        f"kernel('void f(int* x) {{ x[0] = x[-1]; }}')(one, one, ({X},))",
        r"f: .*out of bounds",
    ),
    "writes out of bounds": (
        f"kernel('void f(int* x) {{ x[200] = 1; }}')(one, one, ({X},))",
        r"f: .*out of bounds",
    ),
    "writes through a pointer to const": (
        f"kernel('void f(const int* x) {{ ((int*)x)[0] = 1; }}')(one, one, ({X},))",
        "const",
    ),
    "has a race in global memory": (
        f"kernel('void f(int* x) {{ x[0] += threadIdx.x; }}')(one, (32,), ({N},))",
        "f: .*race",
    ),
    "has a race between blocks": (
        f"kernel('void f(int* x) {{ x[0] += 1; }}')((2,), one, ({N},))",
        "f: .*race",
    ),
    "lacks a barrier": (
        "kernel('void f(int* x) { __shared__ int s[64]; s[threadIdx.x] = 1; __syncthreads(); s[threadIdx.x] = 2; x[threadIdx.x] = s[63 - threadIdx.x]; }')"
        f"(one, (64,), ({X},))",
        "f: .*race",
    ),
    "has a barrier that not all threads reach": (
        f"kernel('void f(int* x) {{ if (threadIdx.x) __syncthreads(); x[threadIdx.x] = 1; }}')(one, (64,), ({X},))",
        "f: .*barrier|__syncthreads",
    ),
    "reads shared memory that is not initialized": (
        f"kernel('void f(int* x) {{ __shared__ int s[4]; if (threadIdx.x) s[threadIdx.x] = 1; __syncthreads(); x[threadIdx.x] = s[threadIdx.x]; }}')(one, (4,), ({X},))",
        "f: .*shared memory",
    ),
    "adds atomically": (
        f"x = {N}; kernel('void f(int* x) {{ atomicAdd(x, threadIdx.x); }}')((2,), (32,), (x,)); result = x.item()",
        "no error: 992",
    ),
    "includes CuPy's complex numbers": (
        f"cupy.RawKernel('#include <cupy/complex.cuh>\\nextern \"C\" __global__ void f(int* x) {{ __shared__ int s[4]; x[0] = s[1]; }}', 'f')(one, one, ({X},))",
        "f: .*shared memory that no thread has written",
    ),
    "is CuPy's own": ("result = float(cupy.arange(1000.).sum())", "no error: 499500.0"),
}  # fmt: skip


@pytest.fixture(scope="module")
def checked():
    return outcomes(CHECKED, check=1)


@pytest.mark.parametrize("case", CHECKED)
def test_in_the_checked_build_a_kernel_that(checked, case):
    assert re.search(CHECKED[case][1], checked[case])


# Lazy execution

PINNED = "p, x = cupyx.empty_pinned(3, 'f'), cupy.empty(3, 'f'); p[:] = 1; x.set(p, stream=cupy.cuda.Stream.null);"
FAILING = "kernel('void f(int* x) { assert(x[0]); }')(one, one, (cupy.zeros(1, 'i'),));"
LAZY = {
    "a pinned buffer that is reused too early": (f"{PINNED} p[:] = 2; result = x.get()", r"\[2. 2. 2.\]"),
    "a pinned buffer that is reused after a wait": (
        f"{PINNED} cupy.cuda.Stream.null.synchronize(); p[:] = 2; result = x.get()",
        r"\[1. 1. 1.\]",
    ),
    "a pinned buffer that is reused after an event": (
        f"{PINNED} e = cupy.cuda.Event(); e.record(); e.synchronize(); p[:] = 2; result = x.get()",
        r"\[1. 1. 1.\]",
    ),
    "pageable memory, which is read at once": (
        "h, x, runtime = np.ones(3, 'f'), cupy.empty(3, 'f'), cupy.cuda.runtime\n"
        "runtime.memcpyAsync(x.data.ptr, h.ctypes.data, 12, runtime.memcpyHostToDevice, 0); h[:] = 2; result = x.get()",
        r"\[1. 1. 1.\]",
    ),
    "a result that is read without a wait": (
        "q = cupyx.empty_pinned(3, 'f'); q[:] = 7; cupy.ones(3, 'f').get(out=q, blocking=False); result = q.copy(); cupy.cuda.Device().synchronize()",
        r"\[7. 7. 7.\]",
    ),
    "two streams without an event": (
        "s, x = cupy.cuda.Stream(non_blocking=True), cupy.zeros(3); cupy.cuda.Device().synchronize(); x += 1\n"
        "with s: y = x * 2\n"
        "s.synchronize(); result = float(y.sum())",
        "no error: 0.0",
    ),
    "two streams with an event": (
        "s, e = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Event(); x = cupy.zeros(3); x += 1; e.record()\n"
        "s.wait_event(e)\n"
        "with s: y = x * 2\n"
        "s.synchronize(); result = float(y.sum())",
        "no error: 6.0",
    ),
    "an event that has not been reached": (
        "x = cupy.ones(3) * 2; e = cupy.cuda.Event(); e.record(); before = e.done; e.synchronize(); result = (before, e.done)",
        r"\(False, True\)",
    ),
    "progress for a program that polls": (
        "e = cupy.cuda.Event(); x = cupy.ones(3) * 2; e.record()\n"
        "while not e.done: pass\n"
        "y, s = x * 3, cupy.cuda.Stream.null\n"
        "while not s.done: pass\n"
        "q = cupyx.empty_pinned(3); y.get(out=q, blocking=False)\n"
        "while not s.done: pass\n"
        "result = q.copy()",
        r"\[6. 6. 6.\]",
    ),
    "a graph whose memory was freed": (
        "s, x = cupy.cuda.Stream(non_blocking=True), cupy.cuda.alloc_pinned_memory(4)\n"
        "f = kernel('void f(int* x) { x[0] = 1; }'); p = np.uint64(x.ptr); f(one, one, (p,))\n"
        "with s: s.begin_capture(); f(one, one, (p,)); g = s.end_capture()\n"
        "cupy.cuda.Device().synchronize(); del x; cupy.get_default_pinned_memory_pool().free_all_blocks()\n"
        "g.launch(s); s.synchronize()",
        "ILLEGAL|IllegalAddress: f: argument 0",
    ),
    "an error that appears at the wait": (
        f"{FAILING} result = 'launched'\ntry: cupy.cuda.Stream.null.synchronize()\nexcept Exception as error: result += ', then ' + str(error)",
        "no error: launched, then .*assertion failed",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def lazy():
    return outcomes(LAZY, lazy=1)


@pytest.mark.parametrize("case", LAZY)
def test_lazy_execution_shows(lazy, case):
    assert re.search(LAZY[case][1], lazy[case])


# Settings and installation

SETTINGS = {
    ("devices", "many"): "TINYALEX_EMULATOR_DEVICES: expected int, got 'many'",
    ("devices", "-1"): "expected devices >= 0",
    ("memory_gib", "0"): "0 < memory_gib",
    ("order", "-3"): "0 <= order",
    ("capability", "5.0"): "expected one of 7.5, 8.0, 8.6, 8.9, 9.0, 10.0, 12.0, got '5.0'",
    ("lazy", "yes"): "TINYALEX_EMULATOR_LAZY: expected 0 or 1, got 'yes'",
}


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_a_setting_with_a_wrong_value_is_named(monkeypatch, name, value):
    monkeypatch.setenv(f"TINYALEX_EMULATOR_{name.upper()}", value)
    with pytest.raises(ValueError, match=re.escape(SETTINGS[name, value])):
        Settings.from_environment()


def test_settings_pass_through_environment_variables(monkeypatch):
    settings = Settings(1, 0.5, "8.6", 3, lazy=True, pool=False, check=True)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment() == settings


def test_the_settings_are_those_of_the_gpus():
    program = "import cupy; d = cupy.cuda.Device(); print(cupy.cuda.runtime.getDeviceCount(), d.mem_info[1], d.compute_capability)"
    result = python(program, devices=1, memory_gib=0.25, capability="8.0")
    assert result.stdout.split() == ["1", str(1 << 28), "80"]


def test_without_devices_cupy_finds_none():
    result = python("import cupy; print(cupy.is_available()); cupy.ones(1)", devices=0)
    assert result.stdout == "False\n"
    assert "cudaErrorNoDevice" in result.stderr


def without_emulator(program, monkeypatch):
    """Run a program in a process that does not install the emulator by itself."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    return python(program).stderr


def test_installing_after_the_import_of_cupy_is_an_error(monkeypatch):
    program = "import cupy; from tinyalex import emulator; emulator.install()"
    message = "RuntimeError: CuPy is imported already. Call emulator.install() before anything"
    assert message in without_emulator(program, monkeypatch)


def test_without_cupy_the_error_states_how_to_install_it(monkeypatch):
    program = """if True:
        import importlib.util
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: None if "cupy" in name else find(name, *rest)
        from tinyalex import emulator
        emulator.install()"""
    error = without_emulator(program, monkeypatch)
    assert "ImportError: the emulator runs CuPy on the CPU, but CuPy is not installed" in error
    assert pip_install("cuda-check") in error


def test_installing_twice_is_allowed(cupy):
    emulator.install()
    assert emulator.is_installed()
