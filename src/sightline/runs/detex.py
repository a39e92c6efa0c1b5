"""Files in the layout of detex: one HDF5 file a method, ``/image/box/column`` a map of scores.

Layout:
    A data set ``[1, height, width, channels]`` under the place of the photo in the list, the index
    of the box in the detector's head, and the explained column of the head's output (0 to 3 the
    corners, 4 + label a class score). The box's group has the attributes ``box_num``, ``box``
    (xyxy), ``label``, ``score`` and ``explainer_engine``. Three equal channels are kept as one.
    Kernel SHAP's numbers are scores. Grad-CAM's are the colours of a picture of them (matplotlib's
    jet of the squared map, as uint8), from which the map is read back in 253 steps.

What detex has no place for stands in an attribute ``sightline`` of the data set, which it passes
over. A map has no parts: on the way back, parts are the connected regions of equal score, so that
two touching parts of one score become one, and every pixel has its number still.

Source:
    github.com/dentou/detex, detex/utils/storage.py (read, not copied).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sightline.errors import SightlineError
from sightline.runs.detex_maps import METHODS, OWN, h5py_or_cure
from sightline.runs.rows import PhotoResult, Row
from sightline.runs.run import Run
from sightline.sketch.files import replace_file

ENGINES = {method: engine for engine, method in METHODS.items()} | {"xgrad_cam": "XGrad-CAM"}
"""Our names -> those of detex; another method keeps its name."""


def write_detex(run: Run, folder: Path) -> list[Path]:
    """Write a run as one file a method, named by it.

    Returns:
        The files.

    Raises:
        SightlineError: no h5py, or two explanations that detex would keep in one place.
    """
    h5py = h5py_or_cure()
    places = {photo.name: index for index, photo in enumerate(run.manifest.photos)}
    files = []
    for method in dict.fromkeys(run.manifest.methods):
        path = folder / f"{method}.hdf5"
        with replace_file(path) as stream, h5py.File(stream, "w") as file:
            for photo in run.photos():
                _put_photo(file, photo, places[photo.name], method)
        files.append(path)
    return files


def _put_photo(file: Any, photo: PhotoResult, place: int, method: str) -> None:
    rows = [row for row in photo.explanations if row.method == method]
    by_candidate = all(row.candidate is not None for row in rows)
    for row in sorted(rows, key=lambda row: -(row.detector_score or 0.0)):
        head = row.candidate if by_candidate else row.number
        group = file.require_group(f"{place}/{head}")
        if "box" not in group.attrs:  # of two labels at one place, the likelier
            group.attrs.update(_as_attributes(row))
        column = str(4 + row.label_index)
        if column in group:
            raise SightlineError(
                f"{photo.item(row)} would lie at /{place}/{head}/{column}, where another "
                "explanation is: detex keeps one for each box and label"
            )
        heat = photo.heat(row)[None, :, :, None]
        data = group.create_dataset(column, data=heat, compression="gzip", shuffle=True)
        data.attrs["sightline"] = json.dumps(_own(photo, row), allow_nan=False)


def _as_attributes(row: Row) -> dict[str, Any]:
    return {
        "box_num": row.number,
        "box": np.array(row.box, np.float64),
        "label": row.label_index,
        "score": row.detector_score or 0.0,
        "explainer_engine": ENGINES.get(row.method, row.method),
    }


def _own(photo: PhotoResult, row: Row) -> dict[str, Any]:
    """What detex has no place for; JSON, so floats come back as they were."""
    told = {name: getattr(row, name) for name in OWN}
    return told | {"photo": photo.name, "box": row.box, "measures": dict(row.measures)}
