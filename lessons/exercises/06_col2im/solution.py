import numpy as np


def col2im(col, shape, kernel, stride, padding):
    n, c, h, w = shape
    oh = (h + 2 * padding - kernel) // stride + 1
    ow = (w + 2 * padding - kernel) // stride + 1
    patches = col.reshape(c, kernel, kernel, n, oh, ow)
    padded = np.zeros((n, c, h + 2 * padding, w + 2 * padding), col.dtype)
    for i in range(oh):
        for j in range(ow):
            top, left = i * stride, j * stride
            patch = patches[..., i, j].transpose(3, 0, 1, 2)
            padded[:, :, top : top + kernel, left : left + kernel] += patch
    return padded[:, :, padding : padding + h, padding : padding + w]
