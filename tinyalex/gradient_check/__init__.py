"""gradcheck: compares a backward pass with finite differences of its forward pass."""

from tinyalex.gradient_check.check import GradcheckError, Report, gradcheck

__all__ = ["GradcheckError", "Report", "gradcheck"]
