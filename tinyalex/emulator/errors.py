"""Errors in compiling and running kernels."""


class CompileError(RuntimeError):
    """The compiler rejected a kernel's source, or is missing."""


class LaunchError(RuntimeError):
    """A launch beyond a GPU's limits, or an error while a kernel runs."""
