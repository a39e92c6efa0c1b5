import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sightline as sl
from sightline.errors import DrawingError, ModelError, PhotoError, TaskError
from sightline.image.photo import Photo
from sightline.models.encoder import Encoder
from sightline.models.raster import RasterModel
from sightline.sketch.formats.quickdraw import Skipped, write_ndjson
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval import gallery_files
from sightline.tasks.retrieval.gallery import Gallery
from sightline.tasks.retrieval.gallery_files import GalleryItem, Root
from sightline.tasks.retrieval.gallery_sources import (
    entries_of,
    files_of,
    kind_of,
    read_drawings,
)
from sightline.tasks.retrieval.measured import measure_retrieval

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 40),
    "blue": (20, 40, 230),
    "rose": (225, 50, 60),
}


def pooled(size: int = 2) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(size), nn.Flatten())


def encoder(measure: str = "cosine", *, weight: float = 1.0) -> Encoder:
    """Photos and drawings by their mean in four quarters."""
    scaled = nn.Sequential(pooled(), nn.Linear(12, 12, bias=False))
    nn.init.eye_(scaled[1].weight).data.mul_(weight)
    drawn = RasterModel(pooled(), rasteriser=Rasteriser(size=16), channels=3)
    seen = sl.PictureClassifier(scaled, size=(8, 8))
    return Encoder(sketch=drawn, photo=seen, measure=measure, name="quarters").eval()


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (12, 9), colour).save(folder / f"{name}.png")
    return folder


def lines() -> list[Sketch]:
    posts = [
        Sketch.from_strokes([[(0, 0), (i, 9)]], label="post", name=f"post-{i}") for i in range(3)
    ]
    beams = [
        Sketch.from_strokes([[(0, 0), (9, i)]], label="beam", name=f"beam-{i}") for i in range(3)
    ]
    return posts + beams


@pytest.fixture
def drawings(tmp_path) -> Path:
    write_ndjson(tmp_path / "lines.ndjson", lines())
    return tmp_path / "lines.ndjson"


# --- what goes in ---------------------------------------------------------------------------------


def test_a_folder_of_photos(photos):
    heard = []
    network = encoder()
    gallery = Gallery.of(network, photos, batch=3, tell=lambda *told: heard.append(told))
    assert gallery.names == ("blue", "green", "red", "rose")
    assert heard == [(3, 4), (4, 4)]
    assert (gallery.encoder, gallery.fingerprint, gallery.measure) == (
        "quarters",
        network.fingerprint,
        "cosine",
    )
    each = [network.encode([sl.read_photo(photos / f"{name}.png")]) for name in gallery.names]
    torch.testing.assert_close(gallery.vectors, torch.cat(each), rtol=0, atol=1e-6)
    found = gallery.find(network, [sl.read_photo(photos / "red.png")], 2)
    assert [gallery.names[i] for i in found.indices[0]] == ["red", "rose"]
    assert gallery.items[0] == GalleryItem("blue", None, "blue", 0, "blue.png")
    assert np.array_equal(gallery.read(1).pixels[0, 0], COLOURS["green"])


def test_folders_of_categories_give_labels(photos, tmp_path):
    (tmp_path / "sorted" / "warm").mkdir(parents=True)
    (tmp_path / "sorted" / "cold").mkdir()
    (tmp_path / "sorted" / ".hidden").mkdir()
    for name in COLOURS:
        home = "warm" if name in ("red", "rose") else "cold"
        (photos / f"{name}.png").rename(tmp_path / "sorted" / home / f"{name}.png")
    gallery = Gallery.of(encoder(), tmp_path / "sorted")
    assert [(i.label, i.source) for i in gallery.items] == [
        ("cold", "cold/blue.png"),
        ("cold", "cold/green.png"),
        ("warm", "warm/red.png"),
        ("warm", "warm/rose.png"),
    ]
    assert gallery.read(3).name == "rose.png"


def test_a_collection_of_drawings(drawings):
    gallery = Gallery.of(encoder(), drawings, batch=4)
    assert gallery.names == tuple(sketch.name for sketch in lines())
    assert [item.label for item in gallery.items] == ["post"] * 3 + ["beam"] * 3
    again = gallery.read(4)
    assert again.name == "beam-1"
    assert np.array_equal(again.points, lines()[4].points)


