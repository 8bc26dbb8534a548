def unbroadcast(dy, shape):
    new = dy.ndim - len(shape)
    dy = dy.sum(axis=tuple(range(new)))
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return dy.sum(axis=repeated, keepdims=True)
