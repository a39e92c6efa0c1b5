"""What a generator puts into regions of its picture."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sightline as sl
from sightline.errors import GameError
from sightline.game import Game
from sightline.models.generator import RasterGenerator
from sightline.parts import Strokes
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch
from sightline.targets import ClassScore
from sightline.targets.region import Region
from toys import batch_of, picture_net, rails, scribble, stroke_net, unchecked

SIZE = 16


def painter(module=None, **settings) -> RasterGenerator:
    """Paints each stroke's own ink, in three colours."""
    ink = Rasteriser(size=SIZE, line_width=0.15)
    paint = module or (lambda pictures: pictures.expand(-1, 3, -1, -1))
    return RasterGenerator(paint, rasteriser=ink, **settings)


def bands(sketch: Sketch, generator: RasterGenerator) -> Tensor:
    """The pixels of each stroke's ink alone: rails never overlap."""
    batch = batch_of(generator.prepare(sketch))
    return generator.rasteriser.layers(batch) > 0


def presence(*rows) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)


@pytest.fixture
def game() -> Game:
    """Three rails; a region a rail, and one for them all."""
    generator, sketch = painter(), rails(3)
    masks = bands(sketch, generator)
    masks = torch.cat([masks, torch.ones(1, SIZE, SIZE, dtype=torch.bool)])
    return Game(generator, Strokes(sketch), Region(masks, names=("a", "b", "c", "all")))


# --- content by hand ------------------------------------------------------------------------------


def test_content_is_zero_without_and_one_with_everything(game):
    assert game.value.tolist() == pytest.approx([1] * 4)
    assert game.base.tolist() == pytest.approx([0] * 4, abs=1e-7)
    assert (game.unit, game.targets) == ("content", ("a", "b", "c", "all"))


def test_each_region_is_of_its_own_stroke(game):
    alone = game(torch.eye(3))
    torch.testing.assert_close(alone[:, :3], torch.eye(3).double(), rtol=0, atol=1e-6)


def test_content_is_linear_in_presence_and_in_strokes(game):
    half = game(presence([0.5, 0.25, 0.0]))
    torch.testing.assert_close(
        half[0, :3], torch.tensor([0.5, 0.25, 0]).double(), atol=1e-6, rtol=0
    )
    alone = game(torch.eye(3))
    torch.testing.assert_close(half[0, 3], 0.5 * alone[0, 3] + 0.25 * alone[1, 3])


@pytest.mark.parametrize("method", ["sla", "integrated_gradients", "shapley", "kernel_shap"])
def test_methods_find_the_stroke_of_each_region(game, method):
    scores = torch.from_numpy(getattr(sl, method)(game).scores[:3])
    torch.testing.assert_close(scores, torch.eye(3).double(), rtol=0, atol=1e-5)


