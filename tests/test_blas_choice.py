"""Multiplication in blocks: known for OpenBLAS, measured for other libraries."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from tinyalex.cli import doctor
from tinyalex.kernels.cpu import blas_choice
from tinyalex.kernels.cpu.blas_choice import InBlocks

ALL, NONE = InBlocks(True, True, True, True), InBlocks(False, False, False, False)


@pytest.fixture(autouse=True)
def _own_choice(tmp_path, monkeypatch):
    """No choice of this process, and an empty cache folder."""
    monkeypatch.setenv("TINYALEX_CACHE", str(tmp_path / "cache"))
    blas_choice.in_blocks.cache_clear()
    yield
    blas_choice.in_blocks.cache_clear()


@pytest.fixture
def measured(monkeypatch):
    """A NumPy with MKL, with which the product for dx alone is faster in blocks."""
    measurements = []

    def is_faster(multiply, a, b, out):
        measurements.append(multiply.__name__)
        return multiply.__name__ == "few_columns_column_major"

    monkeypatch.setattr(blas_choice, "library", lambda: ("mkl-sdl", {None}))
    monkeypatch.setattr(blas_choice, "_is_faster", is_faster)
    return measurements


@pytest.mark.parametrize(
    ("kernels", "expected"), [("SkylakeX", ALL), ("SapphireRapids", ALL), ("Haswell", NONE)]
)
def test_openblas_is_known_by_its_kernels(kernels, expected, monkeypatch):
    monkeypatch.setattr(blas_choice, "library", lambda: ("scipy-openblas", {kernels}))
    assert blas_choice.in_blocks() == expected
    assert not blas_choice.measurement_file().exists()


def test_another_library_is_measured_once_for_all_processes(measured):
    expected = InBlocks(False, column_major=True, short_sums=False, small=False)
    assert blas_choice.in_blocks() == expected
    assert measured == ["few_columns_row_major", "few_columns_column_major", "short_sums"]
    blas_choice.in_blocks.cache_clear()  # as in a new process
    assert blas_choice.in_blocks() == expected
    assert len(measured) == 3


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", '{"row_major": true}', '{"unknown": true}', "\0"]
)
def test_a_file_that_is_no_measurement_is_replaced(content, measured):
    file = blas_choice.measurement_file()
    file.parent.mkdir(parents=True)
    file.write_text(content)
    assert blas_choice.in_blocks().column_major
    blas_choice.in_blocks.cache_clear()
    assert blas_choice.in_blocks().column_major
    assert len(measured) == 3


def test_without_a_cache_folder_each_process_measures(measured, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert blas_choice.in_blocks().column_major
    assert len(measured) == 3


@pytest.mark.parametrize(
    ("built_with", "loaded", "expected"),
    [
        ("scipy-openblas", ["openblas"], "scipy-openblas"),
        ("mkl-sdl", ["mkl", "openblas"], "mkl-sdl"),  # SciPy has an OpenBLAS of its own
        ("accelerate", [], "accelerate"),
        ("blas", ["mkl"], "mkl"),  # conda's
        ("blas", [], "blas"),
    ],
)
def test_the_library_is_that_of_numpy(built_with, loaded, expected, monkeypatch):
    config = {"Build Dependencies": {"blas": {"name": built_with}}}
    monkeypatch.setattr(np, "show_config", lambda mode: config)
    found = [{"internal_api": name, "architecture": "Haswell"} for name in loaded]
    monkeypatch.setattr(blas_choice.device, "blas_libraries", lambda: found)
    assert blas_choice.library() == (expected, {"Haswell"} if loaded else set())


def test_the_measurement_takes_each_product_of_a_linear_layer():
    found = blas_choice._measure()
    assert {type(value) for value in found} == {bool}
    assert not found.small


@pytest.mark.parametrize(("best", "is_faster"), [(1.9, True), (1.95, False), (3.0, False)])
def test_blocks_must_be_faster_than_numpys_matmul(monkeypatch, best, is_faster):
    """By the best rounds, of which NumPy's takes 2 seconds by this clock."""
    rounds = zip((4.0, 2.0, 9.0, 3.0), (7.0, 8.0, best, 9.0), strict=True)
    steps = [step for whole, blocks in rounds for step in (0.0, whole, blocks)]
    clock = itertools.accumulate(steps)
    monkeypatch.setattr(blas_choice, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    a, multiplied = np.ones((2, 2), np.float32), []
    assert blas_choice._is_faster(lambda *args: multiplied.append(args), a, a, a * 0) is is_faster
    assert len(multiplied) == blas_choice.ROUNDS


def test_doctor_prints_the_choice_and_where_it_is_kept(measured):
    finding = doctor._blas()
    assert finding.ok
    assert f"column_major (measured: {blas_choice.measurement_file()})" in finding.text
