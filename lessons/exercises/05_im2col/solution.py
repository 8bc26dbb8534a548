import numpy as np


def im2col(x, kernel, stride, padding):
    n, c, h, w = x.shape
    oh = (h + 2 * padding - kernel) // stride + 1
    ow = (w + 2 * padding - kernel) // stride + 1
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    col = np.zeros((c, kernel, kernel, n, oh, ow), x.dtype)
    for i in range(oh):
        for j in range(ow):
            top, left = i * stride, j * stride
            patch = padded[:, :, top : top + kernel, left : left + kernel]
            col[..., i, j] = patch.transpose(1, 2, 3, 0)
    return col.reshape(c * kernel * kernel, n * oh * ow)
