"""Ragged arrays of an .npz file, read without running anything that the file carries.

An object array in an .npy file is a pickle, and a pickle is a program. Here it is run by an
unpickler that knows a few names, each of which leads to a few lines of this file: not even numpy's
own constructors are reached, since their ``__setstate__`` trusts what it is given. A hostile file
can still waste time and memory, but it cannot act.
"""

from __future__ import annotations

import math
import pickle
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

import numpy as np

from sightline.errors import DrawingError

LARGEST_MEMBER = 2**29
"""Bytes of one unpacked array, 512 MiB; the largest of sketch-rnn's own files has a tenth."""

_KNOWN_TYPE = re.compile(r"O[48]?|b1|[iu][1248]|f[248]")
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@contextmanager
def open_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive of an .npz file; damage becomes a `DrawingError` that names the file.

    Nothing is unpacked to disk, so the paths of its members lead nowhere.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DrawingError(
            f"{path.name} is truncated or no .npz file ({error}); fetch it again"
        ) from None


def read_rows(archive: zipfile.ZipFile, member: str, where: str) -> list[Any]:
    """The rows of one member: arrays of numbers, or whatever else the file holds in their place.

    Args:
        archive: from `open_npz`.
        member: as the archive lists it, "train.npy".
        where: file and member for messages.

    Raises:
        DrawingError: a member that is too large, no .npy array, damaged, or that carries code.
    """
    info = archive.getinfo(member)
    if info.file_size > LARGEST_MEMBER:
        raise DrawingError(
            f"{where} unpacks to {info.file_size} bytes, more than {LARGEST_MEMBER}; "
            "if that is honest, split the file"
        )
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DrawingError(
            f"{where} is encrypted or packed in a way that numpy does not use; save it with numpy"
        )
    with archive.open(info) as stream:
        return _rows(cast(BufferedIOBase, stream), info.file_size, where)


def _rows(stream: BufferedIOBase, size: int, where: str) -> list[Any]:
    try:
        read_header = _READ_HEADER[np.lib.format.read_magic(stream)]
        shape, fortran, dtype = read_header(stream)
    except (ValueError, KeyError, TypeError, MemoryError, RecursionError):
        raise DrawingError(f"{where} is no .npy array of version 1 or 2; fetch it again") from None
    if dtype.hasobject and not dtype.names:
        return _unpickled(stream, size, where)
    if dtype.kind not in "iuf" or not shape:
        raise DrawingError(f"{where} holds {dtype} of shape {shape}; expected arrays of numbers")
    length = math.prod(shape) * dtype.itemsize
    data = stream.read(min(length, size) + 1)
    if len(data) != length:
        raise DrawingError(f"{where} is truncated: {length} bytes announced, not so many there")
    return list(np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C"))


def _unpickled(stream: BufferedIOBase, size: int, where: str) -> list[Any]:
    try:
        array = _Unpickler(stream, where).load()
        rows = array.value() if isinstance(array, _Array) else None
        if rows is None or rows.ndim == 0:
            raise DrawingError(f"{where} holds no list of arrays; expected one array a drawing")
        return list(_values(rows, size, where))
    except (DrawingError, zipfile.BadZipFile, zlib.error):
        raise
    except Exception as error:  # a damaged pickle may fail in any way
        raise DrawingError(
            f"{where} is damaged: its pickle ends in {type(error).__name__} "
            f"({str(error)[:100]}); fetch it again"
        ) from None


def _values(rows: np.ndarray, size: int, where: str) -> Iterator[Any]:
    """The arrays behind their stand-ins; one block of data cannot be told a thousand times."""
    room = 16 * size  # a number written in one byte may stand as an object of eight
    for row in rows:
        value = row.value() if isinstance(row, _Array) else row
        room -= value.nbytes if isinstance(value, np.ndarray) else 0
        if room < 0:
            raise DrawingError(f"{where} repeats its data to more than it holds: refused")
        yield value


class _Dtype:
    """Stands for numpy.dtype in a pickle: a plain number or object, with its byte order."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str) or not _KNOWN_TYPE.fullmatch(code):
            raise ValueError(f"a dtype that is no plain number: {type(code).__name__}")
        self.value = np.dtype(object if code.startswith("O") else code)

    def __setstate__(self, state: Any) -> None:
        if state[1] in ("<", ">") and not self.value.hasobject:
            self.value = self.value.newbyteorder(state[1])


class _Latin1:
    """Stands for ``_codecs.encode(text, "latin1")``: how protocol 2 keeps bytes."""

    def __init__(self, text: str, encoding: str = "latin1") -> None:
        if not isinstance(text, str) or encoding != "latin1":
            raise ValueError("an encoding other than of text to latin1")
        self.text = text


class _Array:
    """Stands for numpy.ndarray in a pickle. Copies nothing until it is asked for its value."""

    _state: Any = None

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def value(self) -> np.ndarray:
        _version, shape, dtype, fortran, data = self._state
        if dtype.value.hasobject:
            flat = np.fromiter(data, dtype=object, count=len(data))
        else:
            flat = np.frombuffer(_bytes(data), dtype.value)
        return flat.reshape(shape, order="F" if fortran else "C")


def _bytes(data: Any) -> bytes:
    """Array data; what Python 2 called a string comes as text, one character a byte."""
    text = data.text if isinstance(data, _Latin1) else data
    if isinstance(text, str):
        return text.encode("latin1")
    if not isinstance(text, bytes):
        raise ValueError(f"array data of type {type(text).__name__}")
    return text


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, data: Any) -> Any:
    return np.frombuffer(_bytes(data), dtype.value, count=1)[0]


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Latin1,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
}


class _Unpickler(pickle.Unpickler):
    """Knows the names above and no other."""

    def __init__(self, stream: BufferedIOBase, where: str) -> None:
        super().__init__(stream, encoding="latin1")
        self._where = where

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise DrawingError(
                f"{self._where} asks for {module}.{name}: expected nothing but arrays of numbers; "
                "the file carries code (not run here): do not load it elsewhere"
            ) from None
