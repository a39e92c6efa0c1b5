"""sketch-rnn's arrays: by hand, against numpy's own reader, and files that carry code."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from sightline.errors import DrawingError
from sightline.sketch.formats import arrays
from sightline.sketch.formats.quickdraw import Skipped
from sightline.sketch.formats.stroke3 import (
    as_stroke3,
    as_stroke5,
    from_stroke3,
    from_stroke5,
    read_npz,
    write_npz,
)
from sightline.sketch.sketch import Sketch

ROWS = [[1, 1, 0], [2, 0, 1], [0, 3, 0], [-2, 0, 1]]


def whole_drawings(count: int = 6) -> list[Sketch]:
    luck = np.random.default_rng(0)
    return [
        Sketch.from_strokes(
            [luck.integers(-300, 300, (luck.integers(2, 9), 2)) for _ in range(luck.integers(1, 6))]
        )
        for _ in range(count)
    ]


def points_of(sketch: Sketch) -> list[list[list[float]]]:
    return [stroke.tolist() for stroke in sketch.strokes]


def member(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def ragged(*rows: object) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        array[index] = row
    return array


def npz(path, method=zipfile.ZIP_DEFLATED, **members: bytes):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def raw_pickle(program: bytes, count: int = 1) -> bytes:
    """A member whose header announces objects and whose pickle is the given program."""
    stream = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + program


def test_two_dashes_by_hand():
    sketch = from_stroke3(ROWS, label="equals")
    assert points_of(sketch) == [[[1, 1], [3, 1]], [[3, 4], [1, 4]]]
    assert sketch.label == "equals"
    assert as_stroke3(sketch).tolist() == ROWS
    assert as_stroke3(sketch).dtype == np.int64


def test_the_end_of_the_rows_ends_the_stroke():
    unmarked = [*ROWS[:-1], [-2, 0, 0]]
    assert points_of(from_stroke3(unmarked)) == points_of(from_stroke3(ROWS))


def test_a_dot_left_out_still_moves_the_pen():
    rows = [[5, 5, 1], [1, 0, 0], [1, 0, 1]]
    assert points_of(from_stroke3(rows, on_short="drop")) == [[[6, 5], [7, 5]]]
    with pytest.raises(DrawingError, match="stroke 0 of the drawing has 1; drop it"):
        from_stroke3(rows)


def test_small_integers_do_not_overflow():
    rows = np.array([[30_000, 0, 0]] * 4, dtype=np.int16)
    assert from_stroke3(rows).points[-1].tolist() == [120_000, 0]


def test_round_trips():
    for sketch in whole_drawings():
        assert points_of(from_stroke3(as_stroke3(sketch))) == points_of(sketch)
        assert points_of(from_stroke5(as_stroke5(sketch))) == points_of(sketch)
        longer = as_stroke5(sketch, 90)
        assert longer.shape == (90, 5)
        assert points_of(from_stroke5(longer)) == points_of(sketch)
    floats = Sketch.from_strokes([np.random.default_rng(1).normal(0, 9, (50, 2))])
    np.testing.assert_allclose(from_stroke3(as_stroke3(floats)).points, floats.points, atol=1e-12)


def test_stroke5_is_sketch_rnns():
    """sketch-rnn's own conversion, written down again."""
    for sketch in whole_drawings():
        small, length = as_stroke3(sketch), 60
        big = np.zeros((length, 5))
        big[: len(small), :2] = small[:, :2]
        big[: len(small), 3] = small[:, 2]
        big[: len(small), 2] = 1 - big[: len(small), 3]
        big[len(small) :, 4] = 1
        assert as_stroke5(sketch, length).tolist() == big.tolist()


