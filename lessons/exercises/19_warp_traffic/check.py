import numpy as np

from tinyalex.course import Mistake

HINTS = [
    "First select the elements of the active threads, and remove those that occur twice. An "
    "element begins at byte element * item_bytes. In which sector is that byte?",
    "The number of a sector is the number of its first byte, divided by 32 without remainder. "
    "Different sectors are different numbers: use a set, or np.unique.",
    "For at least one active thread:\n\n"
    "    elements = set(index[active].tolist())\n"
    "    sectors = len({element * item_bytes // 32 for element in elements})\n"
    "    used = len(elements) * item_bytes / (32 * sectors)",
]

THREADS = np.arange(32)
ALL = np.ones(32, bool)
RANDOM = np.random.default_rng(0)

CASES = [
    ("neighbouring elements", {"index": THREADS, "active": ALL, "item_bytes": 4}),
    ("a stride of 3", {"index": 3 * THREADS, "active": ALL, "item_bytes": 4}),
    ("a start within a sector", {"index": THREADS + 5, "active": ALL, "item_bytes": 4}),
    ("elements of 8 bytes", {"index": THREADS, "active": ALL, "item_bytes": 8}),
    ("elements of 2 bytes, a stride of 5", {"index": 5 * THREADS, "active": ALL, "item_bytes": 2}),
    (
        "two threads for each element",
        {"index": THREADS // 2, "active": ALL, "item_bytes": 4},
    ),
    (
        "elements far apart",
        {"index": np.where(THREADS < 16, THREADS, THREADS + 1000), "active": ALL, "item_bytes": 4},
    ),
    (
        "the last warp: 8 of 32 threads are active",
        {"index": THREADS, "active": THREADS < 8, "item_bytes": 4},
    ),
    (
        "no thread is active",
        {"index": THREADS, "active": np.zeros(32, bool), "item_bytes": 4},
    ),
    (
        "random elements, some threads active",
        {
            "index": RANDOM.integers(0, 200, 32),
            "active": RANDOM.random(32) < 0.6,
            "item_bytes": 8,
        },
    ),
]

RESULTS = ("sectors", "used")


def answer(exercise, index, active, item_bytes):
    return exercise.warp_traffic(index, active, item_bytes)


READ = "read = index[active]"
SECTOR = "element * item_bytes // 32"
COUNT = "len({element * item_bytes // 32 for element in elements})"
USED = "len(elements) * item_bytes / (32 * sectors)"
EMPTY = "    if not elements:\n        return 0, 0.0\n"

MISTAKES = [
    Mistake(
        "active ignored",
        {READ: "read = index"},
        "All 32 threads are counted. A thread that is not active reads nothing: index[active] has "
        "the elements of the others.",
    ),
    Mistake(
        "inactive threads read element 0",
        {READ: "read = index * active"},
        "Threads that are not active are counted as if they read element 0. They read nothing: "
        "index[active] omits them.",
    ),
    Mistake(
        "elements counted by threads",
        {USED: USED.replace("len(elements)", "len(read)")},
        "An element that several threads read is counted once for each of them. It is moved once: "
        "count different elements.",
    ),
    Mistake(
        "32 elements used",
        {USED: USED.replace("len(elements)", "32")},
        "The used bytes are those of 32 elements in all cases. Count the different elements that "
        "active threads read.",
    ),
    Mistake(
        "sectors of 32 elements",
        {SECTOR: "element // 32"},
        "The number of the element is divided by 32. A sector has 32 bytes: first multiply by the "
        "bytes of an element.",
    ),
    Mistake(
        "float32 in the sectors",
        {SECTOR: "element * 4 // 32"},
        "The sectors are right for elements of 4 bytes only. The first byte of an element is at "
        "element * item_bytes.",
    ),
    Mistake(
        "float32 in the used bytes",
        {USED: USED.replace("item_bytes", "4")},
        "The used bytes are right for elements of 4 bytes only. An element has item_bytes bytes.",
    ),
    Mistake(
        "float32",
        {SECTOR: "element * 4 // 32", USED: USED.replace("item_bytes", "4")},
        "Both results are right for elements of 4 bytes only. An element has item_bytes bytes.",
    ),
    Mistake(
        "elements, not bytes, are used",
        {USED: "len(elements) / (32 * sectors)"},
        "The number of elements is divided by a number of bytes. An element has item_bytes bytes.",
    ),
    Mistake(
        "lines of 128 bytes",
        {SECTOR: "element * item_bytes // 128"},
        "128 bytes are counted as a sector. A sector has 32 bytes.",
    ),
    Mistake(
        "lines of 128 bytes, also in the used part",
        {
            SECTOR: "element * item_bytes // 128",
            USED: USED.replace("32 *", "128 *"),
        },
        "The sectors have 128 bytes here. A sector has 32 bytes.",
    ),
    Mistake(
        "all sectors between the first and the last",
        {
            COUNT: "max(elements) * item_bytes // 32 - min(elements) * item_bytes // 32 + 1",
        },
        "All sectors between the first and the last element are counted, also those without an "
        "element that is read.",
    ),
    Mistake(
        "bytes divided by 32",
        {COUNT: "-(-len(elements) * item_bytes // 32)"},
        "This is the least number of sectors for so many bytes. Elements that are not neighbours "
        "are in more sectors: compute the sector of each.",
    ),
    Mistake(
        "remainder for quotient",
        {SECTOR: "element * item_bytes % 32"},
        "The remainder is the position within a sector. The number of the sector is the quotient, "
        "without remainder: //.",
    ),
    Mistake(
        "no rounding",
        {SECTOR: "element * item_bytes / 32"},
        "/ does not round, so that each element is in a sector of its own. // divides without "
        "remainder.",
    ),
    Mistake(
        "used bytes, not their part",
        {USED: "len(elements) * item_bytes"},
        "`used` is a number of bytes. Divide it by the bytes of the touched sectors.",
    ),
    Mistake(
        "inverted",
        {USED: "(32 * sectors) / (len(elements) * item_bytes)"},
        "The fraction is inverted: used bytes divided by the bytes of the sectors, at most 1.",
    ),
    Mistake(
        "no active thread",
        {EMPTY: ""},
        "If no thread is active, there is no sector to divide by. Return (0, 0.0) for that case.",
        needs=r"/",
    ),
]

WRITES_BACKWARD = False
gradient = None
