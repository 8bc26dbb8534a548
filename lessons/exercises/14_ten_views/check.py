import numpy as np

from tinyalex.learning import Mistake

HINTS = [
    "Each crop is known by its top left pixel. Write down the five rows and columns at which they begin, cut, and stack what you "
    "have cut.",
    "The last crop that fits begins at row H - size, the middle one at (H - size) // 2. A mirror image is the last axis "
    "backwards: [..., ::-1].",
    "With the top left pixels of the five:\n\n"
    "    corners = [(0, 0), (0, w - size), ((h - size) // 2, (w - size) // 2), (h - size, 0), (h - size, w - size)]\n"
    "    five = np.stack([image[:, i : i + size, j : j + size] for i, j in corners])\n"
    "    return np.concatenate([five, five[:, :, :, ::-1]])",
]

CASES = [
    ("three rows of five pixels", {"image": np.arange(1.0, 16.0).reshape(1, 3, 5), "size": 2}),
    ("as high as the image", {"image": np.arange(1.0, 9.0).reshape(1, 2, 4), "size": 2}),
    ("a window of 3 x 3", {"image": np.arange(1.0, 29.0).reshape(1, 4, 7), "size": 3}),
    ("a high image in colour", {"image": np.arange(3.0 * 9 * 6).reshape(3, 9, 6), "size": 4}),
    ("the paper's sizes", {"image": np.random.default_rng(0).random((3, 256, 256)), "size": 224}),
]

RESULTS = ("views",)


def answer(exercise, image, size):
    return exercise.ten_views(image, size)


MISTAKES = [
    Mistake(
        "upside down",
        {"five[:, :, :, ::-1]": "five[:, :, ::-1, :]"},
        "The second five stand on their heads: rows are exchanged. A mirror exchanges left and right, which is the last axis.",
    ),
    Mistake(
        "channels reversed",
        {"five[:, :, :, ::-1]": "five[:, ::-1]"},
        "The second five have their colours exchanged: axis 1 of (10, C, size, size) are the channels. Left and right are the "
        "last axis.",
    ),
    Mistake(
        "upside down and mirrored",
        {"five[:, :, :, ::-1]": "five[:, :, ::-1, ::-1]"},
        "The second five are turned by half a circle: rows and columns are both exchanged. A mirror exchanges left and right only.",
    ),
    Mistake(
        "crops of the mirrored image",
        {"five[:, :, :, ::-1]": "five[[1, 0, 2, 4, 3], :, :, ::-1]"},
        "Views 5 to 9 are crops of the mirrored image, so that left and right corners change places. Mirror the five crops "
        "themselves.",
    ),
    Mistake(
        "the middle's centre",
        {"(bottom // 2, right // 2)": "(h // 2, w // 2)"},
        "The middle crop begins at the image's centre, and runs over the edge. Its centre lies there: it begins at (H - size) // "
        "2.",
    ),
    Mistake(
        "the middle pushed towards a corner",
        {"(bottom // 2, right // 2)": "(size // 2, size // 2)"},
        "The middle crop begins at size // 2. What is left over, H - size, is shared between above and below: it begins at (H - "
        "size) // 2.",
    ),
    Mistake(
        "one pixel short of the edge",
        {"h - size, w - size": "h - size - 1, w - size - 1"},
        "The lower and right crops end one pixel before the edge: rows h - size to h - 1 are the last `size` rows.",
    ),
    Mistake(
        "five only",
        {"np.concatenate([five, five[:, :, :, ::-1]])": "five"},
        "The mirror images are missing: five crops, and each of them with left and right exchanged.",
    ),
    Mistake(
        "one after the other",
        {
            "np.concatenate([five, five[:, :, :, ::-1]])": "np.stack([five, five[:, :, :, ::-1]], axis=1).reshape(10, -1, size, size)"
        },
        "Each crop is followed by its mirror image. The five come first, then their five mirror images.",
    ),
    Mistake(
        "the middle at the end",
        {
            "(bottom // 2, right // 2), ": "",
            "(bottom, right)]": "(bottom, right), (bottom // 2, right // 2)]",
        },
        "The middle view comes last. It is number 2: top left, top right, middle, bottom left, bottom right.",
    ),
    Mistake(
        "height and width exchanged",
        {"h, w = image.shape[1:]": "w, h = image.shape[1:]"},
        "Height and width are exchanged: an image is (C, H, W), rows first.",
    ),
    Mistake(
        "half of each",
        {"(bottom // 2, right // 2)": "(h // 2 - size // 2, w // 2 - size // 2)"},
        "The middle crop begins at H // 2 - size // 2, where both halves are rounded by themselves. It is (H - size) // 2.",
    ),
    Mistake(
        "the middle rounded up",
        {"(bottom // 2, right // 2)": "((bottom + 1) // 2, (right + 1) // 2)"},
        "The middle crop begins a pixel too late where H - size is odd: round down, (H - size) // 2.",
    ),
]
