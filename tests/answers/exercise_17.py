BY_HAND = """
import math

def paired_difference(a, b, t):
    differences = [y - x for x, y in zip(a, b)]
    N = len(differences)
    D = sum(differences) / N
    squares = sum((d - D) ** 2 for d in differences)
    se = math.sqrt(squares / (N - 1) / N)
    half = t * se
    return D, se, D - half, D + half
"""

RIGHT = [BY_HAND]

WRONG = [
    ("A minus B", BY_HAND.replace("y - x", "x - y")),
    ("divided by N in the variance", BY_HAND.replace("(N - 1)", "N")),
    ("standard deviation", BY_HAND.replace(" / N)\n    half", ")\n    half")),
    ("variance", BY_HAND.replace("math.sqrt", "")),
    ("1.96", BY_HAND.replace("t * se", "1.96 * se")),
    ("one standard error", BY_HAND.replace("t * se", "se")),
    ("without signs", BY_HAND.replace("[y - x", "[abs(x - y)")),
    (
        "unpaired",
        BY_HAND.replace(
            "squares = sum((d - D) ** 2 for d in differences)",
            "squares = sum((a - a.mean()) ** 2) + sum((b - b.mean()) ** 2)",
        ),
    ),
]
