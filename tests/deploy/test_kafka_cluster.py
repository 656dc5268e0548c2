"""Three brokers as plain processes: what they acknowledged survives the loss of any one of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from deploy.kafka import cluster
from deploy.kafka.topics import declared, provision
from deploy.up import compose
from tests.rig.kafka import Kafka

pytestmark = pytest.mark.kafka


async def test_one_of_three_may_die(own_kafka: Callable[..., Kafka]) -> None:
    kafka = own_kafka(nodes=3)
    if not kafka.real:
        pytest.skip("the mock cluster does not elect leaders")
    await provision(kafka.bootstrap)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    async with asyncio.timeout(60):
        for n in range(60):
            if n == 20:
                await asyncio.to_thread(kafka.kill9, 2)
            if n == 40:
                await asyncio.to_thread(kafka.restart, 2)
            await producer.send_and_wait("ehcp.cases", str(n).encode(), key=b"one case")
        await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition("ehcp.cases", p) for p in range(declared()[0].partitions)])
    async with asyncio.timeout(30):
        records = [await consumer.getone() for _ in range(60)]
        await consumer.stop()
    assert [int(record.value) for record in records] == list(range(60))
    assert len({record.partition for record in records}) == 1


def test_compose_runs_the_version_that_the_tests_run() -> None:
    pom = (cluster.SCRIPT.parent / "pom.xml").read_text()
    (version,) = re.findall(r"<kafka.version>(.+)</kafka.version>", pom)
    assert compose.read()["kafka"].image == f"apache/kafka:{version}"


def test_the_pom_names_no_repository() -> None:
    pom = (cluster.SCRIPT.parent / "pom.xml").read_text()
    assert "<repositor" not in pom
    assert set(re.findall(r"https?://[^\s\"<]+", pom)) <= {
        "http://maven.apache.org/POM/4.0.0",
        "http://www.w3.org/2001/XMLSchema-instance",
        "https://maven.apache.org/xsd/maven-4.0.0.xsd",
    }


def test_the_jars_are_not_committed() -> None:
    ignored = (Path(__file__).parents[2] / ".gitignore").read_text().splitlines()
    assert "deploy/kafka/libs/" in ignored
