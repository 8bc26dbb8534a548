"""A .cu file, compiled for the CPU."""

import ctypes
from collections.abc import Sequence

from tinyalex.emulator import arguments, compiling, translation
from tinyalex.emulator.launching import Kernel


class Module:
    """CUDA source compiled by g++; the counterpart of CuPy's RawModule.

    code    the complete source: our own headers are in it already. What its #line directives say is what messages show.
    file    what the source is called in messages
    names   the instantiations of its templates that are wanted, such as "max_pool<float, unsigned char>"
    check   build in the checks of every memory access; hundreds of times as slow
    stats   `check`, and count sectors and bank conflicts for `Kernel.memory_report()`
    unwrap  for arrays other than NumPy's: gives the NumPy array behind one, None if it is not one. NumPy's own are then refused.

    Raises CompileError with g++'s text.
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
        library = compiling.build(
            translation.translate(code, file, self.names), file, check=check, stats=stats
        )
        loaded = ctypes.CDLL(str(library))
        self._kernels = {}
        for i, name in enumerate(self.names):
            signature = getattr(loaded, f"signature_{i}")
            signature.restype = ctypes.c_char_p
            parameters = arguments.parse_signature(signature().decode())
            function = getattr(loaded, f"launch_{i}")
            self._kernels[name] = Kernel(
                name, parameters, function, library, loaded, check=check, stats=stats, unwrap=unwrap
            )

    def get_function(self, name: str) -> Kernel:
        if name not in self._kernels:
            raise KeyError(
                f"{self.file} has no kernel {name!r}, only {', '.join(self._kernels) or 'none at all'}. Is it in `names`?"
            )
        return self._kernels[name]
