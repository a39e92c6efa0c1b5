import numpy as np
import pytest

from figures import drawings
from sightline.alignment.labels import AttentionLabel
from sightline.alignment.matrix import Matrix
from sightline.alignment.pictures import COLOURS, LARGEST, CellExample, cells_figure, matrix_figure
from sightline.errors import AlignmentError
from sightline.image.photo import Photo
from sightline.picture import write_figure

PUBLISHED = Matrix.from_counts(ra=402, ua=212, ri=71, ui=65)
PHOTO = Photo(np.full((30, 40, 3), 120, np.uint8), name="duck $1.jpg")


def texts(fig):
    from matplotlib.text import Text

    return [text.get_text() for text in fig.findobj(Text)]


def tiles(fig):
    from matplotlib.patches import FancyBboxPatch

    return fig.findobj(FancyBboxPatch)


def photo_example(cell="UA", photo=PHOTO, heat=None):
    must = np.zeros(photo.size)
    must[5:15, 5:20] = 1
    heat = np.arange(6.0).reshape(2, 3) if heat is None else heat
    return CellExample(cell, photo, heat, AttentionLabel(photo.name, must=must))


def test_the_matrix_has_counts_shares_and_intervals(tmp_path):
    fig = matrix_figure(PUBLISHED)
    said = texts(fig)
    for words in ("53.6 %", "402 of 750", "50.0 to 57.1 %", "81.9 %", "63.1 %"):
        assert words in said
    assert any("odds ratio 1.74 [1.19, 2.53]" in text for text in said)
    write_figure(fig, tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").stat().st_size > 10_000


def test_areas_are_shares():
    squares = [patch for patch in tiles(matrix_figure(PUBLISHED)) if patch.get_alpha() == 0.55]
    # drawn in the order RA, RI, UA, UI
    sides = [patch.get_window_extent().width for patch in squares]
    shares = [PUBLISHED.counts[cell] / 750 for cell in ("RA", "RI", "UA", "UI")]
    assert np.square(sides) / sides[0] ** 2 == pytest.approx(np.array(shares) / shares[0])
    assert LARGEST < 1


def test_an_empty_cell_has_no_square():
    squares = tiles(matrix_figure(Matrix.from_counts(ra=3, ua=0, ri=0, ui=1)))
    assert len(squares) == 4 + 2


def test_a_matrix_of_proposed_verdicts_says_so_in_the_picture():
    proposed = Matrix({"RA": 1, "UA": 2, "RI": 3, "UI": 4}, proposed=True)
    assert "proposed by the program, not said by people" in texts(matrix_figure(proposed))
    assert not any("proposed" in text for text in texts(matrix_figure(PUBLISHED)))


def test_a_matrix_in_which_nothing_varies_has_a_picture(tmp_path):
    write_figure(matrix_figure(Matrix.from_counts(ra=3, ua=0, ri=0, ui=0)), tmp_path / "m.png")


def test_cells_show_photos_and_drawings(tmp_path):
    sketch = drawings(1, 0)[0]
    strokes = CellExample("RA", sketch, [1.0, -0.5], AttentionLabel("cross", must=[0.0, 1.0]))
    bare = CellExample("RI", PHOTO, np.zeros((30, 40)), title="nothing $said")
    fig = cells_figure([photo_example(), strokes, bare], proposed=True)
    said = texts(fig)
    for words in ("UA   unreasonable, accurate", "duck $1.jpg", "nothing $said", "no example"):
        assert words in said
    assert any("proposed by the program" in text for text in said)
    write_figure(fig, tmp_path / "cells.png")
    assert (tmp_path / "cells.png").stat().st_size > 10_000


def outlines(fig):
    from matplotlib.contour import ContourSet

    return fig.findobj(ContourSet)


def test_the_outline_is_that_of_the_must_mask():
    _, black = outlines(cells_figure([photo_example()]))
    (path,) = black.get_paths()
    # the mask covers [5, 20] x [5, 15] in pixels; the line runs between pixel centres
    low, high = path.vertices.min(0), path.vertices.max(0)
    assert low == pytest.approx([5, 5], abs=0.51)
    assert high == pytest.approx([20, 15], abs=0.51)


def test_an_outline_is_closed_at_the_border_of_the_photo():
    must = np.zeros((30, 40))
    must[:10, :10] = 1
    example = CellExample("RA", PHOTO, must, AttentionLabel("duck", must=must))
    (path,) = outlines(cells_figure([example]))[1].get_paths()
    assert path.vertices[0] == pytest.approx(path.vertices[-1])
    assert path.vertices.min() >= 0


def test_at_most_so_many_examples_of_a_cell():
    fig = cells_figure([photo_example()] * 5, each=2)
    assert sum("duck" in text for text in texts(fig)) == 2


def test_colours_tell_the_cells_apart():
    assert len(set(COLOURS.values())) == 4


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (("XX", PHOTO, [[1.0]]), "unknown cell 'XX'"),
        (("UA", PHOTO, [1.0, 2.0]), r"shape \[2\]; expected finite \[height, width\]"),
        (("UA", PHOTO, [[np.nan]]), "expected finite"),
        (("UA", drawings(1, 0)[0], [1.0]), "one number a stroke"),
    ],
)
def test_examples_that_cannot_be_shown(given, match):
    with pytest.raises(AlignmentError, match=match):
        CellExample(*given)


def test_a_label_of_other_strokes_is_refused():
    label = AttentionLabel("cross", must=[1.0, 0.0, 0.0])
    with pytest.raises(AlignmentError, match="label of 3 strokes"):
        CellExample("UA", drawings(1, 0)[0], [1.0, 2.0], label)


def test_a_label_of_what_to_leave_alone_has_no_outline():
    label = AttentionLabel("duck", must=np.zeros((3, 4)), must_not=np.ones((3, 4)))
    fig = cells_figure([CellExample("UA", PHOTO, np.ones((3, 4)), label)])
    assert not outlines(fig)


def test_no_examples_no_picture():
    with pytest.raises(AlignmentError, match="no examples to show"):
        cells_figure([])
