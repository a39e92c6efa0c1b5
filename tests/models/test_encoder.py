"""Drawings and photos as vectors: what the encoder answers, how alike vectors are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detectors import LinearDetector
from sightline.errors import GameError, ModelError
from sightline.image.photo import Photo
from sightline.models.encoder import Encoder, similarities
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.raster import RasterModel
from sightline.models.two_branch import two_branch
from sightline.sketch.raster import Rasteriser
from toys import batch_of, picture_net, scribble, stroke_net, unchecked


def photo(seed: int = 0, size: tuple[int, int] = (20, 30)) -> Photo:
    return Photo(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def drawings(count: int = 7):
    return [scribble(seed, 2 + seed % 4) for seed in range(count)]


def photos(count: int = 5) -> list[Photo]:
    return [photo(seed, (16 + seed, 40 - seed)) for seed in range(count)]


@pytest.fixture
def encoder() -> Encoder:
    return two_branch(dimension=6, width=4, size=32, seed=1)


# --- by hand --------------------------------------------------------------------------------------


class Corner(nn.Module):
    """The mean of the left half and of the right half."""

    def forward(self, pictures: Tensor) -> Tensor:
        left, right = pictures.mean(1).chunk(2, dim=2)
        return torch.stack([left.mean((1, 2)), right.mean((1, 2))], 1)


def test_photos_by_hand():
    """Left red, right white: a third of the light, and all of it."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4, 0], pixels[:, 4:] = 255, 255
    seen = PictureClassifier(Corner(), size=(4, 4), mean=(0, 0, 0), std=(1, 1, 1))
    vectors = Encoder(photo=seen).encode([Photo(pixels)])
    torch.testing.assert_close(vectors, torch.tensor([[1 / 3, 1.0]]))


def test_drawings_by_hand():
    """The ink of a drawing's own picture, normalised as the model reads it."""
    drawn = RasterModel(Corner(), rasteriser=Rasteriser(size=8))
    sketch = scribble(2)
    ink = drawn.picture(batch_of(drawn.prepare(sketch)))[0]
    wanted = torch.stack([ink[:, :4].mean(), ink[:, 4:].mean()])
    torch.testing.assert_close(Encoder(sketch=drawn).encode([sketch])[0], wanted)


def test_a_plain_module_is_put_behind_a_rasteriser():
    encoder = Encoder(sketch=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    assert isinstance(encoder.sketch, RasterModel)
    assert encoder.encode(drawings(2)).shape == (2, 1)


# --- the same whatever is asked beside ------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_drawings_do_not_depend_on_the_batch(encoder, batch):
    for model in (encoder, Encoder(sketch=stroke_net()), Encoder(sketch=picture_net())):
        alone = torch.cat([model.encode([sketch]) for sketch in drawings()])
        together = model.encode(drawings(), batch=batch)
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_photos_do_not_depend_on_the_batch(encoder, batch):
    alone = torch.cat([encoder.encode([each]) for each in photos()])
    torch.testing.assert_close(encoder.encode(photos(), batch=batch), alone, rtol=0, atol=1e-6)


def test_vectors_are_plain_numbers(encoder):
    vectors = encoder.double().encode(drawings(2))
    assert vectors.dtype == torch.float32
    assert not vectors.requires_grad
    assert not torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-2)


def test_ink_is_read_as_the_drawing_it_is_of(encoder):
    batch = batch_of(*(encoder.sketch.prepare(sketch) for sketch in drawings()))
    ink = encoder.sketch.picture(batch)
    torch.testing.assert_close(encoder.encode_ink(ink, batch=2), encoder.encode(drawings()))


# --- as found -------------------------------------------------------------------------------------


def state(model: nn.Module):
    told = [(name, value.clone()) for name, value in model.state_dict().items()]
    modes = [module.training for module in model.modules()]
    hooks = [len(module._forward_hooks) for module in model.modules()]
    return told, modes, hooks, [(p.requires_grad, p.grad) for p in model.parameters()]


def same(before, after) -> bool:
    weights = all(torch.equal(a, b) for (_, a), (_, b) in zip(before[0], after[0], strict=True))
    return weights and before[1:] == after[1:]


def test_the_model_is_left_as_it_came():
    """In training mode, with a frozen weight: dropout and batch norm must not act or learn."""
    net = picture_net().train()
    net.module[0].eval()
    next(net.parameters()).requires_grad_(False)
    encoder, luck = Encoder(sketch=net), torch.random.get_rng_state()
    before = state(encoder)
    first, again = (encoder.encode(drawings()) for _ in range(2))
    assert torch.equal(first, again)
    assert same(before, state(encoder))
    assert torch.equal(luck, torch.random.get_rng_state())


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1)

    def forward(self, pictures: Tensor) -> Tensor:
        raise RuntimeError("paper jam")


