"""The planted bugs of the reliability plan (section 10), each of which replaces one piece of the hub by what a careless hand
would have written.

As a pytest plugin: `PLANTED=B02 pytest -p tests.chaos.planted_bugs ...`. For a process of the hub: `PLANTED=B02 python -m
tests.chaos.planted_bugs case_service serve`, which is how `PLANTED=B02 make chaos` runs all of them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import os
import runpy
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

_tasks: set[asyncio.Task[None]] = set()
_ENDED = pytest.StashKey[int]()


def _b01_auto_commit() -> None:
    from service_kit.bus import kafka_bus

    kafka_bus.CONSUMER |= {"enable_auto_commit": True, "auto_commit_interval_ms": 100}


def _b02_watermark() -> None:
    from sqlalchemy import select

    from service_kit.relay import BATCH, Relay

    last: dict[int, int] = {}

    async def unpublished(self: Any, _: Any = None) -> Sequence[Any]:
        columns = self.outbox.c
        query = select(columns.position, columns.topic, columns.subject, columns.body)
        behind = columns.position > last.get(id(self), 0)
        async with self.db.read() as session:
            rows = (await session.execute(query.where(behind).order_by(columns.position).limit(BATCH))).all()
        if rows:
            last[id(self)] = rows[-1].position
        return list(rows)

    Relay._unpublished = unpublished  # type: ignore[method-assign]


def _b03_no_check_at_sending() -> None:
    from notification_service import claims

    claims._obstacle = lambda _: None  # type: ignore[assignment]


def _b04_now_in_a_projection() -> None:
    from service_kit.inbox import Received

    Received.time = property(lambda self: datetime.now(UTC))  # type: ignore[method-assign, assignment]


def _b05_redirects_followed() -> None:
    import httpx2

    from notification_service import targets

    right = targets._exchange

    async def followed(line: Any, request: Any) -> Any:
        response = await line.handle_async_request(request)
        there = response.headers.get("location")
        await response.aclose()
        return await right(line, httpx2.Request("POST", there or request.url, content=request.content))

    targets._exchange = followed


def _b06_commit_after_the_answer() -> None:
    from service_kit.database import Database

    right = Database.write

    @asynccontextmanager
    async def write(self: Any) -> AsyncIterator[Any]:
        transaction = right(self)
        session = await transaction.__aenter__()
        try:
            yield session
        except BaseException as error:
            await transaction.__aexit__(type(error), error, error.__traceback__)
            raise
        task = asyncio.create_task(_finish(transaction))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    Database.write = write  # type: ignore[method-assign]


async def _finish(transaction: AbstractAsyncContextManager[Any]) -> None:
    with contextlib.suppress(Exception):
        await transaction.__aexit__(None, None, None)


def _b07_inbox_row_apart_from_the_effect() -> None:
    from service_kit.inbox import Inbox

    async def whole(self: Any, items: list[Any]) -> bool:
        return False

    async def single(self: Any, item: Any) -> None:
        async with self.hub.db.write() as tx:
            picture = await self._picture(tx, [item])
            if not self._due(item, picture):
                return
            await self._note(tx, [item])
        with contextlib.suppress(Exception):  # it will come again, and be known already
            async with self.hub.db.write() as tx:
                await self._react(tx, [item])

    Inbox._whole, Inbox._single = whole, single  # type: ignore[method-assign]


def _b08_two_relays() -> None:
    from service_kit.database import Database

    @asynccontextmanager
    async def leader(
        self: Any, role: str, woken: Callable[[], None], *, poll: float = 1.0
    ) -> AsyncIterator[Any]:
        yield self.fetch  # everybody leads

    Database.leader = leader  # type: ignore[method-assign]


def _b09_new_id_per_attempt() -> None:
    from notification_service import signing

    right = signing.headers
    signing.headers = lambda keys, delivery_id, now, body: right(keys, uuid4(), now, body)


def _b10_mark_without_token() -> None:
    from sqlalchemy import update
    from sqlmodel import col

    from notification_service import ledger
    from notification_service.channels import Status
    from notification_service.tables import Delivery

    async def mark(tx: Any, results: Iterable[Any], now: datetime) -> set[Any]:
        statement = (
            update(Delivery)
            .where(col(Delivery.id).in_([result.claim.id for result in results]))
            .values(status=Status.DELIVERED, delivered_at=now, lease_token=None, leased_until=None)
            .returning(col(Delivery.id))
        )
        return set((await tx.execute(statement)).scalars())

    ledger._mark_delivered = mark


def _b11_last_sequence_forgotten() -> None:
    from sqlalchemy import func, select

    from service_kit.inbox import Inbox

    right = Inbox._picture

    async def picture(self: Any, tx: Any, items: Sequence[Any], **how: Any) -> Any:
        found = await right(self, tx, items, **how)
        inbox = self._inbox.c
        query = select(inbox.source, inbox.subject, func.max(inbox.sequence))
        rows = await tx.execute(query.group_by(inbox.source, inbox.subject))
        found.last = {(source, subject): last for source, subject, last in rows}
        for item in items:  # a case of which all is pruned: whatever comes first is taken for the first
            if item.envelope:
                found.last.setdefault(item.pair, item.envelope.sequence - 1)
        return found

    Inbox._picture = picture  # type: ignore[method-assign]


def _b12_poison_skipped() -> None:
    from service_kit.inbox import Inbox

    async def forget(self: Any, *_: Any) -> None:
        """Logged somewhere, and gone."""

    Inbox._store = forget  # type: ignore[method-assign, assignment]
    Inbox._park = forget  # type: ignore[method-assign, assignment]


def _b13_a_name_in_an_event() -> None:
    """Where nobody looks at once: in base64, in the link to the detail."""
    from case_service import store as typed

    store: Any = typed
    record, publish = store._record, store.publish_all
    names: dict[Any, str] = {}

    async def noting(session: Any, decisions: Sequence[Any], *rest: Any) -> None:
        names.update({d.after.id: base64.b64encode(d.after.surname.encode()).decode() for d in decisions})
        await record(session, decisions, *rest)

    async def telling(session: Any, items: Sequence[Any]) -> Any:
        marked = [dataclasses.replace(i, dataref=f"{i.dataref}?for={names[i.case]}") for i in items]
        return await publish(session, marked)

    store._record, store.publish_all = noting, telling


def _b14_input_in_a_log_line() -> None:
    from case_service import pushes as typed

    pushes: Any = typed
    right = pushes.snapshot_of

    def snapshot_of(source: str, ref: str, body: Any) -> Any:
        print(f"took {ref}: {body}", flush=True)
        return right(source, ref, body)

    pushes.snapshot_of = snapshot_of


def _b15_known_when_the_log_was_read() -> None:
    """To have read the log to its end is taken for knowing everything, whatever the sender still has in its outbox."""
    from notification_service import knowledge
    from service_kit.database import instant

    async def look(hub: Any, horizon: Any) -> None:
        if not await horizon.bus.lag(horizon.group, [horizon.topic]):
            async with hub.db.read() as session:
                at = await instant(session, hub.clock)
            await knowledge._note(hub, at)

    knowledge.look = look


PLANT: dict[str, Callable[[], None]] = {
    "B01": _b01_auto_commit,
    "B02": _b02_watermark,
    "B03": _b03_no_check_at_sending,
    "B04": _b04_now_in_a_projection,
    "B05": _b05_redirects_followed,
    "B06": _b06_commit_after_the_answer,
    "B07": _b07_inbox_row_apart_from_the_effect,
    "B08": _b08_two_relays,
    "B09": _b09_new_id_per_attempt,
    "B10": _b10_mark_without_token,
    "B11": _b11_last_sequence_forgotten,
    "B12": _b12_poison_skipped,
    "B13": _b13_a_name_in_an_event,
    "B14": _b14_input_in_a_log_line,
    "B15": _b15_known_when_the_log_was_read,
}


def main() -> None:
    """Run a command of a service with the bug that the environment names."""
    PLANT[os.environ["PLANTED"]]()
    module, *sys.argv[1:] = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=False)


def pytest_configure(config: pytest.Config) -> None:
    """Plant the bug that the environment names."""
    if name := os.environ.get("PLANTED"):
        PLANT[name]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remember how it ended."""
    session.config.stash[_ENDED] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process for certain: a test that turned red may have left a thread behind."""
    sys.stdout.flush()
    os._exit(config.stash.get(_ENDED, 3))


if __name__ == "__main__":
    main()
