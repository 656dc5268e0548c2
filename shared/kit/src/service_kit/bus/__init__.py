"""The bus, chosen by URL: `kafka://host:port[,host:port][?prefix=…]`, or `sqlite:///path/to/file` for the SQLite event log."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

from service_kit.bus.horizon import Horizon
from service_kit.bus.log_bus import LogBus
from service_kit.bus.port import Bus, BusAway, Consumer, Mark, Message, Record

__all__ = ["Bus", "BusAway", "Consumer", "Horizon", "Mark", "Message", "Record", "open_bus"]


def open_bus(url: str) -> Bus:
    """The bus behind a URL. Raises ValueError for another scheme."""
    scheme, _, rest = url.partition("://")
    if scheme == "kafka":
        from service_kit.bus.kafka_bus import KafkaBus  # 2 MB that the embedded mode does without

        servers, _, query = rest.partition("?")
        return KafkaBus(servers, prefix=dict(parse_qsl(query)).get("prefix", ""))
    if scheme == "sqlite":
        return LogBus(Path(rest))
    raise ValueError("BUS_URL begins with kafka:// or sqlite://")
