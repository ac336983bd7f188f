"""How the model is asked on the short path: in a thread or, if it is quick, by the event loop."""

import asyncio
import time
from contextvars import copy_context

from model_server.answers import Answer, raised_by_model, too_slow
from model_server.model import Model
from model_server.pace import BusyError, Pace
from model_server.pool import Pool
from model_server.settings import Settings


class Asking:
    """Asks the model, in one worker; made before the workers are forked."""

    def __init__(self, model: Model, settings: Settings) -> None:
        """Nothing is asked yet."""
        self._model = model
        self._threads, self._timeout = settings.threads, settings.timeout
        self._pace = Pace(settings)
        self._pool: Pool | None = None

    @property
    def pending(self) -> int:
        """How many requests wait for a thread, or are in work in one."""
        return self._threads_of_worker().pending

    @property
    def is_stuck(self) -> bool:
        """Whether all threads are held by predictions that nobody waits for any more."""
        return self._pool is not None and self._pool.is_stuck(self._timeout + 1)

    async def answer(self, body: bytes) -> Answer | None:
        """Return the answer to a request; None if the short path is not sure of it."""
        failed = False
        if self._pace.is_quick(len(body)) and not self.pending:
            try:
                with self._pace.alone():
                    return copy_context().run(self._answer, body)
            except BusyError:
                pass
            except BaseException:  # which may be only because another thread than usual asks
                failed = True
        answer = await self._in_thread(body)
        if failed and answer is not None and answer.status == 200:
            self._pace.never()
        return answer

    async def _in_thread(self, body: bytes) -> Answer | None:
        # A context of its own, so that nothing that predict sets there is seen by the next request.
        loop, run = asyncio.get_running_loop(), copy_context().run
        answer = loop.run_in_executor(self._threads_of_worker(), run, self._answer_or_refuse, body)
        timer = loop.call_later(self._timeout, answer.cancel)
        try:
            return await answer
        except asyncio.CancelledError:
            return too_slow(self._timeout)
        finally:
            timer.cancel()

    def _answer_or_refuse(self, body: bytes) -> Answer | None:
        try:
            return self._answer(body)
        except BaseException as error:  # sys.exit, too, which would end the worker
            return raised_by_model(error, self._model.missing_in(body))

    def _answer(self, body: bytes) -> Answer | None:
        since = time.perf_counter()
        answered = self._model.answer(body)
        if answered is None:
            return None
        self._pace.note(len(body), time.perf_counter() - since)
        return Answer(200, answered[0], predictions=answered[1])

    def _threads_of_worker(self) -> Pool:
        if self._pool is None:  # in the worker: threads are not copied by a fork
            self._pool = Pool(self._threads)
            asyncio.get_running_loop().set_default_executor(self._pool)  # where MLflow runs predict
        return self._pool