def test_folders_of_drawings_are_labelled_by_their_names(tmp_path):
    for label in ("hat", "shoe"):
        (tmp_path / label).mkdir()
        sl.write_sketch(tmp_path / label / "1.svg", lines()[0])
    read = read_drawings(tmp_path)
    assert [(sketch.label, sketch.name) for sketch in read] == [("hat", "1"), ("shoe", "1")]
    assert kind_of(tmp_path) == "drawings"


def test_items_from_memory(photos):
    given = [sl.read_photo(photos / "red.png"), Photo(np.zeros((4, 4, 3), np.uint8))]
    gallery = Gallery.of(encoder(), given)
    assert gallery.names == ("red", "item 1")
    with pytest.raises(TaskError, match="'red' was indexed from memory"):
        gallery.read(0)
    with pytest.raises(TaskError, match="photos and drawings are mixed"):
        Gallery.of(encoder(), [given[0], lines()[0]])


def test_batches_mean_nothing(drawings):
    one, many = (Gallery.of(encoder(), drawings, batch=size).vectors for size in (1, 6))
    torch.testing.assert_close(one, many, rtol=0, atol=1e-6)
    with pytest.raises(TaskError, match="batch is 0"):
        Gallery.of(encoder(), drawings, batch=0)


def test_a_photo_that_cannot_be_read(photos):
    (photos / "grey.png").write_text("no photo")
    with pytest.raises(PhotoError, match=r"grey\.png"):
        Gallery.of(encoder(), photos)
    skipped = Skipped()
    gallery = Gallery.of(encoder(), photos, on_error="skip", skipped=skipped, batch=2)
    assert gallery.names == ("blue", "green", "red", "rose")
    assert skipped.count == 1
    assert "grey.png" in str(skipped)


def test_a_drawing_without_size(tmp_path):
    dot = Sketch.from_strokes([[(3, 3), (3, 3)]], name="dot", label="dot")
    drawn = [*lines()[:2], dot, *lines()[2:]]
    with pytest.raises(DrawingError, match="dot has no size"):
        Gallery.of(encoder(), drawn)
    skipped = Skipped()
    gallery = Gallery.of(encoder(), drawn, on_error="skip", skipped=skipped)
    assert gallery.names == tuple(s.name for s in lines())
    assert skipped.count == 1
    torch.testing.assert_close(gallery.vectors, Gallery.of(encoder(), lines()).vectors)


def test_the_encoder_is_left_as_it_came(photos):
    network = encoder().train()
    (photos / "grey.png").write_text("no photo")
    with pytest.raises(PhotoError):
        Gallery.of(network, photos)
    assert all(module.training for module in network.modules())
    assert all(weight.grad is None and weight.requires_grad for weight in network.parameters())


def test_nothing_to_index(tmp_path, photos):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match="empty holds neither photos nor drawings"):
        Gallery.of(encoder(), tmp_path / "empty")
    with pytest.raises(TaskError, match="nowhere does not exist"):
        Gallery.of(encoder(), tmp_path / "nowhere")
    sl.write_sketch(photos / "post.svg", lines()[0])
    with pytest.raises(TaskError, match="holds both photos and drawings"):
        Gallery.of(encoder(), photos)
    for file in photos.iterdir():
        file.unlink()
    (photos / "grey.png").write_text("no photo")
    with pytest.raises(TaskError, match=r"nothing to index: no item is left; 1 skipped \(.*grey"):
        Gallery.of(encoder(), photos, on_error="skip")
    with pytest.raises(TaskError, match="nothing to index"):
        Gallery.of(encoder(), [])


def test_what_the_encoder_does_not_read(photos):
    with pytest.raises(ModelError, match="reads drawings only"):
        Gallery.of(Encoder(sketch=pooled()), photos)


