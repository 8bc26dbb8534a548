"""Crops, horizontal flips and colour noise in NumPy."""

import numpy as np


def augment(
    images: np.ndarray,
    mean: np.ndarray,
    out: np.ndarray,
    moves: np.ndarray,
    colour: np.ndarray | None,
    scale: float,
) -> None:
    """out[n] = the crop moves[n] of (images[n] - mean + colour[n]) * scale.

    moves[n] = (top, left, flip); pixels outside the image are 0. images (N, C, H, W) of
    any dtype, mean (C, H, W) or (C, 1, 1), out (N, C, OH, OW) floating, moves (N, 3)
    int32, colour (N, C) or None.
    """
    out.fill(0)
    (h, w), (oh, ow) = images.shape[2:], out.shape[2:]
    mean = mean.astype(out.dtype, copy=False)
    for n, (top, left, flip) in enumerate(moves.tolist()):
        rows, cols = slice(max(top, 0), min(top + oh, h)), slice(max(left, 0), min(left + ow, w))
        target = out[n, :, :, ::-1] if flip else out[n]
        seen = (images[n] - mean)[:, rows, cols]
        if colour is not None:
            seen += colour[n, :, None, None]
        target[:, rows.start - top : rows.stop - top, cols.start - left : cols.stop - left] = seen
    if scale != 1:
        out *= scale
