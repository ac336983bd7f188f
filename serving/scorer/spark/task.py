"""What an executor does: score one part, and answer with what it has written, or why it could not."""

import os
import socket
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.job import Job, Part, ScoringError, Written


class Answers:
    """How Spark adds up the answers of tasks, as an AccumulatorParam: each task's counts once."""

    def zero(self, _value: list[Written | str]) -> list[Written | str]:
        """Begin with none."""
        return []

    def addInPlace(  # noqa: N802 - Spark's name
        self, answers: list[Written | str], more: list[Written | str]
    ) -> list[Written | str]:
        """Add some."""
        answers += more
        return answers


@dataclass(frozen=True)
class Task:
    """Scores a part where it is called; ``python`` is the executors' Python, if the user has named it."""

    job: Job
    python: str
    answers: Any

    def __call__(self, part: Part) -> None:
        """Score it. Spark repeats a task that raises, and no repetition helps against what is answered."""
        self.answers.add([self._answer(part)])

    def _answer(self, part: Part) -> Written | str:
        executor = f"the executor on {socket.gethostname()}"
        if why := self._unreachable(part, executor):
            return why
        try:
            from scorer.scoring import score_part

            return score_part(self.job, part)
        except ScoringError as error:
            if missing := _missing_module(error):
                return self._lacks(missing, executor)
            return str(error).replace("see above", f"see the stderr of {executor}")
        except ModuleNotFoundError as error:
            return self._lacks(str(error.name), executor)
        except Exception as error:  # what it says may hold data
            traceback.print_exc()
            return f"scoring failed ({type(error).__name__}); the log of {executor}, its stderr, says where"

    def _unreachable(self, part: Part, executor: str) -> str:
        """Say which of INPUT and OUTPUT it does not see, or may not use; empty if none."""
        wanted = (("INPUT", part.file, "read", os.R_OK), ("OUTPUT", self.job.directory, "write", os.W_OK))
        for name, path, use, access in wanted:
            try:
                Path(path).stat()
                may = os.access(path, access)
            except PermissionError:
                may = False
            except OSError:
                return (
                    f"{executor} does not see {path}; all machines must see it under the same path: put"
                    f" {name} on a file system that they share"
                )
            if not may:
                return (
                    f"{executor}, as the user with the id {os.getuid()}, may not {use} {path}; run"
                    " the cluster as the user who runs this, or as root, or let that user do it"
                )
        return ""

    def _lacks(self, module: str, executor: str) -> str:
        python = self.python or "the Python"
        omit = ", or omit --python" if self.python else ""
        return f"{python} of {executor} lacks the module {module}; install it there{omit}"


def _missing_module(error: BaseException | None) -> str:
    """Return the module whose lack has led to an error; empty if none has."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            return str(error.name)
        error = error.__cause__ or error.__context__
    return ""
