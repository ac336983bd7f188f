"""The threads that ask the model, and how busy they are."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock, get_ident
from typing import Any


class Pool(ThreadPoolExecutor):
    """Counts what waits and runs in it, also what nobody waits for any more because it took too long."""

    def __init__(self, threads: int) -> None:
        """Make a pool of so many threads."""
        super().__init__(threads)
        self.pending = 0
        self._lock = Lock()
        self._since: dict[int, float] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Run the function in a thread, as any executor does."""
        with self._lock:
            self.pending += 1
        future = super().submit(self._run, fn, args, kwargs)
        future.add_done_callback(self._forget)
        return future

    def is_stuck(self, seconds: float) -> bool:
        """Whether every thread has been at the same work for longer than that."""
        begun = time.monotonic() - seconds
        since = list(self._since.values())
        return len(since) == self._max_workers and all(moment < begun for moment in since)

    def _run(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        self._since[get_ident()] = time.monotonic()
        try:
            return fn(*args, **kwargs)
        finally:
            del self._since[get_ident()]

    def _forget(self, _: Future[Any]) -> None:
        with self._lock:
            self.pending -= 1
