"""Photos that vary: pixels, masks and boxes move together, and chance is the generator's."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from sightline.errors import PhotoError
from sightline.image.augment import PhotoAugmentation, with_area
from sightline.image.batch import PictureBatch
from sightline.scenes.scene import draw_scene

MOVES = {"shift": 0.1, "scale": 0.2, "rotation": 0.3, "crop": 0.15}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def squares(count: int = 8, size: tuple[int, int] = (40, 60)) -> tuple:
    """Dark pictures with a bright square, its mask made of the bright pixels, its box."""
    pixels = torch.zeros(count, 3, *size)
    boxes = []
    for i in range(count):
        x, y = 12 + 3 * i, 10 + i
        pixels[i, :, y : y + 8, x : x + 11] = 1
        boxes.append(torch.tensor([[x, y, x + 11, y + 8]], dtype=torch.float32))
    return pixels, (pixels[:, :1] > 0.5).float(), boxes


def extent(mask: torch.Tensor) -> list[int]:
    """Box of a mask by plain search."""
    y, x = (mask > 0.5).nonzero(as_tuple=True)
    return [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]


def test_flips_by_hand_are_exact():
    pixels = torch.tensor([[[[0.1, 0.2, 0.7]]]])
    mask = torch.tensor([[[[1.0, 0.0, 0.3]], [[0.0, 0.5, 0.0]]]])
    box = [torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 3.0, 1.0]])]
    mirror = PhotoAugmentation.off(flip=1.0)
    moved, moved_mask, moved_boxes = mirror.moved(pixels, mask, box, seeded())
    assert torch.equal(moved, torch.tensor([[[[0.7, 0.2, 0.1]]]]))
    assert torch.equal(moved_mask, torch.tensor([[[[0.3, 0.0, 1.0]], [[0.0, 0.5, 0.0]]]]))
    assert moved_boxes[0].tolist() == [[2.0, 0.0, 3.0, 1.0], [0.0, 0.0, 2.0, 1.0]]


def test_half_of_the_pictures_are_flipped_each_with_its_mask():
    pixels, mask, boxes = squares(8)
    pixels, mask, boxes = pixels.repeat(25, 1, 1, 1), mask.repeat(25, 1, 1, 1), boxes * 25
    moved, moved_mask, moved_boxes = PhotoAugmentation.off(flip=0.5).moved(
        pixels, mask, boxes, seeded()
    )
    flipped = (moved != pixels).flatten(1).any(1)
    assert 70 < int(flipped.sum()) < 130
    assert torch.equal(moved_mask, (moved[:, :1] > 0.5).float())
    for one, box in zip(moved_mask, moved_boxes, strict=True):
        assert box[0].tolist() == extent(one[0])


@pytest.mark.parametrize("moves", [{name: value} for name, value in MOVES.items()] + [MOVES])
def test_mask_and_bright_pixels_coincide(moves):
    pixels, mask, boxes = squares()
    vary = PhotoAugmentation.off(flip=0.5, **moves)
    moved, moved_mask, moved_boxes = vary.moved(pixels, mask, boxes, seeded(1))
    assert not torch.equal(moved, pixels)
    torch.testing.assert_close(moved[:, :1], moved_mask)
    for one, (box,) in zip(moved_mask, moved_boxes, strict=True):
        x0, y0, x1, y1 = extent(one[0])
        assert box[0] - 0.6 <= x0
        assert box[1] - 0.6 <= y0
        assert x1 <= box[2] + 0.6
        assert y1 <= box[3] + 0.6
        if not vary.rotation:  # turned boxes are loose
            torch.testing.assert_close(box, torch.tensor([x0, y0, x1, y1]).float(), atol=0.6,
                                       rtol=0)  # fmt: skip


def test_the_check_can_fail_when_a_mask_stays_behind():
    """The known wrong version, GRADIA's: the photo is flipped, its mask is not."""
    pixels, mask, _ = squares()
    moved = PhotoAugmentation.off(flip=1.0).moved(pixels, None, None, seeded())[0]
    assert not torch.equal(moved[:, :1], mask)


