"""The memory pool reuses unreferenced memory, and limits idle memory."""

import gc
import os
import signal
import threading
import time

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn, optim
from tinyalex.kernels.cpu import memory_pool as module
from tinyalex.kernels.cpu.memory_pool import MAX_POOL_RATIO, MIN_POOLED_BYTES, MemoryPool


@pytest.fixture
def memory():
    return MemoryPool()


def address(a):
    return a.__array_interface__["data"][0]


def test_the_memory_of_a_deleted_array_is_reused(memory):
    a = memory.empty((512, 1024), np.float32)
    where = address(a)
    assert a.flags.carray
    assert where % 64 == 0
    del a
    assert address(memory.empty((1024, 512), np.float32)) == where


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[3:],
        lambda a: a.T,
        lambda a: a.reshape(-1)[5:],
        lambda a: a[::2, ::-3].T[1:],
        lambda a: a.view(np.int32)[0],
        lambda a: np.lib.stride_tricks.as_strided(a, (3, 3), (4, 4)),
        lambda a: np.broadcast_to(a[0], (9, 1024)),
        lambda a: memoryview(a),
        lambda a: ta.Tensor(a).reshape(-1).numpy(),
    ],
    ids=[
        "slice",
        "transposed",
        "flat",
        "reversed",
        "another type",
        "strided",
        "broadcast",
        "memoryview",
        "tensor",
    ],
)
def test_a_view_keeps_the_memory_in_use(view, memory):
    a = memory.empty((512, 1024), np.float32)
    a[...] = 7
    where, seen = address(a), view(a)
    before = bytes(seen) if isinstance(seen, memoryview) else seen.copy()
    del a
    gc.collect()
    other = memory.empty((512, 1024), np.float32)
    assert address(other) != where
    other[...] = 8
    assert bytes(seen) == before if isinstance(seen, memoryview) else (seen == before).all()
    del seen, other
    gc.collect()
    assert where in {address(memory.empty((512, 1024), np.float32))} | {
        address(idle) for idle in memory.idle
    }


def test_idle_memory_is_limited_and_the_longest_idle_is_released_first(memory):
    held = [memory.empty((MIN_POOLED_BYTES * (2**i),), np.uint8) for i in range(4)]
    most = memory.bytes_in_use
    assert most == memory.peak_bytes == 15 * MIN_POOLED_BYTES
    del held
    # In the memory of the third array.
    assert memory.empty((3 * MIN_POOLED_BYTES,), np.uint8).size == 3 * MIN_POOLED_BYTES
    for _ in range(5):
        big = memory.empty((9 * MIN_POOLED_BYTES,), np.uint8)
        idle_bytes = sum(idle.size for idle in memory.idle)
        assert memory.bytes_in_use + idle_bytes <= MAX_POOL_RATIO * memory.peak_bytes
        del big
    assert memory.peak_bytes == most


def test_memory_of_more_than_twice_the_size_is_not_reused(memory):
    where = address(memory.empty((8 * MIN_POOLED_BYTES,), np.uint8))
    small = memory.empty((3 * MIN_POOLED_BYTES,), np.uint8)
    assert address(small) != where == address(memory.empty((5 * MIN_POOLED_BYTES,), np.uint8))


class AllocatesWhenCollected:
    def __init__(self):
        self.itself = self

    def __del__(self):
        module.empty((MIN_POOLED_BYTES,), np.uint8)


def test_a_finalizer_may_allocate_at_any_time():
    threshold = gc.get_threshold()
    gc.set_threshold(10)
    try:
        held = []
        for i in range(300):
            AllocatesWhenCollected()
            held = [*held[-20:], module.empty((MIN_POOLED_BYTES + 64 * i,), np.uint8)]
    finally:
        gc.set_threshold(*threshold)


def test_a_child_process_can_allocate_although_the_lock_was_held_at_the_fork():
    with module._pool.lock:
        child = os.fork()
        if child == 0:
            module.empty((MIN_POOLED_BYTES,), np.uint8)
            os._exit(7)
    for _ in range(200):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 7


def test_a_failed_allocation_is_not_counted_and_releases_idle_memory(memory, monkeypatch):
    memory.empty((4 * MIN_POOLED_BYTES,), np.uint8)
    attempts = []

    def out_of_memory(size):
        attempts.append([idle.size for idle in memory.idle])
        raise MemoryError

    monkeypatch.setattr(module, "_aligned", out_of_memory)
    with pytest.raises(MemoryError):
        memory.empty((64 * MIN_POOLED_BYTES,), np.uint8)
    assert attempts == [[4 * MIN_POOLED_BYTES], []]
    assert (memory.bytes_in_use, memory.peak_bytes) == (0, 4 * MIN_POOLED_BYTES)


def test_arrays_that_threads_release_are_counted(memory):
    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(50):
            a = memory.empty((MIN_POOLED_BYTES + int(rng.integers(MIN_POOLED_BYTES)),), np.uint8)
            a[::4096] = seed
            assert (a[::4096] == seed).all()
            del a

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    memory.empty((MIN_POOLED_BYTES,), np.uint8)
    assert memory.bytes_in_use <= 2 * MIN_POOLED_BYTES


def test_arrays_in_use_are_not_changed_by_later_steps(rng):
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3),
        nn.Flatten(),
        nn.Linear(32 * 22 * 22, 64),
    )
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, labels = rng.standard_normal((32, 3, 24, 24)).astype("f"), rng.integers(0, 64, 32)
    seen = []
    model[1].register_forward_hook(lambda module, inputs, output: seen.append(output.data))
    for _ in range(3):
        optimizer.zero_grad()
        output = model(x)
        F.cross_entropy(output, labels).backward()
        seen += [output.numpy(), *(p.grad for p in model.parameters())]
        if len(seen) == 8:
            copies = [a.copy() for a in seen]
        optimizer.step()
    # An activation and a gradient are from the pool.
    assert sum(a.nbytes >= MIN_POOLED_BYTES for a in copies) == 2
    for a, before in zip(seen, copies, strict=False):
        np.testing.assert_array_equal(a, before)


def test_later_steps_allocate_no_new_memory(rng, monkeypatch):
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
    )
    x = rng.standard_normal((64, 3, 32, 32)).astype("f")
    taken = []
    own = module._aligned
    monkeypatch.setattr(module, "_aligned", lambda size: taken.append(size) or own(size))
    for step in range(5):
        model.zero_grad()
        model(x).sum().backward()
        if step == 2:
            taken.clear()
    assert not taken
