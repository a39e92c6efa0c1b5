"""The door for the user's own modules."""

from __future__ import annotations

from torch import nn

from sightline.errors import GameError
from sightline.models.detector import DenseDetector, Detector, PhotoClassifier, PhotoModel
from sightline.models.protocol import SketchModel
from sightline.models.raster import RasterModel


def as_model(model: object) -> SketchModel:
    """The model itself if it reads drawings; a plain picture classifier behind a rasteriser.

    The number of channels is that of the module's first convolution.

    Raises:
        GameError: neither.
    """
    if isinstance(model, SketchModel):
        return model
    if isinstance(model, PhotoModel | Detector):
        raise GameError(
            f"{type(model).__name__} reads photos, not drawings; give it sl.Superpixels(photo) or "
            "sl.GridCells(photo, rows, columns)"
        )
    if not isinstance(model, nn.Module):
        raise GameError(
            f"{type(model).__name__} is no model: give sl.load(...), a torch.nn.Module, or an "
            "object with labels, prepare(sketch) and a call on a SketchBatch"
        )
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return RasterModel(model, channels=first.in_channels if first is not None else 1)


def as_photo_model(model: object) -> PhotoModel | Detector:
    """The model itself if it reads photos; a plain picture classifier as one that does.

    Raises:
        GameError: neither.
    """
    if isinstance(model, DenseDetector | PhotoClassifier | Detector):
        return model
    if isinstance(model, SketchModel) or not isinstance(model, nn.Module):
        raise GameError(
            f"{type(model).__name__} does not read photos: give sl.load_detector(...), a picture "
            "classifier (a torch.nn.Module), or an object with labels and detect(photos)"
        )
    from sightline.models.photo_classifier import PictureClassifier

    return PictureClassifier(model)
