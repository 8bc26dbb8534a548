"""Exercise 0: the training loop.

Lesson 0 trained a linear layer. This loop trains any network, with any loss.
"""

import numpy as np

from tinyalex import nn, optim


def train(net, loss_function, batches, lr, epochs):
    """Train with SGD. Returns the mean loss of each epoch, an array (epochs,).

    net            a Module
    loss_function  loss_function(net(x), target) is the loss of a batch, a tensor
    batches        a list of pairs (x, target), used in this order in each epoch
    lr             the learning rate

    Each batch is one step of all parameters p:

        p = p - lr * gradient of this batch's loss

    The mean loss of an epoch is the mean over its batches; each loss is computed before
    that batch's own step.

    A weight of 0 and the targets 1 and 3: the loss is 1, the gradient -2; after the
    step the weight is 0.2, the second loss 7.84.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> net.weight.data *= 0
    >>> batches = [(np.ones((1, 1), "f"), 1.0), (np.ones((1, 1), "f"), 3.0)]
    >>> square = lambda y, target: ((y - target) ** 2).mean()
    >>> train(net, square, batches, lr=0.1, epochs=1).round(4)
    array([4.42])
    """
    raise NotImplementedError
