"""What the commands of galleries share: their options, the encoder, the query."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightline.models.encoder import Encoder, Item
    from sightline.tasks.retrieval.gallery import Gallery

GALLERY = click.argument("gallery", type=click.Path(path_type=Path))
ENCODER = click.option(
    "--encoder", help="A shipped name, folder or clip:ORG/NAME; default: the gallery's."
)
DRAWN = click.option(
    "--drawn", is_flag=True, help="Pictures (.png, .jpg ...) are drawings, not photos: their ink."
)
CLIP = "clip:"
MOVED = click.option(
    "--root", type=click.Path(path_type=Path), help="Where the gallery's items are now, if moved."
)


def encoder_of(gallery: Gallery, name: str | None) -> Encoder:
    """The one that made the gallery, or one that is named and has the same weights.

    Raises:
        TaskError: it is not here, or another made the gallery.
    """
    from sightline.errors import TaskError
    from sightline.models.load import SHIPPED as RECOGNISERS
    from sightline.models.load_encoder import SHIPPED, load_encoder

    asked = name or gallery.encoder
    here = asked in (*SHIPPED, *RECOGNISERS) or Path(asked.removeprefix(CLIP)).is_dir()
    if name is None and not (asked and here):
        hub = asked.startswith(CLIP)
        cure = (
            f"it will not be fetched unasked: give --encoder {asked}" if hub else "give --encoder"
        )
        raise TaskError(
            f"the gallery was made with encoder {asked or 'without a name'!r}, which is not here; "
            f"{cure}"
        )
    encoder = load_encoder(asked, measure=gallery.measure)
    gallery.check(encoder)
    return encoder


def findable(name: str) -> str:
    """The name of an encoder; of a folder so that it is found again from anywhere."""
    kind, folder = (CLIP, name.removeprefix(CLIP)) if name.startswith(CLIP) else ("", name)
    return f"{kind}{Path(folder).resolve()}" if folder and Path(folder).is_dir() else name


def encode_drawn(encoder: Encoder, paths: Sequence[Path]) -> Tensor:
    """Vectors of drawings that are pictures, read as ink, as training reads them.

    Raises:
        TaskError: a picture that cannot be read, or a blank one.
        ModelError: the encoder reads strokes only.
    """
    import torch

    from sightline.models.raster import RasterModel
    from sightline.tasks.retrieval.pair_drawings import read_ink

    sees = encoder.sketch
    size = sees.rasteriser.size if isinstance(sees, RasterModel) else 64
    return torch.cat([encoder.encode_ink(read_ink(path, size)[None]) for path in paths])


def is_picture(path: Path) -> bool:
    """Whether it is a picture by its suffix, not a drawing in strokes."""
    from sightline.image.read import SUFFIXES

    return path.suffix.lower() in SUFFIXES


def stem_of(path: Path, index: int) -> str:
    """What files about a drawing are called after: its file, and its number, but for the first."""
    return f"{path.name.split('.')[0]}{f'-{index}' if index else ''}"


def read_query(path: Path, index: int) -> Item:
    """A photo; or a drawing of a file, by its number where there are many.

    Raises:
        PhotoError: a photo that cannot be read.
        DrawingError: a drawing that cannot be read.
    """
    from sightline.image.read import read_photo
    from sightline.sketch.read import read_sketch

    if is_picture(path):
        return read_photo(path)
    return read_sketch(path, index=index)
