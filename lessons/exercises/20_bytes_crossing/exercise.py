"""Exercise 20: the bytes that cross between two GPUs in a training step.

Lesson 20 computed them for the network of the paper. Here you compute them for any
network, in both ways of using two GPUs.
"""


def bytes_crossing(layers, batch_size):
    """The bytes that cross in a step, in both directions together, in float32.

    layers      a list of the layers with parameters, in the order of computation. A
                layer is a tuple (parameters, inputs, outputs, reads_both):

        parameters  the number of its parameters
        inputs      the number of values of its input, for one image
        outputs     the number of values of its output, for one image
        reads_both  True if it reads the outputs of both columns. The first layer reads
                    images, which both GPUs have: False

    batch_size  the number of images in a step

    Returns (columns, data):

        columns  the network is divided into two columns. Before a layer that reads both
                 columns, each GPU sends its half of the layer's input to the other;
                 later the gradients return. The last layer computes the logits: one GPU
                 sends its half of them, and receives their gradient.
        data     each GPU has the whole network and half of the images, and sends its
                 gradients of all parameters to the other

    A value in float32 has 4 bytes.

    >>> bytes_crossing([(40, 9, 8, False), (36, 8, 4, True)], batch_size=10)
    (800, 608)
    """
    raise NotImplementedError
