"""A server under load, in a process of its own: `python -m tests.bench.serve WHICH DATABASE PORT FOLDER`.

Prints the tokens it accepts as one line of JSON, then serves, with one worker on uvloop and httptools: a floor of
FastAPI and asyncpg, or a service as `python -m case_service serve` would run it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from tests.bench.machine import TODAY, settings
from tests.bench.measure import profiled

from service_kit import collector
from service_kit.clock import Clock
from service_kit.logs import configure
from service_kit.protocol import BoundedProtocol
from service_kit.service import Part
from service_kit.testing import test_keys, token


def _service(which: str) -> Any:
    if which == "cases":
        from case_service.main import service as cases

        return cases
    if which == "reviews":
        from review_scheduler.main import service as reviews

        return reviews
    if which == "figures":
        from reporting_service.main import service as figures

        return figures
    from tests.bench.plain import service

    return service


def main(which: str, database: str, port: str, folder: str) -> None:
    tokens = {
        "officer": token("officer"),
        "board": token("board"),
        "adapter": token("adapter", org="liquid-logic"),
    }
    sys.stdout.write(json.dumps(tokens) + "\n")
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # log lines are written, to nowhere
    if which.startswith("floor"):
        from tests.bench import floor

        served: Any = floor.on_sqlite(database) if which == "floor-sqlite" else floor.app(database)
        protocol: Any = "httptools"
    else:
        configure(which)
        built = _service(which).build(settings(Path(folder), database), clock=Clock(TODAY), keys=test_keys())
        served, protocol = built.app(frozenset({Part.SERVE})), BoundedProtocol
    config = uvicorn.Config(
        served,
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http=protocol,
        lifespan="on" if which.startswith("floor") else "off",
        access_log=False,
        server_header=False,
        log_config=None,
    )
    collector.settle()
    with profiled(which):
        Quiet(config).run()


class Quiet(uvicorn.Server):
    """Ends on SIGTERM as if it had come to its end, so that a profile can be written."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        signal.signal(signal.SIGTERM, self.handle_exit)
        yield


if __name__ == "__main__":
    main(*sys.argv[1:])
