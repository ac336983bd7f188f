# So that these tests run in the same two processes as those of tests/e2e.
from tests.e2e.conftest import docker, pytest_itemcollected

__all__ = ["docker", "pytest_itemcollected"]
