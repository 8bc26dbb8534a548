"""From bytes to what the network sees: the mean subtracted and, for training, a random crop and a mirror image (section 4.1).

A transform is called as `transform(images, epoch=e, first=i)`: a batch of images, of which the first is number i in the order of
epoch e. What is random about an image depends on the seed, on e and on its own number only, so that neither the size of a batch
nor the number of processes changes it.
"""

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array

IMAGENET_COLOURS = np.array([19.7208, 37.0939, 121.7801])[:, None] * np.array(
    [[0.41796, -0.81698, 0.39731], [-0.71258, -0.02354, 0.70120], [-0.56351, -0.57618, -0.59200]]
)
"""`colour_axes` of ImageNet: standard deviations and directions, as cuda-convnet2 gives them (make-data/input_meta, color_pca)."""


class Placed:
    """An array, and copies of it on the devices where it has been needed."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.copies: dict[str, Array] = {}

    def at(self, place: str) -> Array:
        if place not in self.copies:
            self.copies[place] = device.to(self.array, place)
        return self.copies[place]


class Normalize:
    """`(images - mean) * scale`: what the network sees when it is tested.

    mean    the mean image (C, H, W), or the mean colour (C,) or (C, 1, 1), of the training images
    scale   1 keeps the 2012 paper's range, about -128 to 128, which its initial sigmas belong to
    size    S: of larger images, the square of S x S pixels in their middle; None: all of them

    Images (N, C, H, W) -> float32 (N, C, H, W) or (N, C, S, S). Raises ValueError for a mean or images of other shapes.

    >>> pixels = np.full((2, 3, 4, 4), 130, np.uint8)
    >>> float(Normalize([120, 125, 130], scale=0.5)(pixels)[0, 0, 0, 0])
    5.0
    """

    def __init__(self, mean: Array, scale: float = 1.0, size: int | None = None) -> None:
        self.mean, self.scale, self.size = Placed(_as_mean("Normalize", mean)), scale, size

    def __call__(self, images: Array, *, epoch: int = 0, first: int = 0) -> Array:
        _check_fit("Normalize", images, self.mean.array)
        height, width = _seen("Normalize", images, self.size)
        top, left = _middle(images.shape[2] - height), _middle(images.shape[3] - width)
        middle = (..., slice(top, top + height), slice(left, left + width))
        mean = self.mean.at(device.of(images))
        with device.on_device_of(images):
            x = device.xp(images).subtract(
                images[middle], mean if mean.shape[1:] == (1, 1) else mean[middle], dtype=np.float32
            )
            if self.scale != 1:
                x *= self.scale
            return x


class Augment:
    """A random crop and, half of the time, the mirror image of each `(image - mean) * scale`: what the network trains on.

    mean      the mean image (C, H, W), or the mean colour (C,) or (C, 1, 1), of the training images
    padding   the image moves by up to this many pixels up, down, left and right; None: 4, or 0 where `size` cuts a square
    flip      whether to mirror
    scale     as in Normalize
    size      S: a square of S x S pixels is cut at random from larger images (the paper's 224 from 256), `padding` beyond their edges
    colours   directions in which the colour of a whole image is shifted, a row each, by 0.1 times it times a random normal number:
              `colour_axes` of the training images, as in the paper, or `IMAGENET_COLOURS`; None shifts no colours
    until     the epoch from which colours are left alone, as in the last part of the 2012 run; None: they never are
    divide    what images are divided by while colours are shifted, so that they spread no wider than in testing; the 2012 code's 1.1
    together  how many neighbours in the epoch's order are moved and mirrored alike; the 2012 code's 32 saved it time

    Images (N, C, H, W) -> float32 (N, C, H, W) or (N, C, S, S). What moves in at the borders is zero, which is the mean's colour: it is
    added after the subtraction. Raises ValueError for a mean or images of other shapes, and for a padding as large as the images.

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
        if not isinstance(padding, (int, np.integer)) or padding < 0:
            raise ValueError(
                f"Augment: expected a padding of 0 or more whole pixels, got {padding!r}.\n"
                "Give how far the image may move, such as padding=4."
            )
        self.mean, self.scale = Placed(_as_mean("Augment", mean)), scale
        self.colours = None if colours is None else np.asarray(colours, np.float64)
        channels = len(self.mean.array)
        if self.colours is not None and not (
            self.colours.ndim == 2 and self.colours.shape[1] == channels and len(self.colours) <= 3
        ):
            raise ValueError(
                f"Augment: expected colours of the shape (at most 3, {channels}), a direction a row, got {self.colours.shape}.\n"
                "Give data.colour_axes(train.images), or None."
            )
        if not isinstance(together, (int, np.integer)) or together < 1:
            raise ValueError(
                f"Augment: expected together to be a number of images from 1 on, got {together!r}."
            )
        if divide <= 0:
            raise ValueError(
                f"Augment: expected divide to be a number above 0, got {divide!r}.\nGive 1 to divide by nothing."
            )
        self.padding, self.flip, self.size, self.until, self.together = (
            padding,
            flip,
            size,
            until,
            together,
        )
        self.divide = divide

    def __call__(self, images: Array, *, epoch: int, first: int) -> Array:
        _check_fit("Augment", images, self.mean.array)
        seen = _seen("Augment", images, self.size)
        if self.padding >= min(seen):
            raise ValueError(
                f"Augment: padding={self.padding} would move images of {seen[0]} x {seen[1]} out of sight.\n"
                f"Give a padding below {min(seen)}."
            )
        colours = self.colours if self.until is None or epoch < self.until else None
        numbers = range(first, first + len(images))
        u = device.uniform("augment", epoch, numbers, 3 if colours is None else 7)
        if self.together > 1:
            u[:, :3] = device.uniform(
                "augment", epoch, [number // self.together for number in numbers], 3
            )
        moves = np.empty((len(images), 3), np.int32)
        places = np.subtract(images.shape[2:], seen) + 2 * self.padding + 1
        moves[:, :2] = np.floor(u[:, :2] * places) - self.padding
        moves[:, 2] = (u[:, 2] < 0.5) & self.flip
        colour = (
            None
            if colours is None
            else (0.1 * _normal(u[:, 3:])[:, : len(colours)] @ colours).astype(np.float32)
        )  # section 4.1
        place = device.of(images)
        x = device.xp(images).empty((*images.shape[:2], *seen), np.float32)
        placed_moves, shift = (a if a is None else device.to(a, place) for a in (moves, colour))
        k = kernels.of(images)
        scale = self.scale if colours is None else self.scale / self.divide
        k.augment(k.ready(images), self.mean.at(place), x, placed_moves, shift, scale)
        return x


class TenViews:
    """The ten views of each image whose answers the paper averages (section 4.1), of `(image - mean) * scale`.

    Squares of S x S pixels: top left, top right, middle, bottom left, bottom right; then the mirror images of the five. `mean`, `scale` and
    `size` are as in Normalize. Images (N, C, H, W) -> float32 (N, 10, C, S, S), which training.evaluate knows what to do with.

    >>> TenViews([120, 125, 130], size=3)(np.zeros((2, 3, 4, 4), np.uint8)).shape
    (2, 10, 3, 3, 3)
    """

    def __init__(self, mean: Array, scale: float = 1.0, *, size: int) -> None:
        self.whole, self.size = Normalize(mean, scale), size

    def __call__(self, images: Array, *, epoch: int = 0, first: int = 0) -> Array:
        x = self.whole(images)
        height, width = _seen("TenViews", images, self.size)
        low, right = images.shape[2] - height, images.shape[3] - width
        corners = [(0, 0), (0, right), (_middle(low), _middle(right)), (low, 0), (low, right)]
        with device.on_device_of(x):
            five = device.xp(x).stack(
                [x[:, :, top : top + height, left : left + width] for top, left in corners], 1
            )
            return device.xp(x).concatenate([five, five[..., ::-1]], 1)


def mean_image(images: Array) -> Array:
    """The mean of images (N, C, H, W), summed in float64: float32 (C, H, W). Its own mean over H and W is the mean colour.

    Raises ValueError for images of another shape, and for none.

    >>> mean_image(np.array([[[[10, 20]]], [[[11, 40]]]], np.uint8))
    array([[[10.5, 30. ]]], dtype=float32)
    """
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(
            f"mean_image: expected images (N, C, H, W), at least one, got the shape {images.shape}."
        )
    total = device.for_tiles(
        images,
        8 * images[0].size,
        lambda lo, hi, scratch: images[lo:hi].sum(axis=0, dtype=np.float64),
    )
    return (total / len(images)).astype(np.float32)


def colour_axes(images: Array) -> Array:
    """The principal axes of the colours of all pixels of images (N, C, H, W), each as long as its standard deviation: float32 (C, C).

    Section 4.1: the paper shifts each training image along the axes of the whole training set.
    """
    if images.ndim != 4 or images.size == 0:
        raise ValueError(
            f"colour_axes: expected images (N, C, H, W), at least one, got the shape {images.shape}."
        )

    def sums(lo: int, hi: int, scratch: device.Scratch) -> tuple[Array, Array]:
        pixels = images[lo:hi].swapaxes(0, 1).reshape(images.shape[1], -1).astype(np.float64)
        return pixels.sum(axis=1), pixels @ pixels.T

    total, squares = device.for_tiles(images, 8 * images[0].size, sums)
    count = images.size / images.shape[1]
    mean = total / count
    return principal_axes(squares / count - np.outer(mean, mean))


def principal_axes(covariance: Array) -> Array:
    """The axes of a covariance (C, C), a row each, as long as the standard deviation along it: float32 (C, C)."""
    variances, axes = np.linalg.eigh(covariance)
    return (axes * np.sqrt(np.maximum(variances, 0))).T.astype(np.float32)


def _normal(u: np.ndarray) -> np.ndarray:
    """Pairs of numbers uniform in [0, 1) as pairs of normal ones, (N, 2*K) (Box and Muller 1958)."""
    radius, angle = np.sqrt(-2 * np.log1p(-u[:, ::2])), 2 * np.pi * u[:, 1::2]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _as_mean(who: str, mean: Array) -> Array:
    """float32 (C, H, W) or (C, 1, 1)."""
    mean = device.to_numpy(device.asarray(mean, np.float32))
    if mean.ndim not in (1, 3):
        raise ValueError(
            f"{who}: expected a mean image (C, H, W) or a mean colour (C,), got the shape {mean.shape}.\n"
            "Give for example data.mean_image(train.images)."
        )
    return mean.reshape(-1, 1, 1) if mean.ndim == 1 else mean


def _seen(who: str, images: Array, size: int | None) -> tuple[int, int]:
    """Height and width of what the network sees of the images."""
    height, width = images.shape[2:]
    if size is None:
        return height, width
    if not isinstance(size, (int, np.integer)) or not 1 <= size <= min(height, width):
        raise ValueError(
            f"{who}: a square of size={size!r} cannot be cut from images of {height} x {width}.\nGive at most {min(height, width)}."
        )
    return int(size), int(size)


def _middle(room: int) -> int:
    """Where the middle begins. Halves are rounded to even, as models.Preprocessing does."""
    return round(room / 2)


def _check_fit(who: str, images: Array, mean: Array) -> None:
    if images.ndim != 4:
        raise ValueError(
            f"{who}: expected a batch of images (N, C, H, W), got the shape {images.shape}.\nA single image is a batch as image[None]."
        )
    if images.shape[1] != len(mean) or mean.shape[1:] not in ((1, 1), images.shape[2:]):
        raise ValueError(
            f"{who}: the mean {mean.shape} does not fit images {images.shape}, "
            f"which need {images.shape[1:]} or {(images.shape[1], 1, 1)}.\n"
            "Take the mean of images of the same size, or their mean colour."
        )
