import numpy as np

from tinyalex.course import Mistake

HINTS = [
    "Two steps. First put all Nodes in an order in which each comes before its inputs. Then go "
    "through them in this order, and let each Node add its contribution to the grad of its inputs.",
    "For the order: visit(node) first visits the node's inputs, then appends the node to a list. "
    "A set of visited Nodes prevents visiting one twice. The list starts with the Nodes that were "
    "computed first: backward reads it from the end.",
    "After visit(root), with root.grad = 1.0:\n\n"
    "    for node in reversed(order):\n"
    "        for source, derivative in zip(node.inputs, node.derivatives):\n"
    "            source.grad += derivative * node.grad",
]

CHAIN = {"a": [], "b": [("a", 2.0)], "c": [("b", 5.0)]}
TWICE = {"a": [], "b": [("a", 3.0), ("a", 3.0)]}
EARLY = {"a": [], "b": [("a", 2.0)], "c": [("b", 3.0), ("a", 10.0)]}
LATE = {"a": [], "b": [("a", 2.0)], "c": [("a", 10.0), ("b", 3.0)], "d": [("b", 1.0), ("c", 7.0)]}
# b has two uses of a, and the paths through c and f contribute equally. If b's count as
# one, a is visited before one of these paths has arrived, with a stack or with a queue.
SHARED = {
    "x": [],
    "a": [("x", 2.0)],
    "b": [("a", 3.0), ("a", 5.0)],
    "c": [("a", 7.0)],
    "d": [("a", 7.0)],
    "e": [("d", 1.0)],
    "f": [("e", 1.0)],
    "g": [("c", 11.0), ("b", 13.0), ("f", 11.0)],
}
DOUBLED = {"x0": []} | {f"x{i + 1}": [(f"x{i}", 1.0), (f"x{i}", 1.0)] for i in range(40)}

# A graph maps each Node's name to its (input, derivative) pairs. The last is the root.
CASES = [
    ("grad of a, b, c in a chain", {"graph": CHAIN}),
    ("grad of a, b where b = a * a", {"graph": TWICE}),
    ("grad of a, b, c where a is used early and late", {"graph": EARLY}),
    ("grad of a, b, c, d where two paths meet", {"graph": LATE}),
    ("grad of x, a, ... where b = a * a, and a has other users, too", {"graph": SHARED}),
    ("grad of x0, x1, ... where each is the previous one plus itself", {"graph": DOUBLED}),
]

RESULTS = ("grad",)

MAX_READS = 1000


def answer(exercise, graph):
    class Counted(exercise.Node):
        reads = 0

        @property
        def inputs(self):
            self.reads += 1
            if self.reads > MAX_READS:
                raise RuntimeError(
                    f"the inputs of one Node were read more than {MAX_READS} times; expected each "
                    "Node to pass its grad on once"
                )
            return self._inputs

        @inputs.setter
        def inputs(self, inputs):
            self._inputs = inputs

    nodes = {}
    for name, uses in graph.items():
        inputs = [nodes[source] for source, _ in uses]
        nodes[name] = Counted(inputs, [derivative for _, derivative in uses])
    exercise.backward(nodes[name])
    return np.array([node.grad for node in nodes.values()])


WALK = "visit(root)\n    root.grad = 1.0\n    for node in reversed(order):"

COUNT = """visit(root)
    waiting = dict.fromkeys(order, 0)
    for node in order:
        for source in COUNTED:
            waiting[source] += 1
    root.grad, ready = 1.0, [root]
    while ready:
        node = ready.pop()"""

COUNT_DOWN = """derivative * node.grad
            waiting[source] -= 1
            if waiting[source] == 0:
                ready.append(source)"""

MISTAKES = [
    Mistake(
        "= for +=",
        {"source.grad +=": "source.grad ="},
        "A Node that is used several times keeps only the contribution of its last use. "
        "Contributions are summed: += instead of =.",
    ),
    Mistake(
        "root without 1",
        {"root.grad = 1.0": "pass"},
        "All gradients are 0, since the root's is. Start with root.grad = 1.0, the derivative of "
        "the result with respect to itself.",
    ),
    Mistake(
        "inputs before users",
        {"reversed(order)": "order"},
        "The order runs from the inputs to the root, so grads are passed on before anything has "
        "arrived. The backward pass starts at the root.",
    ),
    Mistake(
        "passed on too early",
        {
            "visited.add(node)": "visited.add(node)\n        order.append(node)",
            "        order.append(node)  # after all of its inputs\n": "",
            "reversed(order)": "order",
        },
        "A Node passed its grad on before all of its uses had contributed. The order in which "
        "Nodes are found is not sufficient: append a Node after all of its inputs have been "
        "visited, and read the list from its end.",
    ),
    Mistake(
        "passed on several times",
        {"if node in visited:": "if False:"},
        "A Node that is reached by several paths passed its grad on once for each, including what "
        "it had passed on before. Keep a set of the Nodes that have been visited.",
    ),
    Mistake(
        "passed on at each arrival",
        {
            WALK: "def walk(node):",
            "derivative * node.grad": "derivative * node.grad\n            walk(source)\n"
            "    root.grad = 1.0\n    walk(root)",
        },
        "Each time a Node receives a contribution it passes its whole grad on, including what it "
        "had passed on before. Compute the order first; then each Node passes its grad on once, "
        "when it is complete.",
    ),
    Mistake(
        "each user counted once",
        {
            WALK: COUNT.replace("COUNTED", "set(node.inputs)"),
            "derivative * node.grad": COUNT_DOWN,
        },
        "A Node passed its grad on before all of its uses had contributed: each user was counted "
        "once, but subtracted once per use. A Node that occurs twice among the inputs of one user "
        "has two uses there: count each occurrence in node.inputs.",
    ),
    Mistake(
        "path by path",
        {
            WALK: "def walk(node, grad):\n        node.grad += grad",
            "source.grad += derivative * node.grad": "walk(source, derivative * grad)\n"
            "    walk(root, 1.0)",
        },
        "The results are right, but each path from the root is followed separately, and here "
        "their number doubles with each addition: 2**40 paths. Let a Node sum the contributions "
        "of all its uses first, and pass the sum on once.",
    ),
]

WRITES_BACKWARD = False
gradient = None
