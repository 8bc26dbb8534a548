"""Matrix multiplication partitioned among workers."""

import sys

import numpy as np
import pytest

from tinyalex import device as devices
from tinyalex.kernels.cpu import blas_choice, gemm

ALL, NONE = (blas_choice.InBlocks(*[choice] * 4) for choice in (True, False))


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1),
        (3, 0, 5),
        (0, 4, 2),
        (300, 64, 40),
        (40, 64, 300),
        (129, 128, 128),
        (2000, 300, 3),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_matmul_equals_numpys(shape, order, rng, monkeypatch):
    monkeypatch.setattr(devices.tiles, "workers", lambda: 2)
    monkeypatch.setattr(gemm, "MIN_PARALLEL_MADDS", gemm.MAX_SERIAL_MADDS)
    rows, inner, columns = shape
    a, b = (
        rng.standard_normal((rows, inner)),
        np.asarray(rng.standard_normal((inner, columns)), order=order),
    )
    out = np.full((rows, columns), np.nan, order=order)
    gemm.matmul(a, b, out=out)
    np.testing.assert_allclose(out, a @ b, rtol=1e-12, atol=1e-12)


LINEAR = [
    (600, 768, 3),
    (3, 768, 600),
    (1024, 3, 512),
    (500, 256, 32),
    (400, 31, 128),
    (397, 701, 7),
    (7, 701, 397),
    (397, 11, 401),
]
"""Few columns, few rows and short sums; sizes with many divisors and prime sizes."""


@pytest.mark.parametrize("shape", LINEAR)
@pytest.mark.parametrize("orders", ["CCC", "FFF", "CFC", "FCF", "CCF", "FFC"])
@pytest.mark.parametrize("blocks", [True, False])
def test_matmul_of_linear_layers_equals_numpys_with_and_without_blocks(
    shape, orders, blocks, rng, monkeypatch
):
    monkeypatch.setattr(blas_choice, "in_blocks", lambda: ALL if blocks else NONE)
    monkeypatch.setattr(devices.tiles, "workers", lambda: 2)
    monkeypatch.setattr(gemm, "MIN_PARALLEL_MADDS", gemm.MAX_SERIAL_MADDS)
    rows, inner, columns = shape
    drawn = (
        rng.standard_normal((rows, inner)),
        rng.standard_normal((inner, columns)),
        np.full((rows, columns), np.nan),
    )
    a, b, out = (np.asarray(m, order=order) for m, order in zip(drawn, orders, strict=True))
    gemm.matmul(a, b, out=out)
    np.testing.assert_allclose(out, a @ b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "shape", [(448, 64, 192), (997, 30, 70), (64, 300, 300), (2000, 40, 40), (0, 300, 100)]
)
@pytest.mark.parametrize("blocks", [True, False])
def test_stacked_matmul_equals_numpys_with_and_without_blocks(shape, blocks, rng, monkeypatch):
    monkeypatch.setattr(blas_choice, "in_blocks", lambda: ALL if blocks else NONE)
    rows, inner, columns = shape
    a, b = (
        rng.standard_normal((2, 3, inner, rows)).swapaxes(2, 3),
        rng.standard_normal((2, 3, inner, columns)),
    )
    out = np.full((2, 3, rows, columns), np.nan)
    gemm.stacked_matmul(a, b, out)
    np.testing.assert_allclose(out, a @ b, rtol=1e-11, atol=1e-11)


def test_blocks_are_small_enough_for_blas_to_skip_packing(rng, monkeypatch):
    monkeypatch.setattr(blas_choice, "in_blocks", lambda: ALL)
    monkeypatch.setattr(devices.tiles, "workers", lambda: 2)
    sizes = []
    matmul = np.matmul
    monkeypatch.setattr(
        np, "matmul", lambda a, b, out: sizes.append(_madds(a, b)) or matmul(a, b, out=out)
    )
    for rows, inner, columns in (
        (4096, 2048, 32),
        (4096, 2048, 3),
        (2048, 32, 4096),
        (4480, 64, 192),
    ):
        sizes.clear()
        gemm.matmul(
            rng.standard_normal((rows, inner)),
            rng.standard_normal((inner, columns)),
            out=np.empty((rows, columns)),
        )
        assert 0 < max(sizes) <= gemm.MAX_UNPACKED_MADDS


def _madds(a, b):
    """Multiply-adds of one matrix multiplication of the stack."""
    return a.shape[-2] * a.shape[-1] * b.shape[-1]


def test_only_large_multiplications_are_partitioned_among_workers(rng, monkeypatch):
    monkeypatch.setattr(devices.tiles, "workers", lambda: 2)
    seen = []
    own = devices.for_tiles
    monkeypatch.setattr(
        devices,
        "for_tiles",
        lambda a, *rest, single_threaded, **options: (
            seen.append((a.shape, single_threaded))
            or own(a, *rest, single_threaded=single_threaded, **options)
        ),
    )
    for rows, columns in ((64, 64), (64, 1024), (64, 16384)):
        gemm.matmul(
            rng.standard_normal((rows, 64)),
            rng.standard_normal((64, columns)),
            out=np.empty((rows, columns)),
        )
    # The longer side of the output is partitioned, after a transpose if necessary.
    assert seen == [((1024, 64), True), ((16384, 64), False)]


@pytest.mark.parametrize("shape", [(4096, 1, 300), (300, 1, 4096), (1, 300, 4096), (4096, 300, 1)])
def test_matmul_of_vectors_equals_numpys(shape, rng):
    rows, inner, columns = shape
    a, b, out = (
        rng.standard_normal((rows, inner)),
        rng.standard_normal((inner, columns)),
        np.empty((rows, columns)),
    )
    gemm.matmul(a, b, out=out)
    np.testing.assert_allclose(out, a @ b, rtol=1e-12, atol=1e-12)


def test_the_switch_interval_is_short_while_workers_run(monkeypatch):
    monkeypatch.setattr(devices.tiles, "workers", lambda: 2)
    before, inside = sys.getswitchinterval(), []
    devices.for_tiles(
        np.zeros(4), 1, lambda lo, hi, scratch: inside.append(sys.getswitchinterval())
    )
    assert max(inside) < before / 10
    assert sys.getswitchinterval() == before
