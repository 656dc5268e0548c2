"""NDJSON in and out: lines in chunks for set-based work, results back in the order of the lines."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from case_service.bodies import REF
from service_kit.api import NDJSON, Line, ndjson
from service_kit.context import Context
from service_kit.database import Unavailable
from service_kit.problems import Refusal, problem_document

log = structlog.get_logger(__name__)
CHUNK = 500
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Item(Generic[B]):
    """A line that was read: its body, or why it is refused. `name` identifies it in the result: the reference of a
    case, the URN of an institution; None if the line has none that looks like one."""

    number: int
    body: B | None = None
    refusal: Refusal | None = None
    name: str | None = None


Outcome = dict[str, Any] | Refusal
"""What became of an item: the fields of its result line, or why it was refused."""
Take = Callable[[AsyncSession, Sequence[B]], Awaitable[list[Outcome]]]
"""Stores the bodies of a chunk in the transaction it is given; one outcome for each, in order."""


@dataclass(frozen=True, slots=True)
class Intake(Generic[B]):
    """What the lines of a request are and what is done with them: the field that identifies a line, how its parsed JSON
    is read (which may refuse), what may come once in a chunk only, and how a chunk is stored."""

    named: str
    read: Callable[[Any], B]
    key: Callable[[B], Hashable]
    take: Take[B]


class Results(StreamingResponse):
    """A streamed answer to a streamed request. It leaves `receive` to the body: Starlette would listen there for a
    disconnect and take away lines that are still to be read."""

    media_type = NDJSON

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.stream_response(send)


def _read(line: Line, intake: Intake[B]) -> Item[B]:
    if line.refusal is not None:
        return Item(line.number, refusal=line.refusal)
    name = _name(line.value, intake.named)
    try:
        return Item(line.number, intake.read(line.value), name=name)
    except Refusal as refusal:
        return Item(line.number, refusal=refusal, name=name)


def _name(value: Any, named: str) -> str | None:
    """The identifying field, if it has the form of a reference: any other text is input and stays out."""
    found = value.get(named) if isinstance(value, dict) else None
    return found if isinstance(found, str) and REF.fullmatch(found) else None


async def _chunks(lines: AsyncIterator[Line], intake: Intake[B]) -> AsyncIterator[list[Item[B]]]:
    """Items in chunks of up to `CHUNK`; a key that comes again begins a new chunk, so order within a key holds."""
    held: list[Item[B]] = []
    keys: set[Hashable] = set()
    async for line in lines:
        item = _read(line, intake)
        key = intake.key(item.body) if item.body is not None else None
        if len(held) >= CHUNK or (key is not None and key in keys):
            yield held
            held, keys = [], set()
        held.append(item)
        if key is not None:
            keys.add(key)
    if held:
        yield held


async def process(ctx: Context, intake: Intake[B]) -> AsyncIterator[bytes]:
    """Read the request's lines, take them a chunk to a transaction, and answer each in its place."""
    async for items in _chunks(ndjson(ctx.request), intake):
        outcomes = await _guarded(ctx, items, intake.take)
        lines = zip(items, outcomes, strict=True)
        yield b"".join(
            _result(item, outcome, intake.named, ctx.settings.public_url) for item, outcome in lines
        )


async def _guarded(ctx: Context, items: list[Item[B]], take: Take[B]) -> list[Outcome]:
    """A chunk that fails as a whole is taken again line by line, so that the line at fault harms no other."""
    try:
        return await _taken(ctx, items, take)
    except Unavailable:
        return [item.refusal or Refusal("unavailable") for item in items]
    except Exception as error:
        log.warning("a chunk failed; taking its lines one by one", error=type(error).__name__)
        return [await _alone(ctx, item, take) for item in items]


async def _alone(ctx: Context, item: Item[B], take: Take[B]) -> Outcome:
    try:
        return (await _taken(ctx, [item], take))[0]
    except Unavailable:
        return Refusal("unavailable")
    except Exception as error:
        log.error("a line could not be applied", line=item.number, error=type(error).__name__)
        return Refusal("internal")


async def _taken(ctx: Context, items: list[Item[B]], take: Take[B]) -> list[Outcome]:
    async with ctx.db.write() as session:
        outcomes = iter(await take(session, [item.body for item in items if item.body is not None]))
    return [item.refusal or next(outcomes) for item in items]


def _result(item: Item[Any], outcome: Outcome, named: str, public_url: str) -> bytes:
    document: dict[str, Any] = {"line": item.number, named: item.name}
    if isinstance(outcome, Refusal):
        document |= {"status": "rejected", "problem": problem_document(outcome, public_url)}
    else:
        document |= outcome
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
