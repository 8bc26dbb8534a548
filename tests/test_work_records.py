"""A record of the work that the real CuPy gives to emulated GPUs."""

import numpy as np
import pytest

from tinyalex import emulator

pytestmark = pytest.mark.emulated


@pytest.fixture
def cupy():
    import cupy

    return cupy


def test_launches_multiplications_and_copies_are_recorded_in_order(cupy):
    x = cupy.ones((3, 4), "f")
    with emulator.recording() as work:
        y = x @ x.T
        y += 1
        cupy.empty_like(y).data.copy_from_device(y.data, y.nbytes)
        cupy.asarray(np.ones(5, "f"))
    assert [w.name.partition("__")[0] for w in work] == [
        "gemm",
        "cupy_add",
        "copy on a GPU",
        "copy to the GPU",
    ]
    assert (y == 5).all()
    gemm, add, on_gpu, to_gpu = work
    assert (gemm.flop, gemm.bytes, gemm.dtype) == (2 * 3 * 3 * 4, 4 * (12 + 12 + 9), "float32")
    assert (add.flop, add.bytes) == (0, 4 * (9 + 9))
    assert (on_gpu.bytes, to_gpu.bytes) == (2 * 4 * 9, 2 * 4 * 5)


def test_a_broadcast_array_counts_once_and_a_strided_one_with_its_gaps(cupy):
    row, x, y = cupy.ones(1000, "f"), cupy.ones((7, 1000), "f"), cupy.empty((7, 1000), "f")
    with emulator.recording() as work:
        cupy.add(x, row, out=y)
        cupy.add(x[:, ::2], x[:, 1::2])
    assert [w.bytes for w in work] == [4 * (7000 + 1000 + 7000), (8 + 8 + 4) * 3500]


def test_a_column_counts_a_sector_for_each_element_and_an_empty_array_nothing(cupy):
    x, y = cupy.ones((1000, 1001), "f"), cupy.empty((1000, 1), "f")
    nothing = cupy.empty((0, 3), "f")
    with emulator.recording() as work:
        cupy.add(x[:, :1], y, out=y)
        cupy.add.reduce(nothing, axis=0)
    assert [w.bytes for w in work] == [(32 + 4 + 4) * 1000, 4 * 3]


def test_a_kernel_with_pointers_does_not_say_how_many_bytes_it_reads(cupy):
    kernel = cupy.RawKernel('extern "C" __global__ void one(int* x) { x[0] = 1; }', "one")
    with emulator.recording() as work:
        kernel((1,), (1,), (cupy.empty(1, "i"),))
    assert work == [emulator.Work("one", None)]


def test_without_execution_memory_stays_as_it_is(cupy):
    x, y = cupy.ones((3, 3), "f"), cupy.ones((3, 3), "f")
    with emulator.recording(execute=False) as work:
        cupy.matmul(y, y, out=x)
        x += 1
        cupy.zeros(3)
    assert [w.name.partition("__")[0] for w in work] == ["gemm", "cupy_add", "memset"]
    assert x.tolist() == [[1.0] * 3] * 3
    x += 1
    assert x.tolist() == [[2.0] * 3] * 3
    assert len(work) == 3


def test_without_execution_the_host_copies(cupy):
    with emulator.recording(execute=False):
        x = cupy.asarray(np.arange(3.0))
        y = x + 1
    assert (x + 1).tolist() == [1.0, 2.0, 3.0]
    assert y.shape == (3,)


def test_recordings_are_not_nested():
    message = "no other recording"
    with emulator.recording(), pytest.raises(RuntimeError, match=message), emulator.recording():
        pass
    with emulator.recording():
        pass
