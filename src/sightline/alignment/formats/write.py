"""Labels of attention into any of the layouts that are read."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sightline.alignment.formats.coco import write_coco_labels
from sightline.alignment.formats.folder import write_labels
from sightline.alignment.formats.gradia import write_gradia_attention
from sightline.alignment.formats.label_studio import write_label_studio
from sightline.alignment.labels import AttentionLabels
from sightline.errors import AlignmentError, unknown_name

LAYOUTS = ("folder", "gradia", "coco", "label-studio")
HALF = 0.5


def write_labels_as(
    layout: str, path: str | os.PathLike[str], labels: AttentionLabels
) -> tuple[str, ...]:
    """Write labels in a layout; what it cannot hold is refused or told.

    Args:
        layout: ``"folder"`` keeps everything; ``"label-studio"`` 8 bits a pixel of photos;
            ``"coco"`` whole pixels of photos, soft masks cut at a half; ``"gradia"`` one must mask
            a photo, stretched to 224 x 224.
        path: the folder, or the file.
        labels: of any number of people.

    Returns:
        What was not kept.

    Raises:
        AlignmentError: an unknown layout, or labels that it cannot hold.
    """
    if layout not in LAYOUTS:
        raise AlignmentError(unknown_name("layout", layout, LAYOUTS))
    if layout == "folder":
        write_labels(path, labels)
        return ()
    if layout == "label-studio":
        write_label_studio(path, labels)
        return ()
    if layout == "coco":
        sizes = {label.item: (label.size[0], label.size[-1]) for label in labels}
        return write_coco_labels(path, labels, sizes, threshold=HALF)
    write_gradia_attention(path, labels, on_must_not="leave_out")
    return tuple(_lost_in_gradia(labels))


def _lost_in_gradia(labels: AttentionLabels) -> Iterator[str]:
    left = sum(bool(label.either("must_not").any()) for label in labels)
    if left:
        yield f"{left} must-not masks were left out: GRADIA's layout has none"
    empty = sum(not label.either("must").any() for label in labels)
    if empty:
        yield f"{empty} labels were left out: they say nowhere to look"
    told = sum(bool(label.author or label.time or label.weight != 1) for label in labels)
    if told:
        yield f"author, time and weight of {told} labels were left out: GRADIA's layout has none"
