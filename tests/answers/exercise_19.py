UNIQUE = """
import numpy as np

def warp_traffic(index, active, item_bytes):
    elements = np.unique(index[active])
    sectors = np.unique(elements * item_bytes // 32)
    if sectors.size == 0:
        return 0, 0
    return sectors.size, elements.size * item_bytes / (sectors.size * 32)
"""

LOOP = """
def warp_traffic(index, active, item_bytes):
    sectors, elements = [], []
    for thread in range(32):
        if not active[thread]:
            continue
        element = index[thread]
        sector = int(element * item_bytes / 32)
        if element not in elements:
            elements.append(element)
        if sector not in sectors:
            sectors.append(sector)
    moved = 32 * len(sectors)
    return len(sectors), (len(elements) * item_bytes / moved if moved else 0)
"""

RIGHT = [UNIQUE, LOOP]

WRONG = [
    ("active ignored", UNIQUE.replace("[active]", "")),
    ("active ignored", LOOP.replace("not active[thread]", "False")),
    (
        "inactive threads read element 0",
        UNIQUE.replace("index[active]", "np.where(active, index, 0)"),
    ),
    (
        "elements counted by threads",
        LOOP.replace("if element not in elements:", "if True:"),
    ),
    (
        "elements counted by threads",
        UNIQUE.replace("elements.size * item_bytes", "active.sum() * item_bytes"),
    ),
    ("32 elements used", LOOP.replace("len(elements) * item_bytes", "32 * item_bytes")),
    ("sectors of 32 elements", LOOP.replace("int(element * item_bytes / 32)", "element // 32")),
    ("float32 in the sectors", UNIQUE.replace("elements * item_bytes // 32", "elements // 8")),
    (
        "lines of 128 bytes, also in the used part",
        UNIQUE.replace("// 32", "// 128").replace("* 32", "* 128"),
    ),
    (
        "all sectors between the first and the last",
        LOOP.replace(
            "    moved = 32",
            "    sectors = range(min(sectors), max(sectors) + 1) if sectors else []\n    moved = 32",
        ),
    ),
    ("no rounding", LOOP.replace("int(element * item_bytes / 32)", "element * item_bytes / 32")),
    ("no active thread", LOOP.replace(" if moved else 0", "")),
    (
        "inverted",
        LOOP.replace("len(elements) * item_bytes / moved", "moved / (len(elements) * item_bytes)"),
    ),
]
