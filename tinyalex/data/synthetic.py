"""shapes: synthetic images of ten kinds of objects, a dataset that needs no files.

Each object is a signed distance function: the distance of a point from the object,
negative inside. A pixel whose distance is near zero is partly covered, so edges are
smooth. The minimum of two distances is the union of two objects, the maximum their
intersection, and the absolute distance minus a width the outline.
"""

import math

import numpy as np

from tinyalex import device
from tinyalex.data.checks import check_integer
from tinyalex.data.dataset import Dataset
from tinyalex.device import Array

SIZE = 32
LAYOUT_WORDS = 64
"""Random words for the layout of an image. Those for its noise follow."""

Field = Array
"""float32, a value per pixel or image: broadcasts to (N, SIZE, SIZE)."""


# Objects: extend from about -1 to 1; x points right, y down


def disc(x: Field, y: Field) -> Field:
    return np.hypot(x, y) - 0.9


def ring(x: Field, y: Field) -> Field:
    return abs(np.hypot(x, y) - 0.7) - 0.2


def square(x: Field, y: Field) -> Field:
    return _box(x, y, 0.8, 0.8)


def frame(x: Field, y: Field) -> Field:
    return abs(_box(x, y, 0.68, 0.68)) - 0.17


def triangle(x: Field, y: Field) -> Field:
    return np.maximum(y, _along(60, abs(x), y)) - 0.52


def cross(x: Field, y: Field) -> Field:
    return np.minimum(_box(x, y, 0.27, 0.98), _box(x, y, 0.98, 0.27))


def star(x: Field, y: Field) -> Field:
    """All ten edges are at the same absolute angle from the nearest point."""
    fifth = math.tau / 5
    angle = np.arctan2(x, -y)
    angle = abs(angle - fifth * np.rint(angle / fifth))
    return np.hypot(x, y) * np.cos(angle - math.radians(66)) - 0.44


def crescent(x: Field, y: Field) -> Field:
    return np.maximum(np.hypot(x, y) - 0.98, 0.8 - np.hypot(x - 0.48, y))


def heart(x: Field, y: Field) -> Field:
    """A square on its corner, with a disc on the midpoint of each upper side."""
    x, y, radius = abs(x), y - 0.2, 0.53
    middle = radius * 0.5**0.5
    return np.minimum(_along(45, x, -abs(y)), np.hypot(x - middle, y + middle)) - radius


def arrow(x: Field, y: Field) -> Field:
    head = np.maximum(y + 0.05, _along(48, abs(x), y) - 0.68)
    return np.minimum(head, _box(x, y - 0.4, 0.23, 0.55))


def _box(x: Field, y: Field, width: float, height: float) -> Field:
    return np.maximum(abs(x) - width, abs(y) - height)


def _along(degrees: float, x: Field, y: Field) -> Field:
    """The component of (x, y) in a direction, an angle clockwise from straight up."""
    angle = math.radians(degrees)
    return math.sin(angle) * x - math.cos(angle) * y


OBJECTS = (disc, ring, square, frame, triangle, cross, star, crescent, heart, arrow)


# Images


class Uniform:
    """`uniform(low, high)`: a new random value for each of N images, (N, 1, 1)."""

    def __init__(self, words: np.ndarray) -> None:
        self.columns = iter((words.T >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24))

    def __call__(self, low: float = 0, high: float = 1) -> Field:
        return low + (high - low) * next(self.columns)[:, None, None]


def shapes(n_train: int = 10_000, n_test: int = 2_000, seed: int = 0) -> tuple[Dataset, Dataset]:
    """(train, test): coloured objects of ten kinds on backgrounds with distractors.

    Images uint8 (N, 3, 32, 32), labels 0, 1, ... 9, 0, 1, ...: classes are equally
    frequent. An image is a function of the seed, of its index and of its split:
    `shapes(100)` returns the first 100 images of `shapes(10_000)`. About one object in
    six is darker than its background and positions vary, so that single pixels are not
    informative: on the test images the best linear classifier has an accuracy of 27 %,
    three convolutions have 95 % after a few epochs.

    Raises ValueError for a negative number of images, or a seed outside 0 to 2**64 - 1.

    >>> train, test = shapes(1000, 200)
    >>> train
    Dataset(1000 images of 3 x 32 x 32, 10 classes)
    >>> train.classes[train.labels[8]]
    'heart'
    """
    check_integer("shapes", "n_train", n_train, 0, fix="Give for example 10_000.")
    check_integer("shapes", "n_test", n_test, 0, fix="Give for example 2_000.")
    check_integer("shapes", "seed", seed, 0, 2**64 - 1, fix="Give for example 0.")
    return _split(0, n_train, seed), _split(1, n_test, seed)