def test_the_model_is_left_as_it_came_after_a_failure():
    encoder = Encoder(sketch=Broken().train())
    before = state(encoder)
    with pytest.raises(RuntimeError, match="paper jam"):
        encoder.encode(drawings(1))
    assert same(before, state(encoder))


# --- fingerprints ---------------------------------------------------------------------------------


def fingerprint(*, ink="white", size=16, measure="cosine", weight=1.0, mean=0.0) -> str:
    module = nn.Sequential(nn.Flatten(), nn.Linear(256, 2))
    for each in module.parameters():
        nn.init.constant_(each, weight)
    drawn = RasterModel(module, ink=ink, rasteriser=Rasteriser(size=size), mean=mean)
    return Encoder(sketch=drawn, measure=measure).fingerprint


@pytest.mark.parametrize(
    "other",
    [{"ink": "black"}, {"size": 17}, {"measure": "distance"}, {"weight": 2.0}, {"mean": 0.5}],
    ids=str,
)
def test_another_encoder_has_another_fingerprint(other):
    first, again = fingerprint(), fingerprint()
    assert first == again
    assert fingerprint(**other) != fingerprint()


@pytest.mark.parametrize(
    "others",
    [
        (nn.ReLU(), nn.Tanh()),
        (nn.AvgPool2d(4), nn.MaxPool2d(4)),
        (nn.AvgPool2d(4), nn.AvgPool2d(4, padding=1)),
    ],
    ids=["activation", "pooling", "its settings"],
)
def test_what_has_no_weights_is_part_of_the_fingerprint(others):
    first, second = (Encoder(sketch=nn.Sequential(m, nn.Flatten())).fingerprint for m in others)
    assert first != second


@pytest.mark.parametrize("settings", [{"epsilon": 2.0}, {"use_order": False}], ids=str)
def test_settings_of_a_network_of_strokes_are_part_of_the_fingerprint(settings):
    plain, other = stroke_net(), stroke_net(**settings)
    assert Encoder(sketch=plain).fingerprint != Encoder(sketch=other).fingerprint


def test_names_of_classes_are_not():
    plain, other = stroke_net(), stroke_net()
    other.config = replace(other.config, labels=("a", "b", "c", "d"))
    assert Encoder(sketch=plain).fingerprint == Encoder(sketch=other).fingerprint


def test_a_vector_of_zeros_has_no_direction_and_no_slope():
    nothing = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    alike = similarities(nothing, torch.eye(3, dtype=torch.float64))
    assert alike.tolist() == [[0.0, 0.0, 0.0]]
    (slope,) = torch.autograd.grad(alike.sum(), nothing)
    assert slope.tolist() == [[0.0, 0.0, 0.0]]


def test_how_photos_are_read_is_part_of_the_fingerprint():
    def of(**settings) -> str:
        return Encoder(photo=PictureClassifier(Corner(), **settings)).fingerprint

    assert len({of(), of(size=(8, 8)), of(mean=(0, 0, 0)), of(resampling="antialiased")}) == 4
    assert of() == of(size=(224, 224))


def test_a_fingerprint_is_not_of_the_mode(encoder):
    trained = encoder.train().fingerprint
    assert encoder.eval().fingerprint == trained
    encoder.requires_grad_(False)
    assert encoder.fingerprint == trained


# --- errors ---------------------------------------------------------------------------------------


def test_no_branch():
    with pytest.raises(ModelError, match="needs a branch: give sketch="):
        Encoder()


def test_unknown_measure():
    with unchecked(), pytest.raises(ModelError, match="unknown measure 'cosin'; did you mean 'cos"):
        Encoder(sketch=picture_net(), measure="cosin")


def test_missing_branches():
    with pytest.raises(ModelError, match=r"reads drawings only; .*sl.Encoder\(photo=...\)"):
        Encoder(sketch=picture_net()).encode(photos(1))
    seen = PictureClassifier(Corner())
    with pytest.raises(ModelError, match=r"reads photos only; .*sl.Encoder\(sketch=...\)"):
        Encoder(photo=seen).encode(drawings(1))
    with pytest.raises(ModelError, match="need a branch that reads pictures; NoneType does not"):
        Encoder(photo=seen).encode_ink(torch.zeros(1, 8, 8))
    with pytest.raises(ModelError, match="SketchXAINet does not"):
        Encoder(sketch=stroke_net()).encode_ink(torch.zeros(1, 8, 8))


