"""The command line; each file one group of commands, heavy imports inside them."""

from __future__ import annotations

from typing import Any

import click

from sightline.errors import SightlineError
from sightline.version import __version__


class _Commands(click.Group):
    """Turns the errors that a user can mend into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SightlineError, FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sightline")
def main() -> None:
    """Explain what a vision model saw, and measure whether the explanation is true.

    Exit codes: 0 done; 1 the input is broken or does not fit, the message says what to mend;
    2 the command line is wrong.
    """


def _register() -> None:
    from sightline.cli.align import align
    from sightline.cli.analyse import analyse
    from sightline.cli.attack import attack
    from sightline.cli.benchmark import benchmark
    from sightline.cli.compare import compare
    from sightline.cli.data import data
    from sightline.cli.demo import demo
    from sightline.cli.explain import explain
    from sightline.cli.heal import heal
    from sightline.cli.invert import invert
    from sightline.cli.recognisers import evaluate, train
    from sightline.cli.retrieve import retrieve
    from sightline.cli.runs import convert, measure, show
    from sightline.cli.train_encoder import encoder

    train.add_command(encoder)

    photos = (explain, measure, show, convert)
    for command in (
        *photos,
        compare,
        demo,
        data,
        train,
        evaluate,
        align,
        analyse,
        invert,
        retrieve,
        heal,
        attack,
        benchmark,
    ):
        main.add_command(command)


_register()
