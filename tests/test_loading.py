import gc
import subprocess
import sys
import threading
import traceback
from types import SimpleNamespace

import numpy as np
import pytest

import tinyalex
from tinyalex.data import Augment, Dataset, Loader


@pytest.fixture
def numbered():
    """23 images; all pixels and the label of image i are i."""
    labels = np.arange(23)
    images = np.broadcast_to(labels[:, None, None, None], (23, 3, 4, 4)).astype(np.uint8)
    return Dataset(images, labels, tuple(map(str, labels)))


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    assert threads() == []


def threads():
    return [
        thread.name for thread in threading.enumerate() if thread.name.startswith("tinyalex-loader")
    ]


def labels(batches):
    return [y.tolist() for _, y in batches]


def order(batches):
    return np.concatenate([y for _, y in batches]).tolist()


def fail_at(number):
    def transform(images, *, epoch, first):
        if first == number:
            raise KeyError("no such image")
        return images.astype(np.float32)

    return transform


prefetches = pytest.mark.parametrize("prefetch", [0, 1, 2, 100])


# Batches


@prefetches
def test_an_epoch_yields_every_image_once_with_its_label(numbered, prefetch):
    seen = []
    for x, y in Loader(numbered, 5, shuffle=True, prefetch=prefetch):
        assert np.array_equal(x, np.broadcast_to(y[:, None, None, None], x.shape))
        seen += y.tolist()
    assert sorted(seen) == list(range(23))


@prefetches
def test_without_shuffle_the_order_is_that_of_the_dataset(numbered, prefetch):
    assert order(Loader(numbered, 5, prefetch=prefetch)) == list(range(23))


def test_without_a_transform_images_are_float32_pixels(numbered):
    x, y = next(iter(Loader(numbered, 5)))
    assert (x.dtype, x.shape, x.max()) == (np.float32, (5, 3, 4, 4), 4)
    assert y.dtype == np.int64


def test_labels_of_other_integer_dtypes_become_int64(numbered):
    _, y = next(
        iter(
            Loader(
                SimpleNamespace(images=numbered.images, labels=numbered.labels.astype(np.uint8)), 5
            )
        )
    )
    assert y.dtype == np.int64


def test_changing_a_batch_does_not_change_the_dataset(numbered):
    for x, y in Loader(numbered, 5):
        x[...] = 99
        y[...] = 99
    assert 99 not in numbered.images
    assert 99 not in numbered.labels


@pytest.mark.parametrize(
    ("batch_size", "drop_last", "sizes"),
    [(10, False, [10, 10, 3]), (10, True, [10, 10]), (23, True, [23]), (99, False, [23])],
)
def test_len_is_the_number_of_batches(numbered, batch_size, drop_last, sizes):
    loader = Loader(numbered, batch_size, drop_last=drop_last)
    assert [len(y) for _, y in loader] == sizes
    assert len(loader) == len(sizes)


def test_the_transform_gets_the_epoch_and_the_index_of_the_first_image(numbered):
    calls = []

    def transform(images, *, epoch, first):
        calls.append((len(images), epoch, first))
        return images.astype(np.float32)

    loader = Loader(numbered, 10, transform=transform)
    for _ in range(2):
        list(loader)
    assert calls == [(10, 0, 0), (10, 0, 10), (3, 0, 20), (10, 1, 0), (10, 1, 10), (3, 1, 20)]


@pytest.mark.parametrize("batch_size", [1, 4, 23])
def test_augmented_images_are_the_same_in_batches_of_any_size(numbered, batch_size):
    def epoch(size):
        batches = Loader(
            numbered, size, shuffle=True, transform=Augment([0, 0, 0], padding=2)
        ).epoch(2)
        return [np.concatenate(parts) for parts in zip(*batches, strict=True)]

    for one, other in zip(epoch(batch_size), epoch(5), strict=True):
        assert np.array_equal(one, other)


# Orders


def test_each_loop_runs_the_next_epoch(numbered):
    loader = Loader(numbered, 5, shuffle=True)
    orders = [labels(loader) for _ in range(3)]
    assert orders == [labels(loader.epoch(e)) for e in range(3)]
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_epoch_does_not_advance_the_loop(numbered):
    loader = Loader(numbered, 5, shuffle=True)
    list(loader.epoch(7))
    assert labels(loader) == labels(loader.epoch(0))


def test_the_order_is_the_permutation_of_seed_and_epoch(numbered):
    wanted = tinyalex.device.generator("shuffle", 4, seed=9).permutation(23)
    assert order(Loader(numbered, 5, shuffle=True, seed=9).epoch(4)) == wanted.tolist()


def test_without_a_seed_the_order_uses_that_of_manual_seed_when_the_epoch_begins(numbered):
    loader = Loader(numbered, 5, shuffle=True)
    tinyalex.manual_seed(9)
    assert labels(loader.epoch(0)) == labels(Loader(numbered, 5, shuffle=True, seed=9).epoch(0))
    batches = loader.epoch(0)
    tinyalex.manual_seed(10)
    assert labels(batches) == labels(Loader(numbered, 5, shuffle=True, seed=9).epoch(0))


