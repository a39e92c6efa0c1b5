"""QuickDraw's simplified ndjson in QuickDraw's own spelling, byte for byte: the fast reader.

Every head has the same fields in the same order, and every number is a whole one up to 255. So the
quotation marks tell where the words are, and between two numbers stand only ``,`` or ``],[`` or
``]],[[``, and between two drawings ``]]],[[[``: a comma among as many brackets on either side. All
of it is checked, for a block of lines together. What is not so is left to a more patient reader.

A comparison of a whole block costs next to nothing, a boolean index much: numbers are taken by
their places, which are searched once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8

from sightline.sketch.columns import Columns, running

_NEWLINE, _QUOTE, _BACKSLASH, _COMMA, _OPEN, _CLOSE = b'\n"\\,[]'
_ZERO, _SPACE = b"0 "

_WORD = b'{"word":"'
_COUNTRY = b'","countrycode":"'
_TIME = b'","timestamp":"'
_RECOGNISED = b'","recognized":'
_TRUE, _FALSE = b'true,"key_id":"', b'false,"key_id":"'
_DRAWING = b'","drawing":[[['
_END = b"]]]}"
_QUOTES = 20
"""Quotation marks of a line."""

Bytes = UInt8[np.ndarray, " bytes"]
Mask = Bool[np.ndarray, " bytes"]


def read_exact(text: bytes) -> Columns | None:
    r"""The drawings of whole lines, the last one ended, too; None where anything is unusual.

    Example:
        >>> line = b'{"word":"ant","countrycode":"CH","timestamp":"2017","recognized":true,'
        >>> columns = read_exact(line + b'"key_id":"7","drawing":[[[0,10],[3,255]]]}\n')
        >>> columns.keys, columns.points.tolist()
        (['7'], [[0, 10], [3, 255]])
    """
    found = _heads(text)
    if found is None:
        return None
    heads, starts, ends = found
    bodies = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    # As if a number were before the first drawing and behind the last, every number stands between.
    between = np.frombuffer(b"0]]]," + b",".join(bodies) + b",[[[0", np.uint8)
    strokes = _strokes(between)
    if strokes is None or len(strokes[0]) != len(bodies):
        return None
    counts, lengths, points = strokes
    raw = np.zeros(len(counts), bool)
    return Columns(**heads, raw=raw, strokes=counts, lengths=lengths, points=points)


def _heads(text: bytes) -> tuple[dict[str, Any], list[int], list[int]] | None:
    """What the lines say beside the drawing, and where each drawing starts and ends."""
    data = np.frombuffer(text, np.uint8)
    line_ends = np.flatnonzero(data == _NEWLINE)
    marks = np.flatnonzero(data == _QUOTE)
    if not len(line_ends) or len(marks) != _QUOTES * len(line_ends) or text[-1] != _NEWLINE:
        return None
    plain = (data - np.uint8(_SPACE)) < 128 - _SPACE  # ASCII that is no control character
    if np.count_nonzero(plain) + len(line_ends) != len(data) or (data == _BACKSLASH).any():
        return None
    quotes = marks.reshape(-1, _QUOTES)
    line_starts = np.append(0, line_ends[:-1] + 1)
    known = quotes[:, 11] + len(_RECOGNISED)
    true = data.take(known, mode="clip") == _TRUE[0]
    spelt = (
        (quotes[:, 2] == line_starts + len(_WORD) - 1).all()
        and _stands(data, line_starts, _WORD)
        and _stands(data, quotes[:, 3], _COUNTRY)
        and _stands(data, quotes[:, 7], _TIME)
        and _stands(data, quotes[:, 11], _RECOGNISED)
        and _stands(data, known[true], _TRUE)
        and _stands(data, known[~true], _FALSE)
        and _stands(data, quotes[:, 17], _DRAWING)
        and _stands(data, line_ends - len(_END), _END)
    )
    keys = _between(text, quotes[:, 16], quotes[:, 17]) if spelt else [""]
    if not all(keys):
        return None
    told = _between(text, quotes[:, 2], quotes[:, 3])
    words = {word: index for index, word in enumerate(dict.fromkeys(told))}
    word = np.array([words[word] for word in told], np.int64)
    heads = {"keys": keys, "words": list(words), "word": word, "recognised": true}
    return heads, (quotes[:, 17] + len(_DRAWING) - 3).tolist(), (line_ends - 1).tolist()


def _stands(data: Bytes, places: Int[np.ndarray, " places"], spelling: bytes) -> bool:
    """Whether these bytes stand at all these places."""
    if not len(places):
        return True
    if len(data) < len(spelling) or places.min() < 0 or places.max() > len(data) - len(spelling):
        return False
    windows = np.lib.stride_tricks.sliding_window_view(data, len(spelling))
    return bool((windows[places] == np.frombuffer(spelling, np.uint8)).all())


def _between(
    text: bytes, opening: Int[np.ndarray, " lines"], closing: Int[np.ndarray, " lines"]
) -> list[str]:
    """What is between two quotation marks of every line."""
    told = text.decode("ascii")
    return [told[a:b] for a, b in zip((opening + 1).tolist(), closing.tolist(), strict=True)]


def _strokes(text: Bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Strokes a drawing, points a stroke, and points, of ``0]]],[[[1,2],[3,4]]],[[[0``."""
    digits = text - np.uint8(_ZERO)
    number, closes = digits < 10, text == _CLOSE
    if _ungrammatical(text, number, closes):
        return None
    ends = np.flatnonzero(number[:-1] > number[1:])[1:]
    values = _values(digits * number, number, ends - 2)
    lists = np.flatnonzero(closes[1:].take(ends))
    ends = ends.take(lists)
    stroke = closes[2:].take(ends)
    sizes = np.diff(lists, prepend=-1)[stroke]
    regular = len(lists) == 2 * len(sizes) and not stroke[::2].any() and stroke[1::2].all()
    if values is None or not regular or (2 * running(sizes)[1:] != lists[1::2] + 1).any():
        return None
    # Of each stroke first all x, then all y.
    x = np.arange(sizes.sum()) + np.repeat(running(sizes)[:-1], sizes)
    points = np.stack([values.take(x), values.take(x + np.repeat(sizes, sizes))])
    drawing = np.flatnonzero(closes[3:].take(ends[1::2]))
    return np.diff(drawing, prepend=-1), sizes, points


