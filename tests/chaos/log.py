"""The log, reached with a client that the hub does not use: read it, add to it, ask and move positions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from .evidence import Entry

PATIENCE = 10.0


class Addition(NamedTuple):
    """A record to add under any key, with any value, also none."""

    topic: str
    key: str
    value: bytes | None

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.value or b"").hexdigest()


def read(bootstrap: str, prefix: str, topics: Sequence[str]) -> list[Entry]:
    """Every record of these topics from the first to the end as it is now."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "checker", "enable.auto.commit": False})
    try:
        left: dict[tuple[str, int], int] = {}
        for place in _places(consumer, prefix, topics):
            low, high = consumer.get_watermark_offsets(place, timeout=PATIENCE)
            if high > low:
                left[place.topic, place.partition] = high
        consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in left])
        entries = []
        while left:
            for message in consumer.consume(500, timeout=0.2):
                assert message.error() is None, message.error()
                entry = _entry(message, prefix)
                entries.append(entry)
                where = (prefix + entry.topic, entry.partition)
                if entry.offset + 1 >= left.get(where, 0):
                    left.pop(where, None)
    finally:
        consumer.close()
    return sorted(entries, key=lambda entry: entry[:3])


def _entry(message: Any, prefix: str) -> Entry:
    return Entry(
        message.topic().removeprefix(prefix),
        message.partition(),
        message.offset(),
        (message.key() or b"").decode(),
        message.value() or b"",
        b"\n".join(name.encode() + b": " + (value or b"") for name, value in message.headers() or ()),
    )


def add(bootstrap: str, prefix: str, additions: Iterable[Addition]) -> None:
    """Append records in their order, each to the partition of its key as the hub's own producer would choose it."""
    settings = {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 0}
    producer = Producer(settings)
    for addition in additions:
        producer.produce(prefix + addition.topic, key=addition.key.encode(), value=addition.value)
    if left := producer.flush(PATIENCE):
        raise RuntimeError(f"{left} records were not stored")


def lag(bootstrap: str, prefix: str, group: str, topics: Sequence[str]) -> int:
    """How many records a group has not committed."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": prefix + group})
    try:
        behind = 0
        for place in consumer.committed(_places(consumer, prefix, topics), timeout=PATIENCE):
            low, high = consumer.get_watermark_offsets(place, timeout=PATIENCE)
            behind += high - max(place.offset, low)
        return behind
    finally:
        consumer.close()


def rewind(bootstrap: str, prefix: str, group: str, topics: Sequence[str]) -> None:
    """Let a group begin again at the first record. Nobody may be in it; raises `KafkaException` while somebody is."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": prefix + group})
    try:
        places = [TopicPartition(p.topic, p.partition, 0) for p in _places(consumer, prefix, topics)]
    finally:
        consumer.close()
    wanted = [ConsumerGroupTopicPartitions(prefix + group, places)]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for answer in admin.alter_consumer_group_offsets(wanted).values():
        for place in answer.result(PATIENCE).topic_partitions:
            if place.error:
                raise KafkaException(place.error)


def _places(consumer: Consumer, prefix: str, topics: Sequence[str]) -> list[TopicPartition]:
    found = []
    for topic in topics:
        known = consumer.list_topics(prefix + topic, timeout=PATIENCE).topics[prefix + topic]
        found += [TopicPartition(prefix + topic, partition) for partition in known.partitions]
    return found
