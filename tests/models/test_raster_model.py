"""Picture classifiers as models of drawings."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sightline import (
    ClassScore,
    Game,
    ModelError,
    Rasteriser,
    RasterModel,
    Strokes,
    simplify,
    sketch_cnn,
)
from sightline.game import as_model
from toys import LABELS, batch_of, behind, empty_batch, picture_net, rails, scribble, unchecked


class Camera(nn.Module):
    """Answers the mean of what it is shown, and keeps the last picture."""

    shown: torch.Tensor

    def forward(self, pictures):
        self.shown = pictures
        return pictures.flatten(1).mean(1, keepdim=True).expand(-1, len(LABELS))


def test_the_picture_is_the_clipped_sum_of_its_strokes():
    model = behind(Camera())
    batch = batch_of(scribble(3, 4, longest=20), scribble(2, 2))
    layers = model.rasteriser.layers(batch)
    by_hand = torch.stack([layers[:4].sum(0), layers[4:].sum(0)]).clamp(max=1)
    torch.testing.assert_close(model.picture(batch), by_hand)
    assert (layers[:4].sum(0) > 1).any()  # strokes do cross: the clip has work
    model(batch)
    torch.testing.assert_close(model.module.shown, by_hand[:, None])


def test_black_ink_is_the_negative_of_white():
    batch = batch_of(scribble(1))
    white, black = behind(Camera()), behind(Camera(), ink="black")
    total = white(batch) + black(batch)
    torch.testing.assert_close(total, torch.ones_like(total))
    assert black.module.shown.max() == 1  # paper
    assert white.module.shown.min() == 0


def test_ink_is_repeated_on_the_channels_and_scaled():
    batch = batch_of(scribble(1))
    model = behind(Camera(), channels=3, mean=0.25, std=0.5)
    model(batch)
    assert model.module.shown.shape == (1, 3, 16, 16)
    expected = (model.picture(batch) - 0.25) / 0.5
    for channel in model.module.shown.unbind(1):
        torch.testing.assert_close(channel, expected)


def test_a_drawing_without_strokes_is_blank_paper():
    assert behind(Camera())(empty_batch(2)).tolist() == [[0.0] * 4] * 2


def test_a_drawing_does_not_feel_its_batch_mates():
    model = picture_net().double()
    drawings = [scribble(i, strokes) for i, strokes in enumerate((3, 1, 6))]
    together = model(batch_of(*drawings, dtype=torch.float64))
    for row, drawing in zip(together, drawings, strict=True):
        alone = model(batch_of(drawing, dtype=torch.float64))[0]
        torch.testing.assert_close(row, alone, atol=1e-12, rtol=0)


@pytest.mark.parametrize("ink", ["white", "black"])
def test_everything_present_is_the_drawing_nothing_is_blank(ink):
    model = picture_net(ink=ink).double()
    sketch = scribble(1, 5)
    game = Game(model, Strokes(sketch), ClassScore(list(LABELS)))
    whole = model(batch_of(model.prepare(sketch), dtype=torch.float64))[0]
    blank = model(empty_batch())[0]
    torch.testing.assert_close(game.value, whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(game.base, blank, atol=1e-12, rtol=0)


def test_presence_zero_is_the_drawing_without_the_stroke():
    model = picture_net().double()
    sketch = model.prepare(scribble(1, 5))
    game = Game(model, Strokes(sketch), ClassScore(list(LABELS)))
    there = [0, 2, 4]
    # the strokes that stay, where they were: not normalised anew
    kept = model(batch_of(sketch.select(there), dtype=torch.float64))[0]
    presence = torch.zeros(1, 5).index_fill(1, torch.tensor(there), 1.0)
    torch.testing.assert_close(game(presence)[0], kept.detach(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_module_is_shown_its_own_float_type(dtype):
    model = behind(nn.Sequential(nn.Flatten(), nn.Linear(256, 4))).to(dtype)
    with torch.no_grad():
        answer = model(batch_of(scribble(1)))
    assert answer.dtype == dtype
    assert answer.isfinite().all()


def test_drawings_are_simplified_where_the_model_was_trained_so():
    sketch = scribble(1, 3, longest=40)
    thin = behind(Camera(), epsilon=8.0).prepare(sketch)
    whole = behind(Camera()).prepare(sketch)
    assert len(thin) == len(whole) == 3
    assert len(thin.points) == len(simplify(sketch, epsilon=8.0).points) < len(whole.points)
    assert max(thin.size) == pytest.approx(1.48)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_plain_module_is_wrapped(channels):
    plain = nn.Sequential(
        nn.Conv2d(channels, 2, 9, stride=9), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    wrapped = as_model(plain)
    assert isinstance(wrapped, RasterModel)
    assert (wrapped.module, wrapped.channels, wrapped.rasteriser.size) == (plain, channels, 224)
    game = Game(plain, Strokes(rails(2)), ClassScore(1))
    assert game.targets == ("1",)
    assert game.value.shape == (1,)


def test_models_of_drawings_are_not_wrapped():
    model = picture_net()
    assert as_model(model) is model


def test_unknown_ink_names_the_known():
    with unchecked(), pytest.raises(ModelError, match=r"unknown ink 'blue'.* white, black"):
        RasterModel(Camera(), ink="blue")


def test_the_small_net_answers():
    model = sketch_cnn(("cat", "dog"), width=4).eval()
    assert model.rasteriser == Rasteriser(size=64, line_width=0.05)
    assert model.epsilon == 2.0
    answer = model(batch_of(scribble(1), scribble(2)))
    assert answer.shape == (2, 2)
    assert answer[0].sub(answer[1]).abs().max() > 0
