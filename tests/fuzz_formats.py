"""The formats that tinyalex reads, with small valid files, for tests/fuzzing.py."""

import gzip
import io
import json
import zipfile

import numpy as np
from fuzzing import Format
from made_bombs import BOMBS
from made_cifar import make_archive, make_folder
from made_images import class_folders, image_bytes, official_files, tar_of
from made_weights import ARRAYS, legacy, zipped

import tinyalex as ta
from tinyalex import data, models, nn, optim, serialization, training
from tinyalex.data import ilsvrc
from tinyalex.data.decoding import decode
from tinyalex.data.imagenette_archive import unpack
from tinyalex.data.preparing import Options, prepare
from tinyalex.models import Preprocessing
from tinyalex.models.prediction import read_names

RNG = np.random.default_rng(0)


# Weights


def check_arrays(arrays):
    assert all(isinstance(name, str) and isinstance(a, np.ndarray) for name, a in arrays.items())
    assert sum(a.nbytes for a in arrays.values()) < 1 << 24


def read_weights(folder, file):
    check_arrays(models.read_weights(file).arrays)


def write_safetensors(folder):
    ta.save(folder / "w", ARRAYS, {"variant": "paper", "image_size": "67", "classes": '["a"]'})
    return folder / "w"


def header_of(content):
    return content[8 : 8 + int.from_bytes(content[:8], "little")]


def with_header(content, header):
    rest = content[8 + int.from_bytes(content[:8], "little") :]
    return len(header).to_bytes(8, "little") + header + rest


HEADER_WORDS = (
    b'"F16"',
    b'"BF16"',
    b'"U64"',
    b'"shape":[]',
    b'"data_offsets":[0,0]',
    b"__metadata__",
)


def pickle_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read("any/data.pkl")


def with_pickle(content, pickle):
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, pickle if entry == "any/data.pkl" else old.read(entry))
    return file.getvalue()


OPCODES = (
    b"(",
    b"t",
    b"0",
    b"1",
    b"2",
    b"\x94",
    b"h\0",
    b"q\0",
    b"}",
    b"]",
    b")",
    b"R",
    b"b",
    b"Q",
)
OPCODES += (b"\x85", b"\x86", b"\x93", b"a", b"e", b"s", b"u", b".", *BOMBS.values())
OPCODES = tuple(code[:20_000] for code in OPCODES if code)


def write_checkpoint(folder):
    state = run().state_dict()
    serialization.save(folder / "checkpoint.safetensors", state)
    return folder / "checkpoint.safetensors"


def run():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    return training.checkpoint.Run(
        model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), None, {"data": "x", "lr": 0.1}
    )


def read_checkpoint(folder, file):
    restored = run()
    restored.load_checkpoint(file)
    assert restored.model.state_dict()["1.weight"].shape == (3, 12)
    assert restored.progress.step >= 0


def structure_of(content):
    return json.loads(header_of(content))["__metadata__"][serialization.STRUCTURE].encode()


def with_structure(content, structure):
    """The checkpoint with another structure, and the checksum of that."""
    header = json.loads(header_of(content))
    text = structure.decode()
    tensors = {
        name: np.frombuffer(
            content[8 + len(header_of(content)) :][slice(*entry["data_offsets"])],
            {"F32": "f4", "F64": "f8", "I64": "i8"}[entry["dtype"]],
        ).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }
    metadata = {serialization.STRUCTURE: text}
    metadata[serialization.CHECKSUM] = serialization._checksum(metadata, tensors)
    header["__metadata__"] = metadata
    return with_header(content, json.dumps(header).encode())


def write_preprocessing(folder):
    (folder / "image.jpg").write_bytes(image_bytes(0, (90, 70)))
    (folder / "text").write_text(models.preprocessing("torchvision", 67).to_text())
    return folder / "text"


def read_preprocessing(folder, file):
    preprocess = Preprocessing.from_text(file.read_text("utf-8"))
    pixels = preprocess(folder / "image.jpg")
    assert pixels.nbytes < 1 << 26


# Images


def write_image(kind, **options):
    def write(folder):
        (folder / "image").write_bytes(image_bytes(1, (40, 30), kind, **options))
        return folder / "image"

    return write


def read_image(folder, file):
    pixels = np.asarray(decode(file.read_bytes()))
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


def read_dataset(datasets):
    for split in datasets:
        assert split.images.dtype == np.uint8
        assert split.images.shape[1:] == (3, 32, 32)
        assert len(split.images) == len(split.labels)
        assert all(0 <= label < len(split.classes) for label in split.labels)


def write_cifar(kind, name):
    images = RNG.integers(0, 256, (18, 3, 32, 32), np.uint8)

    def write(folder):
        return make_folder(folder, kind, (images, np.arange(18) % 10)) / name

    return write


def write_cifar_archive(folder):
    images = RNG.integers(0, 256, (18, 3, 32, 32), np.uint8)
    return make_archive(folder, "binary", (images, np.arange(18) % 10))


def read_cifar(folder, file):
    read_dataset(data.cifar10(file.parent))


def read_cifar_archive(folder, file):
    read_dataset(data.cifar10(file))


# Archives and shards


