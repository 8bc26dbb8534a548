"""From a picture file's bytes to pixels, whatever kind of picture it is."""

import io
import math
from collections.abc import Callable
from typing import Any

from tinyalex.data.images import LONGEST, upright_rgb

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Kinds of picture files. Pillow knows others too, and would start Ghostscript for some."""


def decode(data: bytes, short_side: int | None = None) -> Any:
    """A Pillow image: upright, 8-bit RGB, and with `short_side` resized so that its shorter side has so many pixels.

    Grey, CMYK, 16-bit and palette pictures become RGB, and photographs are turned as their EXIF orientation says. Shrinking averages.
    ValueError for what is no picture, or is cut off.
    """

    def resized(rgb: Any, bilinear: Any) -> Any:
        if short_side is None or min(rgb.size) == short_side:
            return rgb
        return rgb.resize(_with_short_side(rgb.size, short_side), bilinear)

    return _decode(data, short_side, resized)


def decode_square(data: bytes, side: int, *, squash: bool = False) -> Any:
    """The square in the middle of a picture, resized to side x side pixels, or with `squash` all of it; otherwise as `decode`.

    Only what will be seen is resized, which is less work. Who resizes first and cuts then may get it half a pixel aside.
    """

    def resized(rgb: Any, bilinear: Any) -> Any:
        if squash:
            return rgb.resize((side, side), bilinear)
        left, top = ((length - min(rgb.size)) // 2 for length in rgb.size)
        return rgb.resize(
            (side, side), bilinear, box=(left, top, left + min(rgb.size), top + min(rgb.size))
        )

    return _decode(data, None if squash else side, resized)


def _decode(data: bytes, short_side: int | None, shape: Callable[[Any, Any], Any]) -> Any:
    """What `shape` makes of the picture in RGB, given the way to resize. It needs no more than `short_side` pixels of the shorter side."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if max(image.size) > LONGEST * min(image.size):
                raise ValueError(
                    f"{image.size[0]} x {image.size[1]} pixels are a line; expected a picture at most {LONGEST} : 1"
                )
            if short_side is not None:
                # A JPEG file can be decoded at a half, a quarter or an eighth of its size, and no smaller than is asked for here.
                image.draft(None, _with_short_side(image.size, short_side))
            return shape(upright_rgb(image), Image.Resampling.BILINEAR)
    except MemoryError:  # which says nothing about the picture
        raise
    except UnidentifiedImageError:  # whose own text has an address in it, another one each time
        raise ValueError(f"not a picture that can be read: none of {', '.join(FORMATS)}") from None
    # Not only OSError: on broken bytes Pillow's decoders also raise SyntaxError, ValueError, struct.error and others.
    except Exception as error:
        raise ValueError(f"not a picture that can be read: {error}") from error


def _with_short_side(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(width, height), the longer side in proportion."""
    width, height = (
        max(short_side, math.floor(side * short_side / min(size) + 0.5)) for side in size
    )
    return width, height
