"""Regions of Label Studio as masks: brush runs, polygons, rectangles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from sightline.alignment.formats.runs import decode_brush
from sightline.errors import AlignmentError, PhotoError
from sightline.image.coco import numbers
from sightline.image.masks import Polygons
from sightline.image.read import MOST_PIXELS

Values = Float[np.ndarray, "height width"]


def size_of(region: Mapping[str, Any], place: str) -> tuple[int, int]:
    """Height and width of the photo that a region was marked on."""
    size = region.get("original_height"), region.get("original_width")
    if not all(type(edge) is int and edge > 0 for edge in size):
        raise AlignmentError(
            f"{place} has a region of original_height {size[0]!r} and original_width {size[1]!r}; "
            "expected whole numbers from 1"
        )
    height, width = int(str(size[0])), int(str(size[1]))
    if height * width > MOST_PIXELS:
        raise AlignmentError(
            f"{place} is said to be {width} x {height} pixels; masks are decoded up to "
            f"{MOST_PIXELS:,}"
        )
    if region.get("image_rotation"):
        raise AlignmentError(
            f"{place} was labelled on a photo turned by {region['image_rotation']} degrees; turn "
            "the file of the photo, and label that"
        )
    return height, width


def mask_of(value: Mapping[str, Any], size: tuple[int, int], place: str) -> Values:
    """The mask of a region, soft where its brush is."""
    if "rle" in value:
        if value.get("format", "rle") != "rle":
            raise AlignmentError(f"{place} has a brush of format {value['format']!r}, not 'rle'")
        if not isinstance(value["rle"], list):
            raise AlignmentError(f"{place} has an 'rle' that is no list of numbers")
        return decode_brush(value["rle"], size, place) / np.float32(255)
    try:
        corners = _corners(value, size, place)
        polygon = Polygons((tuple(corners.ravel().tolist()),), place)
    except PhotoError as error:
        raise AlignmentError(str(error)) from error
    return polygon.decode(size).numpy().astype(np.float32)


def _corners(
    value: Mapping[str, Any], size: tuple[int, int], place: str
) -> Float[np.ndarray, "corners 2"]:
    """In pixels; the file has them in percent of the photo."""
    percent = np.array([size[1], size[0]]) / 100
    if "points" in value:
        points = value["points"] if isinstance(value["points"], list) else [value["points"]]
        told = [numbers(point, f"a corner of {place}", count=2) for point in points]
        return np.array(told, np.float64).reshape(-1, 2) * percent
    told = [value[name] for name in ("x", "y", "width", "height") if name in value]
    x, y, width, height = numbers(told, f"a rectangle of {place}", count=4)
    (turn,) = numbers([value.get("rotation", 0)], f"the rotation of a rectangle of {place}")
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [width, height] * percent
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return np.array([x, y]) * percent + square @ [[cos, sin], [-sin, cos]]  # about its first corner
