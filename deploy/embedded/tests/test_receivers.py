"""Receivers believe a message only by its signature, as made by the reference library of Standard Webhooks."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from ehcp_contracts.examples import example_document
from ehcp_embedded.demo.receivers import KEPT, Receivers, in_short, signed

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
BODY = json.dumps(example_document("ehcp.review-due.v1")).encode()


def headers(body: bytes = BODY, at: datetime = NOW, secret: str = SECRET) -> dict[str, str]:
    signature = Webhook(secret).sign("msg-1", at, body.decode())
    return {
        "webhook-id": "msg-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


def test_a_signature_of_the_reference_library_is_accepted() -> None:
    assert signed(SECRET, headers(), BODY, NOW)


def test_one_right_signature_among_several_is_enough() -> None:
    several = headers() | {"webhook-signature": f"v1,AAAA v1a,BBBB {headers()['webhook-signature']}"}
    assert signed(SECRET, several, BODY, NOW)


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({}, BODY + b" "),
        ({"webhook-id": "msg-2"}, BODY),
        ({"webhook-timestamp": str(int(NOW.timestamp()) + 1)}, BODY),
        ({"webhook-timestamp": "soon"}, BODY),
        ({"webhook-timestamp": "²"}, BODY),
        ({"webhook-signature": ""}, BODY),
        ({"webhook-signature": "v1,é"}, BODY),
    ],
)
def test_a_message_that_was_changed_is_not_believed(change: dict[str, str], body: bytes) -> None:
    assert not signed(SECRET, headers() | change, body, NOW)


def test_an_old_message_is_not_believed() -> None:
    assert not signed(SECRET, headers(at=NOW - timedelta(minutes=6)), BODY, NOW)
    assert signed(SECRET, headers(at=NOW - timedelta(minutes=4)), BODY, NOW)


def test_another_secret_does_not_fit() -> None:
    other = "whsec_" + base64.b64encode(b"another secret of thirty-two by.").decode()
    assert not signed(SECRET, headers(secret=other), BODY, NOW)


def test_a_repeat_is_counted_once() -> None:
    told: list[str] = []
    receivers = Receivers({"icb": SECRET}, lambda name, arrival: told.append(f"{name}: {arrival.title}"))
    receivers._note("icb", "msg-1", json.loads(BODY))
    receivers._note("icb", "msg-1", json.loads(BODY))
    assert receivers.counts == {"school": 0, "icb": 1, "social-care": 0}
    assert told == ["icb: Review due"]


def test_only_the_newest_are_kept() -> None:
    receivers = Receivers({"icb": SECRET})
    for n in range(KEPT + 5):
        receivers._note("icb", f"msg-{n}", json.loads(BODY))
    assert (len(receivers.arrived["icb"]), receivers.counts["icb"]) == (KEPT, KEPT + 5)


def test_an_event_is_told_in_short_with_dates_in_words_and_without_ids() -> None:
    data = {"review_id": "x", "kind": "phase_transfer", "due_on": "2027-02-26", "facts": {"year_group": 6}}
    assert in_short(data) == "kind phase transfer, due on 26\u00a0February\u00a02027"
