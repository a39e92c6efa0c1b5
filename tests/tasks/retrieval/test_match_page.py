import re

import numpy as np
import pytest
import torch
from PIL import Image

from match_toys import half_red, halves, number_line, three
from sightline.errors import TaskError
from sightline.picture import FOR
from sightline.tasks.retrieval.company import Company
from sightline.tasks.retrieval.contact_sheet import contact_sheet
from sightline.tasks.retrieval.explain_match import explain_match
from sightline.tasks.retrieval.gallery import Gallery
from sightline.tasks.retrieval.match_page import write_match_page
from sightline.tasks.retrieval.match_pictures import fall_figure, match_figure
from sightline.tasks.retrieval.rank_deletion import RankDeletion


def match_of(name="<flag & co>", **settings):
    photo = half_red(name)
    return explain_match(number_line(), three(), photo, superpixels=halves(photo), **settings)


def fall(places=(1, 2, 3, 3)) -> RankDeletion:
    places = np.array(places, float)
    return RankDeletion(places, np.ones((4, len(places))), 60)


def words(page: str) -> str:
    """What a reader sees, without pictures."""
    return re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", page, flags=re.DOTALL)


def test_the_page_has_both_sides_the_company_and_the_fall(tmp_path):
    match = match_of(gallery=torch.tensor([[20.0], [10.0]]), index=1)
    company = Company([half_red(), half_red()], ["<flag>", "sky"], [-4.0, -14.0], chosen=0)
    write_match_page(tmp_path / "why.html", match, company=company, fall=fall())
    page = (tmp_path / "why.html").read_text()
    assert page.count("<svg") == 3
    assert "<flag" not in page  # a name is no tag
    assert "▸ &lt;flag&gt;" in page
    text = words(page)
    for said in (
        "query finds &lt;flag &amp; co&gt;: distance 4.00, place 1 of 2",
        "With every stroke there it is −4.000, with none −10.000",
        "<td>stroke 0</td><td>1</td><td>+3.0000</td>",
        "<td>superpixel 1</td><td>1</td><td>+4.0000</td>",
        "The first place is lost when one stroke is gone (random orders: 4.0 on average)",
        f"Encoder {match.encoder}",
    ):
        assert said in text
    assert "http" not in text


def test_a_page_of_a_match_alone(tmp_path):
    match = match_of(over=torch.tensor([[-1.0], [20.0]]), over_names=("wall", "sky"))
    write_match_page(tmp_path / "why.html", match)
    page = (tmp_path / "why.html").read_text()
    assert page.count("<svg") == 2  # one a margin
    assert "taken away" not in page
    assert "<h2>&lt;flag &amp; co&gt; above sky</h2>" in page


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ((1, 1, 1, 5), "lost when 3 strokes are gone"),
        ((1, 1, 1, 1), "keeps the first place whatever is taken away"),
        ((4, 5, 6, 7), "stands at place 4 with every stroke there"),
    ],
)
def test_the_fall_is_told_as_it_was(tmp_path, places, said):
    write_match_page(tmp_path / "why.html", match_of(), fall=fall(places))
    assert said in words((tmp_path / "why.html").read_text())


def test_a_match_further_down_is_told(tmp_path):
    match = match_of(gallery=torch.tensor([[7.0], [10.0]]), index=1)
    company = Company([half_red()], ["other"], [-1.0])
    write_match_page(tmp_path / "why.html", match, company=company)
    assert "The match stands further down: place 2 of 2" in (tmp_path / "why.html").read_text()


def test_company_that_does_not_fit_is_refused():
    with pytest.raises(TaskError, match="1 items, 2 names, 1 scores"):
        Company([half_red()], ["a", "b"], [0.0])
    with pytest.raises(TaskError, match="at least one item"):
        Company([], [], [])
    with pytest.raises(TaskError, match="item 1 of 1 is no choice"):
        Company([half_red()], ["a"], [0.0], chosen=1)


def test_the_company_is_what_the_gallery_found(tmp_path):
    for name, red in (("rose", 200), ("wall", 90), ("sky", 0)):
        pixels = np.zeros((4, 8, 3), np.uint8)
        pixels[..., 0] = red
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    gallery = Gallery.of(number_line(), tmp_path)  # at 15.7, 7.1 and 0; the drawing at 6
    found = gallery.find(number_line(), [three()], 2)
    company = Company.of(gallery, found, gallery.index_of("sky"))
    assert company.names == ["wall", "sky"]
    assert company.chosen == 1
    np.testing.assert_allclose(company.scores, [6 - 20 * 90 / 255, -6], atol=1e-5)
    assert company.items[0].pixels[0, 0].tolist() == [90, 0, 0]
    assert Company.of(gallery, found, gallery.index_of("rose")).chosen is None
    assert Company.of(gallery, found).chosen is None
    plain, marked = (
        [axes.get_title() for axes in contact_sheet(three(), some).get_axes()]
        for some in (Company.of(gallery, found), company)
    )
    assert plain == ["query", "1   wall", "2   sky"]
    assert marked == ["query", "1   wall", "2   ▸ sky"]


def test_the_picture_shows_each_side_in_its_own_scale():
    figure = match_figure(match_of())
    drawing, photo, scored, *bars = figure.axes
    assert drawing.get_title() == "strokes of the drawing  (shapley)"
    assert photo.get_title() == "<flag & co>"
    assert scored.get_title() == "superpixels of what it found  (kernel_shap)"
    assert [bar.get_xlim() for bar in bars] == [(-3, 3), pytest.approx((-4, 4), abs=1e-4)]
    assert {bar.get_xlabel() for bar in bars} == {"against  ←  minus distance  →  for"}


def test_the_fall_is_drawn_from_the_first_place_down():
    axes = fall_figure(fall()).axes[0]
    (line,) = [line for line in axes.lines if line.get_color() == FOR]
    np.testing.assert_array_equal(line.get_ydata(), [1, 2, 3, 3])
    bottom, top = axes.get_ylim()
    assert (bottom > 60, top < 1) == (True, True)
