"""Gradient clipping: before an update, limits the gradients (Pascanu et al. 2013)."""

from collections.abc import Iterable

from tinyalex import device
from tinyalex.tensor import Tensor


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0
) -> Tensor:
    """Scale all gradients by the same factor, so that their total norm is at most
    `max_norm`. Returns the norm before.

        norm = (sum of |g|**norm_type over all elements of all gradients)**(1/norm_type)
        g    = g * min(1, max_norm / (norm + 1e-6))

    The direction of the update remains. norm_type=math.inf: the largest |g|. No
    gradients: the norm is 0.
    """
    with_grad = _with_gradients(parameters)
    if not with_grad:
        return Tensor(0.0)
    first = with_grad[0].device
    norms = []
    for p in with_grad:
        with device.on_device_of(p.data):
            grad = p.grad.reshape(-1).astype(device.sum_dtype(p.dtype), copy=False)
            norm = device.xp(grad).linalg.norm(grad, norm_type)
            norms.append(device.to(device.asarray(norm), first))
    with device.on(first):
        xp = device.xp(norms[0])
        total = device.asarray(xp.linalg.norm(xp.stack(norms), norm_type))
        factor = device.asarray(xp.minimum(max_norm / (total + 1e-6), 1.0))
    for p in with_grad:
        with device.on_device_of(p.data):
            p.grad = p.grad * device.to(factor, p.device).astype(p.dtype)
    return Tensor(total, device=first)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of the gradients to -clip_value ... clip_value."""
    for p in _with_gradients(parameters):
        with device.on_device_of(p.data):
            p.grad = p.grad.clip(-clip_value, clip_value)


def _with_gradients(parameters: Tensor | Iterable[Tensor]) -> list:
    tensors = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p for p in tensors if p.grad is not None]
