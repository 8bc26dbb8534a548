"""Stochastic gradient descent as in the paper, and learning rate schedules."""

import sys

from tinyalex.equivalents import module_getattr
from tinyalex.optim import lr_scheduler
from tinyalex.optim.sgd import SGD, paper_groups

__all__ = ["SGD", "lr_scheduler", "paper_groups"]

__getattr__ = module_getattr(sys.modules[__name__])
