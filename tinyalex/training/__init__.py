"""The training loop with its log and checkpoints; evaluation."""

from tinyalex.training.metrics import (
    Evaluation,
    evaluate,
    log_probabilities,
    mean_log_probabilities,
    merge_evaluations,
    score,
)
from tinyalex.training.plateau import guessing_advice
from tinyalex.training.progress import Epoch
from tinyalex.training.scheme import Scheme, StepResult
from tinyalex.training.signals import Interrupted
from tinyalex.training.trainer import Trainer

__all__ = [
    "Epoch",
    "Evaluation",
    "Interrupted",
    "Scheme",
    "StepResult",
    "Trainer",
    "evaluate",
    "guessing_advice",
    "log_probabilities",
    "mean_log_probabilities",
    "merge_evaluations",
    "score",
]
