"""Mutated files of each format: a right result or a clear error (tests/fuzzing.py)."""

import pytest
from fuzz_formats import FORMATS
from fuzzing import campaign

FILES = 300


@pytest.mark.fuzz
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_mutated_file_gives_a_right_result_or_a_clear_error(form, tmp_path, capsys):
    outcome = campaign(form, FILES, tmp_path)
    with capsys.disabled():
        print(
            f"\n{form.name}: {outcome.files} files, {outcome.read} read, "
            f"{len(outcome.errors)} distinct errors",
            end="",
        )
    assert outcome.errors
