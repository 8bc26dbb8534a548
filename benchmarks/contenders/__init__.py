"""One framework per file. Each has a class `Contender`:

Contender(network, args)         builds the network of networks.py, on the CPU
weights()                        writable NumPy views of its parameters, in order
ready(images, labels, settings)  moves all to the device, creates the optimizer
                                 (settings: lr, momentum, weight_decay)
train()                          a step: forward, softmax cross-entropy, backward, SGD;
                                 ValueError if the framework only infers
infer()                          forward without a graph
loss(count)                      of the first `count` images, without dropout
wait()                           synchronises with the device
peak_memory()                    of a GPU in bytes; None on the CPU
versions()                       of the libraries that compute
layers()                         (tinyalex, torch) {layer: [forward, backward]}, seconds
"""
