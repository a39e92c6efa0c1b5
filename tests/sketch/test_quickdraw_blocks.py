"""Many lines at once give what one line after the other gives, or nothing."""

from __future__ import annotations

import gzip
import json
from itertools import product

import numpy as np
import pytest

from generated import lines, records
from sightline.errors import DrawingError
from sightline.sketch.columns import Columns
from sightline.sketch.formats.quickdraw_blocks import read_block, read_lines
from sightline.sketch.formats.quickdraw_exact import read_exact


def same(ours: Columns | None, theirs: Columns) -> bool:
    """Whether two columns hold the same drawings."""
    assert ours is not None
    names = ("word", "recognised", "raw", "strokes", "lengths", "points")
    equal = [np.array_equal(getattr(ours, n), getattr(theirs, n)) for n in names]
    return all(equal) and ours.keys == theirs.keys and ours.words == theirs.words


def record(drawing: str, before: str = '"word":"cat","key_id":"7"', after: str = "") -> bytes:
    return f'{{{before},"drawing":{drawing}{after}}}\n'.encode()


def test_a_line_by_hand():
    text = record("[[[0,10,255],[7,0,9]],[[3,4],[5,6]]]") + record("[[[1,2],[3,100]]]")
    columns = read_block(text)
    assert columns.keys == ["7", "7"]
    assert columns.words == ["cat"]
    assert columns.word.tolist() == [0, 0]
    assert columns.strokes.tolist() == [2, 1]
    assert columns.lengths.tolist() == [3, 2, 2]
    assert columns.points.tolist() == [[0, 10, 255, 3, 4, 1, 2], [7, 0, 9, 5, 6, 3, 100]]
    assert columns.points.dtype == np.uint8
    assert columns.recognised.all()
    assert not columns.raw.any()


@pytest.mark.parametrize("top", [10, 256, 257, 2_000, 10**9])
def test_whole_numbers_of_any_size(top):
    text = lines(records(60, seed=1, top=top))
    assert same(read_block(text), read_lines(text, "a", 1)[0])


def test_raw_drawings_with_fractions_and_signs():
    luck = np.random.default_rng(3)
    told = records(40)
    for r in told:
        r["drawing"] = [
            [np.round(luck.normal(0, 500, n), luck.integers(0, 6)).tolist() for _ in range(3)]
            for n in luck.integers(1, 30, luck.integers(1, 5))
        ]
    text = lines(told)
    columns = read_block(text)
    assert columns.raw.all()
    assert same(columns, read_lines(text, "a", 1)[0])


def test_fields_in_other_orders_and_more_of_them():
    text = record("[[[1,2],[3,4]]]", after=',"part":["a]","b"],"x":{"y":[1,2]}')
    text += record(
        "[[[1,2],[3,4]]]", before='"x":"\\"drawing\\":[[[","word":"\\u00e9","key_id":"8"'
    )
    columns = read_block(text)
    assert columns.words == ["cat", "é"]
    assert same(columns, read_lines(text, "a", 1)[0])


GOOD = record("[[[1,2],[3,4]]]")

