"""SVG files that are broken, and SVG files that mean harm: told by file, line and cure."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import time

import pytest

from sightline.errors import DrawingError
from sightline.sketch.formats import svg, svg_elements
from sightline.sketch.formats.svg import read_svg

PUBLIC_DOCTYPE = (
    '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" '
    '"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n'
)


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ('<g>\n<path d="M0 0 L1"/></g>', r"page.svg line 3: the numbers of <path> .* are broken"),
        ('<path d="M0 0 L nan 3"/>', r"line 2: path data cannot be read from 'nan 3' on"),
        ('<path d="M0 0 L 5 5 # L 6 6"/>', "path data cannot be read from '# L 6 6' on"),
        ('<path d="L 3 3"/>', "path data must start with M or m; it starts with 'L 3 3'"),
        ('<path d="M0 0 L 1e400 3"/>', r"line 2: numbers must be finite and within 1e\+12"),
        ('<polyline points="1 2 3"/>', "line 2: points are not pairs of numbers: '1 2 3'"),
        ('<polyline points="1 2 x 3"/>', "points are not pairs of numbers"),
        ('<g transform="spin(3)"><line x2="1"/></g>', "transform cannot be read: 'spin"),
        ('<line transform="scale(1e300)" x2="1"/>', r"numbers must be finite and within 1e\+12"),
        ('<line transform="translate(5%)" x2="1"/>', "transform uses relative lengths"),
        ('<svg viewBox="0 0 5"><line x2="1"/></svg>', "viewBox must be x, y, width, height; got"),
        ('<svg width="wide"><line x2="1"/></svg>', "'wide' is no length"),
        ('<line x2="2e6"/>', r"point 1 of stroke 0 of page.svg is at .* beyond 1e\+06 are refused"),
        ("<g>", "page.svg line 3 is not well-formed XML"),
        ("<line x2='1'>", r"line 3 is not well-formed XML \(mismatched tag\); export it anew"),
        ('<x:g/>', "line 2 is not well-formed XML .unbound prefix"),
        ("", "page.svg is empty: a drawing needs at least 1 stroke"),
        ('<line id="a" x2="1"/>\n<use href="#a"/>', "line 3 draws by <use>, which is not followed"),
        ('<path d="' + "M0 0L1 1" * 5000 + '"/>', "page.svg has 5000 strokes, more than 2000"),
    ],
)  # fmt: skip
def test_broken_files_are_told(page, inside, message):
    with pytest.raises(DrawingError, match=message):
        page(inside)


def test_limits_can_be_moved(page):
    two = '<path d="M0 0L1 1M2 2L3 3"/>'
    assert len(page(two, max_strokes=2)) == 2
    with pytest.raises(
        DrawingError, match=r"page.svg has 2 strokes, more than 1; split or simplify"
    ):
        page(two, max_strokes=1)
    with pytest.raises(
        DrawingError, match=r"stroke 0 of page.svg has 1; drop it with on_short='drop'"
    ):
        page('<path d="M1 1"/>', on_short="raise")
    for wrong in (0, -1, math.nan):
        with pytest.raises(DrawingError, match="tolerance must be above 0 canvas units; got"):
            page(two, tolerance=wrong)
    with pytest.raises(
        DrawingError, match="needs more than 100000 pieces at tolerance 1e-15; raise"
    ):
        page('<circle r="50"/>', tolerance=1e-15)


def test_too_many_points_are_refused(page, monkeypatch):
    monkeypatch.setattr(svg, "MOST_POINTS", 100)
    with pytest.raises(DrawingError, match=r"page.svg has more than 100 points; raise tolerance"):
        page('<circle r="50"/>', tolerance=1e-3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html><body/></html>", "a.svg line 1 starts with <html>; expected <svg>"),
        (b"", "a.svg line 1 is not well-formed XML .no element found"),
        (b"\x1f\x8b\x08\x00", "a.svg line 1 is not well-formed XML"),
        (b"<svg><path d='M0 0L1 1'/>", "a.svg line 1 is not well-formed XML"),
    ],
)
def test_what_is_no_svg_is_told(tmp_path, content, message):
    (tmp_path / "a.svg").write_bytes(content)
    with pytest.raises(DrawingError, match=message):
        read_svg(tmp_path / "a.svg")


# Files that mean harm


def test_a_public_doctype_is_accepted_and_not_fetched(page, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    assert len(page('<line x2="1"/>', before=PUBLIC_DOCTYPE)) == 1


LAUGHS = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))


@pytest.mark.parametrize(
    "entities",
    [
        f'<!ENTITY l0 "ha">{LAUGHS}',
        '<!ENTITY l9 SYSTEM "file:///etc/hostname">',
        '<!ENTITY l9 PUBLIC "x" "http://127.0.0.1/x">',
        '<!ENTITY % l9 SYSTEM "file:///etc/hostname">%l9;',
    ],
)
def test_entities_are_refused(page, entities):
    started = time.perf_counter()
    with pytest.raises(
        DrawingError, match=r"page.svg line 1 declares the entity .* export it as plain"
    ):
        page("<text>&l9;</text>", before=f"<!DOCTYPE svg [{entities}]>")
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("around", ["", "<defs>"])
def test_a_million_nested_groups_fail_fast(tmp_path, around):
    path = tmp_path / "deep.svg"
    path.write_text(f"<svg>{around}" + "<g>\n" * 1_000_000)
    started = time.perf_counter()
    with pytest.raises(
        DrawingError, match=r"deep.svg line 25\d is nested deeper than 256 elements"
    ):
        read_svg(path)
    assert time.perf_counter() - started < 2


def test_256_nested_elements_are_read(page):
    inside = '<g transform="translate(1)">' * 254 + '<line x2="1"/>' + "</g>" * 254
    assert page(inside).points.tolist() == [[254, 0], [255, 0]]


def test_too_many_elements_are_not_read_to_their_end(tmp_path, monkeypatch):
    assert svg_elements.MOST_ELEMENTS == 100_000
    monkeypatch.setattr(svg_elements, "MOST_ELEMENTS", 1000)
    path = tmp_path / "wide.svg"
    path.write_text("<svg>\n" + "<g/>\n" * 1_000_000)  # the missing end is never met
    with pytest.raises(DrawingError, match=r"wide.svg line 1001 is past element 1000; split"):
        read_svg(path)


def test_a_huge_file_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "huge.svg"
    with path.open("wb") as stream:
        stream.truncate(svg_elements.LARGEST_FILE + 1)
    monkeypatch.setattr(svg_elements, "_Scanner", None)
    with pytest.raises(DrawingError, match=r"huge.svg has 33554433 bytes, more than 33554432"):
        read_svg(path)


def test_svgelements_waits_until_it_is_needed():
    program = "import sys, sightline.sketch.formats.svg; sys.exit('svgelements' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
