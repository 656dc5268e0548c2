"""Settings from the environment, checked at once: a process with a wrong setting does not start.

`DATABASE_URL` and `BUS_URL` are bare; everything else has the prefix `EHCP_`, and an unknown variable with
that prefix is a typing error and refused. Nothing set means the embedded mode: SQLite files and log under
the data directory.
"""

from __future__ import annotations

import base64
import contextlib
import difflib
import os
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service_kit.strict import IsoDate

PREFIX = "EHCP_"
ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
_DATABASES = ("postgresql+asyncpg", "sqlite+aiosqlite")
_BUSES = ("kafka", "sqlite")


class Environment(StrEnum):
    embedded = "embedded"
    production = "production"
    test = "test"


def _refuse(name: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("setting", f"{name}: {message}")


class Settings(BaseSettings):
    """What a process of the hub may be told. `repr` shows only what is harmless."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", populate_by_name=True, hide_input_in_errors=True, frozen=True
    )

    environment: Environment = Environment.embedded
    database_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="None: SQLite",
    )
    bus_url: str | None = Field(
        default=None, validation_alias=AliasChoices("BUS_URL", "bus_url"), description="None: the SQLite log"
    )
    database_pool: int = Field(default=10, ge=1, le=200, description="connections per process")
    database_processes: int = Field(
        default=1, ge=1, le=1000, description="processes of the hub that share the PostgreSQL server"
    )
    disk_floor_mb: int = Field(default=1000, ge=0, description="less room on the disk: not ready")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    public_url: str = "http://localhost:8000"
    data_dir: Path = Path("data")

    issuer: str | None = Field(
        default=None, description="`iss` of accepted tokens; embedded: the public address"
    )
    jwks_url: str | None = Field(
        default=None, description="embedded: the keys are handed over in the process"
    )
    audience: str = "ehcp"
    algorithms: Annotated[tuple[str, ...], NoDecode] = ("ES256", "EdDSA", "RS256")

    la_codes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("351",), description="councils served here"
    )
    go_live: IsoDate = Field(
        default=date(2026, 9, 1), description="plans issued from here on are the hub's own"
    )
    today: IsoDate | None = Field(default=None, description="business date; embedded and tests only")

    cursor_key: SecretStr | None = Field(default=None, description="signs paging cursors; at least 32 bytes")
    sealing_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="keys of secrets at rest: 32 random bytes each in base64, the newest first"
    )
    writes_per_minute: int = Field(default=60, ge=0, description="per client; 0: no limit")
    reads_per_minute: int = Field(default=600, ge=0, description="per client; 0: no limit")
    pushes_per_minute: int = Field(default=6000, ge=0, description="writes of an adapter; 0: no limit")
    stale_after: int = Field(
        default=20,
        ge=5,
        le=25,
        description="seconds; notices wait when news of cases is older. With the 5 s in which a request must start and "
        "the 30 s that it may take, nobody is told later than a minute after a pupil has left",
    )
    docs: bool | None = Field(default=None, description="serve the API pages; never in production")
    failpoints: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("FAILPOINTS", "EHCP_FAILPOINTS", "failpoints")
    )
    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")

    @property
    def production(self) -> bool:
        return self.environment is Environment.production

    @property
    def token_issuer(self) -> str:
        """The `iss` that tokens must carry."""
        return self.issuer or self.public_url

    @field_validator("la_codes", "algorithms", "sealing_keys", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("la_codes")
    @classmethod
    def _councils(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(re.fullmatch(r"[0-9]{3}", code) for code in value):
            raise _refuse("", "must be three-digit codes, separated by commas")
        return value

    @field_validator("algorithms")
    @classmethod
    def _asymmetric(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not ALGORITHMS.issuperset(value):
            raise _refuse("", "only RS256, ES256 and EdDSA are possible")
        return value

    @field_validator("public_url", "issuer", "jwks_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and (
            urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname
        ):
            raise _refuse("", "must be an http or https address")
        return value.rstrip("/") if value else value

    @field_validator("database_url")
    @classmethod
    def _database_address(cls, value: str | None) -> str | None:
        if value is not None and value.partition("://")[0] not in _DATABASES:
            raise _refuse("", "must start with postgresql+asyncpg:// or sqlite+aiosqlite://")
        return value

    @field_validator("bus_url")
    @classmethod
    def _bus_address(cls, value: str | None) -> str | None:
        if value is not None and value.partition("://")[0] not in _BUSES:
            raise _refuse("", "must start with kafka:// or sqlite://")
        return value

    @field_validator("cursor_key")
    @classmethod
    def _long_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            text = value.get_secret_value()
            if len(text.encode()) < 32 or len(set(text)) < 10:
                raise _refuse("", "must be a random secret of at least 32 bytes")
        return value

    @field_validator("sealing_keys")
    @classmethod
    def _whole_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            try:
                raw = base64.b64decode(key.get_secret_value(), validate=True)
            except ValueError:
                raw = b""
            if len(raw) != 32 or len(set(raw)) < 10:
                raise _refuse("", "each must be 32 random bytes in base64")
        return value

    @model_validator(mode="after")
    def _fits_the_environment(self) -> Self:
        wrong = list(_environment_faults(self))
        if wrong:
            raise PydanticCustomError("settings", "\n".join(wrong))
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, value if name in _HARMLESS or value is None else "***"


_HARMLESS = frozenset(
    {
        "environment",
        "host",
        "port",
        "public_url",
        "issuer",
        "audience",
        "algorithms",
        "la_codes",
        "go_live",
        "today",
    }
    | {"writes_per_minute", "reads_per_minute", "pushes_per_minute", "docs", "log_level", "database_pool"}
    | {"database_processes", "disk_floor_mb", "stale_after"}
)

S = TypeVar("S", bound=Settings)


def _environment_faults(settings: Settings) -> Iterable[str]:
    try:
        ZoneInfo("Europe/London")
    except ZoneInfoNotFoundError:
        yield "tzdata: the time zone Europe/London is missing on this machine"
    if settings.production:
        yield from _production_faults(settings)


def _is_of_the_trial(secret: SecretStr) -> bool:
    """Whether it is one of those that docker-compose.yml falls back to, which everybody knows."""
    text = secret.get_secret_value()
    return "only-for-a-trial" in text or text.startswith(
        "b25seS1mb3ItYS10cmlh"
    )  # which is the same in base64


def _production_faults(settings: Settings) -> Iterable[str]:
    needed: Mapping[str, object] = {
        "DATABASE_URL": settings.database_url,
        "BUS_URL": settings.bus_url,
        "EHCP_ISSUER": settings.issuer,
        "EHCP_JWKS_URL": settings.jwks_url,
        "EHCP_CURSOR_KEY": settings.cursor_key,
    }
    yield from (f"{name}: required in production" for name, value in needed.items() if value is None)
    if "la_codes" not in settings.model_fields_set:
        yield "EHCP_LA_CODES: required in production"
    for name, address in (
        ("EHCP_ISSUER", settings.issuer),
        ("EHCP_JWKS_URL", settings.jwks_url),
        ("EHCP_PUBLIC_URL", settings.public_url),
    ):
        if address is not None and not address.startswith("https://"):
            yield f"{name}: must be https in production"
    for name, known in (
        ("EHCP_CURSOR_KEY", [settings.cursor_key]),
        ("EHCP_SEALING_KEYS", settings.sealing_keys),
    ):
        if any(key is not None and _is_of_the_trial(key) for key in known):
            yield f"{name}: the trial's own key is refused in production"
    if settings.today is not None:
        yield "EHCP_TODAY: the business date cannot be set in production"
    if settings.failpoints is not None:
        yield "FAILPOINTS: refused in production"
    if settings.docs:
        yield "EHCP_DOCS: refused in production"
    if os.environ.get("DEBUG", "").lower() not in ("", "0", "false", "no"):
        yield "DEBUG: refused in production"
    if os.environ.get("TZ", "UTC") not in ("UTC", "Etc/UTC") or time.timezone or time.daylight:
        yield "TZ: production processes run in UTC"


# -- loading -----------------------------------------------------------------------------------------------


def _variable(field: str) -> str:
    return field.upper() if field in ("database_url", "bus_url", "failpoints") else PREFIX + field.upper()


_READABLE: Mapping[str, str] = {
    "missing": "required",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "greater_than_equal": "too small",
    "less_than_equal": "too large",
    "bool_parsing": "must be true or false",
    "enum": "must be embedded, production or test",
    "date-format": "must be a date written YYYY-MM-DD",
    "string_pattern_mismatch": "not one of the values offered",
}


def _lines(error: ValidationError) -> Iterable[str]:
    """One line per fault: the variable and a fixed text, never the value."""
    for one in error.errors(include_input=False, include_context=False, include_url=False):
        if one["type"] == "settings":
            yield from one["msg"].splitlines()
            continue
        place = str(one["loc"][0]) if one["loc"] else "settings"
        name = place if place.isupper() else _variable(place)
        text = (
            one["msg"].removeprefix(": ")
            if one["type"] == "setting"
            else _READABLE.get(one["type"], "not valid")
        )
        yield f"{name}: {text}"


def _unknown(cls: type[Settings], environ: Mapping[str, str]) -> Iterable[str]:
    known = {_variable(field) for field in cls.model_fields} | {"EHCP_FAILPOINTS"}
    for name in sorted(environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            yield f"{name}: unknown setting" + (f"; did you mean {near[0]}?" if near else "")


def stop(faults: Iterable[str]) -> NoReturn:
    """End the process with code 2 and one line per fault on the error stream."""
    for line in faults:
        sys.stderr.write(line + "\n")
    raise SystemExit(2)


def load_settings(cls: type[S] = Settings, *, needs: Sequence[str] = ()) -> S:  # type: ignore[assignment]
    """Settings from the environment, or the end of the process: exit code 2, every fault on one line, no
    value shown. `needs`: fields that this service cannot do without in production."""
    faults = list(_unknown(cls, os.environ))
    settings: S | None = None
    try:
        settings = cls()
    except ValidationError as error:
        faults += _lines(error)
    if settings is not None and settings.production:
        faults += [
            f"{_variable(name)}: required in production" for name in needs if not getattr(settings, name)
        ]
    if faults or settings is None:
        stop(faults)
    return settings


# -- secrets kept in the data directory --------------------------------------------------------------------


def private_file(path: Path, make: bytes) -> bytes:
    """The content of a secret file, made with mode 0600 if it is missing. Raises `PermissionError` if
    others may read it. Two processes starting at once agree on one content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(make)
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)  # whole or not at all, and never over another's
        finally:
            os.unlink(fresh)
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path.name} may be read by others: set its mode to 0600")
    return path.read_bytes()


def cursor_key(settings: Settings) -> bytes:
    """The key that signs cursors: from the settings, or kept in the data directory (embedded and tests)."""
    if settings.cursor_key is not None:
        return settings.cursor_key.get_secret_value().encode()
    return private_file(settings.data_dir / "cursor.key", secrets.token_hex(32).encode())
