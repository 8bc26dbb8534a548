"""Graphs: work that is captured from a stream once, and launched many times.

A launch repeats the work in the order of its capture, with the same addresses; values
passed to kernels are those at the capture.
"""

import ctypes
from pathlib import Path

from tinyalex.emulator.cuda.api import (
    NOT_SUPPORTED,
    Handle,
    Pointer,
    Size,
    Status,
    api,
    new_handle,
    object_of,
    release_handle,
    store,
    store_wide,
)
from tinyalex.emulator.cuda.runtime.streams import CAPTURE_UNSUPPORTED, Graph, stream_of, submit

PER_THREAD_STREAM = 2
NOT_CAPTURING = 0
CAPTURING = 1
ILLEGAL_STATE = 401


@api
def cudaStreamBeginCapture(stream: Handle, mode: int) -> None:
    if stream in (0, 1):
        raise Status(
            CAPTURE_UNSUPPORTED,
            "the default stream cannot capture. Use a Stream(non_blocking=True)",
        )
    if stream == PER_THREAD_STREAM:
        raise Status(
            NOT_SUPPORTED,
            "a capture in the per-thread default stream is not emulated. Use a "
            "Stream(non_blocking=True)",
        )
    capturing = stream_of(stream)
    if capturing.graph:
        raise Status(ILLEGAL_STATE, "the stream captures already")
    capturing.graph = Graph(streams=[capturing])


@api
def cudaStreamEndCapture(stream: Handle, graph: Pointer) -> None:
    captured = stream_of(stream).graph
    if captured is None or captured.streams[0] is not stream_of(stream):
        raise Status(ILLEGAL_STATE, "no capture was begun in this stream")
    for member in captured.streams:
        member.graph = None
    captured.streams.clear()
    store_wide(graph, new_handle(captured))


@api
def cudaStreamIsCapturing(stream: Handle, status: Pointer) -> None:
    store(status, CAPTURING if stream_of(stream).graph else NOT_CAPTURING)


@api
def cudaGraphInstantiate(executable: Pointer, graph: Handle, flags: Size) -> None:
    store_wide(executable, new_handle(Graph(list(object_of(graph, Graph).work))))


@api
def cudaGraphLaunch(executable: Handle, stream: Handle) -> None:
    for work in object_of(executable, Graph).work:
        submit(stream, work.name, work.do, count=work.count)


@api
def cudaGraphUpload(executable: Handle, stream: Handle) -> None:
    object_of(executable, Graph)


@api
def cudaGraphDestroy(graph: Handle) -> None:
    release_handle(graph, Graph)


@api
def cudaGraphExecDestroy(executable: Handle) -> None:
    release_handle(executable, Graph)


@api
def cudaGraphDebugDotPrint(graph: Handle, path: Pointer, flags: int) -> None:
    names = [work.name.replace('"', "'") for work in object_of(graph, Graph).work]
    lines = [f'  n{i} [label="{name}"];' for i, name in enumerate(names)]
    lines += [f"  n{i} -> n{i + 1};" for i in range(len(names) - 1)]
    Path(ctypes.string_at(path).decode()).write_text("\n".join(["digraph {", *lines, "}", ""]))
