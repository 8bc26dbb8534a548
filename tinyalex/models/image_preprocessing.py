"""Converts photos to network inputs, as in the training of each variant of AlexNet."""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex.data.decoding import MAX_ASPECT_RATIO, check_pixels, open_image, upright_rgb
from tinyalex.data.records import ByteRange
from tinyalex.functional.arguments import at_least_one

MAX_SIDE = 8192
"""Pixels. With more, images that are resized would not fit into memory."""

MAX_STORED_SIZE = 2048
"""The largest size in a weights file, in pixels."""

MAX_VALUE = 1e6
"""Of the brightness of white, means and standard deviations, which are 255 or less."""

MAX_TEXT = 10_000
"""Characters. The text of a preprocessing has some hundred."""


@dataclass(frozen=True)
class Preprocessing:
    """`preprocess(image)` is (pixel - mean) / std for the central square of the image.

    size      S, the side of the square in pixels
    resize    the side to which the photo is resized first (bilinear, antialiased)
    squash    True: both its sides; False: the shorter one, the longer in proportion
    channels  "RGB", or "BGR" as in OpenCV and Caffe
    white     the value of a white pixel: 255 or 1
    mean      a value for each of the `channels`, on the scale of `white`
    std       a value for each of the `channels`, on the same scale

    An image is a path, a Pillow image, or a uint8 array (H, W, 3) in RGB. Photos are
    rotated by their EXIF orientation; grey, CMYK and palette images are converted
    to RGB. Raises ValueError, naming the file, for an image that cannot be read.
    """

    size: int
    resize: int
    squash: bool = False
    channels: str = "RGB"
    white: float = 255.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        at_least_one("Preprocessing", "size", self.size)
        at_least_one("Preprocessing", "resize", self.resize)
        if self.resize > MAX_SIDE:
            raise ValueError(
                f"Preprocessing: expected a resize of at most {MAX_SIDE} pixels, got {self.resize}."
            )
        if self.resize < self.size:
            raise ValueError(
                f"Preprocessing: a square of size={self.size} cannot be cropped from "
                f"resize={self.resize} pixels."
            )
        if self.channels not in ("RGB", "BGR"):
            raise ValueError(
                f"Preprocessing: expected channels 'RGB' or 'BGR', got {self.channels!r}."
            )
        checks: list[tuple[str, tuple[int, ...], float]] = [
            ("white", (), 1 / MAX_VALUE), ("mean", (3,), -MAX_VALUE), ("std", (3,), 1 / MAX_VALUE)
        ]  # fmt: skip
        for name, shape, least in checks:
            values = np.array(getattr(self, name), np.float64)
            if values.shape != shape or not ((least <= values) & (values <= MAX_VALUE)).all():
                numbers = "three numbers" if shape else "a number"
                raise ValueError(
                    f"Preprocessing: expected {numbers} from {least:g} to {MAX_VALUE:g} as {name}, "
                    f"got {getattr(self, name)!r}."
                )

    def to_text(self) -> str:
        """JSON, for the metadata of a weights file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Preprocessing":
        """The inverse of `to_text`. Raises ValueError for any other text."""
        try:
            fields = json.loads(text[:MAX_TEXT])
            for name in ("mean", "std"):
                fields[name] = tuple(float(value) for value in fields[name])
            read = cls(**fields)
            if read.size > MAX_STORED_SIZE:
                raise ValueError(f"expected a size of at most {MAX_STORED_SIZE}, got {read.size}")
            return read
        except (
            TypeError,
            KeyError,
            AttributeError,
            ValueError,
            OverflowError,
            RecursionError,
        ) as error:
            raise ValueError(f"not a preprocessing: {text[:200]!r} ({error}).") from None

    def in_bytes(self) -> tuple[np.ndarray, np.ndarray]:
        """(mean, std) for each of R, G, B on the scale of 0 to 255: float32 (3,)."""
        scale = np.float32(255 / self.white)
        mean, std = (np.array(values, np.float32) * scale for values in (self.mean, self.std))
        return (mean, std) if self.channels == "RGB" else (mean[::-1], std[::-1])

    def __call__(self, image: Any) -> np.ndarray:
        """float32 (1, 3, S, S): the central square."""
        return self.normalize(self.crop(image)[None])

    def views(self, image: Any) -> np.ndarray:
        """float32 (10, 3, S, S): the views that section 4.1 averages predictions over.

        Top left, top right, centre, bottom left and bottom right of the central square
        with side `resize`, then the mirror images of these five.
        """
        pixels = self._resized(image)
        top, left = self._centred(pixels, self.resize)
        bottom, right = top + self.resize - self.size, left + self.resize - self.size
        centre = self._centred(pixels, self.size)
        corners = [(top, left), (top, right), centre, (bottom, left), (bottom, right)]
        five = np.stack([self._square(pixels, *corner) for corner in corners])
        return self.normalize(np.concatenate([five, five[:, :, ::-1]]))

    def crop(self, image: Any) -> np.ndarray:
        """uint8 (S, S, 3) in RGB: the central square, for figures."""
        pixels = self._resized(image)
        return self._square(pixels, *self._centred(pixels, self.size))

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (N, S, S, 3) in RGB as a network's input: float32 (N, 3, S, S)."""
        ordered = pixels if self.channels == "RGB" else pixels[..., ::-1]
        values = ordered.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (self.mean, self.std))
        return (values / np.float32(255 / self.white) - mean) / std

    def _resized(self, image: Any) -> np.ndarray:
        """uint8 (H, W, 3), with the shorter side `resize`."""
        from PIL import Image

        photo = read_image(image)
        sides = (self.resize, self.resize)
        if not self.squash:
            short = min(photo.size)
            if max(photo.size) > MAX_ASPECT_RATIO * short:
                width, height = photo.size
                raise ValueError(
                    f"{image!r} has {width} x {height} pixels. Expected an aspect ratio of at most "
                    f"{MAX_ASPECT_RATIO} : 1."
                )
            sides = tuple(self.resize * side // short for side in photo.size)
        check_pixels(sides)
        return np.asarray(photo.resize(sides, Image.Resampling.BILINEAR))

    def _centred(self, pixels: np.ndarray, side: int) -> tuple[int, int]:
        """(top, left) of the central square, rounded to even as in torchvision."""
        height, width, _ = pixels.shape
        return round((height - side) / 2), round((width - side) / 2)

    def _square(self, pixels: np.ndarray, top: int, left: int) -> np.ndarray:
        return pixels[top : top + self.size, left : left + self.size]


# The paper resizes the shorter side to 256 and tests on squares of 224 (sections 2 and
# 4.1). The 2012 code subtracts the mean image of its training set; this mean colour is
# Caffe's.
PAPER = Preprocessing(224, 256, mean=(123.0, 117.0, 104.0))

# Caffe's models/bvlc_reference_caffenet/train_val.prototxt: mean_value 104, 117, 123
# and crop_size 227, for images squashed to 256 x 256
# (examples/imagenet/create_imagenet.sh). bvlc_alexnet subtracts the mean image instead.
CAFFE = Preprocessing(227, 256, squash=True, channels="BGR", mean=(104.0, 117.0, 123.0))

# torchvision.models.AlexNet_Weights.IMAGENET1K_V1.transforms().
TORCHVISION = Preprocessing(
    224, 256, white=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)

# The port defines no preprocessing. Most of its users train on RGB from 0 to 1.
KERAS = Preprocessing(224, 256, white=1.0)

PRESETS = {
    **dict.fromkeys(("paper", "original", "single"), PAPER),
    **dict.fromkeys(("caffe", "caffenet"), CAFFE),
    "torchvision": TORCHVISION,
    "keras": KERAS,
}
"""The preprocessing of each variant, with its default image size."""


def preprocessing(variant: str, image_size: int | None = None) -> Preprocessing:
    """The preprocessing of a variant, one of models.VARIANTS.

    With another `image_size`, `resize` changes in proportion.

    >>> preprocessing("torchvision", image_size=112).resize
    128
    """
    if variant not in PRESETS:
        raise ValueError(
            f"models.preprocessing: expected one of {', '.join(PRESETS)}, got {variant!r}."
        )
    preset = PRESETS[variant]
    if image_size is None:
        return preset
    at_least_one("models.preprocessing", "image_size", image_size)
    return replace(preset, size=image_size, resize=round(image_size * preset.resize / preset.size))


def read_image(image: Any) -> Any:
    """An upright RGB Pillow image, from a path, image or uint8 array (H, W, 3)."""
    from PIL import Image

    if isinstance(image, Image.Image):
        return upright_rgb(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(
                f"preprocessing: expected an array of uint8 with the shape (H, W, 3), got "
                f"{image.dtype} {image.shape}.\n"
                "Give pixels from 0 to 255 with the channels last, a Pillow image, or a path."
            )
        return Image.fromarray(image)
    if not isinstance(image, (str, os.PathLike)):
        raise TypeError(
            "preprocessing: expected a path, a Pillow image or a uint8 array (H, W, 3), got "
            f"{type(image).__name__}."
        )
    path = Path(image).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"preprocessing: there is no file {path}. Check the path.")
    if path.is_dir():
        raise IsADirectoryError(
            f"preprocessing: expected an image, got the folder {path}. Give the files in it."
        )
    if not path.is_file():
        raise ValueError(f"preprocessing: {path} is not a regular file. Give an image.")
    try:
        with open_image(ByteRange(path).read()) as opened:
            return upright_rgb(opened)
    except MemoryError:
        raise
    # Pillow's decoders also raise SyntaxError, struct.error and others for damaged
    # files.
    except Exception as error:
        raise ValueError(
            f"preprocessing: {path} cannot be read as an image: {error}.\n"
            "Replace it, or leave it out."
        ) from error
