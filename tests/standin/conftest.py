"""What the tests of the stand-in share. They do not install it: sys.modules stays as it is, and a real CuPy may be there too."""

import pytest

import standin
from standin import cupy


@pytest.fixture
def x():
    """A float32 matrix on the device: 0 to 11 in three rows."""
    return cupy.arange(12, dtype=cupy.float32).reshape(3, 4)


@pytest.fixture
def stats():
    """How much each count of the stand-in has grown since the test began: stats("sync")."""
    before = dict(standin.stats)
    return lambda what: standin.stats[what] - before[what]
