"""Blocks of ndjson read by processes of their own, in order.

A reader is a fresh Python that knows nothing of the program that starts it and imports no torch. It
gets a request by its standard input, answers by its standard output, and ends when its input does:
however the program ends, no reader stays. What goes through the two pipes is pickled by one end of
this file and unpickled by the other; nothing that stands in a file of drawings is ever unpickled.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any

from sightline.errors import DrawingError, SightlineError
from sightline.sketch.blocks import Block
from sightline.sketch.collection import hashed_splits
from sightline.sketch.columns import Columns
from sightline.sketch.formats.quickdraw_blocks import read_block, read_lines

_LENGTH = struct.Struct("<Q")

_START = (
    "import sys; sys.path[:] = sys.argv[1:]; from sightline.sketch.readers import serve; serve()"
)

_SETTINGS = {
    "OMP_NUM_THREADS": "1",
    # glibc gives large arrays back to the system and asks for them anew, page by page: that takes
    # twice the time of all that is done with them. A reader keeps what it has.
    "MALLOC_TRIM_THRESHOLD_": str(2**28),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
}


@dataclass(frozen=True)
class Read:
    """What a block held: drawings, with their splits by hash, and why others could not be read."""

    columns: Columns
    refused: list[str]


def read(block: Block, *, seed: int, raise_bad: bool) -> Read:
    """Read a block at once, or line by line where something in it is unusual."""
    text = block.read()
    columns, refused = read_block(text if text.endswith(b"\n") else text + b"\n"), list[str]()
    if columns is None:
        place = block.path.name
        columns, refused = read_lines(text, place, block.line + 1, raise_bad=raise_bad)
    return Read(replace(columns, hashed=hashed_splits(columns.keys, seed)), refused)


class Readers:
    """Processes that read blocks; they are started when the first block comes.

    Args:
        count: how many; 0 reads in this process.
        seed: of the hash that splits.
        raise_bad: stop at a bad line.
    """

    def __init__(self, count: int, *, seed: int = 0, raise_bad: bool = False) -> None:
        self.count = count
        self._options: dict[str, Any] = {"seed": seed, "raise_bad": raise_bad}
        self._free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._stack = ExitStack()

    def map(self, blocks: Iterator[Block]) -> Iterator[tuple[Block, Read]]:
        """Read blocks, some ahead, and give them in order.

        Raises:
            DrawingError: of the blocks, when all before it are given; or a bad line.
            SightlineError: a reader ended before its time.
        """
        if not self.count:
            yield from ((block, read(block, **self._options)) for block in blocks)
            return
        self._start()
        waiting: deque[tuple[Block, Future[Read]]] = deque()
        broken: DrawingError | None = None
        with ThreadPoolExecutor(self.count) as pool:
            try:
                for block in blocks:
                    waiting.append((block, pool.submit(self._read, block)))
                    if len(waiting) > self.count + 1:
                        yield _done(waiting)
            except DrawingError as error:
                broken = error
            while waiting:
                yield _done(waiting)
        if broken is not None:
            raise broken

    def __enter__(self) -> Readers:
        """Nothing is started yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the processes."""
        self._stack.close()

    def _start(self) -> None:
        while self._free.qsize() < self.count:
            process = subprocess.Popen(  # noqa: S603  this very Python, our own words
                [sys.executable, "-c", _START, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **_SETTINGS},
            )
            self._stack.callback(_end, process)
            self._free.put(process)

    def _read(self, block: Block) -> Read:
        """Let a reader read that has nothing to do; there are as many as threads that ask."""
        process = self._free.get()
        try:
            _send(process.stdin, (block, self._options))
            answer = _receive(process.stdout)
        except (OSError, EOFError):
            raise SightlineError(
                f"a process that read {block.path.name} from line {block.line + 1} on ended "
                f"(code {process.wait()}); give the same command again: it goes on where it stopped"
            ) from None
        finally:
            self._free.put(process)
        if isinstance(answer, str):
            raise DrawingError(answer)
        return answer


def serve() -> None:
    """Be a reader: answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a reader ends when its input does
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed goes elsewhere
    while True:
        try:
            block, options = _receive(requests)
        except EOFError:
            return
        try:
            answer: Read | str = read(block, **options)
        except DrawingError as error:
            answer = str(error)
        try:
            _send(answers, answer)
        except BrokenPipeError:
            os._exit(1)  # nobody is there to listen


def _done(waiting: deque[tuple[Block, Future[Read]]]) -> tuple[Block, Read]:
    block, future = waiting.popleft()
    return block, future.result()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what was not taken is not taken any more
            pipe.close()  # type: ignore[union-attr]
    process.wait()


def _send(stream: IO[bytes] | None, message: Any) -> None:
    if stream is None:
        raise EOFError
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def _receive(stream: IO[bytes] | None) -> Any:
    if stream is None:
        raise EOFError
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return pickle.loads(_exactly(stream, length))  # noqa: S301  the other end is this file


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
