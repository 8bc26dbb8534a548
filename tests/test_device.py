"""Device names; tiles and worker threads, also nested, concurrent and after a fork."""

import os
import threading
import time

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices


def test_device_names_are_canonical():
    assert devices.check("cpu") == "cpu"
    assert devices.check("auto") in ("cpu", "cuda")
    for name in ("gpu", "cuda:", "cuda:x", "cuda:-1", "", None, 0):
        with pytest.raises(
            ValueError, match=r"device: expected 'auto', 'cpu', 'cuda' or 'cuda:1', got"
        ):
            devices.check(name)
    with pytest.raises(ValueError, match="'auto' is not the name of a device.*Expected 'cpu', 'cu"):
        ta.device("auto")


def test_the_name_of_a_random_stream_has_at_most_eight_bytes():
    assert devices.key("shuffle1") != devices.key("shuffle2")
    with pytest.raises(ValueError, match="at most eight bytes, got 'shuffled1'"):
        devices.key("shuffled1")


def test_the_limit_of_threads_can_be_changed(monkeypatch):
    monkeypatch.delenv("TINYALEX_THREADS", raising=False)
    monkeypatch.setattr(devices.tiles, "_limit", None)
    with devices.tiles.blas_threads().limit(limits=1, user_api="blas"):
        for count in (1, 2):
            devices.limit_threads(count)
            assert devices.workers() == count
        monkeypatch.setenv("TINYALEX_THREADS", "3")
        devices.limit_threads(1)
        assert devices.workers() == 3
    with pytest.raises(ValueError, match="limit_threads: expected at least 1, got 0"):
        devices.limit_threads(0)
    devices.workers.cache_clear()


def test_the_default_device_is_the_cpu_and_is_checked():
    assert devices.default() == "cpu"
    with pytest.raises(ValueError, match="expected 'auto'"):
        devices.set_default("tpu")
    assert ta.Tensor([1.0]).device == "cpu"


def test_numpy_scalars_have_no_device():
    assert devices.common("f", [np.float32(1), 2.0, None, np.ones(3)]) == "cpu"


@pytest.fixture
def two_workers(monkeypatch):
    monkeypatch.setattr(devices.tiles, "workers", lambda: 2)
    monkeypatch.setattr(devices.tiles, "MAX_TILE_BYTES", 1)


def total(x):
    return devices.for_tiles(x, 1, lambda lo, hi, scratch: x[lo:hi].sum(axis=0))


def test_nested_tiles_do_not_deadlock(two_workers):
    x = np.arange(24.0).reshape(6, 4)

    def body(lo, hi, scratch):
        return total(np.ascontiguousarray(x[lo:hi].T)).sum()

    assert devices.for_tiles(x, 1, body) == x.sum()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_nested_tile_has_its_own_scratch(workers, monkeypatch):
    monkeypatch.setattr(devices.tiles, "workers", lambda: workers)

    def inner(lo, hi, scratch):
        scratch.take("same name", (8,), np.float64).fill(-1)

    def outer(lo, hi, scratch):
        mine = scratch.take("same name", (8,), np.float64)
        mine.fill(5)
        devices.for_tiles(np.zeros(3), 0, inner)
        return mine.sum(keepdims=True)

    assert devices.for_tiles(np.zeros(2), 0, outer) == 40 * workers


def test_an_only_tile_runs_in_the_calling_thread_with_blas_threads(two_workers):
    inside, before = [], blas_threads()

    def inner(lo, hi, scratch):
        inside.append((threading.get_ident(), blas_threads()))

    def only(lo, hi, scratch):
        devices.for_tiles(np.zeros(2), 0, inner)

    devices.for_tiles(np.zeros(1), 0, only)
    assert inside == [(threading.get_ident(), before)] * 2


def test_an_only_tile_within_another_has_its_own_scratch(two_workers):
    def inner(lo, hi, scratch):
        scratch.take("same name", (8,), np.float64).fill(-1)

    def only(lo, hi, scratch):
        mine = scratch.take("same name", (8,), np.float64)
        mine.fill(5)
        devices.for_tiles(np.zeros(1), 0, inner)
        return mine.sum(keepdims=True)

    assert devices.for_tiles(np.zeros(1), 0, only) == 40


def test_the_memory_of_gpu_tiles_is_a_setting(monkeypatch):
    monkeypatch.setenv("TINYALEX_GPU_TILE_MIB", "24")
    assert devices.tiles._from_environment() == 24 << 20
    for text in ("0", "-1", "1.5", "much"):
        monkeypatch.setenv("TINYALEX_GPU_TILE_MIB", text)
        with pytest.warns(UserWarning, match=f"an integer of at least 1, got '{text}'. It is ign"):
            assert devices.tiles._from_environment() == 1 << 30


