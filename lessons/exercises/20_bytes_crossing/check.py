from tinyalex.course import Mistake

HINTS = [
    "Columns: how many values cross for one image before one layer that reads both columns? Each "
    "GPU sends a half of its input, which is the whole input in both directions together. As many "
    "gradients return.",
    "Columns: add the inputs of the layers that read both columns, and half of the outputs of the "
    "last layer; then multiply by the images, by 2 for the gradients, and by 4 bytes. Data: add "
    "the parameters of all layers; both GPUs send as many gradients.",
    "With `exchanged` for the sum of these inputs, `logits` for half of the last outputs, and "
    "`total` for the sum of the parameters:\n\n"
    "    columns = 2 * 4 * batch_size * (exchanged + logits)\n"
    "    data = 2 * 4 * total",
]

PAPER = [
    (34_944, 150_528, 290_400, False),
    (307_456, 69_984, 186_624, False),
    (885_120, 43_264, 64_896, True),
    (663_936, 64_896, 64_896, False),
    (442_624, 64_896, 43_264, False),
    (37_752_832, 9_216, 4_096, True),
    (16_781_312, 4_096, 4_096, True),
    (4_097_000, 4_096, 1_000, True),
]

CASES = [
    ("one layer, whose logits are exchanged", {"layers": [(40, 9, 4, False)], "batch_size": 1}),
    (
        "a second layer, which reads both columns",
        {"layers": [(40, 9, 8, False), (36, 8, 4, True)], "batch_size": 1},
    ),
    ("ten images", {"layers": [(40, 9, 8, False), (36, 8, 4, True)], "batch_size": 10}),
    (
        "a layer that reads its own column only",
        {
            "layers": [(40, 9, 8, False), (24, 6, 12, False), (52, 12, 4, True)],
            "batch_size": 3,
        },
    ),
    ("the network of the paper", {"layers": PAPER, "batch_size": 128}),
    ("the network of the paper, 1024 images", {"layers": PAPER, "batch_size": 1024}),
]

RESULTS = ("columns", "data")


def answer(exercise, layers, batch_size):
    return exercise.bytes_crossing(layers, batch_size)


COLUMNS = "2 * 4 * batch_size * (exchanged + logits)"
DATA = "2 * 4 * total"
IF = "inputs if reads_both else 0"
ADD = "exchanged += inputs if"
LOGITS = "outputs // 2  # in the end, of the last layer"

MISTAKES = [
    Mistake(
        "no gradients of activations",
        {COLUMNS: "4 * batch_size * (exchanged + logits)"},
        "Only the forward pass is counted in `columns`. In the backward pass as many gradients "
        "return.",
    ),
    Mistake(
        "half of each input",
        {ADD: "exchanged += inputs // 2 if"},
        "Half of each input is counted. Each GPU sends a half, and the result is for both "
        "directions together.",
    ),
    Mistake(
        "one GPU",
        {
            COLUMNS: "4 * batch_size * (exchanged + logits)",
            DATA: "4 * total",
        },
        "Both results are half of the right ones: what one of the GPUs sends. Count both "
        "directions together.",
    ),
    Mistake(
        "twice",
        {ADD: "exchanged += 2 * inputs if"},
        "Each input is counted twice in each pass. A GPU sends its own half only: in both "
        "directions together, that is the input once.",
    ),
    Mistake(
        "no logits",
        {LOGITS: "0"},
        "The logits are missing in `columns`: half of the outputs of the last layer, and their "
        "gradients.",
    ),
    Mistake(
        "all logits",
        {LOGITS: "outputs"},
        "All logits are counted. One GPU has its half already, and receives only the other half.",
    ),
    Mistake(
        "logits without their gradients",
        {COLUMNS: "4 * batch_size * (2 * exchanged + logits)"},
        "The gradients of the logits are missing: they return, too.",
    ),
    Mistake(
        "all layers exchange",
        {IF: "inputs"},
        "The inputs of all layers are counted. Only layers with reads_both exchange their input.",
    ),
    Mistake(
        "all layers but the first exchange",
        {
            IF: IF.replace("reads_both", "outputs and (parameters, inputs) != layers[0][:2]"),
        },
        "The inputs of all layers after the first are counted. Only layers with reads_both "
        "exchange their input: the others read their own column.",
    ),
    Mistake(
        "the other layers exchange",
        {IF: IF.replace("reads_both", "not reads_both")},
        "The condition is inverted: the layers with reads_both exchange their input.",
    ),
    Mistake(
        "outputs for inputs",
        {ADD: "exchanged += outputs if"},
        "The outputs of the layers that read both columns are counted. What crosses before such a "
        "layer is its input.",
    ),
    Mistake(
        "images forgotten",
        {COLUMNS: COLUMNS.replace("batch_size * ", "")},
        "`columns` is that of one image. Multiply by batch_size.",
    ),
    Mistake(
        "images in data",
        {DATA: "2 * 4 * batch_size * total"},
        "`data` is multiplied by the number of images. The gradient of a parameter is a sum over "
        "images: one value, whatever their number.",
    ),
    Mistake(
        "half of the gradients",
        {DATA: "4 * total"},
        "`data` is what one GPU sends. Both send all gradients: count both directions together.",
    ),
    Mistake(
        "values, not bytes",
        {COLUMNS: COLUMNS.replace("4 * ", ""), DATA: DATA.replace("4 * ", "")},
        "Both results are numbers of values. A value in float32 has 4 bytes.",
    ),
    Mistake(
        "bits",
        {COLUMNS: COLUMNS.replace("4 * ", "32 * "), DATA: DATA.replace("4 * ", "32 * ")},
        "Both results are in bits. A value in float32 has 32 bits, which are 4 bytes.",
    ),
    Mistake(
        "float64",
        {COLUMNS: COLUMNS.replace("4 * ", "8 * "), DATA: DATA.replace("4 * ", "8 * ")},
        "Both results are twice as large: 8 bytes are a value in float64, or the two directions "
        "are counted twice. A value in float32 has 4 bytes.",
    ),
    Mistake(
        "exchanged",
        {"return columns, data": "return data, columns"},
        "The two results are exchanged: return (columns, data).",
    ),
    Mistake(
        "parameters of exchanging layers",
        {
            "total += parameters": "total += parameters if reads_both else 0",
        },
        "`data` counts the parameters of the layers with reads_both only. All gradients cross.",
    ),
]

WRITES_BACKWARD = False
gradient = None
