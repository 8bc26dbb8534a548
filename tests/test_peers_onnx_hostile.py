"""ONNX files from the internet that ask for much memory or time."""

import numpy as np
import pytest
from limits import limited

from tinyalex.models.onnx_files import read_onnx
from tinyalex.models.onnx_sizes import check_structure

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.peers


def write(path, nodes, tensors):
    graph = onnx.helper.make_graph(nodes, "g", [], [], initializer=tensors)
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    return path


def tensor(name, values):
    return onnx.numpy_helper.from_array(values, name)


def node(kind, inputs, output):
    return onnx.helper.make_node(kind, inputs, [output])


@pytest.mark.parametrize(
    "make",
    [
        lambda: (
            [node("MatMul", ["x", "w"], f"y{i}") for i in range(20_000)]
            + [node("Add", [f"y{i}", "b"], f"z{i}") for i in range(20_000)],
            [tensor("w", np.ones((2, 3), np.float32)), tensor("b", np.ones(3, np.float32))],
        ),
        lambda: (
            [node("Conv", ["x", *["w"] * 100_000], "y")],
            [tensor("w", np.ones((1000, 100), np.float16))],
        ),
    ],
    ids=["20,000 sums", "one constant 100,000 times"],
)
def test_the_time_grows_with_the_size_of_the_graph(make, tmp_path):
    path = write(tmp_path / "x.onnx", *make())
    assert limited(lambda: set(read_onnx(path)[0])) <= {"w", "b"}


def test_millions_of_empty_messages_are_refused_before_they_are_parsed(tmp_path):
    nodes = b"\x0a\x00" * (3 << 19)
    length = bytes([len(nodes) >> 7 * i & 127 | 128 for i in range(3)]) + bytes([len(nodes) >> 21])
    (tmp_path / "x.onnx").write_bytes(b"\x08\x08\x3a" + length + nodes)
    with pytest.raises(ValueError, match="more than 2 MiB besides the values of its tensors"):
        read_onnx(tmp_path / "x.onnx")


def test_large_tensors_are_read(tmp_path):
    w = np.arange(3 << 20, dtype=np.float32).reshape(3, -1)
    raw, floats = tensor("w", w), onnx.helper.make_tensor("b", 1, w.shape, w.ravel())
    constant = onnx.helper.make_node("Constant", [], ["c"], value=raw)
    nodes = [constant, node("Conv", ["x", "w", "b", "c"], "y")]
    weights, _ = read_onnx(write(tmp_path / "x.onnx", nodes, [raw, floats]))
    assert [np.array_equal(weights[name], w) for name in "wbc"] == [True] * 3


@pytest.mark.parametrize("end", [b"\x3a\xff\xff\xff\xff\x07", b"\xff" * 20, b"\x3b", b"\x38"])
def test_a_damaged_large_file_is_refused(end, tmp_path):
    (tmp_path / "x.onnx").write_bytes(
        b"\x08\x08\x3a\x84\x80\x80\x06\x2a\x80\x80\x80\x06" + bytes(12 << 20) + end
    )
    with pytest.raises(ValueError, match="damaged"):
        check_structure(tmp_path / "x.onnx")