IRREGULAR = {
    "no strokes": record("[]"),
    "an empty stroke": record("[[[],[]]]"),
    "an empty list": record("[[]]"),
    "unequal lists": record("[[[1,2],[3]]]"),
    "lists that are equal by sum": record("[[[1,2],[3]],[[1],[2,3]]]"),
    "one list": record("[[[1,2]]]"),
    "four lists": record("[[[1],[2],[3],[4]]]"),
    "two and three lists": record("[[[1],[2]],[[1],[2],[3]]]"),
    "too flat": record("[[1,2],[3,4]]"),
    "too deep": record("[[[[1,2],[3,4]]]]"),
    "a number beside a list": record("[[[1,2],[3,4]],5]"),
    "a number before a list": record("[[[1,[2]],[3,4]]]"),
    "a list that closes early": record("[[[1,2],[3,4]]],[[[1,2],[3,4]]]"),
    "a list that does not close": record("[[[1,2],[3,4]]"),
    "a comma too many": record("[[[1,,2],[3,4]]]"),
    "a comma at the end": record("[[[1,2,],[3,4]]]"),
    "a leading zero": record("[[[01,2],[3,4]]]"),
    "a leading zero after a sign": record("[[[-01,2],[3,4]]]"),
    "a plus": record("[[[+1,2],[3,4]]]"),
    "a sign alone": record("[[[-,2],[3,4]]]"),
    "a sign inside": record("[[[1-1,2],[3,4]]]"),
    "a bare point": record("[[[.5,2],[3,4]]]"),
    "a point at the end": record("[[[5.,2],[3,4]]]"),
    "two points": record("[[[5.1.2,2],[3,4]]]"),
    "an exponent": record("[[[5e1,2],[3,4]]]"),
    "NaN": record("[[[NaN,2],[3,4]]]"),
    "a word": record("[[[null,2],[3,4]]]"),
    "white space": record("[[[1, 2],[3,4]]]"),
    "text": record('"[[[1,2],[3,4]]]"'),
    "text behind": record("[[[1,2],[3,4]]]5"),
    "no field of its own": b'{"word":"cat","key_id":"7","a":{"drawing":[[[1,2],[3,4]]]}}\n',
    "twice": record("[[[1,2],[3,4]]]", after=',"drawing":[[[1,2],[3,4]]]'),
    "twice, once with a space": record("[[[1,2],[3,4]]]", after=',"drawing" : 3'),
    "inside, beside a number": record("3", after=',"a":{"drawing":[[[1,2],[3,4]]]}'),
    "two records": GOOD[:-1] + GOOD,
    "no label": record("[[[1,2],[3,4]]]", before='"key_id":"7"'),
    "no key": record("[[[1,2],[3,4]]]", before='"word":"cat"'),
    "an empty key": record("[[[1,2],[3,4]]]", before='"word":"cat","key_id":""'),
    "a number as a key": record("[[[1,2],[3,4]]]", before='"word":"cat","key_id":7'),
    "a tab in a word": record("[[[1,2],[3,4]]]", before='"word":"c\tat","key_id":"7"'),
    "no UTF-8": GOOD.replace(b"cat", b"c\xff"),
    "an empty line": b"\n",
    "a list": b"[[[1,2],[3,4]]]\n",
    "no JSON": b"cat\n",
    "half a line": GOOD[:20] + b"\n",
}


@pytest.mark.parametrize("name", IRREGULAR)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_not_regular_is_left_to_the_reader_of_lines(name, place):
    block = [GOOD, GOOD]
    block.insert(place, IRREGULAR[name])
    assert read_block(b"".join(block)) is None


def test_a_block_without_lines_is_nothing():
    assert read_block(b"") is None
    assert read_block(GOOD[:-1]) is None


@pytest.mark.parametrize(("top", "reader"), [(400, read_block), (256, read_exact)])
def test_whatever_byte_is_changed_the_readers_agree(top, reader):
    """Where the block is read at all, every line is good and the drawings are the same."""
    text = lines(records(4, seed=5, top=top))
    luck = np.random.default_rng(11)
    alphabet = np.frombuffer(b'[],.-0123456789"{}:e \n\\a', np.uint8)
    read = 0
    for _ in range(3_000):
        changed = bytearray(text)
        at = int(luck.integers(len(text)))
        kind = luck.integers(3)
        byte = int(luck.choice(alphabet))
        if kind == 0:
            changed[at] = byte
        elif kind == 1:
            changed.insert(at, byte)
        else:
            del changed[at]
        columns = reader(bytes(changed))
        if columns is not None:
            theirs, refused = read_lines(bytes(changed), "a", 1)
            assert refused == [], bytes(changed)
            assert same(columns, theirs), bytes(changed)
            read += 1
    assert read > 300


