"""What a route hands to a command: the caller, the clock, and one way to read, to write and to answer.

`write()` is the transaction of a change. It claims the `Idempotency-Key`, and the answer given with `Tx.answer` is
stored with the change: whoever repeats the request gets that answer again, never a second effect. The transaction is
committed before the answer leaves.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache, lru_cache
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Table, and_, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import Event
from service_kit import access, outbox
from service_kit.access import Caller
from service_kit.clock import Clock
from service_kit.database import Database, Transaction, Unavailable
from service_kit.failpoints import failpoint
from service_kit.lists import Listing
from service_kit.paging import PageRequest
from service_kit.prepared import Prepared
from service_kit.problems import Refusal
from service_kit.settings import Settings

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Answered(Exception):
    """This request was answered before; carries the stored answer."""

    def __init__(self, response: Response) -> None:
        self.response = response


def answer(
    status: int,
    model: BaseModel | None,
    *,
    etag: int | str | None = None,
    location: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer rendered once by pydantic. `etag` is the version of the thing answered."""
    body = b"" if model is None else _rendered(model)
    response = Response(body, status, media_type="application/json" if model is not None else None)
    if etag is not None:
        response.headers["ETag"] = f'"{etag}"'
    if location is not None:
        response.headers["Location"] = location
    response.headers.update(headers or {})
    return response


def _rendered(model: BaseModel) -> bytes:
    return model.model_dump_json(by_alias=True).encode()


