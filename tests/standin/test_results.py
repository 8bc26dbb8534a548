"""What the stand-in computes, and in which kind of array, is what CuPy would."""

import numpy as np
import pytest

from standin import cupy

pytestmark = pytest.mark.cuda


def test_reductions_and_single_elements_are_arrays_of_no_dimensions(x):
    for y in (
        x.sum(),
        x.max(),
        cupy.mean(x),
        x[0, 0],
        x[(1, 2)],
        cupy.allclose(x, x),
        cupy.array_equal(x, x),
    ):
        assert type(y) is cupy.ndarray
        assert y.shape == ()


def test_a_single_element_is_a_view(x):
    element = x[1, 2]
    element += 100
    assert x.get()[1, 2] == 106


def test_views_share_memory_and_lists_of_indices_do_not(x):
    for part in (
        x[1:],
        x[..., None],
        x.T,
        x.reshape(-1),
        x.ravel(),
        x.swapaxes(0, 1),
        cupy.moveaxis(x, 0, 1),
        cupy.broadcast_to(x, (2, 3, 4)),
    ):
        assert part.base is x.base
        assert cupy.shares_memory(part, x)
    for part in (x[[1, 2]], x[cupy.asarray([0])], x.T.reshape(-1), x.copy(), x + 0):
        assert part.base is None
        assert not cupy.shares_memory(part, x)


def test_astype_without_a_need_to_copy_is_the_array_itself(x):
    assert x.astype(np.float32, copy=False) is x
    assert x.astype(np.float32) is not x
    assert x.astype(np.float16, copy=False).dtype == np.float16


def test_what_is_computed_is_in_c_order(x):
    fortran = cupy.asarray(np.ones((2, 3, 4), order="F"))
    swapped = cupy.ones((3, 2, 4)).swapaxes(0, 1)
    for y in (
        fortran + fortran,
        cupy.exp(swapped),
        swapped.sum(axis=2),
        cupy.where(swapped > 0, swapped, 0),
        swapped[[0, 1]],
    ):
        assert y.flags.c_contiguous


def test_the_likes_of_an_array_keep_its_order():
    fortran = cupy.asarray(np.ones((2, 3), order="F"))
    for y in (
        cupy.zeros_like(fortran),
        cupy.ones_like(fortran),
        cupy.empty_like(fortran),
        fortran.astype("d"),
    ):
        assert y.flags.f_contiguous
    assert fortran.copy().flags.c_contiguous


def test_ascontiguousarray_keeps_arrays_of_no_dimensions(x):
    assert cupy.ascontiguousarray(x) is x
    assert cupy.ascontiguousarray(x.T).flags.c_contiguous
    assert cupy.ascontiguousarray(x.sum()).shape == ()


def test_reductions_take_several_axes_and_keep_them(x):
    np.testing.assert_array_equal(x.sum(axis=(0, 1), keepdims=True).get(), [[66]])
    np.testing.assert_array_equal(x.mean(axis=0).get(), x.get().mean(axis=0))
    assert x.argmax(axis=1).get().tolist() == [3, 3, 3]


def test_functions_write_where_out_says(x):
    y = cupy.empty((3, 3), "f")
    assert cupy.matmul(x, x.T, out=y) is y
    assert cupy.maximum(y, 40, y) is y
    np.testing.assert_array_equal(y.get(), np.maximum(x.get() @ x.get().T, 40))


def test_in_place_operators_keep_the_memory(x):
    address, view = x.data.ptr, x[0]
    x += 1
    x *= x
    x -= 1.0
    assert x.data.ptr == address
    assert view.get().tolist() == [0, 3, 8, 15]


def test_in_place_operators_do_not_change_the_dtype():
    with pytest.raises(TypeError):
        cupy.ones(3, "i4").__itruediv__(2)


def test_joining_filling_and_taking(x):
    assert cupy.concatenate((x, x), axis=1).shape == (3, 8)
    assert cupy.stack([x, x]).shape == (2, 3, 4)
    assert cupy.take(x, cupy.asarray([2, 0]), axis=0).get().tolist() == x.get()[[2, 0]].tolist()
    assert cupy.full((2,), 3, "f").get().tolist() == [3, 3]
    x.fill(2)
    assert x.sum().item() == 24
    x[1, :2] = cupy.asarray([5.0, 6.0])
    assert x.get()[1].tolist() == [5, 6, 2, 2]


def test_empty_memory_is_poisoned():
    assert np.isnan(cupy.empty((2, 3), "f").get()).all()
    assert np.isnan(cupy.ndarray((2, 3)).get()).all()
    assert np.isnan(cupy.empty(8, np.uint8).view(np.float32).get()).all()
    assert (cupy.empty_like(cupy.ones(3, "i4")).get() == 2**31 - 1).all()


@pytest.mark.parametrize("index", [3, (0, -5), [0, 3], (..., 4), 0.5])
def test_indices_out_of_bounds_are_refused(x, index):
    with pytest.raises(IndexError):
        x[index]
    with pytest.raises(IndexError):
        x[index] = 0


def test_indices_of_the_device_out_of_bounds_are_refused(x):
    with pytest.raises(IndexError):
        x[cupy.asarray([3])]
    with pytest.raises(IndexError):
        cupy.take(x, cupy.asarray([12]))


# ufuncs


def test_add_at_adds_as_often_as_an_index_comes():
    y = cupy.zeros(4, np.float32)
    cupy.add.at(y, cupy.asarray([0, 2, 0]), cupy.asarray([1, 2, 3], dtype="f"))
    assert y.get().tolist() == [4, 0, 2, 0]


def test_at_takes_tuples_of_indices_and_numbers(x):
    rows, columns = cupy.asarray([1, 1]), cupy.asarray([0, 0])
    cupy.add.at(x, (rows, columns), 0.5)
    assert x.get()[1, 0] == 5
    cupy.maximum.at(x, (slice(None), 3), 8)
    assert x.get()[:, 3].tolist() == [8, 8, 11]


def test_at_is_there_for_what_cupy_has_atomic_operations_for():
    with pytest.raises(
        TypeError,
        match="cupy.add.at only supports int32, float16, float32, float64, uint32, uint64 as data type, got int64",
    ):
        cupy.add.at(cupy.zeros(3, np.int64), cupy.asarray([0]), 1)
    with pytest.raises(NotImplementedError, match="`cupy_multiply.at` is not supported yet"):
        cupy.multiply.at(cupy.ones(3), cupy.asarray([0]), 2)


def test_ufuncs_are_objects_that_reduce(x):
    assert (cupy.add.nin, cupy.add.nout, cupy.add.name) == (2, 1, "cupy_add")
    assert isinstance(cupy.exp, cupy.ufunc)
    assert cupy.add.reduce(x).get().tolist() == x.get().sum(0).tolist()
    with pytest.raises(NotImplementedError, match="`cupy_maximum.reduce` is not supported yet"):
        cupy.maximum.reduce(x)
