"""Raw kernels of the stand-in: what they run on, and what they are refused."""

import numpy as np
import pytest

import standin
from standin import cupy

pytestmark = pytest.mark.cuda

SCALE = """#line 1 "scale.cu"
template <typename T>
__global__ void scale(const T* x, T* y, int n, T by) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] * by;
}
extern "C" __global__ void past_the_end(float* x, int n) {
  x[n] = 1;
}
"""


@pytest.fixture(scope="module")
def module():
    return cupy.RawModule(code=SCALE, options=("--std=c++17",), name_expressions=["scale<float>"])


@pytest.fixture
def scale(module):
    return module.get_function("scale<float>")


def test_a_raw_kernel_runs_on_device_arrays(x, scale, stats):
    y = cupy.empty_like(x)
    standin.launches.clear()
    scale((2,), (8,), (x, y, np.int32(12), np.float32(3)))
    assert y.get().tolist() == (3 * x.get()).tolist()
    assert (standin.launches, stats("launch")) == (["scale<float>"], 1)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda x: (x.get(), x, np.int32(12), np.float32(3)), TypeError),
        (lambda x: (x.astype("d"), x, np.int32(12), np.float32(3)), TypeError),
        (lambda x: (x.T, x, np.int32(12), np.float32(3)), ValueError),
        (lambda x: (x, x, 12, np.float32(3)), TypeError),
        (lambda x: (x, x, np.int32(12), 3.0), TypeError),
        (lambda x: (x, x, np.int32(12), x.sum()), TypeError),
        (lambda x: (x, x, np.int32(12)), TypeError),
    ],
    ids=[
        "NumPy array",
        "float64 array",
        "transposed",
        "Python int",
        "Python float",
        "array for a number",
        "one too few",
    ],
)
def test_a_raw_kernels_arguments_are_checked(x, scale, change, error):
    with pytest.raises(error):
        scale((2,), (8,), change(x))


def test_a_raw_kernels_grid_is_a_tuple(x, scale):
    with pytest.raises(TypeError):
        scale([2], (8,), (x, x, np.int32(12), np.float32(3)))


def test_a_raw_kernel_takes_no_array_of_another_device(x, scale):
    with cupy.cuda.Device(1), pytest.raises(ValueError, match="different from the current device"):
        scale((2,), (8,), (x, x, np.int32(12), np.float32(3)))


def test_a_refused_launch_is_not_counted(x, scale, stats):
    standin.launches.clear()
    with pytest.raises(TypeError):
        scale((2,), (8,), (x,))
    assert (standin.launches, stats("launch")) == ([], 0)


def test_a_raw_module_takes_code_and_tuples_of_options():
    with pytest.raises(TypeError, match="Exactly one of `code` and `path`"):
        cupy.RawModule()
    with pytest.raises(TypeError, match="options must be a tuple, got list"):
        cupy.RawModule(code=SCALE, options=["--std=c++17"])
    with pytest.raises(NotImplementedError, match="-DN=3"):
        cupy.RawModule(code=SCALE, options=("-DN=3",))


def test_a_kernel_that_is_not_in_the_module_is_an_error(module):
    with pytest.raises(KeyError, match="nothing"):
        module.get_function("nothing")


def test_the_checked_build_is_asked_for_by_the_environment(x, monkeypatch):
    monkeypatch.setenv("TINYALEX_CHECKED", "1")
    kernel = cupy.RawModule(code=SCALE).get_function("past_the_end")
    with pytest.raises(RuntimeError, match=r"scale\.cu:7"):
        kernel((1,), (1,), (x, np.int32(12)))
