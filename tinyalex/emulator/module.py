"""A .cu file, compiled for the CPU."""

import ctypes
from collections.abc import Sequence

from tinyalex.emulator import arguments, compiling, translation
from tinyalex.emulator.launching import Kernel


class Module:
    """CUDA source compiled by g++; the counterpart of CuPy's RawModule.

    code    the complete source, with our own headers inserted; messages show the lines
            that its #line directives give
    file    the name of the source in messages
    names   the template instantiations to build, such as "max_pool<float, unsigned
            char>"
    check   build with checks of every memory access; hundreds of times as slow
    stats   `check`, and count sectors and bank conflicts for `Kernel.memory_report()`
    unwrap  returns the NumPy array behind an array of another library, or None for
            anything else; NumPy arrays are then rejected

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
        unwrap: arguments.Unwrap | None = None,
    ):
        self.file = file
        self.names = translation.kernels_of(code, file, names)
        check = check or stats
        source = translation.translate(code, file, self.names)
        library = compiling.build(source, file, check=check, stats=stats)
        loaded = ctypes.CDLL(str(library))
        self._kernels = {}
        for i, name in enumerate(self.names):
            signature = getattr(loaded, f"signature_{i}")
            signature.restype = ctypes.c_char_p
            parameters = arguments.parse_signature(signature().decode())
            launch = getattr(loaded, f"launch_{i}")
            self._kernels[name] = Kernel(
                name, parameters, launch, library, loaded, check, stats, unwrap
            )

    def get_function(self, name: str) -> Kernel:
        if name not in self._kernels:
            raise KeyError(
                f"{self.file} has no kernel {name!r}, only {', '.join(self._kernels) or 'none'}. "
                "Add it to `names`."
            )
        return self._kernels[name]