class Tx:
    """An open change: its transaction, what it publishes, and what it will answer."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.fetch = transaction.fetch
        self.response: Response | None = None
        self.kept = b""

    @property
    def session(self) -> AsyncSession:
        return self._transaction.session

    async def publish(self, event: Event, *, case: UUID, la: str, dataref: str | None = None) -> UUID:
        """Write an event to the outbox in this transaction; returns its id."""
        return await outbox.publish(self._transaction, event, case=case, la=la, dataref=dataref)

    def answer(
        self,
        status: int,
        model: BaseModel | None,
        *,
        etag: int | str | None = None,
        location: str | None = None,
        headers: Mapping[str, str] | None = None,
        stored: BaseModel | None = None,
    ) -> Response:
        """The answer to the request, stored with the change when the request carried a key. `stored`: what to keep and
        to give on a repeat instead, for an answer with a secret that is shown once."""
        self.response = answer(status, model, etag=etag, location=location, headers=headers)
        self.kept = bytes(self.response.body) if stored is None else _rendered(stored)
        return self.response


class Context:
    """A request as a command sees it."""

    def __init__(self, request: Request) -> None:
        running = request.app.state.running
        self.request = request
        self.db: Database = running.hub.db
        self.clock: Clock = running.hub.clock
        self.settings: Settings = running.hub.settings
        self.caller: Caller = request.state.caller
        self.action: str = request.state.action
        self._idempotent: bool = request.state.idempotency and request.method == "POST"
        self._scopes = running.service.scopes
        self._in_flight: set[tuple[str, str]] = running.in_flight

    def visible(self, table: type[Any]) -> ColumnElement[bool]:
        """The rows of `table` that this caller may touch with this action, as a condition for the WHERE."""
        return access.visible(self.caller, self.action, self._scopes, table)

    def match(self, version: int | str) -> None:
        """Hold `If-Match` against the version found. PUT and PATCH must send it; others may."""
        wanted = self.request.headers.get("If-Match")
        if wanted is None:
            if self.request.method in ("PUT", "PATCH"):
                raise Refusal("precondition-required", "Send If-Match with the ETag you last read.")
            return
        tags = [tag.strip().removeprefix("W/") for tag in wanted.split(",")]
        if f'"{version}"' not in tags and "*" not in tags:
            raise Refusal("stale-version", "Somebody changed this since you read it. Read it again.")

    def answer(
        self,
        status: int,
        model: BaseModel | None,
        *,
        etag: int | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """An answer to a reading request."""
        return answer(status, model, etag=etag, headers=headers)

    async def page(
        self, listing: Listing, paging: PageRequest, filters: Mapping[str, Any], **values: Any
    ) -> Response:
        """A page that the database writes, of the rows that this caller may see. `filters` are values by filter, None
        for one that is not asked for; `values` those of other parameters in the listing's expressions."""
        asked = {name: value for name, value in filters.items() if value is not None}
        statement = listing.statement(self.caller, self.action, asked, paging)
        rows = await self.db.fetch(statement, {**asked, **values, **paging.behind(len(listing.order))})
        return Response(paging.written(rows), media_type="application/json")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session for reading."""
        async with self.db.read() as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Tx]:
        """The transaction of a change. On a POST the block must give its answer with `Tx.answer`.

        A repeated request runs again until its key is found taken (or until it is refused, because the first one had
        its effect); then everything of it is undone, and the first answer is given.
        """
        key = self._key()
        if key is None:
            async with self.db.transaction() as open:
                yield Tx(open)
                failpoint("api.before_commit")
        else:
            async with self._only_one(key):
                digest = await self._digest()
                try:
                    async with self.db.transaction() as open:
                        tx = Tx(open)
                        yield tx
                        await self._keep(tx, key, digest)
                        failpoint("api.before_commit")
                except Unavailable:
                    raise  # to ask it whether it knows the key would take as long again
                except Exception:
                    await self._replay(key, digest)
                    raise
        failpoint("api.after_commit_before_response")

    def _key(self) -> tuple[str, str] | None:
        if not self._idempotent:
            return None
        key = self.request.headers.get("Idempotency-Key", "")
        if not _KEY.fullmatch(key):
            raise Refusal("bad-parameter", "Send an Idempotency-Key of 1 to 255 visible ASCII characters.")
        return _whose(self.caller), key

    @asynccontextmanager
    async def _only_one(self, key: tuple[str, str]) -> AsyncIterator[None]:
        if key in self._in_flight:
            raise _in_progress()
        self._in_flight.add(key)
        try:
            yield
        finally:
            self._in_flight.discard(key)

    async def _digest(self) -> bytes:
        what = f"{self.request.method} {self.request.url.path}?{self.request.url.query}\n".encode()
        return hashlib.sha256(what + await self.request.body()).digest()

    async def _replay(self, key: tuple[str, str], digest: bytes) -> None:
        """Raises `Answered` if the request was answered before, and `Refusal` if the key stands for another request."""
        query = _kept_answer(self.db.tables["idempotency"])
        found = await self.db.fetch(query, {"caller": key[0], "key": key[1]})
        if not found:
            return
        kept, status, headers, body = found[0]
        if kept != digest:
            raise Refusal("idempotency-mismatch", "This Idempotency-Key was used for another request.")
        raise Answered(Response(body, status, {**headers, "Idempotent-Replayed": "true"}))

    async def _keep(self, tx: Tx, key: tuple[str, str], digest: bytes) -> None:
        if tx.response is None:
            raise RuntimeError("a POST must answer within its transaction")
        kept = {k: v for k, v in tx.response.headers.items() if k in ("content-type", "etag", "location")}
        values = {
            "caller": key[0],
            "key": key[1],
            "digest": digest,
            "status": tx.response.status_code,
            "headers": kept,
            "body": tx.kept,
            "answered_at": self.clock.now(),
        }
        # Where another replica has the same request in hand, this waits for it to end.
        keep = _keep_answer(self.db.tables["idempotency"], self.db.is_sqlite)
        if not await tx.fetch(keep, values):
            raise _in_progress()


@lru_cache(maxsize=1_000)
def _whose(caller: Caller) -> str:
    """Whose key it is: the whole of the caller's rights, so that nobody who may see less (the same client for another
    school or council) is given a stored answer. A digest, as no part may be cut off."""
    rights = [caller.role, caller.org_id, sorted(caller.las), caller.subject]
    return hashlib.sha256(json.dumps(rights).encode()).hexdigest()


@cache
def _kept_answer(table: Table) -> Prepared:
    same = and_(table.c.caller == bindparam("caller"), table.c.key == bindparam("key"))
    return Prepared(select(table.c.digest, table.c.status, table.c.headers, table.c.body).where(same))


@cache
def _keep_answer(table: Table, is_sqlite: bool) -> Prepared:
    """Returns a row if the key was still free."""
    insert = (sqlite if is_sqlite else postgresql).insert(table)
    return Prepared(insert.on_conflict_do_nothing().returning(table.c.status), *table.c.keys())


def _in_progress() -> Refusal:
    return Refusal("in-progress", "The same request is being carried out.", headers={"Retry-After": "1"})


async def _context(request: Request) -> Context:  # async: FastAPI would give a plain function to a thread
    return Context(request)


Ctx = Annotated[Context, Depends(_context)]