def _split(split: int, n: int, seed: int) -> Dataset:
    images = np.empty((n, 3, SIZE, SIZE), np.uint8)

    def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
        images[lo:hi] = _draw(split, lo, hi, seed)

    device.for_tiles(images, 12 * images[:1].size, tile)
    labels = np.arange(n, dtype=np.int64) % len(OBJECTS)
    return Dataset(images, labels, tuple(shape.__name__ for shape in OBJECTS))


def _draw(split: int, lo: int, hi: int, seed: int) -> np.ndarray:
    """Images lo to hi of a split, uint8; image i shows OBJECTS[i % 10]."""
    count = LAYOUT_WORDS + 3 * SIZE * SIZE // 4
    words = device.random_words(device.key("shapes", seed), split, 0, range(lo, hi), count)
    uniform = Uniform(words[:, :LAYOUT_WORDS])
    pixels = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
    x, y = pixels[None, None, :], pixels[None, :, None]

    light, hue = uniform(0.15, 0.65), uniform()
    canvas = _background(uniform, x, y, light, hue)

    size, edge = uniform(8.5, 13.5), SIZE / 2
    x, y = (axis - (edge - 0.9 * size) * uniform(-1, 1) for axis in (x, y))
    x, y = (axis / size for axis in _rotate(uniform(-0.5, 0.5), x, y))
    distance = np.empty((hi - lo, SIZE, SIZE), np.float32)
    for label, shape in enumerate(OBJECTS):
        rows = slice((label - lo) % len(OBJECTS), None, len(OBJECTS))
        distance[rows] = shape(x[rows], y[rows])
    distance *= size

    shadow = np.clip(1 - distance / 4, 0, 1) ** 2
    canvas *= 1 - 0.3 * shadow[:, None]
    darker = light + uniform(-0.3, 0.1) > 0.5
    light = light + uniform(0.28, 0.45) * np.where(darker, np.float32(-1), np.float32(1))
    colour = _colour(light, uniform(0.1, 0.35), hue + uniform(0.2, 0.8))
    _paint(canvas, colour - 0.08 * y[:, None], distance)

    # Sensor noise: the difference of two random bytes has a triangular distribution.
    noise = words[:, LAYOUT_WORDS:].astype("<u8", copy=False).view(np.uint8)
    noise = noise.reshape(-1, 2, *canvas.shape[1:])
    canvas *= 255
    canvas += np.subtract(noise[:, 0], noise[:, 1], dtype=np.float32) * uniform(0.02, 0.14)[:, None]
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)


def _background(uniform: Uniform, x: Field, y: Field, light: Field, hue: Field) -> np.ndarray:
    """(N, 3, SIZE, SIZE): a colour gradient, waves, and distracting lines and dots."""
    strength = uniform(0.02, 0.2)
    start, end = (
        _colour(light + uniform(-0.07, 0.07), strength, hue + uniform(-0.08, 0.08))
        for _ in range(2)
    )
    fraction = _rotate(uniform(0, math.tau), x, y)[0] / (1.4 * SIZE) + 0.5
    canvas = start + fraction[:, None] * (end - start)

    waves = [
        np.sin(uniform(0.05, 0.9) * _rotate(uniform(0, math.tau), x, y)[0] + uniform(0, math.tau))
        for _ in range(2)
    ]
    canvas += (uniform(0, 0.12) * waves[0] * waves[1])[:, None]

    edge = SIZE / 2
    for _ in range(2):
        line = abs(_rotate(uniform(0, math.tau), x, y)[0] - uniform(-edge, edge))
        line -= uniform(0.2, 1)
        _paint(
            canvas, _colour(light + uniform(-0.25, 0.25), uniform(0, 0.25), uniform()), line, 0.7
        )
    for _ in range(3):
        dot = np.hypot(x - uniform(-edge, edge), y - uniform(-edge, edge)) - uniform(1, 3)
        _paint(canvas, _colour(light + uniform(-0.3, 0.3), uniform(0, 0.3), uniform()), dot, 0.9)
    return canvas


def _rotate(angle: Field, x: Field, y: Field) -> tuple[Field, Field]:
    cos, sin = np.cos(angle), np.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


def _colour(light: Field, strength: Field, hue: Field) -> np.ndarray:
    """RGB (N, 3, 1, 1), averaging to `light`: the channels are 120 degrees apart."""
    thirds = np.arange(3, dtype=np.float32)[:, None] / 3
    return (light + strength * np.cos(math.tau * (hue + thirds)))[..., None]


def _paint(canvas: np.ndarray, colour: np.ndarray, distance: Field, opacity: float = 1) -> None:
    """Blend `colour` into pixels of negative distance; at 0, with half the opacity."""
    cover = opacity * np.clip(0.5 - distance, 0, 1)
    canvas += cover[:, None] * (colour - canvas)
