"""ONNX files written by hand, byte by byte, as their protocol buffers say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

KINDS = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    body = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(body)) + body


def tensor(name: str, array: np.ndarray, *, outside: str = "") -> bytes:
    """An initializer; ``outside`` names a file that holds its numbers."""
    shape = b"".join(field(1, size) for size in array.shape)
    head = shape + field(2, KINDS[array.dtype]) + field(8, name)
    if outside:
        return head + field(13, field(1, "location") + field(2, outside)) + field(14, 1)
    return head + field(9, array.tobytes())


def declared(name: str, shape: list[int | str], kind: int = 1) -> bytes:
    dims = b"".join(field(1, field(1 if isinstance(d, int) else 2, d)) for d in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def node(operation: str, inputs: list[str], output: str) -> bytes:
    return b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, operation)


def write_brightest(
    path: Path,
    boxes: np.ndarray,
    labels: np.ndarray,
    *,
    picture: tuple[int | str, ...] = (1, 3, 4, 8),
    kind: int = 1,
    outside: str = "",
) -> Path:
    """A "detector" of three fixed boxes, whose scores are the highest value of each channel."""
    nodes = [
        node("GlobalMaxPool", ["picture"], "highest"),
        node("Reshape", ["highest", "three"], "scores"),
        node("Identity", ["fixed_boxes"], "boxes"),
        node("Identity", ["fixed_labels"], "labels"),
    ]
    constants = [
        tensor("three", np.array([3])),
        tensor("fixed_boxes", boxes.astype(np.float32), outside=outside),
        tensor("fixed_labels", labels.astype(np.int64)),
    ]
    outputs = [declared("boxes", list(boxes.shape)), declared("scores", [3])]
    outputs.append(declared("labels", list(labels.shape), 7))
    graph = b"".join(field(1, n) for n in nodes) + field(2, "brightest")
    graph += b"".join(field(5, c) for c in constants)
    graph += field(11, declared("picture", list(picture), kind))
    graph += b"".join(field(12, o) for o in outputs)
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 13)))
    return path
