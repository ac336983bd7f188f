import asyncio
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from model_server.protocol import Protocol
from uvicorn import Config
from uvicorn.server import ServerState

KEEP_ALIVE = 75
REQUEST = b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Connection:
    """A connection without a network to an application that answers when it is told to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.may_answer = loop, True
        config = Config(
            self.answer, loop="asyncio", interface="asgi3", lifespan="off", timeout_keep_alive=KEEP_ALIVE
        )
        self.transport = Mock(asyncio.Transport)
        self.transport.get_extra_info.return_value = None
        self.transport.is_closing.return_value = False
        self.protocol = Protocol(config, ServerState(), {}, loop)
        self.protocol.connection_made(self.transport)

    async def answer(self, _scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401
        while not self.may_answer:
            await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    def receive(self, data: bytes) -> None:
        self.protocol.data_received(data)
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0))

    def seconds(self, count: int) -> bool:
        """Let so many seconds pass; return whether the connection is closed."""
        for _ in range(count):
            self.protocol.look()
        return bool(self.transport.close.called)


@pytest.fixture
def connection() -> Iterator[Connection]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield Connection(loop)
    asyncio.set_event_loop(None)
    loop.close()


def test_a_connection_that_sends_nothing_is_closed(connection: Connection) -> None:
    assert not connection.seconds(15)
    assert connection.seconds(2)


def test_headers_that_come_byte_by_byte_are_given_up(connection: Connection) -> None:
    for byte in REQUEST[:15]:
        connection.receive(bytes([byte]))
        assert not connection.seconds(1)
    connection.receive(REQUEST[15:16])
    assert connection.seconds(2)


def test_the_next_headers_have_as_long_after_a_pause(connection: Connection) -> None:
    connection.receive(REQUEST)
    assert not connection.seconds(KEEP_ALIVE)
    connection.receive(REQUEST[:9])  # which ends uvicorn's own timeout
    assert not connection.seconds(15)
    assert connection.seconds(3)


def test_a_connection_that_is_used_stays_open(connection: Connection) -> None:
    for _ in range(10):
        connection.receive(REQUEST)
        assert not connection.seconds(KEEP_ALIVE)


def test_a_request_that_is_answered_slowly_is_not_given_up(connection: Connection) -> None:
    connection.may_answer = False
    connection.receive(REQUEST)
    assert not connection.seconds(10 * KEEP_ALIVE)
    connection.may_answer = True
    connection.receive(b"")
    assert not connection.seconds(KEEP_ALIVE)
