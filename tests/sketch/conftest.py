"""A page to draw on, for the tests of SVG."""

from __future__ import annotations

import pytest

from sightline.sketch.formats.svg import read_svg


@pytest.fixture
def page(tmp_path):
    """Write the inside of an svg element and read it back."""

    def page(inside: str, *, root: str = 'viewBox="0 0 100 100"', before: str = "", **options):
        path = tmp_path / "page.svg"
        path.write_text(
            f'{before}<svg xmlns="http://www.w3.org/2000/svg" {root}>\n{inside}\n</svg>'
        )
        return read_svg(path, **options)

    return page
