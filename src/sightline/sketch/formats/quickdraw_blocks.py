"""QuickDraw's ndjson a thousand lines at a time, without a Python object a number.

A block of whole lines is cut in two: the heads (word, key and so on) go to Arrow's JSON reader,
the drawings are bytes of digits, commas and brackets, which a few dozen passes of numpy check and
turn into numbers. Only what is exactly regular is read so; of a block with anything else in it,
`read_block` knows nothing, and `read_lines` reads it line by line. Both give the same drawings.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Num, UInt8

from sightline.errors import DrawingError
from sightline.sketch.columns import Columns
from sightline.sketch.formats.quickdraw import parse_line
from sightline.sketch.formats.quickdraw_exact import read_exact

_MARK = b'"drawing":0'
_NEWLINE, _COMMA, _OPEN, _CLOSE = b"\n,[]"
_ZERO, _MINUS, _DOT = b"0-."

Bytes = UInt8[np.ndarray, " bytes"]
Mask = Bool[np.ndarray, " bytes"]


def read_lines(
    text: bytes, place: str, first: int, *, raise_bad: bool = False
) -> tuple[Columns, list[str]]:
    """The drawings of a block, line by line, and why the bad lines are bad.

    Args:
        text: whole lines.
        place: the file's name, for messages.
        first: the number of the first line.
        raise_bad: stop at a bad line instead.
    """
    records: list[dict[str, Any]] = []
    drawings: list[list[np.ndarray]] = []
    keys, refused = [], []
    for number, line in enumerate(io.BytesIO(text), first):
        if not line.strip():
            continue
        where = f"{place} line {number}"
        try:
            record, strokes = parse_line(line, where)
        except DrawingError as error:
            if raise_bad:
                raise
            refused.append(str(error))
            continue
        records.append(record)
        drawings.append(strokes)
        keys.append(str(record.get("key_id") or where))
    words = list(dict.fromkeys(str(r["word"]) for r in records if r.get("word") is not None))
    known = {word: index for index, word in enumerate(words)}
    columns = Columns.from_strokes(
        drawings,
        keys=keys,
        words=words,
        word=np.array([known.get(str(r.get("word")), -1) for r in records], np.int64),
        recognised=np.array([r.get("recognized") is not False for r in records], bool),
        raw=np.array([all(len(s) == 3 for s in d) for d in drawings], bool),
    )
    return columns, refused


def read_block(text: bytes) -> Columns | None:
    """The drawings of whole lines, the last one ended, too; None where a line is not regular.

    Regular is one JSON object a line with strings ``word`` and ``key_id``, and ``drawing`` without
    white space; all strokes of the block simplified or all raw.
    """
    exact = read_exact(text)
    if exact is not None:
        return exact
    # A quotation mark inside a JSON string is escaped, so the mark is no part of one.
    head, *rest = text.split(_MARK[:-1])
    bodies, tails = [], [head]
    for piece in rest:
        body, _, tail = piece.partition(b"]]]")
        bodies.append(body)
        tails.append(tail)
    heads = _heads(_MARK.join(tails), len(bodies)) if bodies else None
    if heads is None:
        return None
    drawings = np.frombuffer(b"]]],".join(bodies) + b"]]]", np.uint8)
    ends = np.cumsum([len(body) + 4 for body in bodies]) - 2
    strokes = _strokes(drawings, ends)
    if strokes is None:
        return None
    counts, lengths, points, raw = strokes
    return Columns(
        **heads, raw=np.full(len(counts), raw), strokes=counts, lengths=lengths, points=points
    )


def _heads(head: bytes, lines: int) -> dict[str, Any] | None:
    """What the lines say beside the drawing, in place of which stands 0."""
    import pyarrow as pa
    from pyarrow import json

    if (np.frombuffer(head, np.uint8) < 32).sum() != lines or head.count(b"\n") != lines:
        return None  # control characters, which JSON forbids and Arrow lets pass
    fields = {"word": pa.string(), "key_id": pa.string(), "recognized": pa.bool_()}
    schema = pa.schema(list({**fields, "drawing": pa.int8()}.items()))
    try:
        table = json.read_json(
            io.BytesIO(head),
            read_options=json.ReadOptions(use_threads=False, block_size=len(head) + 1),
            parse_options=json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="ignore"
            ),
        ).combine_chunks()
        missing = [table[name].null_count for name in ("word", "key_id", "drawing")]
        if len(table) != lines or any(missing) or table["drawing"].to_numpy().any():
            return None
        words = table["word"].combine_chunks().dictionary_encode()
        keys = table["key_id"].to_pylist()
        known = words.dictionary.to_pylist()
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    if not all(keys):
        return None
    recognised = table["recognized"].fill_null(True).combine_chunks()
    return {
        "keys": keys,
        "words": known,
        "word": words.indices.to_numpy().astype(np.int64),
        "recognised": recognised.to_numpy(zero_copy_only=False).astype(bool),
    }


def _strokes(
    text: Bytes, drawing_ends: Int[np.ndarray, " drawings"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool] | None:
    """Strokes a drawing, points a stroke, points, and whether raw, of drawings with commas between.

    Args:
        text: ``[[[1,2],[3,4]]],[[[...``.
        drawing_ends: where each drawing's last bracket is.
    """
    comma, opens, closes = text == _COMMA, text == _OPEN, text == _CLOSE
    number = ~(comma | opens | closes)
    if _ungrammatical(text, comma, opens, closes, number):
        return None
    counted = _counted(opens, closes, number, drawing_ends)
    ends = np.flatnonzero(number[:-1] > number[1:])
    values = _values(text, number, ends)
    if counted is None or values is None:
        return None
    strokes, lists = counted
    sizes = np.diff(np.flatnonzero(closes[ends + 1]), prepend=-1).reshape(-1, lists)
    if (sizes != sizes[:, :1]).any():
        return None
    which = np.repeat(np.tile(np.arange(lists, dtype=np.int8), len(sizes)), sizes.ravel())
    points = np.stack([values[which == 0], values[which == 1]])
    return strokes, sizes[:, 0], points, lists == 3


def _ungrammatical(text: Bytes, comma: Mask, opens: Mask, closes: Mask, number: Mask) -> bool:
    """Whether two or three bytes stand beside each other that cannot, whatever the depth."""
    wrong = (comma | opens)[:-1] & (comma | closes)[1:]
    wrong |= closes[:-1] & (number | opens)[1:]
    wrong |= number[:-1] & opens[1:]
    wrong[1:] |= closes[:-2] & comma[1:-1] & number[2:]
    digit = (text - np.uint8(_ZERO)) < 10
    zero = text == _ZERO
    leading = ~number[:-2]
    if not (number <= digit).all():
        minus, dot = text == _MINUS, text == _DOT
        if not (number == (digit | minus | dot)).all():
            return True
        wrong |= (minus | dot)[:-1] & ~digit[1:]
        wrong |= ~digit[:-1] & dot[1:] | number[:-1] & minus[1:]
        leading = leading | minus[:-2]
    wrong[1:] |= leading & zero[1:-1] & digit[2:]
    return bool(wrong.any())


def _counted(
    opens: Mask, closes: Mask, number: Mask, ends: Int[np.ndarray, " drawings"]
) -> tuple[np.ndarray, int] | None:
    """Strokes of each drawing, and lists a stroke (2 or 3), if all brackets nest to depth 3."""
    brackets = np.flatnonzero(opens | closes)
    opening = opens[brackets]
    depth = np.cumsum(np.where(opening, np.int8(1), np.int8(-1)), dtype=np.int32)
    done = depth == 0
    before_number = opening.copy()
    before_number[:-1] &= number[brackets[:-1] + 1]
    if depth.min() < 0 or depth.max() > 3 or (depth[before_number] != 3).any():
        return None
    if not np.array_equal(brackets[done], ends):
        return None
    stroke = ~opening & (depth == 1)
    lists = np.diff(np.cumsum(~opening & (depth == 2))[stroke], prepend=0)
    if lists[0] not in (2, 3) or (lists != lists[0]).any():
        return None
    return np.diff(np.cumsum(stroke)[done], prepend=0), int(lists[0])


def _values(
    text: Bytes, number: Mask, ends: Int[np.ndarray, " numbers"]
) -> Num[np.ndarray, " numbers"] | None:
    """The numbers, each known by the place of its last byte."""
    digits = (text - np.uint8(_ZERO)) * number
    long = number[3:] & number[2:-1] & number[1:-2] & number[:-3]
    low = digits[2:] + digits[1:-1] * np.uint8(10)
    high = digits[:-2] * number[1:-1]
    too_large = (high > 2) | (high == 2) & (low > 55)
    if long.any() or digits.max() > 9 or too_large[number[2:]].any():
        return _any_values(text, number)
    return (low + high * np.uint8(100))[ends - 2]  # no drawing starts before byte 3


def _any_values(text: Bytes, number: Mask) -> Num[np.ndarray, " numbers"] | None:
    """The same for numbers of any length, with signs and fractions; correctly rounded."""
    import pyarrow as pa

    edges = np.flatnonzero(number[:-1] != number[1:])
    offsets = np.append(0, np.cumsum(edges[1::2] - edges[::2])).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text[number])]
    try:
        told = pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)
        return told.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None
