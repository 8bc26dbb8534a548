"""The installed CuPy: where its extensions are, and for which CUDA it was built."""

import importlib.machinery
import importlib.util
from pathlib import Path


def extension(package: str, name: str) -> Path:
    """The file of an extension module, such as "cuda/thrust" of package cupy.

    Raises ImportError if CuPy is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "the emulator runs CuPy on the CPU, but CuPy is not installed. It needs no GPU: "
            "pip install cupy-cuda13x"
        )
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    return Path(spec.submodule_search_locations[0], f"{name}{suffix}")


CUDA_VERSION = 13000
