"""Pictures of boxes: which pixel has which colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import toy_runs
from sightline.errors import SightlineError
from sightline.image.photo import Photo
from sightline.runs.overlay import OPACITY, as_data, overlay, photo_of, write_overlay
from sightline.runs.run import Run

VERMILION, BLUE = np.array([0xD5, 0x5E, 0x00]), np.array([0x00, 0x72, 0xB2])
ROW = replace(
    toy_runs.result("a", 1).explanations[0],
    scores=np.array([0.0, 2.0, -1.0, 0.5] + [0.0] * 8),
    errors=None,
    box=(20.0, 12.0, 30.0, 22.0),
)


def middle(pixels: np.ndarray, cell: int) -> np.ndarray:
    return pixels[4, 8 * cell + 4].astype(float)


def test_colours_by_hand():
    photo = replace(toy_runs.result("a", 0), explanations=(ROW,))
    pixels = overlay(photo, ROW)
    assert middle(pixels, 0).tolist() == [255, 255, 255]
    for cell, colour, share in [(1, VERMILION, 1.0), (2, BLUE, 0.5), (3, VERMILION, 0.25)]:
        expected = 255 + OPACITY * share * (colour - 255)
        assert np.abs(middle(pixels, cell) - expected).max() <= 0.51


def test_the_photo_is_seen_in_grey_below():
    photo = replace(toy_runs.result("a", 0), explanations=(ROW,))
    green = np.zeros((toy_runs.HEIGHT, toy_runs.WIDTH, 3), np.uint8)
    green[..., 1] = 200
    pixels = overlay(photo, ROW, Photo(green))
    assert np.abs(middle(pixels, 0) - (40 + 0.8 * 0.587 * 200)).max() <= 0.51


def test_the_box_is_outlined_where_it_is():
    photo = replace(toy_runs.result("a", 0), explanations=(ROW,))
    pixels = overlay(photo, replace(ROW, scores=np.zeros(12)), None)
    assert pixels[12, 25].tolist() == [0, 0, 0]
    assert pixels[16, 20].tolist() == [0, 0, 0]
    assert pixels[13, 25].tolist() == [255, 255, 255]
    assert pixels[10, 25].tolist() == [255, 255, 255]  # outside, nothing
    assert not (pixels == 0).all(-1)[:12].any()


@pytest.mark.parametrize(
    "box", [(-5.0, -5.0, 500.0, 500.0), (9.0, 9.0, 3.0, 3.0), (-9.0, 50.0, -3.0, 60.0)]
)
def test_boxes_off_the_photo_are_drawn_as_far_as_it_goes(box):
    photo = replace(toy_runs.result("a", 0), explanations=(ROW,))
    pixels = overlay(photo, replace(ROW, box=box))
    assert (pixels == 0).all(-1).any()


def test_a_photo_of_another_size_is_not_shown(tmp_path):
    photos = tmp_path / "photos"
    toy_runs.photos_on_disk(photos, toy_runs.names(3))
    told = toy_runs.manifest(toy_runs.names(3), photos)
    toy_runs.explain_photos(
        toy_runs.work(toy_runs.names(3)), toy_runs.explain, told, tmp_path / "run"
    )
    run = Run.open(tmp_path / "run")
    photo = next(run.photos())
    assert photo_of(run, photo) is not None
    Image.new("RGB", (5, 5)).save(photos / photo.name)
    assert photo_of(run, photo) is None
    (photos / photo.name).unlink()
    assert photo_of(run, photo) is None


def test_pictures_in_files_and_pages(tmp_path):
    toy_runs.run(tmp_path / "run", 3)
    run = Run.open(tmp_path / "run")
    item = run.item(0)
    for suffix in ("png", "jpg", "webp"):
        write_overlay(run, item, tmp_path / f"a.{suffix}")
        with Image.open(tmp_path / f"a.{suffix}") as image:
            assert image.size == (toy_runs.WIDTH, toy_runs.HEIGHT)
    with pytest.raises(SightlineError, match=r"cannot draw 'a.svg': use one of .png, .jpg"):
        write_overlay(run, item, tmp_path / "a.svg")
    large = np.zeros((900, 300, 3), np.uint8)
    assert len(as_data(large, largest=30)) < len(as_data(large))
