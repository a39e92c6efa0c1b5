"""Options that several commands share."""

from __future__ import annotations

import click

MODEL = click.option(
    "--model",
    default="sketchxainet-tiny",
    show_default=True,
    help="A shipped name, folder, weights file or org/name.",
)
AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)
SKIP_BAD = click.option("--skip-bad", is_flag=True, help="Leave bad drawings out and count them.")
