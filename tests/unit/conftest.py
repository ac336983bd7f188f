"""A tracking server; and where the model server's metrics are kept, before their library is imported."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.unit.tracking_servers import Server, own_config, running

_directory = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="test-metrics-")
atexit.register(shutil.rmtree, _directory, ignore_errors=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a tracking server for the tests of one module."""
    config = own_config(tmp_path_factory.mktemp("tracking") / "home")
    with running(config):
        yield Server(config.own_tracking_url, config.home)
