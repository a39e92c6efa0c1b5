"""Label Studio's export: bits by hand, against a plain decoder, and every way it can be broken."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sightline.alignment.formats.label_studio import read_label_studio, write_label_studio
from sightline.alignment.formats.runs import decode_brush, encode_brush
from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.errors import AlignmentError

CONVERTER = [0, 0, 0, 8, 57, 27, 248, 1, 32, 4, 0, 14, 6, 68, 96, 32]
"""Red, green, blue, alpha 9, 8, 7, 200 and four times 1, by label-studio-sdk 2.1.2."""

CONVERTER_MASK = [0, 0, 0, 24, 57, 27, 252, 96, 19, 255, 199, 1, 56, 0]
"""[[0, 255, 255], [128, 0, 0]] by its mask2rle."""


CONVERTER_NIGHT = [0, 5, 126, 64, 57, 27, *[255, 255, 255, 0], *[255, 255, 224, 31],
                   *[255, 252, 3, 255], *[255, 128, 127, 255], *[240, 14, 252, 126], 0]  # fmt: skip
"""300 x 300 zeros: more than one run holds."""


def packed(bits: str) -> list[int]:
    bits = bits.replace(" ", "")
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def plain_decode(runs: list[int]) -> list[int]:
    """All words, read bit by bit from a text of zeros and ones."""
    text, at = "".join(f"{byte:08b}" for byte in runs), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(text[at - count : at], 2)

    words, _ = take(32), take(5)
    sizes, out = [take(4) + 1 for _ in range(4)], []
    while len(out) < words:
        repeated = take(1)
        count = take(sizes[take(2)]) + 1
        out += [take(8)] * count if repeated else [take(8) for _ in range(count)]
    return out


HEAD = f"{8:032b} 00111 0010 0011 0111 1111"
LITERAL = "0 00 011" + "".join(f"{word:08b}" for word in (9, 8, 7, 200))
REPEATED = f"1 01 0011 {255:08b}"


def export(tmp_path, regions: list, *, item: str = "duck.jpg", **annotation) -> str:
    task = {
        "id": 41,
        "data": {"image": item},
        "annotations": [{"result": regions} | annotation],
    }
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task]))
    return str(path)


def brush(mask: np.ndarray, name: str = "must look", **changes) -> dict:
    value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": [name]}
    region = {
        "type": "brushlabels",
        "original_height": mask.shape[0],
        "original_width": mask.shape[1],
        "value": value,
    }
    return region | changes


def shape(kind: str, size: tuple[int, int], name: str = "must look", **value) -> dict:
    return {
        "type": kind,
        "original_height": size[0],
        "original_width": size[1],
        "value": value | {kind: [name]},
    }


DOT = np.array([[0, 255, 0], [0, 0, 0]], np.uint8)


def test_bits_by_hand():
    alpha = decode_brush(packed(HEAD + LITERAL + REPEATED), (1, 2), "a mask")
    assert alpha.tolist() == [[200, 255]]


def test_what_label_studios_own_converter_packs():
    assert decode_brush(CONVERTER, (1, 2), "a mask").tolist() == [[200, 1]]
    mask = np.array([[0, 255, 255], [128, 0, 0]], np.uint8)
    assert decode_brush(CONVERTER_MASK, (2, 3), "a mask").tolist() == mask.tolist()
    assert encode_brush(mask) == CONVERTER_MASK
    assert not decode_brush(CONVERTER_NIGHT, (300, 300), "a mask").any()
    assert encode_brush(np.zeros((300, 300), np.uint8)) == CONVERTER_NIGHT


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (31, 64), (300, 260)])
@pytest.mark.parametrize("levels", [1, 2, 256])
def test_masks_come_back_as_a_plain_decoder_reads_them(size, levels):
    luck = np.random.default_rng(size[0] + levels)
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 3 :] = (
        255 * luck.integers(0, levels, (size[0] - size[0] // 3, size[1])) // max(levels - 1, 1)
    )
    runs = encode_brush(mask)
    if mask.size < 3000:
        words = np.array(plain_decode(runs)).reshape(*size, 4)
        assert (words == mask[..., None]).all()
    assert (decode_brush(runs, size, "a mask") == mask).all()


def test_other_sizes_of_lengths_and_chunks_of_any_length(monkeypatch):
    monkeypatch.setattr("sightline.alignment.formats.runs.CHUNK", 5)
    luck = np.random.default_rng(0)
    bits, words = f"{400:032b} 00111 0000 0001 0010 0100", []
    sizes = (1, 2, 3, 5)
    while len(words) < 400:
        which, repeated = luck.integers(4), luck.integers(2)
        count = min(int(luck.integers(1, (1 << sizes[which]) + 1)), 400 - len(words))
        values = luck.integers(0, 256, 1 if repeated else count).tolist()
        bits += f"{repeated}{which:02b}{count - 1:0{sizes[which]}b}"
        bits += "".join(f"{value:08b}" for value in values)
        words += values * (count if repeated else 1)
    runs = packed(bits)
    assert plain_decode(runs) == words
    assert decode_brush(runs, (10, 10), "a mask").ravel().tolist() == words[3::4]


def test_labels_come_back_soft_values_too(tmp_path):
    steps = np.random.default_rng(1).integers(0, 256, (20, 30)).astype(np.float32)
    soft, rest = steps / 255, (255 - steps) / 255
    rows = [
        AttentionLabel(
            "a b/duck#1.jpg", soft, None, 0.25, "ada@example.org", "2026-05-01T10:00:00Z"
        ),
        AttentionLabel("goose.jpg", None, soft > 0.5, author="bob@example.org"),
        AttentionLabel("a b/duck#1.jpg", soft, rest),
    ]
    path = tmp_path / "labels.json"
    address = "/data/local-files/?d=photos/{}"
    write_label_studio(path, AttentionLabels.from_rows(rows), address=address)
    back = read_label_studio(path)
    assert [label.item for label in back] == ["a b/duck#1.jpg"] * 2 + ["goose.jpg"]
    for old, new in zip((rows[0], rows[2], rows[1]), back, strict=True):
        assert (new.weight, new.author, new.time) == (old.weight, old.author, old.time)
        for side in ("must", "must_not"):
            np.testing.assert_array_equal(new.either(side), old.either(side))


def test_other_values_become_the_nearest_of_256(tmp_path):
    path = tmp_path / "labels.json"
    write_label_studio(path, AttentionLabels.from_rows([AttentionLabel("a.jpg", [[0.999, 0.001]])]))
    (label,) = read_label_studio(path)
    assert label.must.tolist() == [[1.0, 0.0]]


def test_regions_of_one_annotation_are_one_label(tmp_path):
    other = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)
    path = export(tmp_path, [brush(DOT), brush(other), brush(other, "noise")])
    (label,) = read_label_studio(path, must_not=("noise", "shadow"))
    assert label.must.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert label.must_not.tolist() == [[0, 0, 0], [1, 0, 0]]


def test_polygons_and_rectangles_by_hand(tmp_path):
    corners = [[0, 0], [50, 0], [50, 100], [0, 100]]  # percent: the left half
    (label,) = read_label_studio(export(tmp_path, [shape("polygonlabels", (2, 4), points=corners)]))
    assert label.must.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]
    box = {"x": 25, "y": 50, "width": 50, "height": 50}
    (label,) = read_label_studio(export(tmp_path, [shape("rectanglelabels", (2, 4), **box)]))
    assert label.must.tolist() == [[0, 0, 0, 0], [0, 1, 1, 0]]


def test_a_turned_rectangle_turns_about_its_first_corner(tmp_path):
    box = {"x": 50, "y": 0, "width": 25, "height": 25, "rotation": 90}  # clockwise: to the left
    (label,) = read_label_studio(export(tmp_path, [shape("rectanglelabels", (4, 4), **box)]))
    assert label.must.tolist() == [[0, 1, 0, 0], *[[0, 0, 0, 0]] * 3]


@pytest.mark.parametrize(
    ("address", "strip", "item"),
    [
        ("duck.jpg", False, "duck.jpg"),
        ("/data/upload/3/1f0c77aa-duck.jpg", False, "1f0c77aa-duck.jpg"),
        ("/data/upload/3/1f0c77aa-duck.jpg", True, "duck.jpg"),
        ("/data/local-files/?d=photos/a%20duck.jpg", False, "a duck.jpg"),
        ("s3://bucket/photos/duck.jpg", False, "duck.jpg"),
        ("https://example.org/duck%201.jpg?key=7", False, "duck 1.jpg"),
        ("upload\\1f0c77aa-duck.jpg", True, "duck.jpg"),
        ("beefcafe.jpg", True, "beefcafe.jpg"),
    ],
)
def test_names_of_photos(tmp_path, address, strip, item):
    path = export(tmp_path, [brush(DOT)], item=address)
    assert read_label_studio(path, strip_prefix=strip).items == (item,)


@pytest.mark.parametrize(
    ("told", "author", "time"),
    [
        ({"completed_by": 7, "created_at": "2026-01-02T03:04:05Z"}, "7", "2026-01-02T03:04:05Z"),
        ({"completed_by": {"id": 7, "email": "ada@example.org"}}, "ada@example.org", ""),
        ({"completed_by": {"id": 7}}, "7", ""),
        ({"created_username": " ada, 1", "created_at": 0}, "ada, 1", "1970-01-01T00:00:00+00:00"),
        ({}, "", ""),
    ],
)
def test_authors_and_times(tmp_path, told, author, time):
    (label,) = read_label_studio(export(tmp_path, [brush(DOT)], **told))
    assert (label.author, label.time) == (author, time)


def test_several_people_are_several_labels_also_in_old_exports(tmp_path):
    task = {"id": 1, "data": {"photo": "duck.jpg"}}
    task["completions"] = [{"result": [brush(DOT)], "completed_by": by} for by in (1, 2)]
    path = tmp_path / "old.json"
    path.write_text(json.dumps([task]))
    labels = read_label_studio(path, image_key="photo")
    assert [label.author for label in labels.of("duck.jpg")] == ["1", "2"]


def test_what_is_left_out_is_counted(tmp_path):
    choice = {"type": "choices", "value": {"choices": ["fine"]}}
    nameless = brush(DOT) | {"value": {"format": "rle", "rle": encode_brush(DOT)}}
    path = export(tmp_path, [choice, nameless, brush(0 * DOT)])
    assert read_label_studio(path).notes == (
        "1 region(s) of type 'choices' left out of export.json",
        "1 region(s) without a name left out of export.json",
        "1 annotation(s) that mark nothing left out of export.json",
    )
    skipped = read_label_studio(export(tmp_path, [brush(DOT)], was_cancelled=True))
    assert len(skipped) == 0
    assert skipped.notes == ("1 skipped annotation(s) left out of export.json",)


RUNS = encode_brush(DOT)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (RUNS[:-3], "cut off: [0-9] of 6 pixels; export it anew"),
        (RUNS[:5], "cut off: 5 bytes in all"),
        (RUNS[:7], "cut off"),
        ([*RUNS, 0, 0], "go on after its 6 pixels"),
        ([*RUNS, 1], "go on after its 6 pixels"),
        ([0, 0, 0, 28, *RUNS[4:]], r"runs of 7 pixels, but states 2 x 3 .* = 6; export"),
        ([*RUNS[:4], 0, *RUNS[5:]], "words of 1 bits; expected 8"),
        ([300, *RUNS[1:]], "no list of whole numbers from 0 to 255"),
        ([0.5, *RUNS[1:]], "no list of whole numbers from 0 to 255"),
        ("AAAA", "'rle' that is no list"),
    ],
)
def test_broken_runs_name_file_and_task(tmp_path, runs, message):
    region = brush(DOT)
    region["value"]["rle"] = runs
    with pytest.raises(AlignmentError, match=r"task 41 of export\.json \(duck\.jpg\).*" + message):
        read_label_studio(export(tmp_path, [region]))


def test_a_last_run_too_long_or_without_its_word():
    longer = HEAD + LITERAL + f"1 01 0111 {255:08b}"  # eight words where four are left
    with pytest.raises(AlignmentError, match="go on after its 2 pixels"):
        decode_brush(packed(longer), (1, 2), "a mask")
    whole = packed(HEAD + LITERAL + REPEATED)
    with pytest.raises(AlignmentError, match="cut off"):
        decode_brush(whole[:-1], (1, 2), "a mask")


def test_one_pad_byte_more_is_what_the_converter_writes():
    assert (decode_brush([*RUNS, 0], (2, 3), "a mask") == DOT).all()


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ([brush(DOT, "mustlook")], "unknown label 'mustlook'; did you mean 'must look'.*must_not"),
        ([brush(DOT), brush(DOT.T)], "two sizes, .* in one annotation"),
        ([brush(DOT, original_width=None)], "original_width None"),
        ([brush(DOT, image_rotation=90)], "turned by 90 degrees; turn the file"),
        ([brush(DOT, meta={"weight": "much"})], "weight 'much'; expected a number"),
        ([brush(DOT, original_width=10**9)], "decoded up to 100,000,000"),
        ([shape("polygonlabels", (2, 4), points=[[0, 0], [1, 1]])], "polygon of 4 numbers"),
        ([shape("polygonlabels", (2, 4), points=[[0, "x"]])], "expected a list of 2 numbers"),
        ([7], "region without a 'value'"),
    ],
)
def test_broken_regions_name_file_and_task(tmp_path, regions, message):
    with pytest.raises(AlignmentError, match=r"export\.json.*" + message) as error:
        read_label_studio(export(tmp_path, regions))
    assert "task 41" in str(error.value)


def test_a_label_of_another_photo_is_told_with_both_sizes(tmp_path):
    path = export(tmp_path, [brush(DOT)])
    assert len(read_label_studio(path, sizes={"duck.jpg": (200, 300)})) == 1
    with pytest.raises(AlignmentError, match=r"labelled at \(2, 3\) .* its photo is \(30, 20\)"):
        read_label_studio(path, sizes={"duck.jpg": (30, 20)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"id": 1', "written half"),
        ("{}", "no list of tasks; export from Label Studio as 'JSON'"),
        ("[3]", "task 0 of broken.json has no 'data'"),
        ('[{"id": 5, "data": {"image": "a.jpg"}}]', "task 5 .* not as 'JSON-MIN'"),
        ('[{"data": {"foto": "a.jpg"}, "annotations": []}]', "keys: foto.*image_key"),
        ('[{"data": {"image": "a/.."}, "annotations": []}]', "leaves its folder"),
        ('[{"data": {"image": "a.jpg"}, "annotations": [{}]}]', "without a list 'result'"),
    ],
)
def test_broken_files(tmp_path, text, message):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(AlignmentError, match=message):
        read_label_studio(path)


def test_other_mistakes(tmp_path):
    with pytest.raises(AlignmentError, match="does not exist"):
        read_label_studio(tmp_path / "none.json")
    with pytest.raises(AlignmentError, match=r"\['a'\] are given as must and as must_not"):
        read_label_studio(tmp_path / "none.json", must=["a"], must_not=["a"])
    strokes = AttentionLabels.from_rows([AttentionLabel("cat", must=[1, 0])])
    with pytest.raises(AlignmentError, match="'cat' is one of strokes"):
        write_label_studio(tmp_path / "out.json", strokes)
    assert not (tmp_path / "out.json").exists()
