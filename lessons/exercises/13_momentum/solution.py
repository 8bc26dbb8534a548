def momentum_step(w, v, g, lr, momentum=0.9, decay=0.0005):
    new_v = momentum * v - decay * lr * w - lr * g
    return w + new_v, new_v
