"""The packed run lengths of Label Studio's brush: bits, not bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from sightline.errors import AlignmentError

HEADER = 53
SIZES = (3, 4, 8, 16)
CHUNK = 1 << 17
"""Bytes that are looked through at a time: memory stays small whatever the file."""


def decode_brush(
    packed: Sequence[Any], size: tuple[int, int], place: str
) -> UInt8[np.ndarray, "height width"]:
    """The alpha channel of a brush mask.

    Convention:
        Bits, the highest of a byte first. A header: 32 bits with the number of words, 5 with the
        bits of a word less 1, four times 4 with the sizes of a run's length less 1. Then runs:
        1 bit (a run of one word, or words one by one), 2 bits (which of the sizes), the length
        less 1, one word or that many. Words are bytes: red, green, blue, alpha, row by row.

    Args:
        packed: numbers from 0 to 255.
        size: height and width that the file states.
        place: for messages.

    Raises:
        AlignmentError: broken runs, or runs of another size.

    Source:
        The package rle-pack of thi.ng/umbrella, which Label Studio uses.
    """
    data = _bytes(packed, place)
    words, sizes = _header(data, place)
    if words != 4 * size[0] * size[1]:
        raise AlignmentError(
            f"{place} has brush runs of {words / 4:g} pixels, but states {size[0]} x {size[1]} "
            f"(height x width) = {size[0] * size[1]}; export it anew from Label Studio"
        )
    runs = _runs(data, sizes, words, place)
    pieces = np.where(runs.repeats, 1, runs.lengths)  # words that are written out
    within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    values = _words(data, np.repeat(runs.starts, pieces) + 8 * within)
    times = np.where(np.repeat(runs.repeats, pieces), np.repeat(runs.lengths, pieces), 1)
    return np.ascontiguousarray(np.repeat(values, times)[3::4].reshape(size))


def encode_brush(alpha: UInt8[np.ndarray, "height width"]) -> list[int]:
    """A mask as Label Studio's packed run lengths, all four channels alike.

    Example:
        >>> packed = encode_brush(np.array([[0, 255]], np.uint8))
        >>> decode_brush(packed, (1, 2), "a mask")
        array([[  0, 255]], dtype=uint8)
    """
    values, lengths = _split(*_equal(alpha.ravel()))
    which = np.searchsorted([1 << bits for bits in SIZES], lengths)
    bits = np.array(SIZES)[which]
    codes = ((4 + which) << bits | (lengths - 1)) << 8 | values
    head = 4 * alpha.size << 21 | 7 << 16 | _nibbles(SIZES)
    return _packed(np.append(head, codes), np.append(HEADER, 11 + bits)).tolist()


@dataclass(frozen=True, eq=False)
class _Runs:
    """Where the words of each run start, how many it makes, whether one is repeated."""

    starts: Int[np.ndarray, " runs"]
    lengths: Int[np.ndarray, " runs"]
    repeats: np.ndarray


def _bytes(packed: Sequence[Any], place: str) -> UInt8[np.ndarray, " bytes"]:
    try:
        data = np.frombuffer(bytes(packed), np.uint8)
    except (ValueError, TypeError):
        raise AlignmentError(
            f"{place} has brush runs that are no list of whole numbers from 0 to 255"
        ) from None
    if 8 * len(data) < HEADER:
        raise AlignmentError(f"{place} has brush runs that are cut off: {len(data)} bytes in all")
    return data


def _header(data: UInt8[np.ndarray, " bytes"], place: str) -> tuple[int, tuple[int, ...]]:
    """How many words there will be, and the four sizes of a length in bits."""
    head = int.from_bytes(data[:7].tobytes(), "big") >> 3
    if (bits := (head >> 16 & 31) + 1) != 8:
        raise AlignmentError(f"{place} has brush runs with words of {bits} bits; expected 8")
    return head >> 21, tuple((head >> shift & 15) + 1 for shift in (12, 8, 4, 0))


def _runs(
    data: UInt8[np.ndarray, " bytes"], sizes: tuple[int, ...], words: int, place: str
) -> _Runs:
    """Follow the runs: each tells where the next one starts.

    The step from every bit is computed at once, as if a run started there; so what remains to be
    done one by one is to look up the next place.
    """
    end, at, found, reached = 8 * len(data), HEADER, [], 0
    while reached < words and at < end:
        first = at >> 3
        lengths, steps, repeats, widths = _as_if_runs(data, first, sizes)
        told, starts, here, last = memoryview(steps.data), [], at - 8 * first, len(steps)
        while here < last:
            starts.append(here)
            here += told[here]
        at = 8 * first + here
        index = np.array(starts)
        found.append((8 * first + index + widths[index], lengths[index], repeats[index]))
        reached += int(lengths[index].sum())
    return _checked(data, [np.concatenate(parts) for parts in zip(*found, strict=True)], words,
                    place)  # fmt: skip


def _as_if_runs(
    data: UInt8[np.ndarray, " bytes"], first: int, sizes: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    """For each bit of a chunk: length, step to the next run, whether a repeat, bits of its head."""
    part = np.zeros(min(CHUNK, len(data) - first) + 3, np.uint32)
    taken = data[first : first + len(part)]
    part[: len(taken)] = taken
    four = part[:-3] << 24 | part[1:-2] << 16 | part[2:-1] << 8 | part[3:]
    from_bit = (four[:, None] << np.arange(8, dtype=np.uint32)).ravel()
    bits = np.array(sizes, np.uint32)[from_bit >> 29 & 3]
    lengths = ((from_bit << 3) >> (32 - bits)).astype(np.int64) + 1
    repeats, widths = from_bit >> 31 == 1, bits.astype(np.int64) + 3
    return lengths, widths + 8 * np.where(repeats, 1, lengths), repeats, widths


def _checked(
    data: UInt8[np.ndarray, " bytes"], parts: list[np.ndarray], words: int, place: str
) -> _Runs:
    """As many runs as make the words; nothing but the pad of the last byte after them."""
    starts, lengths, repeats = parts
    made = np.cumsum(lengths)
    count = int(np.searchsorted(made, words)) + 1
    last = min(count, len(made)) - 1
    end = int(starts[last] + 8 * (1 if repeats[last] else lengths[last]))
    if made[last] < words or end > 8 * len(data):
        raise AlignmentError(
            f"{place} has brush runs that are cut off: {int(made[last]) // 4} of {words // 4} "
            "pixels; export it anew from Label Studio"
        )
    rest = np.unpackbits(data[end >> 3 :])[end & 7 :]
    if made[last] > words or len(rest) > 15 or rest.any():  # some writers pad by a whole byte
        raise AlignmentError(
            f"{place} has brush runs that go on after its {words // 4} pixels; export it anew "
            "from Label Studio"
        )
    return _Runs(starts[:count], lengths[:count], repeats[:count])


def _words(
    data: UInt8[np.ndarray, " bytes"], bits: Int[np.ndarray, " words"]
) -> UInt8[np.ndarray, " words"]:
    """The bytes that start at these bits."""
    two = np.append(data, np.uint8(0)).astype(np.uint16)
    pairs = two[:-1] << 8 | two[1:]
    return (pairs[bits >> 3] >> (8 - (bits & 7)).astype(np.uint16)).astype(np.uint8)


def _equal(flat: UInt8[np.ndarray, " pixels"]) -> tuple[np.ndarray, np.ndarray]:
    """Runs of equal pixels: their values, and their lengths in words, four a pixel."""
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    return flat[starts].astype(np.int64), 4 * np.diff(np.append(starts, flat.size))


def _split(values: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs of at most 65,536 words."""
    most = 1 << SIZES[-1]
    times = -(-lengths // most)
    pieces = np.full(times.sum(), most)
    pieces[np.cumsum(times) - 1] = lengths - most * (times - 1)
    return np.repeat(values, times), pieces


def _nibbles(sizes: Sequence[int]) -> int:
    packed = 0
    for size in sizes:
        packed = packed << 4 | size - 1
    return packed


def _packed(codes: np.ndarray, bits: np.ndarray) -> UInt8[np.ndarray, " bytes"]:
    """Numbers of this many bits each, end to end."""
    within = np.repeat(np.cumsum(bits), bits) - 1 - np.arange(bits.sum())
    return np.packbits((np.repeat(codes, bits) >> within & 1).astype(np.uint8))
