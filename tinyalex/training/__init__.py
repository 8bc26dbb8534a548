"""Training: the loop, its log and checkpoints, and how good the result is."""

from tinyalex.training.metrics import Evaluation, evaluate, wrong_answers
from tinyalex.training.trainer import Epoch, Interrupted, Trainer

__all__ = ["Epoch", "Evaluation", "Interrupted", "Trainer", "evaluate", "wrong_answers"]
