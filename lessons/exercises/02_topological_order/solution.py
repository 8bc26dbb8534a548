class Node:
    def __init__(self, inputs=(), slopes=()):
        self.inputs = inputs
        self.slopes = slopes
        self.grad = 0.0


def backward(root):
    order, seen = [], set()

    def visit(node):
        if node in seen:
            return
        seen.add(node)
        for source in node.inputs:
            visit(source)
        order.append(node)  # after all that it was computed from

    visit(root)
    root.grad = 1.0
    for node in reversed(order):
        for source, slope in zip(node.inputs, node.slopes):
            source.grad += slope * node.grad
