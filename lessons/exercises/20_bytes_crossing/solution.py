def bytes_crossing(layers, batch_size):
    exchanged = total = 0
    for parameters, inputs, outputs, reads_both in layers:
        total += parameters
        exchanged += inputs if reads_both else 0
        logits = outputs // 2  # in the end, of the last layer
    columns = 2 * 4 * batch_size * (exchanged + logits)
    data = 2 * 4 * total
    return columns, data
