"""From files in the layout of detex to a run; the layout: `sightline.runs.detex`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64

from sightline.errors import PhotoError, SightlineError
from sightline.image.superpixels import encode_labels
from sightline.runs.detex_maps import StoredMap, h5py_or_cure, maps_in
from sightline.runs.loop import Outcome, Work, explain_photos
from sightline.runs.manifest import Manifest, PhotoFile, hash_file
from sightline.runs.rows import PhotoResult

REGIONS = "regions of equal score"
SUFFIXES = (".hdf5", ".h5")


def read_detex(
    files: Sequence[Path],
    folder: Path,
    *,
    photos: Sequence[str] | None = None,
    photos_folder: str = "",
    labels: Mapping[int, str] | None = None,
) -> Outcome:
    """Make a run of files in the layout of detex.

    Args:
        files: one or several, of the same photos; usually one a method.
        folder: of the run to make.
        photos: names, in the order that detex counted them in; by default those that our own
            export told, or the numbers.
        photos_folder: where the photos lie, for pictures.
        labels: names of label numbers.

    Raises:
        SightlineError: no h5py, no HDF5 file, or one of another layout; the message names the
            data set.
    """
    h5py = h5py_or_cure()
    with ExitStack() as stack:
        opened = [stack.enter_context(_open(h5py, path)) for path in files]
        found = _Found(opened, files, photos, labels or {})
        manifest = Manifest(
            detector="detex",
            fingerprint="",
            methods={method: {"from": "detex"} for method in found.methods},
            photos=tuple(PhotoFile(name) for name in found.photos),
            photos_folder=photos_folder,
            settings={"files": {path.name: hash_file(path) for path in files}},
        )
        work = [Work(Path(photos_folder) / name, name) for name in found.photos]
        return explain_photos(work, found.result, manifest, folder)


class _Found:
    """What lies in files of that layout, checked in its form before anything is read."""

    def __init__(
        self,
        files: Sequence[Any],
        paths: Sequence[Path],
        photos: Sequence[str] | None,
        labels: Mapping[int, str],
    ) -> None:
        self.labels = labels
        self._of_image: dict[int, list[StoredMap]] = {}
        for file, path in zip(files, paths, strict=True):
            for place in maps_in(file, path):
                self._of_image.setdefault(place.image, []).append(place)
        if not self._of_image:
            raise SightlineError(
                f"{', '.join(map(str, paths))} hold no /image/box/column data set; expected the "
                "layout of detex, as `sightline convert RUN FOLDER --to detex` writes it"
            )
        every = [place for image in sorted(self._of_image) for place in self._of_image[image]]
        self.methods = tuple(dict.fromkeys(place.method for place in every))
        names = {image: self._name(image, photos) for image in sorted(self._of_image)}
        self.photos = tuple(names.values())
        self._image_of = {name: image for image, name in names.items()}
        if len(self._image_of) < len(names):
            raise SightlineError(f"two images of {paths[0]} have one name; give photos their names")

    def result(self, work: Work) -> PhotoResult:
        """One photo, its parts the regions in which all its maps are equal."""
        places = self._of_image[self._image_of[work.name]]
        maps = [place.heat() for place in places]
        shapes = {heat.shape for heat in maps}
        if len(shapes) != 1:
            raise PhotoError(
                f"{places[0].where}: maps of one photo have the shapes {sorted(shapes)}; they must "
                "be of one size"
            )
        regions, first = regions_of(maps)
        rows = (
            place.row(heat.ravel()[first], self.labels)
            for place, heat in zip(places, maps, strict=True)
        )
        explanations = tuple(sorted(rows, key=lambda row: row.number))
        runs = encode_labels(torch.from_numpy(regions))
        height, width = regions.shape
        return PhotoResult(work.name, height, width, runs, REGIONS, explanations)

    def _name(self, image: int, photos: Sequence[str] | None) -> str:
        own = next((place.own["photo"] for place in self._of_image[image] if place.own), None)
        if photos is None:
            return own or str(image)
        if not 0 <= image < len(photos):
            raise SightlineError(
                f"{self._of_image[image][0].where}: there is no photo {image} among {len(photos)}; "
                "give the list that detex counted in"
            )
        return photos[image]


def regions_of(
    maps: Sequence[Float[np.ndarray, "height width"]],
) -> tuple[Int64[np.ndarray, "height width"], Int64[np.ndarray, " regions"]]:
    """Connected regions in which every map is constant, and the first pixel of each.

    Example:
        >>> regions, first = regions_of([np.array([[1.0, 1.0, 2.0, 1.0]])])
        >>> regions.tolist(), first.tolist()
        ([[0, 0, 1, 2]], [0, 2, 3])
    """
    from skimage.measure import label

    codes = np.zeros(maps[0].shape, np.int64)
    for heat in maps:
        _, level = np.unique(heat, return_inverse=True)
        together = codes * (int(level.max()) + 1) + level.reshape(heat.shape)
        _, codes = np.unique(together, return_inverse=True)
        codes = codes.reshape(heat.shape).astype(np.int64)
    regions = label(codes, background=-1, connectivity=1).astype(np.int64) - 1
    _, first = np.unique(regions, return_index=True)
    return regions, first.astype(np.int64)


def _open(h5py: Any, path: Path) -> Any:
    if not path.is_file():
        raise SightlineError(f"{path} does not exist; give a file in the layout of detex")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise SightlineError(f"{path} is truncated or no HDF5 file ({str(error)[:80]})") from None
