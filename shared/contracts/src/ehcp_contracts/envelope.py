"""The CloudEvents 1.0 envelope in structured JSON: one document is outbox row, Kafka value and audit
record."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_serializer

from ehcp_contracts.events import EVENTS, Event
from ehcp_contracts.fields import LaCode

OWN_PREFIX = "ehcp."
MAX_EVENT_BYTES = 16 * 1024
OPAQUE_ID = r"^[A-Za-z0-9-]{1,64}$"


_COUNCILS = UUID("0198f000-0000-7000-8000-000000000351")


def council_subject(la_code: str) -> UUID:
    """What stands for the case in an event about a council: always the same id for the same council."""
    return uuid5(_COUNCILS, la_code)


class Envelope(BaseModel):
    """A CloudEvent of the hub. `subject` and `partitionkey` are the opaque case id; `sequence` counts from 1
    without gap per source and subject; `lacode` is the three-digit DfE code of the responsible authority."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    id: UUID
    source: str = Field(pattern=r"^[A-Za-z0-9:/._-]{1,200}$")
    type: str = Field(pattern=r"^[A-Za-z0-9._/-]{1,120}$")
    subject: str = Field(pattern=OPAQUE_ID)
    time: AwareDatetime
    dataschema: str | None = Field(default=None, pattern=r"^[A-Za-z0-9:/._-]{1,200}$")
    datacontenttype: Literal["application/json"] = "application/json"
    sequence: int = Field(ge=1, le=9_999_999_999)
    partitionkey: str = Field(pattern=OPAQUE_ID)
    dataref: str | None = Field(default=None, pattern=r"^(https:/)?/[A-Za-z0-9:/._-]{1,200}$")
    traceparent: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"
    )
    lacode: LaCode
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
