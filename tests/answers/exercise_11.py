ROW_BY_ROW = """
import numpy as np

def softmax_cross_entropy(logits, target):
    N, K = logits.shape
    one_hot = np.eye(K)[target]
    losses, gradients = [], []
    for row, right in zip(logits, one_hot):
        row = row - row.max()
        log_sum = np.log(sum(np.exp(row)))
        losses.append(log_sum - (row * right).sum())
        gradients.append((np.exp(row - log_sum) - right) / N)
    return sum(losses) / N, np.array(gradients)
"""

RIGHT = [ROW_BY_ROW]

WRONG = [
    ("one-hot missing", ROW_BY_ROW.replace(" - right) / N", ") / N")),
    ("gradient not divided by N", ROW_BY_ROW.replace("- right) / N", "- right)")),
    ("exp overflows", ROW_BY_ROW.replace("row = row - row.max()", "pass")),
    (
        "exp overflows in softmax",
        """
import numpy as np

def softmax_cross_entropy(logits, target):
    n = len(target)
    e = np.exp(logits)
    p = e / np.sum(e, axis=1, keepdims=True)
    loss = -np.log(p[range(n), target]).sum() / n
    p[range(n), target] -= 1
    return loss, p / n
""",
    ),
]