def with_checksums(archive):
    """The tar archive with the checksum of each block that seems to be a header."""
    blocks = bytearray(archive)
    for start in range(0, len(blocks) - 511, 512):
        if blocks[start + 257 : start + 262] == b"ustar":
            blocks[start + 148 : start + 156] = b" " * 8
            total = sum(blocks[start : start + 512])
            blocks[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(blocks)


TAR_WORDS = tuple(b"%c" % kind for kind in b"01234567gxLKSVMD")
TAR_WORDS += (b"\x80" + b"\xff" * 11, b"77777777777\0", b"00000000000\0", b"20 size=99999999999\n")
TAR_WORDS += (b"24 GNU.sparse.major=1\n\0", b"13 path=../a\n", b"ustar\0", b"\0" * 512)


def write_shards(folder):
    prepare(
        class_folders(folder / "photos", 4, 2), folder / "out", Options(16, 90, 10), progress=False
    )
    return folder / "out"


def check_source(root):
    source = data.find_images(root)
    for record in (*source.train, *source.val):
        assert 0 <= record.label < len(source.classes)
    images = data.StoredImages(source.train, source.classes, 16, workers=1)
    pixels, labels, _ = images.read(np.arange(len(source.train))[:3])
    assert pixels.shape[1:] == (3, 16, 16)
    assert labels.tolist() == [record.label for record in source.train[:3]]
    source.digest()


def read_shards(folder, file):
    check_source(folder / "out")


def write_official(folder):
    return official_files(folder / "official") / ilsvrc.TRAIN


def read_official(folder, file):
    check_source(folder / "official")


def write_imagenette(folder):
    photos = {f"imagenette/train/n1/{i}.JPEG": image_bytes(i) for i in range(3)}
    (folder / "imagenette.tgz").write_bytes(tar_of(photos, "w:gz"))
    return folder / "imagenette.tgz"


def read_imagenette(folder, file):
    import shutil

    try:
        unpack(file, folder / "unpacked")
    finally:
        shutil.rmtree(folder / "unpacked", ignore_errors=True)


def write_names(folder):
    (folder / "names.txt").write_text("cat\ndog\nhorse\n")
    return folder / "names.txt"


def check_names(folder, file):
    names = read_names(file)
    assert all(name == name.strip() and name.isprintable() for name in names)


def write_onnx(folder):
    from tinyalex.models.onnx_export import export_onnx

    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    export_onnx(net, folder / "net.onnx", 4)
    return folder / "net.onnx"


def gz(whole, part):
    return gzip.compress(with_checksums(part), 1)


FORMATS = [
    Format("weights.safetensors", write_safetensors, read_weights),
    Format(
        "weights.safetensors, header", write_safetensors, read_weights,
        header_of, with_header, HEADER_WORDS,
    ),
    Format("weights.pth", lambda folder: zipped(folder / "w.pth"), read_weights),
    Format(
        "weights.pth, pickle", lambda folder: zipped(folder / "w.pth"), read_weights,
        pickle_of, with_pickle, OPCODES,
    ),
    Format("weights.pth, legacy", lambda folder: legacy(folder / "w.pth"), read_weights, tokens=OPCODES),
    Format("checkpoint.safetensors", write_checkpoint, read_checkpoint),
    Format(
        "checkpoint.safetensors, structure", write_checkpoint, read_checkpoint,
        structure_of, with_structure, (b'{"value":1}', b'{"list":[]}', b'{"dict":{}}', b'"tensor"'),
    ),
    Format(
        "weights.safetensors, values", write_safetensors, read_weights,
        header_of, with_header, is_json=True,
    ),
    Format(
        "checkpoint.safetensors, values", write_checkpoint, read_checkpoint,
        structure_of, with_structure, is_json=True,
    ),
    Format("preprocessing, values", write_preprocessing, read_preprocessing, is_json=True),
    Format("preprocessing", write_preprocessing, read_preprocessing, tokens=(b'"size": 9999999', b"0.0")),
    Format("class names", write_names, check_names),
    Format("image.jpg", write_image("JPEG"), read_image),
    Format("image.png", write_image("PNG"), read_image),
    Format("image.webp", write_image("WEBP"), read_image),
    Format("image.gif", write_image("GIF"), read_image),
    Format("image.bmp", write_image("BMP"), read_image),
    Format("image.ppm", write_image("PPM"), read_image),
    Format("image.tiff", write_image("TIFF", compression="tiff_deflate"), read_image),
    Format("data_batch_1", write_cifar("python", "data_batch_1"), read_cifar, tokens=OPCODES),
    Format("data_batch_1.bin", write_cifar("binary", "data_batch_1.bin"), read_cifar),
    Format("cifar-10.tar.gz", write_cifar_archive, read_cifar_archive),
    Format(
        "cifar-10.tar.gz, archive", write_cifar_archive, read_cifar_archive,
        gzip.decompress, gz, TAR_WORDS,
    ),
    Format("imagenette.tgz", write_imagenette, read_imagenette, gzip.decompress, gz, TAR_WORDS),
    Format(
        "shard.tar", lambda folder: write_shards(folder) / "train-00000.tar", read_shards,
        wrap=lambda whole, part: with_checksums(part), tokens=TAR_WORDS,
    ),
    Format(
        "index.json, values", lambda folder: write_shards(folder) / "index.json", read_shards,
        is_json=True,
    ),
    Format("index.json", lambda folder: write_shards(folder) / "index.json", read_shards),
    Format(
        "ILSVRC2012.tar", write_official, read_official,
        wrap=lambda whole, part: with_checksums(part), tokens=TAR_WORDS,
    ),
    Format(
        "ILSVRC2012, devkit", lambda folder: write_official(folder).parent / ilsvrc.DEVKIT,
        read_official, gzip.decompress, gz, TAR_WORDS,
    ),
]  # fmt: skip

ONNX = Format("network.onnx", write_onnx, read_weights)
"""Needs the package onnx."""
