"""Convert images to shards: tar files of JPEGs whose shorter side is 256 pixels.

  tinyalex prepare photos/ shards/       photos/train/cat/1.jpg, photos/val/cat/2.jpg
                                         or photos/cat/1.jpg (a tenth for validation)
  tinyalex prepare ILSVRC2012/ shards/   the official tar files as downloaded, with the
                                         devkit or Kaggle's LOC_val_solution.csv

An interrupted run resumes when it is started again. Images that cannot be read are left
out, and listed at the end.
"""

import argparse

from tinyalex.cli.options import Commands, add_command, file_path, positive_integer


def add_parser(commands: Commands) -> None:
    p = add_command(commands, "prepare", run, __doc__)
    p.add_argument(
        "source",
        type=file_path,
        metavar="SOURCE",
        help="the folder with the images or the official tar files, or a tar file of class folders",
    )
    p.add_argument("out", type=file_path, metavar="OUT", help="the folder for the shards")
    for option, default, metavar, text in (
        ("--size", 256, "S", "pixels of the shorter side"),
        ("--quality", 90, "Q", "of the JPEG files, from 1 to 95"),
        ("--per-shard", 1000, "N", "images in a shard"),
    ):
        p.add_argument(
            option,
            type=positive_integer,
            default=default,
            metavar=metavar,
            help=f"{text} (default {default})",
        )


def run(args: argparse.Namespace) -> int:
    from tinyalex.data.preparing import Options, prepare
    from tinyalex.data.text_files import printable

    index = prepare(args.source, args.out, Options(args.size, args.quality, args.per_shard))
    for entry in index["skipped"]:
        print(f"left out: {printable(entry['name'])}: {printable(entry['error'])}")
    classes, shards, skipped = (len(index[key]) for key in ("classes", "shards", "skipped"))
    print(f"{classes} classes, {shards} shards in {args.out}, {skipped} images left out")
    return 0
