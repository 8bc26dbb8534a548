def layer_cost(size, c, f, k, stride=1, padding=0, groups=1):
    out = (size + 2 * padding - k) // stride + 1
    products = c // groups * k * k
    parameters = f * products + f
    multiply_adds = f * out * out * products
    return out, parameters, multiply_adds
