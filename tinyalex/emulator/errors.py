"""Errors in compiling and running kernels."""


class CompileError(RuntimeError):
    """The compiler rejected a kernel's source, or is missing."""


class LaunchError(RuntimeError):
    """An error while a kernel runs."""


class LimitError(LaunchError):
    """A launch beyond a GPU's limits."""
