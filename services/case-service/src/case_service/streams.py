"""NDJSON in and out: lines in chunks for set-based work, results back in the order of the lines."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from case_service.bodies import REF
from service_kit.api import NDJSON, Line, ndjson
from service_kit.context import Context
from service_kit.database import Crossed, Unavailable
from service_kit.failpoints import failpoint
from service_kit.problems import Refusal, problem_document

log = structlog.get_logger(__name__)
CHUNK = 500
B = TypeVar("B")


Outcome = dict[str, Any] | Refusal
"""What became of an item: the fields of its result line, or why it was refused."""
Take = Callable[[AsyncSession, Sequence[B]], Awaitable[list[Outcome]]]
"""Stores the bodies of a chunk in the transaction it is given; one outcome for each, in order."""


@dataclass(frozen=True, slots=True)
class Item(Generic[B]):
    """A line and what is known of it: its body, still to be taken, or already its outcome. `name` identifies it in the
    result: the reference of a case, the URN of an institution; None if the line has none that looks like one."""

    number: int
    name: str | None = None
    body: B | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Recognised:
    """A line that changes nothing, known without reading it: what it is about, its name and its outcome."""

    key: Hashable
    name: str
    outcome: Outcome


Recognise = Callable[[Sequence[Line]], Awaitable[Mapping[int, Recognised]]]
"""Which lines are the very ones that were taken last, by their numbers."""


async def _nothing(_: Sequence[Line]) -> Mapping[int, Recognised]:
    return {}


@dataclass(frozen=True, slots=True)
class Intake(Generic[B]):
    """What the lines of a request are and what is done with them: the field that identifies a line, how its document is
    read (which may refuse), what may come once in a transaction only, and how bodies are stored."""

    named: str
    read: Callable[[Any, Line], B]
    key: Callable[[B], Hashable]
    take: Take[B]
    recognise: Recognise = _nothing


class Results(StreamingResponse):
    """A streamed answer to a streamed request. It leaves `receive` to the body: Starlette would listen there for a
    disconnect and take away lines that are still to be read."""

    media_type = NDJSON

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.stream_response(send)


async def process(ctx: Context, intake: Intake[B]) -> AsyncIterator[bytes]:
    """Read the request's lines, take them some hundred to a transaction, and answer each in its place."""
    async for lines in _chunks(ndjson(ctx.request)):
        known = await intake.recognise(lines)
        for items in _rounds(lines, known, intake):
            outcomes = await _guarded(ctx, items, intake.take)
            failpoint("import.mid_file")
            results = zip(items, outcomes, strict=True)
            yield b"".join(
                _result(item, outcome, intake.named, ctx.settings.public_url) for item, outcome in results
            )


async def _chunks(lines: AsyncIterator[Line]) -> AsyncIterator[list[Line]]:
    held: list[Line] = []
    async for line in lines:
        held.append(line)
        if len(held) >= CHUNK:
            yield held
            held = []
    if held:
        yield held


def _rounds(
    lines: Sequence[Line], known: Mapping[int, Recognised], intake: Intake[B]
) -> Iterator[list[Item[B]]]:
    """The items of a chunk, cut before a key that comes again, so that order within a key holds. A line recognised at
    the beginning of the chunk is read all the same where an earlier one of it was about the same."""
    held: list[Item[B]] = []
    keys: set[Hashable] = set()
    touched: set[Hashable] = set()
    for line in lines:
        found = known.get(line.number)
        if found is not None and found.key not in touched:
            held.append(Item(line.number, found.name, outcome=found.outcome))
            continue
        item = _read(line, intake)
        if item.body is not None:
            key = intake.key(item.body)
            if key in keys:
                yield held
                held, keys = [], set()
            keys.add(key)
            touched.add(key)
        held.append(item)
    yield held


def _read(line: Line, intake: Intake[B]) -> Item[B]:
    name = None
    try:
        document = line.value()
        name = _name(document, intake.named)
        return Item(line.number, name, intake.read(document, line))
    except Refusal as refusal:
        return Item(line.number, name, outcome=refusal)


def _name(value: Any, named: str) -> str | None:
    """The identifying field, if it has the form of a reference: any other text is input and stays out."""
    found = value.get(named) if isinstance(value, dict) else None
    return found if isinstance(found, str) and REF.fullmatch(found) else None


async def _guarded(ctx: Context, items: list[Item[B]], take: Take[B]) -> list[Outcome]:
    """A chunk that fails as a whole is taken again line by line, so that the line at fault harms no other."""
    try:
        return await _again_if_crossed(ctx, items, take)
    except Unavailable:
        return [item.outcome or Refusal("unavailable") for item in items]
    except Exception as error:
        log.warning("a chunk failed; taking its lines one by one", error=type(error).__name__)
        return [await _alone(ctx, item, take) for item in items]


async def _alone(ctx: Context, item: Item[B], take: Take[B]) -> Outcome:
    try:
        return (await _again_if_crossed(ctx, [item], take))[0]
    except Unavailable:
        return Refusal("unavailable")
    except Exception as error:
        log.error("a line could not be applied", line=item.number, error=type(error).__name__)
        return Refusal("internal")


async def _again_if_crossed(ctx: Context, items: list[Item[B]], take: Take[B]) -> list[Outcome]:
    try:
        return await _taken(ctx, items, take)
    except (IntegrityError, Crossed):
        # Another request was quicker with one of these: what it stored can be seen now.
        return await _taken(ctx, items, take)


async def _taken(ctx: Context, items: list[Item[B]], take: Take[B]) -> list[Outcome]:
    bodies = [item.body for item in items if item.body is not None]
    outcomes = iter(await _stored(ctx, bodies, take))
    return [item.outcome or next(outcomes) for item in items]


async def _stored(ctx: Context, bodies: list[B], take: Take[B]) -> list[Outcome]:
    if not bodies:
        return []
    async with ctx.db.write() as session:
        return await take(session, bodies)


def _result(item: Item[Any], outcome: Outcome, named: str, public_url: str) -> bytes:
    document: dict[str, Any] = {"line": item.number, named: item.name}
    if isinstance(outcome, Refusal):
        document |= {"status": "rejected", "problem": problem_document(outcome, public_url)}
    else:
        document |= outcome
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
