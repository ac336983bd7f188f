"""Score files by a model: `python -m scorer`. The job is a line of JSON on stdin; events go to stdout.

Once ``{"rows": all rows or null}``, then ``{"done": more rows}`` as they are scored, and ``{"note":
"..."}``; at the end ``{"manifest": {...}}`` or ``{"error": "one sentence"}``. If stdin ends before, so does
all of this.
"""

import os
import sys
import traceback
from contextlib import suppress
from typing import IO

from scorer.caller import CallerGoneError, end_with_caller, read_request, stay, take_stdout, tell
from scorer.job import ScoringError


def main() -> int:
    """Do one job; return the exit status."""
    events = take_stdout()
    try:
        request = read_request()
        end_with_caller()
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, "1")
        from scorer.run import run

        tell(events, manifest=run(request, events))
    except CallerGoneError:
        return 1
    except ScoringError as error:
        return _failed(events, str(error))
    except Exception as error:
        traceback.print_exc()
        return _failed(events, f"scoring failed ({type(error).__name__}, see above)")
    return 0


def _failed(events: IO[str], why: str) -> int:
    stay()  # whoever hears it closes stdin
    with suppress(CallerGoneError):
        tell(events, error=why)
    return 1


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # the model may have left threads that would go on