def test_adding_reads_only_what_is_new(photos, drawings):
    network = encoder()
    first = Gallery.of(network, photos)
    Image.new("RGB", (9, 9), (0, 0, 0)).save(photos / "black.png")
    heard = []
    more = first.add(network, photos, tell=lambda *told: heard.append(told))
    assert heard == [(1, 1)]
    assert more.names == (*first.names, "black")
    assert more.read(4).pixels.max() == 0
    both = more.add(network, drawings)
    assert len(both) == 11
    assert both.read(5).name == "post-0"
    assert both.read(0).name == "blue.png"
    torch.testing.assert_close(both.vectors[:5], more.vectors)
    assert both.add(network, drawings) is both
    with pytest.raises(TaskError, match="cannot be compared"):
        both.add(encoder(weight=2), drawings)
    assert len(first) == 4


# --- another encoder ------------------------------------------------------------------------------


def test_another_encoder_is_refused_by_both_names(photos):
    network, other = encoder(), encoder(weight=2)
    gallery = Gallery.of(network, photos)
    other.name = "thirds"
    words = (
        rf"quarters \(fingerprint {network.fingerprint}\), asked is encoder thirds "
        rf"\(fingerprint {other.fingerprint}\).*index again"
    )
    with pytest.raises(TaskError, match=words):
        gallery.find(other, [sl.read_photo(photos / "red.png")])
    with pytest.raises(TaskError, match="cannot be compared"):
        gallery.check(encoder("distance"))
    gallery.check(encoder())


def test_items_by_name(photos):
    gallery = Gallery.of(encoder(), photos)
    assert gallery.index_of("red") == gallery.index_of("red.png") == 2
    with pytest.raises(TaskError, match=r"no items .* 'reed'; near are: red"):
        gallery.index_of("reed")
    twice = replace(gallery, items=[replace(item, name="same") for item in gallery.items])
    with pytest.raises(TaskError, match="4 items of the gallery are called 'same'; give the path"):
        twice.index_of("same")
    drawn = Gallery.of(encoder(), [replace(line, name="line") for line in lines()])
    with pytest.raises(TaskError, match=r"by its place, or by index: they are items 0, 1, 2, 3, 4"):
        drawn.index_of("line")


# --- on disk --------------------------------------------------------------------------------------


@pytest.fixture
def saved(photos, tmp_path) -> Path:
    Gallery.of(encoder(), photos).save(tmp_path / "gallery")
    return tmp_path / "gallery"


def test_saved_and_opened_it_is_the_same(photos, saved):
    made, opened = Gallery.of(encoder(), photos), Gallery.open(saved, check=True)
    assert torch.equal(made.vectors, opened.vectors)
    assert tuple(opened.items) == tuple(made.items)
    assert [opened.items[i] for i in (-1, 0, 2)] == [made.items[i] for i in (-1, 0, 2)]
    assert opened.items[1:3] == made.items[1:3]
    assert opened.roots == made.roots
    assert (opened.fingerprint, opened.measure) == (made.fingerprint, made.measure)
    opened.check(encoder())
    assert opened.read(0).name == "blue.png"
    with pytest.raises(IndexError):
        opened.items[4]
    assert {path.name.split("-")[0] for path in saved.iterdir()} == {
        "gallery.json",
        "items",
        "vectors",
    }


def test_names_of_any_script(tmp_path):
    odd = [replace(s, name=f"Schuh\n№ {i} 鞋", label="a\u2028b") for i, s in enumerate(lines())]
    Gallery.of(encoder(), odd).save(tmp_path / "odd")
    opened = Gallery.open(tmp_path / "odd")
    assert opened.names == tuple(s.name for s in odd)
    assert opened.items[5].label == "a\u2028b"


