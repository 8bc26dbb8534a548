"""Runs a function in a process with limits: time, memory, files and programs."""

import multiprocessing
import os
import pickle
import resource
import signal
import sys
import traceback

SECONDS = 10
BYTES = 1 << 30
"""Beyond the memory of the process that starts the worker."""

PROGRAMS = (
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "subprocess.Popen",
)
CHANGES = ("os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink")


class Worker:
    """Calls `function` in a process that is started again after it has ended.

    folder   the only one in which the function may write; None: anywhere
    outside  a folder around it, whose other files the function may not open
    """

    def __init__(self, function, folder=None, outside=None):
        self.function, self.folder, self.outside = function, folder, outside
        self.process = None

    def __call__(self, *arguments):
        """The function's result or exception; AssertionError if it exceeds a limit."""
        if self.process is None:
            self._start()
        self.pipe.send(arguments)
        try:
            raised, value = pickle.loads(self.pipe.recv_bytes())
        except (EOFError, ConnectionError):
            self.process.join()
            status, self.process = self.process.exitcode, None
            how = "took longer than 10 s" if -status == signal.SIGALRM else f"status {status}"
            raise AssertionError(f"{self.function.__name__} ended: {how}") from None
        if raised:
            raise value
        return value

    def _start(self):
        fork = multiprocessing.get_context("fork")
        self.pipe, child = fork.Pipe()
        self.process = fork.Process(
            target=_work, args=(child, self.function, self.folder, self.outside), daemon=True
        )
        self.process.start()
        child.close()

    def close(self):
        if self.process is not None:
            self.pipe.send(None)
            self.process.join()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def limited(function, *arguments):
    """The result of the function, or its exception, from a process of its own."""
    with Worker(function) as worker:
        return worker(*arguments)


def _work(pipe, function, folder, outside):
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, size + BYTES))
    found = []
    if folder is not None:
        os.chdir(folder)
        sys.addaudithook(_watch(str(folder), str(outside), found))
    while True:
        if (arguments := pipe.recv()) is None:
            return
        signal.alarm(SECONDS)
        try:
            outcome = False, function(*arguments)
        except Exception as error:
            error.__traceback__ = error.__cause__ = error.__context__ = None
            outcome = True, error
        signal.alarm(0)
        if found:
            outcome = True, AssertionError(f"{function.__name__}: {', '.join(found)}")
            found.clear()
        pipe.send_bytes(_pickled(outcome))


def _pickled(outcome):
    try:
        content = pickle.dumps(outcome)
        pickle.loads(content)
        return content
    except Exception:
        return pickle.dumps((True, RuntimeError(traceback.format_exc())))


def _watch(folder, outside, found):
    """An audit hook that appends what a function should not do to `found`."""

    def is_in(path, parent):
        path = os.path.realpath(os.fsdecode(path))
        return path == parent or path.startswith(parent + os.sep)

    def hook(event, arguments):
        if event in PROGRAMS or event.startswith("socket.connect"):
            found.append(f"{event}{arguments}")
        elif event == "open" and isinstance(arguments[0], (str, bytes)):
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if (writes and not is_in(path, folder)) or (
                is_in(path, outside) and not is_in(path, folder)
            ):
                found.append(f"open({path!r}, flags={flags})")
        elif event in CHANGES and not is_in(arguments[0], folder):
            found.append(f"{event}{arguments}")

    return hook
