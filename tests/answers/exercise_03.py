AXIS_BY_AXIS = """
def unbroadcast(dy, shape):
    while dy.ndim > len(shape):
        dy = dy.sum(0)
    for axis in range(dy.ndim):
        if shape[axis] != dy.shape[axis]:
            dy = dy.sum(axis, keepdims=True)
    return dy
"""

RIGHT = [AXIS_BY_AXIS]

WRONG = [
    ("mean", AXIS_BY_AXIS.replace("sum", "mean")),
    ("axes of size 1 forgotten", AXIS_BY_AXIS.replace("range(dy.ndim)", "[]")),
    (
        "keepdims forgotten",
        AXIS_BY_AXIS.replace("range(dy.ndim)", "reversed(range(dy.ndim))").replace(
            ", keepdims=True", ""
        ),
    ),
]
