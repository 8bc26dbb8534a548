"""Stochastic gradient descent as in the paper, Adam, and learning rate schedules."""

import sys

from tinyalex.equivalents import module_getattr
from tinyalex.optim import lr_scheduler
from tinyalex.optim.adam import Adam, AdamW
from tinyalex.optim.grad_scaler import GradScaler
from tinyalex.optim.optimizer import Optimizer
from tinyalex.optim.sgd import SGD, paper_groups

__all__ = ["SGD", "Adam", "AdamW", "GradScaler", "Optimizer", "lr_scheduler", "paper_groups"]

__getattr__ = module_getattr(sys.modules[__name__])
