"""Names of torch that tinyalex does not have are answered with an equivalent."""

import importlib

import pytest

import tinyalex as ta
from tinyalex.equivalents import TABLES, TENSOR


def owner(name):
    return ta.Tensor if name == "Tensor" else importlib.import_module(name)


@pytest.mark.parametrize("table", TABLES)
def test_each_entry_is_an_error_with_its_text(table):
    obj = ta.Tensor([1.0]) if table == "Tensor" else owner(table)
    for name, advice in TABLES[table].items():
        assert not hasattr(owner(table), name), f"{table} has {name}"
        with pytest.raises(AttributeError) as error:
            getattr(obj, name)
        assert str(error.value) == f"{table} has no `{name}`: {advice}"


@pytest.mark.parametrize("table", [table for table in TABLES if table != "Tensor"])
def test_an_imported_name_is_answered_too(table):
    for name, advice in TABLES[table].items():
        with pytest.raises(ImportError) as error:
            exec(f"from {table} import {name}")
        assert str(error.value) == f"{table} has no `{name}`: {advice}"


def test_a_function_is_answered_as_the_tensors_method():
    for name, advice in TENSOR.items():
        if name not in TABLES["tinyalex"] and not hasattr(ta, name):
            with pytest.raises(AttributeError) as error:
                getattr(ta, name)
            assert str(error.value) == f"tinyalex has no `{name}`: {advice}"


def test_an_operation_in_place_names_the_one_that_returns_a_tensor():
    x = ta.Tensor([1.0])
    with pytest.raises(AttributeError, match=r"Tensor has no `mul_`: .* use x = x\.mul\(\.\.\.\)"):
        x.mul_(2)
    with pytest.raises(AttributeError, match="`erfinv_`: operations return a new tensor, and do"):
        x.erfinv_()


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="Tensor has no `argmaxx`: did you mean `argmax`?"):
        ta.Tensor([1.0]).argmaxx()
    with pytest.raises(AttributeError, match="tinyalex.nn has no `Linaer`: did you mean `Linear`?"):
        ta.nn.Linaer(1, 2)
    with pytest.raises(AttributeError, match="tinyalex has no `qqq`: see help"):
        ta.qqq()


def test_attributes_that_do_not_exist_can_be_asked_for():
    assert not hasattr(ta.Tensor([1.0]), "scatter_")
    assert getattr(ta, "compile", None) is None