def _ungrammatical(text: Bytes, number: Mask, closes: Mask) -> bool:
    """Whether anything stands between two numbers but a comma among equal rows of brackets."""
    comma, opens = text == _COMMA, text == _OPEN
    before, behind = comma | opens, comma | closes
    wrong = before[:-1] & behind[1:]
    wrong |= closes[:-1] & number[1:]
    wrong |= opens[1:] > before[:-1]
    # As many brackets before a comma as behind it.
    uneven = closes[2:-4] ^ opens[4:-2]
    uneven |= closes[1:-5] ^ opens[5:-1]
    uneven |= closes[:-6] ^ opens[6:]
    uneven &= comma[3:-3]
    leading = (text == _ZERO)[1:-1] & number[2:]
    leading &= ~number[:-2]
    return bool(
        wrong.any()
        or uneven.any()
        or leading.any()
        or not (number | before | closes).all()
        or any(_in_a_row(what, 4) for what in (number, opens, closes))
    )


def _in_a_row(what: Mask, most: int) -> bool:
    """Whether this many bytes beside each other are of a kind; a power of two."""
    row = what
    while most > 1:
        most //= 2
        row = row[:-most] & row[most:]
    return bool(row.any())


def _values(
    digits: Bytes, number: Mask, hundreds: Int[np.ndarray, " numbers"]
) -> UInt8[np.ndarray, " numbers"] | None:
    """The numbers of one to three digits, each by the place two before its last byte.

    Args:
        digits: 0 where no digit is.
        number: where digits are.
        hundreds: at least 0: no number stands at the start of the text.
    """
    high = digits.take(hundreds) * number[1:].take(hundreds)
    low = digits[1:].take(hundreds) * np.uint8(10) + digits[2:].take(hundreds)
    if ((high > 2) | (high == 2) & (low > 55)).any():
        return None
    return high * np.uint8(100) + low
