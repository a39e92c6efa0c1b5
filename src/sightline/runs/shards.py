"""The files of a run: each appears complete or not at all, and says which photos it holds."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sightline.errors import SightlineError
from sightline.runs.rows import Failure, PhotoResult, arrow, as_table, schema
from sightline.sketch.files import replace_file

NAME = re.compile(r"(shard|errors)-(\d{5,})\.parquet")
TEMPORARY = re.compile(r"\.(shard|errors)-\d{5,}\.parquet\..+")
DAMAGED = ".damaged"

_KEY = b"sightline"


@dataclass(frozen=True)
class Held:
    """A photo in a shard.

    Args:
        name: of the photo; index: its place in the run's list.
        group: the row group with its rows, or None where it has none.
        rows: how many.
    """

    name: str
    index: int
    group: int | None
    rows: int


def write_shard(folder: Path, number: int, results: Sequence[tuple[int, PhotoResult]]) -> None:
    """Write photos, each with its place in the list, a row group a photo."""
    pa = arrow()
    tables = [(index, result.name, as_table(result, index)) for index, result in results]
    held, group = [], 0
    for index, name, table in tables:
        held.append(Held(name, index, group if len(table) else None, len(table)))
        group += bool(len(table))
    told = json.dumps([asdict(photo) for photo in held]).encode()
    sink = io.BytesIO()
    options = {"compression": "zstd", "write_statistics": False}
    with pa.parquet.ParquetWriter(sink, schema().with_metadata({_KEY: told}), **options) as writer:
        for _, _, table in tables:
            if len(table):
                writer.write_table(table, row_group_size=len(table))
    _put(folder / f"shard-{number:05d}.parquet", sink)


def write_errors(folder: Path, number: int, failures: Sequence[Failure]) -> None:
    """Write photos that failed."""
    pa = arrow()
    columns = pa.schema([(name, pa.string()) for name in Failure.__dataclass_fields__])
    sink = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_pylist([asdict(f) for f in failures], columns), sink)
    _put(folder / f"errors-{number:05d}.parquet", sink)


def _put(path: Path, sink: io.BytesIO) -> None:
    with replace_file(path) as stream:
        stream.write(sink.getbuffer())


class Shard:
    """A file of explanations, open.

    Raises:
        SightlineError: a damaged one.
    """

    def __init__(self, path: Path) -> None:
        pa = arrow()
        self.path = path
        try:
            self._file = pa.parquet.ParquetFile(path, memory_map=False)
            told = json.loads((self._file.schema_arrow.metadata or {})[_KEY])
            self.photos: tuple[Held, ...] = tuple(Held(**photo) for photo in told)
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, error) from None
        rows = [self._file.metadata.row_group(g).num_rows for g in range(self._file.num_row_groups)]
        if rows != [photo.rows for photo in self.photos if photo.group is not None]:
            raise _damaged(path, ValueError("other rows than it says"))

    def table(self, held: Held, columns: Sequence[str] | None = None) -> Any:
        """The rows of one photo.

        Raises:
            SightlineError: a damaged file.
        """
        pa = arrow()
        chosen = None if columns is None else list(columns)
        try:
            if held.group is None:
                empty = schema().empty_table()
                return empty if chosen is None else empty.select(chosen)
            table = self._file.read_row_group(held.group, columns=chosen)
            return table.replace_schema_metadata(None)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self.path, error) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_errors(path: Path) -> list[Failure]:
    """The photos of a file of failures.

    Raises:
        SightlineError: a damaged one.
    """
    pa = arrow()
    try:
        with pa.parquet.ParquetFile(path) as file:
            return [Failure(**row) for row in file.read().to_pylist()]
    except (pa.ArrowException, OSError, TypeError) as error:
        raise _damaged(path, error) from None


def failures_of(folder: Path, done: set[str]) -> dict[str, Failure]:
    """The last failure of each photo that is not done."""
    told = [failure for path in shard_files(folder, "errors") for failure in read_errors(path)]
    return {failure.photo: failure for failure in told if failure.photo not in done}


def shard_files(folder: Path, kind: str = "shard") -> list[Path]:
    """Files of explanations, or of "errors", in the order in which they were written."""
    matches = [NAME.fullmatch(path.name) for path in folder.iterdir()]
    found = sorted((int(m[2]), m[0]) for m in matches if m and m[1] == kind)
    return [folder / name for _, name in found]


def next_number(folder: Path) -> int:
    """The number of the next file: above all there are, of both kinds, set aside or not."""
    names = (path.name.removesuffix(DAMAGED) for path in folder.iterdir())
    return max((int(m[2]) + 1 for m in map(NAME.fullmatch, names) if m), default=0)


def clean(folder: Path) -> Iterator[str]:
    """Remove what a kill left half written, and set damaged files aside; says which."""
    for path in list(folder.iterdir()):
        if TEMPORARY.fullmatch(path.name):
            path.unlink()
    for kind in ("shard", "errors"):
        for path in shard_files(folder, kind):
            try:
                if kind == "shard":
                    Shard(path).close()
                else:
                    read_errors(path)
            except SightlineError:
                path.replace(path.with_name(path.name + DAMAGED))
                yield f"{path.name} is damaged; it is set aside, its photos are explained again"


def _damaged(path: Path, error: BaseException) -> SightlineError:
    return SightlineError(
        f"{path} is damaged ({str(error)[:80]}); give the command that made the run again: it "
        "explains the photos of that file anew"
    )
