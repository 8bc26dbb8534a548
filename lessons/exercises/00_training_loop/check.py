import numpy as np

from tinyalex import nn
from tinyalex.course import Mistake

HINTS = [
    "Two loops: one over the epochs, and in it one over the batches. For each batch: remove the "
    "old gradients, compute the loss (forward), compute the gradients (backward), change the "
    "parameters (step).",
    "optimizer = optim.SGD(net.parameters(), lr=lr), once, before the loops. It has zero_grad() "
    "and step(). The loss is a tensor: loss.backward() computes the gradients, loss.item() is its "
    "value as a number. Sum the values of an epoch, and divide by len(batches) at its end.",
    "For each batch:\n\n"
    "    optimizer.zero_grad()\n"
    "    loss = loss_function(net(x), target)\n"
    "    loss.backward()\n"
    "    optimizer.step()\n"
    "    total += loss.item()",
]


def mean_square(y, target):
    """the mean of (y - target)**2"""
    return ((y - target) ** 2).mean()


RANDOM = np.random.default_rng(0)


def batches(*shapes):
    return [tuple(RANDOM.standard_normal(shape) for shape in shapes) for _ in range(3)]


ONE = np.ones((1, 1))

# `start` has the weights of the linear layers; tanh is applied between two of them.
CASES = [
    (
        "one weight, one batch, one epoch",
        {"start": [0 * ONE], "batches": [(ONE, ONE)], "lr": 0.1, "epochs": 1},
    ),
    (
        "two batches",
        {"start": [0 * ONE], "batches": [(ONE, ONE), (ONE, 3 * ONE)], "lr": 0.1, "epochs": 1},
    ),
    (
        "two batches, three epochs",
        {"start": [0 * ONE], "batches": [(ONE, ONE), (2 * ONE, ONE)], "lr": 0.05, "epochs": 3},
    ),
    (
        "a linear layer, three batches of four",
        {
            "start": [RANDOM.standard_normal((2, 3))],
            "batches": batches((4, 3), (4, 2)),
            "lr": 0.2,
            "epochs": 4,
        },
    ),
    (
        "two layers",
        {
            "start": [RANDOM.standard_normal((5, 3)), RANDOM.standard_normal((2, 5))],
            "batches": batches((4, 3), (4, 2)),
            "lr": 0.1,
            "epochs": 5,
        },
    ),
]

RESULTS = ("losses", "weights")


def answer(exercise, start, batches, lr, epochs):
    """What train returns, and the weights after it."""
    layers = []
    for weight in start:
        layers += [nn.Tanh()] if layers else []
        layers.append(nn.Linear(*weight.shape[::-1], bias=False).to("float64"))
        layers[-1].weight.data = weight
    net = nn.Sequential(*layers)
    losses = exercise.train(net, mean_square, batches, lr, epochs)
    if isinstance(losses, (list, tuple)):
        losses = np.array([float(loss) for loss in losses])
    return losses, np.concatenate([p.numpy().ravel() for p in net.parameters()])


ZERO = "            optimizer.zero_grad()\n"
STEP = "            optimizer.step()\n"
APPEND = "losses.append(total / len(batches))"

