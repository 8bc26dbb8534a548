import numpy as np


def softmax_cross_entropy(logits, target):
    rows = np.arange(len(logits))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[rows, target].mean()
    dlogits = np.exp(log_p)
    dlogits[rows, target] -= 1
    return loss, dlogits / len(logits)
