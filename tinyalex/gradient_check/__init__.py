"""gradcheck: compares a backward pass with finite differences of its forward pass."""

from tinyalex.gradient_check.check import gradcheck
from tinyalex.gradient_check.report import GradcheckError, Report

__all__ = ["GradcheckError", "Report", "gradcheck"]
