"""Downloads: mirrors in turn, a checksum, a progress bar, and no partial files."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tinyalex.cache import cache_folder

CHUNK_BYTES = 1 << 16
"""Per write. Pooch's default, 1 KB, would need 170,000 for CIFAR-10."""


def data_folder() -> Path | None:
    """The folder of data sets, TINYALEX_DATA; None if that is not set or empty."""
    chosen = os.environ.get("TINYALEX_DATA")
    return Path(chosen).expanduser() if chosen else None


def fetch(
    name: str,
    mirrors: Sequence[str],
    known_hash: str,
    *,
    folder: Path | None = None,
    timeout: float = 20.0,
) -> Path:
    """The path of the file `name`, downloaded unless it exists with the right checksum.

    mirrors     URLs of the same file, tried in this order
    known_hash  "sha256:..." or "md5:...": files with another checksum are discarded
    folder      where to store the file; None: the cache folder
    timeout     seconds without a connection or data after which the next mirror is
                tried

    Raises ConnectionError, with the reason for each mirror, if all fail. A download
    goes to a temporary file, renamed once its checksum is right: `name` is never a
    partial file, even after Ctrl-C.
    """
    import pooch
    from requests import RequestException  # pooch downloads with requests

    folder = cache_folder() if folder is None else folder
    failures = []
    for url in mirrors:
        with _progress_bar(name) as bar:
            http = pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK_BYTES, timeout=timeout)
            download = partial(_download_with_umask, http)
            try:
                return Path(pooch.retrieve(url, known_hash, name, folder, downloader=download))
            # Pooch raises ValueError for a wrong checksum. Other errors, such as a full
            # disk, are raised: the next mirror would not help.
            except (RequestException, ValueError) as error:
                failures.append(f"  {url}\n    {_reason(error, timeout)}")
    reasons = "\n".join(failures)
    raise ConnectionError(
        f"{name}: none of {len(mirrors)} mirrors returned the expected file.\n{reasons}\n"
        "Try again later; or download it by hand from one of them, check that its checksum is "
        f"{known_hash}, and either give its path (--data PATH or --weights FILE on the command "
        f"line, the argument path in Python) or put it into {folder} as {name}."
    )


def _download_with_umask(http: Any, url: str, file: str, pooch: Any) -> None:
    """Download to a file with the permissions of other new files.

    Only its owner may read the temporary file that Pooch has created.
    """
    Path(file).unlink()
    http(url, file, pooch)


def _reason(error: Exception, timeout: float) -> str:
    """Why a mirror failed, in one line. The libraries' own messages have several."""
    from requests import exceptions
    from urllib3.exceptions import ReadTimeoutError

    text = " ".join(str(error).split())
    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    inner = next(iter(error.args), None)
    if isinstance(error, exceptions.Timeout) or isinstance(inner, ReadTimeoutError):
        return f"no data for {timeout:g} s"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return f"the connection was lost: {text}"
    cause = str(getattr(inner, "reason", text))
    if isinstance(error, exceptions.SSLError):
        return f"no secure connection: {cause}"
    if isinstance(error, exceptions.ConnectionError):
        return f"no connection: {cause.partition('): ')[2] or cause}"  # without HTTPConnection(...)
    if not isinstance(error, exceptions.RequestException):
        return f"wrong checksum: {text.partition('but got ')[2].partition('.')[0]}"
    return text


def _progress_bar(name: str) -> Any:
    """Shown on terminals only; log files get pooch's line with the URL."""
    from tqdm import tqdm

    # Pooch sets the total, if the bar is true; a bar with a total of 0 is false.
    return tqdm(
        total=1, desc=name, unit="B", unit_scale=True, dynamic_ncols=True, leave=False, disable=None
    )
