"""Training: the loop, its log and checkpoints, and how good the result is."""

from tinyalex.training.metrics import (
    Evaluation,
    answers,
    evaluate,
    mean_answer,
    score,
    wrong_answers,
)
from tinyalex.training.progress import Epoch
from tinyalex.training.trainer import Interrupted, Trainer

__all__ = [
    "Epoch",
    "Evaluation",
    "Interrupted",
    "Trainer",
    "answers",
    "evaluate",
    "mean_answer",
    "score",
    "wrong_answers",
]
