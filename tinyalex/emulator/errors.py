"""What can go wrong before a kernel runs, and while it does. (A wrong argument is a TypeError or ValueError.)"""


class CompileError(RuntimeError):
    """The compiler refused a kernel's source, or there is no compiler. The text is what it said."""


class LaunchError(RuntimeError):
    """A launch that no GPU would take, or that did something which a GPU would not report."""