def test_a_name_that_is_not_utf_8_loses_nothing(photos, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9.png"))
    (photos / "red.png").rename(odd)
    Gallery.of(encoder(), photos).save(tmp_path / "gallery")
    opened = Gallery.open(tmp_path / "gallery", check=True)
    assert opened.names == ("blue", "caf\ufffd", "green", "rose")
    assert np.array_equal(opened.read(1).pixels[0, 0], COLOURS["red"])
    moved = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    photos.rename(moved)
    Gallery.of(encoder(), moved).save(tmp_path / "another")
    assert Gallery.open(tmp_path / "another").read(1).size == (9, 12)


def test_saving_over_a_gallery_leaves_the_opened_one_whole(photos, saved, drawings):
    opened = Gallery.open(saved)
    before = opened.vectors.clone()
    grown = opened.add(encoder(), drawings)
    grown.save(saved)
    assert torch.equal(opened.vectors, before)
    assert len(Gallery.open(saved, check=True)) == 10
    assert len(list(saved.iterdir())) == 3, "files of the old one are gone"
    grown.save(saved)
    assert len(list(saved.iterdir())) == 3


@pytest.mark.parametrize("fails_at", ["vectors.npy", "items.jsonl", "gallery.json"])
def test_a_gallery_is_written_whole_or_not_at_all(photos, saved, tmp_path, monkeypatch, fails_at):
    plain = gallery_files.replace_file

    def failing(path):
        if Path(path).name == fails_at:
            raise OSError("the disk is full")
        return plain(path)

    bigger = Gallery.of(encoder(), lines())
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    monkeypatch.setattr(gallery_files, "replace_file", failing)
    for folder in (tmp_path / "new", saved):
        with pytest.raises(OSError, match="full"):
            bigger.save(folder)
    assert not (tmp_path / "new").exists()
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_a_change_of_an_opened_gallery_is_not_written_back(saved):
    opened = Gallery.open(saved)
    opened.vectors.zero_()
    assert Gallery.open(saved, check=True).vectors.abs().sum() > 0


def test_photos_that_were_moved(photos, saved, tmp_path):
    photos.rename(tmp_path / "elsewhere")
    with pytest.raises(TaskError, match=r"photos, where 'blue' comes from, is gone.*root="):
        Gallery.open(saved).read(0)
    assert Gallery.open(saved, root=tmp_path / "elsewhere").read(0).name == "blue.png"


def test_a_collection_that_has_changed(drawings, tmp_path):
    gallery = Gallery.of(encoder(), drawings)
    write_ndjson(drawings, lines()[:2])
    with pytest.raises(TaskError, match=r"has 2 drawings, none is 5 \('beam-2'\); it was changed"):
        gallery.read(5)


def test_a_collection_in_another_order_is_not_taken_for_the_same(drawings, tmp_path):
    gallery = Gallery.of(encoder(), drawings)
    write_ndjson(drawings, lines()[::-1])
    with pytest.raises(TaskError, match=r"drawing 0 of .* is 'beam-2' \(beam\), was 'post-0' \(po"):
        gallery.read(0)


def test_a_collection_without_names_may_be_called_otherwise(tmp_path):
    shown = without_keys(tmp_path / "one" / "a.ndjson", 0, 1)
    Gallery.of(encoder(), shown).save(tmp_path / "gallery")
    shown.rename(tmp_path / "b.ndjson")
    opened = Gallery.open(tmp_path / "gallery", root=tmp_path / "b.ndjson")
    assert [opened.read(i).label for i in range(4)] == ["post", "post", "beam", "beam"]


def test_what_is_added_of_the_same_folder_can_still_be_moved(photos, saved, tmp_path):
    for name in ("black", "white"):
        Image.new("RGB", (9, 9), name).save(photos / f"{name}.png")
        Gallery.open(saved).add(encoder(), photos).save(saved)
    opened = Gallery.open(saved)
    assert (len(opened), len(opened.roots)) == (6, 1)
    twice = replace(
        opened, roots=opened.roots * 2, items=[*opened.items[:5], replace(opened.items[5], root=1)]
    )
    twice.save(saved)
    photos.rename(tmp_path / "elsewhere")
    moved = Gallery.open(saved, root=tmp_path / "elsewhere")
    assert [moved.read(i).name for i in (0, 5)] == ["blue.png", "white.png"]


# --- damaged and hostile --------------------------------------------------------------------------


def the(folder: Path, kind: str) -> Path:
    return next(folder.glob(f"{kind}*"))


def rewritten(folder: Path, **changes) -> None:
    path = folder / "gallery.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize("kind", ["vectors", "items"])
def test_missing_and_shortened_files(saved, kind):
    shorten(the(saved, kind))
    with pytest.raises(TaskError, match=rf"{kind}-.* has \d+ bytes, gallery.json says \d+"):
        Gallery.open(saved)
    the(saved, kind).unlink()
    with pytest.raises(TaskError, match=rf"{kind}-.* is missing"):
        Gallery.open(saved)


@pytest.mark.parametrize("kind", ["vectors", "items"])
def test_a_changed_byte_is_found_where_asked(saved, kind):
    path = the(saved, kind)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    Gallery.open(saved)
    with pytest.raises(TaskError, match=rf"{kind}-.* is not what was written"):
        Gallery.open(saved, check=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "says 'list'; expected 'sightline gallery 1'"),
        ('{"format": "sightline gallery 2"}', "says 'sightline gallery 2'; expected"),
        ('{"format": "sightline gallery 1"}', "lacks what a gallery's manifest says"),
    ],
)
def test_broken_manifests(saved, text, words):
    (saved / "gallery.json").write_text(text)
    with pytest.raises(TaskError, match=words):
        Gallery.open(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"items": -1},
        {"items": True},
        {"dimension": "12"},
        {"measure": "manhattan"},
        {"measure": []},
        {"roots": []},
        {"roots": [{"kind": "secrets", "path": "/"}]},
        {"roots": {}},
        {"files": []},
        {"files": [{"name": "../../secret.npy", "bytes": 3}] * 2},
        {"files": [{"name": "/etc/passwd", "bytes": 3}] * 2},
    ],
)
def test_manifests_that_lie(saved, changes):
    rewritten(saved, **changes)
    with pytest.raises(TaskError, match=r"gallery\.json lacks what"):
        Gallery.open(saved)


