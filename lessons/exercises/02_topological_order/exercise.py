"""Exercise 2: backward through a graph, in an order that works.

Lesson 2 showed what goes wrong when a gradient is passed on before it is complete.
"""


class Node:
    """A number that was computed from others. Nothing to do here.

    inputs  the Nodes it was computed from; the same one may be there twice, as in a * a
    slopes  for each of them: how fast this number changes with it
    grad    how fast the last result changes with this number
    """

    def __init__(self, inputs=(), slopes=()):
        self.inputs = inputs
        self.slopes = slopes
        self.grad = 0.0


def backward(root):
    """Set `grad` of `root`, which is 1, and of all Nodes that it was computed from.

        a Node's grad = sum, over all places where it is an input, of   slope there * grad of the Node there

    A Node's sum must be complete before it is passed on. Each Node passes it on once.

    b = a + a, c = b * a, at a = 3:

    >>> a = Node()
    >>> b = Node([a, a], [1.0, 1.0])
    >>> c = Node([b, a], [3.0, 6.0])
    >>> backward(c)
    >>> c.grad, b.grad, a.grad
    (1.0, 3.0, 12.0)
    """
    raise NotImplementedError
