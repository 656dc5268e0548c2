"""Fixtures of the web tests: the toy service, a client, and what was logged."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from shared.kit.tests.web.toy import Seen, make_app, settings

from service_kit import logs


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def app(tmp_path: Path, seen: Seen) -> FastAPI:
    return make_app(settings(tmp_path), seen)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="https://hub.test"
    ) as one:
        yield one


@pytest.fixture(autouse=True)
def logged() -> io.StringIO:
    """All log lines of a test, as JSON lines."""
    stream = io.StringIO()
    logs.configure("toy", stream=stream)
    return stream
