"""The proof that gradcheck finds mistakes: every broken backward of tests/mutations.py is refused, with a hint at what it is."""

import pytest
from mutations import MUTATIONS

import tinyalex as ta


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
@pytest.mark.parametrize("fast", [False, True], ids=["full", "fast"])
def test_gradcheck_refuses_it_and_says_why(mutation, fast):
    report = ta.gradcheck(mutation.function, mutation.inputs, fast=fast, raise_exception=False)
    assert report.worst.wrong
    assert mutation.hint in [row.hint.kind for row in report.rows if row.hint], report
    assert report.problems == []
    assert f"Next: for {report.worst.name}, backward should give" in str(report)


def test_there_are_forty_and_no_name_twice():
    assert len({m.name for m in MUTATIONS}) == len(MUTATIONS) >= 40
