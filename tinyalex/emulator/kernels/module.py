"""A .cu file, compiled for the CPU."""

from collections.abc import Sequence

from tinyalex.emulator.kernels import compiling, library, translation
from tinyalex.emulator.kernels.launching import Kernel


class Module:
    """CUDA source compiled by g++; the counterpart of CuPy's RawModule.

    code    the complete source, with our own headers inserted; messages show the lines
            that its #line directives give
    file    the name of the source in messages
    names   the template instantiations to build, such as "max_pool<float, unsigned
            char>"
    check   build with checks of every memory access; hundreds of times as slow
    stats   `check`, and count sectors and bank conflicts for `Kernel.memory_report()`

    Raises CompileError with g++'s errors.
    """

    def __init__(
        self,
        code: str,
        file: str,
        names: Sequence[str] = (),
        *,
        check: bool = False,
        stats: bool = False,
    ):
        self.file = file
        self.names = translation.kernels_of(code, file, names)
        source = translation.translate(code, file, self.names)
        path = compiling.build(source, file, check=check or stats, stats=stats)
        self._kernels = {name: Kernel(kernel) for name, kernel in library.load(path).items()}

    def get_function(self, name: str) -> Kernel:
        if name not in self._kernels:
            raise KeyError(
                f"{self.file} has no kernel {name!r}, only {', '.join(self._kernels) or 'none'}. "
                "Add it to `names`."
            )
        return self._kernels[name]