@pytest.mark.parametrize("changes", [{"items": 5}, {"dimension": 7}, {"items": 10**15}])
def test_other_sizes_than_the_files_have(saved, changes):
    rewritten(saved, **changes)
    with pytest.raises(TaskError, match=r"vectors-.*holds float32 \[4, 12\], gallery.json says"):
        Gallery.open(saved)


class _Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_vectors_are_never_unpickled(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = the(saved, "vectors")
    np.save(path.with_suffix(".tmp.npy"), np.array([_Bomb()] * 4, object), allow_pickle=True)
    path.with_suffix(".tmp.npy").rename(path)
    files = json.loads((saved / "gallery.json").read_text())["files"]
    files[0]["bytes"] = path.stat().st_size
    rewritten(saved, files=files)
    with pytest.raises(TaskError, match=r"vectors-.* is no array of numbers"):
        Gallery.open(saved)
    assert not Path("exploded").exists()


def with_items(folder: Path, *rows: str) -> Gallery:
    path = the(folder, "items")
    path.write_text("".join(f"{row}\n" for row in rows))
    files = json.loads((folder / "gallery.json").read_text())["files"]
    files[1]["bytes"] = path.stat().st_size
    rewritten(folder, files=files)
    return Gallery.open(folder)


GOOD = '{"name": "a", "source": "blue.png"}'


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "line 2 is not JSON"),
        ("[" * 100_000, "line 2 is not JSON"),
        ("7", "line 2 is no item"),
        ("{}", "line 2 is no item"),
        ('{"name": 3}', "line 2 is no item"),
        ('{"name": "a", "root": 1}', "line 2 is no item"),
        ('{"name": "a", "root": true}', "line 2 is no item"),
        ('{"name": "a", "label": ["x"]}', "line 2 is no item"),
        ('{"name": "a", "source": 1.5}', "line 2 is no item"),
        ('{"name": "a", "price": 3}', "line 2 is no item"),
    ],
)
def test_broken_items_are_named_by_file_and_line(saved, row, words):
    gallery = with_items(saved, GOOD, row, GOOD, GOOD)
    assert gallery.items[0].name == "a"
    with pytest.raises(TaskError, match=rf"items-.*{words}"):
        gallery.items[1]
    with pytest.raises(TaskError, match=rf"items-.*{words}"):
        gallery.names  # noqa: B018


def test_too_few_items(saved):
    with pytest.raises(TaskError, match=r"items-.* holds 3 lines, gallery.json says 4"):
        with_items(saved, GOOD, GOOD, GOOD).items[0]


@pytest.mark.parametrize(
    "source", ["../secret.png", "/etc/secret.png", "C:\\\\secret.png", "a/../../b"]
)
def test_paths_that_leave_the_root_are_refused(saved, tmp_path, source):
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    gallery = with_items(saved, f'{{"name": "a", "source": "{source}"}}', GOOD, GOOD, GOOD)
    with pytest.raises(PhotoError, match="leaves its folder; refused"):
        gallery.read(0)
    assert gallery.read(1).name == "blue.png"


