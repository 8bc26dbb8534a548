"""Images, folders and archives for tests: real layouts, random content."""

import io
import tarfile

import numpy as np
from PIL import Image

from tinyalex.data import ilsvrc

WNIDS = ("n01440764", "n02119789", "n02510455")
DEVKIT_NUMBERS = {1: "n02119789", 2: "n02510455", 3: "n01440764", 1001: "n00001740"}
"""As in 2012, the kit fox precedes the tench; groups of classes start at 1001."""


def image_bytes(seed, size=(24, 18), kind="JPEG", **options):
    """A smooth random image, which JPEG changes little."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (3, 3, 3), np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    file = io.BytesIO()
    if kind != "TIFF":
        options["quality"] = 95
    image.save(file, kind, **options)
    return file.getvalue()


def class_folders(root, train=12, val=4, classes=("cat", "dog")):
    for split, count in (("train", train), ("val", val)):
        for i in range(count):
            file = root / split / classes[i % len(classes)] / f"{i}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(image_bytes(i + 100 * (split == "val")))
    return root


def tar_of(files, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def official_files(root, labels=("n02510455", "n01440764", "n02119789", "n02510455")):
    """The files of ILSVRC2012 with a few random images."""
    from scipy.io import savemat

    root.mkdir()
    inner = {
        f"{wnid}.tar": tar_of({f"{wnid}_{i}.JPEG": image_bytes(10 * w + i) for i in range(4)})
        for w, wnid in enumerate(WNIDS)
    }
    (root / ilsvrc.TRAIN).write_bytes(tar_of(inner))
    names = [f"ILSVRC2012_val_{i + 1:08d}.JPEG" for i in range(len(labels))]
    (root / ilsvrc.VAL).write_bytes(
        tar_of({name: image_bytes(500 + i) for i, name in enumerate(names)})
    )
    synsets = np.array(
        [(number, wnid, "") for number, wnid in DEVKIT_NUMBERS.items()],
        [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")],
    )
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets})
    numbers = {wnid: number for number, wnid in DEVKIT_NUMBERS.items()}
    truth = "".join(f"{numbers[wnid]}\n" for wnid in labels).encode()
    folder = "ILSVRC2012_devkit_t12/data/"
    files = {
        folder + "meta.mat": meta.getvalue(),
        folder + "ILSVRC2012_validation_ground_truth.txt": truth,
    }
    (root / ilsvrc.DEVKIT).write_bytes(tar_of(files, "w:gz"))
    return root


def red_and_green(root, train=40, test=10):
    """train/ and test/ with two classes of 32 x 32 images: red and green noise."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for channel, name in enumerate(("red", "green")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 120, (32, 32, 3)).astype("u1")
                image[..., channel] += 100
                Image.fromarray(image).save(root / split / name / f"{i}.png")
    return root
