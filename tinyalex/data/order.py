"""The order of the images in an epoch."""

import numpy as np

from tinyalex import device


def shuffled(n: int, epoch: int, seed: int | None) -> np.ndarray:
    """A random order of n images, which depends on the seed and the epoch only."""
    return device.generator("shuffle", epoch, seed=seed).permutation(n)


def shuffled_files(files: np.ndarray, batch_size: int, epoch: int, seed: int | None) -> np.ndarray:
    """A random order of images in large files, for processes that divide each batch:
    each reads files of its own.

    files  int (n,): the file of each image

    The files in random order are one sequence of images, which is cut into `batch_size`
    lanes of equal length. Each lane is shuffled, and a batch takes the next image of
    each lane. A process has the same lanes in each batch. Two processes read the same
    file only if it contains the border between their lanes.
    """
    random = device.generator("shuffle", epoch, seed=seed)
    n = len(files)
    rank_of_file = random.permutation(files.max() + 1)
    sequence = np.argsort(rank_of_file[files], kind="stable")
    lanes = min(batch_size, n)
    starts = np.arange(lanes + 1) * n // lanes
    lane = np.repeat(np.arange(lanes), np.diff(starts))
    within_lane = np.lexsort((random.random(n), lane))
    position = np.arange(n) - starts[lane]
    return sequence[within_lane][np.lexsort((lane, position))]
