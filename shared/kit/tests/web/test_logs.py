"""Logs and correlation: S63, S100, S103, and one id from request to webhook."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from shared.kit.tests.web.toy import ID, bearer, token

from service_kit import logs
from service_kit.logs import bind_traceparent, correlation_id, escape, traceparent
from service_kit.settings import Settings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def lines(logged: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged.getvalue().splitlines()]


# -- correlation -------------------------------------------------------------------------------------------


def test_a_bound_traceparent_is_carried_on_and_given_back() -> None:
    with bind_traceparent(PARENT) as bound:
        assert bound == correlation_id() == TRACE
        version, trace, span, flags = traceparent().split("-")
        assert (version, trace, flags) == ("00", TRACE, "01")
        assert len(span) == 16
        assert traceparent() != traceparent()
        with bind_traceparent(None) as inner:
            assert inner != TRACE
        assert correlation_id() == TRACE


@pytest.mark.parametrize(
    "header",
    [
        *(
            None,
            "",
            "x",
            TRACE,
            PARENT + "-",
            PARENT.upper(),
            " " + PARENT,
            PARENT + "\n",
            f"ff-{TRACE}-00f067aa0ba902b7-01",
        ),
        *(
            f"00-{'0' * 32}-00f067aa0ba902b7-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE[:-1]}-00f067aa0ba902b7-01",
        ),
    ],
)
def test_a_malformed_traceparent_begins_a_new_trace(header: str | None) -> None:
    with bind_traceparent(header) as made:
        assert made != TRACE
        assert len(made) == 32
        assert int(made, 16) > 0


def test_without_anything_bound_an_id_is_made_and_stays() -> None:
    async def inner() -> tuple[str, str]:
        return correlation_id(), correlation_id()

    first, second = asyncio.run(inner())
    assert first == second


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"traceparent": PARENT}, TRACE),
        ({"X-Correlation-ID": TRACE}, TRACE),
        ({"X-Correlation-ID": TRACE.upper()}, TRACE),
        ({"traceparent": PARENT, "X-Correlation-ID": "1" * 32}, TRACE),
        ({"traceparent": "bad", "X-Correlation-ID": TRACE}, TRACE),
    ],
)
async def test_the_correlation_id_of_a_request_is_kept(
    client: httpx2.AsyncClient, logged: io.StringIO, headers: dict[str, str], expected: str
) -> None:
    answer = await client.get(f"/things/{ID}", headers=headers)
    assert answer.headers["x-correlation-id"] == expected
    assert [line["correlation"] for line in lines(logged)] == [expected]


@pytest.mark.parametrize(
    "value", ["", "x", "0" * 32, TRACE + "0", "g" * 32, TRACE + "\u00e9", "a" * 32 + " b"]
)
async def test_another_correlation_id_is_not_taken(client: httpx2.AsyncClient, value: str) -> None:
    answer = await client.get(f"/things/{ID}", headers={"X-Correlation-ID": value.encode()})
    made = answer.headers["x-correlation-id"]
    assert made not in (value, "0" * 32)
    assert len(made) == 32


async def test_two_requests_at_once_keep_their_own_ids(client: httpx2.AsyncClient) -> None:
    ids = [f"{n:032x}" for n in range(1, 21)]
    answers = await asyncio.gather(
        *(client.get(f"/things/{ID}", headers={"X-Correlation-ID": i}) for i in ids)
    )
    assert [answer.headers["x-correlation-id"] for answer in answers] == ids


# -- what is logged ----------------------------------------------------------------------------------------


async def test_a_line_that_cannot_be_written_does_not_fail_the_request(
    client: httpx2.AsyncClient, logged: io.StringIO
) -> None:
    logged.close()
    assert (await client.get(f"/things/{ID}")).status_code == 200


async def test_one_line_per_request_names_the_template_not_the_path(
    client: httpx2.AsyncClient, logged: io.StringIO
) -> None:
    await client.get(f"/things/{ID}?")
    await client.head("/things/secret-path")
    await client.get("/v1/cases", headers=bearer(token()))
    await client.get("/nowhere/secret-path")
    shown = [(x["method"], x["route"], x["status"], x["role"], x["action"]) for x in lines(logged)]
    assert shown == [
        ("GET", "/things/{thing_id}", 200, "-", "public"),
        ("HEAD", "/things/{thing_id}", 404, "-", "public"),
        ("GET", "/v1/cases", 200, "officer", "cases.list"),
        ("GET", "-", 404, "-", "-"),
    ]
    assert "secret-path" not in logged.getvalue()


def test_s100_a_field_that_is_not_on_the_list_is_dropped_and_counted(logged: io.StringIO) -> None:
    logs.logger().info("done", count=3, pupil_name="Ada", body={"a": 1})
    structlog.get_logger("any").warning("again", surname="Lovelace", job="tick")
    first, second = lines(logged)
    assert (first["event"], first["count"], first["dropped"]) == ("done", 3, 2)
    assert (second["job"], second["dropped"]) == ("tick", 1)
    assert "Ada" not in logged.getvalue()
    assert "Lovelace" not in logged.getvalue()


def test_a_value_that_is_no_scalar_is_named_by_its_type_only(logged: io.StringIO) -> None:
    logs.logger().info("done", reason={"name": "Ada"}, state=["Ada"], code=Exception("Ada"))
    assert "Ada" not in logged.getvalue()
    assert lines(logged)[0]["reason"] == "<dict>"


def test_s100_line_breaks_and_controls_are_escaped(logged: io.StringIO) -> None:
    logs.logger().info("done", reason='a\r\n{"event":"forged"}\x1b[31m\u2028\u202e')
    logging.getLogger("uvicorn.error").warning("forged\nline %s", "x\ny")
    assert len(logged.getvalue().splitlines()) == 2
    assert lines(logged)[0]["reason"] == 'a\\u000d\\u000a{"event":"forged"}\\u001b[31m\\u2028\\u202e'
    assert lines(logged)[1]["event"] == "forged\\u000aline x\\u000ay"


def test_the_form_for_people_escapes_too() -> None:
    stream = io.StringIO()
    logs.configure("toy", console=True, stream=stream)
    logs.logger().info("done", reason="a\r\nforged", pupil="Ada")
    assert len(stream.getvalue().splitlines()) == 1
    assert "Ada" not in stream.getvalue()


def test_a_long_value_is_cut() -> None:
    assert len(escape("x" * 10_000)) == 301


def test_an_exception_is_logged_as_class_and_places_only(logged: io.StringIO) -> None:
    try:
        raise ValueError("pupil Ada Lovelace")
    except ValueError:
        logs.logger().exception("failed")
        logging.getLogger("sqlalchemy").exception("row %s", "Ada")
    for line in lines(logged):
        assert line["error"] == "ValueError"
        assert line["places"].startswith("test_logs.py:")
    assert "Ada" not in logged.getvalue()


def test_of_an_unknown_library_only_the_template_is_kept(logged: io.StringIO) -> None:
    logging.getLogger("somebody.else").warning("refused %s for %s", "Ada", "x")
    assert lines(logged)[0]["event"] == "refused %s for %s"


def test_a_task_that_fails_unseen_does_not_log_its_message(logged: io.StringIO) -> None:
    """asyncio puts the exception's repr and the task into its own message."""

    async def main() -> None:
        async def fail() -> None:
            raise ValueError("pupil Ada")

        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        loop = asyncio.get_running_loop()
        loop.call_exception_handler(
            {"message": "never retrieved", "exception": task.exception(), "task": task}
        )

    asyncio.run(main())
    assert "Ada" not in logged.getvalue()
    assert "ValueError" in logged.getvalue()


def test_s63_settings_in_a_log_line_show_nothing(logged: io.StringIO, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="postgresql+asyncpg://u:Zqxcanarypw@h/d")
    logs.logger().info("started", setting=settings)
    logging.getLogger("service_kit").info("started %s", settings)
    assert "Zqxcanarypw" not in logged.getvalue()
