"""Mutated files of each format: a right result or a clear error (tests/fuzzing.py)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_formats import FORMATS, ONNX
from fuzzing import campaign

pytestmark = pytest.mark.fuzz
FILES, RUNS = 400, 3000
GUIDED = Path(__file__).with_name("fuzz_atheris.py")


@pytest.mark.parametrize("form", [*FORMATS, ONNX], ids=lambda form: form.name)
def test_a_mutated_file_gives_a_right_result_or_a_clear_error(form, tmp_path, capsys):
    if form is ONNX:
        pytest.importorskip("onnx")
    outcome = campaign(form, FILES, tmp_path)
    with capsys.disabled():
        print(f"\n{form.name}: {outcome}", end="")
    assert outcome.errors


@pytest.mark.parametrize("name", ["pickles", "tar", "pth", "onnx", "preprocessing"])
def test_files_guided_by_coverage_give_a_right_result_or_a_clear_error(name, tmp_path, capsys):
    pytest.importorskip("atheris")
    pytest.importorskip("onnx")
    options = (f"-runs={RUNS}", "-seed=1")
    result = subprocess.run(
        [sys.executable, GUIDED, name, tmp_path / name, *options], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-3000:]
    runs = re.search(r"number_of_executed_units: *(\d+)", result.stderr)
    with capsys.disabled():
        print(f"\n{name}, guided by coverage: {runs[1]} files", end="")
    assert int(runs[1]) >= RUNS
