"""Waiting, devices, streams and memory, as the stand-in plays them."""

import threading

import numpy as np
import pytest

import standin
from standin import cupy

pytestmark = pytest.mark.cuda

Device = cupy.cuda.Device
pool = cupy.get_default_memory_pool()

# Waiting

WAITS = {
    "float(array)": lambda x: float(x[0, 0]),
    "int(array)": lambda x: int(x[0, 0]),
    "bool(array)": lambda x: not (x.sum() > 3),
    "ndarray.item()": lambda x: x.sum().item(),
    "ndarray.tolist()": lambda x: x.tolist(),
    "ndarray.get()": lambda x: x.get(),
    "cupy.asnumpy()": lambda x: cupy.asnumpy(x),
    "repr(array)": repr,
    "format(array)": lambda x: f"{x.sum():.3f}",
    "indexing with booleans": lambda x: x[x > 1],
    "cupy.nonzero()": lambda x: cupy.nonzero(x),
    "cupy.where()": lambda x: cupy.where(x),
    "cupy.unique()": lambda x: cupy.unique(x),
    "cupy.ndarray.nonzero()": lambda x: x.nonzero(),
    "Device.synchronize()": lambda x: x.device.synchronize(),
    "Stream.synchronize()": lambda x: cupy.cuda.Stream.null.synchronize(),
    "deviceSynchronize()": lambda x: cupy.cuda.runtime.deviceSynchronize(),
}


@pytest.mark.parametrize("what", WAITS)
def test_waiting_is_counted_and_forbidden_by_its_name(x, stats, what):
    WAITS[what](x)
    assert stats("sync") == 1
    with standin.no_sync(), pytest.raises(standin.SyncError) as error:
        WAITS[what](x)
    assert str(error.value) == f"{what} waits for the device, inside of no_sync()."


def test_computing_and_sending_wait_for_nothing(x, stats):
    with standin.no_sync():
        y = cupy.asarray(np.ones((3, 4), np.float32))
        y[0] = cupy.where(x > 3, x, 0)[0] + x.sum()
        y[cupy.asarray([1, 2])] = 3
        y @= x.T @ x
    assert stats("sync") == 0


def test_no_sync_ends_with_its_block_even_by_an_error(x):
    with pytest.raises(ZeroDivisionError), standin.no_sync():
        raise ZeroDivisionError
    assert float(x[0, 1]) == 1


def test_no_sync_is_a_matter_of_the_thread_that_entered_it(x):
    got = []
    with standin.no_sync():
        other = threading.Thread(target=lambda: got.append(x.sum().item()))
        other.start()
        other.join()
    assert got == [66]


def test_launches_are_counted_and_views_are_none(x, stats):
    x.reshape(4, 3)
    x[1:]
    cupy.empty(3)
    assert stats("launch") == 0
    x + 1
    x.sum()
    x[0] = 2
    cupy.exp(x, out=x)
    assert stats("launch") == 4


# Devices


def test_there_are_two_devices(x):
    assert cupy.cuda.runtime.getDeviceCount() == 2
    assert x.device == Device(0)
    with Device(1):
        assert cupy.ones(2).device.id == cupy.cuda.runtime.getDevice() == 1
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        Device(2)


def test_an_array_of_another_device_is_refused_until_it_is_copied(x):
    with Device(1):
        for use in (
            lambda: x + 1,
            lambda: x.sum(),
            lambda: x[0],
            lambda: x.fill(0),
            lambda: x.__setitem__(0, 1),
            lambda: cupy.exp(x),
        ):
            with pytest.raises(
                ValueError,
                match=r"device where the array resides \(0\) is different from the current device \(1\)",
            ):
                use()
        y = cupy.asarray(x)
        assert y.device.id == 1
        assert y.sum().item() == 66
    with pytest.raises(ValueError, match="different from the current device"):
        x + y


def test_an_array_of_another_device_can_be_fetched(x):
    with Device(1):
        assert x.get().sum() == float(cupy.asarray(x).sum()) == 66


