"""The folder of files that can be made again: downloads, builds, measurements."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """TINYALEX_CACHE, or tinyalex's folder in the system's folder of caches."""
    if chosen := os.environ.get("TINYALEX_CACHE"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("tinyalex")
