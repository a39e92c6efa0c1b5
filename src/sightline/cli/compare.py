"""``sightline compare``: one drawing, every method, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sightline.cli.options import INDEX, MODEL


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@INDEX
@MODEL
@click.option("--target", help="A label; default: the recognised one.")
@click.option(
    "--scale",
    type=click.Choice(["logit", "log-probability", "probability"]),
    default="logit",
    show_default=True,
    help="Unit of the scores.",
)
@click.option("--seed", default=0, show_default=True, help="Of methods that sample.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("methods.png"),
    show_default=True,
    help="The picture: .png, .pdf or .svg.",
)
def compare(
    *, file: Path, index: int, model: str, target: str | None, scale: Any, seed: int, out: Path
) -> None:
    """Draw what every method that fits the model says of one drawing.

    Each panel has its own scale: methods differ in their units. Methods that do not fit are named
    with the reason.
    """
    import sightline as sl
    from sightline.methods import parts_for
    from sightline.picture import methods_figure, write_figure

    sketch = sl.read_sketch(file, index=index)
    network = sl.load(model)
    whys = []
    for name in sl.METHODS:
        try:
            game = sl.Game(
                network, parts_for(name, network, sketch), sl.ClassScore(target, scale=scale)
            )
            whys.append(sl.explain(game, name, seed=seed))
        except sl.GameError as error:
            if not whys:
                raise  # the drawing, the target or the model, not the method
            click.echo(f"{name} is left out: {error}", err=True)
    write_figure(methods_figure(whys), out)
    click.echo(f"{len(whys)} methods on {whys[0].targets[0]}, {scale}; wrote {out}")
