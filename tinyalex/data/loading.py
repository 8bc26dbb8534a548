"""Loader: batches of a dataset in random order, prepared ahead by two threads."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import count, islice

import numpy as np

from tinyalex import device as devices
from tinyalex.data.checks import check_integer
from tinyalex.data.dataset import ArrayDataset, Batch, RowDataset, StoredImages
from tinyalex.data.order import shuffled, shuffled_files
from tinyalex.device import Array

_Read = tuple[Callable[[], Array], Array, *tuple[Array, ...]]
"""A function that returns the images, which are being copied to the device; labels, and
perhaps a mask of those that could be read."""

_check = partial(check_integer, "Loader")


class Loader:
    """Batches of a dataset: images float32 (n, C, H, W), labels int64 (n,).

    dataset     a Dataset or StoredImages, or another object with `labels` and either
                `images` or `take(rows)`: see `ArrayDataset` and `RowDataset`
    batch_size  n; the last batch of an epoch may be smaller
    shuffle     use a new random order in each epoch; otherwise the dataset's own. If
                the dataset has `files` with several images each, as StoredImages of
                archives, the files in random order are cut into batch_size parts, and
                each batch takes one image from each part (data/order.py)
    transform   `transform(images, epoch=e, first=i)` returns the network's input, as
                data.Augment and data.Normalize do; None: pixels from 0 to 255
    drop_last   omit a last batch that is smaller
    prefetch    the number of batches that two threads prepare ahead; 0: no threads
    seed        of the order; None: that of `tinyalex.manual_seed` when the epoch begins
    shard       (i, k): part i of k of each batch, for k processes. Images have the same
                index in the batch, and random values, as in the whole batch
    device      of the batches. `images` are copied to a GPU once, as bytes, if they fit
                into half of its free memory; otherwise each batch is, while the GPU
                computes with those before

    `len(loader)` batches are an epoch. `for x, y in loader:` runs one: epoch 0 the
    first time, then epoch 1, and so on. `loader.epoch(e)` runs epoch e, with the same
    images in the same order whatever ran before.

    An error of the transform is raised by the loop, after the batches before it.
    Leaving the loop early ends the threads. Raises ValueError for sizes without a
    batch, TypeError for a dataset or transform of another type.

    >>> from tinyalex.data import shapes
    >>> loader = Loader(shapes(300)[0], batch_size=128, shuffle=True)
    >>> for x, y in loader:
    ...     print(x.shape, x.dtype, y.shape)
    (128, 3, 32, 32) float32 (128,)
    (128, 3, 32, 32) float32 (128,)
    (44, 3, 32, 32) float32 (44,)
    """

    def __init__(
        self,
        dataset: ArrayDataset | RowDataset,
        batch_size: int = 128,
        *,
        shuffle: bool = False,
        transform: Callable[..., Array] | None = None,
        drop_last: bool = False,
        prefetch: int = 2,
        seed: int | None = None,
        shard: tuple[int, int] = (0, 1),
        device: str = "cpu",
    ) -> None:
        if not isinstance(dataset, ArrayDataset | RowDataset):
            raise TypeError(
                f"Loader: expected a Dataset, got {type(dataset).__name__}.\n"
                "Give data.Dataset(images, labels, classes), or an object with these attributes."
            )
        if transform is not None and not callable(transform):
            raise TypeError(
                f"Loader: expected a callable as transform, got {transform!r}.\n"
                "Give data.Augment(mean), data.Normalize(mean) or None."
            )
        _check("batch_size", batch_size, 1, fix="Give for example batch_size=128.")
        _check("prefetch", prefetch, 0, fix="Give 0 to prepare no batches ahead.")
        index, parts = shard
        _check("the number of shards", parts, 1, fix="Give (0, 1) for whole batches.")
        _check("the index of the shard", index, 0, parts - 1, fix="Give for example (0, 2).")
        if seed is not None:
            _check("seed", seed, 0, 2**64 - 1, fix="Give None for the seed of manual_seed.")
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.transform, self.drop_last = transform, drop_last
        self.prefetch, self.seed, self.shard = prefetch, seed, shard
        self.device = devices.check(device)
        self._take = _row_reader(dataset, self.device)
        self._epochs = count()
        if len(self) == 0:
            raise ValueError(
                f"Loader: {len(dataset.labels)} images with batch_size={batch_size} and "
                f"drop_last={drop_last} result in no batch.\n"
                "Give more images, a smaller batch_size, or drop_last=False."
            )

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        full, rest = divmod(len(self.dataset.labels), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(next(self._epochs))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `start`, where a run was interrupted.

        Raises ValueError for a negative epoch, or a start that is not from 0 to
        len(loader).
        """
        _check("epoch", epoch, 0, fix="Epochs are counted from 0.")
        _check("start", start, 0, len(self), fix="Give the number of batches to skip.")
        n = len(self.dataset.labels)
        files = getattr(self.dataset, "files", None)
        if not self.shuffle:
            order = np.arange(n)
        elif files is not None and files.max() + 1 < n:
            order = shuffled_files(files, self.batch_size, epoch, self.seed)
        else:
            order = shuffled(n, epoch, self.seed)
        return self._batches(epoch, order, start)

    def _batches(self, epoch: int, order: np.ndarray, start: int) -> Iterator[Batch]:
        ranges = map(self._range, range(start, len(self)))
        with closing(devices.Uploader(self.device)) as uploader:
            read = partial(self._read, uploader)
            if self.prefetch == 0:
                for rows in ranges:
                    yield self._transformed(epoch, rows.start, read(order[rows]))
            else:
                yield from self._prefetched(epoch, order, ranges, read)

    def _prefetched(
        self,
        epoch: int,
        order: np.ndarray,
        ranges: Iterator[slice],
        read: Callable[[np.ndarray], _Read],
    ) -> Iterator[Batch]:
        # One thread reads, the other transforms: each processes one batch at a time.
        # Both have the random streams of the thread that iterates.
        seed = devices.manual_seed, (devices.seed(),)
        reader = ThreadPoolExecutor(1, "tinyalex-loader-read", *seed)
        transformer = ThreadPoolExecutor(1, "tinyalex-loader-transform", *seed)

        def prepare(rows: slice) -> Future[Batch]:
            batch = reader.submit(read, order[rows])
            return transformer.submit(lambda: self._transformed(epoch, rows.start, batch.result()))

        try:
            ahead = deque(prepare(rows) for rows in islice(ranges, self.prefetch))
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(prepare(rows) for rows in islice(ranges, 1))
                yield batch
        finally:  # also if the loop was left early, which closes this generator
            reader.shutdown(cancel_futures=True)
            transformer.shutdown(cancel_futures=True)

    def _range(self, batch: int) -> slice:
        """The range of this process's part of a batch in the order of the epoch."""
        first = batch * self.batch_size
        count = min(self.batch_size, len(self.dataset.labels) - first)
        lo, hi = devices.section(count, *self.shard)
        return slice(first + lo, first + hi)

    def _read(self, uploader: devices.Uploader, rows: np.ndarray) -> _Read:
        with devices.on(self.device):  # the current device is a property of each thread
            images, labels, *readable = self._take(rows)
            labels = devices.to(labels, self.device)
            # The last step: `_transformed` receives all that have been started.
            return uploader.start(images), labels, *readable

    def _transformed(self, epoch: int, first: int, batch: _Read) -> Batch:
        receive, labels, *readable = batch
        with devices.on(self.device):
            images = receive()
            if self.transform is None:
                x = images.astype(np.float32)
            else:
                x = self.transform(images, epoch=epoch, first=first)
            # After the transform: an image's index does not depend on other images.
            for mask in readable:
                if not mask.all():
                    keep = devices.to(np.flatnonzero(mask), self.device)
                    x, labels = x[keep], labels[keep]
            return x, labels.astype(np.int64, copy=False)


def _row_reader(
    dataset: ArrayDataset | RowDataset, device: str
) -> Callable[[np.ndarray], tuple[Array, ...]]:
    """A function that reads rows of the dataset, from the device if possible."""
    if isinstance(dataset, StoredImages):
        return dataset.read
    if isinstance(dataset, RowDataset):
        return dataset.take
    images, labels = dataset.images, dataset.labels
    if device != "cpu" and devices.is_array(images):
        memory = devices.memory(device)
        if images.nbytes <= (memory["free"] + memory["holds"] - memory["used"]) // 2:
            images, labels = devices.to(images, device), devices.to(labels, device)

    def take(rows: np.ndarray) -> Batch:
        rows = devices.to(rows, devices.of(images))
        return images[rows], labels[rows]

    return take