def test_kinds_are_not_mixed(encoder):
    mixed = [*drawings(2), *photos(1)]
    with unchecked(), pytest.raises(ModelError, match=r"item 2 .*came Sketch, then Photo"):
        encoder.encode(mixed)
    with unchecked(), pytest.raises(ModelError, match=r"item 1 .*came Photo, then Sketch"):
        encoder.encode([*photos(1), *drawings(1)])
    with unchecked(), pytest.raises(ModelError, match=r"item 0 .*came str; give drawings only"):
        encoder.encode(["shoe.png"])


@pytest.mark.parametrize(("items", "batch"), [([], 64), (drawings(1), 0)], ids=["none", "batch"])
def test_nothing_to_encode(encoder, items, batch):
    with pytest.raises(ModelError, match=f"nothing to encode: {len(items)} items, {batch} at once"):
        encoder.encode(items, batch=batch)


@pytest.mark.parametrize(("items", "batch"), [(0, 64), (2, 0)], ids=["none", "batch"])
def test_no_ink_to_encode(encoder, items, batch):
    with pytest.raises(ModelError, match=f"nothing to encode: {items} items, {batch} at once"):
        encoder.encode_ink(torch.zeros(items, 32, 32), batch=batch)


def test_ink_of_another_size(encoder):
    told = r"ink of shape \[2, 64, 32\]; expected \[items, 32, 32\], as large as"
    with pytest.raises(ModelError, match=told):
        encoder.encode_ink(torch.zeros(2, 64, 32))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_of_the_precision(encoder, dtype):
    """Either branch reads float32 pictures; its vectors are near those of float32."""
    items = (drawings(3), photos(3))
    exact = [encoder.encode(each) for each in items]
    encoder.to(dtype)
    for each, wanted in zip(items, exact, strict=True):
        near = encoder.encode(each)
        assert near.dtype == torch.float32
        torch.testing.assert_close(near, wanted, rtol=0.05, atol=0.02)


def test_detectors_find_boxes():
    with pytest.raises(ModelError, match="finds boxes; an encoder of photos answers vectors"):
        Encoder(photo=LinearDetector())
    with pytest.raises(GameError, match="reads photos, not drawings"):
        Encoder(sketch=LinearDetector())


class Answers(nn.Module):
    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, pictures: Tensor) -> object:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (torch.zeros(2, 3, 4), r"answered \[2, 3, 4\]; expected vectors \[2, dimension\]"),
        (torch.zeros(5, 3), r"answered \[5, 3\]"),
        ((torch.zeros(2, 3),), "answered tuple"),
        (torch.full((2, 3), torch.nan), "NaN or infinity"),
    ],
    ids=["maps", "rows", "tuple", "nan"],
)
def test_what_is_no_vector(answer, told):
    encoder = Encoder(sketch=RasterModel(Answers(answer), rasteriser=Rasteriser(size=8)))
    with unchecked(), pytest.raises(ModelError, match=told):
        encoder.encode(drawings(2))


# --- similarities ---------------------------------------------------------------------------------


def oracle(a: np.ndarray, b: np.ndarray, measure: str) -> np.ndarray:
    """One pair at a time."""
    found = np.zeros((len(a), len(b)))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            cosine = sum(x * y) / (sum(x * x) * sum(y * y)) ** 0.5
            found[i, j] = cosine if measure == "cosine" else -(sum((x - y) ** 2) ** 0.5)
    return found


@pytest.mark.parametrize("measure", ["cosine", "distance"])
def test_similarities_of_pairs(measure):
    luck = np.random.default_rng(0)
    a, b = luck.normal(size=(4, 5)), luck.normal(size=(3, 5))
    found = similarities(torch.from_numpy(a), torch.from_numpy(b), measure)
    np.testing.assert_allclose(found.numpy(), oracle(a, b, measure), rtol=0, atol=1e-12)


def test_similarities_by_hand():
    """3, 4 and 5 make a right angle."""
    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0], [6.0, 0.0], [-1.0, 0.0]])
    assert similarities(a, b).tolist() == [[0, 1, -1]]
    assert similarities(a, b, "distance").tolist() == [[-5, -3, -4]]


@pytest.mark.parametrize("measure", ["cosine", "distance"])
def test_gradient_by_differences(measure):
    luck = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 4, generator=luck, dtype=torch.float64) for n in (2, 3))
    a.requires_grad_()
    b.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: similarities(x, y, measure), (a, b))


@pytest.mark.parametrize("measure", ["cosine", "distance"])
def test_equal_vectors_and_none_have_a_gradient(measure):
    for vector in (torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2)):
        x = vector.clone().requires_grad_()
        found = similarities(x, vector, measure)
        nearest = float(vector.any()) if measure == "cosine" else 0.0
        assert found.item() == pytest.approx(nearest, abs=1e-6)
        (slope,) = torch.autograd.grad(found.sum(), x)
        torch.testing.assert_close(slope, torch.zeros(1, 2))
