"""Text from files of unknown origin: bounded in size, and printable."""

from pathlib import Path

MAX_NAME_BYTES = 255
"""Of a file or folder: the limit of most file systems."""

MAX_TEXT_BYTES = 16 << 20
"""Parsed JSON can take 20 times as much memory."""


def read_text(path: Path) -> str:
    """The text of a file in UTF-8.

    Raises FileNotFoundError; ValueError for a pipe, a device, a very large file or
    another encoding.
    """
    check_regular(path)
    with open(path, "rb") as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise ValueError(
            f"{path} has more than {MAX_TEXT_BYTES >> 20} MiB. Expected a smaller file."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}.") from None


def check_regular(path: Path) -> None:
    """Raises ValueError for a folder, a pipe or a device, whose reading may not end."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file.")


def printable(text: str) -> str:
    """The text without control codes, which names in a file may contain."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)[:200]


def printable_lines(text: str) -> str:
    """As `printable`, for a text of several lines of any length."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
