"""The folder of files that can be made again: downloads, builds, measurements."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """TINYALEX_CACHE, or tinyalex's folder in the system's folder of caches."""
    if chosen := os.environ.get("TINYALEX_CACHE"):
        return Path(chosen).expanduser()
    try:
        from platformdirs import user_cache_path
    except ImportError:  # the engine needs NumPy only
        return Path.home() / ".cache" / "tinyalex"
    return user_cache_path("tinyalex")
