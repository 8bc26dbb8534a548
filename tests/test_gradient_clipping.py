"""Gradient clipping."""

import math

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import nn
from tinyalex.device import to_numpy

pytestmark = pytest.mark.anywhere


def with_gradient(*values):
    p = ta.Tensor(np.zeros(len(values)), requires_grad=True)
    p.grad = ta.Tensor(np.array(values)).data
    return p


def gradients(*tensors):
    return [to_numpy(p.grad).tolist() for p in tensors]


def test_gradients_are_scaled_to_the_norm_of_all_of_them():
    one, two, none = with_gradient(3.0), with_gradient(0.0, 4.0), with_gradient(1.0)
    none.grad = None
    norm = nn.utils.clip_grad_norm_([one, two, none], 1.0)
    assert (float(norm), norm.device) == (5, one.device)
    np.testing.assert_allclose(gradients(one)[0], [0.6], rtol=1e-6)
    np.testing.assert_allclose(gradients(two)[0], [0, 0.8], rtol=1e-6)


def test_gradients_within_the_norm_remain():
    p = with_gradient(3.0, -4.0)
    assert float(nn.utils.clip_grad_norm_(p, 100.0, math.inf)) == 4
    assert gradients(p) == [[3, -4]]


def test_without_gradients_the_norm_is_0():
    assert float(nn.utils.clip_grad_norm_(nn.Linear(2, 2).parameters(), 1.0)) == 0


def test_each_element_can_be_limited():
    p = with_gradient(3.0, -4.0, 0.5)
    nn.utils.clip_grad_value_([p], 1.0)
    assert gradients(p) == [[1, -1, 0.5]]


def test_the_norm_of_float16_is_computed_in_float32():
    p = ta.Tensor(np.zeros(4, np.float16), requires_grad=True)
    p.grad = ta.Tensor(np.full(4, 300, np.float16)).data
    assert float(nn.utils.clip_grad_norm_(p, 1.0)) == 600
    assert p.grad.dtype == np.float16
    np.testing.assert_allclose(gradients(p)[0], 0.5, rtol=1e-3)