@pytest.mark.parametrize("seed", range(3))
def test_pixels_go_where_boxes_go(seed):
    """A ramp tells where each pixel came from; points, as boxes without area, where it went."""
    size = (48, 64)
    y, x = torch.meshgrid(*(torch.arange(s, dtype=torch.float64) + 0.5 for s in size),
                          indexing="ij")  # fmt: skip
    ramp = torch.stack([x / size[1], y / size[0]])[None]
    points = torch.tensor([[32.0, 24.0], [22.0, 30.0], [40.0, 20.0]], dtype=torch.float64)
    vary = PhotoAugmentation.off(flip=1.0, **MOVES)
    moved, _, (boxes,) = vary.moved(ramp, None, [points.repeat(1, 2)], seeded(seed))
    for point, box in zip(points, boxes, strict=True):
        left, top = (int(v) for v in (box[:2] - 0.5).floor())
        right, down = (box[:2] - 0.5 - torch.tensor([left, top])).tolist()
        patch = moved[0, :, top : top + 2, left : left + 2]
        row = patch[:, 0] * (1 - down) + patch[:, 1] * down
        read = row[:, 0] * (1 - right) + row[:, 1] * right
        torch.testing.assert_close(read * torch.tensor([size[1], size[0]]), point)


def test_scenes_keep_their_masks_and_boxes():
    scene = draw_scene(7, objects=3)
    pixels = torch.from_numpy(scene.photo.pixels.copy()).permute(2, 0, 1)[None] / 255
    mirror = PhotoAugmentation.off(flip=1.0)
    _, masks, (boxes,) = mirror.moved(
        pixels, scene.masks[None].float(), [scene.boxes.float()], seeded()
    )
    assert torch.equal(masks[0], scene.masks.flip(2).float())
    assert boxes.tolist() == [extent(mask) for mask in masks[0]]


def test_without_strength_nothing_changes():
    pixels, mask, boxes = squares()
    moved, moved_mask, moved_boxes = PhotoAugmentation.off().moved(pixels, mask, boxes, seeded())
    assert torch.equal(moved, pixels)
    assert torch.equal(moved_mask, mask)
    assert torch.equal(torch.cat(moved_boxes), torch.cat(boxes))


def test_beyond_the_edge_masks_are_empty_and_pixels_held():
    ones = torch.ones(6, 1, 20, 20)
    moved, mask, _ = PhotoAugmentation.off(shift=0.4).moved(ones, ones, None, seeded())
    torch.testing.assert_close(moved, ones)
    least = mask.amin((1, 2, 3))
    assert (least < 1).all()  # a shift of less than a pixel leaves a share
    assert (least == 0).sum() >= 5


def test_a_crop_stays_inside_and_comes_near_every_edge():
    places = torch.arange(60, dtype=torch.float64) + 0.5
    ramps = torch.stack([places.expand(60, 60), places[:, None].expand(60, 60)]) / 60
    pixels = ramps.expand(400, 2, 60, 60)
    vary = PhotoAugmentation.off(crop=0.5)
    moved, mask, _ = vary.moved(pixels, torch.ones_like(pixels[:, :1]), None, seeded())
    assert float(mask[:, :, 1:-1, 1:-1].min()) == pytest.approx(1)
    for along in (moved[:, 0, 30, :], moved[:, 1, :, 30]):
        side = (along[:, -1] - along[:, 0]) * 60 / 59
        assert 0.49 < float(side.min()) < 0.52
        assert 0.98 < float(side.max()) <= 1
        deep = along[side < 0.6]  # wherever they lie, not all at one corner
        assert float(deep[:, 0].min()) < 0.05
        assert float(deep[:, -1].max()) > 0.95


def test_a_box_that_leaves_keeps_its_row_without_area():
    boxes = [torch.tensor([[0.0, 0.0, 2.0, 2.0], [18.0, 18.0, 20.0, 20.0]])] * 20
    ones = torch.ones(20, 1, 20, 20)
    moved = PhotoAugmentation.off(crop=0.6).moved(ones, None, boxes, seeded())[2]
    assert [len(box) for box in moved] == [2] * 20
    left = torch.stack([with_area(box) for box in moved])
    assert left.any()
    assert not left.all()
    assert all(float(box.min()) >= 0 and float(box.max()) <= 20 for box in moved)


