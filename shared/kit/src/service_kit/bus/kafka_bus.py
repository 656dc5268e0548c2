"""The bus on Apache Kafka, through aiokafka with every default that loses data changed (reliability.md, 6.1).

The producer is idempotent with acks from all in-sync replicas. The consumer commits by hand, starts at the earliest
record and gets raw bytes, so that a record that cannot be read does not block its partition. While the broker is away
an idempotent producer may never return: callers put a deadline round `publish` and end their process on expiry.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)

from service_kit.bus.port import MAX_MESSAGE_BYTES, BusAway, Mark, Message, Place, Record, refuse

log = structlog.get_logger(__name__)
ANSWERED_WITHIN_MS = 15_000
"""After which a connection is given up for dead and made anew (aiokafka: 40 s). Longer than a rebalance, in which the broker
lets members wait for one another up to the session timeout."""
ASK_WITHIN = 5.0  # seconds: whoever asks asks again, and a client that hangs is replaced
BATCH = 2000
"""As many records at once, for a consumer has its process to itself: the more of them, the less each costs."""
SILENT_TOO_LONG = 90.0
"""Seconds without any answer of the broker after which a consumer is made anew."""
STOPPED_WITHIN = 5.0
WILL_COME_AGAIN = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
CONSUMER = {
    "enable_auto_commit": False,
    "auto_offset_reset": "earliest",
    "isolation_level": "read_committed",
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 3_000,
    "max_poll_interval_ms": 300_000,
    "fetch_max_wait_ms": 100,
    "request_timeout_ms": ANSWERED_WITHIN_MS,
}


class KafkaBus:
    """The bus contract on a cluster; `servers` is "host:port[,host:port]". `prefix` goes before the names of topics
    and groups, for several hubs on one cluster."""

    def __init__(self, servers: str, *, prefix: str = "", session_timeout_ms: int = 10_000) -> None:
        self.servers, self.prefix = servers, prefix
        self.session_timeout_ms = session_timeout_ms
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._scribes: dict[str, AIOKafkaConsumer] = {}
        self._clerks: dict[str, tuple[AIOKafkaAdminClient, list[TopicPartition]]] = {}
        self._to_close: list[Callable[[], Awaitable[None]]] = []

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self.servers,
                    acks="all",
                    enable_idempotence=True,
                    request_timeout_ms=ANSWERED_WITHIN_MS,
                    linger_ms=0,  # the relay hands over whole batches; waiting for more would only delay a single event
                    max_batch_size=256 * 1024,
                    max_request_size=MAX_MESSAGE_BYTES * 8,
                )
                await producer.start()
                self._producer = producer
            return self._producer

    async def publish(self, messages: Sequence[Message]) -> list[str | None]:
        refusals = refuse(messages)
        producer = await self._started()
        pending = [
            await producer.send(self.prefix + m.topic, m.value, key=m.key.encode())
            for m, refusal in zip(messages, refusals, strict=True)
            if refusal is None
        ]
        await asyncio.gather(*pending)
        return refusals

    @asynccontextmanager
    async def consumer(self, group: str, topics: Sequence[str]) -> AsyncIterator[_KafkaConsumer]:
        settings = CONSUMER | {
            "session_timeout_ms": self.session_timeout_ms,
            "heartbeat_interval_ms": self.session_timeout_ms // 3,
        }
        consumer = AIOKafkaConsumer(
            *(self.prefix + topic for topic in topics),
            bootstrap_servers=self.servers,
            group_id=self.prefix + group,
            **settings,
        )
        try:
            await consumer.start()
            yield _KafkaConsumer(consumer, self.prefix)
        finally:
            await _stop(consumer)

    async def read_all(
        self, topics: Sequence[str], *, after: Mapping[Place, int] | None = None
    ) -> AsyncIterator[list[Record]]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, group_id=None, **CONSUMER)
        await consumer.start()
        try:
            places = await _partitions(consumer, [self.prefix + topic for topic in topics])
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            await consumer.seek_to_beginning(*places)
            for (topic, partition), offset in (after or {}).items():
                consumer.seek(TopicPartition(self.prefix + topic, partition), offset + 1)
            left = {place for place in places if await consumer.position(place) < ends[place]}
            while left:
                fetched = await consumer.getmany(*left, timeout_ms=1000, max_records=BATCH)
                inside = {
                    place: [m for m in found if m.offset < ends[place]] for place, found in fetched.items()
                }
                records = _records(inside, self.prefix)
                if records:
                    yield records
                left = {place for place in left if await consumer.position(place) < ends[place]}
        finally:
            await consumer.stop()

    async def lag(self, group: str, topics: Sequence[str]) -> int:
        # A consumer that only asks: it never subscribes, so it does not join the group.
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, group_id=self.prefix + group, **CONSUMER)
        await consumer.start()
        try:
            places = await _partitions(consumer, [self.prefix + topic for topic in topics])
            consumer.assign(places)
            ends, begins = await consumer.end_offsets(places), await consumer.beginning_offsets(places)
            committed = {place: await consumer.committed(place) for place in places}
            return sum(ends[p] - (begins[p] if (at := committed[p]) is None else at) for p in places)
        finally:
            await consumer.stop()

    # A mark is the committed position of a group that nobody reads in, with the instant as its metadata: Kafka keeps
    # the latest only, beside the log. (Kafka Streams keeps its stream time there.)

    async def vouch(self, topic: str, until: datetime) -> None:
        async with self._asked():
            scribe = await self._scribe(topic)
            ends = await scribe.end_offsets(list(scribe.assignment()))
            await scribe.commit({place: (end, until.isoformat()) for place, end in ends.items()})

    async def vouched(self, topic: str) -> Mark | None:
        async with self._asked():
            places = await self._committed(_marks_of(topic), topic)
        if not places:
            return None
        until = min(datetime.fromisoformat(note) for _, note in places.values())
        return Mark(until, {partition: end for partition, (end, _) in places.items()})

    async def positions(self, group: str, topic: str) -> dict[int, int]:
        async with self._asked():
            places = await self._committed(group, topic)
        return {partition: offset for partition, (offset, _) in places.items()}

    async def _scribe(self, topic: str) -> AIOKafkaConsumer:
        """A consumer that only notes positions: it never subscribes, and fetches nothing."""
        if topic not in self._scribes:
            group = self.prefix + _marks_of(topic)
            scribe = AIOKafkaConsumer(bootstrap_servers=self.servers, group_id=group, **CONSUMER)
            self._to_close.append(scribe.stop)
            await scribe.start()
            places = await _partitions(scribe, [self.prefix + topic])
            if not places:
                raise UnknownTopicOrPartitionError(topic)
            scribe.assign(places)
            scribe.pause(*places)
            self._scribes[topic] = scribe
        return self._scribes[topic]

    async def _committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        admin, places = await self._clerk(topic)
        found = await admin.list_consumer_group_offsets(self.prefix + group, partitions=places)
        return {place.partition: (at.offset, at.metadata) for place, at in found.items() if at.offset >= 0}

    async def _clerk(self, topic: str) -> tuple[AIOKafkaAdminClient, list[TopicPartition]]:
        """A client that only asks, and the partitions of a topic, which never change."""
        if topic not in self._clerks:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
            self._to_close.append(admin.close)
            await admin.start()
            (known,) = await admin.describe_topics([self.prefix + topic])
            places = [TopicPartition(known["topic"], one["partition"]) for one in known["partitions"]]
            if not places:
                raise UnknownTopicOrPartitionError(topic)
            self._clerks[topic] = admin, places
        return self._clerks[topic]

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[None]:
        """A question that must not wait for ever; the clients that had no answer are given up."""
        try:
            async with asyncio.timeout(ASK_WITHIN):
                yield
        except (TimeoutError, KafkaError, OSError) as error:
            await self._give_up_asking()
            raise BusAway from error

    async def _give_up_asking(self) -> None:
        closing, self._to_close = self._to_close, []
        self._scribes.clear()
        self._clerks.clear()
        with suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(ASK_WITHIN):
                await asyncio.gather(*(close() for close in closing))

    async def close(self) -> None:
        await self._give_up_asking()
        if self._producer is not None:
            # An idempotent producer's stop() waits for the broker, for ever if need be.
            try:
                async with asyncio.timeout(5):
                    await self._producer.stop()
            except TimeoutError:
                log.warning("producer did not stop; what it had not sent is still in the outbox")
            self._producer = None


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, whatever state it is in. One that has lost its way waits for ever for the end of its own tasks, or
    raises the `CancelledError` of one of them, which would pass for our own end."""
    stopping = asyncio.create_task(consumer.stop())
    done, _ = await asyncio.wait([stopping], timeout=STOPPED_WITHIN)
    if done and not stopping.cancelled() and stopping.exception() is None:
        return
    log.warning("consumer did not stop; its connections are closed")
    stopping.cancel()
    await asyncio.wait([asyncio.create_task(consumer._client.close())], timeout=STOPPED_WITHIN)


