"""From a photo to the numbers that a network was trained on: they differ from one AlexNet to the next as much as the layers do."""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex.data.decoding import MAX_ASPECT_RATIO, upright_rgb
from tinyalex.functional.arguments import at_least_one


@dataclass(frozen=True)
class Preprocessing:
    """`preprocess(image)` makes a photo a network's input: (channel - mean) / std at each pixel of a square from its middle.

    size      S, the side of the square in pixels
    resize    the side that the photo is resized to first (bilinear, averaging where it shrinks)
    squash    True: both its sides; False: the shorter one, the longer in proportion
    channels  "RGB", or "BGR" as OpenCV reads them and Caffe kept them
    white     the value of a white pixel: 255 or 1
    mean      a number a channel, in the order of `channels`, on the scale of `white`
    std       likewise

    An image is a path, a Pillow image, or a uint8 array (H, W, 3) in RGB. Photographs are turned upright as their EXIF orientation
    says; grey, CMYK and palette pictures become RGB. ValueError, naming the file, for one that cannot be read.
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
        if self.resize < self.size:
            raise ValueError(
                f"Preprocessing: a square of size={self.size} cannot be cut from resize={self.resize} pixels."
            )
        if self.channels not in ("RGB", "BGR"):
            raise ValueError(
                f"Preprocessing: expected channels 'RGB' or 'BGR', got {self.channels!r}."
            )

    def to_text(self) -> str:
        """As it is written into a file of weights."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Preprocessing":
        """What `to_text` wrote. ValueError for another text."""
        try:
            fields = json.loads(text)
            for name in ("mean", "std"):
                fields[name] = tuple(float(number) for number in fields[name])
            return cls(**fields)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"this is no preprocessing: {text[:200]!r} ({error}).") from None

    def in_bytes(self) -> tuple[np.ndarray, np.ndarray]:
        """(mean, std), each a number a channel in the order of RGB, on the scale of 0 to 255: float32 (3,)."""
        mean, std = (
            np.array(numbers, np.float32) * np.float32(255 / self.white)
            for numbers in (self.mean, self.std)
        )
        return (mean, std) if self.channels == "RGB" else (mean[::-1], std[::-1])

    def __call__(self, image: Any) -> np.ndarray:
        """float32 (1, 3, S, S): the square in the middle."""
        return self.normalize(self.crop(image)[None])

    def views(self, image: Any) -> np.ndarray:
        """float32 (10, 3, S, S), whose answers the paper averages (section 4.1): top left, top right, middle, bottom left, bottom right
        of the square in the middle with side `resize`; then the mirror images of the five."""
        pixels = self._resized(image)
        top, left = self._middle(pixels, self.resize)
        far = self.resize - self.size
        corners = [
            (top, left),
            (top, left + far),
            self._middle(pixels, self.size),
            (top + far, left),
            (top + far, left + far),
        ]
        five = np.stack([self._square(pixels, *corner) for corner in corners])
        return self.normalize(np.concatenate([five, five[:, :, ::-1]]))

    def crop(self, image: Any) -> np.ndarray:
        """uint8 (S, S, 3), in RGB: the square in the middle, for people to look at."""
        pixels = self._resized(image)
        return self._square(pixels, *self._middle(pixels, self.size))

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (N, S, S, 3), in RGB, as a network's input: float32 (N, 3, S, S)."""
        ordered = pixels if self.channels == "RGB" else pixels[..., ::-1]
        scaled = ordered.transpose(0, 3, 1, 2).astype(np.float32, order="C") / np.float32(
            255 / self.white
        )
        mean, std = (
            np.array(numbers, np.float32)[:, None, None] for numbers in (self.mean, self.std)
        )
        return (scaled - mean) / std

    def _resized(self, image: Any) -> np.ndarray:
        """uint8 (H, W, 3), the shorter side `resize`."""
        from PIL import Image

        picture = read_picture(image)
        sides = (self.resize, self.resize)
        if not self.squash:
            short = min(picture.size)
            if max(picture.size) > MAX_ASPECT_RATIO * short:
                width, height = picture.size
                raise ValueError(
                    f"{image!r} has {width} x {height} pixels, a line. Expected a photo, at most {MAX_ASPECT_RATIO} : 1."
                )
            sides = tuple(self.resize * side // short for side in picture.size)
        return np.asarray(picture.resize(sides, Image.Resampling.BILINEAR))

    def _middle(self, pixels: np.ndarray, side: int) -> tuple[int, int]:
        """Where the square in the middle begins. Halves are rounded as torchvision does, to even."""
        height, width, _ = pixels.shape
        return round((height - side) / 2), round((width - side) / 2)

    def _square(self, pixels: np.ndarray, top: int, left: int) -> np.ndarray:
        return pixels[top : top + self.size, left : left + self.size]


# The paper resizes the shorter side to 256 and tests on squares of 224 (sections 2 and 4.1). The 2012 code subtracts the mean image of its
# training set. A colour stands for it here: the one that Caffe's models have made common.
PAPER = Preprocessing(224, 256, mean=(123.0, 117.0, 104.0))

# Caffe's models/bvlc_reference_caffenet/train_val.prototxt: mean_value 104, 117, 123 and crop_size 227, for images that were squashed to
# 256 x 256 (examples/imagenet/create_imagenet.sh). bvlc_alexnet subtracts the mean image instead.
CAFFE = Preprocessing(227, 256, squash=True, channels="BGR", mean=(104.0, 117.0, 123.0))

# torchvision.models.AlexNet_Weights.IMAGENET1K_V1.transforms().
TORCHVISION = Preprocessing(
    224, 256, white=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)

# The port is a list of layers and fixes no preprocessing. RGB from 0 to 1 is what it is mostly trained on; the square is cut as elsewhere.
KERAS = Preprocessing(224, 256, white=1.0)

PRESETS = {
    "paper": PAPER,
    "original": PAPER,
    "single": PAPER,
    "caffe": CAFFE,
    "caffenet": CAFFE,
    "torchvision": TORCHVISION,
    "keras": KERAS,
}


def preprocessing(variant: str, image_size: int | None = None) -> Preprocessing:
    """What the variant's networks (models.VARIANTS) expect to be done to a photo. With another `image_size`, `resize` keeps its proportion.

    >>> preprocessing("caffe").channels, preprocessing("torchvision", image_size=112).resize
    ('BGR', 128)
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


def read_picture(image: Any) -> Any:
    """A path, Pillow image or uint8 array (H, W, 3) as an upright Pillow image in RGB."""
    from PIL import Image

    if isinstance(image, Image.Image):
        return upright_rgb(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(
                f"preprocessing: expected an array of uint8 with the shape (H, W, 3), got {image.dtype} {image.shape}.\n"
                "Give pixels from 0 to 255 with the colours last, a Pillow image, or a path."
            )
        return Image.fromarray(image)
    if not isinstance(image, (str, os.PathLike)):
        raise TypeError(
            f"preprocessing: expected a path, a Pillow image or a uint8 array (H, W, 3), got {type(image).__name__}."
        )
    path = Path(image).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"preprocessing: there is no file {path}. Check the path.")
    if path.is_dir():
        raise IsADirectoryError(
            f"preprocessing: expected an image, got the folder {path}. Give the files in it."
        )
    try:
        with Image.open(path) as opened:
            return upright_rgb(opened)
    # Not only OSError: on broken bytes Pillow's decoders also raise SyntaxError, ValueError, struct.error and others.
    except Exception as error:
        raise ValueError(
            f"preprocessing: {path} cannot be read as an image: {error}.\nReplace it, or leave it out."
        ) from error
