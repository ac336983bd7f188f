"""What the model prints and logs: all of it shows, and at once."""

import io
import logging
import sys
import sysconfig
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LIBRARIES = tuple(
    f"{directory}/"
    for directory in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        Path(__file__).parent,
    )
)


def configure_output() -> None:
    """Write each line that is printed at once; log from INFO on, of libraries from WARNING on."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    logging.basicConfig(format=_FORMAT, level=logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(is_shown)


def is_shown(record: logging.LogRecord) -> bool:
    """Whether a record is a warning, or of code that is in no library: the model's own."""
    return record.levelno >= logging.WARNING or not record.pathname.startswith(_LIBRARIES)
