"""NVRTC, the compiler of CuPy: every kernel compiles for every GPU.

This needs no GPU.
"""

import re
import sys

import pytest

from tinyalex.emulator import CompileError, nvrtc
from tinyalex.installation import pip_install
from tinyalex.kernels.cuda import source_files
from tinyalex.kernels.cuda.launching import BLOCK_THREADS

try:
    nvrtc.version()
except ImportError as missing:
    MISSING = str(missing)
else:
    MISSING = ""

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(bool(MISSING), reason=MISSING)]

ARCHITECTURES = [75, 80, 90, 100, 120]
REGISTERS = 65536
"""Limits of a multiprocessor, for all threads of a block."""

CODE = """#line 1 "small.cu"
extern "C" __global__ void plain(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x] * 0.1f; }
extern "C" __global__ void double_by_accident(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x] * 0.1; }
extern "C" __global__ void shared(const float* x, float* y) {
  __shared__ float s[256];
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[255 - threadIdx.x];
}
extern "C" __global__ void indexes_a_local_array(const int* x, int* y) {
  int a[32] = {};
  for (int i = 0; i < 32; ++i) a[x[i] & 31] += i;
  y[threadIdx.x] = a[x[threadIdx.x] & 31];
}
template <typename T, int N> __global__ void power(const T* x, T* y) {
  T product = 1;
  for (int i = 0; i < N; ++i) product *= x[threadIdx.x];
  y[threadIdx.x] = product;
}
"""


@pytest.fixture(scope="module")
def compiled():
    return nvrtc.compile(CODE, "small.cu", ["power<float, 3>", "power<double, 2>"], 90)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("file", source_files.files())
def test_a_kernel_compiles_within_the_resources_of_a_gpu(file, arch):
    if arch not in nvrtc.architectures():
        pytest.skip(f"NVRTC {nvrtc.version()} no longer compiles for sm_{arch}, or does not yet")
    for real in source_files.REAL.values():
        for name, kernel in nvrtc.compile(
            source_files.text(file), file, source_files.instantiations(file, real), arch
        ).items():
            assert kernel.spills == 0, name
            assert kernel.stack == 0 or "double" in name, name
            assert kernel.registers * BLOCK_THREADS <= REGISTERS, name
            assert kernel.shared <= 48 << 10, name
            assert kernel.doubles == 0 or "double" in name, name


def test_kernels_are_returned_by_name(compiled):
    plain = {"plain", "double_by_accident", "shared", "indexes_a_local_array"}
    assert set(compiled) == plain | {"power<float, 3>", "power<double, 2>"}


def test_registers_and_shared_memory_are_reported(compiled):
    assert 2 <= compiled["plain"].registers <= 32
    assert (compiled["plain"].shared, compiled["plain"].barriers) == (0, 0)
    assert (compiled["shared"].shared, compiled["shared"].barriers) == (1024, 1)


def test_an_array_in_local_memory_is_reported(compiled):
    assert compiled["indexes_a_local_array"].stack == 128
    assert compiled["plain"].stack == 0


def test_double_arithmetic_is_counted(compiled):
    counts = {name: kernel.doubles for name, kernel in compiled.items()}
    assert counts["plain"] == counts["shared"] == counts["power<float, 3>"] == 0
    assert counts["double_by_accident"] == 3  # to double, times 0.1, and back
    assert counts["power<double, 2>"] >= 1


def test_an_error_names_the_line():
    code = '#line 7 "oops.cu"\nextern "C" __global__ void f(float* y) { y[0] = undeclared; }\n'
    with pytest.raises(
        CompileError,
        match=r'oops.cu: NVRTC \S+ cannot compile it for sm_90.\noops.cu\(7\): error: identifier "undeclared"',
    ):
        nvrtc.compile(code, "oops.cu", [], 90)


@pytest.mark.parametrize(
    "text",
    [
        "#include <math.h>\n",
        "#include <stdint.h>\n",
        "__device__ float far() { return INFINITY; }\n",
    ],
)
def test_code_that_nvcc_compiles_and_cupy_does_not_is_rejected(text):
    with pytest.raises(CompileError):
        nvrtc.compile(text + CODE, "small.cu", [], 90)


def test_the_header_for_half_precision_is_found():
    code = '#include <cuda_fp16.h>\nextern "C" __global__ void f(__half* y) { y[0] = __float2half(1.0f); }\n'
    assert set(nvrtc.compile(code, "half.cu", [], 90)) == {"f"}


def test_an_unknown_name_is_rejected():
    with pytest.raises(CompileError, match="no_such_kernel"):
        nvrtc.compile(CODE, "small.cu", ["no_such_kernel<float>"], 90)


def test_without_nvrtc_the_message_tells_how_to_install_it(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", None)
    monkeypatch.setattr(nvrtc.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(
        ImportError,
        match="not installed. It needs no GPU: " + re.escape(pip_install("cuda-check")),
    ):
        nvrtc._nvrtc.__wrapped__()
