"""Answers to the exercises as learners might write them, other than the solutions.

A module exercise_NN has two lists: RIGHT has correct answers, and WRONG has wrong ones
with the names of their mistakes. tests/test_exercises.py checks them.
"""

from importlib import import_module

_MODULES = {n: import_module(f"answers.exercise_{n:02}") for n in range(1, 15)}

RIGHT = [(n, source) for n, module in _MODULES.items() for source in module.RIGHT]
"""(number of the exercise, source)."""

WRONG = [(n, *answer) for n, module in _MODULES.items() for answer in module.WRONG]
"""(number of the exercise, name of the mistake, source)."""
