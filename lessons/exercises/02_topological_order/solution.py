class Node:
    def __init__(self, inputs=(), derivatives=()):
        self.inputs = inputs
        self.derivatives = derivatives
        self.grad = 0.0


def backward(root):
    order, visited = [], set()

    def visit(node):
        if node in visited:
            return
        visited.add(node)
        for source in node.inputs:
            visit(source)
        order.append(node)  # after all of its inputs

    visit(root)
    root.grad = 1.0
    for node in reversed(order):
        for source, derivative in zip(node.inputs, node.derivatives):
            source.grad += derivative * node.grad