@prefetches
@pytest.mark.parametrize("start", range(6))
def test_an_interrupted_epoch_resumes_with_the_remaining_batches(numbered, prefetch, start):
    loader = Loader(
        numbered, 5, shuffle=True, transform=Augment([0, 0, 0], padding=1), prefetch=prefetch
    )
    complete, rest = list(loader.epoch(3)), list(loader.epoch(3, start=start))
    assert len(rest) == 5 - start
    for (x, y), (expected_x, expected_y) in zip(rest, complete[start:], strict=True):
        assert np.array_equal(x, expected_x)
        assert np.array_equal(y, expected_y)


# Threads


@pytest.mark.parametrize("prefetch", [1, 3])
def test_threads_prepare_batches_while_the_loop_computes(numbered, prefetch):
    ready = threading.Semaphore(0)

    def transform(images, *, epoch, first):
        ready.release()
        return images.astype(np.float32)

    batches = Loader(numbered, 2, transform=transform, prefetch=prefetch).epoch(0)
    next(batches)
    for _ in range(1 + prefetch):
        assert ready.acquire(timeout=10)
    assert not ready.acquire(timeout=0.1), "more batches than prefetch were prepared"
    batches.close()


def test_without_prefetch_there_is_no_thread(numbered):
    for _ in Loader(numbered, 5, prefetch=0):
        assert threads() == []


@prefetches
def test_the_loop_raises_an_error_of_the_transform_after_the_batches_before_it(numbered, prefetch):
    batches = Loader(numbered, 5, transform=fail_at(10), prefetch=prefetch).epoch(0)
    assert order([next(batches), next(batches)]) == list(range(10))
    with pytest.raises(KeyError, match="no such image") as error:
        next(batches)
    assert "raise KeyError" in "".join(traceback.format_tb(error.value.__traceback__))


def test_the_loop_raises_an_error_of_the_dataset(numbered):
    with pytest.raises(IndexError, match="out of bounds"):
        list(Loader(SimpleNamespace(images=numbered.images[:7], labels=numbered.labels), 5))


@pytest.mark.parametrize("prefetch", [1, 2, 100])
def test_leaving_the_loop_ends_the_threads(numbered, prefetch):
    for _ in Loader(numbered, 5, prefetch=prefetch):
        assert threads() != []
        break
    assert threads() == []


def test_an_error_in_the_loop_ends_the_threads(numbered):
    def loop():
        for _, y in Loader(numbered, 5):
            assert threads() != []
            y / None

    with pytest.raises(TypeError, match="unsupported operand"):
        loop()
    assert threads() == []


def test_closing_the_iterator_ends_the_threads(numbered):
    batches = Loader(numbered, 5).epoch(0)
    next(batches)
    assert threads() != []
    batches.close()
    assert threads() == []


def test_deleting_the_iterator_ends_the_threads(numbered):
    batches = Loader(numbered, 5).epoch(0)
    next(batches)
    assert threads() != []
    del batches
    gc.collect()
    assert threads() == []


def test_an_unused_iterator_starts_no_thread(numbered):
    batches = Loader(numbered, 5).epoch(0)
    assert threads() == []
    batches.close()


def test_a_program_that_keeps_an_iterator_exits():
    program = "from tinyalex.data import Loader, shapes; batches = iter(Loader(shapes(400, 0)[0], 4)); next(batches)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_two_loops_over_one_loader_are_independent(numbered):
    loader = Loader(numbered, 5, shuffle=True)
    pairs = list(zip(loader.epoch(0), loader.epoch(0), strict=True))
    assert all(np.array_equal(one[1], other[1]) for one, other in pairs)


# Errors


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, None])
def test_a_batch_size_below_one_or_of_another_type_is_refused(numbered, batch_size):
    wanted = rf"Loader: expected batch_size to be an integer of at least 1, got {batch_size}\.\nGive for example"
    with pytest.raises(ValueError, match=wanted):
        Loader(numbered, batch_size)


def test_a_negative_prefetch_is_refused(numbered):
    with pytest.raises(
        ValueError,
        match=r"Loader: expected prefetch to be an integer of at least 0, got -1\.\nGive 0 to prepare",
    ):
        Loader(numbered, prefetch=-1)


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5])
def test_another_seed_than_a_uint64_is_refused(numbered, seed):
    with pytest.raises(
        ValueError,
        match=r"Loader: expected seed to be an integer from 0 to 18446744073709551615, got",
    ):
        Loader(numbered, seed=seed)


def test_a_dataset_of_another_type_is_refused(numbered):
    with pytest.raises(TypeError, match=r"Loader: expected a Dataset, got tuple\."):
        Loader((numbered.images, numbered.labels))


def test_a_transform_that_is_not_callable_is_refused(numbered):
    with pytest.raises(TypeError, match=r"Loader: expected a callable as transform, got 'flip'\."):
        Loader(numbered, transform="flip")


def test_an_epoch_without_batches_is_refused(numbered):
    with pytest.raises(
        ValueError,
        match=r"Loader: 23 images with batch_size=24 and drop_last=True result in no batch\.",
    ):
        Loader(numbered, 24, drop_last=True)
    with pytest.raises(
        ValueError,
        match=r"Loader: 0 images with batch_size=128 and drop_last=False result in no batch\.",
    ):
        Loader(numbered[:0])


def test_a_start_after_the_last_batch_is_refused(numbered):
    loader = Loader(numbered, 5)
    with pytest.raises(
        ValueError, match=r"Loader: expected start to be an integer from 0 to 5, got 6\."
    ):
        loader.epoch(0, start=6)
    with pytest.raises(
        ValueError, match=r"Loader: expected epoch to be an integer of at least 0, got -1\."
    ):
        loader.epoch(-1)
