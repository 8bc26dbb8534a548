"""Ten kinds of drawn objects: pictures to learn from where no file is at hand.

Each object is a signed distance: how far a point is outside of it, negative inside. A pixel whose distance is nearly zero is
partly covered, which is all that smooth edges take. Distances combine: the smaller of two is the union of two objects, the
larger their intersection, and the absolute distance less a width is the outline.
"""

import math
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.data.dataset import Dataset

SIZE = 32
DICE = 64
"""Random numbers that a picture's layout may use. Those of its grain come behind them, two bytes a value."""

Field = Any
"""float32, one number a pixel or a picture: broadcasts to (N, SIZE, SIZE)."""


# Objects: signed distances in a plane where they reach from about -1 to 1, x to the right, y down


def disc(x: Field, y: Field) -> Field:
    return np.hypot(x, y) - 0.9


def ring(x: Field, y: Field) -> Field:
    return abs(np.hypot(x, y) - 0.7) - 0.2


def square(x: Field, y: Field) -> Field:
    return _box(x, y, 0.8, 0.8)


def frame(x: Field, y: Field) -> Field:
    return abs(_box(x, y, 0.68, 0.68)) - 0.17


def triangle(x: Field, y: Field) -> Field:
    """The side below; the two others are one, mirrored."""
    return np.maximum(y, _along(60, abs(x), y)) - 0.52


def cross(x: Field, y: Field) -> Field:
    return np.minimum(_box(x, y, 0.27, 0.98), _box(x, y, 0.98, 0.27))


def star(x: Field, y: Field) -> Field:
    """Ten edges as one: the angle from the nearest point of the star, without its sign, is the same for all of them."""
    fifth = math.tau / 5
    angle = np.arctan2(x, -y)
    angle = abs(angle - fifth * np.rint(angle / fifth))
    return np.hypot(x, y) * np.cos(angle - math.radians(66)) - 0.44


def crescent(x: Field, y: Field) -> Field:
    return np.maximum(np.hypot(x, y) - 0.98, 0.8 - np.hypot(x - 0.48, y))


def heart(x: Field, y: Field) -> Field:
    """A square on its corner, with a disc on the middle of each upper side."""
    x, y, radius = abs(x), y - 0.2, 0.53
    middle = radius * 0.5**0.5
    return np.minimum(_along(45, x, -abs(y)), np.hypot(x - middle, y + middle)) - radius


def arrow(x: Field, y: Field) -> Field:
    head = np.maximum(y + 0.05, _along(48, abs(x), y) - 0.68)
    return np.minimum(head, _box(x, y - 0.4, 0.23, 0.55))


def _box(x: Field, y: Field, width: float, height: float) -> Field:
    return np.maximum(abs(x) - width, abs(y) - height)


def _along(degrees: float, x: Field, y: Field) -> Field:
    """How far (x, y) lies in a direction, which is an angle from straight up, clockwise."""
    angle = math.radians(degrees)
    return math.sin(angle) * x - math.cos(angle) * y


OBJECTS = (disc, ring, square, frame, triangle, cross, star, crescent, heart, arrow)


# Pictures


class Dice:
    """Random numbers of N pictures, a column a throw. `dice(low, high)`: the next one of each, between the two, (N, 1, 1)."""

    def __init__(self, words: np.ndarray) -> None:
        self.columns = iter((words.T >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24))

    def __call__(self, low: float = 0, high: float = 1) -> Field:
        return low + (high - low) * next(self.columns)[:, None, None]


def shapes(n_train: int = 10_000, n_test: int = 2_000, seed: int = 0) -> tuple[Dataset, Dataset]:
    """(train, test): coloured objects of ten kinds, anywhere, of any size, somewhat turned, on backgrounds that distract.

    Images uint8 (N, 3, 32, 32), labels 0, 1, ... 9, 0, 1, ...: as many of each class as of the others. An image is a function
    of the seed, of its place in its half, and of which half that is: `shapes(100)` draws the first 100 images of `shapes(10_000)`.
    About one object in six is darker than what it lies on and all move about, so that no single pixel tells much: the best
    linear classifier gets about 27 % of the test images right, a network with three convolutions 95 % after a few epochs.

    Raises ValueError for a negative number of images, or a seed that is not a whole number from 0 to 2**64 - 1.

    >>> train, test = shapes(1000, 200)
    >>> train
    Dataset(1000 images of 3 x 32 x 32, 10 classes)
    >>> train.classes[train.labels[8]]
    'heart'
    """
    for name, n in ("n_train", n_train), ("n_test", n_test):
        if not isinstance(n, (int, np.integer)) or n < 0:
            raise ValueError(
                f"shapes: expected a whole number of images from 0 on for {name}, got {n!r}."
            )
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise ValueError(
            f"shapes: expected a whole number from 0 to 2**64 - 1 for seed, got {seed!r}."
        )
    return _half(0, n_train, seed), _half(1, n_test, seed)


