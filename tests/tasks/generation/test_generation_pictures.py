"""Pictures and the page: what they show, whether they are whole, what they refuse."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sightline.errors import TaskError
from sightline.game import Game
from sightline.methods import shapley
from sightline.parts import Strokes
from sightline.picture import FOR, write_figure
from sightline.targets.region import Region
from sightline.tasks.generation.generation_pictures import (
    draw_made,
    draw_region,
    generation_figure,
    shares,
)
from sightline.tasks.generation.page import Shown, write_generation_page
from sightline.tasks.generation.part_regions import PartRegions
from sightline.tasks.generation.stroke_maps import StrokeMaps, stroke_maps
from tasks.generation.painters import painter, totem


@pytest.fixture(scope="module")
def shown() -> Shown:
    sketch, masks = totem()
    region = PartRegions.of(sketch, masks).region()
    generator = painter(sketch, masks)
    why = shapley(Game(generator, Strokes(sketch), region))
    return Shown(why, region, stroke_maps(generator, sketch, method="shapley"))


def titles(fig: Figure) -> list[str]:
    return [axes.get_title() for axes in fig.axes if axes.get_title()]


def test_every_region_and_every_stroke_has_its_panel(shown):
    fig = generation_figure(shown.why, shown.region, shown.maps)
    assert titles(fig) == [
        "the drawing", "the picture made of it",
        "what made “head”", "what made “belly”", "what made “feet”",
        "made by 0: head", "made by 1: belly",
        "made by 2: belly", "made by 3: feet",
    ]  # fmt: skip
    few = generation_figure(
        shown.why, shown.region, shown.maps, regions=[1], strokes=[2], columns=3
    )
    assert titles(few)[2:] == ["what made “belly”", "made by 2: belly"]


def test_strokes_wear_the_colours_of_their_scores(shown):
    from matplotlib.colors import to_hex

    axes = Figure().subplots()
    drawing = shown.maps.sketch.normalise()
    draw_region(axes, shown.maps.picture, shown.region.masks[0], drawing, shown.why.scores[0])
    lines = {tuple(line.get_xydata()[0]): line for line in axes.get_lines()}  # the last is on top
    first = lines[tuple(drawing.strokes[0][0])]
    assert to_hex(first.get_color()).upper() == FOR
    widths = [line.get_linewidth() for line in lines.values()]
    assert first.get_linewidth() == max(widths)
    assert widths.count(max(widths)) == 1


def test_only_what_a_stroke_made_is_shown(shown):
    axes = Figure().subplots()
    draw_made(axes, shown.maps, 0)
    over = axes.get_images()[-1].get_array()
    assert over.shape == (32, 32, 4)
    head = shown.region.masks[0].numpy()
    assert np.allclose(over[..., 3][head], 1, atol=1e-5)
    assert np.allclose(over[..., 3][~head], 0, atol=1e-5)


def test_shares_add_up_where_anything_stands(shown):
    found = shares(shown.maps)
    drawn = shown.region.masks.any(0)
    assert torch.allclose(found.sum(0), drawn.double(), atol=1e-5)


def test_grey_and_odd_pictures_are_drawn_too(shown, tmp_path):
    maps = shown.maps
    for colours in (1, 4):
        odd = StrokeMaps(
            maps.changes[:, :1].expand(-1, colours, -1, -1),
            maps.picture[:1].expand(colours, -1, -1),
            maps.blank[:1].expand(colours, -1, -1),
            maps.sketch,
            "odd",
        )
        write_figure(generation_figure(shown.why, shown.region, odd), tmp_path / "odd.png")
        assert (tmp_path / "odd.png").stat().st_size > 10_000


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.outside += [v for k, v in attrs if k in ("src", "href") and "http" in (v or "")]


def test_the_page_is_whole_and_says_whose_words_are_whose(shown, tmp_path):
    sketch = replace(shown.maps.sketch, name="<b>totem</b> & co")
    named = replace(shown, maps=replace(shown.maps, sketch=sketch))
    write_generation_page(tmp_path / "page.html", [named, shown])
    text = (tmp_path / "page.html").read_text()
    links = _Links()
    links.feed(text)
    assert links.found.count("svg") == 2
    assert links.found.count("section") == 2
    assert not links.outside
    assert "&lt;b&gt;totem&lt;/b&gt; &amp; co" in text
    assert "<td>stroke 0 (head)</td><td>1.000</td><td>0.000</td>" in text.replace("-0.000", "0.000")


def test_what_does_not_belong_together_is_told(shown, tmp_path):
    with pytest.raises(TaskError, match="at least one drawing"):
        write_generation_page(tmp_path / "page.html", [])
    assert not list(tmp_path.iterdir())
    other = Region(shown.region.masks, ("a", "b", "c"))
    with pytest.raises(TaskError, match="the explanation is of head, belly, feet"):
        generation_figure(shown.why, other, shown.maps)
    fewer = replace(
        shown.maps, changes=shown.maps.changes[:2], sketch=shown.maps.sketch.select([0, 1])
    )
    with pytest.raises(TaskError, match="an explanation of 4 strokes, maps of 2"):
        generation_figure(shown.why, shown.region, fewer)
