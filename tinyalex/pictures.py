"""Picture files in all their kinds, as upright 8-bit RGB."""

from typing import Any

import numpy as np


def upright_rgb(image: Any) -> Any:
    """A Pillow image turned upright, as its EXIF orientation says, in 8-bit RGB; its transparency is dropped.

    ValueError for a picture whose black and white are not known. Two of Pillow's own conversions are not what one wants and are replaced
    here.
    """
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # Pillow would turn every 16-bit value from 255 on into white. As it does for 16-bit colour, keep the upper byte.
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"expected 8 or 16 bits a pixel, got values from {values.min()} to {values.max()}")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("expected 8 or 16 bits a pixel, got floating-point numbers, whose black and white are not known")
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB works too, but Pillow warns about the transparency that is lost
    return image.convert("RGB")
