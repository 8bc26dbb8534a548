LOOPS = """
import numpy as np

def im2col(x, kernel, stride, padding):
    N, C, H, W = x.shape
    OH = int(np.floor((H + 2 * padding - kernel) / stride)) + 1
    OW = int(np.floor((W + 2 * padding - kernel) / stride)) + 1
    rows = []
    for c in range(C):
        for u in range(kernel):
            for v in range(kernel):
                row = []
                for n in range(N):
                    for i in range(OH):
                        for j in range(OW):
                            h, w = i * stride + u - padding, j * stride + v - padding
                            row.append(x[n, c, h, w] if 0 <= h < H and 0 <= w < W else 0.0)
                rows.append(row)
    return np.array(rows)
"""

PATCH_BY_PATCH = """
import numpy as np

def im2col(x, kernel, stride, padding):
    N, C, H, W = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    OH, OW = (H + 2 * padding - kernel) // stride + 1, (W + 2 * padding - kernel) // stride + 1
    col = np.zeros((C * kernel * kernel, N * OH * OW))
    for n in range(N):
        for i in range(OH):
            for j in range(OW):
                patch = padded[n, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
                col[:, (n * OH + i) * OW + j] = patch.ravel()
    return col
"""

SWAPPED = LOOPS.replace("for i in range(OH)", "for j in range(OW)", 1).replace(
    "                        for j in range(OW)", " " * 24 + "for i in range(OH)"
)

INSIDE = "0 <= h < H and 0 <= w < W"

RIGHT = [
    LOOPS,
    """
import numpy as np

def im2col(x, kernel, stride, padding):
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    return windows.transpose(1, 4, 5, 0, 2, 3).reshape(x.shape[1] * kernel**2, -1)
""",
    PATCH_BY_PATCH,
]

WRONG = [
    ("window flipped", PATCH_BY_PATCH.replace("patch.ravel()", "patch[:, ::-1, ::-1].ravel()")),
    ("edge pixels as border", PATCH_BY_PATCH.replace("g)))", "g)), 'edge')")),
    ("first image only", PATCH_BY_PATCH.replace("range(N)", "range(1)")),
    (
        "patches as rows, reshaped",
        PATCH_BY_PATCH.replace("return col", "return np.array(list(col.T)).reshape(col.shape)"),
    ),
    (
        "OH for OW in the index",
        PATCH_BY_PATCH.replace("(n * OH + i) * OW + j", "n * OH * OW + i * OH + j"),
    ),
    ("height and width exchanged, windows outside", PATCH_BY_PATCH.replace("H, W = x", "W, H = x")),
    (
        "OW for OH, windows outside",
        PATCH_BY_PATCH.replace("(OH)", "(OW)")
        .replace("n * OH", "n * OW")
        .replace("N * OH", "N * OW"),
    ),
    (
        "all axes padded",
        PATCH_BY_PATCH.replace(
            "((0, 0), (0, 0), (padding, padding), (padding, padding))", "padding"
        ).replace("    OH", "    N, C = padded.shape[:2]\n    OH"),
    ),
    ("positions column by column", SWAPPED),
    ("first row and column of pixels left out", LOOPS.replace(INSIDE, "0 < h < H and 0 < w < W")),
    (
        "last row and column of pixels left out",
        LOOPS.replace(INSIDE, "0 <= h < H - 1 and 0 <= w < W - 1"),
    ),
    ("bounds exchanged", LOOPS.replace(INSIDE, "0 <= h < W and 0 <= w < H")),
    ("plus padding for minus", LOOPS.replace("- padding", "+ padding")),
    ("one position too few", LOOPS.replace(" + 1", "")),
    ("index outside of the image", LOOPS.replace(" if 0 <= h < H and 0 <= w < W else 0.0", "")),
    ("negative indices", LOOPS.replace(INSIDE, "h < H and w < W")),
    ("padding ignored", LOOPS.replace(" + 2 * padding", "").replace(" - padding", "")),
    ("OH for OW", LOOPS.replace("range(OW)", "range(OH)")),
    ("stride ignored downwards", LOOPS.replace("i * stride", "i")),
    ("stride ignored to the right", LOOPS.replace("j * stride", "j")),
    ("stride ignored", LOOPS.replace("i * stride", "i").replace("j * stride", "j")),
    (
        "window transposed",
        LOOPS.replace("for u in", "for tmp in").replace("for v in", "for u in").replace("tmp", "v"),
    ),
]
