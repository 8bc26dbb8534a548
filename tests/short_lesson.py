"""Run a lesson with short training: `python short_lesson.py LESSON [OPTION ...]`.

An epoch has two batches, and claims about the result of training are not checked.
"""

import runpy
import sys
from itertools import islice

from tinyalex import data
from tinyalex.course import lesson

BATCHES = 2

epoch = data.Loader.epoch
data.Loader.epoch = lambda *arguments: islice(epoch(*arguments), BATCHES)
lesson.claim = lambda text, holds: print(text, bool(holds))

if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
