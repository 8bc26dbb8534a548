"""Downloads: several mirrors in turn, a checksum, a progress bar, and nothing half-written left behind."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHUNK = 1 << 16
"""Bytes a write. Pooch's own 1 KB would mean 170,000 writes for CIFAR-10."""


def cache_folder() -> Path:
    """Where downloads are kept: the folder named by TINYALEX_CACHE, or the usual cache folder of this system."""
    import pooch

    chosen = os.environ.get("TINYALEX_CACHE")
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("tinyalex"))


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
    """The path of the file `name`, downloaded from the first mirror that has the right bytes unless it is there already.

    mirrors     addresses of the same bytes, tried in this order
    known_hash  "sha256:..." or "md5:...": bytes with another checksum are thrown away, wherever they came from
    folder      where to keep the file; the cache folder if not given
    timeout     seconds without a connection or without a byte after which a mirror is passed over

    Raises ConnectionError, with the reason for each mirror, if none of them works. Whatever happens, Ctrl-C included,
    `name` is either the whole file or not there: bytes go to a temporary file, which is renamed once its checksum is right.
    """
    import pooch
    from requests import RequestException  # the library that pooch downloads with

    folder = cache_folder() if folder is None else folder
    failures = []
    for url in mirrors:
        with _progress_bar(name) as bar:
            downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=timeout)
            try:
                return Path(
                    pooch.retrieve(url, known_hash, fname=name, path=folder, downloader=downloader)
                )
            # Pooch reports a wrong checksum as ValueError. A full disk or a folder that cannot be written is an OSError of
            # another kind and goes to the caller: the next mirror would not help.
            except (RequestException, ValueError) as error:
                failures.append(f"  {url}\n    {_reason(error, timeout)}")
    raise ConnectionError(
        f"{name}: none of {len(mirrors)} mirrors gave the expected file.\n"
        + "\n".join(failures)
        + "\n"
        f"Try again later; or download it by hand from any of them, check that its checksum is {known_hash}, and either say "
        f"where it is (--data PATH or --weights FILE on the command line, the argument path in Python) or put it into {folder} as {name}."
    )


def _reason(error: Exception, timeout: float) -> str:
    """What went wrong with a mirror, in a line. The libraries' own texts for the usual cases run over several."""
    from requests import exceptions

    text = " ".join(str(error).split())
    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    if isinstance(error, exceptions.Timeout) or "Read timed out" in text:
        return f"silent for {timeout:g} s"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return f"the connection broke before the end: {text}"
    cause = str(getattr(next(iter(error.args), None), "reason", text))
    if isinstance(error, exceptions.SSLError):
        return f"no secure connection: {cause}"
    if isinstance(error, exceptions.ConnectionError):
        return f"no connection: {cause.partition('): ')[2] or cause}"  # without the HTTPConnection(host=...) that asked
    if "hash of downloaded file" in text:
        return "wrong bytes: the checksum is " + text.partition("but got ")[2].partition(".")[0]
    return text


def _progress_bar(name: str) -> Any:
    """On a terminal; in a log file there is nothing but pooch's line that names the mirror."""
    from tqdm import tqdm

    # A bar with a total of 0 counts as false, and pooch asks whether there is a bar before it tells the bar its total.
    return tqdm(
        total=1, desc=name, unit="B", unit_scale=True, dynamic_ncols=True, leave=False, disable=None
    )
