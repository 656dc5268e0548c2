"""The CloudEvents 1.0 envelope in structured JSON: one document is outbox row, Kafka value and audit record."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_serializer

from ehcp_contracts.events import EVENTS, Event

OWN_PREFIX = "ehcp."
MAX_EVENT_BYTES = 16 * 1024


class Envelope(BaseModel):
    """A CloudEvent of the hub. `subject` and `partitionkey` are the opaque case id; `sequence` counts from 1 without
    gap per source and subject; `lacode` is the three-digit DfE code of the responsible authority."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: str = Field(default="1.0", pattern=r"^1\.0$")
    id: UUID
    source: str = Field(min_length=1)
    type: str = Field(min_length=1)
    subject: str = Field(min_length=1)
    time: datetime
    dataschema: str | None = None
    datacontenttype: str = "application/json"
    sequence: int = Field(ge=1)
    partitionkey: str
    dataref: str | None = None
    traceparent: str | None = None
    lacode: str
    data: dict[str, Any]

    @field_serializer("sequence")
    def _orderable(self, sequence: int) -> str:
        """The sequence extension asks for a lexicographically orderable string."""
        return f"{sequence:010d}"

    def to_bytes(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Envelope:
        """Read a document tolerantly: unknown attributes are ignored. Raises `pydantic.ValidationError`."""
        return cls.model_validate_json(raw)

    def event(self) -> Event | None:
        """The typed event, or None for a type that is not in the catalogue."""
        cls = EVENTS.get(self.type)
        return cls.model_validate(self.data) if cls else None
