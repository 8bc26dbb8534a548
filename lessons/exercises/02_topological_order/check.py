import numpy as np

from tinyalex.learning import Mistake

HINTS = [
    "Two steps. First put all Nodes into an order in which each comes before its inputs. Then walk along it, and let each Node "
    "add its share to the grad of its inputs.",
    "For the order: visit(node) first visits the node's inputs, then appends the node to a list; a set of Nodes that have been "
    "visited keeps it from doing one twice. The list begins with what was computed first: backward walks it from its end.",
    "After visit(root), with root.grad = 1.0:\n\n"
    "    for node in reversed(order):\n"
    "        for source, slope in zip(node.inputs, node.slopes):\n"
    "            source.grad += slope * node.grad",
]

CHAIN = {"a": [], "b": [("a", 2.0)], "c": [("b", 5.0)]}
TWICE = {"a": [], "b": [("a", 3.0), ("a", 3.0)]}
EARLY = {"a": [], "b": [("a", 2.0)], "c": [("b", 3.0), ("a", 10.0)]}
LATE = {"a": [], "b": [("a", 2.0)], "c": [("a", 10.0), ("b", 3.0)], "d": [("b", 1.0), ("c", 7.0)]}
DOUBLED = {"x0": []} | {f"x{i + 1}": [(f"x{i}", 1.0), (f"x{i}", 1.0)] for i in range(40)}

# Each graph has its Nodes by name, with the inputs and slopes of each; the last is the root.
CASES = [
    ("grad of a, b, c in a chain", {"graph": CHAIN}),
    ("grad of a, b where b = a * a", {"graph": TWICE}),
    ("grad of a, b, c where a is used early and late", {"graph": EARLY}),
    ("grad of a, b, c, d where two paths meet", {"graph": LATE}),
    ("grad of x0, x1, ... where each is the one before it plus itself", {"graph": DOUBLED}),
]

RESULTS = ("grad",)


def answer(exercise, graph):
    class Counted(exercise.Node):
        reads = 0

        @property
        def inputs(self):
            self.reads += 1
            if self.reads > 1000:
                raise RuntimeError(
                    "the inputs of one Node were read more than 1000 times; each Node passes its grad on once"
                )
            return self.kept

        @inputs.setter
        def inputs(self, inputs):
            self.kept = inputs

    nodes = {}
    for name, uses in graph.items():
        nodes[name] = Counted([nodes[source] for source, _ in uses], [slope for _, slope in uses])
    exercise.backward(nodes[name])
    return np.array([node.grad for node in nodes.values()])


MISTAKES = [
    Mistake(
        "= for +=",
        {"source.grad +=": "source.grad ="},
        "A Node that is used several times keeps only what the last use sent. All uses add up: += instead of =.",
    ),
    Mistake(
        "root without 1",
        {"root.grad = 1.0": "pass"},
        "Nothing arrives, since nothing is sent: begin with root.grad = 1. The result changes as fast as itself.",
    ),
    Mistake(
        "from the inputs on",
        {"reversed(order)": "order"},
        "The order runs from the first inputs to the root, so that grads are passed on before anything has arrived. Backward "
        "begins at the root.",
    ),
    Mistake(
        "passed on too early",
        {
            "seen.add(node)": "seen.add(node)\n        order.append(node)",
            "        order.append(node)  # after all that it was computed from\n": "",
            "reversed(order)": "order",
        },
        "A Node passed its grad on before all of its uses had sent theirs. The order in which Nodes are found is not good enough: "
        "append a Node after all of its inputs have been visited, and walk that list from its end.",
    ),
    Mistake(
        "one passes on several times",
        {"if node in seen:": "if False:"},
        "A Node that is reached by several paths passed its grad on once for each, and the second time it sends again what it "
        "sent before. Keep a set of the Nodes that have been visited.",
    ),
    Mistake(
        "walked on at once",
        {
            "visit(root)\n    root.grad = 1.0\n    for node in reversed(order):": "def walk(node):",
            "slope * node.grad": "slope * node.grad\n            walk(source)\n    root.grad = 1.0\n    walk(root)",
        },
        "Each time something arrives at a Node, it passes on all that it has, with what it had sent before. Make the order first; "
        "then each Node passes its grad on once, when it is complete.",
    ),
    Mistake(
        "path by path",
        {
            "visit(root)\n    root.grad = 1.0\n    for node in reversed(order):": "def walk(node, share):\n        node.grad += share",
            "            source.grad += slope * node.grad": "            walk(source, slope * share)\n    walk(root, 1.0)",
        },
        "The numbers are right, but every path from the root is walked by itself, and their count doubles with each addition "
        "here: 2**40 of them. Let a Node collect the shares of all its uses first, and pass the sum on once.",
    ),
]
