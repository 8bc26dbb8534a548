BY_HAND = """
import numpy as np

def train(net, loss_function, batches, lr, epochs):
    means = np.zeros(epochs)
    for epoch in range(epochs):
        values = []
        for x, target in batches:
            loss = loss_function(net(x), target)
            net.zero_grad()
            loss.backward()
            for p in net.parameters():
                p.data -= lr * p.grad
            values.append(loss.item())
        means[epoch] = np.mean(values)
    return means
"""

OPTIMIZER = """
from tinyalex import no_grad, optim

def train(net, loss_function, batches, lr, epochs):
    losses = []
    sgd = optim.SGD(net.parameters(), lr=lr)
    for _ in range(epochs):
        losses.append(0)
        for x, target in batches:
            loss = loss_function(net(x), target)
            loss.backward()
            sgd.step()
            sgd.zero_grad()
            losses[-1] += loss.item() / len(batches)
    return losses
"""

NO_RESET = BY_HAND.replace("    for epoch", "    values = []\n    for epoch").replace(
    "        values = []\n        for", "        for"
)

RIGHT = [
    BY_HAND,
    OPTIMIZER,
    OPTIMIZER.replace(
        "        losses.append(0)",
        "        sgd = optim.SGD(net.parameters(), lr)\n        losses.append(0)",
    ),
]

WRONG = [
    ("zero_grad missing", BY_HAND.replace("            net.zero_grad()\n", "")),
    ("gradient ascent", BY_HAND.replace("-= lr", "+= lr")),
    ("no step", BY_HAND.replace("p.data -= lr * p.grad", "p = p - lr * p.grad")),
    (
        "no step",
        OPTIMIZER.replace("loss.backward()\n", "loss.backward()\n            sgd.zero_grad()\n"),
    ),
    ("no step", OPTIMIZER.replace("            loss.backward()\n", "")),
    (
        "step before backward",
        OPTIMIZER.replace("            sgd.zero_grad()\n", "")
        .replace("            loss.backward()\n", "")
        .replace(
            "sgd.step()", "sgd.step()\n            sgd.zero_grad()\n            loss.backward()"
        ),
    ),
    ("no_grad", OPTIMIZER.replace("        for x", "        with no_grad():\n         for x")),
    ("mean over earlier epochs too", NO_RESET),
    ("loss of the last batch", BY_HAND.replace("np.mean(values)", "values[-1]")),
    (
        "losses of earlier epochs included",
        NO_RESET.replace("np.mean(values)", "sum(values) / len(batches)"),
    ),
    ("sum of the losses", BY_HAND.replace("np.mean", "np.sum")),
    ("one loss for all epochs", BY_HAND.replace("return means", "return means.mean()")),
    (
        "step once per epoch",
        OPTIMIZER.replace("            sgd.step()\n            sgd.zero_grad()\n", "")
        .replace("loss.backward()", "sgd.zero_grad()\n            loss.backward()")
        .replace("    return", "        sgd.step()\n    return"),
    ),
    (
        "one step with the gradients of all batches",
        OPTIMIZER.replace("            sgd.step()\n            sgd.zero_grad()\n", "").replace(
            "    return", "        sgd.step()\n        sgd.zero_grad()\n    return"
        ),
    ),
    (
        "return in the loop",
        BY_HAND.replace("    return means", "        return means[: epoch + 1]"),
    ),
    (
        "loss after the step",
        BY_HAND.replace("loss.item()", "loss_function(net(x), target).item()"),
    ),
]
