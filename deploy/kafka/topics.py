"""Make the topics of `topics.toml`, or refuse a broker where one of them stands otherwise.

    python deploy/kafka/topics.py [--fewer-replicas]      the broker is named by BUS_URL

Running it again changes nothing. A topic that exists with another number of partitions, with compaction or
with a retention that ends is not mended but refused: each of these loses or reorders events, and the way out
(a new topic and a replay) is a person's decision.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, for_code

FILE = Path(__file__).with_name("topics.toml")
_EXISTS = 36
_NOT_CONTROLLER = 41


class TopicMismatch(Exception):
    """A topic exists and is not as it must be."""


@dataclass(frozen=True)
class Topic:
    """One topic as the file wants it; `settings` are Kafka's own names with values as Kafka prints them."""

    name: str
    partitions: int
    replication: int
    settings: dict[str, str]


def declared(file: Path = FILE) -> tuple[Topic, ...]:
    """The topics of the file, the defaults of `[topic]` filled in."""
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    base = document["topic"]

    def topic(name: str, own: dict[str, Any]) -> Topic:
        settings = base["settings"] | own.get("settings", {})
        return Topic(
            name,
            own.get("partitions", base["partitions"]),
            own.get("replication", base["replication"]),
            {key: _as_kafka_prints(value) for key, value in settings.items()},
        )

    return tuple(topic(name, own) for name, own in document["topics"].items())


def _as_kafka_prints(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def renamed(topics: Sequence[Topic], prefix: str) -> tuple[Topic, ...]:
    """The same topics under a prefix, for tests that share a broker."""
    return tuple(replace(topic, name=prefix + topic.name) for topic in topics)


def bootstrap_of(bus_url: str) -> str:
    """`kafka://host:port,host:port` as clients of Kafka want it: `host:port,host:port`."""
    scheme, _, rest = bus_url.partition("://")
    if scheme != "kafka" or not rest:
        raise ValueError("BUS_URL must look like kafka://host:port[,host:port]")
    return rest.partition("?")[0].rstrip("/")


async def provision(
    bootstrap: str,
    topics: Sequence[Topic] | None = None,
    *,
    fewer_replicas: bool = False,
    patience: float = 60,
) -> list[str]:
    """Create what is missing, check everything, and return the names of the topics that were created.

    `fewer_replicas` accepts a broker that stands alone (a trial, a test); otherwise too few brokers are
    refused. Waits up to `patience` seconds for a broker to answer. Raises `TopicMismatch` with every
    difference found.
    """
    wanted = declared() if topics is None else topics
    async with asyncio.timeout(patience):
        admin = await _connected(bootstrap)
        try:
            brokers = len((await admin.describe_cluster())["brokers"])
            if fewer_replicas:
                wanted = [_within(topic, brokers) for topic in wanted]
            created = await _create(admin, wanted)
            found = await _visible(admin, [topic.name for topic in wanted])
            settings = await _settings(admin, [topic.name for topic in wanted])
        finally:
            await admin.close()
    differences = [
        line for topic in wanted for line in _differences(topic, found[topic.name], settings[topic.name])
    ]
    if differences:
        raise TopicMismatch("\n".join(differences))
    return created


def _within(topic: Topic, brokers: int) -> Topic:
    """The topic with no more copies than there are brokers."""
    copies = min(topic.replication, brokers)
    insync = min(int(topic.settings["min.insync.replicas"]), copies)
    return replace(topic, replication=copies, settings=topic.settings | {"min.insync.replicas": str(insync)})


async def _connected(bootstrap: str) -> AIOKafkaAdminClient:
    """An admin client of a broker that answers; the caller's deadline ends the waiting."""
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
        try:
            await admin.start()
            return admin
        except KafkaConnectionError:
            await admin.close()
            await asyncio.sleep(0.2)


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> list[str]:
    """Ask for every topic; that one exists already is an answer, not a failure."""
    created: list[str] = []
    pending = list(topics)
    while pending:
        request = [NewTopic(t.name, t.partitions, t.replication, topic_configs=t.settings) for t in pending]
        answer = await admin.create_topics(request)
        pending = []
        for name, code, *detail in answer.topic_errors:
            if code == _NOT_CONTROLLER:
                pending += [topic for topic in topics if topic.name == name]
            elif code not in (0, _EXISTS):
                reason = detail[0] if detail else for_code(code).__name__
                raise TopicMismatch(f"{name}: not created: {reason}")
            elif code == 0:
                created.append(name)
    return created


async def _visible(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The topics' metadata, once every partition of them has a leader."""
    while True:
        found = {topic["topic"]: topic for topic in await admin.describe_topics(list(names))}
        if all(
            name in found
            and found[name]["error_code"] == 0
            and found[name]["partitions"]
            and all(partition["leader"] >= 0 for partition in found[name]["partitions"])
            for name in names
        ):
            return found
        await asyncio.sleep(0.05)


async def _settings(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The topics' settings, once the broker that is asked knows all of them: one that has only just heard of a topic,
    or not yet, answers with an error code and without any settings."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    while True:
        found = [one for answer in await admin.describe_configs(resources) for one in answer.resources]
        for code, _, _, name, _ in found:
            if code and not for_code(code).retriable:
                raise TopicMismatch(f"{name}: settings not told: {for_code(code).__name__}")
        if not any(code for code, *_ in found):
            return {name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in found}
        await asyncio.sleep(0.05)


def _differences(topic: Topic, found: dict[str, Any], settings: dict[str, str]) -> list[str]:
    partitions = len(found["partitions"])
    copies = min(len(partition["replicas"]) for partition in found["partitions"])
    lines = []
    if partitions != topic.partitions:
        lines.append(f"{topic.name}: {partitions} partitions, must be {topic.partitions}")
    if copies < topic.replication:
        lines.append(f"{topic.name}: {copies} replicas, must be {topic.replication}")
    lines += [
        f"{topic.name}: {key} is {settings.get(key)}, must be {value}"
        for key, value in topic.settings.items()
        if settings.get(key) != value
    ]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fewer-replicas", action="store_true", help="accept a broker that stands alone")
    arguments = parser.parse_args()
    try:
        bootstrap = bootstrap_of(os.environ.get("BUS_URL", ""))
        created = asyncio.run(provision(bootstrap, fewer_replicas=arguments.fewer_replicas))
    except (TopicMismatch, ValueError) as refusal:
        sys.stderr.write(f"topics: {refusal}\n")
        return 1
    except TimeoutError:
        sys.stderr.write("topics: no broker answered in time\n")
        return 1
    names = ", ".join(topic.name for topic in declared())
    sys.stdout.write(f"topics: {names}; created: {', '.join(created) or 'none'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