def test_stroke5_is_read_up_to_its_end():
    rows = [[1, 1, 1, 0, 0], [2, 0, 0, 1, 0], [0, 0, 0, 0, 1], [9, 9, 1, 0, 0]]
    assert points_of(from_stroke5(rows)) == [[[1, 1], [3, 1]]]
    assert points_of(from_stroke5(rows[:2])) == [[[1, 1], [3, 1]]]
    exact = as_stroke5(from_stroke3(ROWS), 4)
    assert exact[:, 4].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("door", "rows", "message"),
    [
        (from_stroke3, [], "toy is empty: a drawing needs at least 1 stroke"),
        (from_stroke3, [[1, 2]], r"toy has shape \[1, 2\]; expected \[rows, 3\] in stroke-3"),
        (from_stroke3, [["a", 0, 0]], "toy holds values that are no numbers"),
        (from_stroke3, [[10**400, 0, 0]], "toy holds values that are no numbers"),
        (
            from_stroke3,
            [[0, 0, 0], [1, 1, 2]],
            r"row 1 of toy has pen_up 2; expected 0 \(down\) or 1",
        ),
        (from_stroke3, [[0, 0, 0], [np.nan, 1, 1]], r"point 1 of stroke 0 of toy is \[nan, 1.0\]"),
        (from_stroke3, [[0, 0, 0], [1, 3e6, 1]], r"point 1 of stroke 0 .* beyond 1e\+06"),
        (from_stroke3, [[1, 1, 0], [1, 1, 1]] * 5000, "toy has 5000 strokes, more than 2000"),
        (
            from_stroke5,
            [[0, 0, 1, 1, 0]],
            r"row 0 of toy has pen states \[1.0, 1.0, 0.0\]; expected",
        ),
        (from_stroke5, [[0, 0, 0, 0, 1]], "toy is empty"),
        (from_stroke5, ROWS, r"toy has shape \[4, 3\]; expected \[rows, 5\] in stroke-5"),
    ],
)
def test_bad_rows_are_refused(door, rows, message):
    with pytest.raises(DrawingError, match=message):
        door(rows, name="toy")


def test_stroke5_refuses_to_cut_a_drawing():
    with pytest.raises(DrawingError, match="has 4 points, more than length 3; simplify it or ask"):
        as_stroke5(from_stroke3(ROWS), 3)


@pytest.mark.parametrize("name", ["omniglot", "short_kanji"])
@pytest.mark.parametrize("split", ["valid", "test"])
def test_sketch_rnns_own_files_read_as_numpy_reads_them(data, name, split):
    path = data / "stroke3_npz" / f"{name}.npz"
    known = np.load(path, allow_pickle=True, encoding="latin1")[split]  # a file that we trust
    read = read_npz(path, split)
    assert len(read) == len(known)
    for index, (sketch, rows) in enumerate(zip(read, known, strict=True)):
        assert sketch.name == f"{name}.npz {split} row {index}"
        lengths = np.diff(np.flatnonzero(np.append(1, rows[:, 2])))
        pen = rows[:, :2].astype(int).cumsum(0)
        long = [s for s in np.split(pen, lengths.cumsum()[:-1]) if len(s) > 1]
        assert points_of(sketch) == [s.tolist() for s in long]


def test_npz_comes_back_whole_and_as_numpy_would_read_it(tmp_path):
    path, sketches = tmp_path / "some.npz", whole_drawings()
    floats = Sketch.from_strokes([[(0.25, 0.5), (1.75, -8.5)]])
    write_npz(path, {"test": sketches, "train": [floats]})
    assert [points_of(s) for s in read_npz(path, "test")] == [points_of(s) for s in sketches]
    assert [points_of(s) for s in read_npz(path)] == [points_of(s) for s in [floats, *sketches]]
    assert read_npz(path, "valid") == []
    with np.load(path, allow_pickle=True) as numpys:
        assert [r.tolist() for r in numpys["test"]] == [as_stroke3(s).tolist() for s in sketches]
        assert numpys["test"][0].dtype == np.int16
        assert numpys["train"][0].dtype == np.float64


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(
        DrawingError, match=r"unknown split 'tests'; did you mean 'test'\? Known: train"
    ):
        write_npz(tmp_path / "some.npz", {"tests": []})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", range(5))
