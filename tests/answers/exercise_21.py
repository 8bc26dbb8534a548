IMAGE_BY_IMAGE = """
import numpy as np

def mean_prediction_error(logits, labels, k):
    M, V, N, K = logits.shape
    wrong = 0
    for n in range(N):
        mean = np.zeros(K)
        for m in range(M):
            for v in range(V):
                z = logits[m, v, n]
                e = np.exp(z - z.max())
                mean += e / e.sum()
        mean /= M * V
        better = sum(mean[c] > mean[labels[n]] for c in range(K))
        if better >= k:
            wrong += 1
    return wrong / N
"""

RIGHT = [IMAGE_BY_IMAGE]

WRONG = [
    ("accuracy", IMAGE_BY_IMAGE.replace("better >= k", "better < k")),
    ("logits averaged", IMAGE_BY_IMAGE.replace("mean += e / e.sum()", "mean += z")),
    ("not divided by the sum", IMAGE_BY_IMAGE.replace("e / e.sum()", "e")),
    ("majority vote", IMAGE_BY_IMAGE.replace("mean += e / e.sum()", "mean[z.argmax()] += 1")),
    ("first network only", IMAGE_BY_IMAGE.replace("range(M)", "range(1)")),
    ("first view only", IMAGE_BY_IMAGE.replace("range(V)", "range(1)")),
    ("one too many", IMAGE_BY_IMAGE.replace(">= k", "> k")),
    ("top 1", IMAGE_BY_IMAGE.replace(">= k", ">= 1")),
    ("number of images", IMAGE_BY_IMAGE.replace("wrong / N", "wrong")),
]
