"""When a notice is tried again, and how it is signed. No clock, no network."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from notification_service.schedule import SCHEDULE, next_attempt, parse_retry_after
from notification_service.signing import Key, headers, in_use, new_secret, rotate, sign
from service_kit import Clock

NOW = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)
ID = UUID("0192f0c1-2b3c-7def-8000-0123456789ab")
BODY = b'{"type":"ehcp.review-due.v1"}'


# --- schedule --------------------------------------------------------------------------------------------------------


def test_the_schedule_is_that_of_standard_webhooks_and_spans_a_weekend() -> None:
    assert SCHEDULE == (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    assert 75 * 3600 < sum(SCHEDULE) < 76 * 3600


@pytest.mark.parametrize("tries", range(1, 10))
def test_every_pause_keeps_within_a_fifth_of_the_schedule(tries: int) -> None:
    """F36."""
    dice = random.Random(tries)
    pauses = [(next_attempt(tries, NOW, dice) or NOW) - NOW for _ in range(200)]
    low, high = timedelta(seconds=SCHEDULE[tries] * 0.8), timedelta(seconds=SCHEDULE[tries] * 1.2)
    assert all(low <= pause <= high for pause in pauses)
    assert max(pauses) - min(pauses) > (high - low) / 2


def test_after_ten_failed_attempts_the_schedule_is_spent() -> None:
    assert next_attempt(10, NOW, random.Random(1)) is None


@pytest.mark.parametrize(("retry_after", "seconds"), [(300, 300), (450, 450), (600, 600)])
def test_a_retry_after_between_the_pause_and_twice_that_is_honoured(retry_after: float, seconds: int) -> None:
    assert next_attempt(2, NOW, random.Random(1), retry_after=retry_after) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("retry_after", [-1, 0, 7, 299, 601, 1e9])
def test_any_other_retry_after_is_ignored(retry_after: float) -> None:
    again = next_attempt(2, NOW, random.Random(1), retry_after=retry_after)
    assert again is not None
    assert timedelta(seconds=240) <= again - NOW <= timedelta(seconds=360)


def test_after_a_timeout_or_too_many_requests_at_least_a_minute_passes() -> None:
    for seed in range(50):
        again = next_attempt(1, NOW, random.Random(seed), slow_down=True)
        assert again is not None
        assert timedelta(seconds=60) <= again - NOW <= timedelta(seconds=72)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Tue, 01 Sep 2026 09:05:00 GMT", 300.0),
        ("Tue, 01 Sep 2026 08:55:00 GMT", -300.0),
        ("-1", None),
        ("1e9", None),
        ("soon", None),
        ("", None),
        ("9" * 60, None),
        ("Tue, 99 Foo 2026", None),
        (None, None),
    ],
)
def test_retry_after_headers(header: str | None, seconds: float | None) -> None:
    """bad-inputs 5.6."""
    assert parse_retry_after(header, NOW) == seconds


# --- signing ---------------------------------------------------------------------------------------------------------


def _verifies(secret: str, sent: dict[str, str], body: bytes = BODY) -> bool:
    try:
        # The library holds the timestamp against the real clock, so only the comparison itself is asked for.
        at = datetime.fromtimestamp(int(sent["webhook-timestamp"]), UTC)
        expected = Webhook(secret).sign(sent["webhook-id"], at, body.decode())
        return expected in sent["webhook-signature"].split(" ")
    except WebhookVerificationError:
        return False


def test_a_third_party_library_verifies_our_signature() -> None:
    """S70: on the present instant, so that the library's own tolerance applies."""
    secret = new_secret()
    present = Clock().now()
    sent = headers([Key(secret=secret, until=None)], ID, present, BODY)
    assert Webhook(secret).verify(BODY, sent) == {"type": "ehcp.review-due.v1"}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", sent)


def test_the_signature_of_the_standard_s_own_vector() -> None:
    """The vector in the libraries of standard-webhooks."""
    body = b'{"test": 2432232314}'
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_during_a_rotation_old_and_new_secret_both_sign() -> None:
    old = new_secret()
    keys = rotate([Key(secret=old, until=None)], new_secret(), NOW)
    sent = headers(keys, ID, NOW + timedelta(hours=23), BODY)
    assert _verifies(old, sent)
    assert _verifies(keys[0]["secret"], sent)


def test_after_the_overlap_only_the_new_secret_signs() -> None:
    old = new_secret()
    keys = rotate([Key(secret=old, until=None)], new_secret(), NOW)
    sent = headers(keys, ID, NOW + timedelta(hours=24, seconds=1), BODY)
    assert not _verifies(old, sent)
    assert _verifies(keys[0]["secret"], sent)


def test_a_second_rotation_within_the_hour_keeps_the_first_overlap() -> None:
    """bad-inputs 7.8."""
    first = rotate([Key(secret=new_secret(), until=None)], new_secret(), NOW)
    second = rotate(first, new_secret(), NOW + timedelta(minutes=30))
    assert len(in_use(second, NOW + timedelta(hours=23))) == 3
    assert len(in_use(second, NOW + timedelta(hours=24, minutes=10))) == 2
    assert len(in_use(second, NOW + timedelta(hours=25))) == 1


def test_the_id_stays_and_the_timestamp_moves_over_attempts() -> None:
    """B09, I7."""
    keys = [Key(secret=new_secret(), until=None)]
    one, two = headers(keys, ID, NOW, BODY), headers(keys, ID, NOW + timedelta(minutes=5), BODY)
    assert one["webhook-id"] == two["webhook-id"] == str(ID)
    assert int(two["webhook-timestamp"]) - int(one["webhook-timestamp"]) == 300


def test_a_secret_is_whsec_and_32_random_bytes() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(secret.startswith("whsec_") and len(secret) == 6 + 44 for secret in secrets)
