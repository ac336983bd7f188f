"""Before the model server's metrics are imported: where they are kept, which their library then reads."""

import atexit
import os
import shutil
import tempfile

_directory = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="test-metrics-")
atexit.register(shutil.rmtree, _directory, ignore_errors=True)
