"""The run itself: photo after photo, kept in files, to be killed and gone on with at any time.

A photo counts as done once a file that holds it has been moved into its place; files are written
under another name first. So a kill costs the photos since the last file, and no photo is ever in
two files. What is kept does not depend on where the files end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightline.errors import SightlineError, first_line
from sightline.runs.lock import LOCK, locked
from sightline.runs.manifest import FILE, Manifest
from sightline.runs.progress import Progress, Tell
from sightline.runs.rows import Failure, PhotoResult, arrow
from sightline.runs.shards import (
    Shard,
    clean,
    failures_of,
    next_number,
    shard_files,
    write_errors,
    write_shard,
)

PHOTOS_A_FILE = 8
SECONDS_A_FILE = 30.0


@dataclass(frozen=True)
class Work:
    """One photo to explain: where it is, and its name in the manifest."""

    photo: Path
    name: str


ExplainPhoto = Callable[[Work], PhotoResult]


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Args:
        folder: of the run.
        photos: explained, of this start and those before.
        explained: photos of this start.
        failures: photos that could not be explained, with their errors.
        notes: what was mended on the way (damaged files).
    """

    folder: Path
    photos: int
    explained: int
    failures: tuple[Failure, ...]
    notes: tuple[str, ...] = ()


def explain_photos(
    work: Sequence[Work],
    explain_photo: ExplainPhoto,
    manifest: Manifest,
    folder: Path,
    *,
    retry_failed: bool = False,
    photos_a_file: int = PHOTOS_A_FILE,
    seconds_a_file: float = SECONDS_A_FILE,
    progress: Tell | None = None,
) -> Outcome:
    """Explain photos into a folder, or go on with what is there.

    A photo that fails is recorded with its error, and the run goes on. Memory does not grow with
    the photos.

    Args:
        work: the photos, in the order of the manifest.
        explain_photo: explains one; what it raises is the photo's failure.
        manifest: what the run is; a folder of another run is refused.
        folder: to make, or to go on with.
        retry_failed: try those again that failed before.
        photos_a_file: photos after which a file is written.
        seconds_a_file: seconds after which one is written all the same.
        progress: told after every photo.

    Raises:
        SightlineError: a folder of something else or of another run, one that another process
            writes to, no pyarrow.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from sightline.runs.manifest import PhotoFile
        >>> runs = {"shape": [1, 2], "values": [0], "lengths": [2]}  # one part, two pixels
        >>> parts = {name: np.array(array, np.int32) for name, array in runs.items()}
        >>> fog = Manifest("toy", "f00d", {"random": {}}, (PhotoFile("fog.png"),))
        >>> outcome = explain_photos(
        ...     [Work(Path("fog.png"), "fog.png")],
        ...     lambda work: PhotoResult(work.name, 1, 2, parts, "patches"),  # nothing in the fog
        ...     fog,
        ...     Path(tempfile.mkdtemp()),
        ... )
        >>> outcome.explained, outcome.failures
        (1, ())
    """
    arrow()
    if photos_a_file < 1:
        raise SightlineError(f"a file holds at least 1 photo; got photos_a_file={photos_a_file}")
    if [item.name for item in work] != [photo.name for photo in manifest.photos]:
        raise SightlineError("the photos to explain are not those of the manifest, in its order")
    _refuse_foreign(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        notes = tuple(_begin(manifest, folder))
        done, failures = _there(folder)
        if retry_failed:
            failures = {}
        pending = _Pending(folder, photos_a_file, seconds_a_file)
        going = _Going(work, explain_photo, done, failures, pending, progress)
        try:
            going.run()
        finally:
            pending.flush()
    return Outcome(folder, going.photos, going.here, tuple(failures.values()), notes)


def _refuse_foreign(folder: Path) -> None:
    """A folder that is no run's is left alone."""
    if folder.is_dir() and not (folder / FILE).is_file():
        foreign = [path.name for path in folder.iterdir() if path.name not in (LOCK, FILE)]
        foreign = [name for name in foreign if not name.startswith(f".{FILE}.")]
        if foreign:
            raise SightlineError(
                f"{folder} holds other files ({foreign[0]}); give a folder of its own"
            )
    elif folder.exists() and not folder.is_dir():
        raise SightlineError(f"{folder} is a file; give a folder")


def _begin(manifest: Manifest, folder: Path) -> list[str]:
    if not (folder / FILE).is_file():
        manifest.write(folder)
        return []
    Manifest.read(folder).refuse_other(manifest, folder)
    return list(clean(folder))


def _there(folder: Path) -> tuple[set[str], dict[str, Failure]]:
    """Photos in files, and those that failed last."""
    done: set[str] = set()
    for path in shard_files(folder):
        shard = Shard(path)
        done.update(photo.name for photo in shard.photos)
        shard.close()
    return done, failures_of(folder, done)


@dataclass
class _Pending:
    """Photos that are in no file yet."""

    folder: Path
    photos_a_file: int
    seconds_a_file: float
    results: list[tuple[int, PhotoResult]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def keep(self) -> None:
        """Write what waits, if it is enough or has waited long enough."""
        full = len(self.results) + len(self.failures) >= self.photos_a_file
        if full or time.monotonic() - self.since >= self.seconds_a_file:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        number = next_number(self.folder)
        if self.results:
            write_shard(self.folder, number, self.results)
        if self.failures:
            write_errors(self.folder, number, self.failures)
        self.results, self.failures = [], []
        self.since = time.monotonic()


@dataclass
class _Going:
    """A run under way."""

    work: Sequence[Work]
    explain_photo: ExplainPhoto
    done: set[str]
    failures: dict[str, Failure]
    pending: _Pending
    tell: Tell | None
    here: int = 0
    boxes: int = 0
    explanations: int = 0

    def __post_init__(self) -> None:
        self.photos = len(self.done)

    def run(self) -> None:
        started, gone = time.monotonic(), 0
        for index, item in enumerate(self.work):
            if item.name in self.done or item.name in self.failures:
                continue
            self._one(index, item)
            gone += 1
            self.pending.keep()
            if self.tell is not None:
                self.tell(self._progress(gone, time.monotonic() - started))

    def _one(self, index: int, item: Work) -> None:
        try:
            result = self.explain_photo(item)
        except Exception as error:  # whatever a model, a decoder or a device raises
            self._failed(Failure(item.name, type(error).__name__, first_line(error)))
            return
        if result.name != item.name:
            raise SightlineError(f"the result of photo {item.name} is named {result.name}")
        self.pending.results.append((index, result))
        self.photos += 1
        self.here += 1
        self.boxes += len({row.number for row in result.explanations})
        self.explanations += len(result.explanations)

    def _failed(self, failure: Failure) -> None:
        self.pending.failures.append(failure)
        self.failures[failure.photo] = failure

    def _progress(self, gone: int, seconds: float) -> Progress:
        return Progress(
            done=self.photos,
            failed=len(self.failures),
            total=len(self.work),
            boxes=self.boxes,
            explanations=self.explanations,
            here=gone,
            seconds=seconds,
        )
