"""The diagnosis of wrong answers that no check.py lists."""

import pytest
from answers.natural import NATURAL
from learner import unwrapped, verdict_on


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("number", "words", "source"),
    [pytest.param(n, words, source, id=f"{n} {name}") for n, name, words, source in NATURAL],
)
def test_a_natural_wrong_answer_is_named(number, words, source):
    verdict = verdict_on(number, source)
    assert verdict.kind != "right"
    assert words in unwrapped(verdict.text), verdict.text
