"""The memory pool reuses unreferenced memory, and wastes little of it."""

import gc
import os
import signal
import threading
import time

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device, nn, optim
from tinyalex import functional as F
from tinyalex.device import memory_pool as module
from tinyalex.device import tiles
from tinyalex.device.memory_pool import MIN_POOLED_BYTES, SEGMENT_BYTES, MemoryPool


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
    assert address(memory.empty((512, 1024), np.float32)) == where


def megabytes(memory, *counts):
    """Arrays of so many times MIN_POOLED_BYTES."""
    return [memory.empty((count * MIN_POOLED_BYTES,), np.uint8) for count in counts]


def test_an_array_takes_the_smallest_free_block_in_which_it_fits(memory):
    arrays = megabytes(memory, 3, 1, 2, 1)
    first, _, third, _ = places = [address(a) for a in arrays]
    assert places == sorted(places)
    arrays[0] = arrays[2] = None
    held = memory.bytes_held
    new = megabytes(memory, 1, 1, 3)
    assert [address(a) for a in new] == [third, third + MIN_POOLED_BYTES, first]
    assert memory.bytes_held == held == memory.bytes_in_use == 7 * MIN_POOLED_BYTES


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2)])
def test_free_neighbours_are_merged(order, memory):
    arrays = megabytes(memory, 1, 1, 1, 1)
    where = address(arrays[0])
    for i in order:
        arrays[i] = None
        memory.collect_returned()
    assert address(megabytes(memory, 3)[0]) == where
    assert memory.bytes_held == 4 * MIN_POOLED_BYTES


def test_a_second_segment_is_not_merged_with_the_first(memory, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 4 * MIN_POOLED_BYTES)
    arrays = megabytes(memory, 3, 3, 6, 1, 1)
    assert [memory.size for memory in memory.segments.values()] == [
        size * MIN_POOLED_BYTES for size in (4, 4, 6)
    ]
    assert memory.bytes_held == memory.bytes_in_use == 14 * MIN_POOLED_BYTES
    for i, a in enumerate(arrays):
        a.fill(i)
    assert [set(a.tolist()) for a in arrays] == [{i} for i in range(5)]
    del a, arrays
    memory.collect_returned()
    assert [block.size // MIN_POOLED_BYTES for block in memory.free] == [4, 4, 6]


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


def test_segments_that_are_too_small_are_released(memory, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 4 * MIN_POOLED_BYTES)
    for count in (5, 6, 7):
        megabytes(memory, count)
    assert memory.bytes_held == 7 * MIN_POOLED_BYTES


def test_a_failed_allocation_is_not_counted_and_releases_unused_segments(memory, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 4 * MIN_POOLED_BYTES)
    (kept,) = megabytes(memory, 2)
    megabytes(memory, 4)
    attempts = []

    def out_of_memory(size):
        attempts.append((size // MIN_POOLED_BYTES, len(memory.segments)))
        raise MemoryError

    monkeypatch.setattr(module, "_aligned", out_of_memory)
    with pytest.raises(MemoryError):
        megabytes(memory, 64)
    assert attempts == [(64, 1), (64, 1)]
    assert memory.bytes_in_use == memory.bytes_held == kept.size
    assert memory.peak_bytes == 6 * MIN_POOLED_BYTES
    assert megabytes(memory, 2)[0].size == kept.size


def test_where_no_segment_can_be_reserved_as_much_as_is_needed_is(memory, monkeypatch):
    own = module._aligned

    def limited(size):
        if size == SEGMENT_BYTES:
            raise MemoryError
        return own(size)

    monkeypatch.setattr(module, "_aligned", limited)
    megabytes(memory, 3, 1)
    assert memory.bytes_held == 4 * MIN_POOLED_BYTES


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


@pytest.fixture
def own_pool(memory, monkeypatch):
    monkeypatch.setattr(module, "_pool", memory)
    monkeypatch.setattr(tiles, "_thread", tiles._Thread())  # whose scratch is of another pool
    return memory


def test_little_memory_is_held_beyond_what_is_in_use_at_once(rng, own_pool):
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 96, 3, padding=1),
        nn.ReLU(),
        nn.LocalResponseNorm(5),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(96 * 7 * 7, 512),
    )
    optimizer = optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    labels = rng.integers(0, 512, 96)
    for batch in (64, 96, 96, 80, 96):
        x = rng.standard_normal((batch, 3, 32, 32)).astype("f")
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels[:batch]).backward()
        optimizer.step()
        held = own_pool.bytes_held if batch == 96 else 0
    assert own_pool.peak_bytes > 50 * MIN_POOLED_BYTES
    assert own_pool.bytes_held <= 1.25 * own_pool.peak_bytes
    assert own_pool.bytes_held == held


def test_the_memory_of_an_output_that_no_backward_pass_needs_is_reused(rng, own_pool):
    """The output of a convolution is large; of it, max-pooling stores the offsets."""
    convolution = nn.Conv2d(3, 64, 3, padding=1)
    x = rng.standard_normal((32, 3, 32, 32)).astype("f")
    y = convolution(x)
    size = y.data.nbytes
    before = own_pool.bytes_in_use
    pooled = F.max_pool2d(y, 2)
    del y
    own_pool.collect_returned()
    assert before - own_pool.bytes_in_use > 0.6 * size
    pooled.sum().backward()
    assert convolution.weight.grad.any()


def test_scratch_memory_returns_to_the_pool_after_the_loop(own_pool):
    batch, size = np.zeros(4), tiles.MAX_KEPT_BYTES + 1
    used = []

    def body(lo, hi, scratch):
        large, small = (scratch.take(name, (size - i,), np.uint8) for i, name in enumerate("ab"))
        assert (large.size, small.size) == (size, size - 1)
        used.append(own_pool.bytes_in_use)

    for _ in range(3):
        device.for_tiles(batch, 0, body, single_threaded=True)
        own_pool.collect_returned()
    assert max(used) > 2 * size - 2 > own_pool.bytes_in_use
