"""Long runs: slow files, errors in threads; memory, threads and handles over time."""

import errno
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from made_images import class_folders

from tinyalex.data import Loader, StoredImages, find_images
from tinyalex.data.records import ByteRange


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return find_images(class_folders(tmp_path_factory.mktemp("photos"), train=24))


@pytest.fixture
def images(source):
    return StoredImages(source.train, source.classes, 16, workers=2)


LOADER_THREADS = ("tinyalex-loader", "tinyalex-decode")


def loader_threads():
    return [t.name for t in threading.enumerate() if t.name.startswith(LOADER_THREADS)]


def slow(monkeypatch, seconds, reads):
    read = ByteRange.read

    def read_slowly(self):
        reads.append(self.file)
        time.sleep(seconds)
        return read(self)

    monkeypatch.setattr(ByteRange, "read", read_slowly)


def test_a_slow_disk_delays_the_loop_but_does_not_stop_it(images, monkeypatch):
    slow(monkeypatch, 0.05, [])
    labels = [y for _, y in Loader(images, 4)]
    assert np.array_equal(np.concatenate(labels), images.labels)
    assert loader_threads() == []


def test_closing_the_iterator_does_not_wait_for_the_rest_of_the_epoch(images, monkeypatch):
    reads = []
    slow(monkeypatch, 0.05, reads)
    batches = iter(Loader(images, 2, prefetch=3))
    next(batches)
    batches.close()
    assert loader_threads() == []
    assert len(reads) <= 2 * 5  # the batch, those ahead, and the one that was being read


def test_an_interrupted_loop_ends_the_threads(images, monkeypatch):
    slow(monkeypatch, 0.05, [])

    def loop():
        for _ in Loader(images, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert loader_threads() == []


def failing_open(name, error):
    def fail(path, *arguments, **options):
        if str(path).endswith(name):
            raise error
        return open(path, *arguments, **options)

    return fail


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "Input/output error"), OSError(errno.EMFILE, "Too many open files")],
    ids=str,
)
def test_an_error_of_the_disk_reaches_the_loop_with_the_name_of_the_file(
    images, monkeypatch, error
):
    name = os.path.join("cat", "2.jpg")
    monkeypatch.setattr("tinyalex.data.records.open", failing_open(name, error), raising=False)
    with pytest.raises(OSError, match=rf"{error.strerror}.*{name}"):
        list(Loader(images, 4))
    assert loader_threads() == []


def test_a_file_that_was_removed_reaches_the_loop_with_its_name(tmp_path):
    source = find_images(class_folders(tmp_path))
    (tmp_path / "train" / "dog" / "3.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"dog/3\.jpg"):
        list(Loader(StoredImages(source.train, source.classes, 16), 4))


def test_too_little_memory_for_an_image_reaches_the_loop_with_its_name(images, monkeypatch):
    def decode(content, size, *, squash):
        raise MemoryError("cannot allocate")

    monkeypatch.setattr("tinyalex.data.dataset.decode_square", decode)
    with pytest.raises(MemoryError, match=r"cat/0\.jpg: cannot allocate|dog/1\.jpg: cannot"):
        list(Loader(images, 4))


LONG_RUN = """
import os, sys, threading
import numpy as np
import tinyalex as ta
import tinyalex.functional as F
from tinyalex import data, nn, optim

source = data.find_images(sys.argv[1])
images = data.StoredImages(source.train, source.classes, 12, workers=2)
loader = data.Loader(images, 4, shuffle=True, transform=data.Augment([100, 100, 100], size=8))
model = nn.Sequential(
    nn.Conv2d(3, 4, 3), nn.ReLU(), nn.LocalResponseNorm(3), nn.MaxPool2d(2), nn.Flatten(),
    nn.Dropout(), nn.Linear(36, 2),
)
optimizer = optim.SGD(list(model.parameters()), lr=0.001, momentum=0.9)

def usage():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * os.sysconf("SC_PAGESIZE"), threading.active_count(), len(os.listdir("/proc/self/fd"))

step = 0
while step < 2000:
    for x, y in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        step += 1
        if step % 400 == 0:
            print(step, *usage())
        if step == 2000:
            break
"""


@pytest.mark.fuzz
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_threads_and_handles_are_flat_over_2000_steps(source, tmp_path):
    folder = source.train[0].stored.file.parents[2]
    result = subprocess.run(
        [sys.executable, "-c", LONG_RUN, folder], capture_output=True, text=True, check=True
    )
    print(result.stdout)
    rows = np.array([line.split() for line in result.stdout.splitlines()], np.int64)
    steps, memory, threads, handles = rows.T
    assert steps[-1] == 2000
    # 1600 steps after the first measurement: 8 KB a step would be a leak of an array.
    assert memory[1:].max() - memory[0] < 12 << 20
    assert threads[1:].max() <= threads[0] + 2  # those that decode come and go
    assert handles[1:].max() <= handles[0] + 2
