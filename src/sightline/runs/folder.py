"""A folder of photos, explained into a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sightline.errors import SightlineError
from sightline.image.annotations import Annotations, read_instances, read_panoptic, with_masks
from sightline.image.read import photo_files, read_photo
from sightline.models.detector import Detector
from sightline.models.fingerprint import fingerprint_of
from sightline.runs.lock import locked
from sightline.runs.loop import Outcome, Work, explain_photos
from sightline.runs.manifest import Manifest, PhotoFile, hash_file
from sightline.runs.photos import examine_photo
from sightline.runs.progress import Tell
from sightline.runs.rows import PhotoResult
from sightline.runs.sanity import sanity_of
from sightline.runs.settings import PhotoSettings


def explain_all(
    detector: Detector,
    name: str,
    photos: Path,
    out: Path,
    settings: PhotoSettings,
    *,
    annotations: Path | None = None,
    panoptic: Path | None = None,
    first: int | None = None,
    batch: int | None = None,
    retry_failed: bool = False,
    progress: Tell | None = None,
) -> Outcome:
    """Explain the photos of a folder into a run, or go on with one.

    Args:
        detector: any.
        name: what the run calls it.
        photos: the folder.
        out: folder of the run.
        settings: everything that changes a number.
        annotations: COCO instances: then the photos are those that it lists.
        panoptic: COCO panoptic JSON beside a folder of its name: masks for the instances.
        first: the first so many photos.
        batch: pictures of one forward pass.
        retry_failed: try those again that failed before.
        progress: told after every photo.

    Raises:
        SightlineError: as `explain_photos`; no photo in the folder.
    """
    marked = _annotated(annotations, panoptic)
    files = marked.files if marked is not None else [p.name for p in photo_files(photos)]
    listed = list(files)[:first]
    work = [Work(photos / file, file) for file in listed]
    manifest = Manifest(
        detector=name,
        fingerprint=fingerprint_of(detector),
        methods={m: {"budget": settings.budget(m)} for m in settings.methods},
        photos=tuple(_listed(photos, file, marked) for file in listed),
        photos_folder=str(photos.resolve()),
        settings=settings.record(),
        seeds={"explanations": settings.seed},
        annotations=_hashed(annotations, panoptic),
        categories={label: i for i, label in marked.categories.items()} if marked else {},
        environment={"batch": batch, "threads": torch.get_num_threads()},
    )
    outcome = explain_photos(
        work,
        explainer(detector, settings, marked, batch=batch),
        manifest,
        out,
        retry_failed=retry_failed,
        progress=progress,
    )
    if settings.sanity:
        _check_sanity(detector, settings, out, work, {f.photo for f in outcome.failures})
    return outcome


def explainer(
    detector: Detector,
    settings: PhotoSettings,
    annotations: Annotations | None = None,
    *,
    batch: int | None = None,
) -> Callable[[Work], PhotoResult]:
    """What `explain_photos` calls for every photo."""

    def explain_one(work: Work) -> PhotoResult:
        photo = read_photo(work.photo)
        marked = annotations.of(work.name) if annotations is not None else ()
        return examine_photo(
            detector, replace(photo, name=work.name), settings, marked=marked, batch=batch
        )

    return explain_one


def _check_sanity(
    detector: Detector,
    settings: PhotoSettings,
    out: Path,
    work: Sequence[Work],
    failed: Collection[str],
) -> None:
    """Once a run: shuffle the layers of the model, and write down what is left of the maps."""
    if Manifest.read(out).sanity:
        return
    explained = [item for item in work if item.name not in failed][: settings.sanity]
    told = sanity_of(detector, [read_photo(item.photo) for item in explained], settings)
    with locked(out):
        replace(Manifest.read(out), sanity=tuple(told)).write(out)


def _annotated(annotations: Path | None, panoptic: Path | None) -> Annotations | None:
    if annotations is None:
        if panoptic is not None:
            raise SightlineError("panoptic masks are matched to boxes: give annotations too")
        return None
    marked = read_instances(annotations, on_outside="clip")
    if panoptic is None:
        return marked
    return with_masks(marked, read_panoptic(panoptic, panoptic.with_suffix(""), on_outside="clip"))


def _listed(photos: Path, file: str, marked: Annotations | None) -> PhotoFile:
    own = marked.of(file) if marked is not None else ()
    return PhotoFile.of(photos, file, image_id=own[0].image if own else None)


def _hashed(annotations: Path | None, panoptic: Path | None) -> dict[str, str] | None:
    if annotations is None:
        return None
    told = {"path": str(annotations), "sha256": hash_file(annotations)}
    return told if panoptic is None else told | {"panoptic": hash_file(panoptic)}
