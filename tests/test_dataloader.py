"""utils.data: TensorDataset, DataLoader, random_split."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex.utils.data import DataLoader, Dataset, TensorDataset, collate, random_split

pytestmark = pytest.mark.anywhere


class Squares(Dataset):
    """Sample i is (array [i*i], label i % 2, a name)."""

    def __len__(self):
        return 5

    def __getitem__(self, i):
        return np.array([i * i], "f"), i % 2, f"square {i}"


def labels(loader):
    return [y.numpy().tolist() for _, y in loader]


def five():
    return TensorDataset(np.arange(15, dtype="f").reshape(5, 3), np.arange(5))


def test_a_sample_of_a_tensor_dataset_has_an_entry_of_each_tensor():
    x, y = five()[3]
    assert (len(five()), x.numpy().tolist(), y.item()) == (5, [9, 10, 11], 3)


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [2, 2, 1]), (True, [2, 2])])
def test_the_last_batch_is_smaller_or_dropped(drop_last, sizes):
    loader = DataLoader(five(), batch_size=2, drop_last=drop_last, num_workers=2, pin_memory=True)
    assert [len(x) for x, _ in loader] == sizes
    assert len(loader) == len(sizes)
    assert labels(loader) == [[0, 1], [2, 3], [4]][: len(sizes)]


def test_each_epoch_has_another_order_which_the_seed_determines():
    ta.manual_seed(5)
    loader = DataLoader(five(), 5, shuffle=True)
    epochs = [labels(loader) for _ in range(4)]
    assert {tuple(sorted(epoch[0])) for epoch in epochs} == {(0, 1, 2, 3, 4)}
    assert len({str(epoch) for epoch in epochs}) > 1
    ta.manual_seed(5)
    again = DataLoader(five(), 5, shuffle=True)
    assert [labels(again) for _ in range(4)] == epochs


def test_samples_of_any_dataset_are_stacked():
    first, *_, last = DataLoader(Squares(), batch_size=2)
    x, y, names = first
    assert (x.dtype, x.numpy().tolist()) == (np.float32, [[0], [1]])
    assert (y.dtype, y.numpy().tolist(), names) == (np.int64, [0, 1], ["square 0", "square 1"])
    assert last[0].shape == (1, 1)


def test_dicts_and_floats_are_stacked_by_their_keys():
    samples = [
        {"x": ta.Tensor([1.0, 2.0]), "weight": 0.5},
        {"x": ta.Tensor([3.0, 4.0]), "weight": 1.0},
    ]
    (batch,) = DataLoader(samples, batch_size=2)
    assert batch["x"].numpy().tolist() == [[1, 2], [3, 4]]
    assert (batch["weight"].dtype, batch["weight"].numpy().tolist()) == (np.float32, [0.5, 1])


def test_numbers_of_which_one_is_a_float_become_float32():
    assert collate([1, 2.5]).dtype == np.float32


def test_a_collate_fn_replaces_the_stacking():
    assert list(DataLoader([1, 2, 3], 2, collate_fn=sum)) == [3, 3]
    loader = DataLoader(five(), 2, collate_fn=len)
    assert list(loader) == [2, 2, 1]


def test_a_random_split_has_each_sample_once():
    ta.manual_seed(1)
    one, two = random_split(five(), [3, 2])
    assert (len(one), len(two)) == (3, 2)
    parts = labels(DataLoader(one)) + labels(DataLoader(two))
    assert sorted(parts) == [[0], [1], [2], [3], [4]]
    ta.manual_seed(1)
    assert labels(DataLoader(random_split(five(), [3, 2])[0])) == parts[:3]
    assert [len(part) for part in random_split(five(), [0.5, 0.3, 0.2])] == [3, 1, 1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: TensorDataset(np.ones(3), np.ones(2)), ValueError, r"one entry for each sample, got the lengths \[3, 2\]"),
        (lambda: DataLoader(iter([1]), 2), TypeError, "expected a dataset with __len__ and __getitem__, got a list_iterator"),
        (lambda: DataLoader([1], 0), ValueError, "expected batch_size to be an integer of at least 1, got 0"),
        (lambda: random_split(range(5), [3, 3]), ValueError, r"lengths of at least 0 whose sum is 5, .* got \[3, 3\]"),
        (lambda: random_split(range(5), [-1, 6]), ValueError, r"at least 0 whose sum is 5, .* got \[-1, 6\]"),
        (lambda: list(DataLoader([np.ones(2), np.ones(3)], 2)), ValueError, r"samples of one shape, got \(2,\), \(3,\)"),
        (lambda: len(Dataset()), TypeError, "Dataset has no __len__"),
        (lambda: Dataset()[0], TypeError, "Dataset has no __getitem__"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_subclass_of_tensordataset_gets_single_samples():
    class Reversed(TensorDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x.flip(0), y

    dataset = Reversed(ta.arange(6).reshape(3, 2), ta.arange(3))
    (x, y), *_ = DataLoader(dataset, 3)
    assert (x.tolist(), y.tolist()) == ([[1, 0], [3, 2], [5, 4]], [0, 1, 2])