EXACT = (
    '{{"word":"cat","countrycode":"CH","timestamp":"2017","recognized":true,"key_id":"7",'
    '"drawing":{}}}\n'
)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, line in IRREGULAR.items()
        if b'{"word":"cat","key_id":"7","drawing":' in line and b"[1,2],[3,4]]]}" not in line
    ],
)
def test_irregular_drawings_under_regular_heads_are_left_too(name, place):
    drawing = IRREGULAR[name].decode().split('"drawing":', 1)[1][:-2]
    block = [EXACT.format("[[[1,2],[3,4]]]").encode()] * 2
    assert len(read_exact(b"".join(block))) == 2
    block.insert(place, EXACT.format(drawing).encode())
    assert read_block(b"".join(block)) is None


SEPARATORS = [
    left + middle + right
    for left in ("", "]", "]]", "]]]", "]]]]")
    for middle in (",", "", ",,")
    for right in ("", "[", "[[", "[[[", "[[[[")
]


def test_whatever_stands_between_numbers_the_readers_agree():
    """Every separator in every place between four numbers."""
    read = 0
    for first, second, third in product(SEPARATORS, SEPARATORS, [",", "],[", "]],[["]):
        text = EXACT.format(f"[[[1{first}2{second}3{third}4]]]").encode() * 2
        columns = read_exact(text)
        if columns is not None:
            theirs, refused = read_lines(text, "a", 1)
            assert refused == [], text
            assert same(columns, theirs), text
            read += 1
    assert read == 3  # [[1,2],[3,4]], [[123],[4]], and two strokes of one point


@pytest.mark.parametrize(("number", "read"), [
    ("0", True), ("7", True), ("99", True), ("100", True), ("255", True), ("256", False),
    ("300", False), ("999", False), ("1000", False), ("00", False), ("07", False), ("-1", False),
    ("1.0", False),
])  # fmt: skip
def test_which_numbers_are_read_exactly(number, read):
    text = EXACT.format(f"[[[{number},2],[3,{number}]]]").encode()
    columns = read_exact(text)
    assert (columns is not None) == read
    if columns is not None:
        assert columns.points.tolist() == [[int(number), 2], [3, int(number)]]


@pytest.mark.parametrize("change", [
    ("cat", "c\\u0061t"), ("cat", "c\tat"), ("cat", "c\u00e4t"), ('"7"', '""'), ('"7"', "7"),
    ("true", "null"), (',"timestamp":"2017"', ""), ('"timestamp"', '"timestomp"'), ("{", " {"),
    ("}", "} "), ("2017", '"'), ("CH", 'C","H'),
])  # fmt: skip
def test_which_heads_are_not_read_exactly(change):
    good = EXACT.format("[[[1,2],[3,4]]]")
    assert good.replace(*change) != good
    assert read_exact((good + good).encode()) is not None
    for text in (good + good.replace(*change), good.replace(*change) + good):
        assert read_exact(text.encode()) is None


def test_bad_lines_are_named_and_the_good_ones_kept():
    text = GOOD + b"\n" + IRREGULAR["unequal lists"] + GOOD + b'{"word":"cat"'
    columns, refused = read_lines(text, "cat.ndjson", 11)
    assert len(columns) == 2
    assert "stroke 0 of cat.ndjson line 13 has lists of unequal length" in refused[0]
    assert "cat.ndjson line 15 is not JSON" in refused[1]
    assert "may be truncated" in refused[1]
    with pytest.raises(
        DrawingError, match=r"cat.ndjson line 13 has lists|stroke 0 of cat.ndjson line 13"
    ):
        read_lines(text, "cat.ndjson", 11, raise_bad=True)


def test_what_has_no_name_is_named_by_its_place():
    columns, _ = read_lines(json.dumps({"drawing": [[[1], [2]]]}).encode(), "cat.ndjson", 4)
    assert columns.keys == ["cat.ndjson line 4"]
    assert columns.word.tolist() == [-1]


@pytest.mark.parametrize("name", ["simplified", "raw"])
def test_real_drawings(data, name):
    with gzip.open(data / "quickdraw_30_mini" / f"{name}.ndjson.gz") as stream:
        text = stream.read()
    columns, refused = read_lines(text, name, 1)
    assert refused == []
    assert same(read_block(text), columns)
    assert (columns.raw == (name == "raw")).all()
