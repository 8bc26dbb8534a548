import numpy as np

from tinyalex.course import Mistake

HINTS = [
    "A crop is determined by its top left pixel. Write down the rows and columns at which the "
    "five crops start, then slice and stack them.",
    "The last crop that fits starts at row H - size, the middle one at (H - size) // 2. A "
    "horizontal flip reverses the last axis: [..., ::-1].",
    "With the top left pixels of the five:\n\n"
    "    h, w = image.shape[1:]\n"
    "    bottom, right = h - size, w - size\n"
    "    corners = [(0, 0), (0, right), (bottom // 2, right // 2), (bottom, 0), (bottom, right)]\n"
    "    five = np.stack([image[:, i : i + size, j : j + size] for i, j in corners])\n"
    "    return np.concatenate([five, five[:, :, :, ::-1]])",
]

CASES = [
    ("three rows of five pixels", {"image": np.arange(1.0, 16.0).reshape(1, 3, 5), "size": 2}),
    ("as high as the image", {"image": np.arange(1.0, 9.0).reshape(1, 2, 4), "size": 2}),
    ("crops of 3 x 3", {"image": np.arange(1.0, 29.0).reshape(1, 4, 7), "size": 3}),
    ("three channels", {"image": np.arange(3.0 * 9 * 6).reshape(3, 9, 6), "size": 4}),
    ("the paper's sizes", {"image": np.random.default_rng(0).random((3, 256, 256)), "size": 224}),
]

RESULTS = ("views",)


def answer(exercise, image, size):
    return exercise.ten_views(image, size)


MIDDLE, FLIPPED = "(bottom // 2, right // 2)", "five[:, :, :, ::-1]"
ALL = f"np.concatenate([five, {FLIPPED}])"

MISTAKES = [
    Mistake(
        "flipped vertically",
        {FLIPPED: "five[:, :, ::-1, :]"},
        "The second five are flipped vertically: their rows are reversed. A mirror image has its "
        "columns reversed, the last axis.",
    ),
    Mistake(
        "channels reversed",
        {FLIPPED: "five[:, ::-1]"},
        "The second five have their channels reversed: axis 1 of (10, C, size, size). Reverse the "
        "columns, the last axis.",
    ),
    Mistake(
        "flipped both ways",
        {FLIPPED: "five[:, :, ::-1, ::-1]"},
        "The second five have rows and columns reversed, which is a rotation by 180 degrees. "
        "Reverse the columns only.",
    ),
    Mistake(
        "crops of the flipped image",
        {FLIPPED: "five[[1, 0, 2, 4, 3], :, :, ::-1]"},
        "Views 5 to 9 are crops of the flipped image, so left and right crops are exchanged. Flip "
        "the five crops instead.",
    ),
    Mistake(
        "middle crop started at the centre",
        {MIDDLE: "(h // 2, w // 2)"},
        "The middle crop starts at the image's centre and reaches outside. It must be centred "
        "there: start at (H - size) // 2.",
    ),
    Mistake(
        "middle crop started at size // 2",
        {MIDDLE: "(size // 2, size // 2)"},
        "The middle crop starts at size // 2. The remaining H - size rows are divided between "
        "above and below: start at (H - size) // 2.",
    ),
    Mistake(
        "one pixel before the edge",
        {"h - size, w - size": "h - size - 1, w - size - 1"},
        "The bottom and right crops end one pixel before the edge. The last `size` rows are h - "
        "size to h - 1.",
    ),
    Mistake(
        "five only",
        {ALL: "five"},
        "The mirror images are missing. Return the five crops, then each of them flipped "
        "horizontally.",
    ),
    Mistake(
        "alternating",
        {ALL: f"np.stack([five, {FLIPPED}], axis=1).reshape(10, -1, size, size)"},
        "Each crop is followed by its mirror image. Return the five crops first, then the five "
        "mirror images.",
    ),
    Mistake(
        "middle crop last",
        {f"{MIDDLE}, ": "", "(bottom, right)]": f"(bottom, right), {MIDDLE}]"},
        "The middle view is last. Its index is 2: top left, top right, middle, bottom left, "
        "bottom right.",
    ),
    Mistake(
        "height and width exchanged",
        {"h, w = image.shape[1:]": "w, h = image.shape[1:]"},
        "Height and width are exchanged. An image is (C, H, W), rows first.",
    ),
    Mistake(
        "halves rounded separately",
        {MIDDLE: "(h // 2 - size // 2, w // 2 - size // 2)"},
        "The middle crop starts at H // 2 - size // 2, where both halves are rounded. Start at (H "
        "- size) // 2.",
    ),
    Mistake(
        "middle rounded up",
        {MIDDLE: "((bottom + 1) // 2, (right + 1) // 2)"},
        "The middle crop starts one pixel too late where H - size is odd. Round down: (H - size) "
        "// 2.",
    ),
]

WRITES_BACKWARD = False
gradient = None
