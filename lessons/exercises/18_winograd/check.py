import numpy as np

from tinyalex.course import Mistake

HINTS = [
    "First one tile: x0, x1, x2, x3 = x[:4]. Compute its four products and its two outputs, as in "
    "lesson 18. Then loop over the tiles: they begin at 0, 2, 4, ..., n - 4.",
    "The products: (x0 - x2) * w[0], (x1 + x2) * (w[0] + w[1] + w[2]) / 2, "
    "(x2 - x1) * (w[0] - w[1] + w[2]) / 2, (x1 - x3) * w[2].",
    "The outputs of a tile that begins at i are y[i] = m1 + m2 + m3 and y[i + 1] = m2 - m3 - m4. "
    "There are (n - 2) // 2 tiles.",
]

RANDOM = np.random.default_rng(0)

CASES = [
    (
        "one tile, the first weight only",
        {"x": np.array([1.0, 2.0, 4.0, 7.0]), "w": np.array([2.0, 0.0, 0.0])},
    ),
    ("one tile", {"x": np.array([1.0, -2.0, 3.0, 5.0]), "w": np.array([2.0, -1.0, 3.0])}),
    ("two tiles", {"x": np.array([1.0, 4.0, 2.0, 8.0, 5.0, 7.0]), "w": np.array([1.0, 3.0, -2.0])}),
    ("ten pixels", {"x": RANDOM.standard_normal(10), "w": RANDOM.standard_normal(3)}),
    ("a long row", {"x": RANDOM.standard_normal(64), "w": RANDOM.standard_normal(3)}),
]

RESULTS = ("m", "y")


def answer(exercise, x, w):
    return exercise.winograd(x, w)


TILES = "np.lib.stride_tricks.sliding_window_view(x, 4)[::2]"
Y = "np.stack([even, odd], axis=1).ravel()"
M = "np.stack([m1, m2, m3, m4], axis=1)"

MISTAKES = [
    Mistake(
        "sums of weights not halved",
        {
            "(w[0] + w[1] + w[2]) / 2": "(w[0] + w[1] + w[2])",
            "(w[0] - w[1] + w[2]) / 2": "(w[0] - w[1] + w[2])",
        },
        "m_2 and m_3 are twice as large as they should be: the sums of weights are divided by 2.",
    ),
    Mistake(
        "weights reversed",
        {"    tiles = ": "    w = w[::-1]\n    tiles = "},
        "The filter is reversed, as in a convolution in mathematics. Here y[i] uses x[i]*w[0].",
    ),
    Mistake(
        "m3 with the opposite sign",
        {"(x2 - x1) * minus": "(x1 - x2) * minus"},
        "m_3 has the opposite sign: it is (x_2 - x_1) times the alternating sum of the weights.",
    ),
    Mistake(
        "m4 with the opposite sign",
        {"(x1 - x3) * w[2]": "(x3 - x1) * w[2]"},
        "m_4 has the opposite sign: it is (x_1 - x_3) * w[2], and is subtracted in the second "
        "output.",
    ),
    Mistake(
        "m1 with the opposite sign",
        {"(x0 - x2) * w[0]": "(x2 - x0) * w[0]"},
        "m_1 has the opposite sign: it is (x_0 - x_2) * w[0].",
    ),
    Mistake(
        "sums of weights exchanged",
        {"(x1 + x2) * plus": "(x1 + x2) * minus", "(x2 - x1) * minus": "(x2 - x1) * plus"},
        "The sums of weights in m_2 and m_3 are exchanged. x_1 + x_2 is multiplied by the sum with "
        "+ w[1], and x_2 - x_1 by the one with - w[1].",
    ),
    Mistake(
        "the last weight subtracted",
        {"(w[0] - w[1] + w[2]) / 2": "(w[0] - w[1] - w[2]) / 2"},
        "In m_3 only w[1] is subtracted: (w[0] - w[1] + w[2]) / 2.",
    ),
    Mistake(
        "second output with all plus",
        {"m2 - m3 - m4": "m2 + m3 + m4"},
        "m is right, and the second output is not: it is m_2 - m_3 - m_4.",
    ),
    Mistake(
        "second output with plus m4",
        {"m2 - m3 - m4": "m2 - m3 + m4"},
        "m is right, and the second output is not: m_4 is subtracted, since it is "
        "(x_1 - x_3) * w[2] and y_1 needs x_3 * w[2].",
    ),
    Mistake(
        "second output with plus m3",
        {"m2 - m3 - m4": "m2 + m3 - m4"},
        "m is right, and the second output is not: m_3 is subtracted in it.",
    ),
    Mistake(
        "first output with minus m3",
        {"m1 + m2 + m3": "m1 + m2 - m3"},
        "m is right, and the first output is not: it is the sum m_1 + m_2 + m_3.",
    ),
    Mistake(
        "tiles without overlap",
        {TILES: "x[: len(x) // 4 * 4].reshape(-1, 4)"},
        "The tiles do not overlap: each begins where the one before ends, so the outputs between "
        "them are missing. A tile begins 2 pixels after the one before.",
    ),
    Mistake(
        "a tile at each pixel",
        {TILES: TILES.removesuffix("[::2]")},
        "A tile begins at each pixel, so most outputs are computed twice. Tiles begin at 0, 2, 4, "
        "...",
    ),
    Mistake(
        "last tile left out",
        {TILES: TILES.replace("[::2]", "[:-1:2]")},
        "The last tile is missing. It begins at pixel n - 4: range(0, n - 3, 2).",
    ),
    Mistake(
        "outputs not interleaved",
        {Y: "np.concatenate([even, odd])"},
        "The first outputs of all tiles are followed by the second ones. Those of a tile belong "
        "next to each other: y[0::2] and y[1::2].",
    ),
    Mistake(
        "outputs of a tile exchanged",
        {Y: "np.stack([odd, even], axis=1).ravel()"},
        "The two outputs of each tile are exchanged.",
    ),
    Mistake(
        "products as rows",
        {M: "np.stack([m1, m2, m3, m4])"},
        "m is (4, tiles). It should have a row for each tile: (tiles, 4).",
    ),
    Mistake(
        "outputs by tile",
        {Y: "np.stack([even, odd], axis=1)"},
        "y is (tiles, 2). It should be one row of n - 2 values: reshape it.",
    ),
]

WRITES_BACKWARD = False
gradient = None
