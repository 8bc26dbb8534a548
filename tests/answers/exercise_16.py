LOOPS = """
import numpy as np

def update_ratio(w, g, lr, decay=0.0):
    new = w - lr * g - lr * decay * w
    return np.linalg.norm(new - w) / np.linalg.norm(w)

def dead_units(y):
    channels = y.shape[1]
    dead = 0
    for c in range(channels):
        if y[:, c].max() <= 0:
            dead += 1
    return dead / channels
"""

RIGHT = [LOOPS]

WRONG = [
    ("no rate", LOOPS.replace("w - lr * g - lr * decay * w", "w - g - decay * w")),
    ("no decay", LOOPS.replace(" - lr * decay * w", "")),
    ("decay without the rate", LOOPS.replace("lr * decay", "decay")),
    ("decay with the opposite sign", LOOPS.replace("- lr * decay", "+ lr * decay")),
    ("norm of the new weights", LOOPS.replace("norm(w)", "norm(new)")),
    (
        "inverted",
        LOOPS.replace("norm(new - w)", "norm(w)", 1).replace(
            "/ np.linalg.norm(w)", "/ np.linalg.norm(new - w)"
        ),
    ),
    (
        "sums of magnitudes",
        LOOPS.replace("np.linalg.norm(new - w)", "abs(new - w).sum()").replace(
            "np.linalg.norm(w)", "abs(w).sum()"
        ),
    ),
    ("sum of the channels", LOOPS.replace("dead / channels", "float(dead)")),
    ("any zero", LOOPS.replace(".max() <= 0", ".min() <= 0")),
    ("first image only", LOOPS.replace("y[:, c]", "y[0, c]")),
    ("images", LOOPS.replace("y.shape[1]", "y.shape[0]").replace("y[:, c]", "y[c]")),
    ("living units", LOOPS.replace("<= 0", "> 0")),
    ("fraction of zeros", LOOPS.replace("dead / channels", "float(np.mean(y <= 0))")),
]
