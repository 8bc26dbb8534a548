"""Coverage-guided fuzzing of the parsers that are written here, with atheris.

    python tests/fuzz_atheris.py pickles FOLDER -runs=100000

FOLDER gets the seeds, and what the fuzzer finds: inputs that reach more of the code.
Other options: https://llvm.org/docs/LibFuzzer.html. An input that takes 10 s or 1.5 GB,
or raises anything but ValueError, ends the program with status 77 or 70.
"""

import contextlib
import io
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tinyalex"]):
    from tinyalex import pickles
    from tinyalex.data import tar_files
    from tinyalex.models import image_preprocessing, onnx_sizes, torch_files

from fuzz_formats import TAR_WORDS, write_onnx, write_preprocessing
from made_bombs import BOMBS
from made_images import tar_of
from made_weights import legacy, zipped

LIMITS = ("-timeout=10", "-rss_limit_mb=1500", "-max_len=20000", "-print_final_stats=1")


def read_pickle(content):
    names = {"collections.OrderedDict", "builtins.complex"}
    pickles.load(io.BytesIO(content), names, persistent_load=lambda reference: reference)


def read_tar(content):
    for file in tar_files.tar_files(io.BytesIO(content), 0, len(content)):
        assert len(file.read()) == file.size


def read_pth(content):
    PATH.write_bytes(content)
    for array in torch_files.read_pth(PATH).values():
        assert array.nbytes <= 2 * len(content)  # bfloat16 becomes float32


def read_onnx(content):
    PATH.write_bytes(content)
    onnx_sizes.check_structure(PATH)


def read_preprocessing(content):
    image_preprocessing.Preprocessing.from_text(content.decode())


READERS = {
    "pickles": read_pickle,
    "tar": read_tar,
    "pth": read_pth,
    "onnx": read_onnx,
    "preprocessing": read_preprocessing,
}


def seeds(name, folder):
    match name:
        case "pickles":
            return [bomb[:5000] + b"." for bomb in BOMBS.values()]
        case "tar":
            return [tar_of({"a": b"a", "d/" * 80 + "b": b"b"}), *TAR_WORDS]
        case "pth":
            return [zipped(folder / "zip").read_bytes(), legacy(folder / "legacy").read_bytes()]
        case "onnx":
            return [write_onnx(folder).read_bytes()]
        case "preprocessing":
            return [write_preprocessing(folder).read_bytes()]


def test_one_input(content):
    with contextlib.suppress(ValueError):
        READER(content)


if __name__ == "__main__":
    NAME, FOLDER = sys.argv[1], Path(sys.argv[2])
    READER, PATH = READERS[NAME], FOLDER.with_suffix(".file")
    corpus, scratch = FOLDER / "corpus", FOLDER / "scratch"
    for folder in (corpus, scratch):
        folder.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(seeds(NAME, scratch)):
        (corpus / f"seed{i}").write_bytes(seed)
    atheris.Setup([sys.argv[0], str(corpus), *LIMITS, *sys.argv[3:]], test_one_input)
    atheris.Fuzz()
