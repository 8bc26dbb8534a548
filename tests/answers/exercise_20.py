SUMS = """
def bytes_crossing(layers, batch_size):
    values = sum(inputs for _, inputs, _, reads_both in layers if reads_both)
    values += layers[-1][2] / 2
    forward = 4 * batch_size * values
    return int(forward + forward), 8 * sum(layer[0] for layer in layers)
"""

LOOP = """
def bytes_crossing(layers, batch_size):
    columns = 0
    data = 0
    for i, layer in enumerate(layers):
        parameters, inputs, outputs, reads_both = layer
        if reads_both:
            columns += inputs  # both halves
            columns += inputs           # their gradients
        if i == len(layers) - 1:
            columns += outputs // 2 + outputs // 2
        data += 2 * parameters
    return columns * batch_size * 4, data * 4
"""

RIGHT = [SUMS, LOOP]

WRONG = [
    ("no gradients of activations", SUMS.replace("forward + forward", "forward")),
    ("one GPU", SUMS.replace("forward + forward", "forward").replace("8 * sum", "4 * sum")),
    ("no logits", SUMS.replace("    values += layers[-1][2] / 2\n", "")),
    ("all logits", SUMS.replace(" / 2\n", "\n")),
    ("logits without their gradients", LOOP.replace("outputs // 2 + outputs // 2", "outputs // 2")),
    ("all layers exchange", SUMS.replace(" if reads_both", "")),
    ("all layers exchange", LOOP.replace("if reads_both", "if True")),
    ("all layers but the first exchange", LOOP.replace("if reads_both", "if i > 0")),
    (
        "outputs for inputs",
        LOOP.replace("+= inputs  ", "+= outputs  "),
    ),
    ("images forgotten", LOOP.replace(" * batch_size", "")),
    ("images in data", LOOP.replace("data * 4", "data * batch_size * 4")),
    ("half of the gradients", LOOP.replace("2 * parameters", "parameters")),
    ("values, not bytes", LOOP.replace("* 4", "")),
    ("half of each input", SUMS.replace("sum(inputs for", "sum(inputs // 2 for")),
    (
        "parameters of exchanging layers",
        SUMS.replace("layer in layers)", "layer in layers if layer[3])"),
    ),
]
