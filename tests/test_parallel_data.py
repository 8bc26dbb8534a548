"""Batches, files and evaluations, divided between processes."""

from types import SimpleNamespace

import numpy as np
import parallel_steps
import pytest
from made_images import class_folders, image_bytes

import tinyalex as ta
from tinyalex import data, models, nn, training
from tinyalex.data.order import shuffled_files
from tinyalex.data.records import ByteRange
from tinyalex.data.shards import write_shard
from tinyalex.nn.partitioned import layers_of, segments_of
from tinyalex.parallel.buckets import GradientBuckets
from tinyalex.parallel.data import DataParallel
from tinyalex.training.metrics import merge_evaluations, score


def test_the_shards_of_a_batch_are_the_batch():
    dataset = parallel_steps.images(32)
    augment = data.Augment(np.full(3, 128), padding=4)
    whole, *parts = (
        list(data.Loader(dataset, 8, shuffle=True, transform=augment, shard=shard).epoch(3))
        for shard in [(0, 1), (0, 3), (1, 3), (2, 3)]
    )
    for batch, *shards in zip(whole, *parts, strict=True):
        for array, pieces in zip(batch, zip(*shards, strict=True), strict=True):
            np.testing.assert_array_equal(array, np.concatenate(pieces))


@pytest.mark.parametrize("batch_size", [16, 7, 2000])
def test_each_file_is_read_by_one_process_except_at_the_borders(batch_size):
    files = np.repeat(np.arange(10), [100] * 9 + [57])
    order = shuffled_files(files, batch_size, epoch=1, seed=0)
    assert sorted(order) == list(range(957))
    assert (order != shuffled_files(files, batch_size, epoch=2, seed=0)).any()
    for processes in (1, 2, 4):
        read = [set() for _ in range(processes)]
        for first in range(0, 957, batch_size):
            batch = files[order[first : first + batch_size]]
            for rank in range(processes):
                lo, hi = ta.device.section(len(batch), rank, processes)
                read[rank] |= set(batch[lo:hi])
        assert sum(map(len, read)) <= 10 + 2 * (processes - 1)


def test_each_process_reads_its_own_archives(tmp_path, monkeypatch):
    for number in range(8):
        samples = [(f"{number}-{i}", image_bytes(10 * number + i), i % 2) for i in range(6)]
        write_shard(tmp_path / f"train-{number}.tar", samples, note={})
    write_shard(tmp_path / "val-0.tar", samples, note={})
    source = data.find_images(tmp_path)
    opened = []
    read = ByteRange.read
    monkeypatch.setattr(ByteRange, "read", lambda self: opened.append(self.file) or read(self))
    by_process = []
    for shard in [(0, 2), (1, 2)]:
        dataset = data.StoredImages(source.train, source.classes, size=16, workers=1)
        loader = data.Loader(dataset, 8, shuffle=True, shard=shard, prefetch=0)
        opened.clear()
        assert sum(len(labels) for _, labels in loader.epoch(0)) == 24
        by_process.append(set(opened))
    assert [len(files) for files in by_process] == [4, 4]
    assert not set.intersection(*by_process)


def test_evaluations_of_parts_are_merged():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((50, 7)), rng.integers(0, 7, 50)
    predictions = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    parts = [score(predictions[part], labels[part]) for part in (slice(9), slice(9, 50))]
    whole, merged = score(predictions, labels), merge_evaluations(parts)
    assert merged.error == whole.error
    assert merged.loss == pytest.approx(whole.loss, rel=1e-12)
    assert merged.top5_error == pytest.approx(whole.top5_error, rel=1e-12)
    assert (merged.confusion == whole.confusion).all()


def test_batch_norm_is_refused_in_several_processes():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    with pytest.raises(ValueError, match="parallel: 1 is a BatchNorm2d, which would normalize by"):
        DataParallel(model, SimpleNamespace(size=2), SimpleNamespace(device="cpu"))
    with pytest.raises(ValueError, match=r"1, BatchNorm2d, has buffers \(running_mean, "):
        segments_of(layers_of(model), 0, 2)


def test_frozen_parameters_have_no_bucket():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    buckets = GradientBuckets(list(model.parameters()), SimpleNamespace(size=2))
    buckets.__enter__()
    assert set(buckets.bucket_of) == set(model[1].parameters())


def test_a_loader_of_whole_batches_is_refused(tmp_path):
    loader = data.Loader(parallel_steps.images(32), 6, shard=(0, 2))
    model = models.cifar("quick", 5)
    optimizer = ta.optim.SGD(model.parameters(), lr=0.1)
    options = {"epochs": 1, "output": tmp_path, "metadata": {}}
    with pytest.raises(ValueError, match=r"expected loaders with shard=\(0, 1\).*got \(0, 2\)"):
        training.Trainer(model, optimizer, None, loader, loader, **options)


def test_an_unreadable_image_does_not_change_the_crops_of_others(tmp_path):
    """The crops of an image are the same in one process, in a shard of two, and if
    another image of its batch is damaged."""
    folder = class_folders(tmp_path, train=12, val=2)
    augment = data.Augment(np.full(3, 128), size=16)

    def epoch(shard):
        source = data.find_images(folder)
        images = data.StoredImages(source.train, source.classes, size=20, workers=1)
        batches = data.Loader(images, 12, transform=augment, shard=shard).epoch(0)
        return np.concatenate([x for x, _ in batches])

    complete = epoch((0, 1))
    (folder / "train" / "cat" / "2.jpg").write_bytes(b"damaged")  # after 0.jpg and 10.jpg
    damaged = epoch((0, 1))
    assert len(damaged) == 11
    np.testing.assert_array_equal(damaged, np.delete(complete, 2, axis=0))
    np.testing.assert_array_equal(damaged, np.concatenate([epoch((0, 2)), epoch((1, 2))]))
