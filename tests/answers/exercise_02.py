COUNT_THE_USES = """
class Node:
    def __init__(self, inputs=(), derivatives=()):
        self.inputs, self.derivatives, self.grad = inputs, derivatives, 0.0

def backward(root):
    uses = {root: 0}
    todo = [root]
    while todo:
        node = todo.pop()
        for source in node.inputs:
            if source not in uses:
                uses[source] = 0
                todo.append(source)
            uses[source] += 1
    root.grad = 1.0
    ready = [root]
    while ready:
        node = ready.pop()
        for i in range(len(node.inputs)):
            source = node.inputs[i]
            source.grad = source.grad + node.derivatives[i] * node.grad
            uses[source] -= 1
            if uses[source] == 0:
                ready.append(source)
"""

RIGHT = [COUNT_THE_USES]

USERS = COUNT_THE_USES.replace(
    """            uses[source] += 1
""",
    """        for source in set(node.inputs):
            uses[source] += 1
""",
)

WRONG = [
    ("= for +=", COUNT_THE_USES.replace("source.grad + node", "node")),
    ("each user counted once", USERS),
    ("each user counted once", USERS.replace("ready.pop()", "ready.pop(0)")),
    (
        "each user counted once",
        USERS.replace("in range(len(node.inputs))", "in range(len(node.inputs))[::-1]"),
    ),
    (
        "path by path",
        """
class Node:
    def __init__(self, inputs=(), derivatives=()):
        self.inputs, self.derivatives, self.grad = inputs, derivatives, 0.0

def backward(root, grad=1):
    root.grad += grad
    for i, node in enumerate(root.inputs):
        backward(node, grad * root.derivatives[i])
""",
    ),
]
