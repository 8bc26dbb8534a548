"""Fixtures of the stand-in's tests, which do not install it in sys.modules."""

import pytest

import standin
from standin import cupy


@pytest.fixture
def x():
    """A float32 matrix on the device: 0 to 11 in three rows."""
    return cupy.arange(12, dtype=cupy.float32).reshape(3, 4)


@pytest.fixture
def stats():
    """The increase of a count of the stand-in since the test began: stats("sync")."""
    before = dict(standin.stats)
    return lambda what: standin.stats[what] - before[what]
