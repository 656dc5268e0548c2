"""Settings: bad-inputs 6 (rows 1-6 and 13 as far as they make sense now), S61, S63."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service_kit.settings import Environment, Settings, cursor_key, load_settings, private_file

SECRET = "b6f1c3f0d4a94c7c8d53a7f1e2c90b11"
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PASSWORD = "Zqxcanarypw"
PRODUCTION = {
    "EHCP_ENVIRONMENT": "production",
    "DATABASE_URL": f"postgresql+asyncpg://case:{PASSWORD}@db/cases",
    "BUS_URL": "kafka://broker:9092",
    "EHCP_ISSUER": "https://id.council.test",
    "EHCP_JWKS_URL": "https://id.council.test/jwks",
    "EHCP_PUBLIC_URL": "https://hub.council.test",
    "EHCP_LA_CODES": "351",
    "EHCP_CURSOR_KEY": SECRET,
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("EHCP_") or name in ("DATABASE_URL", "BUS_URL", "FAILPOINTS", "DEBUG", "TZ"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def load(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: dict[str, str]
) -> list[str]:
    """The lines with which these variables are refused."""
    with pytest.raises(SystemExit) as stopped:
        load(monkeypatch, variables)
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert PASSWORD not in printed.err
    return printed.err.splitlines()


def test_nothing_set_is_the_embedded_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, {})
    assert settings.environment is Environment.embedded
    assert (settings.database_url, settings.bus_url, settings.port) == (None, None, 8000)
    assert settings.la_codes == ("351",)
    assert settings.go_live == date(2026, 9, 1)
    assert settings.token_issuer == "http://localhost:8000"


def test_good_production_settings_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, PRODUCTION | {"EHCP_LA_CODES": "351, 352", "EHCP_GO_LIVE": "2027-01-01"})
    assert settings.production
    assert settings.la_codes == ("351", "352")
    assert settings.go_live == date(2027, 1, 1)
    assert cursor_key(settings) == SECRET.encode()


@pytest.mark.parametrize(
    "name", [name for name in PRODUCTION if name not in ("EHCP_ENVIRONMENT", "EHCP_PUBLIC_URL")]
)
def test_6_1_production_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    rest = {key: value for key, value in PRODUCTION.items() if key != name}
    assert refused(monkeypatch, capsys, rest) == [f"{name}: required in production"]


def test_a_service_that_keeps_secrets_does_not_start_in_production_without_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load(monkeypatch, PRODUCTION)
    with pytest.raises(SystemExit):
        load_settings(needs=("sealing_keys",))
    assert capsys.readouterr().err == "EHCP_SEALING_KEYS: required in production\n"
    monkeypatch.setenv("EHCP_SEALING_KEYS", f"{KEY}, {KEY}")
    assert len(load_settings(needs=("sealing_keys",)).sealing_keys) == 2


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"EHCP_PROT": "1"}, "EHCP_PROT: unknown setting; did you mean EHCP_PORT?"),
        ({"EHCP_ZZZZ": "1"}, "EHCP_ZZZZ: unknown setting"),
        ({"ehcp_prot": "1"}, "ehcp_prot: unknown setting; did you mean EHCP_PORT?"),
        ({"EHCP_PORT": "80a"}, "EHCP_PORT: must be a whole number"),
        ({"EHCP_PORT": "-1"}, "EHCP_PORT: too small"),
        ({"EHCP_PORT": "65536"}, "EHCP_PORT: too large"),
        ({"EHCP_PORT": "1e3"}, "EHCP_PORT: must be a whole number"),
        ({"EHCP_PORT": ""}, "EHCP_PORT: must be a whole number"),
        ({"EHCP_DATABASE_POOL": "-5"}, "EHCP_DATABASE_POOL: too small"),
        ({"EHCP_ENVIRONMENT": "prod"}, "EHCP_ENVIRONMENT: must be embedded, production or test"),
        ({"EHCP_GO_LIVE": "01/09/2026"}, "EHCP_GO_LIVE: must be a date written YYYY-MM-DD"),
        ({"EHCP_TODAY": "1788000000"}, "EHCP_TODAY: must be a date written YYYY-MM-DD"),
        ({"EHCP_LA_CODES": "no"}, "EHCP_LA_CODES: must be three-digit codes, separated by commas"),
        ({"EHCP_LA_CODES": ""}, "EHCP_LA_CODES: must be three-digit codes, separated by commas"),
        ({"EHCP_ALGORITHMS": "ES256,HS256"}, "EHCP_ALGORITHMS: only RS256, ES256 and EdDSA are possible"),
        ({"EHCP_ALGORITHMS": "none"}, "EHCP_ALGORITHMS: only RS256, ES256 and EdDSA are possible"),
        ({"EHCP_PUBLIC_URL": "ftp://x"}, "EHCP_PUBLIC_URL: must be an http or https address"),
        ({"EHCP_JWKS_URL": "/etc/passwd"}, "EHCP_JWKS_URL: must be an http or https address"),
        (
            {"DATABASE_URL": f"mysql://u:{PASSWORD}@h/d"},
            "DATABASE_URL: must start with postgresql+asyncpg:// or sqlite+aiosqlite://",
        ),
        ({"BUS_URL": f"amqp://u:{PASSWORD}@h"}, "BUS_URL: must start with kafka:// or sqlite://"),
        ({"EHCP_CURSOR_KEY": PASSWORD}, "EHCP_CURSOR_KEY: must be a random secret of at least 32 bytes"),
        (
            {"EHCP_CURSOR_KEY": "changeme" * 4},
            "EHCP_CURSOR_KEY: must be a random secret of at least 32 bytes",
        ),
        ({"EHCP_SEALING_KEYS": PASSWORD}, "EHCP_SEALING_KEYS: each must be 32 random bytes in base64"),
        (
            {"EHCP_SEALING_KEYS": f"{KEY},{KEY[:-4]}"},
            "EHCP_SEALING_KEYS: each must be 32 random bytes in base64",
        ),
        ({"EHCP_SEALING_KEYS": "A" * 43 + "="}, "EHCP_SEALING_KEYS: each must be 32 random bytes in base64"),
        ({"EHCP_STALE_AFTER": "60"}, "EHCP_STALE_AFTER: too large"),
        ({"EHCP_LOG_LEVEL": "loud"}, "EHCP_LOG_LEVEL: not one of the values offered"),
        ({"EHCP_WRITES_PER_MINUTE": "-1"}, "EHCP_WRITES_PER_MINUTE: too small"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_6_2_to_6_5_a_wrong_setting_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changes: dict[str, str], line: str
) -> None:
    assert refused(monkeypatch, capsys, changes) == [line]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"EHCP_ISSUER": "http://id.council.test"}, "EHCP_ISSUER: must be https in production"),
        ({"EHCP_JWKS_URL": "http://id.council.test/k"}, "EHCP_JWKS_URL: must be https in production"),
        ({"EHCP_PUBLIC_URL": "http://hub.test"}, "EHCP_PUBLIC_URL: must be https in production"),
        ({"EHCP_TODAY": "2026-09-01"}, "EHCP_TODAY: the business date cannot be set in production"),
        ({"FAILPOINTS": "relay.after_mark=kill:1"}, "FAILPOINTS: refused in production"),
        ({"EHCP_FAILPOINTS": "relay.after_mark=kill:1"}, "FAILPOINTS: refused in production"),
        (
            {"EHCP_CURSOR_KEY": "only-for-a-trial-0123456789-abcdef"},
            "EHCP_CURSOR_KEY: the trial's own key is refused in production",
        ),
        (
            {"EHCP_SEALING_KEYS": f"{KEY},b25seS1mb3ItYS10cmlhbC0wMTIzNDU2Nzg5LWFiY2Q="},
            "EHCP_SEALING_KEYS: the trial's own key is refused in production",
        ),
        ({"EHCP_DOCS": "true"}, "EHCP_DOCS: refused in production"),
        ({"DEBUG": "1"}, "DEBUG: refused in production"),
        ({"TZ": "Europe/London"}, "TZ: production processes run in UTC"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_6_4_6_6_6_7_production_refuses_what_is_for_trying_things_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changes: dict[str, str], line: str
) -> None:
    assert refused(monkeypatch, capsys, PRODUCTION | changes) == [line]


def test_every_fault_has_its_own_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = refused(monkeypatch, capsys, {"EHCP_PORT": "x", "EHCP_GO_LIVE": "x", "EHCP_TYPO": "x"})
    assert sorted(line.split(":")[0] for line in lines) == ["EHCP_GO_LIVE", "EHCP_PORT", "EHCP_TYPO"]


def test_a_refused_process_ends_with_code_2_and_a_line_per_fault() -> None:
    environment = {"PATH": os.environ["PATH"], "EHCP_PORT": "80a", "EHCP_CURSOR_KEY": PASSWORD}
    code = "from service_kit.settings import load_settings; load_settings()"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 2
    assert sorted(ended.stderr.splitlines()) == [
        "EHCP_CURSOR_KEY: must be a random secret of at least 32 bytes",
        "EHCP_PORT: must be a whole number",
    ]


def test_s63_repr_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, PRODUCTION)
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert PASSWORD not in shown
        assert SECRET not in shown
        assert "***" in shown
        assert "environment=" in shown


def settings_in(folder: Path, **changes: Any) -> Settings:
    return Settings(environment=Environment.test, data_dir=folder, **changes)


def test_the_cursor_key_is_kept_in_the_data_directory_for_its_owner_only(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "new")
    first = cursor_key(settings)
    assert len(first) >= 32
    assert cursor_key(settings) == first
    assert stat.S_IMODE((tmp_path / "new" / "cursor.key").stat().st_mode) == 0o600
    assert cursor_key(settings_in(tmp_path / "other")) != first
    assert cursor_key(settings_in(tmp_path, cursor_key=SecretStr(SECRET))) == SECRET.encode()


def test_6_5_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """S61."""
    private_file(tmp_path / "a.key", b"secret")
    (tmp_path / "a.key").chmod(0o644)
    with pytest.raises(PermissionError, match=r"a\.key may be read by others"):
        private_file(tmp_path / "a.key", b"other")