def test_the_seed_decides_everything_and_batches_do_not_matter():
    pixels, mask, _ = squares(6)
    vary, state = PhotoAugmentation(), torch.get_rng_state()
    whole = vary.moved(pixels, mask, None, seeded(3))
    generator = seeded(3)
    parts = [vary.moved(pixels[i], mask[i], None, generator)
             for i in (slice(0, 1), slice(1, 4), slice(4, 6))]  # fmt: skip
    for i in (0, 1):
        torch.testing.assert_close(whole[i], torch.cat([part[i] for part in parts]))
    assert not torch.equal(whole[0], vary.moved(pixels, mask, None, seeded(4))[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_one_change_more_leaves_the_others_as_they_were():
    pixels, mask, _ = squares()
    plain = PhotoAugmentation.off(flip=0.5).moved(pixels, mask, None, seeded(5))[1]
    darker = PhotoAugmentation.off(flip=0.5, brightness=0.5).moved(pixels, mask, None, seeded(5))
    assert torch.equal(darker[1], plain)


def test_brightness_multiplies_and_contrast_keeps_the_mean():
    pixels = 0.3 + 0.2 * torch.rand(5, 3, 6, 7, dtype=torch.float64, generator=seeded())
    ratio = PhotoAugmentation.off(brightness=0.5)(PictureBatch(pixels), seeded()).pixels / pixels
    assert float(ratio.flatten(1).std(1).max()) < 1e-12
    assert 0.5 <= float(ratio.min()) < float(ratio.max()) <= 1.5
    flat = PhotoAugmentation.off(contrast=0.5)(PictureBatch(pixels[:, :1]), seeded()).pixels
    torch.testing.assert_close(flat.mean((1, 2, 3)), pixels[:, :1].mean((1, 2, 3)))
    assert not torch.allclose(flat, pixels[:, :1], atol=1e-3)


def test_saturation_leaves_grey_alone_and_keeps_brightness():
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    grey = torch.rand(2, 1, 5, 5, dtype=torch.float64, generator=seeded()).repeat(1, 3, 1, 1)
    vary = PhotoAugmentation.off(saturation=0.5)
    torch.testing.assert_close(vary(PictureBatch(grey), seeded()).pixels, grey)
    colours = 0.4 + 0.2 * torch.rand(2, 3, 5, 5, dtype=torch.float64, generator=seeded(1))
    varied = vary(PictureBatch(colours), seeded()).pixels
    assert not torch.allclose(varied, colours, atol=1e-3)
    torch.testing.assert_close(
        torch.einsum("nchw,c->nhw", varied, weights), torch.einsum("nchw,c->nhw", colours, weights)
    )


def test_pixels_stay_in_range_in_every_float_type():
    pixels, mask, _ = squares()
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        moved, moved_mask, _ = PhotoAugmentation().moved(
            pixels.to(dtype), mask.to(dtype), None, seeded()
        )
        assert moved.dtype == moved_mask.dtype == dtype
        assert 0 <= float(moved.min()) <= float(moved.max()) <= 1


def test_its_settings_are_plain_values():
    vary = PhotoAugmentation(rotation=0.2)
    assert PhotoAugmentation(**json.loads(json.dumps(asdict(vary)))) == vary


def test_mistakes_are_told():
    pixels, mask, boxes = squares(4)
    with pytest.raises(PhotoError, match=r"flip is 1\.5; expected from 0 \(off\) to 1"):
        PhotoAugmentation(flip=1.5)
    with pytest.raises(PhotoError, match=r"crop is -0\.1"):
        PhotoAugmentation(crop=-0.1)
    with pytest.raises(PhotoError, match=r"masks of \[4, 1, 20, 60\] do not go with pixels"):
        PhotoAugmentation().moved(pixels, mask[:, :, :20], None, seeded())
    with pytest.raises(PhotoError, match="3 tables of boxes for 4 pictures"):
        PhotoAugmentation().moved(pixels, mask, boxes[:3], seeded())
