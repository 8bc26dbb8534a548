"""Picture files in all their kinds, as upright 8-bit RGB."""

from typing import Any

import numpy as np

LONGEST = 100
"""How many times as long as high a picture may be: resized to its shorter side, a line of pixels would fill the memory."""

ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""


def upright_rgb(image: Any) -> Any:
    """A Pillow image turned upright, as its EXIF orientation says, in 8-bit RGB; its transparency is dropped.

    ValueError for a picture whose black and white are not known. Two of Pillow's own conversions are not what one wants and are replaced
    here.
    """
    from PIL import Image

    image = _upright(image)
    if image.mode.startswith("I"):
        # Pillow would turn every 16-bit value from 255 on into white. As it does for 16-bit colour, keep the upper byte.
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(
                f"expected 8 or 16 bits a pixel, got values from {values.min()} to {values.max()}"
            )
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError(
            "expected 8 or 16 bits a pixel, got floating-point numbers, whose black and white are not known"
        )
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert(
            "RGBA"
        )  # straight to RGB works too, but Pillow warns about the transparency that is lost
    return image.convert("RGB")


def _upright(image: Any) -> Any:
    """Turned and mirrored as EXIF says. Pillow's own exif_transpose also writes the rest of EXIF anew, and fails where that is broken."""
    from PIL.Image import Transpose

    image.load()  # a TIFF file is turned by this, and no longer says that it must be
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # broken EXIF raises errors of many kinds; the pixels are whole
        return image
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image
