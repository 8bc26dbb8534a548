"""The state of a loss scale in NumPy, of float32:

state[0]  the factor of the loss
state[1]  1 if a gradient of this step is infinite or NaN, else 0
state[2]  the number of steps in succession without such a gradient
state[3]  the number of steps with one, which were skipped
"""

import numpy as np

LIMITS = np.finfo(np.float32)


def find_not_finite(grads: list[np.ndarray], state: np.ndarray) -> None:
    """state[1] = 1 if an element of the arrays is infinite or NaN."""
    if not all(np.isfinite(grad).all() for grad in grads):
        state[1] = 1


def update_loss_scale(state: np.ndarray, growth: float, backoff: float, interval: int) -> None:
    """End a step: multiply the factor by `backoff` if a gradient is not finite, and by
    `growth` after `interval` steps in succession without one, if it stays a normal
    number of float32."""
    scale, found, steps, skipped = state.astype(np.float32)
    steps = 0 if found else steps + 1
    grows = steps >= interval
    scale *= np.float32(backoff if found else growth if grows else 1)
    if LIMITS.tiny <= scale <= LIMITS.max:
        state[0] = scale
    state[1:] = 0, 0 if grows else steps, skipped + bool(found)