def _half(which: int, n: int, seed: int) -> Dataset:
    images = np.empty((n, 3, SIZE, SIZE), np.uint8)

    def tile(lo: int, hi: int, scratch: device.Scratch) -> None:
        images[lo:hi] = _draw(which, lo, hi, seed)

    device.for_tiles(images, 12 * images[:1].size, tile)
    return Dataset(
        images,
        np.arange(n, dtype=np.int64) % len(OBJECTS),
        tuple(draw.__name__ for draw in OBJECTS),
    )


def _draw(half: int, lo: int, hi: int, seed: int) -> np.ndarray:
    """uint8 (hi - lo, 3, SIZE, SIZE): images lo to hi of one half; image i shows OBJECTS[i % 10]."""
    words = device.random_words(
        device.key("shapes", seed), half, 0, range(lo, hi), DICE + 3 * SIZE * SIZE // 4
    )
    dice = Dice(words[:, :DICE])
    across = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
    x, y = across[None, None, :], across[None, :, None]

    light, hue = dice(0.15, 0.65), dice()
    canvas = _background(dice, x, y, light, hue)

    size, room = dice(8.5, 13.5), SIZE / 2
    x, y = (at - (room - 0.9 * size) * dice(-1, 1) for at in (x, y))
    x, y = (at / size for at in _turn(dice(-0.5, 0.5), x, y))
    distance = np.empty((hi - lo, SIZE, SIZE), np.float32)
    for kind, draw in enumerate(OBJECTS):
        those = slice((kind - lo) % len(OBJECTS), None, len(OBJECTS))
        distance[those] = draw(x[those], y[those])
    distance *= size

    shadow = np.clip(1 - distance / 4, 0, 1) ** 2
    canvas *= 1 - 0.3 * shadow[:, None]
    darker = light + dice(-0.3, 0.1) > 0.5
    light = light + dice(0.28, 0.45) * np.where(darker, np.float32(-1), np.float32(1))
    colour = _colour(light, dice(0.1, 0.35), hue + dice(0.2, 0.8))
    _paint(canvas, colour - 0.08 * y[:, None], distance)

    # The difference of two random bytes is the grain of a camera's sensor: most values near 0, fewer and fewer outwards.
    grain = (
        words[:, DICE:].astype("<u8", copy=False).view(np.uint8).reshape(-1, 2, *canvas.shape[1:])
    )
    canvas *= 255
    canvas += np.subtract(grain[:, 0], grain[:, 1], dtype=np.float32) * dice(0.02, 0.14)[:, None]
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)


def _background(dice: Dice, x: Field, y: Field, light: Field, hue: Field) -> np.ndarray:
    """(N, 3, SIZE, SIZE): one colour that runs into another, a weave of waves, and dots and lines that mean nothing."""
    strength = dice(0.02, 0.2)
    near, far = (
        _colour(light + dice(-0.07, 0.07), strength, hue + dice(-0.08, 0.08)) for _ in range(2)
    )
    run = _turn(dice(0, math.tau), x, y)[0] / (1.4 * SIZE) + 0.5
    canvas = near + run[:, None] * (far - near)

    waves = [
        np.sin(dice(0.05, 0.9) * _turn(dice(0, math.tau), x, y)[0] + dice(0, math.tau))
        for _ in range(2)
    ]
    canvas += (dice(0, 0.12) * waves[0] * waves[1])[:, None]

    edge = SIZE / 2
    for _ in range(2):
        line = abs(_turn(dice(0, math.tau), x, y)[0] - dice(-edge, edge)) - dice(0.2, 1)
        _paint(canvas, _colour(light + dice(-0.25, 0.25), dice(0, 0.25), dice()), line, 0.7)
    for _ in range(3):
        dot = np.hypot(x - dice(-edge, edge), y - dice(-edge, edge)) - dice(1, 3)
        _paint(canvas, _colour(light + dice(-0.3, 0.3), dice(0, 0.3), dice()), dot, 0.9)
    return canvas


def _turn(angle: Field, x: Field, y: Field) -> tuple[Field, Field]:
    cos, sin = np.cos(angle), np.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


def _colour(light: Field, strength: Field, hue: Field) -> np.ndarray:
    """(N, 3, 1, 1): red, green and blue are thirds of a turn of the hue apart and average to `light`, whatever the hue."""
    thirds = np.arange(3, dtype=np.float32)[:, None] / 3
    return (light + strength * np.cos(math.tau * (hue + thirds)))[..., None]


def _paint(canvas: np.ndarray, colour: np.ndarray, distance: Field, opacity: float = 1) -> None:
    """Colour the pixels of `canvas` (N, 3, SIZE, SIZE) within a distance, in pixels, below zero; half of it where it is zero."""
    cover = opacity * np.clip(0.5 - distance, 0, 1)
    canvas += cover[:, None] * (colour - canvas)
