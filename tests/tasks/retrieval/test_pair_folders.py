"""The loaders, on generated pairs written in the layouts of the published sets."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pair_layouts import few_pairs, write_drawing, write_shoev2, write_sketchy, write_train_test
from sightline.errors import TaskError
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.tasks.retrieval.pair_drawings import framed_ink, read_ink, read_strokes
from sightline.tasks.retrieval.pair_folders import read_pair_folder
from toys import unchecked


@pytest.fixture(scope="module")
def pairs():
    return few_pairs(6)


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


# --- layouts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize("transform", ["", "tx_000100000000"])
def test_sketchy(tmp_path, pairs, suffix, transform):
    found = read_pair_folder(write_sketchy(tmp_path, pairs, suffix=suffix, transform=transform))
    assert sorted(found.photos) == sorted(
        f"{p.family}/{p.name.replace('-', '_')}" for p in pairs[::2]
    )
    assert len(found) == 12
    first = next(d for d in found.drawings if d.category == pairs[0].family)
    category, name = pairs[0].family, pairs[0].name.replace("-", "_")
    assert first.instance == f"{category}/{name}"
    assert first.name.endswith(f"{category}/{name}-1{suffix}")
    assert first.photo == found.photos[first.instance]
    assert first.photo.is_file()
    assert first.drawing == tmp_path / first.name
    assert found.left_out == ()


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_shoev2(tmp_path, pairs, suffix):
    found = read_pair_folder(write_shoev2(tmp_path, pairs, suffix=suffix))
    assert list(found.photos) == sorted(p.name.replace("-", "_") for p in pairs[::2])
    first = next(iter(found.photos))
    names = [d.name for d in found.drawings if d.instance == first]
    assert names == [f"sketch/{first}_{k}{suffix}" for k in (1, 2)]
    assert {d.category for d in found.drawings} == {None}
    assert all(d.photo.stem == d.instance for d in found.drawings)


def test_folders_of_training_and_test(tmp_path, pairs):
    found = read_pair_folder(write_train_test(tmp_path, pairs[:8], pairs[8:]))
    assert {i for i, split in found.splits.items() if split == "test"} == {
        p.name.replace("-", "_") for p in pairs[8:]
    }
    assert len(found.split("test")) == 4
    assert {d.drawing.parent.name for d in found.split("test").drawings} == {"testA"}


def test_a_drawing_may_have_the_name_of_its_photo(tmp_path):
    touch(tmp_path, "trainA/7.png", "trainB/7.png", "testA/8_1.png", "testB/8_1.png")
    found = read_pair_folder(tmp_path)
    assert [d.instance for d in found.drawings] == ["8_1", "7"]


def test_the_very_name_of_a_photo_goes_before_a_number(tmp_path):
    touch(tmp_path, "photo/25.png", "photo/25_1.png", "photo/31.png")
    touch(tmp_path, "sketch/25.png", "sketch/25_1.png", "sketch/25_2.png", "sketch/31_1.png")
    assert {d.name: d.instance for d in read_pair_folder(tmp_path).drawings} == {
        "sketch/25.png": "25",
        "sketch/25_1.png": "25_1",
        "sketch/25_2.png": "25",
        "sketch/31_1.png": "31",
    }


def test_a_number_is_cut_off_first_where_the_photo_has_numbered_drawings(tmp_path):
    touch(tmp_path, "photo/8.png", "photo/8_1.png", "sketch/8_1.png", "sketch/8_1_1.png")
    found = read_pair_folder(tmp_path)
    assert {d.name: d.instance for d in found.drawings} == {
        "sketch/8_1.png": "8",
        "sketch/8_1_1.png": "8_1",
    }


def test_strokes_win_over_a_picture_of_the_same_drawing(tmp_path):
    touch(tmp_path, "photo/8.jpg", "sketch/8_1.png", "sketch/8_1.svg", "sketch/8_2.png")
    assert [d.name for d in read_pair_folder(tmp_path).drawings] == [
        "sketch/8_1.svg",
        "sketch/8_2.png",
    ]
    both = touch(tmp_path / "sketchy", "photo/cup/n1.jpg", "sketch/cup/n1-1.png")
    touch(both, "sketches/cup/n1-1.svg", "sketches/cup/n1-2.svg", "sketches/cup/invalid.txt")
    names = [d.name for d in read_pair_folder(both).drawings]
    assert names == ["sketches/cup/n1-1.svg", "sketches/cup/n1-2.svg"]


def test_a_photo_without_a_drawing_stands_in_the_gallery(tmp_path):
    touch(tmp_path, "photo/1.png", "photo/2.png", "sketch/1_1.png", "photo/.hidden.png")
    found = read_pair_folder(tmp_path)
    assert list(found.photos) == ["1", "2"]
    assert len(found) == 1


def test_one_of_several_transforms_is_chosen(tmp_path):
    for tx in ("tx_0", "tx_1"):
        touch(tmp_path, f"photo/{tx}/cup/n1.jpg", f"sketch/{tx}/cup/n1-1.png")
    with pytest.raises(TaskError, match=r"holds tx_0, tx_1; say which one .* transform='tx_0'"):
        read_pair_folder(tmp_path)
    found = read_pair_folder(tmp_path, transform="tx_1")
    assert [d.name for d in found.drawings] == ["sketch/tx_1/cup/n1-1.png"]
    with pytest.raises(TaskError, match="'tx_2' is not there"):
        read_pair_folder(tmp_path, transform="tx_2")


# --- splits ---------------------------------------------------------------------------------------


def many(root, count=200):
    return touch(
        root,
        *(f"photo/{i}.png" for i in range(count)),
        *(f"sketch/{i}_{k}.png" for i in range(count) for k in (1, 2, 3)),
    )


def test_an_instance_is_in_one_split_and_stays_there(tmp_path):
    found = read_pair_folder(many(tmp_path), seed=1)
    parts = {name: found.split(name) for name in ("train", "valid", "test")}
    assert sum(len(part.photos) for part in parts.values()) == 200
    assert sum(len(part) for part in parts.values()) == 600
    for part in parts.values():
        assert {d.instance for d in part.drawings} == set(part.photos)
        assert len(part) == 3 * len(part.photos)
    assert 140 < len(parts["train"].photos) < 180
    (tmp_path / "photo/00.png").touch()  # near the beginning of the order
    more = read_pair_folder(tmp_path, seed=1).splits
    assert all(more[name] == split for name, split in found.splits.items())
    assert read_pair_folder(tmp_path, seed=2).splits != more


def test_a_tenth_of_the_training_is_for_validation(tmp_path):
    names = [f"trainB/{i}.png" for i in range(200)] + [f"trainA/{i}_1.png" for i in range(200)]
    touch(tmp_path, *names, "testB/x.png", "testA/x_1.png")
    found = read_pair_folder(tmp_path)
    assert list(found.split("test").photos) == ["x"]
    assert 8 < len(found.split("valid").photos) < 35
    assert len(found.split("valid").photos) + len(found.split("train").photos) == 200
    touch(tmp_path, "valB/y.png", "valA/y_1.png")
    assert list(read_pair_folder(tmp_path).split("valid").photos) == ["y"]


def test_folders_of_splits_around_a_layout(tmp_path):
    for split in ("train", "val", "test"):
        touch(tmp_path, f"{split}/photo/cup/{split}.jpg", f"{split}/sketch/cup/{split}-1.png")
    found = read_pair_folder(tmp_path)
    assert found.splits == {"cup/test": "test", "cup/train": "train", "cup/val": "valid"}


def test_sketchys_own_list_is_the_test(tmp_path):
    for i in range(100):
        touch(tmp_path, f"photo/cup/n{i}.jpg", f"sketch/cup/n{i}-1.png")
    (tmp_path / "info").mkdir()
    (tmp_path / "info/testset.txt").write_text("cup/n3.jpg\ncup/n70.jpg\nother/n3.jpg\n")
    found = read_pair_folder(tmp_path)
    assert list(found.split("test").photos) == ["cup/n3", "cup/n70"]
    assert 2 < len(found.split("valid").photos) < 25
    assert found.left_out == ("info/testset.txt: 'other/n3.jpg' is no photo",)
    (tmp_path / "info/testset.txt").write_text("nothing\n")
    with pytest.raises(TaskError, match="names none of the 100 photos"):
        read_pair_folder(tmp_path)


def test_names_of_the_list_may_have_blanks(tmp_path):
    for i in range(40):
        touch(tmp_path, f"photo/tea cup/n {i}.jpg", f"sketch/tea cup/n {i}-1.png")
    (tmp_path / "testset.txt").write_bytes(
        b"\xef\xbb\xbftea cup/n 0.jpg \r\n\r\ntea cup/n 7.jpg\r\n"
    )
    found = read_pair_folder(tmp_path)
    assert list(found.split("test").photos) == ["tea cup/n 0", "tea cup/n 7"]
    assert found.left_out == ()


def test_a_digest_is_of_what_a_training_sees(tmp_path):
    def written(root):
        return touch(root, "photo/1.png", "photo/2.png", "photo/3.png", "sketch/1_1.png")

    one, other = written(tmp_path / "a/set"), written(tmp_path / "b/named")
    plain = read_pair_folder(one).digest
    assert read_pair_folder(other).digest == plain
    told = {plain}
    touch(other, "sketch/2_1.png")  # another drawing
    told.add(read_pair_folder(other).digest)
    (other / "sketch/2_1.png").write_bytes(b"ink")  # a larger one
    told.add(read_pair_folder(other).digest)
    (other / "photo/3.png").write_bytes(b"light")  # of the gallery alone
    told.add(read_pair_folder(other).digest)
    found = read_pair_folder(other)
    moved = dict.fromkeys(found.splits, "test" if found.splits["1"] == "train" else "train")
    told.add(replace(found, splits=moved).digest)
    assert len(told) == 5


def test_another_transform_has_another_digest(tmp_path):
    for tx in ("tx_0", "tx_1"):
        touch(tmp_path, f"photo/{tx}/cup/n1.jpg", "sketches/cup/n1-1.svg")
    told = {read_pair_folder(tmp_path, transform=tx).digest for tx in ("tx_0", "tx_1")}
    assert len(told) == 2


def test_an_instance_in_two_splits_is_an_error(tmp_path):
    touch(tmp_path, "trainA/1_1.png", "trainB/1.png", "testA/1_2.png", "testB/1.png")
    with pytest.raises(TaskError, match=r"are both the photo of '1'; .* one split"):
        read_pair_folder(tmp_path)


def test_an_empty_split_says_so(tmp_path):
    touch(tmp_path, "photo/1.png", "sketch/1_1.png")
    found = read_pair_folder(tmp_path)
    other = next(name for name in ("train", "valid") if name != found.splits["1"])
    with pytest.raises(TaskError, match=f"no drawing in the split '{other}' of 1 instances"):
        found.split(other)
    with pytest.raises(TaskError, match="unknown split 'tset'"):
        found.split("tset")


# --- bad folders ----------------------------------------------------------------------------------


def test_drawings_without_photos_are_listed_or_left_out(tmp_path):
    touch(tmp_path, "photo/1.png", "sketch/1_1.png", *(f"sketch/x{i:02d}_1.png" for i in range(12)))
    with pytest.raises(TaskError, match=r"12 files have no photo: sketch/x00_1.png") as error:
        read_pair_folder(tmp_path)
    assert "sketch/x09_1.png and 2 more" in str(error.value)
    assert "x10" not in str(error.value)
    found = read_pair_folder(tmp_path, on_missing="skip")
    assert len(found) == 1
    assert len(found.left_out) == 12
    assert found.left_out[0] == "sketch/x00_1.png: has no photo"


def test_a_drawing_without_its_number_has_no_photo(tmp_path):
    touch(tmp_path, "photo/cup/n1.jpg", "sketch/cup/n1-1.png", "sketch/cup/n1.png")
    with pytest.raises(TaskError, match=r"1 files have no photo: sketch/cup/n1.png"):
        read_pair_folder(tmp_path)


@pytest.mark.parametrize("link", ["sketch/1_2.png", "photo/2.png"])
def test_a_link_out_of_the_folder_is_refused_or_listed(tmp_path, link):
    root = touch(tmp_path / "set", "photo/1.png", "sketch/1_1.png", "sketch/1_3.png")
    secret = touch(tmp_path, "secret.png") / "secret.png"
    (root / link).symlink_to(secret)
    with pytest.raises(TaskError, match=f"lead out of the folder by links: {link}"):
        read_pair_folder(root)
    found = read_pair_folder(root, on_missing="skip")
    assert found.left_out == (f"{link}: leads out of the folder",)
    assert [d.name for d in found.drawings] == ["sketch/1_1.png", "sketch/1_3.png"]


def test_a_linked_folder_is_refused_and_a_link_inside_is_read(tmp_path):
    root = touch(tmp_path / "set", "photo/1.png", "sketch/1_1.png")
    (root / "sketch/1_2.png").symlink_to(root / "sketch/1_1.png")
    assert len(read_pair_folder(root)) == 2
    shutil.rmtree(root / "photo")
    (root / "photo").symlink_to(touch(tmp_path / "away", "1.png"))
    with pytest.raises(TaskError, match=r"lead out of the folder by links: photo/1.png"):
        read_pair_folder(root)


def test_folders_that_hold_no_pairs(tmp_path):
    with pytest.raises(TaskError, match="is no folder; give one of sketch-photo pairs"):
        read_pair_folder(tmp_path / "nowhere")
    with pytest.raises(TaskError, match="holds no pairs, but nothing; expected photo/<category>"):
        read_pair_folder(tmp_path)
    touch(tmp_path, "photos/1.png")
    with pytest.raises(TaskError, match="but photos; expected"):
        read_pair_folder(tmp_path)
    (tmp_path / "photo").mkdir()
    (tmp_path / "sketch").mkdir()
    with pytest.raises(TaskError, match=r"no pair in the layout 'sketchy': 0 photos and 0 draw"):
        read_pair_folder(tmp_path)
    with unchecked(), pytest.raises(TaskError, match="unknown layout 'shoe'"):
        read_pair_folder(tmp_path, "shoe")
    with unchecked(), pytest.raises(TaskError, match="unknown on_missing 'pass'"):
        read_pair_folder(tmp_path, on_missing="pass")


def test_the_wrong_layout_finds_nothing(tmp_path, pairs):
    write_sketchy(tmp_path, pairs[:2])
    with pytest.raises(TaskError, match="no pair in the layout 'shoev2': 0 photos"):
        read_pair_folder(tmp_path, "shoev2")


def test_two_photos_of_one_instance(tmp_path):
    touch(tmp_path, "photo/1.png", "photo/1.jpg", "sketch/1_1.png")
    with pytest.raises(TaskError, match=r"photo/1.jpg and photo/1.png are both the photo of '1'"):
        read_pair_folder(tmp_path)


# --- drawings -------------------------------------------------------------------------------------


def test_ink_is_framed_as_a_normalised_drawing(tmp_path, pairs):
    """Wherever the drawing stands on its paper, and however large, it looks the same."""
    sketch = pairs[0].sketch
    own = Rasteriser(size=64, line_width=4 / 120)(SketchBatch.from_sketches([sketch.normalise()]))
    for size, shift in ((120, 0), (120, 12), (240, -20)):
        write_drawing(tmp_path / "a.png", sketch, size=size, shift=shift)
        ink = read_ink(tmp_path / "a.png", 64)
        rows, columns = ((ink.amax(axis) > 0.1).nonzero()[:, 0] for axis in (1, 0))
        spans = [int(s[-1] - s[0] + 1) for s in (rows, columns)]
        assert max(spans) in (46, 47, 48)  # 0.74 * 64 = 47.4
        for span in (rows, columns):
            assert abs(float(span[0] + span[-1]) / 2 - 31.5) <= 1
        assert float(ink.max()) == 1
        both = torch.stack([ink.flatten(), own[0].flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.8  # the pen of the larger paper is thinner


def test_ink_by_hand():
    ink = torch.zeros(100, 60)
    ink[10:47, 5:23] = 0.5  # 37 high, 18 wide: in the middle of a square of 50, which is halved
    framed = framed_ink(ink, 25)
    assert framed.sum() == pytest.approx(37 * 18 / 4, rel=1e-3)
    assert framed[4:21, 9:16].min() > 0.99
    assert framed[:2].max() == framed[23:].max() == framed[:, :7].max() == framed[:, 18:].max() == 0


def marks(mode, paper, ink):
    picture = Image.new(mode, (40, 40), paper)
    picture.paste(ink, (10, 10, 30, 20))
    return picture


@pytest.mark.parametrize(
    "picture",
    [
        marks("L", 255, 0),
        marks("L", 0, 255),
        marks("L", 30, 220),
        marks("RGB", (250, 240, 230), (0, 0, 120)),
        marks("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)),
        marks("RGBA", (255, 255, 255, 0), (255, 255, 255, 255)),
        marks("RGBA", (255, 255, 255, 255), (0, 0, 0, 255)),
        marks("LA", (0, 0), (20, 255)),
        marks("1", 1, 0),
    ],
    ids=lambda picture: f"{picture.mode} {picture.getpixel((0, 0))}",
)
def test_ink_is_what_is_not_paper(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    ink = read_ink(tmp_path / "a.png", 27)
    want = torch.zeros(27, 27)
    want[8:18, 3:23] = 1  # 20 wide, 10 high: 20 / 0.74 is 27
    torch.testing.assert_close(ink, want, atol=0.01, rtol=0)


def test_drawings_that_cannot_be_read(tmp_path):
    Image.new("L", (9, 9), 255).save(tmp_path / "blank.png")
    with pytest.raises(TaskError, match=r"blank.png is blank"):
        read_ink(tmp_path / "blank.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(TaskError, match=r"text.png cannot be read"):
        read_ink(tmp_path / "text.png")
    (tmp_path / "text.svg").write_text("no drawing")
    with pytest.raises(TaskError, match=r"text.svg cannot be read"):
        read_strokes(tmp_path / "text.svg")


def test_strokes_come_back_as_written(tmp_path, pairs):
    write_drawing(tmp_path / "a.svg", pairs[0].sketch)
    found = read_strokes(tmp_path / "a.svg")
    for stroke, own in zip(found.strokes, pairs[0].sketch.strokes, strict=True):
        np.testing.assert_array_equal(stroke, own)
