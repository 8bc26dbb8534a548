"""Decoding: image files of any format become upright 8-bit RGB images of Pillow."""

import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyalex.data.records import ByteRange

if TYPE_CHECKING:
    from PIL.Image import Image

# For damaged tags, Pillow can print thousands of lines. warnings.catch_warnings would
# change the filters of other threads.
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Formats that are read. For some others, Pillow starts Ghostscript."""

MAX_PIXELS = 64_000_000
"""With more, an image is refused before it is decoded: a file of some kilobytes can
contain billions. Decoding needs up to 12 bytes per pixel, in each thread."""

MAX_ASPECT_RATIO = 100
"""With a larger ratio, resizing by the shorter side could exhaust the memory."""

MAX_SCANS = 100
"""Of a JPEG file. Encoders write about 10, and each takes time in proportion to the
image's pixels."""

MAX_SEGMENTS = 10_000
"""Of a JPEG file. Encoders write some dozens; in Python, each takes a microsecond."""

JPEG_SEGMENT = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
"""A marker with a length, which it includes, or the end of the image."""

JPEG_SCAN, JPEG_END = b"\xda", b"\xd9"
BMP_RUN_LENGTHS = (1, 2)  # of 8 and 4 bits
EXIF_ORIENTATION = 0x0112
TIFF_TILE_WIDTH, TIFF_TILE_LENGTH = 322, 323


def decode(data: bytes, short_side: int | None = None) -> "Image":
    """The image in the bytes of a file, with its shorter side resized to `short_side`.

    Converted as by `upright_rgb`; downsampling averages. Raises ValueError for bytes
    that are no complete image.
    """
    from PIL.Image import Resampling

    rgb = _decode_rgb(data, short_side)
    if short_side is None or min(rgb.size) == short_side:
        return rgb
    size = _with_short_side(rgb.size, short_side)
    check_pixels(size)
    return rgb.resize(size, Resampling.BILINEAR)


def decode_square(data: bytes, side: int, *, squash: bool = False) -> "Image":
    """The centre square of an image, or with `squash` all of it, resized to `side`.

    Cropping first is faster; the result may be shifted by half a pixel from that of
    resizing first. Otherwise as `decode`.
    """
    from PIL.Image import Resampling

    rgb = _decode_rgb(data, None if squash else side)
    box = None
    if not squash:
        short = min(rgb.size)
        left, top = ((length - short) // 2 for length in rgb.size)
        box = (left, top, left + short, top + short)
    return rgb.resize((side, side), Resampling.BILINEAR, box=box)


def _decode_rgb(data: bytes, short_side: int | None) -> "Image":
    """The image in RGB, possibly downscaled, to no less than `short_side`."""
    try:
        with open_image(data) as image:
            if short_side is not None:
                # A JPEG decoder can reduce by 2, 4 or 8, to no less than this size.
                image.draft(None, _with_short_side(image.size, short_side))
            return upright_rgb(image)
    except MemoryError:  # not a fault of the file
        raise
    except Exception as error:  # damaged data raise errors of many types
        raise ValueError(f"not a readable image: {error}") from error


def _with_short_side(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(width, height), the longer side in proportion."""
    width, height = (
        max(short_side, math.floor(side * short_side / min(size) + 0.5)) for side in size
    )
    return width, height


@contextmanager
def open_image(data: bytes) -> "Iterator[Image]":
    """The bytes of a file as a Pillow image, whose pixels have not been decoded yet.

    All images are opened here. Raises ValueError for a file in none of FORMATS or that
    exceeds the limits above; Pillow's decoders raise errors of many types.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:  # its text contains a memory address
        raise ValueError(f"none of {', '.join(FORMATS)}") from None
    with opened as image:
        check_pixels(image.size)
        width, height = image.size
        if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
            raise ValueError(
                f"expected an aspect ratio of at most {MAX_ASPECT_RATIO} : 1, "
                f"got {width} x {height} pixels"
            )
        if image.format == "TIFF":
            _check_tiles(image)
        elif image.format in ("JPEG", "MPO"):
            _check_scans(data)
        elif image.format == "BMP" and image.info.get("compression") in BMP_RUN_LENGTHS:
            # Pillow decodes them in Python, which can take 20 s.
            raise ValueError("run-length encoded BMP is not supported; convert it to PNG")
        yield image


def check_pixels(size: Sequence[int], of: str = "image") -> None:
    """Raises ValueError for the size of an image with more than MAX_PIXELS."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"expected an {of} of at most {MAX_PIXELS:,} pixels, got {width} x {height}; "
            "make it smaller"
        )


def _check_scans(data: bytes) -> None:
    """Raises ValueError for a JPEG file with more than MAX_SCANS or MAX_SEGMENTS.

    A scan of a hundred bytes can change all pixels. What follows the end of the image,
    such as a video, is not searched.
    """
    position = scans = segments = 0
    while (marker := JPEG_SEGMENT.search(data, position)) and marker[1] != JPEG_END:
        scans += marker[1] == JPEG_SCAN
        segments += 1
        if scans > MAX_SCANS:
            raise ValueError(f"expected a JPEG image of at most {MAX_SCANS} scans; save it again")
        if segments > MAX_SEGMENTS:
            raise ValueError(
                f"expected a JPEG image of at most {MAX_SEGMENTS:,} segments; save it again"
            )
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])


def _check_tiles(image: Any) -> None:
    """Raises ValueError for the tiles of a TIFF image, which are decoded as a whole.

    They can be larger than the image.
    """
    size = [image.tag_v2.get(tag, 0) for tag in (TIFF_TILE_WIDTH, TIFF_TILE_LENGTH)]
    if not all(isinstance(side, int) for side in size):
        raise ValueError(f"expected integers as the size of its tiles, got {size}")
    check_pixels(size, "image tile")


def read_rgb(caller: str, file: Path) -> "Image":
    """The image in a file. Raises ValueError if it cannot be read."""
    try:
        with open_image(ByteRange(file).read()) as image:
            return upright_rgb(image)
    except Exception as error:  # damaged data raise errors of many types
        raise ValueError(
            f"{caller}: {file} cannot be read as an image: {error}.\nReplace it, or remove it."
        ) from error


def upright_rgb(image: Any) -> "Image":
    """A Pillow image in 8-bit RGB, rotated upright by its EXIF orientation.

    Grey values are repeated in each channel, 16 bits become 8. Transparency and
    metadata are dropped, so that the result is not rotated again.
    Raises ValueError for pixel types without a known black and white.
    """
    from PIL import Image

    image = _upright(image)
    if image.mode.startswith("I"):
        # Pillow would clip values at 255. Keep the upper byte, as it does for colours.
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(
                f"expected 8 or 16 bits per pixel, got values from {values.min()} to {values.max()}"
            )
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError(
            "expected 8 or 16 bits per pixel, got floating-point values without a known range"
        )
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns if this is converted to RGB directly
    rgb = image.convert("RGB")
    rgb.info = {}
    return rgb


def _upright(image: "Image") -> "Image":
    """As Pillow's exif_transpose, which also fails if other EXIF tags are damaged."""
    from PIL.Image import Transpose

    image.load()  # rotates a TIFF image, and removes its orientation
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION)
    except Exception:  # damaged EXIF, of many types; the pixels are not affected
        return image
    operations = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(operations[orientation]) if orientation in operations else image