class _KafkaConsumer:
    def __init__(self, consumer: AIOKafkaConsumer, prefix: str) -> None:
        self._consumer, self._prefix = consumer, prefix
        self._silent = 0.0
        self._heard: object = None

    async def fetch(self, limit: int = BATCH, wait: float = 1.0) -> list[Record]:
        began = time.monotonic()
        fetched = await self._consumer.getmany(timeout_ms=int(wait * 1000), max_records=limit)
        self._listen(bool(fetched), time.monotonic() - began)
        return _records(fetched, self._prefix)

    def _listen(self, records: bool, waited: float) -> None:
        """Raise when the broker has not been heard of for too long: a consumer can live on without ever asking again
        (aiokafka 712, 773, 847, 1037), and only a new one helps. It must know its group's coordinator, or it is no member
        any more, whatever it fetches; and every answer to a fetch counts, also an empty one."""
        mine = self._consumer.assignment()
        heard = {place: self._consumer.last_poll_timestamp(place) for place in mine}
        member = self._consumer._coordinator.coordinator_id is not None
        if member and (records or not mine or heard != self._heard):
            self._silent, self._heard = 0.0, heard
            return
        self._silent += waited
        if self._silent > SILENT_TOO_LONG:
            raise ConnectionError("the broker has not been heard of for too long")

    async def commit(self, records: Sequence[Record]) -> None:
        offsets: dict[TopicPartition, int] = {}
        for record in records:
            place = TopicPartition(self._prefix + record.topic, record.partition)
            offsets[place] = max(record.offset + 1, offsets.get(place, 0))
        mine = self._consumer.assignment()
        kept = {place: offset for place, offset in offsets.items() if place in mine}
        if not kept:
            return
        try:
            async with asyncio.timeout(SILENT_TOO_LONG):
                await self._consumer.commit(kept)
        except WILL_COME_AGAIN as error:
            log.info("position not committed; the records will be fetched again", error=type(error).__name__)


def _marks_of(topic: str) -> str:
    """The group whose positions are the marks of a topic."""
    return f"published.{topic}"


async def _partitions(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    await consumer._client.force_metadata_update()
    found = []
    for topic in topics:
        await consumer._client.add_topic(topic)
        for partition in sorted(consumer.partitions_for_topic(topic) or ()):
            found.append(TopicPartition(topic, partition))
    return found


def _records(fetched: Mapping[TopicPartition, Sequence[Any]], prefix: str) -> list[Record]:
    return [
        Record(m.topic.removeprefix(prefix), m.partition, m.offset, _text(m.key), m.value)
        for messages in fetched.values()
        for m in messages
    ]


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="replace")
