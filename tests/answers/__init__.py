"""Answers to the exercises as learners might write them, other than the solutions.

A module exercise_NN has two lists: RIGHT has correct answers, and WRONG has wrong ones
with the names of their mistakes. tests/test_exercises.py checks them.
"""

from importlib import import_module
from pathlib import Path

_FILES = sorted(Path(__file__).parent.glob("exercise_*.py"))
_MODULES = {int(file.stem[-2:]): import_module(f"answers.{file.stem}") for file in _FILES}

RIGHT = [(n, source) for n, module in _MODULES.items() for source in module.RIGHT]
"""(number of the exercise, source)."""

WRONG = [(n, *answer) for n, module in _MODULES.items() for answer in module.WRONG]
"""(number of the exercise, name of the mistake, source)."""
