"""One framework a file. Each has a class `Contender`:

Contender(network, args)           builds the network (networks.py describes it) on the CPU
weights()                          a list of writable NumPy views (out, ...) and (out,) of its parameters, layer by layer
ready(images, labels, settings)    moves all to the device and makes the optimizer; `settings`: lr, momentum, weight_decay
train()                            a step: forward with dropout, softmax cross-entropy, backward, SGD with momentum and weight decay
infer()                            forward alone, nothing kept for a backward pass
loss(count)                        of the first `count` images, without dropout
wait()                             until the device has done what it was asked to
peak_memory()                      of a GPU in bytes; None on the CPU, where that of the process counts
versions()                         of the libraries that compute
layers()                           (tinyalex and torch) {layer: [forward, backward]} in seconds, of one step
"""
