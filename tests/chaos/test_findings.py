"""What runs of the chaos rig have found, each as a test of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from math import inf
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.exc import DBAPIError

from notification_service import sender, targets
from notification_service.claims import Claim
from notification_service.sender import Sender
from notification_service.targets import Outside
from service_kit.database import is_outage

_DRIVER: Any = dialect.import_dbapi()  # type: ignore[no-untyped-call]


async def test_the_result_of_a_request_that_spans_a_turn_is_recorded_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It went into the list that the turn had taken already: the notice was sent again when its lease ran out."""
    answered = asyncio.Event()

    async def slow(*_: object) -> str:
        await answered.wait()
        return "the result"

    monkeypatch.setattr(sender, "attempt", slow)
    nothing: Any = None
    working = Sender(nothing, nothing)
    working._start(
        cast(Claim, SimpleNamespace(subscription_id=uuid4(), failing=False)), datetime.now(UTC), inf
    )
    await asyncio.sleep(0)
    taken, working._ended = working._ended, []
    answered.set()
    await asyncio.gather(*working._tasks)
    assert taken == []
    assert [str(result) for result in working._ended] == ["the result"]


async def test_a_turn_that_fails_is_taken_again_by_the_same_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadlock ended the sender: all it had under way was sent again a minute later."""
    turns: Iterator[BaseException | int] = iter(
        [ConnectionError("deadlock detected"), OSError("away"), 1, asyncio.CancelledError()]
    )

    async def turn(self: Sender) -> int:
        result = next(turns)
        if isinstance(result, BaseException):
            raise result
        return result

    monkeypatch.setattr(Sender, "turn", turn)
    monkeypatch.setattr(sender, "POLL", 0.001)
    nothing: Any = None
    with pytest.raises(asyncio.CancelledError):
        await Sender(nothing, nothing).run()


@pytest.mark.parametrize(
    "said",
    [
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        asyncpg.CrashShutdownError("terminating connection because of crash of another server process"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    ],
)
def test_f25_a_server_that_shuts_down_or_starts_up_is_an_outage_and_not_an_internal_error(
    said: asyncpg.PostgresError,
) -> None:
    """SQLAlchemy wraps what asyncpg raises, so the name of the exception is not to be found; its SQLSTATE is."""
    wrapped = _DRIVER.Error(str(said), said)
    assert is_outage(DBAPIError("SELECT 1", None, wrapped))


def test_a_violated_constraint_is_no_outage() -> None:
    said = asyncpg.UniqueViolationError("duplicate key value violates unique constraint")
    assert not is_outage(DBAPIError("INSERT", None, _DRIVER.Error(str(said), said)))


async def test_f12_lies_between_the_request_and_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    monkeypatch.setattr(targets, "failpoint", happened.append)

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(4)
        happened.append("received")
        writer.write(b"HTTP/1.1 204 -\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    async with server, Outside(loopback=True) as outside:
        port = server.sockets[0].getsockname()[1]
        answer = await outside.post(f"http://127.0.0.1:{port}/hook", b"body", {})
    assert answer.status == 204
    assert sorted(happened) == ["received", "send.after_request_before_answer"]