def test_the_sizes_of_tiles_are_multiples(two_workers):
    tiles = []
    devices.for_tiles(
        np.zeros(1000), 1, lambda lo, hi, scratch: tiles.append((lo, hi)), multiple=64
    )
    tiles.sort()
    assert [lo for lo, _ in tiles[1:]] == [hi for _, hi in tiles[:-1]]
    assert (tiles[0][0], tiles[-1][1], len(tiles)) == (0, 1000, 16)
    assert {hi - lo for lo, hi in tiles} == {64, 1000 % 64}


def test_an_error_is_raised_after_all_workers_have_finished(two_workers):
    done = []

    def body(lo, hi, scratch):
        if lo == 0:
            raise RuntimeError("the first")
        time.sleep(0.2)
        done.append(lo)

    with pytest.raises(RuntimeError, match="the first"):
        devices.for_tiles(np.zeros(2), 1, body)
    assert done == [1]


def test_the_calling_thread_waits_for_the_workers_when_its_own_tile_fails(two_workers):
    here, done = threading.get_ident(), []

    def body(lo, hi, scratch):
        if threading.get_ident() == here:
            raise RuntimeError("here")
        time.sleep(0.2)
        done.append(lo)

    with pytest.raises(RuntimeError, match="here"):
        devices.for_tiles(np.zeros(2), 1, body)
    assert len(done) == 1


@pytest.mark.parametrize("single", [True, False])
def test_single_threaded_tiles_run_in_the_calling_thread_with_one_blas_thread(single, two_workers):
    calls = []
    devices.for_tiles(
        np.zeros(8),
        1,
        lambda lo, hi, scratch: calls.append((threading.get_ident(), *blas_threads())),
        single_threaded=single,
    )
    assert len({who for who, *_ in calls}) == (1 if single else 2)
    assert threading.get_ident() in {who for who, *_ in calls}
    assert {threads for _, *all_threads in calls for threads in all_threads} <= {1}


def blas_threads():
    return [info["num_threads"] for info in devices.blas_libraries()]


def test_two_threads_restore_the_thread_count_of_blas(two_workers):
    before = blas_threads()
    both_are_in = threading.Barrier(2, timeout=20)
    inside = []

    def hold():
        with devices.single_threaded_blas():
            both_are_in.wait()
            inside.append(blas_threads())
            both_are_in.wait()

    threads = [threading.Thread(target=hold) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert inside == [[1] * len(before)] * 2
    assert blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_creates_its_own_threads(two_workers):
    x = np.ones((6, 4))
    assert total(x).sum() == 24
    child = os.fork()
    if child == 0:
        os._exit(0 if total(x).sum() == 24 else 1)
    deadline = threading.Timer(30, lambda: os.kill(child, 9))
    deadline.start()
    _, status = os.waitpid(child, 0)
    deadline.cancel()
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_fork_before_the_thread_counts_are_read_leaves_them():
    before, limit = blas_threads(), devices.blas._BlasLimit()
    limit.users = 1
    limit.restore()  # as in the child
    assert blas_threads() == before


def test_scratch_is_reused_and_grows(two_workers):
    scratch = devices.Scratch(np)
    first = scratch.take("a", (2, 3), np.float32)
    assert np.shares_memory(first, scratch.take("a", (3,), np.float64))
    assert not np.shares_memory(first, scratch.take("b", (2, 3), np.float32))
    assert scratch.take("a", (100,), np.float32).shape == (100,)


@pytest.mark.skipif(os.cpu_count() == 1, reason="BLAS has one thread on one core")
def test_the_last_thread_to_leave_restores_the_thread_count_of_blas():
    before = blas_threads()
    assert max(before) > 1
    entered, both_in, left, end = (threading.Event() for _ in range(4))

    def first_in():
        with devices.single_threaded_blas():
            entered.set()
            both_in.wait()
        left.set()
        end.wait()  # alive while the other thread restores the count, as pool threads are

    thread = threading.Thread(target=first_in)
    thread.start()
    try:
        entered.wait()
        with devices.single_threaded_blas():
            both_in.set()
            left.wait()
            assert set(blas_threads()) == {1}
        assert blas_threads() == before
        with devices.single_threaded_blas():
            assert set(blas_threads()) == {1}
        assert blas_threads() == before
    finally:
        end.set()
        thread.join()
    assert blas_threads() == before
