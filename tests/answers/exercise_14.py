FILL = """
import numpy as np

def ten_views(image, size):
    C, H, W = image.shape
    views = np.zeros((10, C, size, size), image.dtype)
    views[0] = image[:, :size, :size]
    views[1] = image[:, :size, -size:]
    top, left = (H - size) // 2, (W - size) // 2
    views[2] = image[:, top : top + size, left : left + size]
    views[3] = image[:, -size:, :size]
    views[4] = image[:, -size:, -size:]
    for i in range(5):
        views[i + 5] = np.flip(views[i], axis=2)
    return views
"""

MIDDLE = "(H - size) // 2, (W - size) // 2"

RIGHT = [FILL]

WRONG = [
    ("halves rounded separately", FILL.replace(MIDDLE, "H // 2 - size // 2, W // 2 - size // 2")),
    ("middle rounded up", FILL.replace(MIDDLE, "-(-(H - size) // 2), -(-(W - size) // 2)")),
    ("flipped vertically", FILL.replace("axis=2", "axis=1")),
    ("flipped both ways", FILL.replace("axis=2", "axis=(1, 2)")),
    (
        "alternating",
        FILL.replace("range(5)", "(4, 3, 2, 1, 0)")
        .replace(
            "views[i + 5]",
            "views[2 * i], views[2 * i + 1] = views[i].copy(), 0\n        views[2 * i + 1]",
        )
        .replace("np.flip(views[i]", "np.flip(views[2 * i]"),
    ),
]
