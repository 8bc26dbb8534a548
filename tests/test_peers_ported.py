"""Expressions of PyTorch's training scripts have PyTorch's values."""

from numbers import Number

import numpy as np
import pytest
from ported_expressions import REFUSED, SUPPORTED, environment, plain, run

import tinyalex as ta

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers installs it")

pytestmark = pytest.mark.peers

EXPRESSIONS = [source for group in SUPPORTED.values() for source in group]


def both(source, folder):
    """The values of tinyalex and of torch."""
    return [
        plain(run(source, environment(framework, folder / f"{framework.__name__}.pt")))
        for framework in (ta, torch)
    ]


def assert_equal(ours, theirs):
    if isinstance(theirs, (np.ndarray, Number)):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        assert (ours.shape, ours.dtype.kind) == (theirs.shape, theirs.dtype.kind)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert_equal(mine, other)
    else:
        assert ours == theirs


@pytest.mark.parametrize("source", EXPRESSIONS)
def test_an_expression_has_torchs_value(source, tmp_path):
    assert_equal(*both(source, tmp_path))


@pytest.fixture
def torchs_settings():
    """Restores what expressions set for the whole process."""
    benchmark, dtype = torch.backends.cudnn.benchmark, torch.get_default_dtype()
    # torch's own tests, which test_peers_samples.py imports, disable these assignments.
    with torch.backends.__allow_nonbracketed_mutation():
        yield
        torch.backends.cudnn.benchmark = benchmark
    torch.set_default_dtype(dtype)


@pytest.mark.filterwarnings("ignore")  # deprecations of torch
@pytest.mark.parametrize("source", REFUSED)
def test_torch_runs_what_is_refused_here(source, torchs_settings, tmp_path):
    run(source, environment(torch, tmp_path / "model.pt"))