def test_pickles_of_every_protocol_are_read(tmp_path, protocol):
    rows = ragged(
        np.array(ROWS, np.int16), np.asfortranarray(ROWS, dtype=">f8"), np.array(ROWS, "?")
    )
    path = npz(tmp_path / "p.npz", test=raw_pickle(pickle.dumps(rows, protocol), 3))
    read = read_npz(path)
    assert [as_stroke3(s).tolist() for s in read[:2]] == [ROWS, ROWS]
    assert as_stroke3(read[2])[:, :2].tolist() == [[1, 1], [1, 0], [0, 1], [1, 0]]


def test_arrays_without_a_pickle_are_read(tmp_path):
    path = npz(tmp_path / "p.npz", train=member(np.array([ROWS, ROWS])))
    assert [as_stroke3(s).tolist() for s in read_npz(path)] == [ROWS, ROWS]


def test_drawings_of_equal_length_make_one_array_of_objects(tmp_path):
    block = np.array([ROWS, ROWS], dtype=object)
    block[1, 0, 0] = np.int16(1)  # a numpy scalar has a pickle of its own
    path = npz(tmp_path / "p.npz", train=raw_pickle(pickle.dumps(block, 2), 2))
    assert [as_stroke3(s).tolist() for s in read_npz(path)] == [ROWS, ROWS]


class Attack:
    """Pickles as a call of os.system."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("place", ["instead", "inside"])
def test_a_file_that_carries_code_is_refused_and_not_run(tmp_path, place):
    proof = tmp_path / "proof"
    attack = Attack(f"echo run > {proof}")
    rows = attack if place == "instead" else ragged(np.array(ROWS), attack)
    path = npz(tmp_path / "evil.npz", train=raw_pickle(pickle.dumps(rows), 2))
    message = r"evil.npz train asks for \w+.system: .* the file carries code \(not run here\)"
    for on_error in ("raise", "skip"):
        with pytest.raises(DrawingError, match=message):
            read_npz(path, on_error=on_error)
    assert not proof.exists()
    # The attack is a real one: numpy, told to trust the file, runs it.
    program = f"import numpy; numpy.load({str(path)!r}, allow_pickle=True)['train']"
    subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert proof.exists()


@pytest.mark.parametrize("name", ["builtins eval", "numpy load", "numpy._core.multiarray fromfile"])
def test_no_other_name_is_known(tmp_path, name):
    module, attribute = name.split()
    program = f"c{module}\n{attribute}\n.".encode()
    path = npz(tmp_path / "evil.npz", test=raw_pickle(program))
    with pytest.raises(DrawingError, match=f"asks for {module}.{attribute}: expected nothing but"):
        read_npz(path)


def state(data: object, shape: tuple[int, ...] = (2, 3), dtype: str = "i2") -> bytes:
    """A member of one row whose every part is the attacker's choice."""

    class Row:
        def __reduce__(self):
            make, arguments, _ = np.zeros(0, "b").__reduce__()
            return make, arguments, (1, shape, np.dtype("i2"), False, data)

    def text(code: str) -> bytes:
        return b"X" + len(code).to_bytes(4, "little") + code.encode()

    return raw_pickle(pickle.dumps(ragged(Row()), 2).replace(text("i2"), text(dtype)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (raw_pickle(b""), "p.npz train is damaged: its pickle ends in EOFError"),
        (raw_pickle(b"(lp0\n."), "train holds no list of arrays; expected one array a drawing"),
        (
            raw_pickle(pickle.dumps(ragged(np.array(ROWS)))[:-9]),
            "train is damaged: its pickle ends",
        ),
        (state(b"x" * 16, dtype="V8"), "a dtype that is no plain number"),
        (state(10**9), "array data of type int"),
        (state(b"x" * 10), "cannot reshape"),
        (state(b"x" * 12, (2, 10**12)), "cannot reshape"),
        (member(np.zeros((2, 3), "c16")), r"train holds complex128 of shape \(2, 3\); expected"),
        (member(np.zeros((), "f8")), "train holds float64 of shape"),
        (member(np.zeros((4, 5, 3)))[:-8], "train is truncated: 480 bytes announced"),
        (b"no array at all", "train is no .npy array of version 1 or 2"),
    ],
)
def test_damaged_members_are_told(tmp_path, content, message):
    with pytest.raises(DrawingError, match=message):
        read_npz(npz(tmp_path / "p.npz", train=content))


