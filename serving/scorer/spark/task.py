"""What an executor does: score one part, and answer with what it has written, or why it could not."""

import socket
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
        if not Path(part.file).exists():
            return (
                f"{executor} does not see {part.file}; all machines must see it under the same path: put"
                " INPUT on a file system that they share"
            )
        try:
            from scorer.scoring import score_part

            return score_part(self.job, part)
        except ScoringError as error:
            return str(error)
        except ModuleNotFoundError as error:
            python = self.python or "the Python"
            return f"{python} of {executor} lacks the module {error.name}; install it there, or omit --python"
