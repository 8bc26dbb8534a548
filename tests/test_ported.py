"""Expressions of PyTorch's training scripts run, or are refused with an equivalent."""

import numpy as np
import pytest
from ported_expressions import REFUSED, SUPPORTED, environment, plain, run

import tinyalex as ta

EXPRESSIONS = [source for group in SUPPORTED.values() for source in group]


def arrays(value):
    """The arrays and numbers of a value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [array for item in value for array in arrays(item)]
    return [] if value is None or isinstance(value, str) else [value]


def test_at_least_230_of_262_distinct_expressions_are_supported(tell):
    assert len({*EXPRESSIONS, *REFUSED}) == 262
    assert len(EXPRESSIONS) >= 230
    tell(f"expressions of PyTorch's scripts: {len(EXPRESSIONS)} supported, {len(REFUSED)} refused")


@pytest.mark.parametrize("source", EXPRESSIONS)
def test_an_expression_runs_and_its_values_are_finite(source, tmp_path):
    value = plain(run(source, environment(ta, tmp_path / "model.pt")))
    assert all(np.isfinite(array).all() for array in arrays(value))


@pytest.mark.parametrize("source", REFUSED)
def test_a_refused_expression_names_an_equivalent_or_a_reason(source, tmp_path):
    # Warnings are errors in tests: x.transpose(0, 1) runs with one.
    errors = AttributeError, TypeError, ValueError, NotImplementedError, UserWarning
    with pytest.raises(errors) as error:
        run(source, environment(ta, tmp_path / "model.pt"))
    assert REFUSED[source] in str(error.value)
