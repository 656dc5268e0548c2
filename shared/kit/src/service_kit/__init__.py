"""What every service needs and none should write twice.

`Service` declares one; everything else a service uses is here by name. What is not exported is the kit's own.
"""

from service_kit.access import Caller, Predicate, allow, public
from service_kit.clock import Clock
from service_kit.context import Context, Ctx, Tx
from service_kit.database import Database, in_chunks, instant, upsert
from service_kit.hub import Hub
from service_kit.ids import uuid7
from service_kit.inbox import Defer, Received
from service_kit.jobs import daily, every, forever
from service_kit.outbox import Outgoing, publish, publish_all
from service_kit.prepared import Prepared
from service_kit.problems import Fault, Refusal
from service_kit.service import Metric, Part, Running, Service
from service_kit.settings import Settings

__all__ = [
    "Caller",
    "Clock",
    "Context",
    "Ctx",
    "Database",
    "Defer",
    "Fault",
    "Hub",
    "Metric",
    "Outgoing",
    "Part",
    "Predicate",
    "Prepared",
    "Received",
    "Refusal",
    "Running",
    "Service",
    "Settings",
    "Tx",
    "allow",
    "daily",
    "every",
    "forever",
    "in_chunks",
    "instant",
    "public",
    "publish",
    "publish_all",
    "upsert",
    "uuid7",
]