@pytest.mark.slow
def test_a_million_vectors_are_not_read(tmp_path):
    folder = tmp_path / "large"
    item = GalleryItem("one of many", source=0)
    vectors = torch.zeros(10**6, 64)
    vectors[999_999] = 1
    made = Gallery(vectors, [item] * 10**6, "e", "f", "cosine", (Root("drawings", tmp_path),))
    made.save(folder)
    code = f"""
import resource, time, torch
from sightline.tasks.retrieval.gallery import Gallery
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
gallery = Gallery.open({str(folder)!r})
vector, item = gallery.vectors[999_999], gallery.items[999_999]
seconds = time.perf_counter() - started
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(len(gallery), float(vector.sum()), item.source, seconds, grown / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    count, total, source, seconds, grown = map(float, done.stdout.split())
    assert (count, total, source) == (10**6, 64, 0)
    assert seconds < 2
    assert grown < 100, "megabytes; the vectors alone are 244"


def test_a_gallery_is_opened_without_touching_its_vectors(saved):
    """Pages of a sparse file are not there before they are read."""
    path = the(saved, "vectors")
    with open(path, "wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 64)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + 10**6 * 64 * 4)
    files = json.loads((saved / "gallery.json").read_text())["files"]
    files[0]["bytes"] = path.stat().st_size
    rewritten(saved, files=files, items=10**6, dimension=64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert Gallery.open(saved).vectors.shape == (10**6, 64)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


# --- measured -------------------------------------------------------------------------------------


def test_queries_of_a_gallery_do_not_find_themselves():
    network = Encoder(sketch=RasterModel(pooled(4), rasteriser=Rasteriser(size=16)))
    gallery = Gallery.of(network, lines())
    scores = measure_retrieval(gallery, network, lines(), at=(1, 5))
    assert (scores.by, scores.queries, scores.unmatched, scores.gallery) == ("label", 6, 0, 6)
    # each is nearest to its own kind; two of the five others are of its kind
    assert scores.accuracy[1].estimate == 1
    assert scores.mean_average_precision.estimate == 1
    alone = Gallery.of(network, [lines()[0], *lines()[3:]])
    scores = measure_retrieval(alone, network, lines(), by="label")
    assert scores.unmatched == 1, "the only post in the gallery is not relevant to itself"


def test_instances_pair_by_name_and_label(photos):
    gallery = Gallery.of(encoder(), photos)
    reddish = Photo(np.full((9, 9, 3), (226, 48, 58), np.uint8), name="rose-1.png")
    blue, lost = (
        Photo(np.full((9, 9, 3), (0, 0, 200), np.uint8), name=n) for n in ("blue_12", "x-1")
    )
    scores = measure_retrieval(gallery, encoder(), [reddish, blue, lost], at=(1,))
    assert (scores.by, scores.queries, scores.unmatched) == ("instance", 2, 1)
    assert scores.accuracy[1].estimate == 1
    assert scores.encoder == "quarters"
    # a photo of the same name and look is the item itself; another of that name is its pair
    itself = sl.read_photo(photos / "blue.png")
    with pytest.raises(TaskError, match="none of 1 queries has the instance of any of 4 items"):
        measure_retrieval(gallery, encoder(), [itself], by="instance")
    assert measure_retrieval(gallery, encoder(), [replace(blue, name="blue.png")]).queries == 1
    drawn = replace(lines()[0], name="blue", label=None)
    assert measure_retrieval(gallery, encoder(), [drawn]).queries == 1
    labelled = replace(gallery, items=[replace(i, label="paint") for i in gallery.items])
    with pytest.raises(TaskError, match="has the instance"):
        measure_retrieval(labelled, encoder(), [blue], labels=["sky"], by="instance")


def without_keys(path: Path, *slants: int) -> Path:
    """Posts, then beams, in a file that names none of them."""
    posts = [Sketch.from_strokes([[(0, 0), (i, 9)]], label="post") for i in slants]
    beams = [Sketch.from_strokes([[(0, 0), (9, i)]], label="beam") for i in slants]
    path.parent.mkdir()
    write_ndjson(path, posts + beams)
    return path


def test_queries_that_are_numbered_as_items_are_do_not_remove_them(tmp_path):
    """Drawings without a key are called by file and line: these of two files are not the same."""
    network = Encoder(sketch=pooled(4))
    shown = without_keys(tmp_path / "train" / "all.ndjson", 0)
    gallery = Gallery.of(network, shown)
    for name in ("all", "other"):
        asked = read_drawings(without_keys(tmp_path / name / f"{name}.ndjson", 2))
        scores = measure_retrieval(gallery, network, asked, at=(1,))
        assert (scores.queries, scores.accuracy[1].estimate) == (2, 1)
    assert gallery.names[0] == read_drawings(tmp_path / "all" / "all.ndjson")[0].name
    with pytest.raises(TaskError, match="none of 2 queries has the label"):
        measure_retrieval(gallery, network, read_drawings(shown))


def test_the_same_file_is_the_query_itself_however_it_is_reached(photos, tmp_path):
    """Even where it has changed; and photos of one name in two folders are two photos."""
    for label in ("a", "b"):
        (photos / label).mkdir()
        for number in (1, 2):
            shade = (200 + 9 * number, 30, 30) if label == "a" else (30, 30, 200 + 9 * number)
            Image.new("RGB", (9, 9), shade).save(photos / label / f"{number}.png")
    for name in COLOURS:
        (photos / f"{name}.png").unlink()
    network = encoder()
    gallery = Gallery.of(network, photos)
    root = Root("photos", tmp_path / "photos" / ".." / "photos" / "a")
    entries = entries_of(root, 0)
    files = files_of([root], [entry.item for entry in entries])
    changed = [Photo(np.full((9, 9, 3), (90, 30, 30), np.uint8), name="1.png")]
    asked = {"by": "label", "labels": ["a"], "at": (1,)}
    one = {"by": "instance", "labels": ["a"]}
    assert measure_retrieval(gallery, network, changed, **one).queries == 1
    with pytest.raises(TaskError, match="none of 1 queries has the instance"):
        measure_retrieval(gallery, network, changed, files=files[:1], **one)
    same = sl.read_photo(photos / "b" / "1.png")
    scores = measure_retrieval(gallery, network, [same], **asked)
    # b/1, of another label, stays and stands first; then b/2; then both of a
    assert scores.mean_average_precision.estimate == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_the_exact_name_is_the_instance_before_a_shorter_one():
    lamp = Sketch.from_strokes([[(0, 0), (0, 9)]], name="lamp")
    other = Sketch.from_strokes([[(0, 0), (9, 0)]], name="lamp-17")
    network = Encoder(sketch=pooled(4))
    gallery = Gallery.of(network, [lamp, other])
    gallery = replace(gallery, items=[replace(i, instance=i.name) for i in gallery.items])
    drawn = Sketch.from_strokes([[(0, 0), (9, 1)]], name="lamp-17")
    scores = measure_retrieval(gallery, network, [drawn], by="instance", at=(1,))
    assert scores.accuracy[1].estimate == 1
    twice = [replace(drawn, name=f"lamp-17_{i}") for i in (1, 2)]
    scores = measure_retrieval(gallery, network, [*twice, replace(lamp, name="lamp-3")], at=(1,))
    assert (scores.accuracy[1].estimate, scores.queries, scores.instances) == (1, 3, 2)


def test_an_encoder_that_answers_the_same_to_all_is_last():
    class Same(nn.Module):
        def forward(self, x):
            return torch.ones(len(x), 3)

    same = Encoder(sketch=Same())
    scores = measure_retrieval(Gallery.of(same, lines()), same, lines(), at=(1, 5))
    assert scores.accuracy[1].estimate == 0
    assert scores.median_place.estimate == 4, "behind the three beams"
    # of five others, two are relevant: at places 4 and 5
    assert scores.mean_average_precision.estimate == pytest.approx((1 / 4 + 2 / 5) / 2)


def test_queries_of_another_encoder_are_refused():
    with pytest.raises(TaskError, match="cannot be compared"):
        measure_retrieval(Gallery.of(encoder(), lines()), encoder(weight=3), lines())
