"""Pairs as an encoder reads them: from memory, from generated folders in published layouts."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from pair_layouts import few_pairs, write_drawing, write_shoev2, write_sketchy
from sightline.errors import ModelError, TaskError
from sightline.image.augment import PhotoAugmentation
from sightline.image.batch import PictureBatch
from sightline.image.read import read_photo
from sightline.models.encoder import Encoder
from sightline.models.two_branch import two_branch
from sightline.sketch.augment import Augmentation
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval.pair_examples import (
    PairAugmentation,
    PairBatch,
    PairExamples,
    drawing_vectors,
    photo_vectors,
)
from sightline.tasks.retrieval.pair_folders import read_pair_folder
from sightline.training.examples import Batch, Examples
from sightline.training.recipe import Varies
from toys import stroke_net

EVERYTHING = PairAugmentation()
NOTHING = PairAugmentation(
    drawing=Augmentation(
        **dict.fromkeys(
            ("rotation", "stretch", "shear", "flip", "warp", "stroke_shift", "jitter", "drop"), 0.0
        ),
        **dict.fromkeys(("reverse", "split", "join"), 0.0),
    ),
    ink=PhotoAugmentation.off(),
    photo=PhotoAugmentation.off(),
    flip=0.0,
)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return two_branch(dimension=8, size=32, width=4, seed=0)


@pytest.fixture(scope="module")
def pairs():
    return few_pairs(4)


def luck(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- batches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["strokes", "ink"])
def test_a_batch_keeps_pairs_together(encoder, pairs, form):
    examples = PairExamples.from_pairs(pairs, encoder)
    batch = examples.batch(torch.arange(8))
    if form == "ink":
        batch = PairBatch(encoder.sketch.picture(batch.drawings), batch.photos)
    assert isinstance(batch, Batch)
    chosen = batch.select(torch.tensor([5, 0]))
    assert len(chosen) == 2
    assert torch.equal(chosen.photos.pixels[0], batch.photos.pixels[5])
    if form == "ink":
        assert torch.equal(chosen.drawings[1], batch.drawings[0])
    else:
        assert (chosen.drawings.sketch(1).points == batch.drawings.sketch(0).points).all()
    exact = chosen.to(dtype=torch.float64)
    assert exact.photos.pixels.dtype == torch.float64
    points = exact.drawings if form == "ink" else exact.drawings.points
    assert points.dtype == torch.float64


def test_a_batch_needs_a_photo_for_each_drawing():
    with pytest.raises(TaskError, match="3 drawings beside 2 photos"):
        PairBatch(torch.zeros(3, 4, 4), PictureBatch(torch.zeros(2, 3, 4, 4)))


# --- examples -------------------------------------------------------------------------------------


def test_generated_pairs(encoder, pairs):
    examples = PairExamples.from_pairs(pairs, encoder)
    assert isinstance(examples, Examples)
    assert len(examples) == 8
    assert examples.photos.shape == (4, 3, 32, 32)
    assert examples.instances == tuple(pair.name for pair in pairs[::2])
    assert examples.names == tuple(pair.sketch.name for pair in pairs)
    assert examples.targets(torch.tensor([7, 0])).tolist() == [3, 0]
    batch = examples.batch(torch.tensor([7, 0]))
    for row, index in enumerate((7, 0)):
        photo = pairs[index].photo
        want = encoder.photo.frame(*photo.size).pixels(photo)
        torch.testing.assert_close(batch.photos.pixels[row], want, atol=0.5 / 255, rtol=0)
        prepared = encoder.sketch.prepare(pairs[index].sketch)
        own = batch.drawings.sketch(row)
        assert len(own) == len(prepared)
        torch.testing.assert_close(
            torch.tensor(own.points), torch.tensor(prepared.points), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("writer", [write_sketchy, write_shoev2])
def test_svg_folders_read_as_the_pairs_that_they_hold(tmp_path, encoder, pairs, writer):
    found = read_pair_folder(writer(tmp_path, pairs, suffix=".svg"))
    examples = PairExamples.from_folder(found, encoder)
    memory = PairExamples.from_pairs(pairs, encoder)
    assert isinstance(examples.drawings, SketchBatch)
    assert examples.names == tuple(d.name for d in found.drawings)
    assert examples.instances == tuple(found.photos)
    own = {
        name.replace("-", "_"): memory.drawings.sketch(row).points
        for row, name in enumerate(memory.names)
    }
    for row, drawing in enumerate(found.drawings):
        key = drawing.drawing.stem.replace("-", "_")
        want, got = torch.tensor(own[key]), torch.tensor(examples.drawings.sketch(row).points)
        torch.testing.assert_close(got, want, atol=1e-6, rtol=0)
        assert examples.instances[examples.target[row]] == drawing.instance
        photo = read_photo(drawing.photo)
        picture = encoder.photo.frame(*photo.size).pixels(photo)
        shown = examples.batch(torch.tensor([row])).photos.pixels[0]
        torch.testing.assert_close(shown, picture, atol=0.5 / 255, rtol=0)


@pytest.mark.parametrize("writer", [write_sketchy, write_shoev2])
def test_png_folders_read_as_ink(tmp_path, encoder, pairs, writer):
    """Drawings that are pictures lie where their strokes would."""
    found = read_pair_folder(writer(tmp_path, pairs))
    examples = PairExamples.from_folder(found, encoder)
    assert examples.drawings.dtype == torch.uint8
    assert examples.drawings.shape == (8, 32, 32)
    ink = examples.drawn(torch.arange(8))
    assert 0 <= float(ink.min()) <= float(ink.max()) <= 1
    memory = PairExamples.from_pairs(pairs, encoder)
    strokes = encoder.sketch.picture(memory.drawings)
    rows = {name.replace("-", "_"): row for row, name in enumerate(memory.names)}
    order = [rows[d.drawing.stem.replace("-", "_")] for d in found.drawings]
    alike = torch.corrcoef(torch.cat([ink, strokes[order]]).flatten(1))[:8, 8:]
    assert torch.equal(examples.target[alike.argmax(1)], examples.target)
    assert float(alike.diagonal().min()) > 0.8


def test_a_folder_of_both_forms_becomes_ink(tmp_path, encoder, pairs):
    write_shoev2(tmp_path, pairs[:2])
    write_drawing(tmp_path / "sketch" / f"{pairs[0].name.replace('-', '_')}_3.svg", pairs[0].sketch)
    examples = PairExamples.from_folder(read_pair_folder(tmp_path), encoder)
    assert examples.drawings.shape == (3, 32, 32)
    drawn = SketchBatch.from_sketches([encoder.sketch.prepare(pairs[0].sketch)])
    want = encoder.sketch.picture(drawn)[0]
    torch.testing.assert_close(examples.drawn(torch.tensor([2]))[0], want, atol=0.5 / 255, rtol=0)
    # strokes that lie over each other: their ink adds up, as what the encoder is shown later
    assert float((want - encoder.sketch.rasteriser(drawn)[0]).abs().max()) > 0.05


def test_photos_without_drawings_stand_in_the_gallery(tmp_path, encoder, pairs):
    write_shoev2(tmp_path, pairs[:4], suffix=".svg")
    (tmp_path / "photo/zz.png").write_bytes(next((tmp_path / "photo").iterdir()).read_bytes())
    examples = PairExamples.from_folder(read_pair_folder(tmp_path), encoder)
    assert examples.instances[-1] == "zz"
    assert len(examples.photos) == 3
    assert sorted(set(examples.target.tolist())) == [0, 1]


def test_errors(tmp_path, encoder, pairs):
    with pytest.raises(TaskError, match="no pairs"):
        PairExamples.from_pairs([], encoder)
    with pytest.raises(ModelError, match="both branches"):
        PairExamples.from_pairs(pairs, Encoder(sketch=encoder.sketch))
    folder = read_pair_folder(write_shoev2(tmp_path, pairs[:2]))
    strokes = Encoder(sketch=stroke_net(), photo=encoder.photo)
    with pytest.raises(ModelError, match="reads strokes: give SVG drawings"):
        PairExamples.from_folder(folder, strokes)
    with pytest.raises(ModelError, match="reads strokes"):
        drawing_vectors(strokes, torch.zeros(1, 32, 32))
    with pytest.raises(TaskError, match="the split is empty"):
        PairExamples.from_folder(replace(folder, drawings=()), encoder)
    examples = PairExamples.from_pairs(pairs, encoder)
    with pytest.raises(TaskError, match="8 drawings, 7 targets"):
        replace(examples, target=examples.target[:7])
    with pytest.raises(TaskError, match="none of the 4 photos"):
        replace(examples, target=examples.target + 1)


def test_a_broken_drawing_is_named(tmp_path, encoder, pairs):
    write_shoev2(tmp_path, pairs[:2], suffix=".svg")
    path = next((tmp_path / "sketch").iterdir())
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    with pytest.raises(TaskError, match=f"{path.name} cannot be read"):
        PairExamples.from_folder(read_pair_folder(tmp_path), encoder)
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'><polyline points='1 1 1 1'/></svg>")
    with pytest.raises(TaskError, match=f"{path.name} cannot be read: .* no size"):
        PairExamples.from_folder(read_pair_folder(tmp_path), encoder)


def test_vectors_are_those_of_encode(encoder, pairs):
    examples = PairExamples.from_pairs(pairs, encoder)
    batch = examples.batch(torch.arange(8))
    drawn = drawing_vectors(encoder, batch.drawings)
    torch.testing.assert_close(drawn, encoder.encode([p.sketch for p in pairs]))
    seen = photo_vectors(encoder, batch.photos)
    torch.testing.assert_close(seen, encoder.encode([p.photo for p in pairs]), atol=2e-2, rtol=2e-2)
    pictures = encoder.sketch.picture(batch.drawings)
    torch.testing.assert_close(drawing_vectors(encoder, pictures), drawn)


# --- augmentation ---------------------------------------------------------------------------------


def half_batch(form: str) -> PairBatch:
    """A dash in the left half of drawing and photo each, eight times."""
    dash = Sketch.from_strokes([[(-0.74, -0.2), (-0.5, 0.1)], [(0.6, 0.2), (0.74, 0.3)]])
    pixels = torch.zeros(8, 3, 16, 16)
    pixels[..., :8] = 0.8
    ink = torch.zeros(8, 16, 16)
    ink[:, 4:8, 2:6] = 1
    strokes = SketchBatch.from_sketches([dash] * 8)
    return PairBatch(ink if form == "ink" else strokes, PictureBatch(pixels))


def sides(batch: PairBatch) -> tuple[list[bool], list[bool]]:
    """Whether the drawing, and the photo, have what they show on the left."""
    photos = [bool(p[..., :8].mean() > p[..., 8:].mean()) for p in batch.photos.pixels]
    if isinstance(batch.drawings, SketchBatch):
        drawn = [bool(batch.drawings.sketch(i).strokes[0][:, 0].mean() < 0) for i in range(8)]
    else:
        drawn = [bool(p[:, :8].mean() > p[:, 8:].mean()) for p in batch.drawings]
    return drawn, photos


@pytest.mark.parametrize("form", ["strokes", "ink"])
def test_a_pair_is_mirrored_as_one(form):
    varied = replace(NOTHING, flip=0.5)(half_batch(form), luck(3))
    drawn, photos = sides(varied)
    assert drawn == photos
    assert 0 < sum(drawn) < 8
    whole = replace(NOTHING, flip=1.0)(half_batch(form), luck())
    twice = replace(NOTHING, flip=1.0)(whole, luck())
    assert sides(whole) == ([False] * 8, [False] * 8)
    assert torch.equal(twice.photos.pixels, half_batch(form).photos.pixels)


@pytest.mark.parametrize("form", ["strokes", "ink"])
def test_nothing_switched_on_changes_nothing(form):
    before = half_batch(form)
    after = NOTHING(before, luck())
    assert torch.equal(after.photos.pixels, before.photos.pixels)
    if form == "ink":
        assert torch.equal(after.drawings, before.drawings)
    else:
        want = before.drawings.normalise().points
        torch.testing.assert_close(after.drawings.points, want)


@pytest.mark.parametrize("form", ["strokes", "ink"])
def test_the_generator_alone_decides(form):
    assert isinstance(EVERYTHING, Varies)
    state = torch.random.get_rng_state()
    one, same, other = (EVERYTHING(half_batch(form), luck(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.photos.pixels, same.photos.pixels)
    assert not torch.equal(one.photos.pixels, other.photos.pixels)
    drawn = [b.drawings if form == "ink" else b.drawings.points for b in (one, same)]
    assert torch.equal(*drawn)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_augmentation_that_tears_pairs_apart():
    with pytest.raises(TaskError, match="of drawing mirrors on its own"):
        PairAugmentation(drawing=Augmentation())
    with pytest.raises(TaskError, match="of ink, photo mirrors on its own"):
        PairAugmentation(ink=PhotoAugmentation(), photo=PhotoAugmentation())
    with pytest.raises(TaskError, match="flip is 2"):
        PairAugmentation(flip=2.0)


def test_a_branch_for_photos_only():
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ModelError, match="both branches"):
        photo_vectors(Encoder(photo=pool), PictureBatch(torch.zeros(1, 3, 8, 8)))
