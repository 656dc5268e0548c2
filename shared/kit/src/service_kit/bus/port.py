"""The bus: an append-only log of keyed messages, one position per consumer group.

Two implementations, chosen by URL: the SQLite event log (`log_bus`) and Apache Kafka (`kafka_bus`). One conformance
suite (tests/conformance) holds both to this contract:

* messages of one key are fetched in the order in which they were published;
* a group's fetched but uncommitted messages are fetched again after a crash; committed ones are not;
* groups do not affect one another; a new group starts at the beginning;
* members of a group share the keys; a key has one reader at a time;
* a sender's latest mark says up to which instant all it has written is in the log, and stays when the log is idle.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

Place = tuple[str, int]  # topic, partition


class BusAway(Exception):
    """The log cannot be asked just now."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is published: key = case id, so that all events of a case stay in order."""

    topic: str
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """What is fetched: a message with its place in the log. Key and value are as found, never trusted."""

    topic: str
    partition: int
    offset: int
    key: str | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A sender's word: all that it wrote to a topic before `until` lies before these ends (partition to place)."""

    until: datetime
    ends: Mapping[int, int]


class Consumer(Protocol):
    """One member of a consumer group."""

    async def fetch(self, limit: int = ..., wait: float = 1.0) -> list[Record]:
        """Up to `limit` records (by default what suits the bus) after the group's position, waiting at most `wait`
        seconds for the first."""
        ...

    async def commit(self, records: Sequence[Record]) -> None:
        """Move the group's position behind these records. A member that lost a partition in the meantime commits
        nothing there: the records will be fetched again by whoever has it now."""
        ...


class Bus(Protocol):
    """The log."""

    async def publish(self, messages: Sequence[Message]) -> list[str | None]:
        """Append in order and return when all are stored: None per message, or why it was refused for good (then
        the later messages of its key in this call are refused too, so that no order is lost). Raises on an outage:
        some of the messages may have been stored."""
        ...

    def consumer(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Consumer]:
        """Join a group."""
        ...

    def read_all(
        self, topics: Sequence[str], *, after: Mapping[Place, int] | None = None
    ) -> AsyncIterator[list[Record]]:
        """All records up to the ends as they are now, outside of any group; per key in order. `after`: how far an
        earlier call came, the last offset read in each partition, to go on behind it."""
        ...

    async def lag(self, group: str, topics: Sequence[str]) -> int:
        """How many records the group has not committed."""
        ...

    async def vouch(self, topic: str, until: datetime) -> None:
        """Leave a mark: all that was written to `topic` before `until` has been published. For its sender alone, and
        no record of the log: readers and rebuilds do not see it. Raises `BusAway`."""
        ...

    async def vouched(self, topic: str) -> Mark | None:
        """The latest mark of a topic. Raises `BusAway`."""
        ...

    async def positions(self, group: str, topic: str) -> dict[int, int]:
        """The group's committed places, to be compared with the ends of a mark: it has taken a partition up to an end
        when its place is not smaller; 0 where it has none. Raises `BusAway`."""
        ...

    async def close(self) -> None: ...


MAX_MESSAGE_BYTES = 64 * 1024


def refuse(messages: Sequence[Message]) -> list[str | None]:
    """The refusals of `publish`: too long a message, and whatever follows it under its key."""
    refused: set[str] = set()
    answers: list[str | None] = []
    for message in messages:
        if len(message.value) > MAX_MESSAGE_BYTES:
            refused.add(message.key)
            answers.append("too large")
        else:
            answers.append("behind a refused message" if message.key in refused else None)
    return answers
