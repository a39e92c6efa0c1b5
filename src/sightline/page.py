"""One self-contained HTML page: a title, a word about it, and sections."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence

from sightline.sketch.files import replace_file


def write_page(
    path: str | os.PathLike[str],
    title: str,
    sections: Sequence[str],
    *,
    about: str = "",
    style: str = "",
) -> None:
    """Write a page that needs no other file and no network; it appears whole or not at all.

    Args:
        path: the file.
        title: as plain text.
        sections: HTML, as `section` makes it.
        about: HTML under the title.
        style: CSS beyond the house's.
    """
    page = _PAGE.format(
        title=html.escape(title), style=_STYLE + style, about=about, sections="\n".join(sections)
    )
    with replace_file(path) as stream:
        stream.write(page.encode())


def section(heading: str, *content: str) -> str:
    """A card with a heading (plain text) over HTML.

    Example:
        >>> print(section("1 < 2", "<p>true</p>"))
        <section><h2>1 &lt; 2</h2>
        <p>true</p></section>
    """
    return f"<section><h2>{html.escape(heading)}</h2>\n" + "\n".join(content) + "</section>"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of plain text; the first column is what the rows are called.

    Example:
        >>> print(table(["k", "hits"], [["1", 7]]))
        <table><tr><th>k</th><th>hits</th></tr>
        <tr><td>1</td><td>7</td></tr></table>
    """
    lines = ["".join(f"<th>{html.escape(column)}</th>" for column in columns)]
    lines += ["".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows]
    return "<table>" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def quiet(text: str) -> str:
    """A remark in plain text.

    Example:
        >>> quiet("by luck")
        '<p class="quiet">by luck</p>'
    """
    return f'<p class="quiet">{html.escape(text)}</p>'


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#222;background:#f6f5f2;margin:0}
main{max-width:980px;margin:0 auto;padding:2rem 1rem}
h1{font-weight:600;margin:0 0 .3rem} h2{margin:0 0 .4rem;font-weight:600}
section{background:#fff;border-radius:10px;padding:1.4rem 1.6rem;margin:1.4rem 0;
box-shadow:0 1px 3px #0002}
svg,img{max-width:100%;height:auto;display:block;margin:.4rem auto}
table{border-collapse:collapse;font-size:14px;width:100%;margin-top:.6rem}
td,th{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #eee}
td:first-child,th:first-child{text-align:left} .quiet{color:#666;font-size:14px}
details{margin-top:.6rem} summary{cursor:pointer;color:#555}
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head>
<body><main><h1>{title}</h1>
{about}
{sections}
</main></body></html>
"""