def test_hand_made_states_can_be_read_at_all(tmp_path):
    """Else the refusals above would prove nothing."""
    data = np.array(ROWS[:2], "i2").tobytes()
    path = npz(tmp_path / "p.npz", train=state(data))
    assert points_of(read_npz(path)[0]) == [[[1, 1], [3, 1]]]


def test_bad_rows_are_told_or_skipped_and_counted(tmp_path):
    rows = ragged(
        np.array(ROWS), np.array([[0, 0, 7]]), [[1, 1, 0]], np.zeros((0, 3)), np.array(ROWS)
    )
    path = npz(tmp_path / "p.npz", train=member(rows))
    with pytest.raises(DrawingError, match=r"row 0 of p.npz train row 1 has pen_up 7"):
        read_npz(path)
    skipped = Skipped()
    read = read_npz(path, on_error="skip", skipped=skipped)
    assert [s.name for s in read] == ["p.npz train row 0", "p.npz train row 4"]
    assert skipped.count == 3
    assert "p.npz train row 2 is a list; expected an array" in skipped.reasons[1]
    assert "p.npz train row 3 is empty" in skipped.reasons[2]


def test_a_drawing_of_5000_strokes_is_refused(tmp_path):
    rows = ragged(np.array([[1, 1, 0], [1, 1, 1]] * 5000))
    with pytest.raises(DrawingError, match=r"p.npz train row 0 has 5000 strokes, more than 2000"):
        read_npz(npz(tmp_path / "p.npz", train=member(rows)))


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST_MEMBER", 10_000)
    path = npz(tmp_path / "p.npz", train=member(np.zeros((900, 4, 3))))
    assert path.stat().st_size < 1000
    with pytest.raises(
        DrawingError, match="train unpacks to 86528 bytes, more than 10000; if that"
    ):
        read_npz(path)


def test_one_block_told_a_thousand_times_is_refused(tmp_path):
    row = np.tile(ROWS[0], (3000, 1))
    block = row.tobytes()

    class Again:
        def __reduce__(self):
            built = np.zeros(0, "b").__reduce__()
            return built[0], built[1], (1, row.shape, row.dtype, False, block)

    path = npz(tmp_path / "p.npz", train=member(ragged(*(Again() for _ in range(1000)))))
    with pytest.raises(DrawingError, match="train repeats its data to more than it holds: refused"):
        read_npz(path)


def test_what_is_no_npz_file_is_told(tmp_path):
    whole = npz(tmp_path / "p.npz", train=member(ragged(np.array(ROWS))))
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        DrawingError, match=r"p.npz is truncated or no .npz file .*; fetch it again"
    ):
        read_npz(whole)
    spoiled = bytearray(content)
    spoiled[60:70] = bytes(10)
    whole.write_bytes(spoiled)
    with pytest.raises(DrawingError, match=r"p.npz"):
        read_npz(whole)
    packed = npz(tmp_path / "q.npz", zipfile.ZIP_LZMA, train=member(ragged(np.array(ROWS))))
    with pytest.raises(DrawingError, match="packed in a way that numpy does not use"):
        read_npz(packed)


def test_splits_that_are_not_there_are_told(tmp_path):
    path = npz(tmp_path / "p.npz", train=member(ragged(np.array(ROWS))), other=b"")
    with pytest.raises(
        DrawingError, match=r"p.npz has no array test; it holds train.npy, other.npy"
    ):
        read_npz(path, "test")
    odd = npz(tmp_path / "q.npz", **{"../train": b""})
    with pytest.raises(DrawingError, match=r"q.npz has no array train, valid or test; it holds"):
        read_npz(odd)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.npz", "q.npz"]
