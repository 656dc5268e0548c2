"""The topics stand as one file says, and a broker where they stand otherwise is refused."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource
from deploy.kafka import topics
from deploy.kafka.topics import Topic, TopicMismatch, bootstrap_of, declared, provision, renamed
from tests.rig.kafka import Kafka

pytestmark = pytest.mark.kafka


@pytest.fixture
def broker(kafka: Kafka) -> str:
    if not kafka.real:
        pytest.skip("the mock cluster knows neither topic settings nor an admin client")
    return kafka.bootstrap


def _as_one_broker_has_it(topic: Topic) -> Topic:
    return replace(topic, replication=1, settings=topic.settings | {"min.insync.replicas": "1"})


async def _create(broker: str, topic: Topic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        new = NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=topic.settings)
        await admin.create_topics([new])
    finally:
        await admin.close()


def test_three_topics_keep_every_event_on_six_partitions_and_two_brokers() -> None:
    assert {topic.name for topic in declared()} == {"ehcp.cases", "ehcp.reviews", "ehcp.notifications"}
    for topic in declared():
        assert topic.partitions == 6
        assert topic.replication == 3
        assert topic.settings["cleanup.policy"] == "delete"
        assert topic.settings["retention.ms"] == topic.settings["retention.bytes"] == "-1"
        assert topic.settings["min.insync.replicas"] == "2"
        assert int(topic.settings["max.message.bytes"]) >= 4 * 16 * 1024


def test_the_file_names_nothing_that_is_not_read() -> None:
    document = tomllib.loads(topics.FILE.read_text())
    assert set(document) == {"topic", "topics"}
    assert set(document["topic"]) == {"partitions", "replication", "settings"}


async def test_provisioning_creates_once_and_then_changes_nothing(
    broker: str, unique: Callable[[str], str]
) -> None:
    wanted = renamed(declared(), unique("twice") + ".")
    assert set(await provision(broker, wanted, fewer_replicas=True)) == {topic.name for topic in wanted}
    assert await provision(broker, wanted, fewer_replicas=True) == []


async def test_a_broker_alone_is_refused_unless_that_is_wished(
    broker: str, unique: Callable[[str], str]
) -> None:
    with pytest.raises(TopicMismatch, match="not created"):
        await provision(broker, renamed(declared(), unique("alone") + "."))


@pytest.mark.parametrize(
    ("differing", "said"),
    [
        ({"partitions": 4}, "4 partitions, must be 6"),
        ({"settings": {"cleanup.policy": "compact"}}, "cleanup.policy is compact, must be delete"),
        ({"settings": {"retention.ms": "604800000"}}, "retention.ms is 604800000, must be -1"),
        ({"settings": {"retention.bytes": "1000"}}, "retention.bytes is 1000, must be -1"),
    ],
)
async def test_a_topic_that_would_lose_or_reorder_events_is_refused(
    broker: str, unique: Callable[[str], str], differing: dict[str, object], said: str
) -> None:
    wanted = _as_one_broker_has_it(renamed(declared(), unique("bad") + ".")[0])
    settings = wanted.settings | differing.get("settings", {})  # type: ignore[operator]
    await _create(broker, replace(wanted, **differing | {"settings": settings}))  # type: ignore[arg-type]
    with pytest.raises(TopicMismatch) as refused:
        await provision(broker, [wanted])
    assert str(refused.value) == f"{wanted.name}: {said}"


class FreshBroker:
    """As much of an admin client as tells settings: the broker behind it first answers with these error codes."""

    def __init__(self, *codes: int) -> None:
        self.codes = [*codes, 0]

    async def describe_configs(self, resources: Sequence[ConfigResource]) -> list[SimpleNamespace]:
        code = self.codes.pop(0)
        told = [] if code else [("retention.ms", "-1", False, 1, False, [])]
        return [SimpleNamespace(resources=[(code, None, 2, resource.name, told) for resource in resources])]


async def test_a_broker_that_has_not_heard_of_a_topic_yet_is_asked_again() -> None:
    """Right after the start of three brokers, one of them answered for topics that another had just created."""
    unknown_topic = 3
    settings = await topics._settings(FreshBroker(unknown_topic, unknown_topic), ["ehcp.cases"])
    assert settings == {"ehcp.cases": {"retention.ms": "-1"}}


async def test_a_broker_that_may_not_tell_settings_is_not_asked_for_ever() -> None:
    not_authorised = 29
    with pytest.raises(TopicMismatch, match="TopicAuthorizationFailed"):
        await topics._settings(FreshBroker(not_authorised), ["ehcp.cases"])


async def test_no_broker_is_said_in_time() -> None:
    with pytest.raises(TimeoutError):
        await provision("127.0.0.1:9", patience=0.5)


@pytest.mark.parametrize(
    ("url", "bootstrap"),
    [("kafka://a:1", "a:1"), ("kafka://a:1,b:2/", "a:1,b:2"), ("kafka://a:1?x=y", "a:1")],
)
def test_a_bus_url_names_the_brokers(url: str, bootstrap: str) -> None:
    assert bootstrap_of(url) == bootstrap


@pytest.mark.parametrize("url", ["", "log://file", "kafka://"])
def test_another_bus_has_no_topics(url: str) -> None:
    with pytest.raises(ValueError, match="BUS_URL"):
        bootstrap_of(url)