def test_content_against_plain_loops():
    """A bent generator with paper of its own: <G - G0, u> / |G1 - G0| over the region."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.Tanh(), nn.Conv2d(4, 2, 1))
    generator = painter(module.double())
    sketch, luck = scribble(1, 3), torch.Generator().manual_seed(1)
    masks = torch.rand(2, SIZE, SIZE, generator=luck) > 0.6
    game = Game(generator, Strokes(sketch), Region(masks))
    layers = generator.rasteriser.layers(batch_of(generator.prepare(sketch), dtype=torch.float64))

    def picture(there) -> np.ndarray:
        ink = sum(w * layer for w, layer in zip(there, layers, strict=True)) + layers[0] * 0
        return generator.see(ink.clamp(max=1)[None])[0].detach().numpy()

    whole, blank = picture([1, 1, 1]), picture([0, 0, 0])
    for there in itertools.product([0.0, 0.5, 1.0], repeat=3):
        found, now = game(presence(there))[0], picture(there)
        for region, mask in enumerate(masks.numpy()):
            up = down = 0.0
            for y, x in zip(*np.nonzero(mask), strict=True):
                for c in range(2):
                    drawn = whole[c, y, x] - blank[c, y, x]
                    up += (now[c, y, x] - blank[c, y, x]) * drawn
                    down += drawn * drawn
            assert float(found[region]) == pytest.approx(up / down, abs=1e-9)


def test_gradient_by_differences():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.Tanh(), nn.Conv2d(4, 3, 3))
    generator = painter(module.double())
    masks = torch.rand(2, 14, 14, generator=torch.Generator().manual_seed(1)) > 0.5
    here, step = torch.full((1, 3), 0.3, dtype=torch.float64), 1e-6
    for asked in ("content", "brightness"):
        game = Game(generator, Strokes(scribble(1, 3)), Region(masks, asked=asked))
        slopes = game.gradient(here)[0]
        for part in range(3):
            moved = step * torch.eye(3, dtype=torch.float64)[part]
            wanted = (game(here + moved) - game(here - moved))[0] / (2 * step)
            torch.testing.assert_close(slopes[:, part], wanted, rtol=1e-6, atol=1e-8)


# --- brightness by hand ---------------------------------------------------------------------------


class Paint(nn.Module):
    """Red everywhere, half green on the left; blue is black."""

    def forward(self, pictures: Tensor) -> Tensor:
        made = torch.zeros(len(pictures), 3, 4, 4)
        made[:, 0], made[:, 1, :, :2] = 1, 0.5
        return made


def test_brightness_is_the_mean_of_pixels_and_colours():
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[0], masks[1, :, :2], masks[2, 0, 1:3] = True, True, True
    game = Game(painter(Paint()), Strokes(scribble()), Region(masks, asked="brightness"))
    assert game.value.tolist() == pytest.approx([1.25 / 3, 1.5 / 3, 1.25 / 3])
    assert (game.unit, game.targets[0]) == ("brightness", "region 0")


# --- masks ----------------------------------------------------------------------------------------


def test_masks_of_another_size_are_scaled():
    """Twice as fine, the same region; twice as coarse, where it falls on whole pixels."""
    sketch, generator = rails(3), painter()
    mask = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, :8, 4:12] = True
    fine = mask.repeat_interleave(2, 1).repeat_interleave(2, 2)
    rows = presence([1, 0, 0], [0.3, 1, 0.7], [0, 0, 1])
    for asked in ("content", "brightness"):
        wanted = Game(generator, Strokes(sketch), Region(mask, asked=asked))(rows)
        for scaled in (fine, mask[:, ::2, ::2], mask[:, ::4, ::4]):
            found = Game(generator, Strokes(sketch), Region(scaled, asked=asked))(rows)
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)


def test_a_fine_mask_counts_by_its_share():
    """Three quarters of one pixel and one quarter of the next."""
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, :2, :2] = True
    mask[0, 0, 1] = False
    mask[0, 0, 2] = True
    target = Region(mask, asked="brightness")
    reply = torch.zeros(2, 1, 4, 4)
    reply[0, 0, 0] = torch.tensor([1.0, 0.5, 9.0, 9.0])
    values = target.bind(None, (), reply, scribble()).read(reply)
    assert values[0].item() == pytest.approx(0.75 * 1 + 0.25 * 0.5)


def test_a_mask_too_thin_for_the_picture_is_still_asked():
    mask = torch.zeros(1, 160, 160, dtype=torch.bool)
    mask[0, 80] = True
    assert Game(painter(), Strokes(rails(3)), Region(mask)).value.tolist() == pytest.approx([1])


def test_boxes():
    """A pixel belongs to a box that its centre lies in."""
    region = Region.of_boxes([(0, 0, 2, 1), (1.4, 0.6, 3, 3)], (3, 4), names=("low", "high"))
    assert region.masks.int().tolist() == [
        [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]],
    ]
    assert (region.names, region.asked) == (("low", "high"), "content")
    with pytest.raises(GameError, match="region 'high' has no pixel"):
        Region.of_boxes([(0, 0, 2, 1), (1.6, 0, 2.4, 3)], (3, 4), names=("low", "high"))


# --- errors ---------------------------------------------------------------------------------------


def test_a_region_without_content():
    masks = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
    masks[0], masks[1, 0] = True, True
    with pytest.raises(GameError, match=r"the drawing puts nothing into 'sky'.*or for its brightn"):
        Game(painter(), Strokes(rails(3)), Region(masks, names=("all", "sky")))
    game = Game(painter(), Strokes(rails(3)), Region(masks, asked="brightness"))
    assert game.value[1] == 0


def test_errors_of_masks():
    mask = torch.ones(2, 4, 4, dtype=torch.bool)
    with pytest.raises(GameError, match="2 regions, but 1 names; give one each"):
        Region(mask, names=("a",))
    with pytest.raises(GameError, match="region 'region 1' has no pixel; leave it out"):
        Region(mask & torch.tensor([True, False])[:, None, None])
    with pytest.raises(GameError, match=r"shape \[0, 4, 4\]; expected \[regions, height, width\]"):
        Region(mask[:0])
    with unchecked(), pytest.raises(GameError, match=r"shape \[4, 4\]; expected"):
        Region(mask[0])
    with unchecked(), pytest.raises(GameError, match="unknown asked 'contents'; did you mean 'con"):
        Region(mask, asked="contents")


@pytest.mark.parametrize("model", [picture_net(), stroke_net(), sl.load("sketch-cnn")])
def test_what_answers_no_pictures(model):
    told = r"the model answers no pictures: .*\s*sl.RasterGenerator\(module\)"
    with pytest.raises(GameError, match=told):
        Game(model, Strokes(scribble()), Region(torch.ones(1, 4, 4, dtype=torch.bool)))


def test_a_generator_has_no_classes():
    for target in (None, ClassScore(0)):
        with pytest.raises(GameError, match=r"has no classes: ask sl.Region\(mask\)"):
            Game(painter(), Strokes(scribble()), target)


def test_anchors_are_refused(game):
    with pytest.raises(GameError, match="'a' is asked in content, and is no class"):
        sl.anchors(game)


def test_contents_and_brightness_are_not_mixed():
    mask = torch.ones(1, 4, 4, dtype=torch.bool)
    both = [Region(mask), Region(mask, names=("b",), asked="brightness")]
    with pytest.raises(GameError, match="unit"):
        Game(painter(), Strokes(rails(3)), both)
