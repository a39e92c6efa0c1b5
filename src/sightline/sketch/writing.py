"""Files written behind the back of who makes them, in order."""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from threading import Thread
from types import TracebackType

Job = Callable[[], None]


class Writer:
    """A thread that does one job after the other, in the order in which they were given.

    It is to wait for a disk while others compute. After a job that fails none is done; whoever
    gives the next one, or leaves the ``with``, gets the failure. When the ``with`` is left by an
    exception, jobs that were not begun are not done. Afterwards nothing is left running.

    Args:
        waiting: jobs that may wait; who gives one more waits too.

    Example:
        >>> done = []
        >>> with Writer() as writer:
        ...     for number in range(3):
        ...         writer.give(lambda number=number: done.append(number))
        >>> done
        [0, 1, 2]
    """

    def __init__(self, *, waiting: int = 2) -> None:
        self._jobs: Queue[Job | None] = Queue(waiting)
        self._failure: BaseException | None = None
        self._stopped = False
        self._thread = Thread(target=self._work, name="writer", daemon=True)

    def give(self, job: Job) -> None:
        """Have a job done after those before it.

        Raises:
            BaseException: what an earlier job raised.
        """
        self._raise_failure()
        self._jobs.put(job)

    def __enter__(self) -> Writer:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Wait for the jobs that were given; after an exception, for the one under way."""
        self._stopped = error is not None
        self._jobs.put(None)
        self._thread.join()
        if error is None:
            self._raise_failure()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._stopped or self._failure is not None:
                continue  # emptied all the same, so that nobody waits for room
            try:
                job()
            except BaseException as error:  # raised where the job came from
                self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
