"""Stochastic gradient descent as in the paper, and learning rate schedules."""

from tinyalex.optim import lr_scheduler
from tinyalex.optim.sgd import SGD, paper_groups

__all__ = ["SGD", "lr_scheduler", "paper_groups"]
