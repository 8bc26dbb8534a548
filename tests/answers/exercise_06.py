ADD_AT = """
import numpy as np

def col2im(col, shape, kernel, stride, padding):
    N, C, H, W = shape
    OH, OW = (H + 2 * padding - kernel) // stride + 1, (W + 2 * padding - kernel) // stride + 1
    six = col.reshape(C, kernel, kernel, N, OH, OW)
    x = np.zeros(shape)
    for c, u, v, n, i, j in np.ndindex(six.shape):
        h, w = i * stride + u - padding, j * stride + v - padding
        if 0 <= h < H and 0 <= w < W:
            x[n, c, h, w] += six[c, u, v, n, i, j]
    return x
"""

INSIDE = "0 <= h < H and 0 <= w < W"

COLUMN_BY_COLUMN = """
import numpy as np

def col2im(col, shape, kernel, stride, padding):
    n, c, h, w = shape
    oh, ow = (h + 2 * padding - kernel) // stride + 1, (w + 2 * padding - kernel) // stride + 1
    x = np.zeros((n, c, h + 2 * padding, w + 2 * padding))
    for k in range(n * oh * ow):
        m, i, j = k // (oh * ow), k // ow % oh, k % ow
        x[m, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel] += col[:, k].reshape(c, kernel, kernel)
    return x[:, :, padding : h + padding, padding : w + padding]
"""

RIGHT = [
    ADD_AT,
    COLUMN_BY_COLUMN,
]

WRONG = [
    ("= for +=, element by element", ADD_AT.replace("+= six", "= six")),
    ("window transposed", ADD_AT.replace("six[c, u, v", "six[c, v, u")),
    ("first image's columns for all images", ADD_AT.replace("v, n, i, j]", "v, 0, i, j]")),
    ("rows as patches", ADD_AT.replace("col.reshape", "col.T.reshape")),
    ("sum not started at 0", ADD_AT.replace("np.zeros", "np.ones")),
    ("one position too few for the reshape", ADD_AT.replace(" + 1", "")),
    ("size without padding", ADD_AT.replace(" + 2 * padding", "")),
    (
        "height and width exchanged",
        ADD_AT.replace("H, W = shape", "W, H = shape").replace(
            "np.zeros(shape)", "np.zeros((N, C, H, W))"
        ),
    ),
    ("negative indices", ADD_AT.replace(INSIDE, "h < H and w < W")),
    ("index outside of the image", ADD_AT.replace(INSIDE, "True")),
    ("first row and column of pixels left out", ADD_AT.replace(INSIDE, "0 < h < H and 0 < w < W")),
    (
        "positions column by column",
        COLUMN_BY_COLUMN.replace("k // ow % oh, k % ow", "k % oh, k // oh % ow"),
    ),
    (
        "OH for OW in the index",
        COLUMN_BY_COLUMN.replace("k // ow % oh, k % ow", "k % (oh * ow) // oh, k % oh"),
    ),
    ("one position too few", COLUMN_BY_COLUMN.replace(" + 1", "")),
    ("one row as a patch", COLUMN_BY_COLUMN.replace("col[:, k]", "col[k]")),
    ("stride ignored", ADD_AT.replace("i * stride", "i").replace("j * stride", "j")),
    (
        "= for +=",
        """
import numpy as np

def col2im(col, shape, kernel, stride, padding):
    n, c, h, w = shape
    oh, ow = (h + 2 * padding - kernel) // stride + 1, (w + 2 * padding - kernel) // stride + 1
    x = np.zeros((n, c, h + 2 * padding, w + 2 * padding))
    col = col.reshape(c, kernel, kernel, n, oh, ow).transpose(3, 0, 1, 2, 4, 5)
    for i in range(oh):
        for j in range(ow):
            x[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel] = col[..., i, j]
    return x[:, :, padding : h + padding, padding : w + padding]
""",
    ),
    (
        "rows and columns of the matrix exchanged in the reshape",
        """
import numpy as np

def col2im(col, shape, kernel, stride, padding):
    n, c, h, w = shape
    oh, ow = (h + 2 * padding - kernel) // stride + 1, (w + 2 * padding - kernel) // stride + 1
    x = np.zeros((n, c, h + 2 * padding, w + 2 * padding))
    for (b, i, j), patches in zip(
        np.ndindex(n, oh, ow), col.reshape(n * oh * ow, c, kernel, kernel)
    ):
        x[b, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel] += patches
    return x[:, :, padding : h + padding, padding : w + padding]
""",
    ),
]
