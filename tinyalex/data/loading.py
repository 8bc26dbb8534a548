"""Loader: a dataset in batches, in a new order each epoch, prepared ahead by threads."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from typing import Any

import numpy as np

from tinyalex import device as devices
from tinyalex.device import Array

Batch = tuple[Array, Array]


class Loader:
    """Batches (images, labels) of a dataset: images float32 (n, C, H, W), labels int64 (n,).

    dataset      a Dataset, or another object with `images` and `labels` that an array of numbers picks rows from; or one with `labels` and
                 `take(rows)`, which gives (images, labels) of some rows and may leave some out, as StoredPictures does
    batch_size   n; the last batch of an epoch holds what is left
    shuffle      draw a new order for each epoch; otherwise the dataset's own
    transform    `transform(images, epoch=e, first=i)` makes what the network sees, as data.Augment and data.Normalize do;
                 without one, images are their pixels from 0 to 255
    drop_last    leave out a last batch that is smaller than the others
    prefetch     how many batches two threads prepare ahead; 0 prepares each when it is asked for
    seed         the seed of the order; None: that of `tinyalex.manual_seed` when the epoch begins
    device       where batches are made, and lie. A GPU gets the whole data set once, as bytes, if that fits into half of its free memory;
                 otherwise it gets each batch, still as bytes

    `len(loader)` batches are an epoch. `for x, y in loader:` runs one: the first time epoch 0, the next time epoch 1, and so on.
    `loader.epoch(e)` runs epoch e, with the same images in the same order whatever ran before.

    What the transform raises comes out of the loop, after the batches before it. A loop that is left early ends the threads.
    Raises ValueError for numbers that make no batches, TypeError for a dataset or transform that is none.

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
        dataset: Any,
        batch_size: int = 128,
        *,
        shuffle: bool = False,
        transform: Callable[..., Array] | None = None,
        drop_last: bool = False,
        prefetch: int = 2,
        seed: int | None = None,
        device: str = "cpu",
    ) -> None:
        if not (
            hasattr(dataset, "labels") and (hasattr(dataset, "images") or hasattr(dataset, "take"))
        ):
            raise TypeError(
                f"Loader: expected a Dataset, got {type(dataset).__name__}.\n"
                "Give data.Dataset(images, labels, classes), or an object with `images` and `labels`."
            )
        if transform is not None and not callable(transform):
            raise TypeError(
                f"Loader: expected a transform to call, got {transform!r}.\nGive data.Augment(mean), data.Normalize(mean) or None."
            )
        _check_whole(
            "batch_size",
            batch_size,
            1,
            "Give the number of images in a batch, such as batch_size=128.",
        )
        _check_whole(
            "prefetch",
            prefetch,
            0,
            "Give the number of batches to prepare ahead, or 0 for no threads.",
        )
        if seed is not None:
            _check_whole(
                "seed", seed, 0, "Give None for the seed of tinyalex.manual_seed.", below=2**64
            )
        self.dataset, self.batch_size, self.shuffle, self.transform = (
            dataset,
            batch_size,
            shuffle,
            transform,
        )
        self.drop_last, self.prefetch, self.seed = drop_last, prefetch, seed
        self.device = devices.check(device)
        self._take = _placed(dataset, self.device)
        self._epochs = count()
        if len(self) == 0:
            raise ValueError(
                f"Loader: {len(dataset.labels)} images with batch_size={batch_size} and drop_last={drop_last} make no batch.\n"
                "Give more images, a smaller batch_size, or drop_last=False."
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, left = divmod(len(self.dataset.labels), self.batch_size)
        return whole + (left > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(next(self._epochs))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from number `start` on: a run that was cut off goes on with just those that it had left.

        Raises ValueError for a negative epoch, or a start that is not from 0 to len(loader).
        """
        _check_whole("epoch", epoch, 0, "Epochs are numbered 0, 1, 2, ...")
        _check_whole(
            "start",
            start,
            0,
            f"Give the number of batches to leave out, at most {len(self)}.",
            below=len(self) + 1,
        )
        n = len(self.dataset.labels)
        order = (
            devices.generator("shuffle", epoch, seed=self.seed).permutation(n)
            if self.shuffle
            else np.arange(n)
        )
        return self._batches(epoch, order, start)

    def _batches(self, epoch: int, order: np.ndarray, start: int) -> Iterator[Batch]:
        numbers = iter(range(start, len(self)))
        if self.prefetch == 0:
            for number in numbers:
                yield self._transformed(epoch, number, self._read(order, number))
            return
        # One thread reads, another transforms what it has read: each does one batch after the other.
        reader, maker = (
            ThreadPoolExecutor(1, thread_name_prefix=f"tinyalex-loader-{work}")
            for work in ("read", "transform")
        )

        def prepare(number: int) -> Future[Batch]:
            rows = reader.submit(self._read, order, number)
            return maker.submit(lambda: self._transformed(epoch, number, rows.result()))

        try:
            ahead = deque(prepare(number) for number in islice(numbers, self.prefetch))
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(prepare(number) for number in islice(numbers, 1))
                yield batch
        finally:
            # Also where the loop was left early: the generator is closed then.
            reader.shutdown(cancel_futures=True)
            maker.shutdown(cancel_futures=True)

    def _read(self, order: np.ndarray, number: int) -> Batch:
        first = number * self.batch_size
        with devices.on(self.device):  # which each thread chooses for itself
            images, labels = (
                devices.to(a, self.device)
                for a in self._take(order[first : first + self.batch_size])
            )
            return images, labels

    def _transformed(self, epoch: int, number: int, rows: Batch) -> Batch:
        images, labels = rows
        with devices.on(self.device):
            first = number * self.batch_size
            x = (
                self.transform(images, epoch=epoch, first=first)
                if self.transform
                else images.astype(np.float32)
            )
            return x, labels.astype(np.int64, copy=False)


def _placed(dataset: Any, device: str) -> Callable[[np.ndarray], Batch]:
    """What gives some rows of the data set: on the device, if its images are in memory and fit there; else wherever they are."""
    if hasattr(dataset, "take"):
        return dataset.take
    images, labels = dataset.images, dataset.labels
    if (
        device != "cpu"
        and devices.is_array(images)
        and images.nbytes <= devices.memory(device)["free"] // 2
    ):
        images, labels = devices.to(images, device), devices.to(labels, device)

    def take(rows: np.ndarray) -> Batch:
        there = devices.to(rows, devices.of(images))
        return images[there], labels[there]

    return take


def _check_whole(name: str, value: Any, least: int, fix: str, below: int | None = None) -> None:
    if (
        not isinstance(value, (int, np.integer))
        or isinstance(value, bool)
        or value < least
        or (below and value >= below)
    ):
        wanted = f"from {least} on" if below is None else f"from {least} to {below - 1}"
        raise ValueError(
            f"Loader: expected {name} to be a whole number {wanted}, got {value!r}.\n{fix}"
        )
