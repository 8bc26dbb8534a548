"""Transforms of pixels into network inputs: mean subtraction, crops and mirroring.

A transform is called as `transform(images, epoch=e, first=i)`, where `first` is the
index of the batch's first image in the order of epoch e. The random values of an image
depend only on the seed, on e and on this index of the image, not on the batch size or
the number of processes. The paper's augmentation is in section 4.1.
"""

import numpy as np

from tinyalex import device, kernels
from tinyalex.data.checks import check_integer, is_integer
from tinyalex.device import Array


class DeviceCopies:
    """An array, and its copies on other devices, created on first use."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.copies: dict[str, Array] = {}

    def on(self, name: str) -> Array:
        if name not in self.copies:
            self.copies[name] = device.to(self.array, name)
        return self.copies[name]


class Normalize:
    """`(images - mean) * scale`, for testing.

    mean   the mean image (C, H, W), or the mean colour (C,) or (C, 1, 1), of the
           training images
    scale  1 is the paper's scale, about -128 to 128, which its initial sigmas assume
    size   S: crops the centre S x S pixels; None: no crop

    Images (N, C, H, W) -> float32 (N, C, H, W) or (N, C, S, S). Raises ValueError for a
    mean or images of other shapes.

    >>> pixels = np.full((2, 3, 4, 4), 130, np.uint8)
    >>> float(Normalize([120, 125, 130], scale=0.5)(pixels)[0, 0, 0, 0])
    5.0
    """

    def __init__(self, mean: Array, scale: float = 1.0, size: int | None = None) -> None:
        self.mean, self.scale, self.size = _as_mean("Normalize", mean), scale, size

    def __call__(self, images: Array, *, epoch: int = 0, first: int = 0) -> Array:
        height, width = _crop_size("Normalize", images, self.mean.array, self.size)
        top, left = _half(images.shape[2] - height), _half(images.shape[3] - width)
        centre = (..., slice(top, top + height), slice(left, left + width))
        mean = self.mean.on(device.of(images))
        with device.on_device_of(images):
            if mean.shape[1:] != (1, 1):
                mean = mean[centre]
            x = device.xp(images).subtract(images[centre], mean, dtype=np.float32)
            if self.scale != 1:
                x *= self.scale
            return x


class Augment:
    """A random crop of each `(image - mean) * scale`, mirrored with probability 1/2.

    mean      as in Normalize
    padding   pixels that crops may extend beyond each edge; None: 4, or 0 with `size`
    flip      whether to mirror
    scale     as in Normalize
    size      S: crops S x S pixels from larger images (the paper's 224 from 256)
    colours   (at most 3, C): directions in which the colour of a whole image is
              shifted, each by 0.1 times a normal random number: `colour_axes` of the
              training images, as in the paper, or `IMAGENET_COLOURS`; None: no shift
    until     the epoch from which colours are not shifted; None: all epochs shift them
    divide    a divisor of images whose colours are shifted, so that their range is
              about that of testing; 1.1 in the 2012 code
    together  the number of consecutive images cropped and mirrored alike; 32 in the
              2012 code

    Images (N, C, H, W) -> float32 (N, C, H, W) or (N, C, S, S). Padding is added after
    the subtraction: it is zero, the mean's colour. Raises ValueError for a mean or
    images of other shapes, and for a padding not smaller than the crop.

    >>> pixels = np.full((2, 3, 32, 32), 130, np.uint8)
    >>> augment = Augment([120, 125, 130])
    >>> x = augment(pixels, epoch=0, first=0)
    >>> x.shape, x.dtype
    ((2, 3, 32, 32), dtype('float32'))
    >>> bool((augment(pixels[1:], epoch=0, first=1) == x[1:]).all())
    True
    """

    def __init__(
        self,
        mean: Array,
        *,
        padding: int | None = None,
        flip: bool = True,
        scale: float = 1.0,
        colours: Array | None = None,
        size: int | None = None,
        until: int | None = None,
        divide: float = 1.0,
        together: int = 1,
    ) -> None:
        if padding is None:
            padding = 4 if size is None else 0
        check_integer("Augment", "padding", padding, 0, fix="Give for example padding=4.")
        check_integer("Augment", "together", together, 1, fix="Give 1 to crop each independently.")
        if divide <= 0:
            raise ValueError(
                f"Augment: expected divide to be positive, got {divide!r}.\nGive 1 for no division."
            )
        self.mean, self.scale, self.divide = _as_mean("Augment", mean), scale, divide
        self.padding, self.flip, self.size = padding, flip, size
        self.until, self.together = until, together
        self.colours = None if colours is None else _as_colours(colours, len(self.mean.array))

    def __call__(self, images: Array, *, epoch: int, first: int) -> Array:
        size = _crop_size("Augment", images, self.mean.array, self.size)
        if self.padding >= min(size):
            raise ValueError(
                f"Augment: expected a padding below {min(size)}, the shorter side of a crop, "
                f"got {self.padding}.\nGive a smaller padding."
            )
        colours = self.colours if self.until is None or epoch < self.until else None
        indices = range(first, first + len(images))
        u = device.uniform("augment", epoch, indices, 3 if colours is None else 7)
        if self.together > 1:
            groups = [i // self.together for i in indices]
            u[:, :3] = device.uniform("augment", epoch, groups, 3)
        moves = np.empty((len(images), 3), np.int32)
        positions = np.subtract(images.shape[2:], size) + 2 * self.padding + 1
        moves[:, :2] = np.floor(u[:, :2] * positions) - self.padding
        moves[:, 2] = (u[:, 2] < 0.5) & self.flip
        scale, shift = self.scale, None
        name = device.of(images)
        if colours is not None:
            scale /= self.divide
            steps = 0.1 * _normal(u[:, 3:])[:, : len(colours)]
            shift = device.to((steps @ colours).astype(np.float32), name)
        x = device.xp(images).empty((*images.shape[:2], *size), np.float32)
        k = kernels.of(images)
        k.augment(k.ready(images), self.mean.on(name), x, device.to(moves, name), shift, scale)
        return x


class TenViews:
    """Ten crops of each `(image - mean) * scale`, for averaging (section 4.1).

    S x S pixels: top left, top right, centre, bottom left, bottom right; then these
    mirrored. `mean`, `scale` and `size` are as in Normalize. Images (N, C, H, W) ->
    float32 (N, 10, C, S, S), which training.evaluate accepts.

    >>> TenViews([120, 125, 130], size=3)(np.zeros((2, 3, 4, 4), np.uint8)).shape
    (2, 10, 3, 3, 3)
    """

    def __init__(self, mean: Array, scale: float = 1.0, *, size: int) -> None:
        self.normalize, self.size = Normalize(mean, scale), size

    def __call__(self, images: Array, *, epoch: int = 0, first: int = 0) -> Array:
        mean = self.normalize.mean.array
        height, width = _crop_size("TenViews", images, mean, self.size)
        bottom, right = images.shape[2] - height, images.shape[3] - width
        corners = [(0, 0), (0, right), (_half(bottom), _half(right)), (bottom, 0), (bottom, right)]
        x = self.normalize(images)
        with device.on_device_of(x):
            crops = [x[:, :, top : top + height, left : left + width] for top, left in corners]
            five = device.xp(x).stack(crops, 1)
            return device.xp(x).concatenate([five, five[..., ::-1]], 1)


def _normal(u: np.ndarray) -> np.ndarray:
    """Uniform values in [0, 1) to normal ones, in pairs (Box and Muller 1958)."""
    radius, angle = np.sqrt(-2 * np.log1p(-u[:, ::2])), 2 * np.pi * u[:, 1::2]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _as_mean(caller: str, mean: Array) -> DeviceCopies:
    """float32 (C, H, W) or (C, 1, 1)."""
    mean = device.to_numpy(device.asarray(mean, np.float32))
    if mean.ndim not in (1, 3):
        raise ValueError(
            f"{caller}: expected a mean image (C, H, W) or a mean colour (C,), "
            f"got the shape {mean.shape}.\nGive for example data.mean_image(train.images)."
        )
    return DeviceCopies(mean.reshape(-1, 1, 1) if mean.ndim == 1 else mean)


def _as_colours(colours: Array, channels: int) -> np.ndarray:
    colours = np.asarray(colours, np.float64)
    if colours.ndim != 2 or len(colours) > 3 or colours.shape[1] != channels:
        raise ValueError(
            f"Augment: expected colours of the shape (at most 3, {channels}), "
            f"got {colours.shape}.\nGive data.colour_axes(train.images), or None."
        )
    return colours


def _crop_size(caller: str, images: Array, mean: Array, size: int | None) -> tuple[int, int]:
    """(height, width) of the crops. ValueError if images do not match the mean."""
    if images.ndim != 4:
        raise ValueError(
            f"{caller}: expected a batch of images (N, C, H, W), got the shape {images.shape}.\n"
            "Give a single image as image[None]."
        )
    channels, height, width = images.shape[1:]
    if mean.shape not in ((channels, 1, 1), (channels, height, width)):
        raise ValueError(
            f"{caller}: the mean {mean.shape} does not match images {images.shape}, "
            f"which need {images.shape[1:]} or {(channels, 1, 1)}.\n"
            "Take the mean of images of the same size, or their mean colour."
        )
    if size is None:
        return height, width
    if not is_integer(size) or not 1 <= size <= min(height, width):
        raise ValueError(
            f"{caller}: a square of size={size!r} cannot be cropped from images of "
            f"{height} x {width}.\nGive at most {min(height, width)}."
        )
    return int(size), int(size)


def _half(margin: int) -> int:
    """Rounded half to even, as in models.Preprocessing."""
    return round(margin / 2)
