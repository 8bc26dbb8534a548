"""Random layers for the fuzz tests; their sizes and options may be invalid."""

from hypothesis import strategies as st

DTYPES = st.sampled_from(["float32", "float64"])


def pairs(low, high):
    """An integer, or two."""
    integer = st.integers(low, high)
    return st.one_of(integer, st.tuples(integer, integer))


@st.composite
def convolutions(draw):
    """(shapes of x, w, b; options of conv2d)."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, filters = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    image = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    batch = draw(st.sampled_from([(), (0,), (1,), (3,)]))
    padding = draw(st.one_of(pairs(0, 3), st.sampled_from(["same", "valid"])))
    options = {
        "stride": draw(pairs(1, 3)),
        "padding": padding,
        "dilation": draw(pairs(1, 3)),
        "groups": groups,
    }
    shapes = [(*batch, channels, *image), (filters, channels // groups, *kernel), (filters,)]
    return shapes[: draw(st.integers(2, 3))], options


@st.composite
def pools(draw, dilated):
    """(shape of x, options of max_pool2d or avg_pool2d)."""
    batch = draw(st.sampled_from([(), (0,), (1,), (3,)]))
    shape = (*batch, draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    options = {
        "kernel_size": draw(pairs(1, 4)),
        "stride": draw(st.one_of(st.none(), pairs(1, 4))),
        "padding": draw(pairs(0, 2)),
        "ceil_mode": draw(st.booleans()),
    }
    if dilated:
        options["dilation"] = draw(pairs(1, 3))
    else:
        options["count_include_pad"] = draw(st.booleans())
        options["divisor_override"] = draw(st.sampled_from([None, None, 1, 7, -2]))
    return shape, options