def test_a_thread_starts_on_the_first_device():
    seen = []
    with Device(1):
        other = threading.Thread(target=lambda: seen.append(cupy.cuda.runtime.getDevice()))
        other.start()
        other.join()
        seen.append(cupy.cuda.runtime.getDevice())
    assert seen == [0, 1]


def test_devices_are_left_in_the_order_they_were_entered():
    with Device(1) as one:
        with Device(0), one:
            assert Device().id == 1
        assert Device().id == 1
    assert Device().id == 0


def test_devices_say_what_they_are():
    assert Device(1).compute_capability == "90"
    assert Device(0).attributes["MultiProcessorCount"] > 0
    assert isinstance(cupy.cuda.runtime.getDeviceProperties(1)["name"], bytes)
    assert cupy.cuda.runtime.driverGetVersion() >= cupy.cuda.runtime.runtimeGetVersion() >= 13000
    assert cupy.is_available()
    assert cupy.cuda.is_available()


def test_streams_are_entered_and_left_on_their_device():
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        assert cupy.cuda.get_current_stream() is stream
    assert cupy.cuda.get_current_stream() is cupy.cuda.Stream.null
    with (
        Device(1),
        pytest.raises(RuntimeError, match="A stream of device 0 was used while device 1"),
    ):
        stream.use()


def test_events_take_the_time():
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    with pytest.raises(RuntimeError, match="not recorded"):
        cupy.cuda.get_elapsed_time(start, end)
    start.record()
    end.record()
    assert cupy.cuda.get_elapsed_time(start, end) >= 0


# Memory


def test_the_pool_counts_arrays_and_not_their_views():
    before = pool.used_bytes()
    x = cupy.zeros(1000, "f")
    part = x[10:]
    assert pool.used_bytes() == before + 4096
    del x
    assert pool.used_bytes() == before + 4096, "the view keeps the memory"
    del part
    assert pool.used_bytes() == before


def test_the_pool_keeps_what_was_freed_until_it_is_told_not_to():
    x = cupy.zeros(10000, "f")
    del x
    assert pool.free_bytes() >= 40000
    pool.free_all_blocks()
    assert pool.total_bytes() == pool.used_bytes()


def test_the_pools_limit_is_held(x):
    pool.set_limit(size=pool.used_bytes() + 1024)
    try:
        with pytest.raises(MemoryError, match="Out of memory allocating 80,384 bytes"):
            cupy.zeros(10000)
        assert (x + 1).nbytes == 48
    finally:
        pool.set_limit(size=0)


def test_each_device_has_its_own_pool():
    before = pool.used_bytes()
    with Device(1):
        on_one = pool.used_bytes()
        x = cupy.zeros(1000)
        assert pool.used_bytes() > on_one
    assert pool.used_bytes() == before
    del x


def test_the_devices_free_memory_is_what_pools_have_not_taken():
    pool.free_all_blocks()
    free, total = Device(0).mem_info
    x = cupy.zeros(1 << 20, "f")
    assert Device(0).mem_info == (free - x.nbytes, total)


def test_memory_has_an_address(x):
    assert x.data.ptr % 4 == 0
    assert x[1].data.ptr == x.data.ptr + 16
    assert x[1].data.mem is x.data.mem
    assert x.data.device_id == 0


# Settings of matrix products


def test_compute_types_are_recorded():
    linalg = cupy._core._routines_linalg
    try:
        cupy._core.set_compute_type(np.float32, linalg.COMPUTE_TYPE_TF32)
        assert standin.compute_types == {"f": 7}
        assert cupy._core.get_compute_type("f") == linalg.COMPUTE_TYPE_TF32
        assert cupy._core.get_compute_type("d") == linalg.COMPUTE_TYPE_DEFAULT
    finally:
        standin.compute_types.clear()


def test_the_names_of_compute_types_are_where_cupy_has_them():
    assert not hasattr(cupy._core, "COMPUTE_TYPE_TF32")
