"""Runs a function in a process of its own with limits of time and memory."""

import multiprocessing
import pickle
import resource
import signal
import traceback

SECONDS = 10
BYTES = 1 << 30
"""Beyond the memory of the process that calls."""


def limited(function, *arguments):
    """The result of the function, or its exception. Fails if it exceeds a limit."""
    fork = multiprocessing.get_context("fork")
    receive, send = fork.Pipe(duplex=False)
    process = fork.Process(target=_run, args=(send, function, arguments))
    process.start()
    send.close()
    try:
        raised, value = pickle.loads(receive.recv_bytes())
    except EOFError:
        raised, value = True, None
    process.join()
    if process.exitcode:
        how = "took longer than 10 s" if -process.exitcode == signal.SIGALRM else "ended"
        raise AssertionError(f"{function.__name__} {how}: exit status {process.exitcode}")
    if raised:
        raise value
    return value


def _run(send, function, arguments):
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, size + BYTES))
    signal.alarm(SECONDS)
    try:
        outcome = False, function(*arguments)
    except Exception as error:
        error.__traceback__ = error.__cause__ = error.__context__ = None
        outcome = True, error
    signal.alarm(0)
    try:
        content = pickle.dumps(outcome)
    except Exception:
        content = pickle.dumps((True, RuntimeError(traceback.format_exc())))
    send.send_bytes(content)
