"""Masks: COCO's run lengths, polygons by hand and against plain geometry, segments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from sightline.errors import PhotoError
from sightline.image.masks import Polygons, Runs, Segment


def rows_of(mask: torch.Tensor) -> list[str]:
    return ["".join(".#"[int(cell)] for cell in row) for row in mask]


def random_mask(seed: int, size: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random(size) < rng.choice([0.0, 0.02, 0.5, 0.98, 1.0])


def plain_runs(mask: np.ndarray) -> list[int]:
    """Down the columns, background first, one pixel at a time."""
    counts, last = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != last:
            counts.append(0)
            last = pixel
        counts[-1] += 1
    return counts


def coco_text(counts: list[int]) -> str:
    """rleToString of cocoapi, line for line."""
    text = ""
    for i, count in enumerate(counts):
        x = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


# Run lengths


def test_runs_by_hand():
    mask = Runs((3, 2, 1), (2, 3)).decode((2, 3))  # down the columns: ...##.
    assert rows_of(mask) == ["..#", ".#."]
    assert rows_of(Runs((0, 6), (2, 3)).decode((2, 3))) == ["###", "###"]
    assert mask.dtype == torch.bool


def test_what_pycocotools_wrote():
    """Texts of pycocotools 2.0.11."""
    assert rows_of(Runs("714", (3, 4)).decode((3, 4))) == ["....", "..#.", "...."]
    assert rows_of(Runs("<", (3, 4)).decode((3, 4))) == ["...."] * 3
    text = "Zc01R1:I4L4M2N2N2O0O2O0O2O0000000O20N100000001N101N101N2N2N3L4L7FSa0"
    disc = Runs(text, (40, 60)).decode((40, 60))
    y, x = np.mgrid[:40, :60]
    assert disc.tolist() == ((x - 30) ** 2 + (y - 18) ** 2 <= 15**2).tolist()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (60, 90)])
def test_compressed_runs(seed, size):
    mask = random_mask(seed, size)
    counts = plain_runs(mask)
    for told in (tuple(counts), coco_text(counts)):
        assert Runs(told, size).decode(size).tolist() == mask.tolist()


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((3, 2), "sum to 5 .*not to 2 x 3 = 6"),
        ((7, -1), r"sum to 6 \(smallest -1\)"),
        ((10**30,), "not to 2 x 3"),
        ("", "sum to 0"),
        ("h", "cut off"),  # says that more follows
        ("1 2", "broken run lengths: ' '"),
        ("1\u20ac", "broken run lengths"),
        ("o" * 4000, "broken run lengths"),
    ],
)
def test_broken_runs_are_refused(counts, message):
    with pytest.raises(PhotoError, match=f"annotation 4 of x has .*{message}"):
        Runs(counts, (2, 3), "annotation 4 of x").decode((2, 3))


def test_runs_of_another_size_are_refused():
    with pytest.raises(PhotoError, match=r"a mask has run lengths for 2 x 3 .* photo is 3 x 2"):
        Runs((6,), (2, 3)).decode((3, 2))


# Polygons


def test_polygons_by_hand():
    square = (1.0, 1.0, 3.0, 1.0, 3.0, 3.0, 1.0, 3.0)
    assert rows_of(Polygons((square,)).decode((4, 5))) == [".....", ".##..", ".##..", "....."]
    back = (1.0, 3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0)  # the other way round: the same
    assert rows_of(Polygons((back,)).decode((4, 5))) == [".....", ".##..", ".##..", "....."]
    triangle = (0.0, 0.0, 4.0, 0.0, 0.0, 4.0)
    assert rows_of(Polygons((triangle,)).decode((4, 4))) == ["###.", "##..", "#...", "...."]


def test_two_polygons_are_one_mask_and_an_overlap_stays_covered():
    one, other = (0.0, 0.0, 2.0, 0.0, 2.0, 1.0, 0.0, 1.0), (1.0, 0.0, 4.0, 0.0, 4.0, 1.0, 1.0, 1.0)
    assert rows_of(Polygons((one, other)).decode((1, 5))) == ["####."]


def test_a_polygon_that_crosses_itself_has_a_hole():
    twice = (
        0.0,
        0.0,
        5.0,
        0.0,
        5.0,
        5.0,
        0.0,
        5.0,
        0.0,
        0.0,
        1.0,
        1.0,
        4.0,
        1.0,
        4.0,
        4.0,
        1.0,
        4.0,
        1.0,
        1.0,
    )
    assert rows_of(Polygons((twice,)).decode((5, 5))) == [
        "#####",
        "#...#",
        "#...#",
        "#...#",
        "#####",
    ]


def test_centres_on_an_edge_belong_to_one_side():
    """Left and upper edges are inside: squares side by side share no pixel and leave none."""
    left = Polygons(((0.5, 0.5, 2.5, 0.5, 2.5, 2.5, 0.5, 2.5),)).decode((4, 6))
    right = Polygons(((2.5, 0.5, 4.5, 0.5, 4.5, 2.5, 2.5, 2.5),)).decode((4, 6))
    assert rows_of(left) == ["##....", "##....", "......", "......"]
    assert rows_of(right) == ["..##..", "..##..", "......", "......"]


def test_a_polygon_may_leave_the_photo():
    wide = (-10.0, -10.0, 100.0, -10.0, 100.0, 1.0, -10.0, 1.0)
    assert rows_of(Polygons((wide,)).decode((2, 3))) == ["###", "..."]
    beside = (10.0, 0.0, 12.0, 0.0, 12.0, 2.0)
    assert rows_of(Polygons((beside,)).decode((2, 3))) == ["...", "..."]


@pytest.mark.parametrize("seed", range(8))
def test_polygons_agree_with_matplotlib_and_skimage(seed):
    """Corners off the grid of halves, so that no centre is on an edge."""
    from matplotlib.path import Path
    from skimage.draw import polygon2mask

    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))  # a star: simple, not convex
    spread = rng.uniform(3, 18, 9)
    corners = np.stack([20 + spread * np.cos(angles), 15 + spread * np.sin(angles)], -1)
    mask = Polygons((tuple(corners.ravel().tolist()),)).decode((30, 40)).numpy()
    x, y = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    inside = Path(corners).contains_points(np.stack([x.ravel(), y.ravel()], -1)).reshape(30, 40)
    assert mask.any()
    assert (mask == inside).all()
    assert (mask == polygon2mask((30, 40), corners[:, ::-1] - 0.5)).all()


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        ((0.0, 0.0, 1.0, 1.0), "a polygon of 4 numbers; expected x and y of at least 3 corners"),
        ((0.0,) * 7, "a polygon of 7 numbers"),
        ((0.0, 0.0, 1.0, 1.0, 1e9, 2.0), "a polygon corner beyond 1,000,000 pixels"),
        ((0.0, 0.0, 1.0, 1.0, float("nan"), 2.0), "a polygon corner beyond 1,000,000 pixels"),
    ],
)
def test_broken_polygons_are_refused(corners, message):
    with pytest.raises(PhotoError, match=f"annotation 4 of x has {message}"):
        Polygons((corners,), "annotation 4 of x")


# Segments


def test_segments_by_hand(tmp_path):
    numbers = np.array([[1, 2**8, 2**16], [1, 0, 2**24 - 1]])
    colours = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1)
    Image.fromarray(colours.astype(np.uint8)).save(tmp_path / "s.png")
    for number, rows in {
        1: ["#..", "#.."],
        2**8: [".#.", "..."],
        2**16: ["..#", "..."],
        2**24 - 1: ["...", "..#"],
        0: ["...", ".#."],
    }.items():
        assert rows_of(Segment(tmp_path / "s.png", number).decode((2, 3))) == rows
    with pytest.raises(PhotoError, match=r"s\.png has no pixel of segment 3"):
        Segment(tmp_path / "s.png", 3).decode((2, 3))
    with pytest.raises(PhotoError, match=r"s\.png is 2 x 3 .* its photo is 3 x 2"):
        Segment(tmp_path / "s.png", 1).decode((3, 2))
    with pytest.raises(PhotoError, match=r"t\.png does not exist"):
        Segment(tmp_path / "t.png", 1).decode((2, 3))
