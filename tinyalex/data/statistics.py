"""Statistics of training images: the mean, and the principal axes of the colours."""

import numpy as np

from tinyalex import device
from tinyalex.device import Array

IMAGENET_COLOURS = np.array([19.7208, 37.0939, 121.7801])[:, None] * np.array(
    [[0.41796, -0.81698, 0.39731], [-0.71258, -0.02354, 0.70120], [-0.56351, -0.57618, -0.59200]]
)
"""`colour_axes` of ImageNet: standard deviations times directions, from cuda-convnet2
(make-data/input_meta, color_pca)."""


def mean_image(images: Array) -> Array:
    """The mean of images (N, C, H, W), summed in float64: float32 (C, H, W).

    >>> mean_image(np.array([[[[10, 20]]], [[[11, 40]]]], np.uint8))
    array([[[10.5, 30. ]]], dtype=float32)
    """
    _check_images("mean_image", images)

    def sums(lo: int, hi: int, scratch: device.Scratch) -> Array:
        return images[lo:hi].sum(axis=0, dtype=np.float64)

    total = device.for_tiles(images, 8 * images[0].size, sums)
    return (total / len(images)).astype(np.float32)


def colour_axes(images: Array) -> Array:
    """The principal axes of the colours in images (N, C, H, W): float32 (C, C).

    Each row is an axis, whose length is the standard deviation along it. The paper
    shifts the colour of each training image along the axes of the training set (section
    4.1).
    """
    _check_images("colour_axes", images)

    def sums(lo: int, hi: int, scratch: device.Scratch) -> tuple[Array, Array]:
        pixels = images[lo:hi].swapaxes(0, 1).reshape(images.shape[1], -1).astype(np.float64)
        return pixels.sum(axis=1), pixels @ pixels.T

    total, squares = device.for_tiles(images, 8 * images[0].size, sums)
    count = images.size / images.shape[1]
    mean = total / count
    return principal_axes(squares / count - np.outer(mean, mean))


def principal_axes(covariance: Array) -> Array:
    """The principal axes of a covariance matrix (C, C), as in `colour_axes`."""
    variances, axes = np.linalg.eigh(covariance)
    return (axes * np.sqrt(np.maximum(variances, 0))).T.astype(np.float32)


def _check_images(caller: str, images: Array) -> None:
    if images.ndim != 4 or images.size == 0:
        raise ValueError(
            f"{caller}: expected images (N, C, H, W), at least one, got the shape {images.shape}.\n"
            "Give for example train.images."
        )
