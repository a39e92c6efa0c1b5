"""sightline: what a vision model saw, and whether the explanation is true.

Heavy imports (torch, matplotlib) happen on first use of a name, so that ``import sightline`` and
``sightline --help`` are quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sightline.version import __version__

_PUBLIC = {
    "errors": ["SightlineError", "DrawingError", "ModelError", "GameError"],
    "sketch.sketch": ["Sketch"],
    "sketch.batch": ["SketchBatch"],
    "sketch.read": ["read_sketch", "write_sketch"],
    "sketch.collection": ["read_collection", "split_collection"],
    "sketch.simplify": ["simplify"],
    "sketch.raster": ["Rasteriser"],
    "models.load": ["load", "save"],
    "models.sketchxainet": ["SketchXAINet", "SketchXAINetConfig", "sketchxainet"],
    "models.raster": ["RasterModel", "SketchCNN", "sketch_cnn"],
    "parts": ["Strokes", "Points"],
    "targets": ["ClassScore"],
    "budget": ["Budget"],
    "game": ["Game"],
    "explanation": ["Explanation", "Provenance"],
    "methods": [
        "METHODS",
        "explain",
        "shapley",
        "kernel_shap",
        "sla",
        "sla_integrated",
        "p_sla",
        "occlusion",
        "random",
    ],
    "metrics": [
        "deletion",
        "insertion",
        "agreement",
        "wilson",
        "bootstrap_mean",
        "paired",
    ],
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sightline' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"sightline.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from sightline.budget import Budget as Budget
    from sightline.errors import DrawingError as DrawingError
    from sightline.errors import GameError as GameError
    from sightline.errors import ModelError as ModelError
    from sightline.errors import SightlineError as SightlineError
    from sightline.explanation import Explanation as Explanation
    from sightline.explanation import Provenance as Provenance
    from sightline.game import Game as Game
    from sightline.methods import METHODS as METHODS
    from sightline.methods import explain as explain
    from sightline.methods import kernel_shap as kernel_shap
    from sightline.methods import occlusion as occlusion
    from sightline.methods import p_sla as p_sla
    from sightline.methods import random as random
    from sightline.methods import shapley as shapley
    from sightline.methods import sla as sla
    from sightline.methods import sla_integrated as sla_integrated
    from sightline.metrics import agreement as agreement
    from sightline.metrics import bootstrap_mean as bootstrap_mean
    from sightline.metrics import deletion as deletion
    from sightline.metrics import insertion as insertion
    from sightline.metrics import paired as paired
    from sightline.metrics import wilson as wilson
    from sightline.models.load import load as load
    from sightline.models.load import save as save
    from sightline.models.raster import RasterModel as RasterModel
    from sightline.models.raster import SketchCNN as SketchCNN
    from sightline.models.raster import sketch_cnn as sketch_cnn
    from sightline.models.sketchxainet import SketchXAINet as SketchXAINet
    from sightline.models.sketchxainet import SketchXAINetConfig as SketchXAINetConfig
    from sightline.models.sketchxainet import sketchxainet as sketchxainet
    from sightline.parts import Points as Points
    from sightline.parts import Strokes as Strokes
    from sightline.sketch.batch import SketchBatch as SketchBatch
    from sightline.sketch.collection import read_collection as read_collection
    from sightline.sketch.collection import split_collection as split_collection
    from sightline.sketch.raster import Rasteriser as Rasteriser
    from sightline.sketch.read import read_sketch as read_sketch
    from sightline.sketch.read import write_sketch as write_sketch
    from sightline.sketch.simplify import simplify as simplify
    from sightline.sketch.sketch import Sketch as Sketch
    from sightline.targets import ClassScore as ClassScore
