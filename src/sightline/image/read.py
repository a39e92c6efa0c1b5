"""Photo files: what a person would see, whatever the file holds, and nothing is run."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Shaped, UInt8

from sightline.errors import PhotoError, first_line
from sightline.image.photo import Photo

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 100_000_000
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
"""Of the files that `photo_files` finds, in small letters."""

# Only plain decoders: Pillow would hand an .eps to Ghostscript, which runs what it reads.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "PPM")

# Warnings are silenced by changing a list that the whole process shares.
_ONE_AT_A_TIME = threading.Lock()


def read_photo(path: str | os.PathLike[str], *, most_pixels: int = MOST_PIXELS) -> Photo:
    """Read a photo from a JPEG, PNG, WebP, BMP, GIF, TIFF or PPM file.

    Convention:
        The photo stands as its EXIF orientation says. What is transparent shows white paper. Grey
        of 16 bits is scaled (65535 becomes 255), not cut off; CMYK, palettes and single bits
        become RGB as Pillow converts them, Adobe's inverted CMYK too. Colour profiles are not
        applied. Of an animation, the first frame. The content decides the format, not the suffix.

    Args:
        path: the file.
        most_pixels: a file whose header says more is refused before anything is decoded.

    Returns:
        The photo, named as the file is.

    Raises:
        PhotoError: no such file, no photo, a damaged one, or one with too many pixels.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "fog.png"
        >>> Image.new("L", (640, 480), 200).save(path)
        >>> photo = read_photo(path)
        >>> photo.name, photo.size, photo.pixels[0, 0].tolist()
        ('fog.png', (480, 640), [200, 200, 200])
    """
    path = Path(path)
    _refuse_no_file(path)
    with _quiet():
        try:
            return Photo(_decoded(path, most_pixels), name=path.name)
        except PhotoError:
            raise
        except Exception as error:  # decoders raise anything on a hostile file, even KeyError
            raise PhotoError(
                f"{path} cannot be read as a photo: {type(error).__name__}: {first_line(error)}; "
                "it is damaged or of another format: export it again as JPEG or PNG"
            ) from error


def photo_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The photo files of a folder, by their suffixes, in the order of their names.

    Not those of folders in it, nor hidden ones (whose names begin with a dot).

    Raises:
        PhotoError: no such folder, or no photo in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PhotoError(f"{folder} is no folder; give one that holds photos")
    found = [
        p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
    ]
    files = sorted((p for p in found if p.is_file()), key=lambda p: p.name)
    if not files:
        raise PhotoError(
            f"{folder} has no photo ({', '.join(SUFFIXES)}); folders in it are not searched"
        )
    return files


def _refuse_no_file(path: Path) -> None:
    if path.is_dir():
        raise PhotoError(f"{path} is a folder; photo_files(folder) lists the photos in it")
    if not path.is_file():  # a pipe would be waited for
        raise PhotoError(f"{path} does not exist, or is no file; check the path")


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow's warnings (large photo, odd EXIF) say nothing that our errors do not."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _decoded(path: Path, most_pixels: int) -> UInt8[np.ndarray, "height width 3"]:
    from PIL import Image, ImageOps, UnidentifiedImageError, features

    formats = (*_FORMATS, "WEBP") if features.check("webp") else _FORMATS
    try:
        opened = Image.open(path, formats=formats)
    except UnidentifiedImageError as error:
        raise PhotoError(
            f"{path} is no photo that can be read; expected {', '.join(formats)}: export it as "
            "JPEG or PNG"
        ) from error
    except Image.DecompressionBombError as error:
        raise PhotoError(
            f"{path} is refused by Pillow: {first_line(error)}; shrink it, or raise "
            "PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        ) from error
    with opened as image:
        width, height = image.size
        if width * height > most_pixels:
            raise PhotoError(
                f"{path} says it holds {width} x {height} pixels, above most_pixels="
                f"{most_pixels:,}; shrink it, or raise most_pixels if you trust it"
            )
        image.load()
        upright = ImageOps.exif_transpose(image)
    return _rgb(upright, path)


def _rgb(image: Image, path: Path) -> UInt8[np.ndarray, "height width 3"]:
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey(np.asarray(image), image.info.get("transparency"), path)
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        return np.array(Image.alpha_composite(paper, clear).convert("RGB"))
    return np.array(image.convert("RGB"))


def _deep_grey(
    values: Shaped[np.ndarray, "height width"], clear: object, path: Path
) -> UInt8[np.ndarray, "height width 3"]:
    """Grey of 16 bits as 8: 65535 = 255 * 257."""
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise PhotoError(
            f"{path} holds numbers ({values.dtype}, {values.min()} to {values.max()}), not grey of "
            "8 or 16 bits; scale them yourself and make a Photo of the pixels"
        )
    grey = ((values.astype(np.int64) + 128) // 257).astype(np.uint8)
    if isinstance(clear, int):
        grey = np.where(values == clear, np.uint8(255), grey)
    return np.stack([grey] * 3, -1)
