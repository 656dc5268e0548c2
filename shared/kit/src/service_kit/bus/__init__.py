"""The bus, chosen by URL: `kafka://host:port[,host:port]`, or `log:///path/to/file` for the SQLite event log."""

from __future__ import annotations

from pathlib import Path

from service_kit.bus.kafka_bus import KafkaBus
from service_kit.bus.log_bus import LogBus
from service_kit.bus.port import Bus, Consumer, Message, Record

__all__ = ["Bus", "Consumer", "Message", "Record", "open_bus"]


def open_bus(url: str) -> Bus:
    """The bus behind a URL. Raises ValueError for another scheme."""
    scheme, _, rest = url.partition("://")
    if scheme == "kafka":
        return KafkaBus(rest)
    if scheme == "log":
        return LogBus(Path(rest))
    raise ValueError("BUS_URL begins with kafka:// or log://")