MISTAKES = [
    Mistake(
        "zero_grad missing",
        {ZERO: ""},
        "The gradients of all earlier batches are still in .grad: backward() adds to it. Call "
        "zero_grad() for each batch, before backward().",
    ),
    Mistake(
        "zero_grad once per epoch",
        {ZERO: "", "        for x, target": "        optimizer.zero_grad()\n        for x, target"},
        "The gradients are removed once per epoch, so those of its earlier batches are added to "
        "that of each batch. Call zero_grad() for each batch, before backward().",
    ),
    Mistake(
        "no step",
        {STEP: ""},
        "The weights have not changed. The order is: zero_grad(), the loss, backward(), step(). "
        "Without backward(), or with zero_grad() between backward() and step(), there is no "
        "gradient to use. (`p = p - lr * p.grad` changes nothing either: it gives the name p to "
        "another tensor. Assign to p.data.)",
    ),
    Mistake(
        "gradient ascent",
        {
            STEP: "            for p in net.parameters():\n"
            "                p.data = p.data + lr * p.grad\n"
        },
        "The step is in the direction of the gradient, which increases the loss. Subtract lr "
        "times the gradient.",
    ),
    Mistake(
        "step once per epoch",
        {STEP: "", APPEND: f"optimizer.step()\n        {APPEND}"},
        "There is one step per epoch, with the gradient of its last batch. Each batch is one "
        "step: call step() in the inner loop.",
    ),
    Mistake(
        "one step with the gradients of all batches",
        {
            ZERO: "",
            STEP: "",
            "        for x, target": "        optimizer.zero_grad()\n        for x, target",
            APPEND: f"optimizer.step()\n        {APPEND}",
        },
        "There is one step per epoch, with the sum of the gradients of all batches. Each batch "
        "is one step: call zero_grad() and step() in the inner loop.",
    ),
    Mistake(
        "loss of the last batch",
        {APPEND: "losses.append(loss.item())"},
        "The weights are right, but the loss returned is that of the last batch of each epoch. "
        "Return the mean over its batches.",
    ),
    Mistake(
        "sum of the losses",
        {" / len(batches)": ""},
        "The weights are right, but the losses of an epoch are summed. Divide by len(batches).",
    ),
    Mistake(
        "losses of earlier epochs included",
        {"        total = 0.0\n": "", "    for _ in": "    total = 0.0\n    for _ in"},
        "The weights are right, but the sum of the losses is never reset to 0: it includes those "
        "of earlier epochs. Set it to 0 at the start of each epoch.",
    ),
    Mistake(
        "mean over earlier epochs too",
        {
            "        total = 0.0\n": "",
            "    for _ in": "    total = 0.0\n    for _ in",
            "/ len(batches)": "/ (len(batches) * (len(losses) + 1))",
        },
        "The weights are right, but the mean includes the losses of earlier epochs. Start each "
        "epoch with an empty list, or a sum of 0.",
    ),
    Mistake(
        "loss after the step",
        {"total += loss.item()": "total += loss_function(net(x), target).item()"},
        "The weights are right, but the loss is computed again after the step. Use the loss that "
        "backward() was called on.",
    ),
    Mistake(
        "loss after the epoch",
        {
            APPEND: "losses.append(sum(loss_function(net(x), target).item() "
            "for x, target in batches) / len(batches))"
        },
        "The weights are right, but the losses are computed after the epoch, with its last "
        "weights. Use the losses that backward() was called on.",
    ),
    Mistake(
        "rate ignored",
        {"lr=lr": "lr=0.01"},
        "The learning rate is always 0.01. Use the argument lr.",
    ),
    Mistake(
        "divided by the number of epochs",
        {"/ len(batches)": "/ epochs"},
        "The weights are right, but the sum of an epoch's losses is divided by the number of "
        "epochs. Divide by the number of its batches, len(batches).",
    ),
    Mistake(
        "loss of each batch",
        {"total += loss.item()": "losses.append(loss.item())", f"        {APPEND}\n": ""},
        "There is one loss for each batch. Sum those of an epoch, and append their mean once, "
        "after the inner loop.",
    ),
    Mistake(
        "one loss for all epochs",
        {"return np.array(losses)": "return np.mean(losses)"},
        "There is one loss for all epochs. Append the mean of each epoch to a list, and return "
        "np.array of the list.",
    ),
    Mistake(
        "return in the loop",
        {"    return np": "        return np"},
        "Only one epoch is run: the `return` is inside the loop and ends it. Indent it less.",
    ),
    Mistake(
        "step before backward",
        {ZERO: "", STEP: "", "loss.backward()": "optimizer.step()\n            loss.backward()"},
        "step() changes the weights between the forward pass and backward(), which needs those of "
        "the forward pass. The order is: zero_grad(), the loss, backward(), step().",
        needs=r"step\(\)[\s\S]*backward\(\)",
    ),
    Mistake(
        "no_grad",
        {
            "loss = loss_function(net(x), target)": "with __import__('tinyalex').no_grad():\n"
            "                loss = loss_function(net(x), target)"
        },
        "In `with no_grad():` nothing is recorded, so there is nothing for backward() to use. "
        "no_grad is for computing an error or a loss without training.",
        needs="no_grad",
    ),
]

WRITES_BACKWARD = False
gradient = None
