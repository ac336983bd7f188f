import fcntl
from pathlib import Path

import pytest

from tests.e2e.engine_lock import EngineLock, engine_lock


def is_free(lock: EngineLock, how: int) -> bool:
    """Whether the lock can be had at once; then it is held as others hold it."""
    try:
        fcntl.flock(lock.file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(lock.file, fcntl.LOCK_SH)
    return True


def test_many_may_use_the_engine_and_nobody_meanwhile_restart_it(tmp_path: Path) -> None:
    with engine_lock(tmp_path) as one, engine_lock(tmp_path) as other:
        assert not is_free(other, fcntl.LOCK_EX)
        fcntl.flock(other.file, fcntl.LOCK_UN)
        with one.alone():
            assert not is_free(other, fcntl.LOCK_SH)
        assert is_free(other, fcntl.LOCK_SH)


def test_a_process_that_fails_while_it_restarts_the_engine_lets_others_go_on(tmp_path: Path) -> None:
    with engine_lock(tmp_path) as one, engine_lock(tmp_path) as other:
        fcntl.flock(other.file, fcntl.LOCK_UN)
        with pytest.raises(AssertionError), one.alone():
            raise AssertionError
        assert is_free(other, fcntl.LOCK_SH)
