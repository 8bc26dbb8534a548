STEP = """
def momentum_step(w, v, g, lr, momentum=0.9, decay=0.0005):
    v = momentum * v - lr * (decay * w + g)
    w = w + v
    return w, v
"""

RIGHT = [STEP]

WRONG = [
    ("decay without the rate", STEP.replace("lr * (decay * w + g)", "decay * w - lr * g")),
    ("constant for momentum", STEP.replace("momentum * v", "0.9 * v")),
    ("gradient ascent", STEP.replace("- lr * (decay * w + g)", "+ lr * g - lr * decay * w")),
    (
        "torch's rule",
        STEP.replace("- lr * (decay * w + g)", "+ g + decay * w").replace("w + v", "w - lr * v"),
    ),
]
