"""Exercise 2: the backward pass through a graph, in topological order.

Lesson 2 showed what happens if a gradient is passed on before it is complete.
"""


class Node:
    """A number that was computed from others. This class is complete.

    inputs       the Nodes it was computed from; one can occur twice, as in a * a
    derivatives  for each input, the derivative of this number with respect to it
    grad         the derivative of the final result with respect to this number
    """

    def __init__(self, inputs=(), derivatives=()):
        self.inputs = inputs
        self.derivatives = derivatives
        self.grad = 0.0


def backward(root):
    """Set `root.grad` to 1, and compute the `grad` of all Nodes it was computed from.

        grad of a Node = sum over all its uses of   derivative there * grad of the user

    A use is an occurrence of the Node among the inputs of another, its user. The sum
    must be complete before it is passed on, and each Node passes it on once.

    b = a + a, c = b * a, at a = 3:

    >>> a = Node()
    >>> b = Node([a, a], [1.0, 1.0])
    >>> c = Node([b, a], [3.0, 6.0])
    >>> backward(c)
    >>> c.grad, b.grad, a.grad
    (1.0, 3.0, 12.0)
    """
    raise NotImplementedError
