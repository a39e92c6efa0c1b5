"""Ragged arrays of an .npz file, read without running anything that the file carries.

An object array in an .npy file is a pickle, and a pickle is a program. Here it is run by an
unpickler that knows five names, each of which stands for a few lines of this file: not even numpy's
own constructors are reached, since their ``__setstate__`` trusts what it is given.
"""

from __future__ import annotations

import math
import pickle
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from sightline.errors import DrawingError

LARGEST_MEMBER = 2**29
"""Bytes of one unpacked array, 512 MiB; the largest of sketch-rnn's own files has a tenth."""

_NUMBER = re.compile(r"[?]|b1|[iu][1248]|f[248]")
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
    if info.flag_bits & 1:
        raise DrawingError(f"{where} is encrypted; unpack it and save it without a password")
    with archive.open(info) as stream:
        return _rows(stream, info.file_size, where)


def _rows(stream: IO[bytes], size: int, where: str) -> list[Any]:
    try:
        read_header = _READ_HEADER[np.lib.format.read_magic(stream)]
        shape, fortran, dtype = read_header(stream)
    except (ValueError, KeyError):
        raise DrawingError(f"{where} is no .npy array of version 1 or 2; fetch it again") from None
    if dtype == object:
        return _unpickled(stream, size, where)
    if dtype.kind not in "iuf" or not shape:
        raise DrawingError(f"{where} holds {dtype} of shape {shape}; expected arrays of numbers")
    length = math.prod(shape) * dtype.itemsize
    data = stream.read(min(length, size) + 1)
    if len(data) != length:
        raise DrawingError(f"{where} is truncated: {length} bytes announced, not so many there")
    return list(np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C"))


def _unpickled(stream: IO[bytes], size: int, where: str) -> list[Any]:
    try:
        array = _Unpickler(stream, where).load()
    except (DrawingError, zipfile.BadZipFile, zlib.error):
        raise
    except Exception as error:  # a damaged pickle may fail in any way; none of them is ours
        raise DrawingError(
            f"{where} is damaged: its pickle ends in {type(error).__name__} ({error}); "
            "fetch it again"
        ) from None
    rows = array.value if isinstance(array, _Array) else None
    if not isinstance(rows, np.ndarray) or rows.ndim == 0:
        raise DrawingError(f"{where} holds no list of arrays; expected one array a drawing")
    values = [row.value if isinstance(row, _Array) else row for row in rows]
    if sum(getattr(value, "nbytes", 0) for value in values) > 2 * size:
        raise DrawingError(f"{where} repeats its data to more than it holds; refused")
    return values


class _Dtype:
    """Stands for numpy.dtype in a pickle: a plain number or object, with its byte order."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        self.holds_objects = str(code) in ("O", "O4", "O8")
        if not self.holds_objects and not _NUMBER.fullmatch(str(code)):
            raise ValueError(f"a dtype {str(code)[:20]!r}")
        self.value = np.dtype(object if self.holds_objects else str(code))

    def __setstate__(self, state: Any) -> None:
        if state[1] in ("<", ">") and not self.holds_objects:
            self.value = self.value.newbyteorder(state[1])


class _Array:
    """Stands for numpy.ndarray in a pickle; ``value`` is the array once its state came."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, data = state
        order = "F" if fortran else "C"
        if dtype.holds_objects:
            flat = np.empty(len(data), dtype=object)
            flat[:] = data
        else:
            flat = np.frombuffer(_bytes(data), dtype.value)
        self.value = flat.reshape(shape, order=order)  # type: ignore[call-overload]


def _bytes(data: Any) -> bytes:
    """What Python 2 called a string comes as text, one character a byte."""
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, data: Any) -> Any:
    return np.frombuffer(_bytes(data), dtype.value)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise ValueError(f"an encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}
for _package in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _STAND_INS[_package, "_reconstruct"] = _reconstruct
    _STAND_INS[_package, "scalar"] = _scalar


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: IO[bytes], where: str) -> None:
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
