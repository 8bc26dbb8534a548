"""Batches of any samples: DataLoader and TensorDataset, as in torch.utils.data.

For images, `tinyalex.data.Loader` is faster: it augments them, and prepares batches
ahead.
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.creation import as_tensor
from tinyalex.data.checks import check_integer, is_integer
from tinyalex.data.order import shuffled
from tinyalex.equivalents import module_getattr
from tinyalex.tensor import Tensor

__getattr__ = module_getattr(sys.modules[__name__])


class Dataset:
    """A base class for datasets: a subclass defines `__len__` and `__getitem__`.

    DataLoader accepts any object with these methods.
    """

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__name__} has no __len__(self). Return its size.")

    def __getitem__(self, index: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has no __getitem__(self, index).")


class TensorDataset(Dataset):
    """Sample i is (tensors[0][i], tensors[1][i], ...)."""

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(map(as_tensor, tensors))
        lengths = [len(t) if t.ndim else 0 for t in self.tensors]
        if not lengths or len(set(lengths)) > 1:
            raise ValueError(
                f"TensorDataset: expected tensors with one entry for each sample, got the lengths "
                f"{lengths}."
            )

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)


class Subset(Dataset):
    """The samples of a dataset with these indices."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]


def random_split(dataset: Any, lengths: Sequence[float]) -> list[Subset]:
    """Divide a dataset at random into parts of these lengths, or of these fractions.

    The division depends on the seed of `tinyalex.manual_seed`.

    >>> [len(part) for part in random_split(range(10), [0.75, 0.25])]
    [8, 2]
    """
    n, sizes = len(dataset), list[Any](lengths)
    if not all(map(is_integer, sizes)) and math.isclose(sum(lengths), 1):
        sizes = [math.floor(n * part) for part in lengths]
        for i in range(n - sum(sizes)):  # what rounding leaves, one by one, as in torch
            sizes[i % len(sizes)] += 1
    if sum(sizes) != n or not all(is_integer(size) and size >= 0 for size in sizes):
        raise ValueError(
            f"random_split: expected lengths of at least 0 whose sum is {n}, the size of the "
            f"dataset, or fractions whose sum is 1, got {list(lengths)}."
        )
    _, call = device.draw("split")
    order = device.generator("split", step=0, sample=call).permutation(n).tolist()
    ends = np.cumsum(sizes).tolist()
    return [Subset(dataset, order[end - k : end]) for k, end in zip(sizes, ends, strict=True)]


class DataLoader:
    """Batches of a dataset: `for x, y in DataLoader(dataset, batch_size=32):`.

    dataset     with `__len__` and `__getitem__`
    shuffle     use a random order, another one in each epoch
    drop_last   omit a last batch that is smaller
    collate_fn  makes a batch of a list of samples; None: `collate`

    num_workers, pin_memory and persistent_workers have no effect: samples are read in
    this process, when the loop needs them.

    >>> loader = DataLoader(TensorDataset(np.ones((5, 3)), np.arange(5)), batch_size=2)
    >>> [(x.shape, y.numpy().tolist()) for x, y in loader]
    [((2, 3), [0, 1]), ((2, 3), [2, 3]), ((1, 3), [4])]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        persistent_workers: bool = False,
    ) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(
                "DataLoader: expected a dataset with __len__ and __getitem__, got a "
                f"{type(dataset).__name__}."
            )
        check_integer("DataLoader", "batch_size", batch_size, 1, fix="Give for example 32.")
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.collate_fn, self.drop_last = collate_fn, drop_last
        self._epochs = count()

    def __len__(self) -> int:
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        order = shuffled(n, next(self._epochs), None) if self.shuffle else np.arange(n)
        for first in range(0, len(self) * self.batch_size, self.batch_size):
            rows = order[first : first + self.batch_size]
            if type(self.dataset) is TensorDataset and self.collate_fn is None:
                yield self.dataset[rows]
            else:
                yield (self.collate_fn or collate)([self.dataset[i] for i in rows.tolist()])


def collate(samples: list[Any]) -> Any:
    """A batch: tensors, arrays and numbers stacked along a new first axis; tuples,
    lists and dicts of these, entry by entry. Others, such as strings, remain a list.

    Integers become int64, Python floats float32.

    >>> collate([(1, "a"), (2, "b")])
    (Tensor([1, 2], dtype=int64), ['a', 'b'])
    """
    first = samples[0]
    if isinstance(first, dict):
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        return tuple(map(collate, map(list, zip(*samples, strict=True))))
    if isinstance(first, (bool, int, float)):
        is_float = any(isinstance(sample, float) for sample in samples)
        return Tensor(np.array(samples, np.float32 if is_float else None))
    if not isinstance(first, Tensor) and not device.is_array(first):
        return samples
    arrays = [as_tensor(sample).data for sample in samples]
    with device.on(device.common("collate", arrays)):
        try:
            stacked = device.xp(arrays[0]).stack(arrays)
        except ValueError:
            raise ValueError(
                "collate: expected samples of one shape, got "
                f"{', '.join(map(str, sorted({a.shape for a in arrays})))}. Crop or pad them in "
                "__getitem__, or give a collate_fn."
            ) from None
        return Tensor(stacked, device=device.of(stacked))
