from tests.e2e.conftest import docker

__all__ = ["docker"]
